// A matrix product for blocks that fit the cache. The innermost kernel keeps MICRO_ROWS x 2 vectors of C in registers,
// reads B from a panel of 2 vectors' columns, packed unless few rows use it, and A where it lies.

typedef float RK_LEVEL(vector) __attribute__((vector_size(RK_VECTOR_BYTES), aligned(4), may_alias));
#define VECTOR RK_LEVEL(vector)
#define LANES (RK_VECTOR_BYTES / 4)
#define PANEL (2 * LANES)
#define MICRO_ROWS (RK_VECTOR_BYTES == 64 ? 12 : 6)   // of 32 or 16 registers all but a few
#define DEPTH (RK_VECTOR_BYTES == 64 ? 256 : 384)     // inner indices of a block: a panel takes most of the first cache
#define COPY_ROW (DEPTH + 16)                         // not all copied rows in the same cache sets
#define STRIP (RK_TURNED_DEPTH * MICRO_ROWS + 16)     // nor all strips
#define FROM(pointer) (*(const VECTOR *)(pointer))

/// Where C's tile goes: C = alpha sum + beta C over the first `columns`.
#ifndef RK_GEMM_TARGET
#define RK_GEMM_TARGET
typedef struct {
    float alpha, beta, *c;
    size_t row, columns;
} gemm_target;

/// A block of op(A) as the kernel walks it: from row to row, from column to column, and from tile to tile where it lies in
/// strips of a tile's rows (otherwise 0).
typedef struct {
    const float *data;
    size_t row, column, strip;
} gemm_block;
#endif

RK_INLINE void RK_LEVEL(store_tile)(size_t rows, VECTOR sum[][2], const gemm_target *t, float *c) {
    if (t->columns == PANEL) {
#pragma clang loop unroll(full)
        for (size_t i = 0; i < rows; i++)
            for (size_t v = 0; v < 2; v++) {
                VECTOR *to = (VECTOR *)(c + i * t->row + v * LANES);
                *to = t->beta == 0 ? t->alpha * sum[i][v] : t->alpha * sum[i][v] + t->beta * *to;
            }
        return;
    }
    float spare[MICRO_ROWS][PANEL];
#pragma clang loop unroll(full)
    for (size_t i = 0; i < rows; i++)
        for (size_t v = 0; v < 2; v++) *(VECTOR *)&spare[i][v * LANES] = t->alpha * sum[i][v];
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < t->columns; j++) {
            float *to = c + i * t->row + j;
            *to = t->beta == 0 ? spare[i][j] : spare[i][j] + t->beta * *to;
        }
}

/// `rows`, and one of `a_row` and `a_step`, are constants wherever this is inlined. Each row has a pointer of its own: one
/// that wandered over the rows would make every load wait for the last.
RK_INLINE void RK_LEVEL(micro_tile)(
    size_t rows, size_t depth, const float *a, size_t a_row, size_t a_step, const float *b, size_t b_step,
    const gemm_target *t, float *c) {
    VECTOR sum[MICRO_ROWS][2];
    const float *row[MICRO_ROWS];
#pragma clang loop unroll(full)
    for (size_t i = 0; i < rows; i++) sum[i][0] = sum[i][1] = (VECTOR){0}, row[i] = a + i * a_row;
#pragma clang loop unroll(disable)
    for (size_t p = 0; p < depth; p++, b += b_step) {
        VECTOR b0 = FROM(b), b1 = FROM(b + LANES);
#pragma clang loop unroll(full)
        for (size_t i = 0; i < rows; i++) {
            float x = row[i][p * a_step];
            sum[i][0] += x * b0;
            sum[i][1] += x * b1;
        }
    }
    RK_LEVEL(store_tile)(rows, sum, t, c);
}

// Everything in words of their own: an argument read back in wider pieces than it was written in waits for all stores
// before it, those of the last tile of C among them.
#define MICRO(rows) \
    static void RK_LEVEL(micro_##rows)( \
        size_t depth, const float *a, size_t a_row, size_t a_step, const float *b, size_t b_step, \
        const gemm_target *t, float *c) { \
        if (a_step == 1) \
            RK_LEVEL(micro_tile)(rows, depth, a, a_row, 1, b, b_step, t, c); \
        else \
            RK_LEVEL(micro_tile)(rows, depth, a, 1, a_step, b, b_step, t, c); \
    }
MICRO(1) MICRO(2) MICRO(3) MICRO(4) MICRO(5) MICRO(6)
#if RK_VECTOR_BYTES == 64
MICRO(7) MICRO(8) MICRO(9) MICRO(10) MICRO(11) MICRO(12)
#endif
#undef MICRO

