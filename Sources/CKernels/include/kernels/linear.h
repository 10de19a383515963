#pragma once

#include "types.h"

/// C[i] = alpha op(A[i]) op(B[i]) + beta C[i] for `batch` matrices, row-major: op(A) is m x k, op(B) k x n, C m x n,
/// with row lengths lda, ldb, ldc and batch strides in elements (0 repeats a matrix). `bias` (n elements, or NULL) is
/// added to each row last. float64 is a plain loop.
typedef struct {
    size_t batch, m, n, k;
    bool transpose_a, transpose_b;
    size_t lda, ldb, ldc;
    size_t stride_a, stride_b, stride_c;
    double alpha, beta;
    const void *bias;
    rk_precision precision;
} rk_gemm_shape;

void rk_gemm(rk_dtype dtype, const rk_gemm_shape *shape, const void *a, const void *b, void *c);

/// The same for float32, with one B of bfloat16 for all products (stride_b is 0, or batch 1). Its numbers become
/// float32 on their way into the kernels, and sums are float32. Returns false without memory for that.
bool rk_gemm_bfloat16(const rk_gemm_shape *shape, const float *a, const uint16_t *b, float *c);

/// Matrix products use kernels of our own unless the environment variable RIFFLE_BLAS names a library with cblas_sgemm,
/// such as libopenblas.so.0: then its name and core, "OpenBLAS 0.3.21 (SkylakeX)"; else NULL with the reason in *error.
const char *rk_blas_name(const char **error);
