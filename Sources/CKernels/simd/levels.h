// Compiles the file RK_BODY once a vector level, so that one binary serves every x86-64 processor. In the body a name
// is written RK_LEVEL(name) and gets the level's suffix; RK_DISPATCH(name) picks the level in use at run time.
// To be included once by a .c file, after `#define RK_BODY "<family>.inc"`, the name of a file beside this one.
#include "kernels/cpu.h"

#define RK_LEVEL(name) name##_baseline
#define RK_VECTOR_BYTES 16
#include RK_BODY
#undef RK_LEVEL
#undef RK_VECTOR_BYTES

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi,bmi2"))), apply_to = function)
#define RK_LEVEL(name) name##_avx2
#define RK_VECTOR_BYTES 32
#include RK_BODY
#undef RK_LEVEL
#undef RK_VECTOR_BYTES
#pragma clang attribute pop

#pragma clang attribute push( \
    __attribute__(( \
        target("avx2,fma,f16c,bmi,bmi2,avx512f,avx512bw,avx512dq,avx512vl,avx512cd"), min_vector_width(512))), \
    apply_to = function)
#define RK_LEVEL(name) name##_avx512
#define RK_VECTOR_BYTES 64
#include RK_BODY
#undef RK_LEVEL
#undef RK_VECTOR_BYTES
#pragma clang attribute pop

#define RK_DISPATCH(name) \
    (rk_cpu() >= RK_CPU_AVX512 ? name##_avx512 : rk_cpu() == RK_CPU_AVX2 ? name##_avx2 : name##_baseline)
