#pragma once

#include "types.h"

// Functions that return bool need workspace from rk_alloc; false: there was none, and the outputs are undefined.

/// What a norm reads. The functions for tangents alone read `d`, the tangent of x, and do not read the bias. Weight and
/// bias may be NULL.
typedef struct {
    const void *x, *d, *weight, *bias;
} rk_norm_inputs;

/// Where the gradients of a norm's inputs go. Those of weight and bias may be NULL; `d` is for tangents alone.
typedef struct {
    void *x, *d, *weight, *bias;
} rk_norm_grads;

/// Images [n, pixels, channels] whose channels are in equal groups. eps is not used by gradients. `silu`, which follows
/// the norm, is not used by tangents.
typedef struct {
    size_t n, pixels, channels, groups;
    double eps;
    bool silu;
} rk_group_norm_shape;

/// x normalised over each sample's groups of channels, then scaled and shifted by weight and bias [channels], then put
/// through `silu`. Also writes mean and rstd = 1 / sqrt(var + eps), [n, groups].
bool rk_group_norm(
    rk_dtype dtype, const rk_group_norm_shape *shape, rk_norm_inputs in, void *y, void *mean, void *rstd);

/// Gradients of rk_group_norm from gy. The bias is read for `silu` alone.
bool rk_group_norm_grad(
    rk_dtype dtype, const rk_group_norm_shape *shape, rk_norm_inputs in, const void *mean, const void *rstd,
    const void *gy, rk_norm_grads grads);

/// The tangent of rk_group_norm where x has the tangent d: y = weight J d, J the Jacobian of the normalisation. Also
/// writes mean and rstd.
bool rk_group_norm_tangent(
    rk_dtype dtype, const rk_group_norm_shape *shape, rk_norm_inputs in, void *y, void *mean, void *rstd);

/// Gradients of rk_group_norm_tangent from gy.
bool rk_group_norm_tangent_grad(
    rk_dtype dtype, const rk_group_norm_shape *shape, rk_norm_inputs in, const void *mean, const void *rstd,
    const void *gy, rk_norm_grads grads);

/// Rows [rows, width], with weights [sets, width]: a set for each of as many equal runs of rows. eps is not used by
/// gradients.
typedef struct {
    size_t rows, width, sets;
    double eps;
} rk_layer_norm_shape;

/// Rows of x normalised to mean 0 and variance 1, then scaled and shifted by weight and bias (both or neither NULL).
/// Also writes mean and rstd, [rows].
void rk_layer_norm(
    rk_dtype dtype, const rk_layer_norm_shape *shape, rk_norm_inputs in, void *y, void *mean, void *rstd);

/// Gradients of rk_layer_norm from gy.
bool rk_layer_norm_grad(
    rk_dtype dtype, const rk_layer_norm_shape *shape, rk_norm_inputs in, const void *mean, const void *rstd,
    const void *gy, rk_norm_grads grads);

/// The tangent of rk_layer_norm where x has the tangent d, and its gradients, as for the group norm.
void rk_layer_norm_tangent(
    rk_dtype dtype, const rk_layer_norm_shape *shape, rk_norm_inputs in, void *y, void *mean, void *rstd);
bool rk_layer_norm_tangent_grad(
    rk_dtype dtype, const rk_layer_norm_shape *shape, rk_norm_inputs in, const void *mean, const void *rstd,
    const void *gy, rk_norm_grads grads);

/// Softmax of each row of x [rows, width]; `logarithm` gives its logarithm.
void rk_softmax(rk_dtype dtype, bool logarithm, size_t rows, size_t width, const void *x, void *y);

/// gx from y = softmax(x) and gy: y (gy - sum(gy y)); for the logarithm: gy - exp(y) sum(gy).
void rk_softmax_grad(
    rk_dtype dtype, bool logarithm, size_t rows, size_t width, const void *y, const void *gy, void *gx);
