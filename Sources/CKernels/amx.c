// Matrix products on the tile unit of newer Xeons (AMX), float32 to the last bit that float32 has: a number is the
// exact sum of three of bfloat16's, high + middle + low, and of the nine products of two numbers' parts the six that
// reach float32's precision are summed in float32. That is two to three times as fast as float32's own instructions,
// and its errors are smaller, since a product of bfloat16s is exact (Henry, Tang and Heinecke 2019, 1904.06376). The
// unit takes denormal numbers for 0: what is below 1e-33 loses its low parts, and sums below 1.2e-38 become 0.
//
// Where bfloat16's precision is asked for, the high part alone is used: numbers rounded to 8 bits, sums of float32.
//
// A tile has 16 rows of 64 bytes. A cell is what 32 rows (or columns) and 32 inner indices become: two tiles of high
// parts, two of middle and two of low ones. Within a cell the inner indices are taken in the order 0, 16, 1, 17, ...,
// on both sides, so that two vectors are interleaved by a shift.
#include "amx.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "kernels/memory.h"
#include "private.h"
#include "simd/transpose.h"

enum { SIDE = RK_AMX_SIDE, HALF = SIDE / 2, TILE = 512 }; // the last in bfloat16s
/// Inner indices and rows of a block: a packed panel takes half of the first-level cache, a block of A an eighth of the
/// second.
enum { DEPTH = 128, ROWS = 384 };
/// Scratch, in bfloat16s, that is not worth asking the allocator for.
enum { SMALL = 1 << 15 };

#pragma clang attribute push( \
    __attribute__(( \
        target("avx2,fma,bmi,bmi2,avx512f,avx512bw,avx512dq,avx512vl,avx512cd,amx-tile,amx-bf16"), \
        min_vector_width(512))), \
    apply_to = function)

// MARK: - Splitting

/// x rounded to bfloat16, in the upper half of each lane.
RK_INLINE __m512 rounded(__m512 x) {
    __m512i up = _mm512_add_epi32(_mm512_castps_si512(x), _mm512_set1_epi32(0x8000));
    return _mm512_castsi512_ps(_mm512_and_si512(up, _mm512_set1_epi32((int)0xffff0000)));
}

/// The upper halves of x and y, interleaved.
RK_INLINE __m512i interleaved(__m512 x, __m512 y) {
    enum { CHOOSE = 0xd8 }; // bits of the second operand where the third has 1, else of the first
    __m512i upper = _mm512_set1_epi32((int)0xffff0000);
    return _mm512_ternarylogic_epi32(
        _mm512_srli_epi32(_mm512_castps_si512(x), 16), _mm512_castps_si512(y), upper, CHOOSE);
}

typedef struct {
    __m512 high, middle, low;
} split_number;

/// The parts of numbers of which some are not finite, or so large that rounding overflows: those are cut off instead.
static __attribute__((noinline)) split_number cut_off(__m512 x, bool *finite) {
    const __m512i upper = _mm512_set1_epi32((int)0xffff0000);
    __mmask16 special = _mm512_fpclass_ps_mask(x, 0x99), nan = _mm512_fpclass_ps_mask(x, 0x81);
    __m512i high = _mm512_and_si512(_mm512_castps_si512(x), upper);
    high = _mm512_mask_or_epi32(high, nan, high, _mm512_set1_epi32(0x00400000));
    split_number p = {.high = _mm512_castsi512_ps(high)};
    __m512 rest = _mm512_maskz_sub_ps((__mmask16)~special, x, p.high);
    p.middle = _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(rest), upper));
    p.low = _mm512_sub_ps(rest, p.middle);
    *finite = *finite && !special;
    return p;
}

/// Parts of a number, 1 or 3; a constant wherever speed matters.
RK_INLINE size_t parts_of(rk_precision precision) { return precision == RK_BFLOAT16 ? 1 : 3; }
RK_INLINE size_t cell_of(size_t parts) { return 2 * parts * TILE; }

