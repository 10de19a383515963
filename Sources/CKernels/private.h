// What the kernels share among themselves.
#pragma once

#include <string.h>

#include "kernels/types.h"
#include "kernels/attention.h"
#include "kernels/conv.h"
#include "kernels/linear.h"
#include "kernels/norm.h"

/// For the parts of a loop that a caller's constants and vector level are to reach.
#define RK_INLINE static inline __attribute__((always_inline))

/// Work that makes fewer pieces than this is cut finer, so that the threads of usual machines all get some. The number
/// is the same on every machine, since sums run in the order of the pieces.
enum { RK_PIECES = 8 };
/// Elements of a piece of a simple loop: fewer take about as long as waking another thread.
enum { RK_GRAIN = 16384 };

static inline size_t rk_min(size_t a, size_t b) { return a < b ? a : b; }
static inline size_t rk_max(size_t a, size_t b) { return a > b ? a : b; }
static inline size_t rk_ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }
static inline size_t rk_round_up(size_t a, size_t multiple) { return rk_ceil_div(a, multiple) * multiple; }

/// Bytes of an element.
static inline size_t rk_width(rk_dtype dtype) { return dtype == RK_F64 ? 8 : (int)dtype == RK_BF16 ? 2 : 4; }

/// How many rows of so many elements make a piece of a simple loop.
static inline size_t rk_rows_of_piece(size_t elements) { return rk_max(1, RK_GRAIN / rk_max(1, elements)); }

static inline void rk_copy_floats(float *to, const float *from, size_t count) {
    if (count >= 64)
        memcpy(to, from, count * sizeof(float));
    else // a call costs more than it saves
        for (size_t i = 0; i < count; i++) to[i] = from[i];
}

/// A float32 matrix product's operand: row-major, `row` elements from one row to the next, perhaps to be transposed.
typedef struct {
    const float *data;
    size_t row;
    bool transpose;
} rk_operand;

/// What is left of op(x) from a row and a column on.
static inline rk_operand rk_slice(rk_operand x, size_t row, size_t column) {
    x.data += x.transpose ? column * x.row + row : row * x.row + column;
    return x;
}

/// The element at which a row of a head begins.
static inline size_t rk_row_offset(rk_attention_stride s, size_t batch, size_t head, size_t row) {
    return batch * s.batch + head * s.head + row * s.row;
}

/// What a product is added to: C = alpha op(A) op(B) + beta C, with `row` elements from one row of C to the next.
typedef struct {
    float *c;
    size_t row;
    float alpha, beta;
} rk_output;

/// C = alpha op(A) op(B) + beta C on the calling thread; op(A) is m x k, op(B) k x n.
void rk_sgemm(rk_precision precision, size_t m, size_t n, size_t k, rk_operand a, rk_operand b, rk_output out);

/// A matrix k x n in panels, the order in which the product below reads it for one precision: rk_packed_floats of them.
/// A panel holds rk_panel() columns in rk_panel_floats(k) floats; their order is up to the kernels.
void rk_pack(rk_precision precision, rk_operand b, size_t k, size_t n, float *packed);
size_t rk_packed_floats(rk_precision precision, size_t k, size_t n);
/// A part of it: its rows [p, p + depth) and columns [j, j + columns), which are `part`. p is a multiple of 32, j of a
/// panel.
void rk_pack_slice(
    rk_precision precision, rk_operand part, size_t k, size_t p, size_t depth, size_t j, size_t columns, float *packed);
/// The same for a matrix of bfloat16, on the calling thread; its rows are `row` apart, and it may be transposed.
void rk_pack_bfloat16(
    rk_precision precision, const uint16_t *b, size_t row, bool transpose, size_t k, size_t n, float *packed);
/// C = alpha A B^T + beta C for few rows of A, with B of bfloat16.
void rk_bfloat16_dots(size_t m, size_t n, size_t k, rk_operand a, const uint16_t *b, size_t b_row, rk_output out);
size_t rk_panel(void);
size_t rk_panel_floats(rk_precision precision, size_t k);
/// The panel that begins with a column, a multiple of rk_panel().
const float *rk_packed_at(rk_precision precision, const float *packed, size_t k, size_t column);
/// The same for a packed B; beta multiplies the row `bias` instead of each row of C, unless it is NULL.
void rk_sgemm_packed(
    rk_precision precision, size_t m, size_t n, size_t k, rk_operand a, const float *packed, const float *bias,
    rk_output out);

/// The most rows of a block of op(A), and what their number should be a multiple of.
size_t rk_block_rows(bool transpose_a);
size_t rk_row_unit(void);
/// Multiply-adds that are worth handing to a thread: some ten microseconds.
size_t rk_piece_work(void);
/// Whether rk_sgemm would put B in panels for a product of this size. Whoever multiplies by the same B several times
/// then packs B once.
bool rk_rearranges(size_t m, size_t n, size_t k, bool transpose_b);

/// cblas_sgemm of the BLAS that RIFFLE_BLAS names; NULL when there is none.
typedef void (*rk_cblas_sgemm)(
    int order, int transpose_a, int transpose_b, int m, int n, int k, float alpha, const float *a, int lda,
    const float *b, int ldb, float beta, float *c, int ldc);
rk_cblas_sgemm rk_blas_sgemm(void);

