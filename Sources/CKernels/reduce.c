// Reductions of the middle dimension of [outer, n, inner].
#include "kernels/reduce.h"

#include "kernels/elementwise.h"
#include "kernels/threads.h"
#include "private.h"
#include "order.h"
#include "simd/math.h"

// The larger of two, NaN before all; minima are maxima of the negated.
static inline __attribute__((always_inline)) float larger(float a, float b) { return a > b || a != a ? a : b; }

#define RK_BODY "reduce.inc"
#include "simd/levels.h"

// A reduction of more elements is cut in at most PARTS parts of whole multiples of PART elements.
#define PART 65536
#define PARTS 64
// Columns are reduced this many at a time.
#define TILE 256
#define COLUMN_PARTS 16

typedef struct {
    rk_reduce_op op;
    rk_dtype dtype;
    const void *x;
    void *y;
    size_t outer, n, inner;
    size_t part;  // elements (or rows) of a part
    size_t tiles; // of columns
    size_t item;  // the tile whose parts are being reduced
    double *partial;
    bool squares, largest;
} plan;

static size_t part_of(size_t n, size_t least, size_t most) {
    size_t parts = (n - 1) / least + 1;
    return parts <= most ? least : ((n - 1) / most / least + 1) * least;
}

static double combine(rk_reduce_op op, double a, double b) {
    if (op == RK_REDUCE_SUM) return a + b;
    return op == RK_REDUCE_MAX ? (a > b || a != a ? a : b) : (a < b || a != a ? a : b);
}

static double nothing(rk_reduce_op op) {
    return op == RK_REDUCE_SUM ? 0.0 : op == RK_REDUCE_MAX ? -INFINITY : INFINITY;
}

// MARK: - Rows of adjacent elements

static double reduce_run(const plan *p, const float *x, size_t n) {
    if (p->squares) return RK_DISPATCH(sum_squares_run)(x, n);
    if (p->op == RK_REDUCE_SUM) return RK_DISPATCH(sum_run)(x, n);
    return p->op == RK_REDUCE_MAX ? RK_DISPATCH(largest_run)(x, n) : RK_DISPATCH(smallest_run)(x, n);
}

static void part_piece(void *context, size_t begin, size_t end) {
    const plan *p = context;
    p->partial[begin / p->part] = reduce_run(p, (const float *)p->x + begin, end - begin);
}

// One long run: parts by threads, joined in order.
static double reduce_long(plan *p, const float *x, size_t n) {
    double partial[PARTS], total = nothing(p->op);
    if (n == 0) return total;
    p->x = x, p->partial = partial, p->part = part_of(n, PART, PARTS);
    rk_parallel_for(n, p->part, part_piece, p);
    for (size_t i = 0; i < (n - 1) / p->part + 1; i++) total = combine(p->op, total, partial[i]);
    return total;
}

static void rows_piece(void *context, size_t begin, size_t end) {
    const plan *p = context;
    RK_DISPATCH(reduce_rows)
    (p->op, (const float *)p->x + begin * p->n, (float *)p->y + begin, end - begin, p->n);
}

static void reduce_rows(plan *p) {
    const float *x = p->x;
    if (p->n > PART)
        for (size_t o = 0; o < p->outer; o++) ((float *)p->y)[o] = (float)reduce_long(p, x + o * p->n, p->n);
    else
        rk_parallel_for(p->outer, p->n < RK_GRAIN ? RK_GRAIN / (p->n + 1) + 1 : 1, rows_piece, p);
}

static void arg_rows_piece(void *context, size_t begin, size_t end) {
    const plan *p = context;
    RK_DISPATCH(arg_rows)
    (p->largest, (const float *)p->x + begin * p->n, (int32_t *)p->y + begin, end - begin, p->n);
}

void rk_arg_rows(bool largest, const float *x, int32_t *y, size_t rows, size_t n) {
    plan p = {.largest = largest, .x = x, .y = y, .n = n};
    rk_parallel_for(rows, n < RK_GRAIN ? RK_GRAIN / (n + 1) + 1 : 1, arg_rows_piece, &p);
}

