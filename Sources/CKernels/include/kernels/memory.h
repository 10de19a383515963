#pragma once

#include "types.h"

/// Bytes of tensor memory: in use now, the most that were ever in use, freed but kept for reuse, and the limits.
typedef struct {
    size_t live, peak, cached, limit, cache_limit;
} rk_memory;

/// A block of at least `bytes` bytes, aligned to 64, uninitialised; NULL when live memory would pass the limit
/// (the cache is emptied first) or the system has none. `bytes` may be 0.
///
/// With RIFFLE_MEMORY=exact in the environment, which is for tests, a block has no byte more than was asked for: what
/// touches the one behind it, or uses a block that was given back, traps. Alignment then gives way to the size.
void *rk_alloc(size_t bytes);

/// Gives back a block of rk_alloc; `bytes` is what was asked for. Ends the process where that cannot be.
void rk_free(void *block, size_t bytes);

rk_memory rk_memory_now(void);

/// The bytes that the machine can still give without swapping, by /proc/meminfo; 2^62 where it does not say.
size_t rk_memory_available(void);

/// The limit on live bytes; 0 restores the default, 80 % of the smaller of physical memory and the cgroup's limit.
void rk_memory_set_limit(size_t bytes);

/// The limit on bytes kept for reuse; default: a quarter of the memory limit.
void rk_memory_set_cache_limit(size_t bytes);

void rk_memory_clear_cache(void);

/// Sets the peak back to what is live now.
void rk_memory_reset_peak(void);
