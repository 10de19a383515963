// float32 loops over two inputs, each adjacent (stride 1) or one number (stride 0). y may be either input.
#define LOOP _Pragma("clang loop vectorize(assume_safety)") for (size_t i = 0; i < n; i++)

#define BINARY(name, value) \
    static void RK_LEVEL(name)(const void *a, bool a_runs, const void *b, bool b_runs, void *y, size_t n) { \
        const float *ua = a, *ub = b; \
        float *uy = y; \
        if (a_runs && b_runs) { \
            LOOP { \
                float u = ua[i], v = ub[i]; \
                uy[i] = value; \
            } \
        } else if (a_runs) { \
            float v = *ub; \
            LOOP { \
                float u = ua[i]; \
                uy[i] = value; \
            } \
        } else if (b_runs) { \
            float u = *ua; \
            LOOP { \
                float v = ub[i]; \
                uy[i] = value; \
            } \
        } else { \
            float u = *ua, v = *ub, both = value; \
            LOOP uy[i] = both; \
        } \
    }

BINARY(binary_add, u + v)
BINARY(binary_sub, u - v)
BINARY(binary_mul, u *v)
BINARY(binary_div, u / v)
BINARY(binary_maximum, u > v || u != u ? u : v)
BINARY(binary_minimum, u < v || u != u ? u : v)
BINARY(binary_atan2, atan2f(u, v))
BINARY(binary_eq, u == v ? 1.0f : 0.0f)
BINARY(binary_ne, u != v ? 1.0f : 0.0f)
BINARY(binary_lt, u < v ? 1.0f : 0.0f)
BINARY(binary_le, u <= v ? 1.0f : 0.0f)
BINARY(binary_gt, u > v ? 1.0f : 0.0f)
BINARY(binary_ge, u >= v ? 1.0f : 0.0f)
BINARY(binary_silu_grad, v *rk_silu_slope_f32(u))
BINARY(binary_gelu_grad, v *rk_gelu_slope_f32(u))
BINARY(binary_silu_curve, v *rk_silu_curve_f32(u))
BINARY(binary_gelu_curve, v *rk_gelu_curve_f32(u))
BINARY(pow_positive, rk_pow_positive_f32(u, v))
BINARY(pow_any, powf(u, v))

// Whether each base is positive and finite and each exponent finite, which the vector form needs.
static bool RK_LEVEL(pow_is_plain)(const float *a, size_t a_count, const float *b, size_t b_count) {
    unsigned special = 0;
    size_t n = a_count;
    LOOP special |= !(a[i] > 0.0f) | !(a[i] < INFINITY);
    n = b_count;
    LOOP special |= !(fabsf(b[i]) < INFINITY);
    return special == 0;
}

static void RK_LEVEL(binary_pow)(const void *a, bool a_runs, const void *b, bool b_runs, void *y, size_t count) {
    const float *ua = a, *ub = b;
    float *uy = y;
    for (size_t begin = 0; begin < count; begin += 256) {
        size_t n = count - begin < 256 ? count - begin : 256;
        const float *pa = ua + (a_runs ? begin : 0), *pb = ub + (b_runs ? begin : 0);
        bool plain = RK_LEVEL(pow_is_plain)(pa, a_runs ? n : 1, pb, b_runs ? n : 1);
        (plain ? RK_LEVEL(pow_positive) : RK_LEVEL(pow_any))(pa, a_runs, pb, b_runs, uy + begin, n);
    }
}

static const binary_loop RK_LEVEL(binary_table)[RK_BINARY_COUNT] = {
    [RK_ADD] = RK_LEVEL(binary_add),         [RK_SUB] = RK_LEVEL(binary_sub),
    [RK_MUL] = RK_LEVEL(binary_mul),         [RK_DIV] = RK_LEVEL(binary_div),
    [RK_POW] = RK_LEVEL(binary_pow),         [RK_MAXIMUM] = RK_LEVEL(binary_maximum),
    [RK_MINIMUM] = RK_LEVEL(binary_minimum), [RK_ATAN2] = RK_LEVEL(binary_atan2),
    [RK_EQ] = RK_LEVEL(binary_eq),           [RK_NE] = RK_LEVEL(binary_ne),
    [RK_LT] = RK_LEVEL(binary_lt),           [RK_LE] = RK_LEVEL(binary_le),
    [RK_GT] = RK_LEVEL(binary_gt),           [RK_GE] = RK_LEVEL(binary_ge),
    [RK_SILU_GRAD] = RK_LEVEL(binary_silu_grad), [RK_GELU_GRAD] = RK_LEVEL(binary_gelu_grad),
    [RK_SILU_CURVE] = RK_LEVEL(binary_silu_curve), [RK_GELU_CURVE] = RK_LEVEL(binary_gelu_curve),
};

#undef BINARY
#undef LOOP
