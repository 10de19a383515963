// What is done to a block of a product while it is in the cache, and sums of partial products.

/// c = activation(c + bias) over rows x columns.
static void RK_LEVEL(epilogue)(
    size_t rows, size_t columns, const float *bias, rk_activation activation, float *c, size_t ldc) {
    for (size_t i = 0; i < rows; i++, c += ldc) {
        if (bias)
            for (size_t j = 0; j < columns; j++) c[j] += bias[j];
        switch (activation) {
        case RK_ACT_NONE: break;
        case RK_ACT_SILU:
            for (size_t j = 0; j < columns; j++) c[j] = rk_silu_f32(c[j]);
            break;
        case RK_ACT_GELU:
            for (size_t j = 0; j < columns; j++) c[j] = rk_gelu_f32(c[j]);
            break;
        case RK_ACT_RELU:
            for (size_t j = 0; j < columns; j++) c[j] = c[j] < 0 ? 0 : c[j];
            break;
        }
    }
}

/// y = the sum of parts, `stride` apart, in order, added to y or not.
static void RK_LEVEL(sum_parts)(
    size_t parts, size_t stride, size_t count, const float *part, bool accumulate, float *y) {
    for (size_t begin = 0; begin < count; begin += 512) {   // a stretch of y stays in the first cache
        size_t end = rk_min(begin + 512, count);
        for (size_t i = begin; i < end; i++) y[i] = accumulate ? y[i] + part[i] : part[i];
        for (size_t p = 1; p < parts; p++)
            for (size_t i = begin; i < end; i++) y[i] += part[p * stride + i];
    }
}
