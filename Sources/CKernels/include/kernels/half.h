#pragma once

#include "types.h"

// Floats of 16 bits and float32, on the calling thread: files are read a piece at a time, each by one thread.

/// y[i] = x[i], bfloat16: the upper half of a float32.
void rk_widen_bfloat16(const uint16_t *x, float *y, size_t count);

/// y[i] = x[i], float16 of IEEE 754, denormal numbers included. NaN stays NaN.
void rk_widen_float16(const uint16_t *x, float *y, size_t count);

/// y[i] = x[i] as bfloat16, rounded to the nearest, of two the even one. NaN stays NaN.
void rk_round_bfloat16(const float *x, uint16_t *y, size_t count);
