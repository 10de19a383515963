#pragma once

#include "types.h"

// LAPACK in float64, from Debian's libopenblas0 or from the library that RIFFLE_BLAS names: loaded by the first call of
// rk_lapack_name, which has to come before all others here. Matrices are column-major; sizes fit 32 bits. Each call
// runs on the calling thread alone, so that results do not depend on the number of threads.

/// The library's name and core, "OpenBLAS 0.3.21 (SkylakeX)"; NULL where there is none, with the reason in *error.
const char *rk_lapack_name(const char **error);

/// C = A B^T, with A m x k, B n x k, C m x n: dgemm.
void rk_lapack_product(size_t m, size_t n, size_t k, const double *a, const double *b, double *c);

/// A (m x n, m >= n) = Q R: dgeqrf. R is left in A's upper triangle. `work` holds 64 n numbers, `tau` n.
int rk_lapack_qr(size_t m, size_t n, double *a, double *tau, double *work);

/// A (m x n, m >= n) = Q B P^T with B upper bidiagonal, `diagonal` and `above` (n each): dgebrd. A, tau_q and tau_p (n
/// each) hold Q and P. `work` holds 64 (m + n) numbers.
int rk_lapack_bidiagonal(
    size_t m, size_t n, double *a, double *diagonal, double *above, double *tau_q, double *tau_p, double *work);

/// x = Q x (m numbers) and x = P^T x (n numbers) of that form: dormbr.
int rk_lapack_apply_q(size_t m, size_t n, const double *a, const double *tau_q, double *x, double *work);
int rk_lapack_apply_p(size_t m, size_t n, const double *a, const double *tau_p, double *x, double *work);

/// The singular values of an upper bidiagonal matrix, largest first, in `diagonal`: dbdsqr. `work` holds 4 n numbers.
int rk_lapack_singular_values(size_t n, double *diagonal, double *above, double *work);

/// The eigenvalues of a symmetric matrix A (n x n), smallest first, in `values`; A becomes their eigenvectors, a column
/// each: dsyevd. `work` holds 1 + 6 n + 2 n^2 numbers, which have to be fewer than 2^31, `whole` 3 + 5 n.
int rk_lapack_eigenvectors(size_t n, double *a, double *values, double *work, int64_t *whole);
