// Group norm and its derivatives.
#include <math.h>

#include "kernels/memory.h"
#include "kernels/norm.h"
#include "kernels/threads.h"
#include "private.h"
#include "simd/math.h"

#define RK_BODY "group_norm.inc"
#include "simd/levels.h"

enum { SUMS = 5, COEFFICIENTS = 8 };

typedef struct group_job group_job;

/// Some whole groups of one sample: what one piece works on. `sums` are a channel's sums over pixels, `table` what its
/// pixels are multiplied and shifted by; the first row of the table is the mean.
typedef struct {
    size_t first_group, groups, width; // width: channels of a group
    size_t first, channels, at;        // of all channels, and where the sample's first pixel has them
    double elements;                   // of a group
    double *sums[SUMS];
    float *table[COEFFICIENTS], *mean, *rstd;
} group_part;

struct group_job {
    size_t n, pixels, channels, groups, chunks, chunk_groups;
    double eps;
    bool silu;
    const float *x, *d, *weight, *bias, *gy;
    float *y, *gd, *mean, *rstd;
    double *sums; // [n, SUMS, channels]
    float *table; // [n, COEFFICIENTS, channels]
    size_t bytes;
    void (*run)(const group_job *job, const group_part *part);
};

static bool prepare_groups(group_job *job) {
    size_t width = job->channels / job->groups;
    job->chunk_groups = job->groups;
    // Few samples: cut the channels too, in chunks of at least 32 so that whole cache lines are read.
    if (job->n < RK_PIECES)
        job->chunk_groups = rk_min(job->groups, rk_max(rk_ceil_div(32, width), rk_ceil_div(job->groups, RK_PIECES)));
    job->chunks = rk_ceil_div(job->groups, job->chunk_groups);
    size_t count = job->n * job->channels;
    job->bytes = count * (SUMS * sizeof(double) + COEFFICIENTS * sizeof(float));
    job->sums = rk_alloc(job->bytes);
    job->table = (float *)(job->sums + count * SUMS);
    return job->sums != NULL;
}

static group_part part_of(const group_job *job, size_t piece) {
    size_t sample = piece / job->chunks, width = job->channels / job->groups;
    group_part part = {.first_group = piece % job->chunks * job->chunk_groups, .width = width};
    part.groups = rk_min(job->chunk_groups, job->groups - part.first_group);
    part.first = part.first_group * width, part.channels = part.groups * width;
    part.at = sample * job->pixels * job->channels + part.first;
    part.elements = rk_max(1, job->pixels * width); // without pixels sums are 0, and not to be divided by 0
    for (size_t s = 0; s < SUMS; s++) part.sums[s] = job->sums + (sample * SUMS + s) * job->channels + part.first;
    for (size_t s = 0; s < COEFFICIENTS; s++)
        part.table[s] = job->table + (sample * COEFFICIENTS + s) * job->channels + part.first;
    part.mean = job->mean + sample * job->groups + part.first_group;
    part.rstd = job->rstd + sample * job->groups + part.first_group;
    return part;
}

static void group_piece(void *context, size_t begin, size_t end) {
    const group_job *job = context;
    for (size_t piece = begin; piece < end; piece++) {
        group_part part = part_of(job, piece);
        job->run(job, &part);
    }
}

/// False when there is no room for `sums`, which the caller frees.
static bool run_groups(group_job *job, void (*run)(const group_job *job, const group_part *part)) {
    if (job->n * job->channels * job->groups == 0) return true;
    if (!prepare_groups(job)) return false;
    job->run = run;
    size_t work = job->pixels * job->channels / job->chunks;
    rk_parallel_for(job->n * job->chunks, rk_rows_of_piece(work), group_piece, job);
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
    RK_DISPATCH(channel_sums)(job->pixels, job->channels, p->channels, job->x + p->at, p->sums[0]);
    for (size_t g = 0; g < p->groups; g++) {
        p->mean[g] = (float)(sum_range(p->sums[0] + g * p->width, p->width) / p->elements);
        for (size_t c = g * p->width; c < (g + 1) * p->width; c++) p->table[0][c] = p->mean[g];
    }
    RK_DISPATCH(channel_squares)(job->pixels, job->channels, p->channels, job->x + p->at, p->table[0], p->sums[0]);
    for (size_t g = 0; g < p->groups; g++)
        p->rstd[g] = (float)(1 / sqrt(sum_range(p->sums[0] + g * p->width, p->width) / p->elements + job->eps));
}

