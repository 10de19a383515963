#pragma once

#include "types.h"

// Functions that return bool need workspace from rk_alloc; false: there was none, and the outputs are undefined.

/// x [n, pixels, channels] normalised over each sample's groups of channels, then scaled and shifted by weight and bias
/// [channels] (either may be NULL), then put through `silu`. Also writes mean and rstd = 1 / sqrt(var + eps), [n,
/// groups].
bool rk_group_norm(
    rk_dtype dtype, size_t n, size_t pixels, size_t channels, size_t groups, double eps, bool silu, const void *x,
    const void *weight, const void *bias, void *y, void *mean, void *rstd);

/// Gradients of rk_group_norm from gy; gweight and gbias may be NULL. The bias is read for `silu` alone.
bool rk_group_norm_grad(
    rk_dtype dtype, size_t n, size_t pixels, size_t channels, size_t groups, bool silu, const void *x,
    const void *weight, const void *bias, const void *mean, const void *rstd, const void *gy, void *gx, void *gweight,
    void *gbias);

/// The tangent of rk_group_norm as x moves along d: y = weight J d, J the Jacobian of the normalisation. Also mean and
/// rstd.
bool rk_group_norm_tangent(
    rk_dtype dtype, size_t n, size_t pixels, size_t channels, size_t groups, double eps, const void *x, const void *d,
    const void *weight, void *y, void *mean, void *rstd);

/// Gradients of rk_group_norm_tangent from gy; gweight may be NULL.
bool rk_group_norm_tangent_grad(
    rk_dtype dtype, size_t n, size_t pixels, size_t channels, size_t groups, const void *x, const void *d,
    const void *weight, const void *mean, const void *rstd, const void *gy, void *gx, void *gd, void *gweight);

/// Rows of x [rows, width] normalised to mean 0 and variance 1, then scaled and shifted by weight and bias (both or
/// neither NULL), [sets, width]: a set for each of as many equal runs of rows. Also writes mean and rstd, [rows].
void rk_layer_norm(
    rk_dtype dtype, size_t rows, size_t width, size_t sets, double eps, const void *x, const void *weight,
    const void *bias, void *y, void *mean, void *rstd);

/// Gradients of rk_layer_norm from gy; gweight and gbias [sets, width] may be NULL.
bool rk_layer_norm_grad(
    rk_dtype dtype, size_t rows, size_t width, size_t sets, const void *x, const void *weight, const void *mean,
    const void *rstd, const void *gy, void *gx, void *gweight, void *gbias);

/// The tangent of rk_layer_norm as x moves along d, and its gradients, as for the group norm.
void rk_layer_norm_tangent(
    rk_dtype dtype, size_t rows, size_t width, size_t sets, double eps, const void *x, const void *d,
    const void *weight, void *y, void *mean, void *rstd);
bool rk_layer_norm_tangent_grad(
    rk_dtype dtype, size_t rows, size_t width, size_t sets, const void *x, const void *d, const void *weight,
    const void *mean, const void *rstd, const void *gy, void *gx, void *gd, void *gweight);

/// Softmax of each row of x [rows, width]; `logarithm` gives its logarithm.
void rk_softmax(rk_dtype dtype, bool logarithm, size_t rows, size_t width, const void *x, void *y);

/// gx from y = softmax(x) and gy: y (gy - sum(gy y)); for the logarithm: gy - exp(y) sum(gy).
void rk_softmax_grad(
    rk_dtype dtype, bool logarithm, size_t rows, size_t width, const void *y, const void *gy, void *gx);
