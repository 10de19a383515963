#pragma once

#include "types.h"

/// Small images [n, h, w, c], and large ones [n, factor h, factor w, c].
typedef struct {
    size_t n, h, w, c, factor;
} rk_block_shape;

/// Repeats each pixel of the small images x factor x factor times, which makes the large images y.
void rk_upsample_nearest(rk_dtype dtype, const rk_block_shape *shape, const void *x, void *y);

/// Sums factor x factor pixels of the large images x, which makes the small images y.
void rk_sum_blocks(rk_dtype dtype, const rk_block_shape *shape, const void *x, void *y);

/// x [n, h, w, c], y [n, out_h, out_w, c]: each pixel of y sees a window of kernel_h x kernel_w pixels of x, padded at
/// its borders. Every window meets x. Windows may reach beyond the padding at the bottom and to the right.
typedef struct {
    size_t n, h, w, c, kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, out_h, out_w;
    /// Whether the mean counts padding, as zeros; pixels beyond the padding never count.
    bool count_padding;
} rk_pool_shape;

/// y = the largest of each window, padding left out; NaN wins.
void rk_max_pool(rk_dtype dtype, const rk_pool_shape *shape, const void *x, void *y);

/// The first element of x, counted from 1, that is the largest of each window, or that is NaN; x has less than 2^31.
void rk_max_pool_index(rk_dtype dtype, const rk_pool_shape *shape, const void *x, int32_t *index);

/// y = the mean of each window.
void rk_avg_pool(rk_dtype dtype, const rk_pool_shape *shape, const void *x, void *y);

/// The gradient of rk_avg_pool.
void rk_avg_pool_input_grad(rk_dtype dtype, const rk_pool_shape *shape, const void *gy, void *gx);
