// Layer norm and its derivatives.
#include <math.h>
#include <string.h>

#include "kernels/memory.h"
#include "kernels/norm.h"
#include "kernels/threads.h"
#include "private.h"
#include "simd/row_sum.h"

#define RK_BODY "layer_norm.inc"
#include "simd/levels.h"

/// Weights are [sets, width], and so are their gradients, for `each` rows a set.
typedef struct {
    size_t rows, width, sets, each;
    float eps;
    const float *x, *d, *weight, *bias, *gy;
    float *y, *gd, *mean, *rstd;
    // Gradients: a piece is at most `grain` rows of one set, and what it adds to the weights' gradients lies in
    // [sets, parts, width].
    size_t grain, parts;
    float *part_weight, *part_bias;
} layer_job;

static const float *set_of(const float *weights, const layer_job *job, size_t set) {
    return weights ? weights + set * job->width : NULL;
}

/// Values, or tangents along d where there is one.
static void layer_piece(void *context, size_t begin, size_t end) {
    const layer_job *job = context;
    while (begin < end) {
        size_t set = begin / job->each, stop = rk_min(end, (set + 1) * job->each), at = begin * job->width;
        const float *weight = set_of(job->weight, job, set), *bias = set_of(job->bias, job, set);
        float *y = job->y + at, *mean = job->mean + begin, *rstd = job->rstd + begin;
        if (job->d) RK_DISPATCH(layer_norm_tangent)
        (stop - begin, job->width, job->eps, job->x + at, job->d + at, weight, y, mean, rstd);
        else RK_DISPATCH(layer_norm)(stop - begin, job->width, job->eps, job->x + at, weight, bias, y, mean, rstd);
        begin = stop;
    }
}

static void run_rows(layer_job *job) {
    job->each = job->rows / job->sets;
    rk_parallel_for(job->rows, rk_rows_of_piece(job->width), layer_piece, job);
}

static float *cleared(float *parts, const layer_job *job, size_t piece) {
    if (!parts) return NULL;
    return memset(parts + piece * job->width, 0, job->width * sizeof(float));
}

/// Gradients of values, or of tangents where there is a d.
static void layer_grad_piece(void *context, size_t begin, size_t end) {
    const layer_job *job = context;
    for (size_t piece = begin; piece < end; piece++) {
        size_t set = piece / job->parts, offset = piece % job->parts * job->grain, r = set * job->each + offset;
        size_t rows = rk_min(job->grain, job->each - offset), at = r * job->width;
        const float *weight = set_of(job->weight, job, set), *x = job->x + at, *gy = job->gy + at;
        float *gweight = cleared(job->part_weight, job, piece), *gbias = cleared(job->part_bias, job, piece);
        if (job->d) RK_DISPATCH(layer_norm_tangent_grad)
        (rows, job->width, x, job->d + at, weight, job->mean + r, job->rstd + r, gy, job->y + at, job->gd + at,
         gweight);
        else RK_DISPATCH(layer_norm_grad)(
            rows, job->width, x, weight, job->mean + r, job->rstd + r, gy, job->y + at, gweight, gbias);
    }
}

static void sum_row_parts(const layer_job *job, const float *part, float *grad) {
    for (size_t set = 0; grad && set < job->sets; set++)
        rk_sum_parts(job->parts, job->width, part + set * job->parts * job->width, false, grad + set * job->width);
}

/// The parts of a set with one piece are its gradient; others are added up.
static bool run_gradient(layer_job *job, float *gweight, float *gbias) {
    job->each = job->rows / job->sets;
    // Not too many rows either, whose float32 sums would lose digits.
    size_t most = rk_min(2048, rk_ceil_div(job->rows, 32));
    job->grain = rk_min(job->each, rk_max(rk_rows_of_piece(job->width), most));
    job->parts = rk_ceil_div(job->each, job->grain);
    size_t pieces = job->sets * job->parts, part = pieces * job->width, bytes = 2 * part * sizeof(float);
    float *space = job->parts > 1 && (gweight || gbias) ? rk_alloc(bytes) : NULL;
    if (job->parts > 1 && (gweight || gbias) && !space) return false;
    job->part_weight = gweight && space ? space : gweight;
    job->part_bias = gbias && space ? space + part : gbias;
    rk_parallel_for(pieces, rk_rows_of_piece(job->grain * job->width), layer_grad_piece, job);
    if (!space) return true;
    sum_row_parts(job, job->part_weight, gweight);
    sum_row_parts(job, job->part_bias, gbias);
    rk_free(space, bytes);
    return true;
}

