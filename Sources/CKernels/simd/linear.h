// Matrix products without a BLAS, and what is done to a block of a product while it is in the cache.

/// The columns that the product below keeps in accumulators, and the inner indices whose panel of B it packs.
#ifndef RK_PANEL
#define RK_PANEL 64
#define RK_PANEL_DEPTH 128
#endif

static void RK_LEVEL(pack_panel)(rk_operand b, size_t p0, size_t depth, size_t j0, size_t columns, float *panel) {
    for (size_t p = 0; p < depth; p++)
        for (size_t j = 0; j < RK_PANEL; j++)
            panel[p * RK_PANEL + j] = j >= columns ? 0
                : b.transpose ? b.data[(j0 + j) * b.row + p0 + p]
                              : b.data[(p0 + p) * b.row + j0 + j];
}

static void RK_LEVEL(panel_row)(
    size_t depth, const float *a, size_t step, const float *panel, float alpha, size_t columns, float *c) {
    float sum[RK_PANEL] = {0};
    for (size_t p = 0; p < depth; p++)
        for (size_t j = 0; j < RK_PANEL; j++) sum[j] += a[p * step] * panel[p * RK_PANEL + j];
    for (size_t j = 0; j < columns; j++) c[j] += alpha * sum[j];
}

/// C += alpha op(A) op(B).
static void RK_LEVEL(gemm)(
    size_t m, size_t n, size_t k, float alpha, rk_operand a, rk_operand b, float *c, size_t ldc) {
    float panel[RK_PANEL * RK_PANEL_DEPTH];
    for (size_t j = 0; j < n; j += RK_PANEL)
        for (size_t p = 0; p < k; p += RK_PANEL_DEPTH) {
            size_t columns = rk_min(n - j, RK_PANEL), depth = rk_min(k - p, RK_PANEL_DEPTH);
            RK_LEVEL(pack_panel)(b, p, depth, j, columns, panel);
            for (size_t i = 0; i < m; i++) {
                const float *row = a.transpose ? a.data + p * a.row + i : a.data + i * a.row + p;
                RK_LEVEL(panel_row)(depth, row, a.transpose ? a.row : 1, panel, alpha, columns, c + i * ldc + j);
            }
        }
}

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
