#pragma once

#include "types.h"

// Functions that return bool need workspace from rk_alloc; false: there was none, and the outputs are undefined.

/// x [n, h, w, c_in], weight [c_out, kernel_h, kernel_w, c_in], y [n, out_h, out_w, c_out], zero padding. 3 x 3
/// convolutions of stride 1 are float32 for either precision: they run in Winograd's form, which would magnify
/// rounding.
typedef struct {
    size_t n, h, w, c_in, c_out, kernel_h, kernel_w, stride, pad, out_h, out_w;
    rk_precision precision;
} rk_conv_shape;

/// y = x * weight + bias (bias [c_out], or NULL).
bool rk_conv2d(
    rk_dtype dtype, const rk_conv_shape *shape, const void *x, const void *weight, const void *bias, void *y);

/// The gradient of rk_conv2d for x, from y's gradient gy.
bool rk_conv2d_input_grad(rk_dtype dtype, const rk_conv_shape *shape, const void *gy, const void *weight, void *gx);

/// The gradient of rk_conv2d for the weight.
bool rk_conv2d_weight_grad(rk_dtype dtype, const rk_conv_shape *shape, const void *x, const void *gy, void *gweight);

/// Small images [n, h, w, c], and large ones [n, factor h, factor w, c].
typedef struct {
    size_t n, h, w, c, factor;
} rk_pool_shape;

/// Repeats each pixel of the small images x factor x factor times, which makes the large images y.
void rk_upsample_nearest(rk_dtype dtype, const rk_pool_shape *shape, const void *x, void *y);

/// Sums factor x factor pixels of the large images x, times scale, which makes the small images y.
void rk_sum_pool(rk_dtype dtype, const rk_pool_shape *shape, double scale, const void *x, void *y);
