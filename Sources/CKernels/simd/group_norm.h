// Sums over pixels, for strips of channels whose sums are kept in vectors, and what is made of them pixel by pixel.

#ifndef RK_STRIP
#define RK_STRIP 64
#define RK_WIDE_STRIP 256   // channels whose sums are kept in the first cache
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

/// gz = gy silu'(z) for z = (x - mean[c]) scale[c] + shift[c]; sum and product as above, of gz. Row by row, as the slopes
/// take longer than the sums' way to the cache.
RK_INLINE void RK_LEVEL(strip_silu_products)(
    size_t pixels, size_t row, size_t width, const float *x, const float *gy, const float *mean, const float *scale,
    const float *shift, float *gz, double *sum, double *product) {
    for (size_t c = 0; c < width; c++) sum[c] = product[c] = 0;
    for (size_t begin = 0; begin < pixels; begin += RK_STRETCH) {
        float part[RK_WIDE_STRIP] = {0}, part_product[RK_WIDE_STRIP] = {0};
        for (size_t p = begin; p < rk_min(begin + RK_STRETCH, pixels); p++, x += row, gy += row, gz += row)
#pragma clang loop vectorize(assume_safety)
            for (size_t c = 0; c < width; c++) {
                float v = x[c] - mean[c], g = gy[c] * rk_silu_slope_f32(v * scale[c] + shift[c]);
                gz[c] = g, part[c] += g, part_product[c] += g * v;
            }
        for (size_t c = 0; c < width; c++) sum[c] += part[c], product[c] += part_product[c];
    }
}

static void RK_LEVEL(channel_silu_products)(
    size_t pixels, size_t row, size_t channels, const float *x, const float *gy, const float *mean, const float *scale,
    const float *shift, float *gz, double *sum, double *product) {
    for (size_t c = 0; c < channels; c += RK_WIDE_STRIP)
        RK_LEVEL(strip_silu_products)(
            pixels, row, rk_min(RK_WIDE_STRIP, channels - c), x + c, gy + c, mean + c, scale + c, shift + c, gz + c,
            sum + c, product + c);
}

/// sums[..][c] = the sums over pixels of d, d (x - mean[c]), gy, gy (x - mean[c]) and gy d.
RK_INLINE void RK_LEVEL(strip_tangents)(
    size_t pixels, size_t row, size_t width, const float *x, const float *d, const float *gy, const float *mean,
    double *const sums[5], size_t first) {
    float centre[16];
    for (size_t c = 0; c < width; c++) centre[c] = mean[c];
    for (size_t s = 0; s < 5; s++)
        for (size_t c = 0; c < width; c++) sums[s][first + c] = 0;
    for (size_t begin = 0; begin < pixels; begin += RK_STRETCH) {
        float part[5][16] = {0};
        for (size_t p = begin; p < rk_min(begin + RK_STRETCH, pixels); p++)
            for (size_t c = 0; c < width; c++) {
                float u = d[p * row + c], g = gy[p * row + c], v = x[p * row + c] - centre[c];
                part[0][c] += u, part[1][c] += u * v, part[2][c] += g, part[3][c] += g * v, part[4][c] += g * u;
            }
        for (size_t s = 0; s < 5; s++)
            for (size_t c = 0; c < width; c++) sums[s][first + c] += part[s][c];
    }
}

static void RK_LEVEL(channel_tangents)(
    size_t pixels, size_t row, size_t channels, const float *x, const float *d, const float *gy, const float *mean,
    double *const sums[5]) {
    size_t c = 0;
    for (; c + 16 <= channels; c += 16)
        RK_LEVEL(strip_tangents)(pixels, row, 16, x + c, d + c, gy + c, mean + c, sums, c);
    for (; c < channels; c++) RK_LEVEL(strip_tangents)(pixels, row, 1, x + c, d + c, gy + c, mean + c, sums, c);
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

/// y = (x - mean) scale + shift, each [channels], or silu of it.
static void RK_LEVEL(normalise)(
    size_t pixels, size_t row, size_t channels, bool silu, const float *x, const float *mean, const float *scale,
    const float *shift, float *y) {
    for (size_t p = 0; p < pixels; p++, x += row, y += row) {
        if (silu)
#pragma clang loop vectorize(assume_safety)
            for (size_t c = 0; c < channels; c++) y[c] = rk_silu_f32((x[c] - mean[c]) * scale[c] + shift[c]);
        else
#pragma clang loop vectorize(assume_safety)
            for (size_t c = 0; c < channels; c++) y[c] = (x[c] - mean[c]) * scale[c] + shift[c];
    }
}

/// gx = gy scale - (x - mean) slope - shift, each [channels]; gx may be gy.
static void RK_LEVEL(normalise_grad)(
    size_t pixels, size_t row, size_t channels, const float *x, const float *gy, const float *mean, const float *scale,
    const float *slope, const float *shift, float *gx) {
    for (size_t p = 0; p < pixels; p++, x += row, gy += row, gx += row)
#pragma clang loop vectorize(assume_safety)
        for (size_t c = 0; c < channels; c++) gx[c] = gy[c] * scale[c] - (x[c] - mean[c]) * slope[c] - shift[c];
}

/// With v = x - t[0]: gx = v t[1] + gy t[2] + d t[3] + t[4] and gd = gy t[5] + v t[6] + t[7], each [channels].
static void RK_LEVEL(tangent_grad)(
    size_t pixels, size_t row, size_t channels, const float *x, const float *d, const float *gy, float *const t[8],
    float *gx, float *gd) {
    for (size_t p = 0; p < pixels; p++, x += row, d += row, gy += row, gx += row, gd += row)
#pragma clang loop vectorize(assume_safety)
        for (size_t c = 0; c < channels; c++) {
            float v = x[c] - t[0][c], u = d[c], g = gy[c];
            gx[c] = v * t[1][c] + g * t[2][c] + u * t[3][c] + t[4][c];
            gd[c] = g * t[5][c] + v * t[6][c] + t[7][c];
        }
}
