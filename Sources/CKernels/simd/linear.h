// What is done to a block of a product while it is in the cache, and sums of partial products.

static void RK_LEVEL(add_to_rows)(size_t rows, size_t columns, const float *bias, float *c, size_t ldc) {
    for (size_t i = 0; i < rows; i++, c += ldc)
        for (size_t j = 0; j < columns; j++) c[j] += bias[j];
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
