// Group norm, layer norm and softmax, and their gradients.
#include "kernels/norm.h"

#include <math.h>
#include <string.h>

#include "kernels/memory.h"
#include "kernels/threads.h"
#include "private.h"
#include "simd/math.h"

#define RK_BODY "norm.h"
#include "simd/levels.h"

// MARK: - Group norm

/// A piece is some whole groups of one sample. A channel's sums lie in `sums` and `products`, [n, channels]; what a
/// channel's pixels are multiplied by and shifted by in `table`, [n, 4, channels].
typedef struct {
    size_t n, pixels, channels, groups, chunks, chunk_groups;
    double eps;
    const float *x, *weight, *bias, *gy;
    float *y, *mean, *rstd, *gweight, *gbias;
    double *sums, *products;
    float *table;
    void *space;
    size_t bytes;
} group_job;

static bool prepare_groups(group_job *job) {
    size_t width = job->channels / job->groups;
    job->chunk_groups = job->groups;
    // Few samples: cut the channels too, in chunks of at least 32 so that whole cache lines are read.
    if (job->n < 8)
        job->chunk_groups = rk_min(job->groups, rk_max(rk_ceil_div(32, width), rk_ceil_div(job->groups, 8)));
    job->chunks = rk_ceil_div(job->groups, job->chunk_groups);
    size_t count = job->n * job->channels;
    job->bytes = count * (2 * sizeof(double) + 4 * sizeof(float));
    job->space = rk_alloc(job->bytes);
    if (!job->space) return false;
    job->sums = job->space, job->products = job->sums + count, job->table = (float *)(job->products + count);
    return true;
}

static double sum_range(const double *values, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += values[i];
    return sum;
}

static void normalise_groups(const group_job *job, size_t sample, size_t g0, size_t g1) {
    size_t width = job->channels / job->groups, c0 = g0 * width, count = (g1 - g0) * width;
    size_t at = sample * job->pixels * job->channels + c0;
    double *sums = job->sums + sample * job->channels + c0;
    float *mean = job->table + 4 * sample * job->channels + c0, *scale = mean + job->channels;
    float *shift = scale + job->channels;
    double elements = (double)job->pixels * (double)width;
    RK_DISPATCH(channel_sums)(job->pixels, job->channels, count, job->x + at, sums);
    for (size_t g = g0; g < g1; g++) {
        float m = (float)(sum_range(sums + (g - g0) * width, width) / elements);
        job->mean[sample * job->groups + g] = m;
        for (size_t c = 0; c < width; c++) mean[(g - g0) * width + c] = m;
    }
    RK_DISPATCH(channel_squares)(job->pixels, job->channels, count, job->x + at, mean, sums);
    for (size_t g = g0; g < g1; g++) {
        float r = (float)(1 / sqrt(sum_range(sums + (g - g0) * width, width) / elements + job->eps));
        job->rstd[sample * job->groups + g] = r;
        for (size_t c = (g - g0) * width; c < (g - g0 + 1) * width; c++) {
            scale[c] = job->weight ? r * job->weight[c0 + c] : r;
            shift[c] = job->bias ? job->bias[c0 + c] : 0;
        }
    }
    RK_DISPATCH(normalise)(job->pixels, job->channels, count, job->x + at, mean, scale, shift, job->y + at);
}

static void group_grad(const group_job *job, size_t sample, size_t g0, size_t g1) {
    size_t width = job->channels / job->groups, c0 = g0 * width, count = (g1 - g0) * width;
    size_t at = sample * job->pixels * job->channels + c0, row = sample * job->channels + c0;
    double *sums = job->sums + row, *products = job->products + row, elements = (double)job->pixels * (double)width;
    float *mean = job->table + 4 * sample * job->channels + c0, *scale = mean + job->channels;
    float *slope = scale + job->channels, *shift = slope + job->channels;
    for (size_t c = 0; c < count; c++) mean[c] = job->mean[sample * job->groups + g0 + c / width];
    RK_DISPATCH(channel_products)(job->pixels, job->channels, count, job->x + at, job->gy + at, mean, sums, products);
    for (size_t g = g0; g < g1; g++) {
        double r = job->rstd[sample * job->groups + g], sum = 0, product = 0;
        for (size_t c = (g - g0) * width; c < (g - g0 + 1) * width; c++) {
            double w = job->weight ? job->weight[c0 + c] : 1;
            sum += w * sums[c], product += w * products[c];
            products[c] *= r;   // from here on what this sample adds to the weight's gradient
            scale[c] = (float)(r * w);
        }
        for (size_t c = (g - g0) * width; c < (g - g0 + 1) * width; c++) {
            slope[c] = (float)(r * r * r * product / elements);
            shift[c] = (float)(r * sum / elements);
        }
    }
    RK_DISPATCH(normalise_grad)(
        job->pixels, job->channels, count, job->x + at, job->gy + at, mean, scale, slope, shift, job->y + at);
}

