#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Element types. float32 computes; float64 is for tests and metrics; int32 holds labels and indices.
typedef enum { RK_F32 = 0, RK_F64 = 1, RK_I32 = 2 } rk_dtype;

/// A type that keeps weights in half the memory: copies, rows by index and rk_cast know it beside the others.
enum { RK_BF16 = 3 };

/// How products of float32 numbers are made: as float32, or from numbers rounded to bfloat16, summed in float32. The
/// second is for processors with matrix tiles; others, and small products, use the first for both.
typedef enum { RK_FLOAT32 = 0, RK_BFLOAT16 = 1 } rk_precision;

/// The most dimensions that a tensor may have.
#define RK_MAX_RANK 8