static void (*const RK_LEVEL(micro)[])(
    size_t depth, const float *a, size_t a_row, size_t a_step, const float *b, size_t b_step, const gemm_target *t,
    float *c) = {
    NULL, RK_LEVEL(micro_1), RK_LEVEL(micro_2), RK_LEVEL(micro_3), RK_LEVEL(micro_4), RK_LEVEL(micro_5),
    RK_LEVEL(micro_6),
#if RK_VECTOR_BYTES == 64
    RK_LEVEL(micro_7), RK_LEVEL(micro_8), RK_LEVEL(micro_9), RK_LEVEL(micro_10), RK_LEVEL(micro_11), RK_LEVEL(micro_12),
#endif
};

/// The rows of tile i of those, nearly equal, that m rows are divided into.
RK_INLINE size_t RK_LEVEL(tile_rows)(size_t m, size_t tiles, size_t i) { return m / tiles + (i < m % tiles); }

/// All rows over one panel. Meanwhile the `depth` lines of `next`, which is packed next, come towards the cache: its rows lie
/// too far apart for the processor to foresee them.
static void RK_LEVEL(panel_rows)(
    size_t m, size_t depth, gemm_block a, const float *b, size_t b_step, const gemm_target *t, const float *next,
    size_t next_row) {
    size_t tiles = rk_ceil_div(m, MICRO_ROWS), share = next ? rk_ceil_div(depth, tiles) : 0;
    float *c = t->c;
    for (size_t i = 0; i < tiles; i++) {
        for (size_t q = i * share; q < rk_min(depth, (i + 1) * share); q++)
            for (size_t line = 0; line < PANEL; line += 16) __builtin_prefetch(next + q * next_row + line, 0, 2);
        size_t rows = RK_LEVEL(tile_rows)(m, tiles, i);
        RK_LEVEL(micro)[rows](depth, a.data, a.row, a.column, b, b_step, t, c);
        a.data += a.strip ? a.strip : rows * a.row, c += rows * t->row;
    }
}

/// panel [depth, PANEL] = op(B)'s rows from p and columns from j; missing columns become 0.
static void RK_LEVEL(pack_panel)(rk_operand b, size_t p, size_t depth, size_t j, size_t columns, float *panel) {
    if (!b.transpose) {
        const float *from = b.data + p * b.row + j;
        for (size_t q = 0; q < depth; q++, from += b.row, panel += PANEL) {
            if (columns == PANEL) {
                *(VECTOR *)panel = FROM(from);
                *(VECTOR *)(panel + LANES) = FROM(from + LANES);
                continue;
            }
            for (size_t i = 0; i < PANEL; i++) panel[i] = i < columns ? from[i] : 0;
        }
        return;
    }
    const float *from = b.data + j * b.row + p;
    rk_transpose(columns, depth, from, b.row, panel, PANEL);
    for (size_t q = 0; q < depth; q++)
        for (size_t i = columns; i < PANEL; i++) panel[q * PANEL + i] = 0;
}

/// A transposed block [depth, m] in strips of a tile's rows. All but the last are copied at full height, the compiler's
/// constant; what is too much there belongs to the next tile.
static void RK_LEVEL(pack_strips)(size_t m, size_t depth, const float *a, size_t row, float *strips) {
    size_t tiles = rk_ceil_div(m, MICRO_ROWS), last = RK_LEVEL(tile_rows)(m, tiles, tiles - 1);
    for (size_t p = 0; p < depth; p++, a += row, strips += MICRO_ROWS) {
        const float *from = a;
        float *to = strips;
        for (size_t i = 0; i + 1 < tiles; i++, to += STRIP) {
            memcpy(to, from, MICRO_ROWS * sizeof(float));
            from += RK_LEVEL(tile_rows)(m, tiles, i);
        }
        memcpy(to, from, last * sizeof(float));
    }
}

/// op(A)'s columns [p, p + depth): where they lie, or copied to `space` (NULL without) so that rows do not displace each
/// other from the cache.
static gemm_block RK_LEVEL(block)(rk_operand a, size_t m, size_t p, size_t depth, float *space) {
    a = rk_slice(a, 0, p);
    if (!space) return a.transpose ? (gemm_block){a.data, 1, a.row, 0} : (gemm_block){a.data, a.row, 1, 0};
    if (a.transpose) {
        RK_LEVEL(pack_strips)(m, depth, a.data, a.row, space);
        return (gemm_block){space, 1, MICRO_ROWS, STRIP};
    }
    for (size_t r = 0; r < m; r++) memcpy(space + r * COPY_ROW, a.data + r * a.row, depth * sizeof(float));
    return (gemm_block){space, COPY_ROW, 1, 0};
}

