// Convolution over NHWC images: 1x1 is a matrix product, 3x3 goes to Winograd's form where that pays, and the rest
// gathers blocks of pixels' neighbourhoods into a matrix that fits the cache and multiplies.
#include "kernels/conv.h"

#include <stdatomic.h>
#include <string.h>

#include "kernels/memory.h"
#include "kernels/threads.h"
#include "private.h"

/// Source images and, for each pixel (i, j) of a grid, a rectangle of source pixels from
/// (step_h i + top, step_w j + left).
typedef struct {
    const float *source;
    size_t n, h, w, c, grid_h, grid_w, step_h, step_w;
    ptrdiff_t top, left;
    size_t tall, wide;
} window;

/// The floats behind a gathered matrix that are written, too.
enum { RK_SLACK = 16 };

#define RK_BODY "conv.inc"
#include "simd/levels.h"

/// Grid pixels of a block: the gathered matrix takes about half of the second-level cache, and there are RK_PIECES
/// blocks where that leaves enough for each.
static size_t block_pixels(size_t total, size_t depth) {
    size_t fits = rk_max(48, 131072 / rk_max(1, depth)) / 16 * 16;
    return rk_max(32, rk_min(rk_min(fits, 1024), rk_round_up(rk_ceil_div(total, RK_PIECES), 16)));
}

// MARK: - Forward and input gradient

/// Multiplies each rectangle, as a row, by a matrix [depth, c_out]; the product's pixels are stored apart.
typedef struct {
    window view;
    rk_operand weight;
    const float *bias;
    float *packed, *y;
    rk_precision precision;
    size_t total, block, depth, c_out;
    size_t spread_h, spread_w, y_h, y_w, first_row, first_column; // the grid among y's pixels
    atomic_bool failed;
} correlation;

static float *spread_pixel(const correlation *job, size_t pixel) {
    size_t j = pixel % job->view.grid_w, i = pixel / job->view.grid_w % job->view.grid_h;
    size_t image = pixel / job->view.grid_w / job->view.grid_h;
    size_t row = job->first_row + job->spread_h * i, column = job->first_column + job->spread_w * j;
    return job->y + ((image * job->y_h + row) * job->y_w + column) * job->c_out;
}

static bool is_spread(const correlation *job) { return job->spread_h > 1 || job->spread_w > 1; }

static void correlate_block(const correlation *job, size_t begin, size_t end, float *gathered, float *product) {
    size_t count = end - begin, n = job->c_out;
    RK_DISPATCH(gather)(&job->view, 0, job->view.tall, begin, end, gathered);
    float *out = is_spread(job) ? product : job->y + begin * n;
    bool fused = job->packed && job->depth > 0;
    for (size_t p = 0; job->bias && !fused && p < count; p++) rk_copy_floats(out + p * n, job->bias, n);
    rk_operand rows = {gathered, job->depth, false};
    if (job->packed)
        rk_sgemm_packed(
            job->precision, count, n, job->depth, rows, job->packed, fused ? job->bias : NULL,
            (rk_output){out, n, 1, job->bias != NULL});
    else
        rk_sgemm(job->precision, count, n, job->depth, rows, job->weight, (rk_output){out, n, 1, job->bias != NULL});
    for (size_t p = 0; is_spread(job) && p < count; p++)
        rk_copy_floats(spread_pixel(job, begin + p), product + p * n, n);
}

static void correlate_piece(void *context, size_t begin, size_t end) {
    correlation *job = context;
    size_t gathered = rk_round_up(job->block * job->depth + RK_SLACK, 16);
    size_t bytes = (gathered + (is_spread(job) ? job->block * job->c_out : 0)) * sizeof(float);
    float *space = rk_alloc(bytes);
    if (!space) {
        atomic_store(&job->failed, true);
        return;
    }
    for (size_t b = begin; b < end; b++)
        correlate_block(job, b * job->block, rk_min((b + 1) * job->block, job->total), space, space + gathered);
    rk_free(space, bytes);
}

static bool correlate(correlation *job) {
    if (job->total == 0 || job->c_out == 0) return true;
    job->block = block_pixels(job->total, job->depth);
    size_t bytes = rk_packed_floats(job->precision, job->depth, job->c_out) * sizeof(float);
    if (job->c_out > 4) { // fewer columns go faster as dot products
        job->packed = rk_alloc(bytes);
        if (!job->packed) return false;
        rk_pack(job->precision, job->weight, job->depth, job->c_out, job->packed);
    }
    rk_parallel_for(rk_ceil_div(job->total, job->block), 1, correlate_piece, job);
    if (job->packed) rk_free(job->packed, bytes);
    return !atomic_load(&job->failed);
}