static void group_piece(void *context, size_t begin, size_t end) {
    const group_job *job = context;
    for (size_t piece = begin; piece < end; piece++) {
        size_t g0 = piece % job->chunks * job->chunk_groups, g1 = rk_min(g0 + job->chunk_groups, job->groups);
        (job->gy ? group_grad : normalise_groups)(job, piece / job->chunks, g0, g1);
    }
}

static void run_groups(group_job *job) {
    size_t work = job->pixels * job->channels / job->chunks;
    rk_parallel_for(job->n * job->chunks, rk_max(1, 16384 / rk_max(1, work)), group_piece, job);
}

bool rk_group_norm(
    rk_dtype dtype, size_t n, size_t pixels, size_t channels, size_t groups, double eps, const void *x,
    const void *weight, const void *bias, void *y, void *mean, void *rstd) {
    if (dtype == RK_F64) {
        rk_plain_group_norm(n, pixels, channels, groups, eps, x, weight, bias, y, mean, rstd);
        return true;
    }
    if (n * channels * groups == 0) return true;
    group_job job = {
        .n = n, .pixels = pixels, .channels = channels, .groups = groups, .eps = eps, .x = x, .weight = weight,
        .bias = bias, .y = y, .mean = mean, .rstd = rstd};
    if (!prepare_groups(&job)) return false;
    run_groups(&job);
    rk_free(job.space, job.bytes);
    return true;
}

/// grad[c] = the sum over samples of values [n, channels].
static void sum_samples(size_t n, size_t channels, const double *values, float *grad) {
    for (size_t c = 0; grad && c < channels; c++) {
        double sum = 0;
        for (size_t i = 0; i < n; i++) sum += values[i * channels + c];
        grad[c] = (float)sum;
    }
}

bool rk_group_norm_grad(
    rk_dtype dtype, size_t n, size_t pixels, size_t channels, size_t groups, const void *x, const void *weight,
    const void *mean, const void *rstd, const void *gy, void *gx, void *gweight, void *gbias) {
    if (dtype == RK_F64) {
        rk_plain_group_norm_grad(n, pixels, channels, groups, x, weight, mean, rstd, gy, gx, gweight, gbias);
        return true;
    }
    group_job job = {
        .n = n, .pixels = pixels, .channels = channels, .groups = groups, .x = x, .weight = weight, .gy = gy, .y = gx,
        .mean = (float *)mean, .rstd = (float *)rstd};
    if (n * channels * groups > 0) {
        if (!prepare_groups(&job)) return false;
        run_groups(&job);
    }
    sum_samples(n, channels, job.products, gweight);
    sum_samples(n, channels, job.sums, gbias);
    if (job.space) rk_free(job.space, job.bytes);
    return true;
}

// MARK: - Layer norm

typedef struct {
    size_t width, grain;
    float eps;
    const float *x, *weight, *bias, *mean_in, *rstd_in, *gy;
    float *y, *mean, *rstd;
    float *gweight, *gbias;   // [pieces, width] each, or NULL
} layer_job;

static void layer_piece(void *context, size_t begin, size_t end) {
    const layer_job *job = context;
    size_t at = begin * job->width;
    RK_DISPATCH(layer_norm)(
        end - begin, job->width, job->eps, job->x + at, job->weight, job->bias, job->y + at, job->mean + begin,
        job->rstd + begin);
}

