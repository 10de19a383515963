// LAPACK's functions by their Fortran names. Integers are passed as int64_t, whose lower half is what libraries of
// 32-bit integers read; the lengths of strings follow the arguments.
#include "kernels/lapack.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "private.h"

typedef const int64_t *integer;

static struct {
    pthread_once_t once;
    void (*gemm)(
        const char *, const char *, integer, integer, integer, const double *, const double *, integer, const double *,
        integer, const double *, double *, integer, size_t, size_t);
    void (*geqrf)(integer, integer, double *, integer, double *, double *, integer, int64_t *);
    void (*gebrd)(
        integer, integer, double *, integer, double *, double *, double *, double *, double *, integer, int64_t *);
    void (*ormbr)(
        const char *, const char *, const char *, integer, integer, integer, const double *, integer, const double *,
        double *, integer, double *, integer, int64_t *, size_t, size_t, size_t);
    void (*bdsqr)(
        const char *, integer, integer, integer, integer, double *, double *, double *, integer, double *, integer,
        double *, integer, double *, int64_t *, size_t);
    void (*syevd)(
        const char *, const char *, integer, double *, integer, double *, double *, integer, int64_t *, integer,
        int64_t *, size_t, size_t);
    bool ready;
    char name[160];
    char error[400];
} lapack = {.once = PTHREAD_ONCE_INIT};

static void load(void) {
    static const char usual[] = "libopenblas.so.0";
    const char *chosen = getenv("RIFFLE_BLAS"), *named = chosen && *chosen ? chosen : usual;
    void *library = rk_open_blas(named, lapack.name, sizeof lapack.name);
    if (!library) {
        const char *hint =
            named == usual ? "install Debian's libopenblas0, or name another library by RIFFLE_BLAS" : "RIFFLE_BLAS";
        snprintf(lapack.error, sizeof lapack.error, "LAPACK was not found: %s (%s)", hint, dlerror());
        return;
    }
    *(void **)&lapack.gemm = dlsym(library, "dgemm_");
    *(void **)&lapack.geqrf = dlsym(library, "dgeqrf_");
    *(void **)&lapack.gebrd = dlsym(library, "dgebrd_");
    *(void **)&lapack.ormbr = dlsym(library, "dormbr_");
    *(void **)&lapack.bdsqr = dlsym(library, "dbdsqr_");
    *(void **)&lapack.syevd = dlsym(library, "dsyevd_");
    lapack.ready = lapack.gemm && lapack.geqrf && lapack.gebrd && lapack.ormbr && lapack.bdsqr && lapack.syevd;
    if (!lapack.ready)
        snprintf(lapack.error, sizeof lapack.error, "LAPACK was not found: %s has no LAPACK in it", named);
}

const char *rk_lapack_name(const char **error) {
    pthread_once(&lapack.once, load);
    if (lapack.ready) return lapack.name;
    if (error) *error = lapack.error;
    return NULL;
}

void rk_lapack_product(size_t m, size_t n, size_t k, const double *a, const double *b, double *c) {
    int64_t rows = (int64_t)m, columns = (int64_t)n, depth = (int64_t)k;
    double one = 1, zero = 0;
    lapack.gemm("N", "T", &rows, &columns, &depth, &one, a, &rows, b, &columns, &zero, c, &rows, 1, 1);
}

int rk_lapack_qr(size_t m, size_t n, double *a, double *tau, double *work) {
    int64_t rows = (int64_t)m, columns = (int64_t)n, size = 64 * columns, info = 0;
    lapack.geqrf(&rows, &columns, a, &rows, tau, work, &size, &info);
    return (int)info;
}

int rk_lapack_bidiagonal(
    size_t m, size_t n, double *a, double *diagonal, double *above, double *tau_q, double *tau_p, double *work) {
    int64_t rows = (int64_t)m, columns = (int64_t)n, size = 64 * (rows + columns), info = 0;
    lapack.gebrd(&rows, &columns, a, &rows, diagonal, above, tau_q, tau_p, work, &size, &info);
    return (int)info;
}

int rk_lapack_apply_q(size_t m, size_t n, const double *a, const double *tau_q, double *x, double *work) {
    int64_t rows = (int64_t)m, columns = (int64_t)n, one = 1, size = 64 * (rows + columns), info = 0;
    lapack.ormbr("Q", "L", "N", &rows, &one, &columns, a, &rows, tau_q, x, &rows, work, &size, &info, 1, 1, 1);
    return (int)info;
}

int rk_lapack_apply_p(size_t m, size_t n, const double *a, const double *tau_p, double *x, double *work) {
    int64_t rows = (int64_t)m, columns = (int64_t)n, one = 1, size = 64 * (rows + columns), info = 0;
    lapack.ormbr("P", "L", "T", &columns, &one, &rows, a, &rows, tau_p, x, &columns, work, &size, &info, 1, 1, 1);
    return (int)info;
}

int rk_lapack_singular_values(size_t n, double *diagonal, double *above, double *work) {
    int64_t order = (int64_t)n, none = 0, one = 1, info = 0;
    double unused = 0;
    lapack.bdsqr(
        "U", &order, &none, &none, &none, diagonal, above, &unused, &one, &unused, &one, &unused, &one, work, &info, 1);
    return (int)info;
}

int rk_lapack_eigenvectors(size_t n, double *a, double *values, double *work, int64_t *whole) {
    int64_t order = (int64_t)n, size = 1 + 6 * order + 2 * order * order, whole_size = 3 + 5 * order, info = 0;
    lapack.syevd("V", "L", &order, a, &order, values, work, &size, whole, &whole_size, &info, 1, 1);
    return (int)info;
}
