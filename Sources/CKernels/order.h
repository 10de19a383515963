#pragma once

#include "kernels/types.h"

/// rk_arg_reduce of float32 rows of n adjacent elements.
void rk_arg_rows(bool largest, const float *x, int32_t *y, size_t rows, size_t n);
