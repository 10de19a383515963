// What the tangent of softmax(scale q k^T) v and its gradient need beside products.
#include "attention_tiles.h"

/// Scores' tangents d (to be multiplied by scale) become p d; mean[i] += the sum of p d over keys.
static void RK_LEVEL(weighted_tangents)(
    size_t keys, float scale, const float *restrict p, float *restrict d, float *restrict mean) {
    for (size_t j = 0; j < keys; j++)
        for (size_t i = 0; i < TILE_QUERIES; i++) {
            float u = scale * p[j * TILE_QUERIES + i] * d[j * TILE_QUERIES + i];
            d[j * TILE_QUERIES + i] = u;
            mean[i] += u;
        }
}

/// y -= factor[i] x, a row at a time.
static void RK_LEVEL(subtract_scaled)(
    size_t rows, size_t width, const float *factor, const float *x, size_t x_row, float *y, size_t y_row) {
    for (size_t i = 0; i < rows; i++)
        for (size_t c = 0; c < width; c++) y[i * y_row + c] -= factor[i] * x[i * x_row + c];
}

/// With d the scores' tangent, a = v g and b = dv g: what reaches the scores' tangent, u = scale p (a - mean_a), the scores,
/// w = scale p (a (d - mean_d) - mean_a d + b - mean_w), and the probabilities' tangent, p (d - mean_d).
/// In: d without scale. Out: u in a, w in b, the probabilities' tangent in d.
static void RK_LEVEL(tangent_slopes)(
    size_t keys, float scale, const float *restrict p, const float *restrict mean_d, const float *restrict mean_a,
    const float *restrict mean_w, float *restrict d, float *restrict a, float *restrict b) {
    for (size_t j = 0; j < keys * TILE_QUERIES; j += TILE_QUERIES)
        for (size_t i = 0; i < TILE_QUERIES; i++) {
            float moved = scale * d[j + i], weight = p[j + i], from_v = a[j + i];
            float w = from_v * (moved - mean_d[i]) - mean_a[i] * moved + b[j + i] - mean_w[i];
            d[j + i] = weight * (moved - mean_d[i]);
            a[j + i] = scale * weight * (from_v - mean_a[i]);
            b[j + i] = scale * weight * w;
        }
}
