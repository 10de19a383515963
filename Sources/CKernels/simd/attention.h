// What softmax(scale q k^T) v needs beside products.
#include "attention_tiles.h"

/// Online softmax: scores (times scale) become exp(score - largest); `largest` and `sum` go on from the tiles before,
/// and `shrink` is what earlier results are to be multiplied by.
static void RK_LEVEL(exponentiate_tile)(
    size_t keys, float scale, float *restrict scores, float *restrict largest, float *restrict sum,
    float *restrict shrink) {
    float most[TILE_QUERIES], total[TILE_QUERIES] = {0};
    for (size_t i = 0; i < TILE_QUERIES; i++) most[i] = largest[i];
    for (size_t j = 0; j < keys; j++)
        for (size_t i = 0; i < TILE_QUERIES; i++) {
            float s = scale * scores[j * TILE_QUERIES + i];
            most[i] = s > most[i] ? s : most[i];
        }
    for (size_t i = 0; i < TILE_QUERIES; i++) {
        shrink[i] = most[i] > largest[i] ? rk_exp_low_f32(largest[i] - most[i]) : 1.0f;
        largest[i] = most[i];
        most[i] = most[i] < -3e38f ? 0 : most[i];   // all scores -inf: exp(-inf - 0) = 0, not NaN
    }
    for (size_t j = 0; j < keys; j++)
        for (size_t i = 0; i < TILE_QUERIES; i++) {
            float e = rk_exp_low_f32(scale * scores[j * TILE_QUERIES + i] - most[i]);
            scores[j * TILE_QUERIES + i] = e;
            total[i] += e;
        }
    for (size_t i = 0; i < TILE_QUERIES; i++) sum[i] = sum[i] * shrink[i] + total[i];
}

static void RK_LEVEL(scale_tile)(size_t rows, size_t width, const float *factor, float *x, size_t stride) {
    for (size_t i = 0; i < rows; i++)
        for (size_t d = 0; d < width; d++) x[i * stride + d] *= factor[i];
}

/// slope = scale p (slope - mean).
static void RK_LEVEL(score_slopes)(size_t keys, float scale, const float *p, const float *mean, float *slope) {
    for (size_t j = 0; j < keys; j++)
        for (size_t i = 0; i < TILE_QUERIES; i++)
            slope[j * TILE_QUERIES + i] = scale * p[j * TILE_QUERIES + i] * (slope[j * TILE_QUERIES + i] - mean[i]);
}
