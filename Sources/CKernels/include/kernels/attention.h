#pragma once

#include "types.h"

// Functions that return bool need workspace from rk_alloc; false: there was none, and the outputs are undefined.

/// Where the rows of queries, keys, values and output are, in elements from one batch, row (position) and head to the
/// next; the `width` elements of a head are adjacent. Strides let q, k and v be slices of one packed product.
typedef struct {
    size_t batch, row, head;
} rk_attention_stride;

typedef struct {
    size_t batch, heads, queries, keys, width;
    double scale;
    rk_attention_stride q, k, v, out;
    rk_precision precision;
} rk_attention_shape;

/// Queries, keys and values, or their tangents, with the strides of the shape.
typedef struct {
    const void *q, *k, *v;
} rk_attention_inputs;

/// Where gradients of queries, keys and values, or of their tangents, go, with the same strides.
typedef struct {
    void *q, *k, *v;
} rk_attention_grads;

/// What attention and its tangent wrote, which their gradients read. Only the gradients of the tangent need `tangent`
/// and `mean`.
typedef struct {
    const void *out, *lse, *tangent, *mean;
} rk_attention_results;

/// out = softmax(scale q k^T) v for each batch and head, without storing the scores. `lse` [batch, heads, queries]
/// gets the logarithm of each row's sum of exponentials.
bool rk_attention(rk_dtype dtype, const rk_attention_shape *shape, rk_attention_inputs in, void *out, void *lse);

/// Gradients from gout, the gradient of `out`, which has its strides.
bool rk_attention_grad(
    rk_dtype dtype, const rk_attention_shape *shape, rk_attention_inputs in, rk_attention_results results,
    const void *gout, rk_attention_grads grads);

/// The tangent of `out`, with its strides, where q, k and v have the tangents `d`. `mean` [batch, heads, queries] gets
/// each query's mean of the scores' tangents, which the gradients need. There must be keys.
bool rk_attention_tangent(
    rk_dtype dtype, const rk_attention_shape *shape, rk_attention_inputs in, rk_attention_inputs d, const void *out,
    const void *lse, void *tangent, void *mean);

/// Gradients of rk_attention_tangent from g, the gradient of `tangent`: for q, k and v, and for their tangents.
bool rk_attention_tangent_grad(
    rk_dtype dtype, const rk_attention_shape *shape, rk_attention_inputs in, rk_attention_inputs d,
    rk_attention_results results, const void *g, rk_attention_grads grads, rk_attention_grads d_grads);
