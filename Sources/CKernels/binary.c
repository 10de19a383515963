// Functions of two elements over broadcast shapes.
#include <string.h>

#include "kernels/elementwise.h"
#include "kernels/threads.h"
#include "private.h"
#include "simd/math.h"

// y[i] = op(a[i or 0], b[i or 0]) for i < n.
typedef void (*binary_loop)(const void *a, bool a_runs, const void *b, bool b_runs, void *y, size_t n);

#define RK_BODY "binary.inc"
#include "simd/levels.h"

// Rows shorter than this are laid out in a buffer first, so that the loops stay long.
#define SHORT_ROW 64
#define BUFFER 1024

// MARK: - The plain forms

// What derivatives of x s(z) are made of, s the logistic function and z a function of x: x itself for silu, a cubic for
// gelu. ds = s (1 - s) comes from e = exp(-|z|), since 1 - s would lose digits.
typedef struct {
    double x, s, ds, dz, ddz;
} gate;

static gate gate_at(double x, double z, double dz, double ddz) {
    double e = exp(-fabs(z)), r = 1.0 / (1.0 + e);
    return (gate){x, z < 0.0 ? e * r : r, e * r * r, dz, ddz};
}

static double held(double x, double limit) { return x < -limit ? -limit : x > limit ? limit : x; }

static gate silu_gate(double x) {
    double c = held(x, 800.0);
    return gate_at(c, c, 1.0, 0.0);
}

static gate gelu_gate(double x) {
    double c = held(x, 40.0), k = 1.5957691216057308;
    return gate_at(c, k * (c + 0.044715 * c * c * c), k * (1.0 + 0.134145 * c * c), k * 0.26829 * c);
}

static double gate_slope(gate g) { return g.s + g.x * g.ds * g.dz; }

double rk_silu_slope_f64(double x) { return gate_slope(silu_gate(x)); }

static double gate_curve(gate g) { return g.ds * (2.0 * g.dz + g.x * ((1.0 - 2.0 * g.s) * g.dz * g.dz + g.ddz)); }

#define PLAIN(name, type, value) \
    static void name(const void *a, bool a_runs, const void *b, bool b_runs, void *y, size_t n) { \
        for (size_t i = 0; i < n; i++) { \
            type u = ((const type *)a)[a_runs ? i : 0], v = ((const type *)b)[b_runs ? i : 0]; \
            ((type *)y)[i] = (type)(value); \
        } \
    }

#define RK_BINARY(NAME, name, f64, f32) PLAIN(name##_f64, double, f64)
#define RK_BINARY_I32(NAME, name, type, form) PLAIN(name##_i32, type, form)
#include "kernels/binary.def"

static const binary_loop table_f64[RK_BINARY_COUNT] = {
#define RK_BINARY(NAME, name, f64, f32) [RK_##NAME] = name##_f64,
#include "kernels/binary.def"
};
static const binary_loop table_i32[RK_BINARY_COUNT] = {
#define RK_BINARY_I32(NAME, name, type, form) [RK_##NAME] = name##_i32,
#include "kernels/binary.def"
};

static binary_loop loop_for(rk_binary_op op, rk_dtype dtype) {
    return dtype == RK_F32 ? RK_DISPATCH(binary_table)[op] : dtype == RK_F64 ? table_f64[op] : table_i32[op];
}

// MARK: - Broadcasting

// An input with its strides in elements over the collapsed shape, 0 where it is repeated.
typedef struct {
    const char *data;
    size_t stride[RK_MAX_RANK];
    bool runs;  // adjacent along the last dimension
    bool whole; // as large as the output
} operand;

typedef struct {
    binary_loop loop;
    int rank;
    size_t size[RK_MAX_RANK], width, row, chunks;
    operand a, b;
    char *y;
} plan;

// Drops dimensions of one and merges those along which both inputs run on, or both repeat.
static void collapse(plan *p, int rank, const size_t *shape, const size_t *a_shape, const size_t *b_shape) {
    size_t a_next = 1, b_next = 1, a_step[RK_MAX_RANK], b_step[RK_MAX_RANK];
    for (int d = rank - 1; d >= 0; d--) {
        a_step[d] = a_shape[d] == 1 ? 0 : a_next;
        b_step[d] = b_shape[d] == 1 ? 0 : b_next;
        a_next *= a_shape[d], b_next *= b_shape[d];
    }
    p->rank = 0;
    for (int d = 0; d < rank; d++) {
        if (shape[d] == 1) continue;
        int last = p->rank - 1;
        bool merges =
            last >= 0 && p->a.stride[last] == a_step[d] * shape[d] && p->b.stride[last] == b_step[d] * shape[d];
        int to = merges ? last : p->rank++;
        p->size[to] = merges ? p->size[to] * shape[d] : shape[d];
        p->a.stride[to] = a_step[d], p->b.stride[to] = b_step[d];
    }
}