/// What `block` needs for the largest.
static size_t RK_LEVEL(space_floats)(bool transpose) {
    return transpose ? rk_ceil_div(RK_TURNED_ROWS, MICRO_ROWS) * STRIP : RK_BLOCK_ROWS * COPY_ROW;
}

/// C = alpha op(A) op(B) + beta C. Where `packed` is given it is B in panels; `space` is NULL or takes copies of A.
static void RK_LEVEL(gemm)(
    size_t m, size_t n, size_t k, float alpha, rk_operand a, rk_operand b, const float *packed, float beta, float *c,
    size_t ldc, float *space) {
    float panel[DEPTH * PANEL] __attribute__((aligned(64)));
    size_t most = rk_ceil_div(k, rk_ceil_div(k, a.transpose ? RK_TURNED_DEPTH : DEPTH));
    bool lies = !packed && !b.transpose, foresee = lies && m >= 128;   // of few rows it costs what it saves
    for (size_t p = 0; p < k; p += most) {
        size_t depth = rk_min(k - p, most);
        gemm_block part = RK_LEVEL(block)(a, m, p, depth, space);
        for (size_t j = 0; j < n; j += PANEL) {
            gemm_target t = {alpha, p == 0 ? beta : 1, c + j, ldc, rk_min(n - j, PANEL)};
            const float *from = packed ? packed + j * k + p * PANEL : panel;
            const float *next = foresee && j + PANEL < n ? b.data + p * b.row + j + PANEL : NULL;
            bool direct = lies && t.columns == PANEL
                && (m <= 2 * MICRO_ROWS || depth * b.row <= 8192);   // read seldom, or small
            if (direct)
                from = b.data + p * b.row + j;
            else if (!packed)
                RK_LEVEL(pack_panel)(b, p, depth, j, t.columns, panel);
            RK_LEVEL(panel_rows)(m, depth, part, from, direct ? b.row : PANEL, &t, next, b.row);
        }
    }
}

/// Products of rows of A with rows of B: c[i, j] = alpha a_i . b_j + beta c[i, j]. For few rows or columns nothing
/// needs packing. `rows` and `columns` are constants.
RK_INLINE void RK_LEVEL(dot_tile)(
    size_t rows, size_t columns, size_t k, const float *a, size_t a_row, const float *b, size_t b_row,
    const gemm_target *t, float *c) {
    VECTOR sum[2][4] = {0};
    size_t p = 0;
    for (; p + LANES <= k; p += LANES)
#pragma clang loop unroll(full)
        for (size_t i = 0; i < rows; i++)
#pragma clang loop unroll(full)
            for (size_t j = 0; j < columns; j++) sum[i][j] += FROM(a + i * a_row + p) * FROM(b + j * b_row + p);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++) {
            float total = 0, *to = c + i * t->row + j;
            for (size_t q = p; q < k; q++) total += a[i * a_row + q] * b[j * b_row + q];
            for (size_t half = LANES / 2; half; half /= 2)
                for (size_t l = 0; l < half; l++) sum[i][j][l] += sum[i][j][l + half];
            total = t->alpha * (total + sum[i][j][0]);
            *to = t->beta == 0 ? total : total + t->beta * *to;
        }
}

static void RK_LEVEL(gemm_dots)(
    size_t m, size_t n, size_t k, rk_operand a, rk_operand b, const gemm_target *t) {
    for (size_t j = 0; j < n; j += 4)
        for (size_t i = 0; i < m; i += 2) {
            size_t rows = rk_min(m - i, 2), columns = rk_min(n - j, 4);
            const float *row = a.data + i * a.row, *other = b.data + j * b.row;
            float *c = t->c + i * t->row + j;
#define TILE(r, s) \
    if (rows == r && columns == s) RK_LEVEL(dot_tile)(r, s, k, row, a.row, other, b.row, t, c)
            TILE(2, 4);
            TILE(2, 3);
            TILE(2, 2);
            TILE(2, 1);
            TILE(1, 4);
            TILE(1, 3);
            TILE(1, 2);
            TILE(1, 1);
#undef TILE
        }
}

static size_t RK_LEVEL(panel_columns)(void) { return PANEL; }

#undef VECTOR
#undef LANES
#undef PANEL
#undef MICRO_ROWS
#undef DEPTH
#undef COPY_ROW
#undef STRIP
#undef FROM
