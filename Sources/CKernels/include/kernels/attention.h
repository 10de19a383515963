#pragma once

#include "types.h"

// Functions that return bool need workspace from rk_alloc; false: there was none, and the outputs are undefined.

/// Where the parts of queries, keys, values and output lie, in elements: batch, row (position) and head strides; the
/// `width` elements of a head are adjacent. Strides let q, k and v be slices of one packed product.
typedef struct {
    size_t batch, row, head;
} rk_attention_stride;

typedef struct {
    size_t batch, heads, queries, keys, width;
    double scale;
    rk_attention_stride q, k, v, out;
    rk_precision precision;
} rk_attention_shape;

/// out = softmax(scale q k^T) v for each batch and head, without storing the scores. `lse` [batch, heads, queries]
/// gets the logarithm of each row's sum of exponentials.
bool rk_attention(
    rk_dtype dtype, const rk_attention_shape *shape, const void *q, const void *k, const void *v, void *out, void *lse);

/// Gradients for q, k and v, laid out as q, k and v are, from the output's gradient (laid out as out).
bool rk_attention_grad(
    rk_dtype dtype, const rk_attention_shape *shape, const void *q, const void *k, const void *v, const void *out,
    const void *lse, const void *gout, void *gq, void *gk, void *gv);

/// How out changes as q, k and v move along dq, dk and dv, which lie as they do; laid out as out. `mean` [batch, heads,
/// queries] gets each query's mean of the scores' tangents, which its gradient needs. There must be keys.
bool rk_attention_tangent(
    rk_dtype dtype, const rk_attention_shape *shape, const void *q, const void *k, const void *v, const void *dq,
    const void *dk, const void *dv, const void *out, const void *lse, void *tangent, void *mean);

/// Gradients of rk_attention_tangent from its output's, laid out as what they are the gradients of.
bool rk_attention_tangent_grad(
    rk_dtype dtype, const rk_attention_shape *shape, const void *q, const void *k, const void *v, const void *dq,
    const void *dk, const void *dv, const void *out, const void *lse, const void *tangent, const void *mean,
    const void *g, void *gq, void *gk, void *gv, void *gdq, void *gdk, void *gdv);
