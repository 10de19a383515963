// Loads a BLAS: the one that RIFFLE_BLAS names, for comparison with the kernels built in, and LAPACK's. Asks it for one
// thread and for the kernels that suit the processor.
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernels/cpu.h"
#include "kernels/threads.h"
#include "private.h"

static struct {
    pthread_once_t once;
    rk_cblas_sgemm sgemm;
    char name[160];
    char error[400];
} blas = {.once = PTHREAD_ONCE_INIT};

/// The OpenBLAS core that goes with rk_cpu(); NULL leaves the choice to OpenBLAS.
static const char *core_type(void) {
    switch (rk_cpu()) {
    case RK_CPU_AMX:
    case RK_CPU_AVX512: return "SkylakeX"; // versions that do not know a newer processor fall back to Haswell
    case RK_CPU_AVX2: return "Haswell";
    default: return getenv("RIFFLE_CPU") ? "Prescott" : NULL;
    }
}

/// Sets an environment variable unless the user has; returns whether it did.
static bool set_default(const char *name, const char *value) {
    return value && !getenv(name) && setenv(name, value, 0) == 0;
}

static void describe(void *library, char *name, size_t size) {
    char *(*config)(void) = (char *(*)(void))dlsym(library, "openblas_get_config");
    char *(*core)(void) = (char *(*)(void))dlsym(library, "openblas_get_corename");
    if (!config || !core) {
        snprintf(name, size, "BLAS");
        return;
    }
    int length = 0, spaces = 0; // the configuration begins "OpenBLAS 0.3.21 NO_LAPACKE ..."
    for (const char *text = config(); text[length] && (spaces += text[length] == ' ') < 2;) length++;
    snprintf(name, size, "%.*s (%s)", length, config(), core());
}

void *rk_open_blas(const char *file, char *name, size_t size) {
    bool threads = set_default("OPENBLAS_NUM_THREADS", "1"), core = set_default("OPENBLAS_CORETYPE", core_type());
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (threads) unsetenv("OPENBLAS_NUM_THREADS");
    if (core) unsetenv("OPENBLAS_CORETYPE");
    if (!library) return NULL;
    void (*set_threads)(int) = (void (*)(int))dlsym(library, "openblas_set_num_threads");
    if (set_threads) set_threads(1);
    describe(library, name, size);
    return library;
}

static void load(void) {
    const char *chosen = getenv("RIFFLE_BLAS");
    if (!chosen || !*chosen) {
        snprintf(blas.error, sizeof blas.error, "none asked for (RIFFLE_BLAS): the kernels are built in");
        return;
    }
    void *library = rk_open_blas(chosen, blas.name, sizeof blas.name);
    blas.sgemm = library ? (rk_cblas_sgemm)dlsym(library, "cblas_sgemm") : NULL;
    if (!blas.sgemm)
        snprintf(blas.error, sizeof blas.error, "RIFFLE_BLAS: %s", library ? "no cblas_sgemm in it" : dlerror());
}

rk_cblas_sgemm rk_blas_sgemm(void) {
    pthread_once(&blas.once, load);
    return blas.sgemm;
}

const char *rk_blas_name(const char **error) {
    if (rk_blas_sgemm()) return blas.name;
    if (error) *error = blas.error;
    return NULL;
}
