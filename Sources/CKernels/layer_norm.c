// Layer norm and its derivatives.
#include <math.h>
#include <string.h>

#include "kernels/memory.h"
#include "kernels/norm.h"
#include "kernels/threads.h"
#include "private.h"
#include "simd/row_sum.h"

/// Rows, and where each array has their first number. y is the result or the gradient of x; mean and rstd are written
/// with values and tangents, and read for gradients. The kernels take these one by one: from a struct the compiler
/// would make slower loops.
typedef struct {
    size_t rows, width;
    float eps;
    const float *x, *d, *weight, *bias, *gy;
    float *y, *gd, *mean, *rstd;
} layer_block;

#define RK_BODY "layer_norm.inc"
#include "simd/levels.h"

/// All rows of all sets, each of which has `each` rows.
typedef struct {
    layer_block whole;
    size_t sets, each;
    // Gradients: a piece is at most `grain` rows of one set, and what it adds to the weights' gradients goes to
    // [sets, parts, width].
    size_t grain, parts;
    float *part_weight, *part_bias;
} layer_job;

static layer_job job_of(const rk_layer_norm_shape *s, rk_norm_inputs in) {
    layer_block whole = {s->rows, s->width, (float)s->eps, .x = in.x, .d = in.d, .weight = in.weight, .bias = in.bias};
    return (layer_job){.whole = whole, .sets = s->sets, .each = s->rows / s->sets};
}

/// Some rows of one set.
static layer_block block_at(const layer_job *job, size_t set, size_t row, size_t rows) {
    layer_block b = job->whole;
    size_t at = row * b.width, weights = set * b.width;
    b.rows = rows, b.x += at, b.y += at, b.mean += row, b.rstd += row;
    if (b.d) b.d += at;
    if (b.gy) b.gy += at;
    if (b.gd) b.gd += at;
    if (b.weight) b.weight += weights;
    if (b.bias) b.bias += weights;
    return b;
}

/// Values, or tangents along d where there is a d.
static void layer_piece(void *context, size_t begin, size_t end) {
    const layer_job *job = context;
    while (begin < end) {
        size_t set = begin / job->each, stop = rk_min(end, (set + 1) * job->each);
        layer_block b = block_at(job, set, begin, stop - begin);
        if (b.d) RK_DISPATCH(layer_norm_tangent)
        (b.rows, b.width, b.eps, b.x, b.d, b.weight, b.y, b.mean, b.rstd);
        else RK_DISPATCH(layer_norm)(b.rows, b.width, b.eps, b.x, b.weight, b.bias, b.y, b.mean, b.rstd);
        begin = stop;
    }
}

static void run_rows(layer_job job, void *y, void *mean, void *rstd) {
    job.whole.y = y, job.whole.mean = mean, job.whole.rstd = rstd;
    rk_parallel_for(job.whole.rows, rk_rows_of_piece(job.whole.width), layer_piece, &job);
}

static float *cleared(float *parts, const layer_job *job, size_t piece) {
    if (!parts) return NULL;
    return memset(parts + piece * job->whole.width, 0, job->whole.width * sizeof(float));
}

/// Gradients of values, or of tangents where there is a d.
static void layer_grad_piece(void *context, size_t begin, size_t end) {
    const layer_job *job = context;
    for (size_t piece = begin; piece < end; piece++) {
        size_t set = piece / job->parts, offset = piece % job->parts * job->grain;
        layer_block b = block_at(job, set, set * job->each + offset, rk_min(job->grain, job->each - offset));
        float *gweight = cleared(job->part_weight, job, piece), *gbias = cleared(job->part_bias, job, piece);
        if (b.d) RK_DISPATCH(layer_norm_tangent_grad)
        (b.rows, b.width, b.x, b.d, b.weight, b.mean, b.rstd, b.gy, b.y, b.gd, gweight);
        else RK_DISPATCH(layer_norm_grad)(b.rows, b.width, b.x, b.weight, b.mean, b.rstd, b.gy, b.y, gweight, gbias);
    }
}

