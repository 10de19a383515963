#pragma once

#include "types.h"

// Functions that return bool need workspace from rk_alloc; false: there was none, and the outputs are undefined.

/// x [n, h, w, c_in], weight [c_out, kernel_h, kernel_w, c_in / groups], y [n, out_h, out_w, c_out], zero padding. Each
/// of `groups` equal parts of x's channels makes a part of y's. Float32 for either precision: 3 x 3 convolutions of
/// stride 1, which run in Winograd's form, where rounding would be magnified, and those with a group for each channel.
typedef struct {
    size_t n, h, w, c_in, c_out, kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, groups, out_h, out_w;
    rk_precision precision;
} rk_conv_shape;

/// y = x * weight + bias (bias [c_out], or NULL).
bool rk_conv2d(
    rk_dtype dtype, const rk_conv_shape *shape, const void *x, const void *weight, const void *bias, void *y);

/// The gradient of rk_conv2d for x, from y's gradient gy.
bool rk_conv2d_input_grad(rk_dtype dtype, const rk_conv_shape *shape, const void *gy, const void *weight, void *gx);

/// The gradient of rk_conv2d for the weight.
bool rk_conv2d_weight_grad(rk_dtype dtype, const rk_conv_shape *shape, const void *x, const void *gy, void *gweight);
