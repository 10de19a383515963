// Rows normalised one by one, while they are in the first-level cache.

/// A row's mean; 1 / sqrt(variance + eps) in `rstd`.
static inline float RK_LEVEL(row_mean)(size_t width, float eps, const float *x, float *rstd) {
    float sum, squares;
    RK_ROW_SUM(sum, width, x[i]);
    float mean = sum / (float)width;
    RK_ROW_SUM(squares, width, (x[i] - mean) * (x[i] - mean));
    *rstd = 1 / sqrtf(squares / (float)width + eps);
    return mean;
}

/// Weight and bias: both or neither.
static void RK_LEVEL(layer_norm)(
    size_t rows, size_t width, float eps, const float *x, const float *weight, const float *bias, float *y, float *mean,
    float *rstd) {
    for (size_t r = 0; r < rows; r++, x += width, y += width) {
        float scale, m = RK_LEVEL(row_mean)(width, eps, x, &scale);
        mean[r] = m, rstd[r] = scale;
        if (weight)
            for (size_t i = 0; i < width; i++) y[i] = (x[i] - m) * scale * weight[i] + bias[i];
        else
            for (size_t i = 0; i < width; i++) y[i] = (x[i] - m) * scale;
    }
}

/// gx; and, where asked for, what these rows add to the gradients of weight and bias.
static void RK_LEVEL(layer_norm_grad)(
    size_t rows, size_t width, const float *x, const float *weight, const float *mean, const float *rstd,
    const float *gy, float *gx, float *gweight, float *gbias) {
    for (size_t r = 0; r < rows; r++, x += width, gy += width, gx += width) {
        float m = mean[r], scale = rstd[r], sum, product;
        if (weight) {
            RK_ROW_SUM(sum, width, gy[i] * weight[i]);
            RK_ROW_SUM(product, width, gy[i] * weight[i] * (x[i] - m));
        } else {
            RK_ROW_SUM(sum, width, gy[i]);
            RK_ROW_SUM(product, width, gy[i] * (x[i] - m));
        }
        float shift = scale * sum / (float)width, slope = scale * scale * scale * product / (float)width;
        if (weight)
            for (size_t i = 0; i < width; i++) gx[i] = gy[i] * weight[i] * scale - (x[i] - m) * slope - shift;
        else
            for (size_t i = 0; i < width; i++) gx[i] = gy[i] * scale - (x[i] - m) * slope - shift;
        for (size_t i = 0; gweight && i < width; i++) gweight[i] += gy[i] * (x[i] - m) * scale;
        for (size_t i = 0; gbias && i < width; i++) gbias[i] += gy[i];
    }
}

/// y = weight J d, with J the Jacobian of the normalisation; and mean and rstd.
static void RK_LEVEL(layer_norm_tangent)(
    size_t rows, size_t width, float eps, const float *x, const float *d, const float *weight, float *y, float *mean,
    float *rstd) {
    for (size_t r = 0; r < rows; r++, x += width, d += width, y += width) {
        float scale, m = RK_LEVEL(row_mean)(width, eps, x, &scale), sum, product;
        mean[r] = m, rstd[r] = scale;
        RK_ROW_SUM(sum, width, d[i]);
        RK_ROW_SUM(product, width, d[i] * (x[i] - m));
        float shift = scale * sum / (float)width, slope = scale * scale * scale * product / (float)width;
        for (size_t i = 0; i < width; i++) y[i] = d[i] * scale - (x[i] - m) * slope - shift;
        for (size_t i = 0; weight && i < width; i++) y[i] *= weight[i];
    }
}

/// gx, gd; and, where asked for, what these rows add to the weight's gradient. The formulas are in group_norm.c.
static void RK_LEVEL(layer_norm_tangent_grad)(
    size_t rows, size_t width, const float *x, const float *d, const float *weight, const float *mean,
    const float *rstd, const float *gy, float *gx, float *gd, float *gweight) {
    float each = 1 / (float)width;
    for (size_t r = 0; r < rows; r++, x += width, d += width, gy += width, gx += width, gd += width) {
        float m = mean[r], scale = rstd[r], mean_d, mean_dn, mean_g, mean_gn, mean_gd;
        // The weighted gradient stands in gd until gd is known.
        for (size_t i = 0; i < width; i++) gd[i] = weight ? gy[i] * weight[i] : gy[i];
        RK_ROW_SUM(mean_d, width, d[i]);
        RK_ROW_SUM(mean_dn, width, d[i] * (x[i] - m));
        RK_ROW_SUM(mean_g, width, gd[i]);
        RK_ROW_SUM(mean_gn, width, gd[i] * (x[i] - m));
        RK_ROW_SUM(mean_gd, width, gd[i] * d[i]);
        mean_d *= each, mean_g *= each, mean_gd *= each, mean_dn *= each * scale, mean_gn *= each * scale;
        float square = scale * scale, slope = scale * (mean_gd - mean_g * mean_d - 3 * mean_gn * mean_dn);
        float shift = square * (mean_dn * mean_g + mean_gn * mean_d);
        for (size_t i = 0; i < width; i++)
            gx[i] = shift - square * ((x[i] - m) * slope + mean_dn * gd[i] + mean_gn * d[i]);
        for (size_t i = 0; gweight && i < width; i++)
            gweight[i] += gy[i] * scale * (d[i] - mean_d - (x[i] - m) * scale * mean_dn);
        for (size_t i = 0; i < width; i++) gd[i] = scale * (gd[i] - mean_g - (x[i] - m) * scale * mean_gn);
    }
}
