// Group norm and its derivatives.
#include <math.h>

#include "kernels/memory.h"
#include "kernels/norm.h"
#include "kernels/threads.h"
#include "private.h"
#include "simd/math.h"

/// What a kernel works on: `channels` adjacent numbers of each pixel, `row` numbers from one pixel to the next.
typedef struct {
    size_t pixels, row, channels;
} channel_block;

/// Rows of a table of numbers for each channel. All three uses need the mean; with v = x - mean,
///     values     y = v SCALE + SHIFT, perhaps through silu,
///     Jacobian   y = z SCALE - v SLOPE - SHIFT,
///     gradients  gx = v GX_X + gy GX_GY + d GX_D + GX_SHIFT, gd = gy GD_GY + v GD_X + GD_SHIFT of a tangent.
enum { MEAN, SCALE, SHIFT, SLOPE, GX_X = MEAN + 1, GX_GY, GX_D, GX_SHIFT, GD_GY, GD_X, GD_SHIFT, COEFFICIENTS };

/// Rows of sums over pixels for each channel: of z and of z v for a Jacobian; of d, d v, gy, gy v and gy d for the
/// gradients of a tangent. A piece leaves what its sample adds to the gradients of bias and weight in the last two.
enum {
    SUM,
    PRODUCT,
    SUM_D = 0,
    SUM_D_X,
    SUM_GY,
    SUM_GY_X,
    SUM_GY_D,
    SUMS,
    BIAS_GRAD = SUM,
    WEIGHT_GRAD = PRODUCT,
};

#define RK_BODY "group_norm.inc"
#include "simd/levels.h"

typedef struct group_job group_job;

/// Some whole groups of one sample, which a piece works on.
typedef struct {
    size_t first_group, groups, width; // width: channels of a group
    size_t first, at;                  // the first of the channels, and the number of the sample's first pixel for it
    channel_block block;
    double elements; // of a group
    double *sums[SUMS];
    float *table[COEFFICIENTS], *mean, *rstd;
} group_part;

struct group_job {
    const rk_group_norm_shape *shape;
    size_t chunks, chunk_groups; // chunks of groups that each sample is cut in, and the groups of one
    const float *x, *d, *weight, *bias, *gy;
    float *y, *gd, *mean, *rstd; // y: the result, or the gradient of x
    double *sums;                // [n, SUMS, channels]
    float *table;                // [n, COEFFICIENTS, channels]
    size_t bytes;
    void (*run)(const group_job *job, const group_part *part);
};

static bool prepare_groups(group_job *job) {
    const rk_group_norm_shape *s = job->shape;
    size_t width = s->channels / s->groups;
    job->chunk_groups = s->groups;
    // Few samples: cut the channels too, in chunks of at least 32 so that whole cache lines are read.
    if (s->n < RK_PIECES)
        job->chunk_groups = rk_min(s->groups, rk_max(rk_ceil_div(32, width), rk_ceil_div(s->groups, RK_PIECES)));
    job->chunks = rk_ceil_div(s->groups, job->chunk_groups);
    size_t count = s->n * s->channels;
    job->bytes = count * (SUMS * sizeof(double) + COEFFICIENTS * sizeof(float));
    job->sums = rk_alloc(job->bytes);
    job->table = (float *)(job->sums + count * SUMS);
    return job->sums != NULL;
}

static group_part part_of(const group_job *job, size_t piece) {
    const rk_group_norm_shape *s = job->shape;
    size_t sample = piece / job->chunks, width = s->channels / s->groups;
    group_part part = {.first_group = piece % job->chunks * job->chunk_groups, .width = width};
    part.groups = rk_min(job->chunk_groups, s->groups - part.first_group);
    part.first = part.first_group * width;
    part.block = (channel_block){s->pixels, s->channels, part.groups * width};
    part.at = sample * s->pixels * s->channels + part.first;
    part.elements = rk_max(1, s->pixels * width); // without pixels sums are 0, and not to be divided by 0
    for (size_t i = 0; i < SUMS; i++) part.sums[i] = job->sums + (sample * SUMS + i) * s->channels + part.first;
    for (size_t i = 0; i < COEFFICIENTS; i++)
        part.table[i] = job->table + (sample * COEFFICIENTS + i) * s->channels + part.first;
    part.mean = job->mean + sample * s->groups + part.first_group;
    part.rstd = job->rstd + sample * s->groups + part.first_group;
    return part;
}

static void group_piece(void *context, size_t begin, size_t end) {
    const group_job *job = context;
    for (size_t piece = begin; piece < end; piece++) {
        group_part part = part_of(job, piece);
        job->run(job, &part);
    }
}

/// False when there is no memory for `sums`, which the caller frees.
static bool run_groups(group_job *job, void (*run)(const group_job *job, const group_part *part)) {
    const rk_group_norm_shape *s = job->shape;
    if (s->n * s->channels * s->groups == 0) return true;
    if (!prepare_groups(job)) return false;
    job->run = run;
    rk_parallel_for(s->n * job->chunks, rk_rows_of_piece(s->pixels * s->channels / job->chunks), group_piece, job);
    return true;
}

