// Softmax of rows.

/// The largest of x; NaN may be passed over, the exponentials show it.
static float RK_LEVEL(row_largest)(size_t width, const float *x) {
    float lane[RK_LANES], largest = -INFINITY;
    for (size_t l = 0; l < RK_LANES; l++) lane[l] = -INFINITY;
    size_t base = 0;
    for (; base + RK_LANES <= width; base += RK_LANES)
        for (size_t l = 0; l < RK_LANES; l++) lane[l] = x[base + l] > lane[l] ? x[base + l] : lane[l];
    for (size_t l = 0; base + l < width; l++) lane[l] = x[base + l] > lane[l] ? x[base + l] : lane[l];
    for (size_t l = 0; l < RK_LANES; l++) largest = lane[l] > largest ? lane[l] : largest;
    return largest;
}

static void RK_LEVEL(softmax)(bool logarithm, size_t rows, size_t width, const float *x, float *y) {
    for (size_t r = 0; r < rows; r++, x += width, y += width) {
        float sum, largest = RK_LEVEL(row_largest)(width, x);
        if (logarithm) {
            RK_ROW_SUM(sum, width, rk_exp_low_f32(x[i] - largest));
            float shift = logf(sum);
            for (size_t i = 0; i < width; i++) y[i] = x[i] - largest - shift;
        } else {
            for (size_t i = 0; i < width; i++) y[i] = rk_exp_low_f32(x[i] - largest);
            RK_ROW_SUM(sum, width, y[i]);
            float factor = 1 / sum;
            for (size_t i = 0; i < width; i++) y[i] *= factor;
        }
    }
}

static void RK_LEVEL(softmax_grad)(
    bool logarithm, size_t rows, size_t width, const float *y, const float *gy, float *gx) {
    for (size_t r = 0; r < rows; r++, y += width, gy += width, gx += width) {
        float sum;
        if (logarithm) {
            RK_ROW_SUM(sum, width, gy[i]);
            for (size_t i = 0; i < width; i++) gx[i] = gy[i] - rk_exp_low_f32(y[i]) * sum;
        } else {
            RK_ROW_SUM(sum, width, gy[i] * y[i]);
            for (size_t i = 0; i < width; i++) gx[i] = y[i] * (gy[i] - sum);
        }
    }
}
