// What the processor can do.
#include "kernels/cpu.h"

#include <cpuid.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static _Atomic int process_level = -1;
static _Thread_local int thread_level = -1; // where set, comes before the process's

/// Linux gives the tiles' registers to processes that ask for them.
static bool allow_tiles(void) {
    enum { REQUEST_COMPONENT = 0x1023, TILE_DATA = 18 };
    return syscall(SYS_arch_prctl, REQUEST_COMPONENT, TILE_DATA) == 0;
}

static rk_cpu_level detect(void) {
    __builtin_cpu_init();
    if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi")
          && __builtin_cpu_supports("bmi2")))
        return RK_CPU_BASELINE;
    bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
                  && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")
                  && __builtin_cpu_supports("avx512cd");
    if (!avx512) return RK_CPU_AVX2;
    bool amx = __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-bf16");
    return amx && allow_tiles() ? RK_CPU_AMX : RK_CPU_AVX512;
}

static rk_cpu_level detect_and_lower(void) {
    static const char *const names[] = {"baseline", "avx2", "avx512", "amx"};
    rk_cpu_level level = detect();
    const char *wanted = getenv("RIFFLE_CPU");
    for (int i = 0; wanted != NULL && i < (int)level; i++)
        if (strcmp(wanted, names[i]) == 0) level = (rk_cpu_level)i;
    return level;
}

static int level_of_process(void) {
    int level = atomic_load_explicit(&process_level, memory_order_relaxed);
    if (level < 0) {
        level = (int)detect_and_lower();
        atomic_store_explicit(&process_level, level, memory_order_relaxed);
    }
    return level;
}

rk_cpu_level rk_cpu(void) { return (rk_cpu_level)(thread_level >= 0 ? thread_level : level_of_process()); }

rk_cpu_level rk_cpu_set(rk_cpu_level level) {
    int most = level_of_process();
    thread_level = (int)level > most ? most : (int)level;
    return (rk_cpu_level)thread_level;
}

// The brand string is 48 bytes of three cpuid leaves, padded with spaces at either end.
static void read_name(char name[64]) {
    unsigned words[12] = {0};
    if (__get_cpuid_max(0x80000000, NULL) < 0x80000004) {
        strcpy(name, "unknown");
        return;
    }
    for (unsigned leaf = 0; leaf < 3; leaf++) {
        unsigned *w = words + 4 * leaf;
        __get_cpuid(0x80000002 + leaf, w, w + 1, w + 2, w + 3);
    }
    const char *from = (const char *)words;
    size_t length = strnlen(from, sizeof words);
    while (length > 0 && *from == ' ') from++, length--;
    while (length > 0 && from[length - 1] == ' ') length--;
    memcpy(name, from, length);
    name[length] = 0;
}

// Two threads that come here first write the same bytes.
const char *rk_cpu_name(void) {
    static char name[64];
    static _Atomic bool ready;
    if (!atomic_load_explicit(&ready, memory_order_acquire)) {
        read_name(name);
        atomic_store_explicit(&ready, true, memory_order_release);
    }
    return name;
}
