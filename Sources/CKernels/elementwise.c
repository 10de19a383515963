// Functions of one element: the float32 loops at their vector level, the float64 and int32 forms as plain loops.
#include "kernels/elementwise.h"
#include "kernels/half.h"
#include "kernels/threads.h"
#include "private.h"

#include <stdlib.h>

#include "simd/math.h"

typedef void (*unary_f32)(const float *x, float *y, size_t n);

#define RK_BODY "elementwise.inc"
#include "simd/levels.h"

// MARK: - One input

static double sigmoid_f64(double x) {
    double e = exp(-fabs(x));
    return (x < 0.0 ? e : 1.0) / (1.0 + e);
}

static double at_least(double x, double low) { return x < low ? low : x; }

double rk_silu_f64(double x) { return at_least(x, -800.0) * sigmoid_f64(x); }

static double gelu_f64(double x) {
    double c = x < -40.0 ? -40.0 : x > 40.0 ? 40.0 : x;
    return at_least(x, -40.0) * sigmoid_f64(1.5957691216057308 * (c + 0.044715 * c * c * c));
}

#define FOR_EACH(type, value) \
    for (size_t i = 0; i < n; i++) { \
        type v = x[i]; \
        y[i] = value; \
    } \
    break

#define CASE_F64(op, value) \
    case op: FOR_EACH(double, value);

static void unary_f64(rk_unary_op op, const double *x, double *y, size_t n) {
    switch (op) {
#define RK_UNARY(NAME, name, f64, f32) CASE_F64(RK_##NAME, f64)
#include "kernels/unary.def"
    case RK_UNARY_COUNT: break;
    }
}

// Through unsigned numbers, where overflow wraps.
static void unary_i32(rk_unary_op op, const uint32_t *x, uint32_t *y, size_t n) {
    switch (op) {
    case RK_NEG: FOR_EACH(uint32_t, 0u - v);
    case RK_ABS: FOR_EACH(uint32_t, v >> 31 ? 0u - v : v);
    case RK_SIGN: FOR_EACH(uint32_t, v >> 31 ? ~0u : v != 0);
    case RK_SQUARE: FOR_EACH(uint32_t, v * v);
    default: break;
    }
}

// What a piece of a loop needs; each operation uses its part.
typedef struct {
    int op;
    rk_dtype dtype, to;
    const void *x, *a, *b;
    void *y;
    double first, second;
} loop;

static const void *at(const void *base, rk_dtype dtype, size_t index) {
    return (const char *)base + index * rk_width(dtype);
}

static void *at_out(void *base, rk_dtype dtype, size_t index) { return (char *)base + index * rk_width(dtype); }

static void unary_piece(void *context, size_t begin, size_t end) {
    const loop *l = context;
    const void *x = at(l->x, l->dtype, begin);
    void *y = at_out(l->y, l->dtype, begin);
    switch (l->dtype) {
    case RK_F32: RK_DISPATCH(unary_table)[l->op](x, y, end - begin); break;
    case RK_F64: unary_f64((rk_unary_op)l->op, x, y, end - begin); break;
    case RK_I32: unary_i32((rk_unary_op)l->op, x, y, end - begin); break;
    }
}

void rk_unary(rk_unary_op op, rk_dtype dtype, const void *x, void *y, size_t count) {
    rk_parallel_for(count, RK_GRAIN, unary_piece, &(loop){.op = op, .dtype = dtype, .x = x, .y = y});
}

// MARK: - One input and numbers

static int32_t saturated(double v) {
    return v >= 2147483647.0 ? INT32_MAX : v <= -2147483648.0 ? INT32_MIN : v == v ? (int32_t)v : 0;
}

static void affine_piece(void *context, size_t begin, size_t end) {
    const loop *l = context;
    for (size_t i = begin; l->dtype == RK_F64 && i < end; i++)
        ((double *)l->y)[i] = l->first * ((const double *)l->x)[i] + l->second;
    for (size_t i = begin; l->dtype == RK_I32 && i < end; i++)
        ((int32_t *)l->y)[i] = saturated(l->first * ((const int32_t *)l->x)[i] + l->second);
    if (l->dtype == RK_F32) RK_DISPATCH(affine)
    ((float)l->first, (float)l->second, at(l->x, RK_F32, begin), at_out(l->y, RK_F32, begin), end - begin);
}

void rk_affine(rk_dtype dtype, double scale, double shift, const void *x, void *y, size_t count) {
    loop l = {.dtype = dtype, .x = x, .y = y, .first = scale, .second = shift};
    rk_parallel_for(count, RK_GRAIN, affine_piece, &l);
}

static void power_piece_f32(double exponent, const float *x, float *y, size_t count) {
    bool whole = fabs(exponent) <= 64.0 && exponent == floor(exponent);
    if (exponent == 2.0)
        RK_DISPATCH(unary_square)(x, y, count);
    else if (exponent == 0.5)
        RK_DISPATCH(unary_sqrt)(x, y, count);
    else if (exponent == -1.0)
        RK_DISPATCH(unary_reciprocal)(x, y, count);
    else if (whole)
        RK_DISPATCH(whole_power)((int)exponent, x, y, count);
    else if (fabs(exponent) < INFINITY)
        RK_DISPATCH(any_power)((float)exponent, x, y, count);
    else
        for (size_t i = 0; i < count; i++) y[i] = powf(x[i], (float)exponent);
}

