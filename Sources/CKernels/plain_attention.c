// The float64 forms of attention and its tangent: loops over their definitions.
#include <math.h>
#include <string.h>

#include "private.h"

static double dot(size_t width, const double *a, const double *b) {
    double sum = 0;
    for (size_t i = 0; i < width; i++) sum += a[i] * b[i];
    return sum;
}

static void add_scaled(size_t width, double factor, const double *x, double *y) {
    for (size_t i = 0; i < width; i++) y[i] += factor * x[i];
}

void rk_plain_attention(const rk_attention_shape *s, rk_attention_inputs in, double *out, double *lse) {
    const double *q = in.q, *k = in.k, *v = in.v;
    for (size_t at = 0; at < s->batch * s->heads * s->queries; at++) {
        size_t i = at % s->queries, h = at / s->queries % s->heads, b = at / s->queries / s->heads;
        const double *query = q + rk_row_offset(s->q, b, h, i);
        double largest = -INFINITY, sum = 0, *row = out + rk_row_offset(s->out, b, h, i);
        for (size_t j = 0; j < s->keys; j++)
            largest = fmax(largest, s->scale * dot(s->width, query, k + rk_row_offset(s->k, b, h, j)));
        memset(row, 0, s->width * sizeof(double));
        for (size_t j = 0; j < s->keys; j++) {
            double weight = exp(s->scale * dot(s->width, query, k + rk_row_offset(s->k, b, h, j)) - largest);
            sum += weight;
            add_scaled(s->width, weight, v + rk_row_offset(s->v, b, h, j), row);
        }
        for (size_t d = 0; d < s->width && sum > 0; d++) row[d] /= sum;
        lse[at] = sum > 0 ? largest + log(sum) : -INFINITY;
    }
}

static void clear_rows(const rk_attention_shape *s, rk_attention_stride stride, size_t rows, double *g) {
    for (size_t b = 0; b < s->batch; b++)
        for (size_t h = 0; h < s->heads; h++)
            for (size_t i = 0; i < rows; i++) memset(g + rk_row_offset(stride, b, h, i), 0, s->width * sizeof(double));
}

static void clear_grads(const rk_attention_shape *s, rk_attention_grads grads) {
    clear_rows(s, s->q, s->queries, grads.q);
    clear_rows(s, s->k, s->keys, grads.k);
    clear_rows(s, s->v, s->keys, grads.v);
}

void rk_plain_attention_grad(
    const rk_attention_shape *s, rk_attention_inputs in, rk_attention_results results, const double *gout,
    rk_attention_grads grads) {
    const double *q = in.q, *k = in.k, *v = in.v, *out = results.out, *lse = results.lse;
    double *gq = grads.q, *gk = grads.k, *gv = grads.v;
    clear_grads(s, grads);
    for (size_t at = 0; at < s->batch * s->heads * s->queries; at++) {
        size_t i = at % s->queries, h = at / s->queries % s->heads, b = at / s->queries / s->heads;
        size_t query = rk_row_offset(s->q, b, h, i), row = rk_row_offset(s->out, b, h, i);
        double mean = dot(s->width, out + row, gout + row);
        for (size_t j = 0; j < s->keys; j++) {
            size_t key = rk_row_offset(s->k, b, h, j), value = rk_row_offset(s->v, b, h, j);
            double p = exp(s->scale * dot(s->width, q + query, k + key) - lse[at]);
            double slope = s->scale * p * (dot(s->width, gout + row, v + value) - mean);
            add_scaled(s->width, p, gout + row, gv + value);
            add_scaled(s->width, slope, k + key, gq + query);
            add_scaled(s->width, slope, q + query, gk + key);
        }
    }
}

// MARK: - Tangent

/// The query that a loop is at.
typedef struct {
    const rk_attention_shape *s;
    size_t b, h, query, out; // the elements at which its row of queries and of outputs begins
    double lse;
} attention_row;

