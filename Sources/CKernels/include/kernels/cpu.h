#pragma once

/// The instructions in use: vectors of 16, 32 or 64 bytes, and those with matrix tiles.
typedef enum { RK_CPU_BASELINE = 0, RK_CPU_AVX2 = 1, RK_CPU_AVX512 = 2, RK_CPU_AMX = 3 } rk_cpu_level;

/// What the processor has, lowered by RIFFLE_CPU=baseline|avx2|avx512|amx where that is set.
rk_cpu_level rk_cpu(void);

/// Sets the level for the calling thread and the loops that it spreads, and returns it: never more than the processor
/// has. For tests.
rk_cpu_level rk_cpu_set(rk_cpu_level level);

/// The processor's name, as it gives it.
const char *rk_cpu_name(void);
