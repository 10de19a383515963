// The entrances of convolution: float64, groups of one channel, which have kernels of their own, other groups, which
// run one after another, and images as a whole.
#include "kernels/conv.h"

#include "kernels/memory.h"
#include "kernels/threads.h"
#include "private.h"

static bool is_depthwise(const rk_conv_shape *s) {
    return s->groups > 1 && s->c_in == s->groups && s->c_out == s->groups;
}

/// One group's images by themselves.
typedef struct {
    rk_conv_shape shape;
    size_t pixels_x, pixels_y, weights, bytes;
    float *x, *y;
} group;

static bool begin_groups(const rk_conv_shape *s, group *g) {
    g->shape = *s;
    g->shape.groups = 1, g->shape.c_in = s->c_in / s->groups, g->shape.c_out = s->c_out / s->groups;
    g->pixels_x = s->n * s->h * s->w, g->pixels_y = s->n * s->out_h * s->out_w;
    g->weights = g->shape.c_out * s->kernel_h * s->kernel_w * g->shape.c_in;
    size_t x = rk_round_up(g->pixels_x * g->shape.c_in, 16);
    g->bytes = (x + g->pixels_y * g->shape.c_out) * sizeof(float);
    g->x = rk_alloc(g->bytes);
    if (g->x) g->y = g->x + x;
    return g->x != NULL;
}

/// Columns of one matrix that become those of another.
typedef struct {
    const float *from;
    float *to;
    size_t from_row, to_row, columns;
} copy_job;

static void copy_rows(void *context, size_t begin, size_t end) {
    const copy_job *job = context;
    for (size_t r = begin; r < end; r++)
        rk_copy_floats(job->to + r * job->to_row, job->from + r * job->from_row, job->columns);
}

static void take_channels(size_t pixels, size_t channels, const float *from, size_t row, float *to) {
    copy_job job = {from, to, row, channels, channels};
    rk_parallel_for(pixels, rk_rows_of_piece(channels), copy_rows, &job);
}

static void put_channels(size_t pixels, size_t channels, const float *from, float *to, size_t row) {
    copy_job job = {from, to, channels, row, channels};
    rk_parallel_for(pixels, rk_rows_of_piece(channels), copy_rows, &job);
}

static bool convolve_groups(const rk_conv_shape *s, const float *x, const float *weight, const float *bias, float *y) {
    group g;
    bool done = begin_groups(s, &g);
    size_t in = g.shape.c_in, out = g.shape.c_out;
    for (size_t i = 0; done && i < s->groups; i++) {
        take_channels(g.pixels_x, in, x + i * in, s->c_in, g.x);
        done = rk_dense_conv2d(&g.shape, g.x, weight + i * g.weights, bias ? bias + i * out : NULL, g.y);
        put_channels(g.pixels_y, out, g.y, y + i * out, s->c_out);
    }
    rk_free(g.x, g.bytes);
    return done;
}

static bool input_grad_groups(const rk_conv_shape *s, const float *gy, const float *weight, float *gx) {
    group g;
    bool done = begin_groups(s, &g);
    size_t in = g.shape.c_in, out = g.shape.c_out;
    for (size_t i = 0; done && i < s->groups; i++) {
        take_channels(g.pixels_y, out, gy + i * out, s->c_out, g.y);
        done = rk_dense_input_grad(&g.shape, g.y, weight + i * g.weights, g.x);
        put_channels(g.pixels_x, in, g.x, gx + i * in, s->c_in);
    }
    rk_free(g.x, g.bytes);
    return done;
}

static bool weight_grad_groups(const rk_conv_shape *s, const float *x, const float *gy, float *gweight) {
    group g;
    bool done = begin_groups(s, &g);
    size_t in = g.shape.c_in, out = g.shape.c_out;
    for (size_t i = 0; done && i < s->groups; i++) {
        take_channels(g.pixels_x, in, x + i * in, s->c_in, g.x);
        take_channels(g.pixels_y, out, gy + i * out, s->c_out, g.y);
        done = rk_dense_weight_grad(&g.shape, g.x, g.y, gweight + i * g.weights);
    }
    rk_free(g.x, g.bytes);
    return done;
}

bool rk_conv2d(rk_dtype dtype, const rk_conv_shape *s, const void *x, const void *weight, const void *bias, void *y) {
    if (dtype == RK_F64) {
        rk_plain_conv2d(s, x, weight, bias, y);
        return true;
    }
    if (is_depthwise(s)) return rk_depthwise_conv2d(s, x, weight, bias, y);
    return s->groups > 1 ? convolve_groups(s, x, weight, bias, y) : rk_dense_conv2d(s, x, weight, bias, y);
}

bool rk_conv2d_input_grad(rk_dtype dtype, const rk_conv_shape *s, const void *gy, const void *weight, void *gx) {
    if (dtype == RK_F64) {
        rk_plain_conv2d_input_grad(s, gy, weight, gx);
        return true;
    }
    if (is_depthwise(s)) return rk_depthwise_input_grad(s, gy, weight, gx);
    return s->groups > 1 ? input_grad_groups(s, gy, weight, gx) : rk_dense_input_grad(s, gy, weight, gx);
}

bool rk_conv2d_weight_grad(rk_dtype dtype, const rk_conv_shape *s, const void *x, const void *gy, void *gweight) {
    if (dtype == RK_F64) {
        rk_plain_conv2d_weight_grad(s, x, gy, gweight);
        return true;
    }
    if (is_depthwise(s)) return rk_depthwise_weight_grad(s, x, gy, gweight);
    return s->groups > 1 ? weight_grad_groups(s, x, gy, gweight) : rk_dense_weight_grad(s, x, gy, gweight);
}
