// float32 loops over adjacent elements. y may be x, hence assume_safety: element i is read before it is written, and no
// iteration needs another's.
#define LOOP _Pragma("clang loop vectorize(assume_safety)") for (size_t i = 0; i < n; i++)

// MARK: - One input

#define UNARY(name, value) \
    static void RK_LEVEL(name)(const float *x, float *y, size_t n) { \
        LOOP { \
            float v = x[i]; \
            y[i] = value; \
        } \
    }

UNARY(unary_neg, -v)
UNARY(unary_abs, fabsf(v))
UNARY(unary_sign, v > 0.0f ? 1.0f : v < 0.0f ? -1.0f : v)
UNARY(unary_square, v *v)
UNARY(unary_sqrt, sqrtf(v))
UNARY(unary_rsqrt, 1.0f / sqrtf(v))
UNARY(unary_reciprocal, 1.0f / v)
UNARY(unary_exp, rk_exp_f32(v))
UNARY(unary_log, rk_log_f32(v))
UNARY(unary_tanh, rk_tanh_f32(v))
UNARY(unary_sigmoid, rk_sigmoid_f32(v))
UNARY(unary_erf, rk_erf_f32(v))
UNARY(unary_relu, v < 0.0f ? 0.0f : v)
UNARY(unary_silu, rk_silu_f32(v))
UNARY(unary_gelu, rk_gelu_f32(v))
UNARY(unary_gelu_erf, rk_gelu_erf_f32(v))
UNARY(unary_softplus, rk_softplus_f32(v))
UNARY(unary_floor, floorf(v))
UNARY(unary_ceil, ceilf(v))
UNARY(unary_round, nearbyintf(v))
UNARY(unary_is_finite, fabsf(v) < INFINITY ? 1.0f : 0.0f)
UNARY(unary_is_nan, v != v ? 1.0f : 0.0f)

// Blocks that hold a number too large for the reduction, infinite or NaN go through libm.
#define SIN_OR_COS(name, quarter, libm) \
    static void RK_LEVEL(name)(const float *x, float *y, size_t count) { \
        for (size_t begin = 0; begin < count; begin += 256, x += 256, y += 256) { \
            size_t n = count - begin < 256 ? count - begin : 256; \
            unsigned large = 0; \
            LOOP large |= !(fabsf(x[i]) <= RK_SIN_MAX); \
            if (large) \
                for (size_t i = 0; i < n; i++) y[i] = libm(x[i]); \
            else \
                LOOP y[i] = rk_sin_shifted_f32(x[i], quarter); \
        } \
    }

SIN_OR_COS(unary_sin, 0, sinf)
SIN_OR_COS(unary_cos, 1, cosf)

static const unary_f32 RK_LEVEL(unary_table)[RK_UNARY_COUNT] = {
    [RK_NEG] = RK_LEVEL(unary_neg),           [RK_ABS] = RK_LEVEL(unary_abs),
    [RK_SIGN] = RK_LEVEL(unary_sign),         [RK_SQUARE] = RK_LEVEL(unary_square),
    [RK_SQRT] = RK_LEVEL(unary_sqrt),         [RK_RSQRT] = RK_LEVEL(unary_rsqrt),
    [RK_RECIPROCAL] = RK_LEVEL(unary_reciprocal), [RK_EXP] = RK_LEVEL(unary_exp),
    [RK_LOG] = RK_LEVEL(unary_log),           [RK_SIN] = RK_LEVEL(unary_sin),
    [RK_COS] = RK_LEVEL(unary_cos),           [RK_TANH] = RK_LEVEL(unary_tanh),
    [RK_SIGMOID] = RK_LEVEL(unary_sigmoid),   [RK_ERF] = RK_LEVEL(unary_erf),
    [RK_RELU] = RK_LEVEL(unary_relu),         [RK_SILU] = RK_LEVEL(unary_silu),
    [RK_GELU] = RK_LEVEL(unary_gelu),         [RK_GELU_ERF] = RK_LEVEL(unary_gelu_erf),
    [RK_SOFTPLUS] = RK_LEVEL(unary_softplus), [RK_FLOOR] = RK_LEVEL(unary_floor),
    [RK_CEIL] = RK_LEVEL(unary_ceil),         [RK_ROUND] = RK_LEVEL(unary_round),
    [RK_IS_FINITE] = RK_LEVEL(unary_is_finite), [RK_IS_NAN] = RK_LEVEL(unary_is_nan),
};

// MARK: - One input and numbers

static void RK_LEVEL(affine)(float scale, float shift, const float *x, float *y, size_t n) {
    LOOP y[i] = scale * x[i] + shift;
}

static void RK_LEVEL(clamp)(float low, float high, const float *x, float *y, size_t n) {
    LOOP y[i] = rk_at_most_f32(rk_at_least_f32(x[i], low), high);
}

// Squares and multiplies in float64, so that the result is rounded once.
static void RK_LEVEL(whole_power)(int exponent, const float *x, float *y, size_t count) {
    double square[256], product[256];
    for (size_t begin = 0; begin < count; begin += 256, x += 256, y += 256) {
        size_t n = count - begin < 256 ? count - begin : 256;
        unsigned left = exponent < 0 ? 0u - (unsigned)exponent : (unsigned)exponent;
        LOOP square[i] = x[i], product[i] = 1.0;
        for (; left > 0; left >>= 1) {
            if (left & 1) LOOP product[i] *= square[i];
            LOOP square[i] *= square[i];
        }
        if (exponent < 0)
            LOOP y[i] = (float)(1.0 / product[i]);
        else
            LOOP y[i] = (float)product[i];
    }
}

static void RK_LEVEL(any_power)(float exponent, const float *x, float *y, size_t count) {
    for (size_t begin = 0; begin < count; begin += 256, x += 256, y += 256) {
        size_t n = count - begin < 256 ? count - begin : 256;
        unsigned special = 0;
        LOOP special |= !(x[i] > 0.0f) | !(x[i] < INFINITY);
        if (special)
            for (size_t i = 0; i < n; i++) y[i] = powf(x[i], exponent);
        else
            LOOP y[i] = rk_pow_positive_f32(x[i], exponent);
    }
}

static void RK_LEVEL(where)(const float *condition, const float *a, const float *b, float *y, size_t n) {
    LOOP {
        float u = a[i], v = b[i];
        y[i] = condition[i] != 0.0f ? u : v;
    }
}

#undef SIN_OR_COS
#undef UNARY
#undef LOOP