/// Rows 1 and 2 of the table: what makes x - mean the result, before silu.
static void find_scale(const group_job *job, const group_part *p) {
    for (size_t c = 0; c < p->channels; c++) {
        p->table[1][c] = p->rstd[c / p->width] * (float)weight_of(job, p, c);
        p->table[2][c] = job->bias ? job->bias[p->first + c] : 0;
    }
}

static void normalise(const group_job *job, const group_part *p) {
    find_statistics(job, p);
    find_scale(job, p);
    RK_DISPATCH(normalise)
    (job->pixels, job->channels, p->channels, job->silu, job->x + p->at, p->table[0], p->table[1], p->table[2],
     job->y + p->at);
}

static void find_products(const group_job *job, const group_part *p, const float *z) {
    RK_DISPATCH(channel_products)
    (job->pixels, job->channels, p->channels, job->x + p->at, z + p->at, p->table[0], p->sums[0], p->sums[1]);
}

/// y = J z with J the Jacobian of the normalisation, which is symmetric: the gradient from z = gy, where weights come
/// before J, and the tangent along z = d, where they come after. The products of z have been found.
static void apply_jacobian(
    const group_job *job, const group_part *p, const float *z, bool weigh_before, bool weigh_after) {
    for (size_t g = 0; g < p->groups; g++) {
        double r = p->rstd[g], sum = 0, product = 0;
        for (size_t c = g * p->width; c < (g + 1) * p->width; c++) {
            double before = weigh_before ? weight_of(job, p, c) : 1;
            sum += before * p->sums[0][c], product += before * p->sums[1][c];
        }
        for (size_t c = g * p->width; c < (g + 1) * p->width; c++) {
            double after = weigh_after ? weight_of(job, p, c) : 1, before = weigh_before ? weight_of(job, p, c) : 1;
            p->table[1][c] = (float)(r * before * after);
            p->table[2][c] = (float)(r * r * r * product / p->elements * after);
            p->table[3][c] = (float)(r * sum / p->elements * after);
        }
    }
    RK_DISPATCH(normalise_grad)
    (job->pixels, job->channels, p->channels, job->x + p->at, z + p->at, p->table[0], p->table[1], p->table[2],
     p->table[3], job->y + p->at);
}

static void recall_means(const group_part *p) {
    for (size_t c = 0; c < p->channels; c++) p->table[0][c] = p->mean[c / p->width];
}

static void gradient(const group_job *job, const group_part *p) {
    const float *gz = job->gy;
    recall_means(p);
    if (job->silu) {
        find_scale(job, p);
        RK_DISPATCH(channel_silu_products)
        (job->pixels, job->channels, p->channels, job->x + p->at, job->gy + p->at, p->table[0], p->table[1],
         p->table[2], job->y + p->at, p->sums[0], p->sums[1]);
        gz = job->y;
    } else {
        find_products(job, p, gz);
    }
    apply_jacobian(job, p, gz, true, false);
    for (size_t c = 0; c < p->channels; c++) p->sums[1][c] *= p->rstd[c / p->width]; // what the sample adds to gweight
}

static void tangent(const group_job *job, const group_part *p) {
    find_statistics(job, p);
    find_products(job, p, job->d);
    apply_jacobian(job, p, job->d, false, true);
}

/// With n the normal x, means over the group written <>, and g = gy weight:
///     gd = r (g - <g> - n <g n>),  gweight = gy r (d - <d> - n <d n>),
///     gx = -r^2 (n (<g d> - <g><d> - 3 <g n><d n>) + <d n> (g - <g>) + <g n> (d - <d>)).
static void tangent_gradient(const group_job *job, const group_part *p) {
    recall_means(p);
    RK_DISPATCH(channel_tangents)
    (job->pixels, job->channels, p->channels, job->x + p->at, job->d + p->at, job->gy + p->at, p->table[0], p->sums);
    for (size_t group = 0; group < p->groups; group++) {
        size_t c0 = group * p->width, c1 = c0 + p->width;
        double r = p->rstd[group], means[SUMS] = {0};
        for (size_t c = c0; c < c1; c++) {
            double w = weight_of(job, p, c);
            for (size_t s = 0; s < SUMS; s++) means[s] += p->sums[s][c] * (s < 2 ? 1 : w) / p->elements;
        }
        double d = means[0], dn = means[1] * r, g = means[2], gn = means[3] * r, gd = means[4];
        for (size_t c = c0; c < c1; c++) {
            double w = weight_of(job, p, c);
            p->table[1][c] = (float)(-r * r * r * (gd - g * d - 3 * gn * dn));
            p->table[2][c] = (float)(-r * r * dn * w);
            p->table[3][c] = (float)(-r * r * gn);
            p->table[4][c] = (float)(r * r * (dn * g + gn * d));
            p->table[5][c] = (float)(r * w);
            p->table[6][c] = (float)(-r * r * gn);
            p->table[7][c] = (float)(-r * g);
            p->sums[1][c] = r * (p->sums[4][c] - d * p->sums[2][c] - dn * r * p->sums[3][c]); // for gweight
        }
    }
    RK_DISPATCH(tangent_grad)
    (job->pixels, job->channels, p->channels, job->x + p->at, job->d + p->at, job->gy + p->at, p->table, job->y + p->at,
     job->gd + p->at);
}

