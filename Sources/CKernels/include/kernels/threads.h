#pragma once

#include "types.h"

/// How many threads kernels use: RIFFLE_THREADS, else the processors that this process may run on, as far as the quota
/// of its control groups goes.
int rk_threads(void);

/// Sets the number of threads, at least 1. Results do not depend on it.
void rk_threads_set(int count);

/// Calls body(context, begin, end) over [0, count) in pieces of `grain` items (the last one may be shorter), spread
/// over the pool. The pieces depend on count and grain alone. Nested and concurrent calls run inline.
void rk_parallel_for(size_t count, size_t grain, void (*body)(void *context, size_t begin, size_t end), void *context);

/// One pointer a thread, for the engine above, which `release` gets when the thread ends.
void *rk_thread_context(void);
void rk_thread_set_context(void *context, void (*release)(void *context));