// MARK: - Columns

// Reduces rows [begin, end) of one tile of columns into total. Narrow columns are taken several rows at a time, as if
// they were one wider row.
static void reduce_tile(const plan *p, size_t item, size_t begin, size_t end, double *total) {
    size_t first = item % p->tiles * TILE, width = p->inner - first < TILE ? p->inner - first : TILE;
    const float *x = (const float *)p->x + (item / p->tiles * p->n + begin) * p->inner + first;
    size_t rows = end - begin, fold = p->inner <= TILE / 4 ? TILE / p->inner : 1;
    if (fold > rows) fold = rows;
    size_t folded = rows / fold, left = rows % fold;
    double sum[TILE];
    float extreme[TILE], sign = p->op == RK_REDUCE_MIN ? -1.0f : 1.0f;
    for (size_t i = 0; i < width * fold; i++) sum[i] = 0.0, extreme[i] = -INFINITY;
    if (p->op == RK_REDUCE_SUM) {
        RK_DISPATCH(sum_columns)(x, folded, p->inner * fold, width * fold, sum);
        RK_DISPATCH(sum_columns)(x + folded * fold * p->inner, left, p->inner, width, sum);
    } else {
        RK_DISPATCH(largest_columns)(x, folded, p->inner * fold, width * fold, sign, extreme);
        RK_DISPATCH(largest_columns)(x + folded * fold * p->inner, left, p->inner, width, sign, extreme);
        for (size_t i = 0; i < width * fold; i++) sum[i] = (double)(sign * extreme[i]);
    }
    for (size_t f = 0; f < fold; f++)
        for (size_t i = 0; i < width; i++) total[i] = combine(p->op, total[i], sum[f * width + i]);
}

static void clear_totals(const plan *p, double *total, size_t count) {
    for (size_t i = 0; i < count; i++) total[i] = nothing(p->op);
}

static void store_totals(const plan *p, size_t item, const double *total) {
    size_t first = item % p->tiles * TILE, width = p->inner - first < TILE ? p->inner - first : TILE;
    float *y = (float *)p->y + item / p->tiles * p->inner + first;
    for (size_t i = 0; i < width; i++) y[i] = (float)total[i];
}

static void tile_piece(void *context, size_t begin, size_t end) {
    const plan *p = context;
    for (size_t item = begin; item < end; item++) {
        double total[TILE], part[TILE];
        size_t width = p->inner < TILE ? p->inner : TILE;
        clear_totals(p, total, width);
        for (size_t row = 0; row < p->n; row += p->part) {
            clear_totals(p, part, width);
            reduce_tile(p, item, row, p->n - row < p->part ? p->n : row + p->part, part);
            for (size_t i = 0; i < width; i++) total[i] = combine(p->op, total[i], part[i]);
        }
        store_totals(p, item, total);
    }
}

static void column_part_piece(void *context, size_t begin, size_t end) {
    const plan *p = context;
    reduce_tile(p, p->item, begin, end, p->partial + begin / p->part * TILE);
}

// Few tiles of many rows: the parts of each tile go to threads, and are joined in the order of tile_piece.
static void reduce_tall(plan *p, size_t items) {
    double partial[COLUMN_PARTS * TILE], total[TILE];
    p->partial = partial;
    for (p->item = 0; p->item < items; p->item++) {
        clear_totals(p, partial, COLUMN_PARTS * TILE);
        rk_parallel_for(p->n, p->part, column_part_piece, p);
        clear_totals(p, total, TILE);
        for (size_t part = 0; part * p->part < p->n; part++)
            for (size_t i = 0; i < TILE; i++) total[i] = combine(p->op, total[i], partial[part * TILE + i]);
        store_totals(p, p->item, total);
    }
}

static void reduce_columns(plan *p) {
    p->tiles = (p->inner - 1) / TILE + 1;
    size_t items = p->outer * p->tiles, width = p->inner < TILE ? p->inner : TILE;
    p->part = part_of(p->n, RK_GRAIN / width, COLUMN_PARTS);
    if (items < 16 && p->n > p->part)
        reduce_tall(p, items);
    else
        rk_parallel_for(items, rk_rows_of_piece(p->n * width), tile_piece, p);
}

