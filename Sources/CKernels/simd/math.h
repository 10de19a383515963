// float32 functions of one number, within 3 units in the last place, written without branches, tables or calls, so
// that a loop around one becomes vector code at the level of the function it is inlined into.
#pragma once

#include <math.h>
#include <stdint.h>
#include <string.h>

#define RK_MATH static inline __attribute__((always_inline, const))

RK_MATH uint32_t rk_bits_f32(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

RK_MATH float rk_from_bits_f32(uint32_t u) {
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

RK_MATH uint64_t rk_bits_f64(double x) {
    uint64_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

RK_MATH double rk_from_bits_f64(uint64_t u) {
    double x;
    memcpy(&x, &u, sizeof x);
    return x;
}

// Adding 1.5 * 2^23 (or 2^52) rounds to an integer and leaves it in the low bits: one addition instead of two
// conversions, at every level.
#define RK_ROUND_F32 12582912.0f
#define RK_ROUND_F64 6755399441055744.0

// NaN stays NaN in both.
RK_MATH float rk_at_least_f32(float x, float low) { return x < low ? low : x; }
RK_MATH float rk_at_most_f32(float x, float high) { return x > high ? high : x; }

// exp(x) = p 2^k, with x = k ln 2 + r and p a polynomial in r; for |x| below 2^22 ln 2.
typedef struct {
    float p;
    int32_t k;
} rk_exp_parts;

static inline __attribute__((always_inline, const)) rk_exp_parts rk_exp_split_f32(float x) {
    float t = x * 1.44269504f + RK_ROUND_F32;
    float n = t - RK_ROUND_F32;
    float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    return (rk_exp_parts){p, (int32_t)(rk_bits_f32(t) - rk_bits_f32(RK_ROUND_F32))};
}

RK_MATH float rk_exp_f32(float x) {
    rk_exp_parts e = rk_exp_split_f32(rk_at_most_f32(rk_at_least_f32(x, -104.0f), 89.0f));
    // 2^k in two factors: k reaches from the smallest denormal to one past the largest power.
    int32_t half = e.k >> 1;
    return e.p * rk_from_bits_f32((uint32_t)(half + 127) << 23) * rk_from_bits_f32((uint32_t)(e.k - half + 127) << 23);
}

// exp of at most 40, as everything that normalises by the largest takes it: a sixth faster.
RK_MATH float rk_exp_low_f32(float x) {
    rk_exp_parts e = rk_exp_split_f32(rk_at_least_f32(x, -104.0f));
    return e.p * rk_from_bits_f32((uint32_t)(e.k + 191) << 23) * 0x1p-64f;
}

RK_MATH float rk_log_f32(float x) {
    int tiny = x < 0x1p-126f;
    float y = tiny ? x * 0x1p23f : x;
    // y = m 2^e with m in [2/3, 4/3), so that e = 0 around 1.
    uint32_t e = (rk_bits_f32(y) - rk_bits_f32(0.666666667f)) & 0xff800000u;
    float f = rk_from_bits_f32(rk_bits_f32(y) - e) - 1.0f;
    float n = (float)((int32_t)e >> 23) + (tiny ? -23.0f : 0.0f);
    float s = f * f;
    float r = s * -0.130310059f + -0.121483512f, t = s * 0.140869141f + 0.139814854f;
    r = r * s + -0.166846126f;
    t = t * s + 0.200120345f;
    r = r * s + -0.249996200f;
    r = t * f + r;
    r = r * f + 0.333331972f;
    r = r * f + -0.5f;
    r = r * s + (n * -2.12194440e-4f + f);
    r = n * 0.693359375f + r;
    r = x == INFINITY ? x : r;
    r = x == 0.0f ? -INFINITY : r;
    return x >= 0.0f ? r : NAN;
}

// log(1 + x) for x in [0, 1]: what 1 + x rounds away comes back as a correction.
RK_MATH float rk_log1p_unit_f32(float x) {
    float u = 1.0f + x;
    return rk_log_f32(u) + (x - (u - 1.0f)) / u;
}

// sin and cos of r in [-pi/4, pi/4].
RK_MATH float rk_sin_quarter_f32(float r) {
    float z = r * r;
    float p = (-1.9515295891e-4f * z + 8.3321608736e-3f) * z + -1.6666654611e-1f;
    return p * (z * r) + r;
}

RK_MATH float rk_cos_quarter_f32(float r) {
    float z = r * r;
    float p = (2.443315711809948e-5f * z + -1.388731625493765e-3f) * z + 4.166664568298827e-2f;
    return p * (z * z) + (1.0f - 0.5f * z);
}

// sin(r + quarter pi / 2), quarter = 0 .. 3 in the two low bits.
RK_MATH float rk_sin_turned_f32(float r, uint32_t quarter) {
    float y = quarter & 1 ? rk_cos_quarter_f32(r) : rk_sin_quarter_f32(r);
    return rk_from_bits_f32(rk_bits_f32(y) ^ (quarter & 2) << 30);
}

// sin(x + quarter pi / 2) for |x| <= RK_SIN_MAX. pi/2 is split in 33 and 53 bits of float64, so that n times the first
// part is exact.
#define RK_SIN_MAX 1e6f
RK_MATH float rk_sin_shifted_f32(float x, uint32_t quarter) {
    double t = x * 6.36619772367581382433e-01 + RK_ROUND_F64, n = t - RK_ROUND_F64;
    double r = (x - n * 1.57079632673412561417) - n * 6.07710050650619224932e-11;
    return rk_sin_turned_f32((float)r, (uint32_t)rk_bits_f64(t) + quarter);
}

RK_MATH float rk_tanh_f32(float x) {
    float a = fabsf(x), z = a * a;
    float p = -5.70498872745e-3f;
    p = p * z + 2.06390887954e-2f;
    p = p * z + -5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z + -3.33332819422e-1f;
    float near = p * (z * a) + a, far = 1.0f - 2.0f / (rk_exp_f32(2.0f * a) + 1.0f);
    return copysignf(a < 0.625f ? near : far, x);
}

// exp of a negative number only, so that the smallest results keep their digits.
RK_MATH float rk_sigmoid_f32(float x) {
    float e = rk_exp_low_f32(-fabsf(x)), d = 1.0f + e;
    return (x < 0.0f ? e : 1.0f) / d;
}

RK_MATH float rk_erf_f32(float x) {
    float a = rk_at_most_f32(fabsf(x), 4.0f), s = a * a;
    float u = a * -1.72853470e-5f + 3.83197126e-4f, v = a * -3.88396438e-3f + 2.42546219e-2f;
    u = u * s + v;
    u = u * a + -1.06777877e-1f;
    u = u * a + -6.34846687e-1f;
    u = u * a + -1.28717512e-1f;
    u = u * a - a;
    float far = 1.0f - rk_exp_low_f32(u);
    float p = -5.96761703e-4f;
    p = p * s + 4.99119423e-3f;
    p = p * s + -2.67681349e-2f;
    p = p * s + 1.12819925e-1f;
    p = p * s + -3.76125336e-1f;
    p = p * s + 1.28379166e-1f;
    float near = p * a + a;
    return copysignf(a > 0.927734375f ? far : near, x);
}

// The products of x with a factor that vanishes for very negative x: their limit there is 0, not -inf * 0.
RK_MATH float rk_silu_f32(float x) { return rk_at_least_f32(x, -200.0f) * rk_sigmoid_f32(x); }

RK_MATH float rk_gelu_erf_f32(float x) {
    return 0.5f * rk_at_least_f32(x, -200.0f) * (1.0f + rk_erf_f32(x * 0.707106781f));
}

// 0.5 x (1 + tanh(z)) = x sigmoid(2 z), z = sqrt(2 / pi) (x + 0.044715 x^3); sigmoid(2 z) is 0 or 1 beyond 20.
RK_MATH float rk_gelu_f32(float x) {
    float c = rk_at_most_f32(rk_at_least_f32(x, -20.0f), 20.0f);
    return rk_at_least_f32(x, -20.0f) * rk_sigmoid_f32(c * (1.59576912f + 0.0713548163f * (c * c)));
}

// d/dx (x sigmoid(z)) = s + x s (1 - s) dz/dx, with s (1 - s) = e / (1 + e)^2 for e = exp(-|z|): 1 - s itself would
// lose digits.
RK_MATH float rk_gate_slope_f32(float x, float z, float dz) {
    float e = rk_exp_low_f32(-fabsf(z)), r = 1.0f / (1.0f + e);
    return (z < 0.0f ? e * r : r) + x * dz * (e * r * r);
}

RK_MATH float rk_silu_slope_f32(float x) {
    float c = rk_at_most_f32(rk_at_least_f32(x, -200.0f), 200.0f);
    return rk_gate_slope_f32(c, c, 1.0f);
}

RK_MATH float rk_gelu_slope_f32(float x) {
    float c = rk_at_most_f32(rk_at_least_f32(x, -20.0f), 20.0f), q = c * c;
    return rk_gate_slope_f32(c, c * (1.59576912f + 0.0713548163f * q), 1.59576912f + 0.214064449f * q);
}

// The second derivative, 2 s' z' + x (s'' z'^2 + s' z''), with s'' = s (1 - s) (1 - 2 s).
RK_MATH float rk_gate_curve_f32(float x, float z, float dz, float ddz) {
    float e = rk_exp_low_f32(-fabsf(z)), r = 1.0f / (1.0f + e), slope = e * r * r;
    float turn = copysignf((e - 1.0f) * r, -z) * dz; // 1 - 2 s
    return slope * (2.0f * dz + x * (turn * dz + ddz));
}

RK_MATH float rk_silu_curve_f32(float x) {
    float c = rk_at_most_f32(rk_at_least_f32(x, -200.0f), 200.0f);
    return rk_gate_curve_f32(c, c, 1.0f, 0.0f);
}

RK_MATH float rk_gelu_curve_f32(float x) {
    float c = rk_at_most_f32(rk_at_least_f32(x, -20.0f), 20.0f), q = c * c;
    float dz = 1.59576912f + 0.214064449f * q;
    return rk_gate_curve_f32(c, c * (1.59576912f + 0.0713548163f * q), dz, 0.428128898f * c);
}

RK_MATH float rk_softplus_f32(float x) { return (x > 0.0f ? x : 0.0f) + rk_log1p_unit_f32(rk_exp_low_f32(-fabsf(x))); }

// x^y for 0 < x < inf and finite y, through float64 so that the error of y log(x) stays below a float's.
RK_MATH float rk_pow_positive_f32(float x, float y) {
    uint64_t u = rk_bits_f64((double)x) - 0x3fe6a09e00000000u;
    double e = rk_from_bits_f64((uint64_t)(u >> 52 ^ 0x800) | 0x4330000000000000u) - (4503599627370496.0 + 2048.0);
    double m = rk_from_bits_f64((u & 0xfffffffffffffu) + 0x3fe6a09e00000000u);
    double s = (m - 1.0) / (m + 1.0), q = s * s;
    double p = 1.0 / 15.0;
    p = p * q + 1.0 / 13.0;
    p = p * q + 1.0 / 11.0;
    p = p * q + 1.0 / 9.0;
    p = p * q + 1.0 / 7.0;
    p = p * q + 1.0 / 5.0;
    p = p * q + 1.0 / 3.0;
    p = p * q + 1.0;
    double z = y * (e + s * p * 2.8853900817779268);
    z = z < -200.0 ? -200.0 : z > 200.0 ? 200.0 : z;
    double t = z + RK_ROUND_F64, r = (z - (t - RK_ROUND_F64)) * 0.69314718055994531;
    double w = 1.0 / 362880.0;
    w = w * r + 1.0 / 40320.0;
    w = w * r + 1.0 / 5040.0;
    w = w * r + 1.0 / 720.0;
    w = w * r + 1.0 / 120.0;
    w = w * r + 1.0 / 24.0;
    w = w * r + 1.0 / 6.0;
    w = w * r + 0.5;
    w = w * (r * r) + r + 1.0;
    return (float)rk_from_bits_f64(rk_bits_f64(w) + (rk_bits_f64(t) << 52));
}
