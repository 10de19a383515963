// Floats of 16 bits.
#include "kernels/half.h"

#include <string.h>

#include "private.h"

#define RK_BODY "half.inc"
#include "simd/levels.h"

void rk_widen_bfloat16(const uint16_t *x, float *y, size_t count) { RK_DISPATCH(widen_bfloat16)(x, y, count); }

void rk_widen_float16(const uint16_t *x, float *y, size_t count) { RK_DISPATCH(widen_float16)(x, y, count); }

void rk_round_bfloat16(const float *x, uint16_t *y, size_t count) { RK_DISPATCH(round_bfloat16)(x, y, count); }
