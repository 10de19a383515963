// What softmax(scale q k^T) v needs beside products. A tile of scores lies with keys as rows and queries as columns:
// sums over keys then run down the vectors, a query a lane, and every product is of a form that BLAS does best.

/// The transpose of rows x width, `stride` apart, into width x TILE_QUERIES; missing rows become 0.
static void RK_LEVEL(transpose_tile)(size_t rows, size_t width, const float *x, size_t stride, float *out) {
    rk_transpose(rows, width, x, stride, out, TILE_QUERIES);
    for (size_t d = 0; d < width && rows < TILE_QUERIES; d++)
        for (size_t i = rows; i < TILE_QUERIES; i++) out[d * TILE_QUERIES + i] = 0;
}

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
        shrink[i] = most[i] > largest[i] ? rk_exp_f32(largest[i] - most[i]) : 1.0f;
        largest[i] = most[i];
        most[i] = most[i] < -3e38f ? 0 : most[i];   // all scores -inf: exp(-inf - 0) = 0, not NaN
    }
    for (size_t j = 0; j < keys; j++)
        for (size_t i = 0; i < TILE_QUERIES; i++) {
            float e = rk_exp_f32(scale * scores[j * TILE_QUERIES + i] - most[i]);
            scores[j * TILE_QUERIES + i] = e;
            total[i] += e;
        }
    for (size_t i = 0; i < TILE_QUERIES; i++) sum[i] = sum[i] * shrink[i] + total[i];
}

static void RK_LEVEL(scale_tile)(size_t rows, size_t width, const float *factor, float *x, size_t stride) {
    for (size_t i = 0; i < rows; i++)
        for (size_t d = 0; d < width; d++) x[i * stride + d] *= factor[i];
}

/// Scores become probabilities exp(scale score - lse).
static void RK_LEVEL(probabilities)(size_t keys, float scale, const float *lse, float *scores) {
    for (size_t j = 0; j < keys; j++)
        for (size_t i = 0; i < TILE_QUERIES; i++)
            scores[j * TILE_QUERIES + i] = rk_exp_f32(scale * scores[j * TILE_QUERIES + i] - lse[i]);
}

/// slope = scale p (slope - mean).
static void RK_LEVEL(score_slopes)(size_t keys, float scale, const float *p, const float *mean, float *slope) {
    for (size_t j = 0; j < keys; j++)
        for (size_t i = 0; i < TILE_QUERIES; i++)
            slope[j * TILE_QUERIES + i] = scale * p[j * TILE_QUERIES + i] * (slope[j * TILE_QUERIES + i] - mean[i]);
}

/// mean[i] = the product of rows i of a and b.
static void RK_LEVEL(row_products)(
    size_t rows, size_t width, const float *a, const float *b, size_t stride, float *mean) {
    for (size_t i = 0; i < rows; i++, a += stride, b += stride) {
        float lane[16] = {0}, sum = 0;
        size_t d = 0;
        for (; d + 16 <= width; d += 16)
            for (size_t l = 0; l < 16; l++) lane[l] += a[d + l] * b[d + l];
        for (size_t l = 0; d + l < width; l++) lane[l] += a[d + l] * b[d + l];
        for (size_t l = 0; l < 16; l++) sum += lane[l];
        mean[i] = sum;
    }
}