/// A row of a cell's tiles: the parts of 32 inner indices. `finite` becomes false where a number is not and its parts
/// would not multiply like it.
RK_INLINE void split(size_t parts, __m512 x, __m512 y, uint16_t *row, bool *finite) {
    if (parts == 1) {
        // Rounding may carry a NaN over to a number.
        __m512 p = _mm512_mask_mov_ps(rounded(x), _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), _mm512_set1_ps(NAN));
        __m512 q = _mm512_mask_mov_ps(rounded(y), _mm512_cmp_ps_mask(y, y, _CMP_UNORD_Q), _mm512_set1_ps(NAN));
        _mm512_store_si512(row, interleaved(p, q));
        return;
    }
    split_number p = {.high = rounded(x)}, q = {.high = rounded(y)};
    p.low = _mm512_sub_ps(x, p.high), q.low = _mm512_sub_ps(y, q.high);
    p.middle = rounded(p.low), q.middle = rounded(q.low);
    p.low = _mm512_sub_ps(p.low, p.middle), q.low = _mm512_sub_ps(q.low, q.middle);
    if (__builtin_expect(_mm512_cmp_ps_mask(p.low, q.low, _CMP_UNORD_Q) != 0, 0))
        p = cut_off(x, finite), q = cut_off(y, finite);
    _mm512_store_si512(row, interleaved(p.high, q.high));
    _mm512_store_si512(row + 2 * TILE, interleaved(p.middle, q.middle));
    _mm512_store_si512(row + 4 * TILE, interleaved(p.low, q.low));
}

RK_INLINE __mmask16 first_lanes(size_t count) { return (__mmask16)(count >= 16 ? 0xffff : (1u << count) - 1); }
RK_INLINE size_t past(size_t count, size_t begin) { return count > begin ? count - begin : 0; }

// MARK: - Packing

static size_t cells_of(size_t depth) { return rk_ceil_div(depth, SIDE); }

/// Rows of A, [rows <= 16, depth <= 32] as they are stored, in a tile of each part.
RK_INLINE bool pack_tile(size_t parts, size_t rows, size_t depth, const float *a, size_t row, uint16_t *out) {
    bool finite = true;
    __mmask16 lower = first_lanes(depth), upper = first_lanes(past(depth, HALF));
    for (size_t r = 0; r < rows; r++, a += row, out += SIDE)
        split(parts, _mm512_maskz_loadu_ps(lower, a), _mm512_maskz_loadu_ps(upper, a + HALF), out, &finite);
    return finite;
}

/// The columns of a 16 x 16 block: x is gathered by quarters of vectors, whose squares of four are then turned in
/// place.
RK_INLINE void load_columns(const float *x, size_t row, __m512 columns[HALF]) {
    for (size_t q = 0; q < 4; q++, x += 4) {
        __m512 r[4];
        for (size_t i = 0; i < 4; i++) {
            r[i] = _mm512_castps128_ps512(_mm_loadu_ps(x + i * row));
            r[i] = _mm512_insertf32x4(r[i], _mm_loadu_ps(x + (i + 4) * row), 1);
            r[i] = _mm512_insertf32x4(r[i], _mm_loadu_ps(x + (i + 8) * row), 2);
            r[i] = _mm512_insertf32x4(r[i], _mm_loadu_ps(x + (i + 12) * row), 3);
        }
        __m512d ab = _mm512_castps_pd(_mm512_unpacklo_ps(r[0], r[1])),
                cd = _mm512_castps_pd(_mm512_unpacklo_ps(r[2], r[3]));
        __m512d ab2 = _mm512_castps_pd(_mm512_unpackhi_ps(r[0], r[1])),
                cd2 = _mm512_castps_pd(_mm512_unpackhi_ps(r[2], r[3]));
        columns[4 * q] = _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd));
        columns[4 * q + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd));
        columns[4 * q + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(ab2, cd2));
        columns[4 * q + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(ab2, cd2));
    }
}

