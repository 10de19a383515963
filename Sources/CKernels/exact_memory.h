// Blocks for tests, in which one element too far traps.
#pragma once

#include "kernels/types.h"

/// Whether RIFFLE_MEMORY=exact asks for such blocks. The answer stays the same for the whole process.
bool rk_exact_wanted(void);

/// A block that ends where no memory may be touched, filled with bytes that make NaN of every float; NULL when the
/// system has none. It is aligned to 64 as far as its end allows: to the largest power of two that divides `bytes`.
void *rk_exact_take(size_t bytes);

/// Gives the block back to the system, so that a later use of it traps too.
void rk_exact_give(void *block, size_t bytes);

// AddressSanitizer does not know which parts of the allocator's own blocks are in use, unless these calls say so.
#if __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#define RK_FORBID(start, bytes) ASAN_POISON_MEMORY_REGION(start, bytes)
#define RK_ALLOW(start, bytes) ASAN_UNPOISON_MEMORY_REGION(start, bytes)
#else
#define RK_FORBID(start, bytes) ((void)(start), (void)(bytes))
#define RK_ALLOW(start, bytes) ((void)(start), (void)(bytes))
#endif
