// Pooling over NHWC images: windows that overlap or not, nearest-neighbour upsampling, and its adjoint.
#include "kernels/pool.h"

#include <math.h>
#include <string.h>

#include "kernels/threads.h"
#include "private.h"

/// Pixels [begin, end).
typedef struct {
    size_t begin, end;
} span;

/// The pixels of a side of `size` that window i meets.
static span window_span(size_t i, size_t kernel, size_t stride, size_t pad, size_t size) {
    size_t begin = i * stride; // in padded pixels
    return (span){begin > pad ? begin - pad : 0, rk_min(begin + kernel - pad, size)};
}

static span window_rows(const rk_pool_shape *s, size_t i) {
    return window_span(i, s->kernel_h, s->stride_h, s->pad_h, s->h);
}

static span window_columns(const rk_pool_shape *s, size_t j) {
    return window_span(j, s->kernel_w, s->stride_w, s->pad_w, s->w);
}

/// How many rows of window i the mean counts.
static size_t counted_rows(const rk_pool_shape *s, size_t i) {
    if (s->count_padding) return rk_min(i * s->stride_h + s->kernel_h, s->h + 2 * s->pad_h) - i * s->stride_h;
    return window_rows(s, i).end - window_rows(s, i).begin;
}

static size_t counted_columns(const rk_pool_shape *s, size_t j) {
    if (s->count_padding) return rk_min(j * s->stride_w + s->kernel_w, s->w + 2 * s->pad_w) - j * s->stride_w;
    return window_columns(s, j).end - window_columns(s, j).begin;
}

/// The windows that meet pixel i.
static span windows_at(size_t i, size_t kernel, size_t stride, size_t pad, size_t windows) {
    size_t at = i + pad;
    return (span){at >= kernel ? (at - kernel) / stride + 1 : 0, rk_min(at / stride + 1, windows)};
}

/// The larger of two, NaN before all.
static inline __attribute__((always_inline)) float larger(float a, float b) { return a > b || a != a ? a : b; }

#define RK_BODY "pool.inc"
#include "simd/levels.h"

typedef struct {
    const rk_pool_shape *shape;
    const void *x;
    void *y;
} pool_job;

static size_t row_grain(const rk_pool_shape *s, size_t width) {
    return rk_rows_of_piece(width * s->c * rk_max(1, s->kernel_h * s->kernel_w / 4));
}

// MARK: - The largest

static void max_rows_f32(void *context, size_t begin, size_t end) {
    const pool_job *job = context;
    const rk_pool_shape *s = job->shape;
    for (size_t r = begin; r < end; r++) RK_DISPATCH(max_row)
    (s, (const float *)job->x + r / s->out_h * s->h * s->w * s->c, r % s->out_h, (float *)job->y + r * s->out_w * s->c);
}

/// The index in an image, from 0, of the largest of a window's channel c.
#define LARGEST(name, type) \
    static size_t name(const rk_pool_shape *s, const type *x, span rows, span columns, size_t c) { \
        size_t best = (rows.begin * s->w + columns.begin) * s->c + c; \
        for (size_t p = rows.begin; p < rows.end; p++) \
            for (size_t q = columns.begin; q < columns.end; q++) { \
                size_t at = (p * s->w + q) * s->c + c; \
                if (x[at] > x[best] || x[at] != x[at]) best = at; \
            } \
        return best; \
    }

/// Rows of windows: the largest elements, and their indices.
#define MAX_ROWS(name, largest, type, result, value) \
    static void name(void *context, size_t begin, size_t end) { \
        const pool_job *job = context; \
        const rk_pool_shape *s = job->shape; \
        for (size_t r = begin; r < end; r++) { \
            size_t image = r / s->out_h * s->h * s->w * s->c; \
            span rows = window_rows(s, r % s->out_h); \
            const type *x = (const type *)job->x + image; \
            result *y = (result *)job->y + r * s->out_w * s->c; \
            for (size_t j = 0; j < s->out_w; j++) \
                for (size_t c = 0; c < s->c; c++, y++) { \
                    size_t best = largest(s, x, rows, window_columns(s, j), c); \
                    *y = (value); \
                } \
        } \
    }

LARGEST(largest_f32, float)
LARGEST(largest_f64, double)
MAX_ROWS(max_rows_f64, largest_f64, double, double, x[best])
MAX_ROWS(index_rows_f32, largest_f32, float, int32_t, (int32_t)(image + best + 1))
MAX_ROWS(index_rows_f64, largest_f64, double, int32_t, (int32_t)(image + best + 1))

void rk_max_pool(rk_dtype dtype, const rk_pool_shape *s, const void *x, void *y) {
    pool_job job = {s, x, y};
    rk_parallel_for(s->n * s->out_h, row_grain(s, s->out_w), dtype == RK_F64 ? max_rows_f64 : max_rows_f32, &job);
}

void rk_max_pool_index(rk_dtype dtype, const rk_pool_shape *s, const void *x, int32_t *index) {
    pool_job job = {s, x, index};
    rk_parallel_for(s->n * s->out_h, row_grain(s, s->out_w), dtype == RK_F64 ? index_rows_f64 : index_rows_f32, &job);
}

// MARK: - The mean

static void avg_rows_f32(void *context, size_t begin, size_t end) {
    const pool_job *job = context;
    const rk_pool_shape *s = job->shape;
    for (size_t r = begin; r < end; r++) RK_DISPATCH(avg_row)
    (s, (const float *)job->x + r / s->out_h * s->h * s->w * s->c, r % s->out_h, (float *)job->y + r * s->out_w * s->c);
}