// The element where row `row` of an input begins.
static size_t row_start(const plan *p, const operand *o, size_t row) {
    size_t start = 0;
    for (int d = p->rank - 2; d > 0; d--) {
        start += row % p->size[d] * o->stride[d];
        row /= p->size[d];
    }
    return p->rank > 1 ? start + row * o->stride[0] : 0;
}

// Items are rows cut in chunks of RK_GRAIN elements.
static void long_rows_piece(void *context, size_t begin, size_t end) {
    const plan *p = context;
    for (size_t item = begin; item < end; item++) {
        size_t row = item / p->chunks, from = item % p->chunks * RK_GRAIN;
        size_t n = p->row - from < RK_GRAIN ? p->row - from : RK_GRAIN;
        size_t a = row_start(p, &p->a, row) + (p->a.runs ? from : 0);
        size_t b = row_start(p, &p->b, row) + (p->b.runs ? from : 0);
        p->loop(
            p->a.data + a * p->width, p->a.runs, p->b.data + b * p->width, p->b.runs,
            p->y + (row * p->row + from) * p->width, n);
    }
}

#define LAY_OUT(type) \
    for (size_t r = 0; r < rows; r++, to = (char *)to + p->row * sizeof(type)) { \
        const type *from = (const type *)o->data + row_start(p, o, begin + r); \
        for (size_t i = 0; i < p->row; i++) ((type *)to)[i] = from[o->runs ? i : 0]; \
    }

static void lay_out(const plan *p, const operand *o, size_t begin, size_t rows, void *to) {
    if (p->width == 8)
        LAY_OUT(uint64_t)
    else
        LAY_OUT(uint32_t)
}

// A row of an input that repeats along all the others: its layout serves every tile.
static bool repeats_row(const plan *p, const operand *o) { return p->rank == 2 && o->stride[0] == 0; }

static void short_rows_piece(void *context, size_t begin, size_t end) {
    const plan *p = context;
    _Alignas(64) uint64_t a[BUFFER], b[BUFFER];
    size_t tile = BUFFER / p->row;
    for (size_t row = begin; row < end; row += tile) {
        size_t rows = end - row < tile ? end - row : tile, offset = row * p->row * p->width;
        if (!p->a.whole && (row == begin || !repeats_row(p, &p->a))) lay_out(p, &p->a, row, rows, a);
        if (!p->b.whole && (row == begin || !repeats_row(p, &p->b))) lay_out(p, &p->b, row, rows, b);
        p->loop(
            p->a.whole ? p->a.data + offset : (const char *)a, true, p->b.whole ? p->b.data + offset : (const char *)b,
            true, p->y + offset, rows * p->row);
    }
}

void rk_binary(
    rk_binary_op op, rk_dtype dtype, int rank, const size_t *y_shape, const void *a, const size_t *a_shape,
    const void *b, const size_t *b_shape, void *y) {
    plan p = {.loop = loop_for(op, dtype), .width = dtype == RK_F64 ? 8 : 4, .y = y, .a.data = a, .b.data = b};
    size_t count = 1, a_count = 1, b_count = 1;
    for (int d = 0; d < rank; d++) count *= y_shape[d], a_count *= a_shape[d], b_count *= b_shape[d];
    if (count == 0 || p.loop == NULL) return;
    collapse(&p, rank, y_shape, a_shape, b_shape);
    if (p.rank == 0) p.size[0] = 1, p.a.stride[0] = p.b.stride[0] = 0, p.rank = 1;
    p.row = p.size[p.rank - 1];
    p.a.runs = p.a.stride[p.rank - 1] != 0, p.b.runs = p.b.stride[p.rank - 1] != 0;
    p.a.whole = a_count == count, p.b.whole = b_count == count;
    p.chunks = (p.row - 1) / RK_GRAIN + 1;
    if (p.rank > 1 && p.row < SHORT_ROW)
        rk_parallel_for(count / p.row, rk_rows_of_piece(p.row), short_rows_piece, &p);
    else
        rk_parallel_for(count / p.row * p.chunks, rk_rows_of_piece(p.row), long_rows_piece, &p);
}