static void power_piece(void *context, size_t begin, size_t end) {
    const loop *l = context;
    for (size_t i = begin; l->dtype == RK_F64 && i < end; i++) {
        double v = ((const double *)l->x)[i];
        ((double *)l->y)[i] = l->first == 0.5 ? sqrt(v) : pow(v, l->first);
    }
    for (size_t i = begin; l->dtype == RK_I32 && i < end; i++)
        ((int32_t *)l->y)[i] = saturated(pow(((const int32_t *)l->x)[i], l->first));
    if (l->dtype == RK_F32)
        power_piece_f32(l->first, at(l->x, RK_F32, begin), at_out(l->y, RK_F32, begin), end - begin);
}

void rk_power(rk_dtype dtype, double exponent, const void *x, void *y, size_t count) {
    rk_parallel_for(count, RK_GRAIN, power_piece, &(loop){.dtype = dtype, .x = x, .y = y, .first = exponent});
}

static void clamp_piece(void *context, size_t begin, size_t end) {
    const loop *l = context;
    double low = l->first, high = l->second;
    for (size_t i = begin; l->dtype == RK_F64 && i < end; i++) {
        double v = ((const double *)l->x)[i], raised = v < low ? low : v;
        ((double *)l->y)[i] = raised > high ? high : raised;
    }
    for (size_t i = begin; l->dtype == RK_I32 && i < end; i++) {
        double v = ((const int32_t *)l->x)[i], raised = v < low ? low : v;
        ((int32_t *)l->y)[i] = saturated(raised > high ? high : raised);
    }
    if (l->dtype == RK_F32)
        RK_DISPATCH(clamp)((float)low, (float)high, at(l->x, RK_F32, begin), at_out(l->y, RK_F32, begin), end - begin);
}

void rk_clamp(rk_dtype dtype, double low, double high, const void *x, void *y, size_t count) {
    rk_parallel_for(
        count, RK_GRAIN, clamp_piece, &(loop){.dtype = dtype, .x = x, .y = y, .first = low, .second = high});
}

// MARK: - Choice, filling, conversion

static void where_piece(void *context, size_t begin, size_t end) {
    const loop *l = context;
    for (size_t i = begin; l->dtype == RK_F64 && i < end; i++)
        ((double *)l->y)[i] = (((const double *)l->x)[i] != 0.0 ? (const double *)l->a : (const double *)l->b)[i];
    for (size_t i = begin; l->dtype == RK_I32 && i < end; i++)
        ((int32_t *)l->y)[i] = (((const int32_t *)l->x)[i] != 0 ? (const int32_t *)l->a : (const int32_t *)l->b)[i];
    if (l->dtype == RK_F32) RK_DISPATCH(where)
    (at(l->x, RK_F32, begin), at(l->a, RK_F32, begin), at(l->b, RK_F32, begin), at_out(l->y, RK_F32, begin),
     end - begin);
}

void rk_where(rk_dtype dtype, const void *condition, const void *a, const void *b, void *y, size_t count) {
    rk_parallel_for(count, RK_GRAIN, where_piece, &(loop){.dtype = dtype, .x = condition, .a = a, .b = b, .y = y});
}

static void fill_piece(void *context, size_t begin, size_t end) {
    const loop *l = context;
    for (size_t i = begin; l->dtype == RK_F64 && i < end; i++) ((double *)l->y)[i] = l->first;
    int32_t whole = l->dtype == RK_I32 ? saturated(l->first) : 0;
    for (size_t i = begin; l->dtype == RK_I32 && i < end; i++) ((int32_t *)l->y)[i] = whole;
    float value = (float)l->first;
    for (size_t i = begin; l->dtype == RK_F32 && i < end; i++) ((float *)l->y)[i] = value;
}

void rk_fill(rk_dtype dtype, double value, void *y, size_t count) {
    rk_parallel_for(count, 4 * RK_GRAIN, fill_piece, &(loop){.dtype = dtype, .y = y, .first = value});
}

#define CONVERT(from_type, to_type, value) \
    do { \
        const from_type *x = l->x; \
        to_type *y = l->y; \
        for (size_t i = begin; i < end; i++) y[i] = value; \
    } while (0)

static void cast_piece(void *context, size_t begin, size_t end) {
    const loop *l = context;
    switch (l->dtype * 4 + l->to) {
    case RK_F32 * 4 + RK_F32: CONVERT(float, float, x[i]); break;
    case RK_F32 * 4 + RK_F64: CONVERT(float, double, x[i]); break;
    case RK_F32 * 4 + RK_I32: CONVERT(float, int32_t, saturated(x[i])); break;
    case RK_F64 * 4 + RK_F32: CONVERT(double, float, (float)x[i]); break;
    case RK_F64 * 4 + RK_F64: CONVERT(double, double, x[i]); break;
    case RK_F64 * 4 + RK_I32: CONVERT(double, int32_t, saturated(x[i])); break;
    case RK_I32 * 4 + RK_F32: CONVERT(int32_t, float, (float)x[i]); break;
    case RK_I32 * 4 + RK_F64: CONVERT(int32_t, double, x[i]); break;
    case RK_I32 * 4 + RK_I32: CONVERT(int32_t, int32_t, x[i]); break;
    case RK_BF16 * 4 + RK_F32:
        rk_widen_bfloat16((const uint16_t *)l->x + begin, (float *)l->y + begin, end - begin);
        break;
    case RK_F32 * 4 + RK_BF16:
        rk_round_bfloat16((const float *)l->x + begin, (uint16_t *)l->y + begin, end - begin);
        break;
    }
}

void rk_cast(rk_dtype from, const void *x, rk_dtype to, void *y, size_t count) {
    rk_parallel_for(count, RK_GRAIN, cast_piece, &(loop){.dtype = from, .to = to, .x = x, .y = y});
}
