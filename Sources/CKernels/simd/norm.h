// Sums over pixels for a strip of channels kept in vectors, and rows normalised with sums in sixteen lanes a group.

#ifndef RK_STRIP
#define RK_STRIP 64
#define RK_STRETCH 128   // pixels whose float32 sum is taken before it goes to the float64 total
/// Runs `body(c, width)` over channels [begin, end): strips of 64, of 16, then single channels.
#define RK_STRIPS(begin, end, body) \
    do { \
        size_t c_ = (begin); \
        for (; c_ + RK_STRIP <= (end); c_ += RK_STRIP) body(c_, RK_STRIP); \
        for (; c_ + 16 <= (end); c_ += 16) body(c_, 16); \
        for (; c_ < (end); c_++) body(c_, 1); \
    } while (0)
#endif

/// sum[c] = the sum of x over pixels.
RK_INLINE void RK_LEVEL(strip_sum)(size_t pixels, size_t row, size_t width, const float *x, double *sum) {
    for (size_t c = 0; c < width; c++) sum[c] = 0;
    for (size_t begin = 0; begin < pixels; begin += RK_STRETCH) {
        float part[RK_STRIP] = {0};
        for (size_t p = begin; p < rk_min(begin + RK_STRETCH, pixels); p++)
            for (size_t c = 0; c < width; c++) part[c] += x[p * row + c];
        for (size_t c = 0; c < width; c++) sum[c] += part[c];
    }
}

/// sum[c] = the sum of (x - mean[c])^2 over pixels.
RK_INLINE void RK_LEVEL(strip_squares)(
    size_t pixels, size_t row, size_t width, const float *x, const float *mean, double *sum) {
    float centre[RK_STRIP];
    for (size_t c = 0; c < width; c++) sum[c] = 0, centre[c] = mean[c];
    for (size_t begin = 0; begin < pixels; begin += RK_STRETCH) {
        float part[RK_STRIP] = {0};
        for (size_t p = begin; p < rk_min(begin + RK_STRETCH, pixels); p++)
            for (size_t c = 0; c < width; c++) part[c] += (x[p * row + c] - centre[c]) * (x[p * row + c] - centre[c]);
        for (size_t c = 0; c < width; c++) sum[c] += part[c];
    }
}

/// sum[c] = the sum of gy and product[c] that of gy (x - mean[c]) over pixels.
RK_INLINE void RK_LEVEL(strip_products)(
    size_t pixels, size_t row, size_t width, const float *x, const float *gy, const float *mean, double *sum,
    double *product) {
    float centre[RK_STRIP];
    for (size_t c = 0; c < width; c++) sum[c] = product[c] = 0, centre[c] = mean[c];
    for (size_t begin = 0; begin < pixels; begin += RK_STRETCH) {
        float part[RK_STRIP] = {0}, part_product[RK_STRIP] = {0};
        for (size_t p = begin; p < rk_min(begin + RK_STRETCH, pixels); p++)
            for (size_t c = 0; c < width; c++) {
                part[c] += gy[p * row + c];
                part_product[c] += gy[p * row + c] * (x[p * row + c] - centre[c]);
            }
        for (size_t c = 0; c < width; c++) sum[c] += part[c], product[c] += part_product[c];
    }
}

static void RK_LEVEL(channel_sums)(size_t pixels, size_t row, size_t channels, const float *x, double *sum) {
#define BODY(c, width) RK_LEVEL(strip_sum)(pixels, row, width, x + (c), sum + (c))
    RK_STRIPS(0, channels, BODY);
#undef BODY
}

static void RK_LEVEL(channel_squares)(
    size_t pixels, size_t row, size_t channels, const float *x, const float *mean, double *sum) {
#define BODY(c, width) RK_LEVEL(strip_squares)(pixels, row, width, x + (c), mean + (c), sum + (c))
    RK_STRIPS(0, channels, BODY);
#undef BODY
}