// MARK: - Functions

bool rk_group_norm(
    rk_dtype dtype, size_t n, size_t pixels, size_t channels, size_t groups, double eps, bool silu, const void *x,
    const void *weight, const void *bias, void *y, void *mean, void *rstd) {
    if (dtype == RK_F64) {
        rk_plain_group_norm(n, pixels, channels, groups, eps, silu, x, weight, bias, y, mean, rstd);
        return true;
    }
    group_job job = {
        .n = n,
        .pixels = pixels,
        .channels = channels,
        .groups = groups,
        .eps = eps,
        .silu = silu,
        .x = x,
        .weight = weight,
        .bias = bias,
        .y = y,
        .mean = mean,
        .rstd = rstd};
    bool done = run_groups(&job, normalise);
    if (job.sums) rk_free(job.sums, job.bytes);
    return done;
}

/// grad[c] = what all samples add to it, a row of their sums.
static void sum_samples(const group_job *job, size_t row, float *grad) {
    for (size_t c = 0; grad && c < job->channels; c++) {
        double sum = 0;
        for (size_t i = 0; i < job->n; i++) sum += job->sums[(i * SUMS + row) * job->channels + c];
        grad[c] = (float)sum;
    }
}

bool rk_group_norm_grad(
    rk_dtype dtype, size_t n, size_t pixels, size_t channels, size_t groups, bool silu, const void *x,
    const void *weight, const void *bias, const void *mean, const void *rstd, const void *gy, void *gx, void *gweight,
    void *gbias) {
    if (dtype == RK_F64) {
        rk_plain_group_norm_grad(
            n, pixels, channels, groups, silu, x, weight, bias, mean, rstd, gy, gx, gweight, gbias);
        return true;
    }
    group_job job = {
        .n = n,
        .pixels = pixels,
        .channels = channels,
        .groups = groups,
        .silu = silu,
        .x = x,
        .weight = weight,
        .bias = bias,
        .gy = gy,
        .y = gx,
        .mean = (float *)mean,
        .rstd = (float *)rstd};
    bool done = run_groups(&job, gradient);
    if (done) sum_samples(&job, 1, gweight), sum_samples(&job, 0, gbias);
    if (job.sums) rk_free(job.sums, job.bytes);
    return done;
}

bool rk_group_norm_tangent(
    rk_dtype dtype, size_t n, size_t pixels, size_t channels, size_t groups, double eps, const void *x, const void *d,
    const void *weight, void *y, void *mean, void *rstd) {
    if (dtype == RK_F64) {
        rk_plain_group_norm_tangent(n, pixels, channels, groups, eps, x, d, weight, y, mean, rstd);
        return true;
    }
    group_job job = {
        .n = n,
        .pixels = pixels,
        .channels = channels,
        .groups = groups,
        .eps = eps,
        .x = x,
        .d = d,
        .weight = weight,
        .y = y,
        .mean = mean,
        .rstd = rstd};
    bool done = run_groups(&job, tangent);
    if (job.sums) rk_free(job.sums, job.bytes);
    return done;
}

bool rk_group_norm_tangent_grad(
    rk_dtype dtype, size_t n, size_t pixels, size_t channels, size_t groups, const void *x, const void *d,
    const void *weight, const void *mean, const void *rstd, const void *gy, void *gx, void *gd, void *gweight) {
    if (dtype == RK_F64) {
        rk_plain_group_norm_tangent_grad(n, pixels, channels, groups, x, d, weight, mean, rstd, gy, gx, gd, gweight);
        return true;
    }
    group_job job = {
        .n = n,
        .pixels = pixels,
        .channels = channels,
        .groups = groups,
        .x = x,
        .d = d,
        .weight = weight,
        .gy = gy,
        .y = gx,
        .gd = gd,
        .mean = (float *)mean,
        .rstd = (float *)rstd};
    bool done = run_groups(&job, tangent_gradient);
    if (done) sum_samples(&job, 1, gweight);
    if (job.sums) rk_free(job.sums, job.bytes);
    return done;
}