static attention_row row_at(const rk_attention_shape *s, size_t at, const double *lse) {
    size_t i = at % s->queries, h = at / s->queries % s->heads, b = at / s->queries / s->heads;
    return (attention_row){s, b, h, rk_row_offset(s->q, b, h, i), rk_row_offset(s->out, b, h, i), lse[at]};
}

static double probability(const attention_row *r, size_t key, rk_attention_inputs in) {
    const double *q = in.q, *k = in.k;
    return exp(r->s->scale * dot(r->s->width, q + r->query, k + key) - r->lse);
}

static double score_tangent(const attention_row *r, size_t key, rk_attention_inputs in, rk_attention_inputs d) {
    const double *q = in.q, *k = in.k, *dq = d.q, *dk = d.k;
    size_t w = r->s->width;
    return r->s->scale * (dot(w, dq + r->query, k + key) + dot(w, q + r->query, dk + key));
}

void rk_plain_attention_tangent(
    const rk_attention_shape *s, rk_attention_inputs in, rk_attention_inputs d, const double *out, const double *lse,
    double *tangent, double *mean) {
    const double *v = in.v, *dv = d.v;
    for (size_t at = 0; at < s->batch * s->heads * s->queries; at++) {
        attention_row r = row_at(s, at, lse);
        memset(tangent + r.out, 0, s->width * sizeof(double));
        mean[at] = 0;
        for (size_t j = 0; j < s->keys; j++) {
            size_t key = rk_row_offset(s->k, r.b, r.h, j), value = rk_row_offset(s->v, r.b, r.h, j);
            double p = probability(&r, key, in), slope = score_tangent(&r, key, in, d);
            mean[at] += p * slope;
            add_scaled(s->width, p * slope, v + value, tangent + r.out);
            add_scaled(s->width, p, dv + value, tangent + r.out);
        }
        add_scaled(s->width, -mean[at], out + r.out, tangent + r.out);
    }
}

void rk_plain_attention_tangent_grad(
    const rk_attention_shape *s, rk_attention_inputs in, rk_attention_inputs d, rk_attention_results results,
    const double *g, rk_attention_grads grads, rk_attention_grads d_grads) {
    const double *q = in.q, *k = in.k, *v = in.v, *dq = d.q, *dk = d.k, *dv = d.v;
    const double *out = results.out, *tangent = results.tangent, *mean = results.mean;
    double *gq = grads.q, *gk = grads.k, *gv = grads.v, *gdq = d_grads.q, *gdk = d_grads.k, *gdv = d_grads.v;
    clear_grads(s, grads);
    clear_grads(s, d_grads);
    size_t w = s->width;
    for (size_t at = 0; at < s->batch * s->heads * s->queries; at++) {
        attention_row r = row_at(s, at, results.lse);
        double a = dot(w, g + r.out, out + r.out), rest = dot(w, g + r.out, tangent + r.out) - a * mean[at];
        for (size_t j = 0; j < s->keys; j++) {
            size_t key = rk_row_offset(s->k, r.b, r.h, j), value = rk_row_offset(s->v, r.b, r.h, j);
            double p = probability(&r, key, in), slope = score_tangent(&r, key, in, d);
            double from_v = dot(w, g + r.out, v + value), from_dv = dot(w, g + r.out, dv + value);
            double to_d = s->scale * p * (from_v - a);
            double to_s = s->scale * p * (from_v * (slope - mean[at]) - a * slope + from_dv - rest);
            add_scaled(w, p, g + r.out, gdv + value);
            add_scaled(w, p * (slope - mean[at]), g + r.out, gv + value);
            add_scaled(w, to_d, k + key, gdq + r.query);
            add_scaled(w, to_d, q + r.query, gdk + key);
            add_scaled(w, to_s, k + key, gq + r.query);
            add_scaled(w, to_d, dk + key, gq + r.query);
            add_scaled(w, to_s, q + r.query, gk + key);
            add_scaled(w, to_d, dq + r.query, gk + key);
        }
    }
}