static void RK_LEVEL(channel_products)(
    size_t pixels, size_t row, size_t channels, const float *x, const float *gy, const float *mean, double *sum,
    double *product) {
#define BODY(c, width) \
    RK_LEVEL(strip_products)(pixels, row, width, x + (c), gy + (c), mean + (c), sum + (c), product + (c))
    RK_STRIPS(0, channels, BODY);
#undef BODY
}

/// y = (x - mean) scale + shift, each [channels].
static void RK_LEVEL(normalise)(
    size_t pixels, size_t row, size_t channels, const float *x, const float *mean, const float *scale,
    const float *shift, float *y) {
    for (size_t p = 0; p < pixels; p++)
        for (size_t c = 0; c < channels; c++) y[p * row + c] = (x[p * row + c] - mean[c]) * scale[c] + shift[c];
}

/// gx = gy scale - (x - mean) slope - shift, each [channels].
static void RK_LEVEL(normalise_grad)(
    size_t pixels, size_t row, size_t channels, const float *x, const float *gy, const float *mean, const float *scale,
    const float *slope, const float *shift, float *gx) {
    for (size_t p = 0; p < pixels; p++)
        for (size_t c = 0; c < channels; c++)
            gx[p * row + c] = gy[p * row + c] * scale[c] - (x[p * row + c] - mean[c]) * slope[c] - shift[c];
}

// MARK: - Rows

#ifndef RK_LANES
#define RK_LANES 32
/// result = the sum of `term`, an expression in i, over [0, width), in lanes that are added in a fixed order.
#define RK_ROW_SUM(result, width, term) \
    do { \
        float lane_[RK_LANES] = {0}; \
        size_t base_ = 0; \
        for (; base_ + RK_LANES <= (width); base_ += RK_LANES) \
            for (size_t l_ = 0, i = base_; l_ < RK_LANES; l_++, i++) lane_[l_] += (term); \
        for (size_t l_ = 0, i = base_; i < (width); l_++, i++) lane_[l_] += (term); \
        for (size_t half_ = RK_LANES / 2; half_; half_ /= 2) \
            for (size_t l_ = 0; l_ < half_; l_++) lane_[l_] += lane_[l_ + half_]; \
        result = lane_[0]; \
    } while (0)
#endif

static void RK_LEVEL(layer_norm)(
    size_t rows, size_t width, float eps, const float *x, const float *weight, const float *bias, float *y, float *mean,
    float *rstd) {
    for (size_t r = 0; r < rows; r++, x += width, y += width) {
        float sum, squares;
        RK_ROW_SUM(sum, width, x[i]);
        float m = sum / (float)width;
        RK_ROW_SUM(squares, width, (x[i] - m) * (x[i] - m));
        float scale = 1 / sqrtf(squares / (float)width + eps);
        mean[r] = m, rstd[r] = scale;
        if (weight && bias)
            for (size_t i = 0; i < width; i++) y[i] = (x[i] - m) * scale * weight[i] + bias[i];
        else if (weight)
            for (size_t i = 0; i < width; i++) y[i] = (x[i] - m) * scale * weight[i];
        else
            for (size_t i = 0; i < width; i++) y[i] = (x[i] - m) * scale + (bias ? bias[i] : 0);
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
            RK_ROW_SUM(sum, width, rk_exp_f32(x[i] - largest));
            float shift = logf(sum);
            for (size_t i = 0; i < width; i++) y[i] = x[i] - largest - shift;
        } else {
            for (size_t i = 0; i < width; i++) y[i] = rk_exp_f32(x[i] - largest);
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
            for (size_t i = 0; i < width; i++) gx[i] = gy[i] - rk_exp_f32(y[i]) * sum;
        } else {
            RK_ROW_SUM(sum, width, gy[i] * y[i]);
            for (size_t i = 0; i < width; i++) gx[i] = y[i] * (gy[i] - sum);
        }
    }
}