static double sum_range(const double *values, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += values[i];
    return sum;
}

static double weight_of(const group_job *job, const group_part *p, size_t c) {
    return job->weight ? job->weight[p->first + c] : 1;
}

// MARK: - Pieces

/// Mean and rstd of each group.
static void find_statistics(const group_job *job, const group_part *p) {
    double *sum = p->sums[SUM];
    RK_DISPATCH(channel_sums)(p->block, job->x + p->at, sum);
    for (size_t g = 0; g < p->groups; g++) {
        p->mean[g] = (float)(sum_range(sum + g * p->width, p->width) / p->elements);
        for (size_t c = g * p->width; c < (g + 1) * p->width; c++) p->table[MEAN][c] = p->mean[g];
    }
    RK_DISPATCH(channel_squares)(p->block, job->x + p->at, p->table[MEAN], sum);
    for (size_t g = 0; g < p->groups; g++)
        p->rstd[g] = (float)(1 / sqrt(sum_range(sum + g * p->width, p->width) / p->elements + job->shape->eps));
}

/// What makes x - mean the result, before silu.
static void find_scale(const group_job *job, const group_part *p) {
    for (size_t c = 0; c < p->block.channels; c++) {
        p->table[SCALE][c] = p->rstd[c / p->width] * (float)weight_of(job, p, c);
        p->table[SHIFT][c] = job->bias ? job->bias[p->first + c] : 0;
    }
}

static void normalise(const group_job *job, const group_part *p) {
    find_statistics(job, p);
    find_scale(job, p);
    RK_DISPATCH(normalise)(p->block, job->shape->silu, job->x + p->at, p->table, job->y + p->at);
}

static void find_products(const group_job *job, const group_part *p, const float *z) {
    RK_DISPATCH(channel_products)(p->block, job->x + p->at, z + p->at, p->table[MEAN], p->sums);
}

/// y = J z with J the Jacobian of the normalisation, which is symmetric: the gradient from z = gy, where weights come
/// before J, and the tangent along z = d, where they come after. The products of z have been found.
static void apply_jacobian(
    const group_job *job, const group_part *p, const float *z, bool weigh_before, bool weigh_after) {
    for (size_t g = 0; g < p->groups; g++) {
        double r = p->rstd[g], sum = 0, product = 0;
        for (size_t c = g * p->width; c < (g + 1) * p->width; c++) {
            double before = weigh_before ? weight_of(job, p, c) : 1;
            sum += before * p->sums[SUM][c], product += before * p->sums[PRODUCT][c];
        }
        for (size_t c = g * p->width; c < (g + 1) * p->width; c++) {
            double after = weigh_after ? weight_of(job, p, c) : 1, before = weigh_before ? weight_of(job, p, c) : 1;
            p->table[SCALE][c] = (float)(r * before * after);
            p->table[SLOPE][c] = (float)(r * r * r * product / p->elements * after);
            p->table[SHIFT][c] = (float)(r * sum / p->elements * after);
        }
    }
    RK_DISPATCH(normalise_grad)(p->block, job->x + p->at, z + p->at, p->table, job->y + p->at);
}

static void recall_means(const group_part *p) {
    for (size_t c = 0; c < p->block.channels; c++) p->table[MEAN][c] = p->mean[c / p->width];
}

static void gradient(const group_job *job, const group_part *p) {
    const float *gz = job->gy;
    recall_means(p);
    if (job->shape->silu) {
        find_scale(job, p);
        RK_DISPATCH(channel_silu_products)
        (p->block, job->x + p->at, job->gy + p->at, p->table, job->y + p->at, p->sums);
        gz = job->y;
    } else {
        find_products(job, p, gz);
    }
    apply_jacobian(job, p, gz, true, false);
    for (size_t c = 0; c < p->block.channels; c++) p->sums[WEIGHT_GRAD][c] *= p->rstd[c / p->width];
}

static void tangent(const group_job *job, const group_part *p) {
    find_statistics(job, p);
    find_products(job, p, job->d);
    apply_jacobian(job, p, job->d, false, true);
}

/// The means over a group that the gradients of a tangent are made of, with n the normal x and g = gy weight.
typedef struct {
    double d, dn, g, gn, gd;
} tangent_means;

static tangent_means means_of(const group_job *job, const group_part *p, size_t group) {
    double mean[SUMS] = {0}, r = p->rstd[group];
    for (size_t c = group * p->width; c < (group + 1) * p->width; c++) {
        double w = weight_of(job, p, c);
        for (size_t i = 0; i < SUMS; i++) mean[i] += p->sums[i][c] * (i < SUM_GY ? 1 : w) / p->elements;
    }
    return (tangent_means){mean[SUM_D], mean[SUM_D_X] * r, mean[SUM_GY], mean[SUM_GY_X] * r, mean[SUM_GY_D]};
}

