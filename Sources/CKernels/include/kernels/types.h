#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Element types. float32 computes; float64 is for tests and metrics; int32 holds labels and indices.
typedef enum { RK_F32 = 0, RK_F64 = 1, RK_I32 = 2 } rk_dtype;

/// The most dimensions that a tensor may have.
#define RK_MAX_RANK 8
