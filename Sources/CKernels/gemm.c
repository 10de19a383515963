// Matrix products on one thread, float32. The kernels are our own: products of blocks that fit the cache need no
// general library, and are the faster for it. RIFFLE_BLAS names a BLAS to be used instead.
#include <limits.h>
#include <string.h>

#include "amx.h"
#include "kernels/cpu.h"
#include "kernels/half.h"
#include "kernels/memory.h"
#include "kernels/threads.h"
#include "private.h"
#include "simd/transpose.h"

enum {
    CBLAS_ROW_MAJOR = 101,
    CBLAS_NO_TRANSPOSE = 111,
    CBLAS_TRANSPOSE = 112,
};

/// Rows of a block, which takes part of the second cache. The block of a transposed A has fewer inner indices and more
/// rows: its rows and those of B are far apart in memory, so that each that is fetched should be used many times.
enum { RK_BLOCK_ROWS = 192, RK_TURNED_ROWS = 384, RK_TURNED_DEPTH = 256 };

#define RK_BODY "gemm.inc"
#include "simd/levels.h"

static void scale_rows(size_t m, size_t n, float beta, float *c, size_t ldc) {
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) c[i * ldc + j] = beta == 0 ? 0 : beta * c[i * ldc + j];
}

/// Few rows or few columns: a product by dot products, after turning a narrow B; false without memory for that.
static bool multiply_narrow(size_t m, size_t n, size_t k, rk_operand a, rk_operand b, rk_output out) {
    gemm_target t = {out.alpha, out.beta, out.c, out.row, n, NULL};
    if (b.transpose) {
        RK_DISPATCH(gemm_dots)(m, n, k, a, b, NULL, &t);
        return true;
    }
    size_t bytes = n * k * sizeof(float);
    float *turned = rk_alloc(bytes);
    if (!turned) return false;
    for (size_t p = 0; p < k; p++)
        for (size_t j = 0; j < n; j++) turned[j * k + p] = b.data[p * b.row + j];
    RK_DISPATCH(gemm_dots)(m, n, k, a, (rk_operand){turned, k, true}, NULL, &t);
    rk_free(turned, bytes);
    return true;
}

/// `packed` holds B in panels of the vector kernel where it is given; only then there may be a bias.
static void multiply(
    size_t m, size_t n, size_t k, rk_operand a, rk_operand b, const float *packed, const float *bias, rk_output out) {
    if (k == 0 || out.alpha == 0) {
        if (out.beta != 1) scale_rows(m, n, out.beta, out.c, out.row);
        return;
    }
    if (!packed && !a.transpose && (n <= 4 || (m <= 4 && b.transpose)) && multiply_narrow(m, n, k, a, b, out)) return;
    // Rows far apart share few cache sets and pages, so that copying A pays where its rows are read often. Without
    // memory for the copy A is read in place.
    size_t bytes = RK_DISPATCH(space_floats)(a.transpose) * sizeof(float), rows = rk_block_rows(a.transpose);
    float *space = n >= 128 && m >= 24 && a.row >= (a.transpose ? 192 : 512) ? rk_alloc(bytes) : NULL;
    for (size_t i = 0; i < m; i += rows, out.c += rows * out.row)
        RK_DISPATCH(gemm)(rk_min(m - i, rows), n, k, rk_slice(a, i, 0), b, packed, bias, out, space);
    if (space) rk_free(space, bytes);
}

void rk_bfloat16_dots(size_t m, size_t n, size_t k, rk_operand a, const uint16_t *b, size_t b_row, rk_output out) {
    gemm_target t = {out.alpha, out.beta, out.c, out.row, n, NULL};
    RK_DISPATCH(gemm_dots)(m, n, k, a, (rk_operand){NULL, b_row, true}, b, &t);
}

void rk_vector_gemm(size_t m, size_t n, size_t k, rk_operand a, rk_operand b, rk_output out) {
    multiply(m, n, k, a, b, NULL, NULL, out);
}

static bool has_tiles(void) { return rk_cpu() == RK_CPU_AMX; }

/// A BLAS takes sizes as int. Larger products run on the kernels built in.
static bool fits_blas(size_t m, size_t n, size_t k, rk_operand a, rk_operand b, size_t ldc) {
    return rk_max(rk_max(m, n), rk_max(k, ldc)) <= INT_MAX && rk_max(a.row, b.row) <= INT_MAX;
}

