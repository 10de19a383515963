// Convolution over NHWC images with a group for each channel: no products of matrices, but sums of a few pixels, which
// are over as soon as the pixels are read.
#include <string.h>

#include "kernels/memory.h"
#include "kernels/threads.h"
#include "private.h"
#include "simd/transpose.h"

/// From `begin` to before `end`.
typedef struct {
    size_t begin, end;
} span;

/// For each pixel (i, j) of a grid, the sum over a rectangle of taps from source pixel (step_h i + top, step_w j +
/// left) on. The sums go to pixels of y that are `spread` apart.
typedef struct {
    const float *x, *bias;
    float *y;
    size_t h, w, c, grid_h, grid_w, step_h, step_w;
    ptrdiff_t top, left;
    size_t tall, wide;
    const float *weight;      // of the first tap, [c]
    ptrdiff_t next_h, next_w; // floats to that of the next
    size_t spread_h, spread_w, y_h, y_w, first_row, first_column;
} depthwise;

/// A row of the grid over one image.
typedef struct {
    const depthwise *job;
    span taps, inner; // rows of taps that meet the image; columns all of whose taps do
    const float *x;   // the first tap of the first column
    float *y;
} grid_row;

/// The taps that meet a side of `size` pixels, of `count` from pixel `start` on.
static span meeting_taps(ptrdiff_t start, size_t count, size_t size) {
    size_t begin = start < 0 ? rk_min((size_t)-start, count) : 0;
    size_t end = start >= (ptrdiff_t)size ? 0 : rk_min(count, (size_t)((ptrdiff_t)size - start));
    return (span){begin, rk_max(begin, end)};
}

static span column_taps(const depthwise *job, size_t j) {
    return meeting_taps((ptrdiff_t)(job->step_w * j) + job->left, job->wide, job->w);
}

static span inner_columns(const depthwise *job) {
    ptrdiff_t past = (ptrdiff_t)job->w - job->left - (ptrdiff_t)job->wide;
    size_t begin = job->left < 0 ? rk_ceil_div((size_t)-job->left, job->step_w) : 0;
    return (span){begin, past < 0 ? 0 : rk_min(job->grid_w, (size_t)past / job->step_w + 1)};
}

static const float *tap_weight(const depthwise *job, size_t p, size_t q) {
    return job->weight + (ptrdiff_t)p * job->next_h + (ptrdiff_t)q * job->next_w;
}

#define RK_BODY "depthwise.inc"
#include "simd/levels.h"

static void depthwise_rows(void *context, size_t begin, size_t end) {
    const depthwise *job = context;
    span inner = inner_columns(job);
    for (size_t r = begin; r < end; r++) {
        size_t image = r / job->grid_h, i = r % job->grid_h;
        ptrdiff_t top = (ptrdiff_t)(job->step_h * i) + job->top;
        size_t row = image * job->y_h + job->first_row + job->spread_h * i;
        grid_row g = {
            .job = job,
            .taps = meeting_taps(top, job->tall, job->h),
            .inner = inner,
            .x = job->x + (((ptrdiff_t)(image * job->h) + top) * (ptrdiff_t)job->w + job->left) * (ptrdiff_t)job->c,
            .y = job->y + (row * job->y_w + job->first_column) * job->c};
        RK_DISPATCH(depthwise_row)(&g);
    }
}

static void run(const depthwise *job, size_t n) {
    size_t work = job->grid_w * job->c * rk_max(1, job->tall * job->wide / 4);
    rk_parallel_for(n * job->grid_h, rk_rows_of_piece(work), depthwise_rows, (void *)job);
}

/// weight [c, taps] -> [taps, c], in memory from rk_alloc.
static float *turned_weight(const rk_conv_shape *s, const float *weight, size_t *bytes) {
    size_t taps = s->kernel_h * s->kernel_w;
    *bytes = taps * s->c_in * sizeof(float);
    float *turned = rk_alloc(*bytes);
    if (turned) rk_transpose(s->c_in, taps, weight, taps, turned, s->c_in);
    return turned;
}

bool rk_depthwise_conv2d(const rk_conv_shape *s, const float *x, const float *weight, const float *bias, float *y) {
    size_t bytes;
    float *turned = turned_weight(s, weight, &bytes);
    if (!turned) return false;
    depthwise job = {
        .x = x,
        .bias = bias,
        .y = y,
        .h = s->h,
        .w = s->w,
        .c = s->c_in,
        .grid_h = s->out_h,
        .grid_w = s->out_w,
        .step_h = s->stride_h,
        .step_w = s->stride_w,
        .top = -(ptrdiff_t)s->pad_h,
        .left = -(ptrdiff_t)s->pad_w,
        .tall = s->kernel_h,
        .wide = s->kernel_w,
        .weight = turned,
        .next_h = (ptrdiff_t)(s->kernel_w * s->c_in),
        .next_w = (ptrdiff_t)s->c_in,
        .spread_h = 1,
        .spread_w = 1,
        .y_h = s->out_h,
        .y_w = s->out_w};
    run(&job, s->n);
    rk_free(turned, bytes);
    return true;
}

