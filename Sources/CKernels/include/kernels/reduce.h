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

/// Sorts each row of x [rows, n] upwards into y, NaN last; `order` (may be NULL) gets the indices from 0, stable.
/// False when there is no memory for scratch.
bool rk_sort_rows(rk_dtype dtype, const void *x, void *y, int32_t *order, size_t rows, size_t n);

/// How many elements are NaN or infinite.
size_t rk_count_nonfinite(rk_dtype dtype, const void *x, size_t count);