void rk_sgemm(rk_precision precision, size_t m, size_t n, size_t k, rk_operand a, rk_operand b, rk_output out) {
    if (m == 0 || n == 0) return;
    rk_cblas_sgemm blas = rk_blas_sgemm();
    if (!blas && has_tiles() && out.alpha != 0 && rk_amx_suits(m, n, k)
        && rk_amx_gemm(precision, m, n, k, a, b, NULL, NULL, out))
        return;
    if (blas && k > 0 && out.alpha != 0 && fits_blas(m, n, k, a, b, out.row))
        blas(
            CBLAS_ROW_MAJOR, a.transpose ? CBLAS_TRANSPOSE : CBLAS_NO_TRANSPOSE,
            b.transpose ? CBLAS_TRANSPOSE : CBLAS_NO_TRANSPOSE, (int)m, (int)n, (int)k, out.alpha, a.data, (int)a.row,
            b.data, (int)b.row, out.beta, out.c, (int)out.row);
    else
        multiply(m, n, k, a, b, NULL, NULL, out);
}

void rk_sgemm_packed(
    rk_precision precision, size_t m, size_t n, size_t k, rk_operand a, const float *packed, const float *bias,
    rk_output out) {
    if (m == 0 || n == 0) return;
    if (has_tiles() && k > 0 && out.alpha != 0)
        rk_amx_gemm(precision, m, n, k, a, (rk_operand){0}, packed, bias, out);
    else
        multiply(m, n, k, a, (rk_operand){0}, packed, bias, out);
}

// MARK: - Packing

size_t rk_row_unit(void) { return has_tiles() ? RK_AMX_SIDE : 12; }

size_t rk_block_rows(bool transpose_a) { return transpose_a && !has_tiles() ? RK_TURNED_ROWS : RK_BLOCK_ROWS; }

size_t rk_piece_work(void) { return has_tiles() ? 1 << 22 : 1 << 20; }

bool rk_rearranges(size_t m, size_t n, size_t k, bool transpose_b) {
    return !rk_blas_sgemm() && (has_tiles() ? rk_amx_suits(m, n, k) : transpose_b);
}

size_t rk_panel(void) { return has_tiles() ? RK_AMX_SIDE : RK_DISPATCH(panel_columns)(); }

size_t rk_panel_floats(rk_precision precision, size_t k) {
    return has_tiles() ? rk_amx_panel_floats(precision, k) : rk_panel() * k;
}

size_t rk_packed_floats(rk_precision precision, size_t k, size_t n) {
    return rk_ceil_div(n, rk_panel()) * rk_panel_floats(precision, k);
}

const float *rk_packed_at(rk_precision precision, const float *packed, size_t k, size_t column) {
    return packed + column / rk_panel() * rk_panel_floats(precision, k);
}

void rk_pack_slice(
    rk_precision precision, rk_operand part, size_t k, size_t p, size_t depth, size_t j, size_t columns,
    float *packed) {
    size_t panel = rk_panel(), floats = rk_panel_floats(precision, k);
    for (size_t q = 0; q < columns; q += panel) {
        rk_operand piece = rk_slice(part, 0, q);
        size_t width = rk_min(columns - q, panel);
        float *to = packed + (j + q) / panel * floats;
        if (has_tiles())
            rk_amx_pack(precision, piece, depth, width, to, k, p);
        else
            RK_DISPATCH(pack_panel)(piece, 0, depth, 0, width, to + p * panel);
    }
}

typedef struct {
    rk_precision precision;
    rk_operand b;
    size_t k, n;
    float *packed;
} pack_job;

static void pack_panels(void *context, size_t begin, size_t end) {
    const pack_job *job = context;
    size_t j = begin * rk_panel(), columns = rk_min(end * rk_panel(), job->n) - j;
    rk_pack_slice(job->precision, rk_slice(job->b, 0, j), job->k, 0, job->k, j, columns, job->packed);
}

void rk_pack(rk_precision precision, rk_operand b, size_t k, size_t n, float *packed) {
    pack_job job = {precision, b, k, n, packed};
    size_t panel = rk_panel();
    rk_parallel_for(rk_ceil_div(n, panel), rk_max(1, 2 * RK_GRAIN / (panel * rk_max(1, k))), pack_panels, &job);
}

/// Inner indices that are widened at a time, so that they stay in the first cache; a multiple of 32.
enum { WIDENED = 128 };

void rk_pack_bfloat16(
    rk_precision precision, const uint16_t *b, size_t row, bool transpose, size_t k, size_t n, float *packed) {
    enum { MOST = RK_AMX_SIDE }; // no level's panel has more columns
    float wide[WIDENED * MOST];
    size_t panel = rk_panel();
    for (size_t j = 0; j < n; j += panel)
        for (size_t p = 0; p < k; p += WIDENED) {
            size_t columns = rk_min(n - j, panel), depth = rk_min(k - p, WIDENED);
            size_t rows = transpose ? columns : depth, length = transpose ? depth : columns;
            const uint16_t *from = transpose ? b + j * row + p : b + p * row + j;
            for (size_t i = 0; i < rows; i++) rk_widen_bfloat16(from + i * row, wide + i * length, length);
            rk_pack_slice(precision, (rk_operand){wide, length, transpose}, k, p, depth, j, columns, packed);
        }
}
