// What attention and its tangent share: tiles of scores, [TILE_KEYS, TILE_QUERIES], and rows of heads.
#pragma once

#include <string.h>

#include "private.h"
#include "simd/math.h"
#include "simd/transpose.h"

enum { TILE_QUERIES = 64, TILE_KEYS = 128 };

/// Pieces that one thread should take at once, given how many products of a tile each of them makes.
static inline size_t rk_tile_grain(const rk_attention_shape *s, double products) {
    return rk_max(1, (size_t)(2e6 / (products * TILE_QUERIES * TILE_KEYS * (double)rk_max(1, s->width))));
}

/// Tiles of queries of a piece, which share each tile of keys and values: four, or fewer where RK_PIECES pieces would
/// not come about otherwise.
static inline size_t rk_query_span(const rk_attention_shape *s) {
    return rk_max(1, rk_min(4, s->batch * s->heads * rk_ceil_div(s->queries, TILE_QUERIES) / RK_PIECES));
}

/// Copies rows of one head to adjacent memory: with their strides they may displace each other from the cache.
static inline void rk_gather_head_rows(size_t rows, size_t width, const float *x, size_t stride, float *out) {
    for (size_t r = 0; r < rows; r++) memcpy(out + r * width, x + r * stride, width * sizeof(float));
}

static inline void rk_clear_rows(const rk_attention_shape *s, rk_attention_stride stride, size_t rows, float *g) {
    for (size_t at = 0; at < s->batch * s->heads * rows; at++)
        memset(
            g + rk_row_offset(stride, at / rows / s->heads, at / rows % s->heads, at % rows), 0,
            s->width * sizeof(float));
}