// MARK: - The plain forms

static void plain_f64(const plan *p, size_t o) {
    const double *x = (const double *)p->x + o * p->n * p->inner;
    double *y = (double *)p->y + o * p->inner;
    for (size_t i = 0; i < p->inner; i++) y[i] = nothing(p->op);
    for (size_t j = 0; j < p->n; j++, x += p->inner)
        for (size_t i = 0; i < p->inner; i++) y[i] = combine(p->op, y[i], x[i]);
}

static void plain_i32(const plan *p, size_t o) {
    const int32_t *x = (const int32_t *)p->x + o * p->n * p->inner;
    int32_t *y = (int32_t *)p->y + o * p->inner, start = p->op == RK_REDUCE_MAX ? INT32_MIN : INT32_MAX;
    for (size_t i = 0; i < p->inner; i++) y[i] = p->op == RK_REDUCE_SUM ? 0 : start;
    for (size_t j = 0; j < p->n; j++, x += p->inner)
        for (size_t i = 0; i < p->inner; i++)
            if (p->op == RK_REDUCE_SUM)
                y[i] = (int32_t)((uint32_t)y[i] + (uint32_t)x[i]);
            else if (p->op == RK_REDUCE_MAX ? x[i] > y[i] : x[i] < y[i])
                y[i] = x[i];
}

static void plain_piece(void *context, size_t begin, size_t end) {
    const plan *p = context;
    for (size_t o = begin; o < end; o++) (p->dtype == RK_F64 ? plain_f64 : plain_i32)(p, o);
}

static size_t rows_a_piece(const plan *p) {
    size_t elements = p->n * p->inner;
    return elements < RK_GRAIN ? RK_GRAIN / (elements + 1) + 1 : 1;
}

void rk_reduce(rk_reduce_op op, rk_dtype dtype, const void *x, void *y, size_t outer, size_t n, size_t inner) {
    plan p = {.op = op, .dtype = dtype, .x = x, .y = y, .outer = outer, .n = n, .inner = inner};
    if (outer == 0 || inner == 0) return;
    if (dtype != RK_F32)
        rk_parallel_for(outer, rows_a_piece(&p), plain_piece, &p);
    else if (n == 0)
        rk_fill(RK_F32, nothing(op), y, outer * inner);
    else if (inner == 1)
        reduce_rows(&p);
    else
        reduce_columns(&p);
}

// MARK: - The whole array

static double sum_squares_f64(const double *x, size_t count) {
    double total = 0.0;
    for (size_t i = 0; i < count; i++) total += x[i] * x[i];
    return total;
}

double rk_sum_squares(rk_dtype dtype, const void *x, size_t count) {
    if (dtype == RK_F64) return sum_squares_f64(x, count);
    if (dtype == RK_F32) return reduce_long(&(plan){.op = RK_REDUCE_SUM, .squares = true}, x, count);
    double total = 0.0;
    for (size_t i = 0; i < count; i++) total += (double)((const int32_t *)x)[i] * ((const int32_t *)x)[i];
    return total;
}

static void nonfinite_piece(void *context, size_t begin, size_t end) {
    const plan *p = context;
    p->partial[begin / p->part] = (double)RK_DISPATCH(nonfinite_run)((const float *)p->x + begin, end - begin);
}

size_t rk_count_nonfinite(rk_dtype dtype, const void *x, size_t count) {
    size_t total = 0;
    for (size_t i = 0; dtype == RK_F64 && i < count; i++) total += !(fabs(((const double *)x)[i]) < INFINITY);
    if (dtype != RK_F32 || count == 0) return total;
    double partial[PARTS];
    plan p = {.x = x, .partial = partial, .part = part_of(count, PART, PARTS)};
    rk_parallel_for(count, p.part, nonfinite_piece, &p);
    for (size_t i = 0; i < (count - 1) / p.part + 1; i++) total += (size_t)partial[i];
    return total;
}
