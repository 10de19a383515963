// The float64 forms of products and convolutions: loops over their definitions, for tests and for metrics that need the
// digits. Clarity comes before speed here.
#include <math.h>
#include <string.h>

#include "kernels/threads.h"
#include "private.h"

typedef struct {
    const rk_gemm_shape *shape;
    const double *a, *b;
    double *c;
} product;

static void product_rows(void *context, size_t begin, size_t end) {
    const product *job = context;
    const rk_gemm_shape *s = job->shape;
    for (size_t i = begin; i < end; i++) {
        double *row = job->c + i * s->ldc;
        for (size_t j = 0; j < s->n; j++) row[j] = s->beta == 0 ? 0 : s->beta * row[j];
        for (size_t p = 0; p < s->k; p++) {
            double factor = s->alpha * (s->transpose_a ? job->a[p * s->lda + i] : job->a[i * s->lda + p]);
            if (s->transpose_b)
                for (size_t j = 0; j < s->n; j++) row[j] += factor * job->b[j * s->ldb + p];
            else
                for (size_t j = 0; j < s->n; j++) row[j] += factor * job->b[p * s->ldb + j];
        }
        for (size_t j = 0; s->bias && j < s->n; j++) row[j] += ((const double *)s->bias)[j];
    }
}

void rk_plain_gemm(const rk_gemm_shape *s, const double *a, const double *b, double *c) {
    for (size_t i = 0; i < s->batch; i++) {
        product job = {s, a + i * s->stride_a, b + i * s->stride_b, c + i * s->stride_c};
        rk_parallel_for(s->m, 1 + 4 * RK_GRAIN / (1 + s->n * s->k), product_rows, &job);
    }
}

// MARK: - Convolution

/// Calls visit for every output pixel, kernel position and input pixel that meet.
typedef struct {
    const rk_conv_shape *shape;
    const double *x, *gy, *weight;
    double *result;
} meeting;

static void each_meeting(const meeting *m, void (*visit)(const meeting *m, size_t x, size_t w, size_t y)) {
    const rk_conv_shape *s = m->shape;
    for (size_t n = 0; n < s->n; n++)
        for (size_t i = 0; i < s->out_h; i++)
            for (size_t j = 0; j < s->out_w; j++)
                for (size_t p = 0; p < s->kernel_h; p++)
                    for (size_t q = 0; q < s->kernel_w; q++) {
                        size_t row = i * s->stride_h + p, column = j * s->stride_w + q;
                        if (row < s->pad_h || column < s->pad_w) continue;
                        if (row - s->pad_h >= s->h || column - s->pad_w >= s->w) continue;
                        visit(
                            m, (n * s->h + row - s->pad_h) * s->w + column - s->pad_w, p * s->kernel_w + q,
                            (n * s->out_h + i) * s->out_w + j);
                    }
}

/// The input channels of a group.
static size_t channels(const rk_conv_shape *s) { return s->c_in / s->groups; }

/// The weight of tap w from every input channel of its group to output channel o.
static size_t weight_at(const rk_conv_shape *s, size_t o, size_t w) {
    return (o * s->kernel_h * s->kernel_w + w) * channels(s);
}

/// The first channel of input pixel x that output channel o sees.
static size_t input_at(const rk_conv_shape *s, size_t x, size_t o) {
    return x * s->c_in + o / (s->c_out / s->groups) * channels(s);
}

static void visit_forward(const meeting *m, size_t x, size_t w, size_t y) {
    const rk_conv_shape *s = m->shape;
    for (size_t o = 0; o < s->c_out; o++)
        for (size_t i = 0; i < channels(s); i++)
            m->result[y * s->c_out + o] += m->x[input_at(s, x, o) + i] * m->weight[weight_at(s, o, w) + i];
}

static void visit_input_grad(const meeting *m, size_t x, size_t w, size_t y) {
    const rk_conv_shape *s = m->shape;
    for (size_t o = 0; o < s->c_out; o++)
        for (size_t i = 0; i < channels(s); i++)
            m->result[input_at(s, x, o) + i] += m->gy[y * s->c_out + o] * m->weight[weight_at(s, o, w) + i];
}

static void visit_weight_grad(const meeting *m, size_t x, size_t w, size_t y) {
    const rk_conv_shape *s = m->shape;
    for (size_t o = 0; o < s->c_out; o++)
        for (size_t i = 0; i < channels(s); i++)
            m->result[weight_at(s, o, w) + i] += m->x[input_at(s, x, o) + i] * m->gy[y * s->c_out + o];
}

void rk_plain_conv2d(const rk_conv_shape *s, const double *x, const double *weight, const double *bias, double *y) {
    size_t pixels = s->n * s->out_h * s->out_w;
    for (size_t p = 0; p < pixels; p++)
        for (size_t o = 0; o < s->c_out; o++) y[p * s->c_out + o] = bias ? bias[o] : 0;
    each_meeting(&(meeting){s, x, NULL, weight, y}, visit_forward);
}

void rk_plain_conv2d_input_grad(const rk_conv_shape *s, const double *gy, const double *weight, double *gx) {
    memset(gx, 0, s->n * s->h * s->w * s->c_in * sizeof(double));
    each_meeting(&(meeting){s, NULL, gy, weight, gx}, visit_input_grad);
}

void rk_plain_conv2d_weight_grad(const rk_conv_shape *s, const double *x, const double *gy, double *gweight) {
    memset(gweight, 0, s->c_out * s->kernel_h * s->kernel_w * channels(s) * sizeof(double));
    each_meeting(&(meeting){s, x, gy, NULL, gweight}, visit_weight_grad);
}