/// The input pixels of one phase of the stride see the same taps.
static void phase_input_grad(
    const rk_conv_shape *s, const float *gy, const float *turned, size_t row, size_t column, float *gx) {
    rk_taps rows = rk_taps_of_phase(s->kernel_h, s->stride_h, s->pad_h, row);
    rk_taps columns = rk_taps_of_phase(s->kernel_w, s->stride_w, s->pad_w, column);
    depthwise job = {
        .x = gy,
        .y = gx,
        .h = s->out_h,
        .w = s->out_w,
        .c = s->c_in,
        .grid_h = rk_ceil_div(s->h - row, s->stride_h),
        .grid_w = rk_ceil_div(s->w - column, s->stride_w),
        .step_h = 1,
        .step_w = 1,
        .top = rows.offset,
        .left = columns.offset,
        .tall = rows.count,
        .wide = columns.count,
        .weight = turned + (rows.last * s->kernel_w + columns.last) * s->c_in,
        .next_h = -(ptrdiff_t)(s->stride_h * s->kernel_w * s->c_in),
        .next_w = -(ptrdiff_t)(s->stride_w * s->c_in),
        .spread_h = s->stride_h,
        .spread_w = s->stride_w,
        .y_h = s->h,
        .y_w = s->w,
        .first_row = row,
        .first_column = column};
    run(&job, s->n);
}

bool rk_depthwise_input_grad(const rk_conv_shape *s, const float *gy, const float *weight, float *gx) {
    size_t bytes;
    float *turned = turned_weight(s, weight, &bytes);
    if (!turned) return false;
    for (size_t i = 0; i < rk_min(s->stride_h, s->h); i++)
        for (size_t j = 0; j < rk_min(s->stride_w, s->w); j++) phase_input_grad(s, gy, turned, i, j, gx);
    rk_free(turned, bytes);
    return true;
}

// MARK: - Weight gradient

/// Each part of the rows of y is summed by itself.
typedef struct {
    const rk_conv_shape *shape;
    const float *x, *gy;
    float *partial; // [parts, taps, c]
    size_t per_part;
} weight_grad_job;

/// The pixels of a row of y, `count` wide, that tap q meets in one of x.
static span meeting_columns(const rk_conv_shape *s, size_t q) {
    size_t begin = q < s->pad_w ? rk_ceil_div(s->pad_w - q, s->stride_w) : 0;
    size_t end = s->w + s->pad_w > q ? rk_ceil_div(s->w + s->pad_w - q, s->stride_w) : 0;
    return (span){begin, rk_max(begin, rk_min(end, s->out_w))};
}

static void add_row(const rk_conv_shape *s, size_t r, const float *x, const float *gy, float *sum) {
    size_t image = r / s->out_h, i = r % s->out_h, c = s->c_in;
    for (size_t p = 0; p < s->kernel_h; p++) {
        size_t row = i * s->stride_h + p - s->pad_h; // wraps around below 0
        if (row >= s->h) continue;
        for (size_t q = 0; q < s->kernel_w; q++) {
            span columns = meeting_columns(s, q);
            size_t first = (image * s->h + row) * s->w + columns.begin * s->stride_w + q - s->pad_w;
            RK_DISPATCH(add_products)
            (columns.end - columns.begin, c, x + first * c, s->stride_w * c, gy + (r * s->out_w + columns.begin) * c,
             sum + (p * s->kernel_w + q) * c);
        }
    }
}

static void weight_grad_parts(void *context, size_t begin, size_t end) {
    const weight_grad_job *job = context;
    const rk_conv_shape *s = job->shape;
    size_t count = s->kernel_h * s->kernel_w * s->c_in, rows = s->n * s->out_h;
    for (size_t part = begin; part < end; part++) {
        float *sum = job->partial + part * count;
        memset(sum, 0, count * sizeof(float));
        for (size_t r = part * job->per_part; r < rk_min((part + 1) * job->per_part, rows); r++)
            add_row(s, r, job->x, job->gy, sum);
    }
}

bool rk_depthwise_weight_grad(const rk_conv_shape *s, const float *x, const float *gy, float *gweight) {
    size_t taps = s->kernel_h * s->kernel_w, count = taps * s->c_in, rows = s->n * s->out_h;
    weight_grad_job job = {.shape = s, .x = x, .gy = gy, .per_part = rk_max(1, rk_ceil_div(rows, RK_PIECES))};
    if (rows == 0) {
        memset(gweight, 0, count * sizeof(float));
        return true;
    }
    size_t parts = rk_ceil_div(rows, job.per_part), bytes = (parts + 1) * count * sizeof(float);
    float *sum = rk_alloc(bytes);
    if (!sum) return false;
    job.partial = sum + count;
    rk_parallel_for(parts, 1, weight_grad_parts, &job);
    rk_sum_parts(parts, count, job.partial, false, sum);
    rk_transpose(taps, s->c_in, sum, s->c_in, gweight, taps);
    rk_free(sum, bytes);
    return true;
}