static void sum_row_parts(const layer_job *job, const float *part, float *grad) {
    size_t width = job->whole.width;
    for (size_t set = 0; grad && set < job->sets; set++)
        rk_sum_parts(job->parts, width, part + set * job->parts * width, false, grad + set * width);
}

/// The parts of a set with one piece are its gradient; others are added up.
static bool run_gradients(layer_job job, const void *mean, const void *rstd, const void *gy, rk_norm_grads grads) {
    layer_block *all = &job.whole;
    all->mean = (float *)mean, all->rstd = (float *)rstd, all->gy = gy, all->y = grads.x, all->gd = grads.d;
    // Not too many rows either, whose float32 sums would lose digits.
    size_t most = rk_min(2048, rk_ceil_div(all->rows, 32));
    job.grain = rk_min(job.each, rk_max(rk_rows_of_piece(all->width), most));
    job.parts = rk_ceil_div(job.each, job.grain);
    size_t pieces = job.sets * job.parts, part = pieces * all->width, bytes = 2 * part * sizeof(float);
    bool adds_up = job.parts > 1 && (grads.weight || grads.bias);
    float *space = adds_up ? rk_alloc(bytes) : NULL;
    if (adds_up && !space) return false;
    job.part_weight = grads.weight && space ? space : grads.weight;
    job.part_bias = grads.bias && space ? space + part : grads.bias;
    rk_parallel_for(pieces, rk_rows_of_piece(job.grain * all->width), layer_grad_piece, &job);
    if (!space) return true;
    sum_row_parts(&job, job.part_weight, grads.weight);
    sum_row_parts(&job, job.part_bias, grads.bias);
    rk_free(space, bytes);
    return true;
}

/// The gradients of weights that no row has a part in.
static void clear_weights(rk_dtype dtype, const rk_layer_norm_shape *s, rk_norm_grads grads) {
    size_t bytes = s->sets * s->width * (dtype == RK_F64 ? sizeof(double) : sizeof(float));
    if (grads.weight) memset(grads.weight, 0, bytes);
    if (grads.bias) memset(grads.bias, 0, bytes);
}

// MARK: - Functions

void rk_layer_norm(
    rk_dtype dtype, const rk_layer_norm_shape *shape, rk_norm_inputs in, void *y, void *mean, void *rstd) {
    in.d = NULL;
    if (shape->rows == 0) return;
    if (dtype == RK_F64)
        rk_plain_layer_norm(shape, in, y, mean, rstd);
    else
        run_rows(job_of(shape, in), y, mean, rstd);
}

bool rk_layer_norm_grad(
    rk_dtype dtype, const rk_layer_norm_shape *shape, rk_norm_inputs in, const void *mean, const void *rstd,
    const void *gy, rk_norm_grads grads) {
    in.d = NULL;
    if (shape->rows == 0) return clear_weights(dtype, shape, grads), true;
    if (dtype != RK_F64) return run_gradients(job_of(shape, in), mean, rstd, gy, grads);
    rk_plain_layer_norm_grad(shape, in, mean, rstd, gy, grads);
    return true;
}

void rk_layer_norm_tangent(
    rk_dtype dtype, const rk_layer_norm_shape *shape, rk_norm_inputs in, void *y, void *mean, void *rstd) {
    if (shape->rows == 0) return;
    if (dtype == RK_F64)
        rk_plain_layer_norm_tangent(shape, in, y, mean, rstd);
    else
        run_rows(job_of(shape, in), y, mean, rstd);
}

bool rk_layer_norm_tangent_grad(
    rk_dtype dtype, const rk_layer_norm_shape *shape, rk_norm_inputs in, const void *mean, const void *rstd,
    const void *gy, rk_norm_grads grads) {
    grads.bias = NULL; // a bias has no part in the tangent
    if (shape->rows == 0) return clear_weights(dtype, shape, grads), true;
    if (dtype != RK_F64) return run_gradients(job_of(shape, in), mean, rstd, gy, grads);
    rk_plain_layer_norm_tangent_grad(shape, in, mean, rstd, gy, grads);
    return true;
}
