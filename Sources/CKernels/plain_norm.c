// The float64 forms of norms and softmax: loops over their definitions. A layer norm is the group norm of samples of
// one pixel and one group.
#include <math.h>
#include <string.h>

#include "private.h"

/// Calls `each` for every element of sample i's group g.
#define EACH_IN_GROUP(i, g, c, at) \
    for (size_t p_ = 0; p_ < pixels; p_++) \
        for (size_t c = (g)*width, at = ((i)*pixels + p_) * channels + c; c < ((g) + 1) * width; c++, at++)

void rk_plain_group_norm(
    size_t n, size_t pixels, size_t channels, size_t groups, double eps, bool silu, const double *x,
    const double *weight, const double *bias, double *y, double *mean, double *rstd) {
    size_t width = channels / groups;
    double count = (double)rk_max(1, pixels * width);
    for (size_t i = 0; i < n; i++)
        for (size_t g = 0; g < groups; g++) {
            double sum = 0, squares = 0;
            EACH_IN_GROUP(i, g, c, at) sum += x[at];
            double m = sum / count;
            EACH_IN_GROUP(i, g, c, at) squares += (x[at] - m) * (x[at] - m);
            double r = 1 / sqrt(squares / count + eps);
            EACH_IN_GROUP(i, g, c, at) {
                double z = (x[at] - m) * r * (weight ? weight[c] : 1) + (bias ? bias[c] : 0);
                y[at] = silu ? rk_silu_f64(z) : z;
            }
            mean[i * groups + g] = m, rstd[i * groups + g] = r;
        }
}

void rk_plain_group_norm_grad(
    size_t n, size_t pixels, size_t channels, size_t groups, bool silu, const double *x, const double *weight,
    const double *bias, const double *mean, const double *rstd, const double *gy, double *gx, double *gweight,
    double *gbias) {
    size_t width = groups ? channels / groups : 0;
    double count = (double)rk_max(1, pixels * width);
    if (gweight) memset(gweight, 0, channels * sizeof(double));
    if (gbias) memset(gbias, 0, channels * sizeof(double));
    for (size_t i = 0; i < n; i++)
        for (size_t g = 0; g < groups; g++) {
            double m = mean[i * groups + g], r = rstd[i * groups + g], sum = 0, product = 0;
            EACH_IN_GROUP(i, g, c, at) {
                double normal = (x[at] - m) * r, w = weight ? weight[c] : 1;
                double gz = gy[at] * (silu ? rk_silu_slope_f64(normal * w + (bias ? bias[c] : 0)) : 1);
                gx[at] = gz * w;
                sum += gx[at], product += gx[at] * normal;
                if (gweight) gweight[c] += gz * normal;
                if (gbias) gbias[c] += gz;
            }
            EACH_IN_GROUP(i, g, c, at) gx[at] = r * (gx[at] - (sum + (x[at] - m) * r * product) / count);
        }
}

void rk_plain_group_norm_tangent(
    size_t n, size_t pixels, size_t channels, size_t groups, double eps, const double *x, const double *d,
    const double *weight, double *y, double *mean, double *rstd) {
    rk_plain_group_norm(n, pixels, channels, groups, eps, false, x, NULL, NULL, y, mean, rstd);
    // The Jacobian is symmetric.
    rk_plain_group_norm_grad(n, pixels, channels, groups, false, x, NULL, NULL, mean, rstd, d, y, NULL, NULL);
    for (size_t i = 0; weight && i < n * pixels * channels; i++) y[i] *= weight[i % channels];
}

void rk_plain_group_norm_tangent_grad(
    size_t n, size_t pixels, size_t channels, size_t groups, const double *x, const double *d, const double *weight,
    const double *mean, const double *rstd, const double *gy, double *gx, double *gd, double *gweight) {
    size_t width = groups ? channels / groups : 0;
    double count = (double)rk_max(1, pixels * width);
    if (gweight) memset(gweight, 0, channels * sizeof(double));
    for (size_t i = 0; i < n; i++)
        for (size_t g = 0; g < groups; g++) {
            double m = mean[i * groups + g], r = rstd[i * groups + g], u = 0, un = 0, v = 0, vn = 0, uv = 0;
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

/// Calls `body` for each set, with its first row, its first number and its first weight.
#define EACH_SET(body) \
    for (size_t s_ = 0, each = rows / sets; s_ < sets; s_++) { \
        size_t row = s_ * each, at = row * width, w = s_ * width; \
        body; \
    }
#define OR_NULL(pointer, offset) ((pointer) ? (pointer) + (offset) : NULL)

void rk_plain_layer_norm(
    size_t rows, size_t width, size_t sets, double eps, const double *x, const double *weight, const double *bias,
    double *y, double *mean, double *rstd) {
    EACH_SET(rk_plain_group_norm(
        each, 1, width, 1, eps, false, x + at, OR_NULL(weight, w), OR_NULL(bias, w), y + at, mean + row, rstd + row))
}

void rk_plain_layer_norm_grad(
    size_t rows, size_t width, size_t sets, const double *x, const double *weight, const double *mean,
    const double *rstd, const double *gy, double *gx, double *gweight, double *gbias) {
    EACH_SET(rk_plain_group_norm_grad(
        each, 1, width, 1, false, x + at, OR_NULL(weight, w), NULL, mean + row, rstd + row, gy + at, gx + at,
        OR_NULL(gweight, w), OR_NULL(gbias, w)))
}

void rk_plain_layer_norm_tangent(
    size_t rows, size_t width, size_t sets, double eps, const double *x, const double *d, const double *weight,
    double *y, double *mean, double *rstd) {
    EACH_SET(rk_plain_group_norm_tangent(
        each, 1, width, 1, eps, x + at, d + at, OR_NULL(weight, w), y + at, mean + row, rstd + row))
}

void rk_plain_layer_norm_tangent_grad(
    size_t rows, size_t width, size_t sets, const double *x, const double *d, const double *weight, const double *mean,
    const double *rstd, const double *gy, double *gx, double *gd, double *gweight) {
    EACH_SET(rk_plain_group_norm_tangent_grad(
        each, 1, width, 1, x + at, d + at, OR_NULL(weight, w), mean + row, rstd + row, gy + at, gx + at, gd + at,
        OR_NULL(gweight, w)))
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