/// With n the normal x, means over the group written <>, and g = gy weight:
///     gd = r (g - <g> - n <g n>),  gweight = gy r (d - <d> - n <d n>),
///     gx = -r^2 (n (<g d> - <g><d> - 3 <g n><d n>) + <d n> (g - <g>) + <g n> (d - <d>)).
static void tangent_gradient(const group_job *job, const group_part *p) {
    recall_means(p);
    RK_DISPATCH(channel_tangents)
    (p->block, job->x + p->at, job->d + p->at, job->gy + p->at, p->table[MEAN], p->sums);
    for (size_t group = 0; group < p->groups; group++) {
        tangent_means m = means_of(job, p, group);
        double r = p->rstd[group];
        for (size_t c = group * p->width; c < (group + 1) * p->width; c++) {
            double w = weight_of(job, p, c);
            p->table[GX_X][c] = (float)(-r * r * r * (m.gd - m.g * m.d - 3 * m.gn * m.dn));
            p->table[GX_GY][c] = (float)(-r * r * m.dn * w);
            p->table[GX_D][c] = (float)(-r * r * m.gn);
            p->table[GX_SHIFT][c] = (float)(r * r * (m.dn * m.g + m.gn * m.d));
            p->table[GD_GY][c] = (float)(r * w);
            p->table[GD_X][c] = (float)(-r * r * m.gn);
            p->table[GD_SHIFT][c] = (float)(-r * m.g);
            p->sums[WEIGHT_GRAD][c] =
                r * (p->sums[SUM_GY_D][c] - m.d * p->sums[SUM_GY][c] - m.dn * r * p->sums[SUM_GY_X][c]);
        }
    }
    RK_DISPATCH(tangent_grad)
    (p->block, job->x + p->at, job->d + p->at, job->gy + p->at, p->table, job->y + p->at, job->gd + p->at);
}

// MARK: - Functions

static group_job job_of(const rk_group_norm_shape *shape, rk_norm_inputs in) {
    return (group_job){.shape = shape, .x = in.x, .d = in.d, .weight = in.weight, .bias = in.bias};
}

/// Values, or tangents.
static bool run_values(
    group_job job, void (*run)(const group_job *job, const group_part *part), void *y, void *mean, void *rstd) {
    job.y = y, job.mean = mean, job.rstd = rstd;
    bool done = run_groups(&job, run);
    if (job.sums) rk_free(job.sums, job.bytes);
    return done;
}

/// grad[c] = the sum over samples of a row of their sums.
static void sum_samples(const group_job *job, size_t row, float *grad) {
    const rk_group_norm_shape *s = job->shape;
    for (size_t c = 0; grad && c < s->channels; c++) {
        double sum = 0;
        for (size_t i = 0; i < s->n; i++) sum += job->sums[(i * SUMS + row) * s->channels + c];
        grad[c] = (float)sum;
    }
}

static bool run_gradients(
    group_job job, void (*run)(const group_job *job, const group_part *part), const void *mean, const void *rstd,
    const void *gy, rk_norm_grads grads) {
    job.mean = (float *)mean, job.rstd = (float *)rstd, job.gy = gy;
    job.y = grads.x, job.gd = grads.d;
    bool done = run_groups(&job, run);
    if (done) sum_samples(&job, WEIGHT_GRAD, grads.weight), sum_samples(&job, BIAS_GRAD, grads.bias);
    if (job.sums) rk_free(job.sums, job.bytes);
    return done;
}

bool rk_group_norm(
    rk_dtype dtype, const rk_group_norm_shape *shape, rk_norm_inputs in, void *y, void *mean, void *rstd) {
    if (dtype != RK_F64) return run_values(job_of(shape, in), normalise, y, mean, rstd);
    rk_plain_group_norm(shape, in, y, mean, rstd);
    return true;
}

bool rk_group_norm_grad(
    rk_dtype dtype, const rk_group_norm_shape *shape, rk_norm_inputs in, const void *mean, const void *rstd,
    const void *gy, rk_norm_grads grads) {
    if (dtype != RK_F64) return run_gradients(job_of(shape, in), gradient, mean, rstd, gy, grads);
    rk_plain_group_norm_grad(shape, in, mean, rstd, gy, grads);
    return true;
}

bool rk_group_norm_tangent(
    rk_dtype dtype, const rk_group_norm_shape *shape, rk_norm_inputs in, void *y, void *mean, void *rstd) {
    if (dtype != RK_F64) return run_values(job_of(shape, in), tangent, y, mean, rstd);
    rk_plain_group_norm_tangent(shape, in, y, mean, rstd);
    return true;
}

bool rk_group_norm_tangent_grad(
    rk_dtype dtype, const rk_group_norm_shape *shape, rk_norm_inputs in, const void *mean, const void *rstd,
    const void *gy, rk_norm_grads grads) {
    grads.bias = NULL; // a bias has no part in the tangent
    if (dtype != RK_F64) return run_gradients(job_of(shape, in), tangent_gradient, mean, rstd, gy, grads);
    rk_plain_group_norm_tangent_grad(shape, in, mean, rstd, gy, grads);
    return true;
}