static bool is_pointwise(const rk_conv_shape *s) {
    return s->kernel_h == 1 && s->kernel_w == 1 && s->stride_h == 1 && s->stride_w == 1 && s->pad_h == 0
           && s->pad_w == 0;
}

bool rk_dense_conv2d(const rk_conv_shape *s, const float *x, const float *weight, const float *bias, float *y) {
    size_t total = s->n * s->out_h * s->out_w, depth = s->kernel_h * s->kernel_w * s->c_in;
    if (is_pointwise(s)) {
        rk_gemm_shape product = {
            .batch = 1,
            .m = total,
            .n = s->c_out,
            .k = depth,
            .transpose_b = true,
            .lda = depth,
            .ldb = depth,
            .ldc = s->c_out,
            .alpha = 1,
            .bias = bias,
            .precision = s->precision};
        rk_gemm(RK_F32, &product, x, weight, y);
        return true;
    }
    if (rk_winograd_suits(s)) return rk_winograd_conv2d(s, x, weight, bias, y);
    correlation job = {
        .view =
            {x, s->n, s->h, s->w, s->c_in, s->out_h, s->out_w, s->stride_h, s->stride_w, -(ptrdiff_t)s->pad_h,
             -(ptrdiff_t)s->pad_w, s->kernel_h, s->kernel_w},
        .weight = {weight, depth, true},
        .bias = bias,
        .y = y,
        .precision = s->precision,
        .total = total,
        .depth = depth,
        .c_out = s->c_out,
        .spread_h = 1,
        .spread_w = 1};
    return correlate(&job);
}

/// weight [c_out, kernel_h, kernel_w, c_in] -> [rows' taps, columns' taps, c_out, c_in], kernel indices descending.
static void turn_weight(const rk_conv_shape *s, const float *weight, rk_taps rows, rk_taps columns, float *turned) {
    for (size_t i = 0; i < rows.count; i++)
        for (size_t j = 0; j < columns.count; j++)
            for (size_t o = 0; o < s->c_out; o++, turned += s->c_in) {
                size_t row = rows.last - i * s->stride_h, column = columns.last - j * s->stride_w;
                rk_copy_floats(turned, weight + ((o * s->kernel_h + row) * s->kernel_w + column) * s->c_in, s->c_in);
            }
}

/// The input pixels of one phase of the stride see the same taps: their gradient is a correlation over gy.
static bool phase_input_grad(
    const rk_conv_shape *s, const float *gy, const float *weight, size_t row, size_t column, float *turned, float *gx) {
    rk_taps rows = rk_taps_of_phase(s->kernel_h, s->stride_h, s->pad_h, row);
    rk_taps columns = rk_taps_of_phase(s->kernel_w, s->stride_w, s->pad_w, column);
    turn_weight(s, weight, rows, columns, turned);
    size_t grid_h = rk_ceil_div(s->h - row, s->stride_h), grid_w = rk_ceil_div(s->w - column, s->stride_w);
    correlation job = {
        .view =
            {gy, s->n, s->out_h, s->out_w, s->c_out, grid_h, grid_w, 1, 1, rows.offset, columns.offset, rows.count,
             columns.count},
        .weight = {turned, s->c_in, false},
        .y = gx,
        .precision = s->precision,
        .total = s->n * grid_h * grid_w,
        .depth = rows.count * columns.count * s->c_out,
        .c_out = s->c_in,
        .spread_h = s->stride_h,
        .spread_w = s->stride_w,
        .y_h = s->h,
        .y_w = s->w,
        .first_row = row,
        .first_column = column};
    return correlate(&job);
}

bool rk_dense_input_grad(const rk_conv_shape *s, const float *gy, const float *weight, float *gx) {
    if (is_pointwise(s)) {
        rk_gemm_shape product = {
            .batch = 1,
            .m = s->n * s->h * s->w,
            .n = s->c_in,
            .k = s->c_out,
            .lda = s->c_out,
            .ldb = s->c_in,
            .ldc = s->c_in,
            .alpha = 1,
            .precision = s->precision};
        rk_gemm(RK_F32, &product, gy, weight, gx);
        return true;
    }
    if (rk_winograd_suits(s)) return rk_winograd_input_grad(s, gy, weight, gx);
    size_t bytes = s->kernel_h * s->kernel_w * s->c_out * s->c_in * sizeof(float);
    float *turned = rk_alloc(bytes);
    if (!turned) return false;
    bool done = true;
    for (size_t i = 0; i < rk_min(s->stride_h, s->h); i++)
        for (size_t j = 0; j < rk_min(s->stride_w, s->w); j++)
            done = done && phase_input_grad(s, gy, weight, i, j, turned, gx);
    rk_free(turned, bytes);
    return done;
}

