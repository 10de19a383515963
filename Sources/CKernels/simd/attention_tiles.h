// A tile of scores lies with keys as rows and queries as columns: sums over keys then run down the vectors, a query a lane,
// and every product is of a form that BLAS does best.

/// The transpose of rows x width, `stride` apart, into width x TILE_QUERIES; missing rows become 0.
static void RK_LEVEL(transpose_tile)(size_t rows, size_t width, const float *x, size_t stride, float *out) {
    rk_transpose(rows, width, x, stride, out, TILE_QUERIES);
    for (size_t d = 0; d < width && rows < TILE_QUERIES; d++)
        for (size_t i = rows; i < TILE_QUERIES; i++) out[d * TILE_QUERIES + i] = 0;
}

/// Scores become probabilities exp(scale score - lse).
static void RK_LEVEL(probabilities)(size_t keys, float scale, const float *lse, float *scores) {
    for (size_t j = 0; j < keys; j++)
        for (size_t i = 0; i < TILE_QUERIES; i++)
            scores[j * TILE_QUERIES + i] = rk_exp_low_f32(scale * scores[j * TILE_QUERIES + i] - lse[i]);
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
