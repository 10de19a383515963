// Matrix products on one thread, float32. The kernels are our own: products of blocks that fit the cache need no
// general library, and are the faster for it. RIFFLE_BLAS names a BLAS to be used instead.
#include <string.h>

#include "kernels/memory.h"
#include "kernels/threads.h"
#include "private.h"
#include "simd/transpose.h"

enum {
    CBLAS_ROW_MAJOR = 101,
    CBLAS_NO_TRANSPOSE = 111,
    CBLAS_TRANSPOSE = 112,
};

/// Inner indices and rows of a block: a packed panel takes most of the first-level cache, A's block part of the second.
enum { RK_DEPTH = 256, RK_BLOCK_ROWS = 192, RK_COPY_ROW = RK_DEPTH + 16 };

#define RK_BODY "gemm.h"
#include "simd/levels.h"

static void scale_rows(size_t m, size_t n, float beta, float *c, size_t ldc) {
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) c[i * ldc + j] = beta == 0 ? 0 : beta * c[i * ldc + j];
}

/// Few rows or few columns: a product by dot products, after turning a narrow B; false without memory for that.
static bool multiply_narrow(
    size_t m, size_t n, size_t k, float alpha, rk_operand a, rk_operand b, float beta, float *c, size_t ldc) {
    gemm_target t = {alpha, beta, c, ldc, n};
    if (b.transpose) {
        RK_DISPATCH(gemm_dots)(m, n, k, a, b, &t);
        return true;
    }
    size_t bytes = n * k * sizeof(float);
    float *turned = rk_alloc(bytes);
    if (!turned) return false;
    for (size_t p = 0; p < k; p++)
        for (size_t j = 0; j < n; j++) turned[j * k + p] = b.data[p * b.row + j];
    RK_DISPATCH(gemm_dots)(m, n, k, a, (rk_operand){turned, k, true}, &t);
    rk_free(turned, bytes);
    return true;
}

static void multiply(
    size_t m, size_t n, size_t k, float alpha, rk_operand a, rk_operand b, const float *packed, float beta, float *c,
    size_t ldc) {
    if (k == 0 || alpha == 0) {
        if (beta != 1) scale_rows(m, n, beta, c, ldc);
        return;
    }
    if (!packed && !a.transpose && (n <= 4 || (m <= 4 && b.transpose))
        && multiply_narrow(m, n, k, alpha, a, b, beta, c, ldc))
        return;
    // Rows far apart share few cache sets and pages; copying pays where they are read often. Without memory it is left.
    size_t bytes = RK_DEPTH * RK_COPY_ROW * sizeof(float);
    float *space = n >= 128 && m >= 24 && a.row >= (a.transpose ? 192 : 512) ? rk_alloc(bytes) : NULL;
    for (size_t i = 0; i < m; i += RK_BLOCK_ROWS) {
        rk_operand rows = {a.data + i * (a.transpose ? 1 : a.row), a.row, a.transpose};
        RK_DISPATCH(gemm)(rk_min(m - i, RK_BLOCK_ROWS), n, k, alpha, rows, b, packed, beta, c + i * ldc, ldc, space);
    }
    if (space) rk_free(space, bytes);
}

void rk_sgemm(size_t m, size_t n, size_t k, float alpha, rk_operand a, rk_operand b, float beta, float *c, size_t ldc) {
    if (m == 0 || n == 0) return;
    rk_cblas_sgemm blas = rk_blas_sgemm();
    if (blas && k > 0 && alpha != 0)
        blas(CBLAS_ROW_MAJOR, a.transpose ? CBLAS_TRANSPOSE : CBLAS_NO_TRANSPOSE,
             b.transpose ? CBLAS_TRANSPOSE : CBLAS_NO_TRANSPOSE, (int)m, (int)n, (int)k, alpha, a.data, (int)a.row,
             b.data, (int)b.row, beta, c, (int)ldc);
    else
        multiply(m, n, k, alpha, a, b, NULL, beta, c, ldc);
}

void rk_sgemm_packed(
    size_t m, size_t n, size_t k, float alpha, rk_operand a, const float *packed, float beta, float *c, size_t ldc) {
    if (m > 0 && n > 0) multiply(m, n, k, alpha, a, (rk_operand){0}, packed, beta, c, ldc);
}

size_t rk_panel(void) { return RK_DISPATCH(panel_columns)(); }

size_t rk_packed_floats(size_t k, size_t n) { return rk_round_up(n, rk_panel()) * k; }

typedef struct {
    rk_operand b;
    size_t k, n;
    float *packed;
} pack_job;

static void pack_piece(void *context, size_t begin, size_t end) {
    const pack_job *job = context;
    RK_DISPATCH(pack)(job->b, job->k, job->n, begin, end, job->packed);
}

void rk_pack(rk_operand b, size_t k, size_t n, float *packed) {
    pack_job job = {b, k, n, packed};
    size_t panel = rk_panel();
    rk_parallel_for(rk_ceil_div(n, panel), rk_max(1, 32768 / (panel * rk_max(1, k))), pack_piece, &job);
}
