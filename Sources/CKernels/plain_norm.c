// The float64 forms of norms and softmax: loops over their definitions. A layer norm is the group norm of samples of
// one pixel and one group.
#include <math.h>
#include <string.h>

#include "private.h"

/// Numbers of a group, which is to have at least one to be divided by.
static double numbers_of(const rk_group_norm_shape *s, size_t width) { return (double)rk_max(1, s->pixels * width); }

/// Calls what follows for every element `at`, of channel c, of sample i's group g; a group has `width` channels.
#define EACH_IN_GROUP(i, g, c, at) \
    for (size_t pixel = 0; pixel < s->pixels; pixel++) \
        for (size_t c = (g)*width, at = ((i)*s->pixels + pixel) * s->channels + c; c < ((g) + 1) * width; c++, at++)

static void clear(double *grad, size_t count) {
    if (grad) memset(grad, 0, count * sizeof(double));
}

void rk_plain_group_norm(const rk_group_norm_shape *s, rk_norm_inputs in, double *y, double *mean, double *rstd) {
    const double *x = in.x, *weight = in.weight, *bias = in.bias;
    size_t width = s->channels / s->groups;
    double count = numbers_of(s, width);
    for (size_t i = 0; i < s->n; i++)
        for (size_t g = 0; g < s->groups; g++) {
            double sum = 0, squares = 0;
            EACH_IN_GROUP(i, g, c, at) sum += x[at];
            double m = sum / count;
            EACH_IN_GROUP(i, g, c, at) squares += (x[at] - m) * (x[at] - m);
            double r = 1 / sqrt(squares / count + s->eps);
            EACH_IN_GROUP(i, g, c, at) {
                double z = (x[at] - m) * r * (weight ? weight[c] : 1) + (bias ? bias[c] : 0);
                y[at] = s->silu ? rk_silu_f64(z) : z;
            }
            mean[i * s->groups + g] = m, rstd[i * s->groups + g] = r;
        }
}

void rk_plain_group_norm_grad(
    const rk_group_norm_shape *s, rk_norm_inputs in, const double *mean, const double *rstd, const double *gy,
    rk_norm_grads grads) {
    const double *x = in.x, *weight = in.weight, *bias = in.bias;
    double *gx = grads.x, *gweight = grads.weight, *gbias = grads.bias;
    size_t width = s->groups ? s->channels / s->groups : 0;
    double count = numbers_of(s, width);
    clear(gweight, s->channels);
    clear(gbias, s->channels);
    for (size_t i = 0; i < s->n; i++)
        for (size_t g = 0; g < s->groups; g++) {
            double m = mean[i * s->groups + g], r = rstd[i * s->groups + g], sum = 0, product = 0;
            EACH_IN_GROUP(i, g, c, at) {
                double normal = (x[at] - m) * r, w = weight ? weight[c] : 1;
                double gz = gy[at] * (s->silu ? rk_silu_slope_f64(normal * w + (bias ? bias[c] : 0)) : 1);
                gx[at] = gz * w;
                sum += gx[at], product += gx[at] * normal;
                if (gweight) gweight[c] += gz * normal;
                if (gbias) gbias[c] += gz;
            }
            EACH_IN_GROUP(i, g, c, at) gx[at] = r * (gx[at] - (sum + (x[at] - m) * r * product) / count);
        }
}

void rk_plain_group_norm_tangent(
    const rk_group_norm_shape *s, rk_norm_inputs in, double *y, double *mean, double *rstd) {
    rk_group_norm_shape plain = *s;
    plain.silu = false;
    rk_norm_inputs x = {.x = in.x};
    rk_plain_group_norm(&plain, x, y, mean, rstd);
    // The Jacobian is symmetric: the gradient from d is the tangent along d.
    rk_plain_group_norm_grad(&plain, x, mean, rstd, in.d, (rk_norm_grads){.x = y});
    const double *weight = in.weight;
    for (size_t i = 0; weight && i < s->n * s->pixels * s->channels; i++) y[i] *= weight[i % s->channels];
}

void rk_plain_group_norm_tangent_grad(
    const rk_group_norm_shape *s, rk_norm_inputs in, const double *mean, const double *rstd, const double *gy,
    rk_norm_grads grads) {
    const double *x = in.x, *d = in.d, *weight = in.weight;
    double *gx = grads.x, *gd = grads.d, *gweight = grads.weight;
    size_t width = s->groups ? s->channels / s->groups : 0;
    double count = numbers_of(s, width);
    clear(gweight, s->channels);
    for (size_t i = 0; i < s->n; i++)
        for (size_t g = 0; g < s->groups; g++) {
            double m = mean[i * s->groups + g], r = rstd[i * s->groups + g], u = 0, un = 0, v = 0, vn = 0, uv = 0;
            EACH_IN_GROUP(i, g, c, at) {
                double normal = (x[at] - m) * r, slope = gy[at] * (weight ? weight[c] : 1);
                u += d[at] / count, un += d[at] * normal / count, v += slope / count, vn += slope * normal / count;
                uv += slope * d[at] / count;
            }
            EACH_IN_GROUP(i, g, c, at) {
                double normal = (x[at] - m) * r, slope = gy[at] * (weight ? weight[c] : 1);
                if (gweight) gweight[c] += gy[at] * r * (d[at] - u - normal * un);
                gx[at] = -r * r * (normal * (uv - u * v - 3 * un * vn) + un * (slope - v) + vn * (d[at] - u));
                gd[at] = r * (slope - v - normal * vn);
            }
        }
}