static void clear_weights(rk_dtype dtype, size_t count, void *grad) {
    if (grad) memset(grad, 0, count * (dtype == RK_F64 ? sizeof(double) : sizeof(float)));
}

// MARK: - Functions

void rk_layer_norm(
    rk_dtype dtype, size_t rows, size_t width, size_t sets, double eps, const void *x, const void *weight,
    const void *bias, void *y, void *mean, void *rstd) {
    if (rows == 0) return;
    if (dtype == RK_F64) {
        rk_plain_layer_norm(rows, width, sets, eps, x, weight, bias, y, mean, rstd);
        return;
    }
    run_rows(&(layer_job){
        .rows = rows,
        .width = width,
        .sets = sets,
        .eps = (float)eps,
        .x = x,
        .weight = weight,
        .bias = bias,
        .y = y,
        .mean = mean,
        .rstd = rstd});
}

bool rk_layer_norm_grad(
    rk_dtype dtype, size_t rows, size_t width, size_t sets, const void *x, const void *weight, const void *mean,
    const void *rstd, const void *gy, void *gx, void *gweight, void *gbias) {
    clear_weights(dtype, sets * width, rows == 0 ? gweight : NULL);
    clear_weights(dtype, sets * width, rows == 0 ? gbias : NULL);
    if (rows == 0) return true;
    if (dtype == RK_F64) {
        rk_plain_layer_norm_grad(rows, width, sets, x, weight, mean, rstd, gy, gx, gweight, gbias);
        return true;
    }
    layer_job job = {
        .rows = rows,
        .width = width,
        .sets = sets,
        .x = x,
        .weight = weight,
        .mean = (float *)mean,
        .rstd = (float *)rstd,
        .gy = gy,
        .y = gx};
    return run_gradient(&job, gweight, gbias);
}

void rk_layer_norm_tangent(
    rk_dtype dtype, size_t rows, size_t width, size_t sets, double eps, const void *x, const void *d,
    const void *weight, void *y, void *mean, void *rstd) {
    if (rows == 0) return;
    if (dtype == RK_F64) {
        rk_plain_layer_norm_tangent(rows, width, sets, eps, x, d, weight, y, mean, rstd);
        return;
    }
    run_rows(&(layer_job){
        .rows = rows,
        .width = width,
        .sets = sets,
        .eps = (float)eps,
        .x = x,
        .d = d,
        .weight = weight,
        .y = y,
        .mean = mean,
        .rstd = rstd});
}

bool rk_layer_norm_tangent_grad(
    rk_dtype dtype, size_t rows, size_t width, size_t sets, const void *x, const void *d, const void *weight,
    const void *mean, const void *rstd, const void *gy, void *gx, void *gd, void *gweight) {
    clear_weights(dtype, sets * width, rows == 0 ? gweight : NULL);
    if (rows == 0) return true;
    if (dtype == RK_F64) {
        rk_plain_layer_norm_tangent_grad(rows, width, sets, x, d, weight, mean, rstd, gy, gx, gd, gweight);
        return true;
    }
    layer_job job = {
        .rows = rows,
        .width = width,
        .sets = sets,
        .x = x,
        .d = d,
        .weight = weight,
        .mean = (float *)mean,
        .rstd = (float *)rstd,
        .gy = gy,
        .y = gx,
        .gd = gd};
    return run_gradient(&job, gweight, NULL);
}