/// A tile's rows from the columns of two 16 x 16 blocks.
RK_INLINE void split_columns(size_t parts, const float *x, const float *y, size_t row, uint16_t *out, bool *finite) {
    __m512 columns[2][HALF];
    load_columns(x, row, columns[0]);
    load_columns(y, row, columns[1]);
    for (size_t i = 0; i < HALF; i++) split(parts, columns[0][i], columns[1][i], out + i * SIDE, finite);
}

/// The same for A stored as [depth, rows].
RK_INLINE bool pack_turned_tile(size_t parts, size_t rows, size_t depth, const float *a, size_t row, uint16_t *out) {
    if (rows == HALF && depth == SIDE) {
        bool finite = true;
        split_columns(parts, a, a + HALF * row, row, out, &finite);
        return finite;
    }
    float turned[HALF * SIDE] __attribute__((aligned(64)));
    rk_transpose(depth, rows, a, row, turned, SIDE);
    return pack_tile(parts, rows, depth, turned, SIDE, out);
}

/// Rows of op(A), m x depth, in cells: those of the first 32 rows, then of the next.
RK_INLINE bool pack_rows(size_t parts, rk_operand a, size_t m, size_t depth, uint16_t *out) {
    bool finite = true;
    size_t cells = cells_of(depth);
    for (size_t i = 0; i < m; i += HALF)
        for (size_t p = 0; p < depth; p += SIDE) {
            uint16_t *to = out + (i / SIDE * cells + p / SIDE) * cell_of(parts) + i % SIDE / HALF * TILE;
            size_t rows = rk_min(m - i, HALF), count = rk_min(depth - p, SIDE);
            const float *from = rk_slice(a, i, p).data;
            finite &= a.transpose ? pack_turned_tile(parts, rows, count, from, a.row, to)
                                  : pack_tile(parts, rows, count, from, a.row, to);
        }
    return finite;
}

/// Columns of B, [depth <= 32, columns <= 32] as they are stored, in a cell; missing ones become 0.
RK_INLINE bool pack_cell(size_t parts, size_t depth, size_t columns, const float *b, size_t row, uint16_t *out) {
    bool finite = true;
    __mmask16 lanes[2] = {first_lanes(columns), first_lanes(past(columns, HALF))};
    for (size_t i = 0; i < HALF; i++)
        for (size_t h = 0; h < 2; h++) {
            const float *from = b + i * row + h * HALF;
            __m512 x = _mm512_maskz_loadu_ps(i < depth ? lanes[h] : 0, from);
            __m512 y = _mm512_maskz_loadu_ps(i + HALF < depth ? lanes[h] : 0, from + HALF * row);
            split(parts, x, y, out + h * TILE + i * SIDE, &finite);
        }
    return finite;
}

/// The same for B stored as [columns, depth].
RK_INLINE bool pack_turned_cell(size_t parts, size_t depth, size_t columns, const float *b, size_t row, uint16_t *out) {
    if (depth == SIDE && columns == SIDE) {
        bool finite = true;
        for (size_t h = 0; h < 2; h++, b += HALF * row) split_columns(parts, b, b + HALF, row, out + h * TILE, &finite);
        return finite;
    }
    float turned[SIDE * SIDE] __attribute__((aligned(64)));
    rk_transpose(columns, depth, b, row, turned, SIDE);
    return pack_cell(parts, depth, columns, turned, SIDE, out);
}

/// Numbers [depth, 32] of a panel again.
static void unpack_columns(size_t parts, size_t depth, const uint16_t *panel, float *out) {
    const __m512i upper = _mm512_set1_epi32((int)0xffff0000);
    for (size_t p = 0; p < depth; p++)
        for (size_t h = 0; h < 2; h++) {
            const uint16_t *from = panel + p / SIDE * cell_of(parts) + h * TILE + p % HALF * SIDE;
            __m512 sum = _mm512_setzero_ps();
            for (size_t part = parts; part-- > 0;) {
                __m512i pairs = _mm512_load_si512(from + 2 * part * TILE);
                pairs = p % SIDE < HALF ? _mm512_slli_epi32(pairs, 16) : _mm512_and_si512(pairs, upper);
                sum = _mm512_add_ps(sum, _mm512_castsi512_ps(pairs));
            }
            _mm512_storeu_ps(out + p * SIDE + h * HALF, sum);
        }
}