/// Opens a BLAS with one thread and the kernels that suit the processor, whatever its own choice would be, and writes
/// its name and core; NULL where dlopen fails.
void *rk_open_blas(const char *file, char *name, size_t size);

/// y[i] (+)= the sum over p of parts[p * count + i], in the order of p.
void rk_sum_parts(size_t parts, size_t count, const float *part, bool accumulate, float *y);

/// Convolutions without groups, in float32.
bool rk_dense_conv2d(const rk_conv_shape *shape, const float *x, const float *weight, const float *bias, float *y);
bool rk_dense_input_grad(const rk_conv_shape *shape, const float *gy, const float *weight, float *gx);
bool rk_dense_weight_grad(const rk_conv_shape *shape, const float *x, const float *gy, float *gweight);

/// Whether the 3x3 convolution pays in Winograd's form; then the functions below do the work of those above.
bool rk_winograd_suits(const rk_conv_shape *shape);
bool rk_winograd_conv2d(const rk_conv_shape *shape, const float *x, const float *weight, const float *bias, float *y);
bool rk_winograd_input_grad(const rk_conv_shape *shape, const float *gy, const float *weight, float *gx);
bool rk_winograd_weight_grad(const rk_conv_shape *shape, const float *x, const float *gy, float *gweight);

/// Convolutions with a group for each channel: c_in = c_out = groups.
bool rk_depthwise_conv2d(const rk_conv_shape *shape, const float *x, const float *weight, const float *bias, float *y);
bool rk_depthwise_input_grad(const rk_conv_shape *shape, const float *gy, const float *weight, float *gx);
bool rk_depthwise_weight_grad(const rk_conv_shape *shape, const float *x, const float *gy, float *gweight);

/// The kernel indices that reach input pixels phase, phase + stride, ...: last, last - stride, ..., `count` of them,
/// beginning at output pixel `offset` for the first such input pixel.
typedef struct {
    size_t last, count;
    ptrdiff_t offset;
} rk_taps;

static inline rk_taps rk_taps_of_phase(size_t kernel, size_t stride, size_t pad, size_t phase) {
    size_t first = (phase + pad) % stride;
    if (first >= kernel) return (rk_taps){0, 0, 0};
    size_t count = (kernel - first - 1) / stride + 1, last = first + (count - 1) * stride;
    return (rk_taps){last, count, ((ptrdiff_t)(phase + pad) - (ptrdiff_t)last) / (ptrdiff_t)stride};
}

// The float64 forms: plain loops over the definitions, and what the float32 kernels are tested against.

/// x / (1 + exp(-x)) and its derivative.
double rk_silu_f64(double x);
double rk_silu_slope_f64(double x);

void rk_plain_gemm(const rk_gemm_shape *shape, const double *a, const double *b, double *c);
void rk_plain_conv2d(const rk_conv_shape *shape, const double *x, const double *weight, const double *bias, double *y);
void rk_plain_conv2d_input_grad(const rk_conv_shape *shape, const double *gy, const double *weight, double *gx);
void rk_plain_conv2d_weight_grad(const rk_conv_shape *shape, const double *x, const double *gy, double *gweight);
void rk_plain_group_norm(const rk_group_norm_shape *shape, rk_norm_inputs in, double *y, double *mean, double *rstd);
void rk_plain_group_norm_grad(
    const rk_group_norm_shape *shape, rk_norm_inputs in, const double *mean, const double *rstd, const double *gy,
    rk_norm_grads grads);
void rk_plain_group_norm_tangent(
    const rk_group_norm_shape *shape, rk_norm_inputs in, double *y, double *mean, double *rstd);
void rk_plain_group_norm_tangent_grad(
    const rk_group_norm_shape *shape, rk_norm_inputs in, const double *mean, const double *rstd, const double *gy,
    rk_norm_grads grads);
void rk_plain_layer_norm(const rk_layer_norm_shape *shape, rk_norm_inputs in, double *y, double *mean, double *rstd);
void rk_plain_layer_norm_grad(
    const rk_layer_norm_shape *shape, rk_norm_inputs in, const double *mean, const double *rstd, const double *gy,
    rk_norm_grads grads);
void rk_plain_layer_norm_tangent(
    const rk_layer_norm_shape *shape, rk_norm_inputs in, double *y, double *mean, double *rstd);
void rk_plain_layer_norm_tangent_grad(
    const rk_layer_norm_shape *shape, rk_norm_inputs in, const double *mean, const double *rstd, const double *gy,
    rk_norm_grads grads);
void rk_plain_softmax(bool logarithm, size_t rows, size_t width, const double *x, double *y);
void rk_plain_softmax_grad(bool logarithm, size_t rows, size_t width, const double *y, const double *gy, double *gx);
void rk_plain_attention(const rk_attention_shape *shape, rk_attention_inputs in, double *out, double *lse);
void rk_plain_attention_grad(
    const rk_attention_shape *shape, rk_attention_inputs in, rk_attention_results results, const double *gout,
    rk_attention_grads grads);
void rk_plain_attention_tangent(
    const rk_attention_shape *shape, rk_attention_inputs in, rk_attention_inputs d, const double *out,
    const double *lse, double *tangent, double *mean);
void rk_plain_attention_tangent_grad(
    const rk_attention_shape *shape, rk_attention_inputs in, rk_attention_inputs d, rk_attention_results results,
    const double *g, rk_attention_grads grads, rk_attention_grads d_grads);
