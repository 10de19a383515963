#pragma once

#include "types.h"

/// RK_NEG and so on, as unary.def lists them.
typedef enum {
#define RK_UNARY(NAME, name, f64, f32) RK_##NAME,
#include "unary.def"
    RK_UNARY_COUNT
} rk_unary_op;

/// y[i] = op(x[i]). RK_I32 knows neg, abs, sign and square only. y may be x.
void rk_unary(rk_unary_op op, rk_dtype dtype, const void *x, void *y, size_t count);

/// RK_ADD and so on, as binary.def lists them.
typedef enum {
#define RK_BINARY(NAME, name, f64, f32) RK_##NAME,
#include "binary.def"
    RK_BINARY_COUNT
} rk_binary_op;

/// y = op(a, b) over the broadcast shape `y_shape` (rank numbers). `a_shape` and `b_shape` have the same rank, with 1
/// where they are repeated. Comparisons give 1 or 0 in the same type. A NaN in either input of maximum or minimum
/// gives NaN. RK_I32 knows add, sub, mul, maximum, minimum and the comparisons.
void rk_binary(
    rk_binary_op op, rk_dtype dtype, int rank, const size_t *y_shape, const void *a, const size_t *a_shape,
    const void *b, const size_t *b_shape, void *y);

/// y[i] = scale * x[i] + shift. y may be x.
void rk_affine(rk_dtype dtype, double scale, double shift, const void *x, void *y, size_t count);

/// y[i] = x[i]^exponent; integer exponents are exact for negative x, and 1/2 is the square root, also of -infinity
/// (NaN) and -0 (-0), where C's pow differs. y may be x.
void rk_power(rk_dtype dtype, double exponent, const void *x, void *y, size_t count);

/// y[i] = min(max(x[i], low), high); NaN stays NaN. y may be x.
void rk_clamp(rk_dtype dtype, double low, double high, const void *x, void *y, size_t count);

/// y[i] = condition[i] != 0 ? a[i] : b[i], all of one type and size.
void rk_where(rk_dtype dtype, const void *condition, const void *a, const void *b, void *y, size_t count);

void rk_fill(rk_dtype dtype, double value, void *y, size_t count);

/// Converts between types; to RK_I32 rounds towards zero and saturates, NaN gives 0. RK_BF16 is converted to and from
/// RK_F32 alone.
void rk_cast(rk_dtype from, const void *x, rk_dtype to, void *y, size_t count);

/// Copies a block of shape `size` between two strided arrays (strides in elements; 0 repeats the input): permutes,
/// expands, slices, and writes slices. Swapping the last two dimensions is blocked for the cache.
void rk_copy_strided(
    rk_dtype dtype, int rank, const size_t *size, const void *x, const ptrdiff_t *x_stride, void *y,
    const ptrdiff_t *y_stride);

/// y[i, :] = x[index[i], :], rows of `width` elements. Indices are taken as checked.
void rk_gather_rows(rk_dtype dtype, const void *x, const int32_t *index, void *y, size_t count, size_t width);

/// y[index[i], :] += x[i, :] in the order of i. y is accumulated.
void rk_scatter_add_rows(rk_dtype dtype, const void *x, const int32_t *index, void *y, size_t count, size_t width);

/// The smallest and largest of count indices (0, -1 when there are none).
void rk_index_range(const int32_t *index, size_t count, int32_t *lowest, int32_t *highest);