bool rk_layer_norm(
    rk_dtype dtype, size_t rows, size_t width, double eps, const void *x, const void *weight, const void *bias,
    void *y, void *mean, void *rstd) {
    if (dtype == RK_F64) {
        rk_plain_group_norm(rows, 1, width, 1, eps, x, weight, bias, y, mean, rstd);
        return true;
    }
    layer_job job = {
        .width = width, .eps = (float)eps, .x = x, .weight = weight, .bias = bias, .y = y, .mean = mean, .rstd = rstd};
    rk_parallel_for(rows, rk_max(1, 16384 / rk_max(1, width)), layer_piece, &job);
    return true;
}

static void layer_grad_piece(void *context, size_t begin, size_t end) {
    const layer_job *job = context;
    for (size_t r = begin; r < end; r += job->grain) {   // a call may cover several pieces; their sums stay apart
        size_t rows = rk_min(job->grain, end - r), at = r * job->width, part = r / job->grain * job->width;
        float *gweight = job->gweight ? job->gweight + part : NULL, *gbias = job->gbias ? job->gbias + part : NULL;
        if (gweight) memset(gweight, 0, job->width * sizeof(float));
        if (gbias) memset(gbias, 0, job->width * sizeof(float));
        RK_DISPATCH(layer_norm_grad)(
            rows, job->width, job->x + at, job->weight, job->mean_in + r, job->rstd_in + r, job->gy + at, job->y + at,
            gweight, gbias);
    }
}

bool rk_layer_norm_grad(
    rk_dtype dtype, size_t rows, size_t width, const void *x, const void *weight, const void *mean, const void *rstd,
    const void *gy, void *gx, void *gweight, void *gbias) {
    if (dtype == RK_F64) {
        rk_plain_group_norm_grad(rows, 1, width, 1, x, weight, mean, rstd, gy, gx, gweight, gbias);
        return true;
    }
    if (rows == 0) {
        if (gweight) memset(gweight, 0, width * sizeof(float));
        if (gbias) memset(gbias, 0, width * sizeof(float));
        return true;
    }
    layer_job job = {
        .width = width, .x = x, .weight = weight, .mean_in = mean, .rstd_in = rstd, .gy = gy, .y = gx};
    job.grain = rk_max(rk_max(1, 16384 / rk_max(1, width)), rk_ceil_div(rows, 32));
    size_t parts = rk_ceil_div(rows, job.grain), part = parts * width, bytes = 2 * part * sizeof(float);
    float *space = gweight || gbias ? rk_alloc(bytes) : NULL;
    if ((gweight || gbias) && !space) return false;
    if (gweight) job.gweight = space;
    if (gbias) job.gbias = space + part;
    rk_parallel_for(rows, job.grain, layer_grad_piece, &job);
    if (gweight) rk_sum_parts(parts, width, job.gweight, false, gweight);
    if (gbias) rk_sum_parts(parts, width, job.gbias, false, gbias);
    if (space) rk_free(space, bytes);
    return true;
}

// MARK: - Softmax

typedef struct {
    bool logarithm;
    size_t width;
    const float *x, *gy;
    float *y;
} softmax_job;

static void softmax_piece(void *context, size_t begin, size_t end) {
    const softmax_job *job = context;
    size_t at = begin * job->width;
    if (job->gy)
        RK_DISPATCH(softmax_grad)(job->logarithm, end - begin, job->width, job->x + at, job->gy + at, job->y + at);
    else
        RK_DISPATCH(softmax)(job->logarithm, end - begin, job->width, job->x + at, job->y + at);
}

void rk_softmax(rk_dtype dtype, bool logarithm, size_t rows, size_t width, const void *x, void *y) {
    if (dtype == RK_F64) {
        rk_plain_softmax(logarithm, rows, width, x, y);
        return;
    }
    softmax_job job = {logarithm, width, x, NULL, y};
    rk_parallel_for(rows, rk_max(1, 8192 / rk_max(1, width)), softmax_piece, &job);
}

void rk_softmax_grad(
    rk_dtype dtype, bool logarithm, size_t rows, size_t width, const void *y, const void *gy, void *gx) {
    if (dtype == RK_F64) {
        rk_plain_softmax_grad(logarithm, rows, width, y, gy, gx);
        return;
    }
    softmax_job job = {logarithm, width, y, gy, gx};
    rk_parallel_for(rows, rk_max(1, 16384 / rk_max(1, width)), softmax_piece, &job);
}