// MARK: - Panels

/// A panel of 32 columns: a byte for each of its cells, 1 where all of the cell is finite, then the cells.
static size_t header(size_t k) { return rk_round_up(cells_of(k), 64); }

size_t rk_amx_panel_floats(rk_precision precision, size_t k) {
    return (header(k) + cells_of(k) * cell_of(parts_of(precision)) * sizeof(uint16_t)) / sizeof(float);
}

static const uint16_t *cells_at(size_t parts, const float *panel, size_t k, size_t p) {
    return (const uint16_t *)((const char *)panel + header(k)) + p / SIDE * cell_of(parts);
}

static bool is_finite(const float *panel, size_t p, size_t depth) {
    bool finite = true;
    for (size_t i = p / SIDE; i < cells_of(p + depth); i++) finite = finite && ((const uint8_t *)panel)[i];
    return finite;
}

RK_INLINE void pack_panel(size_t parts, rk_operand b, size_t depth, size_t columns, float *panel, size_t k, size_t p) {
    uint8_t *finite = (uint8_t *)panel + p / SIDE;
    uint16_t *to = (uint16_t *)cells_at(parts, panel, k, p);
    for (size_t q = 0; q < depth; q += SIDE, finite++, to += cell_of(parts)) {
        size_t count = rk_min(depth - q, SIDE);
        const float *from = rk_slice(b, q, 0).data;
        *finite = b.transpose ? pack_turned_cell(parts, count, columns, from, b.row, to)
                              : pack_cell(parts, count, columns, from, b.row, to);
    }
}

void rk_amx_pack(rk_precision precision, rk_operand b, size_t depth, size_t columns, float *panel, size_t k, size_t p) {
    if (precision == RK_BFLOAT16)
        pack_panel(1, b, depth, columns, panel, k, p);
    else
        pack_panel(3, b, depth, columns, panel, k, p);
}

// MARK: - Multiplying

