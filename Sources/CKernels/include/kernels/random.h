#pragma once

#include "types.h"

/// Philox4x32-10 (Salmon et al. 2011): the block of four words at `counter`, keyed by `seed`, for `stream`.
void rk_philox(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t words[4]);

/// y[i] for the elements offset .. offset + count of a stream: uniform in [0, 1) with 24 (float32) or 53 bits.
/// An element's value depends on seed, stream and its own index alone.
void rk_random_uniform(rk_dtype dtype, uint64_t seed, uint64_t stream, uint64_t offset, void *y, size_t count);

/// Standard normal numbers (Box-Muller), likewise.
void rk_random_normal(rk_dtype dtype, uint64_t seed, uint64_t stream, uint64_t offset, void *y, size_t count);

/// Integers in [0, bound), likewise, unbiased to 2^-32.
void rk_random_integers(uint64_t seed, uint64_t stream, uint64_t offset, uint32_t bound, int32_t *y, size_t count);
