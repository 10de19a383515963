#pragma once

#include "types.h"

/// distance[i, j] = the sum over k of (x[i, k] - y[j, k])^2, in float64, for samples x [n, size] and y [m, size].
void rk_squared_distances(size_t n, size_t m, size_t size, const double *x, const double *y, double *distance);