static void avg_rows_f64(void *context, size_t begin, size_t end) {
    const pool_job *job = context;
    const rk_pool_shape *s = job->shape;
    for (size_t r = begin; r < end; r++)
        for (size_t j = 0; j < s->out_w; j++)
            for (size_t c = 0; c < s->c; c++) {
                span rows = window_rows(s, r % s->out_h), columns = window_columns(s, j);
                const double *x = (const double *)job->x + r / s->out_h * s->h * s->w * s->c + c;
                double sum = 0;
                for (size_t p = rows.begin; p < rows.end; p++)
                    for (size_t q = columns.begin; q < columns.end; q++) sum += x[(p * s->w + q) * s->c];
                ((double *)job->y)[(r * s->out_w + j) * s->c + c] =
                    sum / (double)(counted_rows(s, r % s->out_h) * counted_columns(s, j));
            }
}

void rk_avg_pool(rk_dtype dtype, const rk_pool_shape *s, const void *x, void *y) {
    pool_job job = {s, x, y};
    rk_parallel_for(s->n * s->out_h, row_grain(s, s->out_w), dtype == RK_F64 ? avg_rows_f64 : avg_rows_f32, &job);
}

static void add_scaled_f64(size_t count, double scale, const double *gy, double *gx) {
    for (size_t l = 0; l < count; l++) gx[l] += scale * gy[l];
}

/// Rows of x: each pixel sums the gradients of the windows that meet it.
#define AVG_GRAD_ROWS(name, type, add) \
    static void name(void *context, size_t begin, size_t end) { \
        const pool_job *job = context; \
        const rk_pool_shape *s = job->shape; \
        for (size_t r = begin; r < end; r++) { \
            const type *gy = (const type *)job->x + r / s->h * s->out_h * s->out_w * s->c; \
            type *gx = (type *)job->y + r * s->w * s->c; \
            span rows = windows_at(r % s->h, s->kernel_h, s->stride_h, s->pad_h, s->out_h); \
            memset(gx, 0, s->w * s->c * sizeof(type)); \
            for (size_t q = 0; q < s->w; q++, gx += s->c) { \
                span columns = windows_at(q, s->kernel_w, s->stride_w, s->pad_w, s->out_w); \
                for (size_t i = rows.begin; i < rows.end; i++) \
                    for (size_t j = columns.begin; j < columns.end; j++) \
                        add(s->c, (type)(1 / (double)(counted_rows(s, i) * counted_columns(s, j))), \
                            gy + (i * s->out_w + j) * s->c, gx); \
            } \
        } \
    }

AVG_GRAD_ROWS(avg_grad_rows_f32, float, RK_DISPATCH(add_scaled))
AVG_GRAD_ROWS(avg_grad_rows_f64, double, add_scaled_f64)

void rk_avg_pool_input_grad(rk_dtype dtype, const rk_pool_shape *s, const void *gy, void *gx) {
    pool_job job = {s, gy, gx};
    rk_parallel_for(s->n * s->h, row_grain(s, s->w), dtype == RK_F64 ? avg_grad_rows_f64 : avg_grad_rows_f32, &job);
}

// MARK: - Blocks

typedef struct {
    size_t element, w, c, factor;
    const char *x;
    char *y;
} block_job;

/// Input rows [begin, end): each becomes `factor` equal output rows.
static void upsample_rows(void *context, size_t begin, size_t end) {
    const block_job *job = context;
    size_t pixel = job->c * job->element, row = job->w * pixel, wide = row * job->factor;
    for (size_t r = begin; r < end; r++) {
        char *first = job->y + r * job->factor * wide, *y = first;
        for (size_t i = 0; i < job->w; i++)
            for (size_t f = 0; f < job->factor; f++, y += pixel) memcpy(y, job->x + r * row + i * pixel, pixel);
        for (size_t f = 1; f < job->factor; f++) memcpy(first + f * wide, first, wide);
    }
}

void rk_upsample_nearest(rk_dtype dtype, const rk_block_shape *s, const void *x, void *y) {
    if (s->factor == 0) return;
    block_job job = {dtype == RK_F64 ? 8 : 4, s->w, s->c, s->factor, x, y};
    rk_parallel_for(s->n * s->h, rk_rows_of_piece(s->w * s->c * s->factor), upsample_rows, &job);
}

#define SUM_ROWS(name, type) \
    static void name(void *context, size_t begin, size_t end) { \
        const block_job *job = context; \
        size_t c = job->c, wide = job->w * job->factor * c; \
        for (size_t r = begin; r < end; r++) \
            for (size_t i = 0; i < job->w; i++) { \
                type *restrict y = (type *)job->y + (r * job->w + i) * c; \
                const type *square = (const type *)job->x + r * job->factor * wide + i * job->factor * c; \
                memset(y, 0, c * sizeof(type)); \
                for (size_t f = 0; f < job->factor * job->factor; f++) { \
                    const type *x = square + f / job->factor * wide + f % job->factor * c; \
                    for (size_t j = 0; j < c; j++) y[j] += x[j]; \
                } \
            } \
    }

SUM_ROWS(sum_rows_f32, float)
SUM_ROWS(sum_rows_f64, double)

void rk_sum_blocks(rk_dtype dtype, const rk_block_shape *s, const void *x, void *y) {
    block_job job = {0, s->w, s->c, s->factor, x, y};
    size_t grain = rk_rows_of_piece(s->w * s->c * s->factor * s->factor);
    rk_parallel_for(s->n * s->h, grain, dtype == RK_F64 ? sum_rows_f64 : sum_rows_f32, &job);
}