// MARK: - Rows

/// One set of rows as samples of one pixel and one group, with where the set begins.
typedef struct {
    rk_group_norm_shape shape;
    size_t row, first, weights; // its first row, its first number and its first weight
} row_set;

static row_set set_of(const rk_layer_norm_shape *s, size_t set) {
    size_t rows = s->rows / s->sets;
    return (row_set){{rows, 1, s->width, 1, s->eps, false}, set * rows, set * rows * s->width, set * s->width};
}

static const double *from(const void *numbers, size_t offset) {
    return numbers ? (const double *)numbers + offset : NULL;
}
static double *into(void *numbers, size_t offset) { return numbers ? (double *)numbers + offset : NULL; }

static rk_norm_inputs inputs_of(rk_norm_inputs in, const row_set *s) {
    return (rk_norm_inputs){
        from(in.x, s->first), from(in.d, s->first), from(in.weight, s->weights), from(in.bias, s->weights)};
}

static rk_norm_grads grads_of(rk_norm_grads grads, const row_set *s) {
    return (rk_norm_grads){
        into(grads.x, s->first), into(grads.d, s->first), into(grads.weight, s->weights), into(grads.bias, s->weights)};
}

void rk_plain_layer_norm(const rk_layer_norm_shape *s, rk_norm_inputs in, double *y, double *mean, double *rstd) {
    for (size_t i = 0; i < s->sets; i++) {
        row_set set = set_of(s, i);
        rk_plain_group_norm(&set.shape, inputs_of(in, &set), y + set.first, mean + set.row, rstd + set.row);
    }
}

void rk_plain_layer_norm_grad(
    const rk_layer_norm_shape *s, rk_norm_inputs in, const double *mean, const double *rstd, const double *gy,
    rk_norm_grads grads) {
    for (size_t i = 0; i < s->sets; i++) {
        row_set set = set_of(s, i);
        rk_plain_group_norm_grad(
            &set.shape, inputs_of(in, &set), mean + set.row, rstd + set.row, gy + set.first, grads_of(grads, &set));
    }
}

void rk_plain_layer_norm_tangent(
    const rk_layer_norm_shape *s, rk_norm_inputs in, double *y, double *mean, double *rstd) {
    for (size_t i = 0; i < s->sets; i++) {
        row_set set = set_of(s, i);
        rk_plain_group_norm_tangent(&set.shape, inputs_of(in, &set), y + set.first, mean + set.row, rstd + set.row);
    }
}

void rk_plain_layer_norm_tangent_grad(
    const rk_layer_norm_shape *s, rk_norm_inputs in, const double *mean, const double *rstd, const double *gy,
    rk_norm_grads grads) {
    for (size_t i = 0; i < s->sets; i++) {
        row_set set = set_of(s, i);
        rk_plain_group_norm_tangent_grad(
            &set.shape, inputs_of(in, &set), mean + set.row, rstd + set.row, gy + set.first, grads_of(grads, &set));
    }
}

// MARK: - Softmax

void rk_plain_softmax(bool logarithm, size_t rows, size_t width, const double *x, double *y) {
    for (size_t r = 0; r < rows; r++, x += width, y += width) {
        double largest = -INFINITY, sum = 0;
        for (size_t j = 0; j < width; j++) largest = fmax(largest, x[j]);
        for (size_t j = 0; j < width; j++) sum += exp(x[j] - largest);
        for (size_t j = 0; j < width; j++) y[j] = logarithm ? x[j] - largest - log(sum) : exp(x[j] - largest) / sum;
    }
}

void rk_plain_softmax_grad(bool logarithm, size_t rows, size_t width, const double *y, const double *gy, double *gx) {
    for (size_t r = 0; r < rows; r++, y += width, gy += width, gx += width) {
        double sum = 0;
        for (size_t j = 0; j < width; j++) sum += logarithm ? gy[j] : gy[j] * y[j];
        for (size_t j = 0; j < width; j++) gx[j] = logarithm ? gy[j] - exp(y[j]) * sum : y[j] * (gy[j] - sum);
    }
}