static void configure(void) {
    struct {
        uint8_t palette, start, reserved[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } tiles = {.palette = 1};
    for (size_t i = 0; i < 8; i++) tiles.bytes[i] = 64, tiles.rows[i] = HALF;
    _tile_loadconfig(&tiles);
}

#define LOAD(tile, from, part, half) _tile_loadd(tile, from + (2 * (part) + (half)) * TILE, 64)

/// c [32, 32], or its first 16 rows, = the product of `cells` cells, plus `added` where that is given. Tiles 0 to 3
/// hold sums, 4 and 5 A's parts, 6 and 7 B's; each is loaded while the products before it run.
RK_INLINE void multiply_cells(
    size_t parts, bool both, size_t cells, const uint16_t *a, const uint16_t *b, const float *added, size_t added_row,
    float *c, size_t row) {
    size_t bytes = row * sizeof(float), step = added_row * sizeof(float);
    if (added) {
        _tile_loadd(0, added, step), _tile_loadd(1, added + HALF, step);
        if (both) _tile_loadd(2, added + HALF * added_row, step), _tile_loadd(3, added + HALF * added_row + HALF, step);
    } else {
        _tile_zero(0), _tile_zero(1);
        if (both) _tile_zero(2), _tile_zero(3);
    }
#define LEFT \
    _tile_dpbf16ps(0, 4, 6); \
    if (both) _tile_dpbf16ps(2, 5, 6)
#define RIGHT \
    _tile_dpbf16ps(1, 4, 7); \
    if (both) _tile_dpbf16ps(3, 5, 7)
#define UPPER _tile_dpbf16ps(0, 4, 6), _tile_dpbf16ps(1, 4, 7)
#define LOWER \
    if (both) _tile_dpbf16ps(2, 5, 6), _tile_dpbf16ps(3, 5, 7)
    for (size_t p = 0; p < cells; p++, a += cell_of(parts), b += cell_of(parts)) {
        LOAD(4, a, 0, 0), LOAD(6, b, parts - 1, 0), LOAD(7, b, parts - 1, 1);
        if (both) LOAD(5, a, 0, 1);
        if (parts > 1) {
            LEFT;
            LOAD(6, b, 0, 0);
            RIGHT;
            LOAD(7, b, 0, 1);
            LEFT;
            LOAD(6, b, 1, 0);
            RIGHT;
            LOAD(7, b, 1, 1);
            UPPER;
            LOAD(4, a, 1, 0);
            LOWER;
            if (both) LOAD(5, a, 1, 1);
            LEFT;
            LOAD(6, b, 0, 0);
            RIGHT;
            LOAD(7, b, 0, 1);
            UPPER;
            LOAD(4, a, 2, 0);
            LOWER;
            if (both) LOAD(5, a, 2, 1);
        }
        UPPER;
        LOWER;
    }
    _tile_stored(0, c, bytes), _tile_stored(1, c + HALF, bytes);
    if (both) _tile_stored(2, c + HALF * row, bytes), _tile_stored(3, c + HALF * row + HALF, bytes);
}

#undef LOAD
#undef LEFT
#undef RIGHT
#undef UPPER
#undef LOWER

typedef struct {
    size_t m, columns, depth; // of C's part and of the inner indices that are summed
    float alpha, beta, *c;
    size_t row;
    const float *bias; // what beta multiplies instead of C, where it is given
} target;

/// C [rows, columns] from row i on = alpha sum + beta C.
static void store(const target *t, size_t i, size_t rows, const float *sum) {
    __m512 a = _mm512_set1_ps(t->alpha), b = _mm512_set1_ps(t->beta);
    float *c = t->c + i * t->row;
    for (size_t r = 0; r < rows; r++)
        for (size_t h = 0; h * HALF < t->columns; h++) {
            __mmask16 lanes = first_lanes(t->columns - h * HALF);
            float *to = c + r * t->row + h * HALF;
            const float *added = t->bias ? t->bias + h * HALF : to;
            __m512 y = _mm512_mul_ps(a, _mm512_load_ps(sum + r * SIDE + h * HALF));
            if (t->beta != 0) y = _mm512_fmadd_ps(b, _mm512_maskz_loadu_ps(lanes, added), y);
            _mm512_mask_storeu_ps(to, lanes, y);
        }
}

RK_INLINE void multiply_rows(
    size_t parts, size_t rows, size_t cells, const uint16_t *a, const uint16_t *b, const float *added, size_t added_row,
    float *c, size_t row) {
    if (rows > HALF)
        multiply_cells(parts, true, cells, a, b, added, added_row, c, row);
    else
        multiply_cells(parts, false, cells, a, b, added, added_row, c, row);
}

/// All rows of a packed block of A over one panel.
static void multiply_panel(rk_precision precision, const target *t, const uint16_t *a, const uint16_t *b) {
    float sum[SIDE * SIDE] __attribute__((aligned(64)));
    size_t cells = cells_of(t->depth);
    for (size_t i = 0; i < t->m; i += SIDE, a += cells * cell_of(parts_of(precision))) {
        size_t rows = rk_min(t->m - i, SIDE);
        float *c = t->c + i * t->row;
        bool direct = rows % HALF == 0 && t->columns == SIDE && t->alpha == 1 && (t->beta == 0 || t->beta == 1);
        const float *added = !direct || t->beta == 0 ? NULL : t->bias ? t->bias : c;
        float *to = direct ? c : sum;
        size_t row = direct ? t->row : SIDE, added_row = t->bias ? 0 : t->row;
        if (precision == RK_BFLOAT16)
            multiply_rows(1, rows, cells, a, b, added, added_row, to, row);
        else
            multiply_rows(3, rows, cells, a, b, added, added_row, to, row);
        if (!direct) store(t, i, rows, sum);
    }
}

/// The same by float32's own instructions, for numbers that are not finite: their parts would make NaN of infinity.
static void multiply_special(size_t parts, target t, rk_operand a, const uint16_t *panel) {
    enum { AT_ONCE = 64 };
    float b[AT_ONCE * SIDE];
    for (size_t r = 0; t.bias && r < t.m; r++) rk_copy_floats(t.c + r * t.row, t.bias, t.columns);
    for (size_t p = 0; p < t.depth; p += AT_ONCE, panel += AT_ONCE / SIDE * cell_of(parts), t.beta = 1) {
        size_t depth = rk_min(t.depth - p, AT_ONCE);
        unpack_columns(parts, depth, panel, b);
        rk_operand part = rk_slice(a, 0, p);
        rk_vector_gemm(
            t.m, t.columns, depth, part, (rk_operand){b, SIDE, false}, (rk_output){t.c, t.row, t.alpha, t.beta});
    }
}

bool rk_amx_suits(size_t m, size_t n, size_t k) {
    // The zeros that fill cells up must not cost more than the tiles save.
    return m >= HALF && n >= HALF && k >= HALF
           && rk_round_up(m, HALF) * rk_round_up(n, SIDE) * rk_round_up(k, SIDE) <= 2 * m * n * k;
}

static bool pack_block(rk_precision precision, rk_operand a, size_t m, size_t depth, uint16_t *out) {
    return precision == RK_BFLOAT16 ? pack_rows(1, a, m, depth, out) : pack_rows(3, a, m, depth, out);
}

bool rk_amx_gemm(
    rk_precision precision, size_t m, size_t n, size_t k, rk_operand a, rk_operand b, const float *packed,
    const float *bias, rk_output out) {
    size_t parts = parts_of(precision), rows_of_cells = rk_ceil_div(rk_min(m, ROWS), SIDE);
    size_t block = rows_of_cells * cells_of(rk_min(k, DEPTH)) * cell_of(parts);
    size_t bytes =
        block * sizeof(uint16_t) + rk_amx_panel_floats(precision, packed ? 0 : rk_min(k, DEPTH)) * sizeof(float);
    uint16_t small[SMALL] __attribute__((aligned(64))), *space = bytes <= sizeof small ? small : rk_alloc(bytes);
    if (!space && !packed) return false;
    float *own = (float *)(space + block);
    configure();
    for (size_t i = 0; i < m; i += ROWS)
        for (size_t p = 0; p < k; p += DEPTH) {
            size_t rows = rk_min(m - i, ROWS), depth = rk_min(k - p, DEPTH);
            rk_operand part = rk_slice(a, i, p);
            bool finite =
                space && pack_block(precision, part, rows, depth, space); // without memory the slow way serves
            for (size_t j = 0; j < n; j += SIDE) {
                target t = {
                    rows,
                    rk_min(n - j, SIDE),
                    depth,
                    out.alpha,
                    p == 0 ? out.beta : 1,
                    out.c + i * out.row + j,
                    out.row,
                    p == 0 && bias ? bias + j : NULL};
                const float *panel = packed ? packed + j / SIDE * rk_amx_panel_floats(precision, k) : own;
                if (!packed) rk_amx_pack(precision, rk_slice(b, p, j), depth, t.columns, own, depth, 0);
                size_t from = packed ? p : 0;
                const uint16_t *cells = cells_at(parts, panel, packed ? k : depth, from);
                if (finite && is_finite(panel, from, depth))
                    multiply_panel(precision, &t, space, cells);
                else
                    multiply_special(parts, t, part, cells);
            }
        }
    _tile_release();
    if (space && space != small) rk_free(space, bytes);
    return true;
}

#pragma clang attribute pop
