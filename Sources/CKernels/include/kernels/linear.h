#pragma once

#include "types.h"

/// What is done to a product before it is stored: + bias[column], then the activation.
typedef enum { RK_ACT_NONE, RK_ACT_SILU, RK_ACT_GELU, RK_ACT_RELU } rk_activation;

/// C[i] = alpha op(A[i]) op(B[i]) + beta C[i] for `batch` matrices, row-major: op(A) is m x k, op(B) k x n, C m x n,
/// with row lengths lda, ldb, ldc and batch strides in elements (0 repeats a matrix). `bias` (n elements, or NULL) and
/// `activation` are applied last. float32 goes to BLAS on its fast path, float64 is a plain loop.
typedef struct {
    size_t batch, m, n, k;
    bool transpose_a, transpose_b;
    size_t lda, ldb, ldc;
    size_t stride_a, stride_b, stride_c;
    double alpha, beta;
    const void *bias;
    rk_activation activation;
} rk_gemm_shape;

void rk_gemm(rk_dtype dtype, const rk_gemm_shape *shape, const void *a, const void *b, void *c);

/// The BLAS in use and its core, such as "OpenBLAS 0.3.21 (SkylakeX)"; NULL with a reason in *error when there is none.
/// The environment variable RIFFLE_BLAS=none does without.
const char *rk_blas_name(const char **error);
