#pragma once

#include "types.h"

typedef enum { RK_REDUCE_SUM, RK_REDUCE_MAX, RK_REDUCE_MIN } rk_reduce_op;

/// y[o, i] = reduction over j of x[o, j, i], with x [outer, n, inner], y [outer, inner]. float32 sums keep float64
/// partial sums of blocks, in a fixed order. NaN wins in max and min. n = 0 gives 0, -inf, inf. RK_I32 sums wrap.
void rk_reduce(rk_reduce_op op, rk_dtype dtype, const void *x, void *y, size_t outer, size_t n, size_t inner);

/// Index of the first largest (largest = true) or smallest element along the middle dimension, counted from 0.
void rk_arg_reduce(bool largest, rk_dtype dtype, const void *x, int32_t *y, size_t outer, size_t n, size_t inner);

/// y[o, j, i] = sum over l <= j of x[o, l, i]; reverse sums over l >= j.
void rk_cumsum(bool reverse, rk_dtype dtype, const void *x, void *y, size_t outer, size_t n, size_t inner);

/// Sum of squares, in float64, in a fixed order.
double rk_sum_squares(rk_dtype dtype, const void *x, size_t count);

/// Sorts each row of x [rows, n] into y and its indices, from 0, into `order` (either may be NULL): upwards with NaN
/// last, or downwards with NaN first, equal ones in their order. False when there is no memory for scratch.
bool rk_sort_rows(bool descending, rk_dtype dtype, const void *x, void *y, int32_t *order, size_t rows, size_t n);

/// The indices, from 0, of the first `count` <= n elements of each row of x [rows, n] as rk_sort_rows would order them.
bool rk_top_rows(bool largest, rk_dtype dtype, const void *x, int32_t *order, size_t rows, size_t n, size_t count);

/// Indices within rows of n [rows, count], from 0, become indices from 1; `whole` gets those over all rows, from 1.
void rk_indices_from_one(int32_t *order, int32_t *whole, size_t rows, size_t count, size_t n);

size_t rk_count_nonzero(rk_dtype dtype, const void *x, size_t count);

/// The indices of x's elements that are not zero, in order, `rank` numbers from 1 for each.
void rk_nonzero(rk_dtype dtype, const void *x, int rank, const size_t *shape, int32_t *indices);

/// Whether all elements are 0 or 1.
bool rk_is_mask(rk_dtype dtype, const void *x, size_t count);

/// How many elements are NaN or infinite.
size_t rk_count_nonfinite(rk_dtype dtype, const void *x, size_t count);