// MARK: - Weight gradient

/// Sums over parts of the pixels; large weights are cut by the kernel's rows as well, so that parts may be few.
typedef struct {
    window view;
    const float *gy;
    float *partial;
    rk_precision precision;
    size_t total, parts, groups, per_part, block, c_out, depth;
    atomic_bool failed;
} weight_grad_job;

static void weight_grad_block(
    const weight_grad_job *job, size_t begin, size_t end, size_t tap_begin, size_t tap_end, bool first, float *gathered,
    float *out) {
    size_t run = job->view.wide * job->view.c, columns = (tap_end - tap_begin) * run;
    RK_DISPATCH(gather)(&job->view, tap_begin, tap_end, begin, end, gathered);
    rk_sgemm(
        job->precision, job->c_out, columns, end - begin, (rk_operand){job->gy + begin * job->c_out, job->c_out, true},
        (rk_operand){gathered, columns, false}, (rk_output){out + tap_begin * run, job->depth, 1, first ? 0 : 1});
}

static void weight_grad_piece(void *context, size_t begin, size_t end) {
    weight_grad_job *job = context;
    size_t bytes = (job->block * job->depth / job->groups + RK_SLACK) * sizeof(float),
           taps = job->view.tall / job->groups;
    float *gathered = rk_alloc(bytes);
    if (!gathered) {
        atomic_store(&job->failed, true);
        return;
    }
    for (size_t piece = begin; piece < end; piece++) {
        size_t part = piece / job->groups, tap = piece % job->groups * taps;
        size_t from = part * job->per_part, to = rk_min(from + job->per_part, job->total);
        float *out = job->partial + part * job->c_out * job->depth;
        for (size_t p = from; p < to; p += job->block)
            weight_grad_block(job, p, rk_min(p + job->block, to), tap, tap + taps, p == from, gathered, out);
    }
    rk_free(gathered, bytes);
}

static bool gathered_weight_grad(const rk_conv_shape *s, const float *x, const float *gy, float *gweight) {
    weight_grad_job job = {
        .view =
            {x, s->n, s->h, s->w, s->c_in, s->out_h, s->out_w, s->stride_h, s->stride_w, -(ptrdiff_t)s->pad_h,
             -(ptrdiff_t)s->pad_w, s->kernel_h, s->kernel_w},
        .gy = gy,
        .precision = s->precision,
        .total = s->n * s->out_h * s->out_w,
        .c_out = s->c_out,
        .depth = s->kernel_h * s->kernel_w * s->c_in};
    size_t count = job.c_out * job.depth;
    if (job.total == 0 || count == 0) {
        memset(gweight, 0, count * sizeof(float));
        return true;
    }
    job.parts = rk_max(1, rk_min(rk_min(RK_PIECES, rk_ceil_div(job.total, 64)), (1 << 24) / count));
    job.per_part = rk_round_up(rk_ceil_div(job.total, job.parts), 16);
    job.parts = rk_ceil_div(job.total, job.per_part);
    job.groups = job.parts < RK_PIECES ? s->kernel_h : 1;
    job.block = rk_min(job.per_part, block_pixels(job.total, job.depth / job.groups));
    size_t bytes = job.parts * count * sizeof(float);
    job.partial = job.parts > 1 ? rk_alloc(bytes) : gweight;
    if (!job.partial) return false;
    rk_parallel_for(job.parts * job.groups, 1, weight_grad_piece, &job);
    if (job.parts > 1) {
        rk_sum_parts(job.parts, count, job.partial, false, gweight);
        rk_free(job.partial, bytes);
    }
    return !atomic_load(&job.failed);
}

bool rk_dense_weight_grad(const rk_conv_shape *s, const float *x, const float *gy, float *gweight) {
    if (is_pointwise(s)) {
        rk_gemm_shape product = {
            .batch = 1,
            .m = s->c_out,
            .n = s->c_in,
            .k = s->n * s->h * s->w,
            .transpose_a = true,
            .lda = s->c_out,
            .ldb = s->c_in,
            .ldc = s->c_in,
            .alpha = 1,
            .precision = s->precision};
        rk_gemm(RK_F32, &product, gy, x, gweight);
        return true;
    }
    if (rk_winograd_suits(s)) return rk_winograd_weight_grad(s, x, gy, gweight);
    return gathered_weight_grad(s, x, gy, gweight);
}
