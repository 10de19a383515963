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

void rk_plain_attention(
    const rk_attention_shape *s, const double *q, const double *k, const double *v, double *out, double *lse) {
    for (size_t at = 0; at < s->batch * s->heads * s->queries; at++) {
        size_t i = at % s->queries, h = at / s->queries % s->heads, b = at / s->queries / s->heads;
        const double *query = q + rk_place(s->q, b, h, i);
        double largest = -INFINITY, sum = 0, *row = out + rk_place(s->out, b, h, i);
        for (size_t j = 0; j < s->keys; j++)
            largest = fmax(largest, s->scale * dot(s->width, query, k + rk_place(s->k, b, h, j)));
        memset(row, 0, s->width * sizeof(double));
        for (size_t j = 0; j < s->keys; j++) {
            double weight = exp(s->scale * dot(s->width, query, k + rk_place(s->k, b, h, j)) - largest);
            sum += weight;
            add_scaled(s->width, weight, v + rk_place(s->v, b, h, j), row);
        }
        for (size_t d = 0; d < s->width && sum > 0; d++) row[d] /= sum;
        lse[at] = sum > 0 ? largest + log(sum) : -INFINITY;
    }
}

static void clear_rows(const rk_attention_shape *s, rk_attention_stride stride, size_t rows, double *g) {
    for (size_t b = 0; b < s->batch; b++)
        for (size_t h = 0; h < s->heads; h++)
            for (size_t i = 0; i < rows; i++) memset(g + rk_place(stride, b, h, i), 0, s->width * sizeof(double));
}

void rk_plain_attention_grad(
    const rk_attention_shape *s, const double *q, const double *k, const double *v, const double *out,
    const double *lse, const double *gout, double *gq, double *gk, double *gv) {
    clear_rows(s, s->q, s->queries, gq);
    clear_rows(s, s->k, s->keys, gk);
    clear_rows(s, s->v, s->keys, gv);
    for (size_t at = 0; at < s->batch * s->heads * s->queries; at++) {
        size_t i = at % s->queries, h = at / s->queries % s->heads, b = at / s->queries / s->heads;
        size_t query = rk_place(s->q, b, h, i), row = rk_place(s->out, b, h, i);
        double mean = dot(s->width, out + row, gout + row);
        for (size_t j = 0; j < s->keys; j++) {
            size_t key = rk_place(s->k, b, h, j), value = rk_place(s->v, b, h, j);
            double p = exp(s->scale * dot(s->width, q + query, k + key) - lse[at]);
            double slope = s->scale * p * (dot(s->width, gout + row, v + value) - mean);
            add_scaled(s->width, p, gout + row, gv + value);
            add_scaled(s->width, slope, k + key, gq + query);
            add_scaled(s->width, slope, q + query, gk + key);
        }
    }
}

// MARK: - Tangent

/// One query's row of the head that a loop is at.
typedef struct {
    const rk_attention_shape *s;
    size_t b, h, query, out; // where the row of queries and of outputs begins
    double lse;
} attention_row;

static attention_row row_at(const rk_attention_shape *s, size_t at, const double *lse) {
    size_t i = at % s->queries, h = at / s->queries % s->heads, b = at / s->queries / s->heads;
    return (attention_row){s, b, h, rk_place(s->q, b, h, i), rk_place(s->out, b, h, i), lse[at]};
}

static double probability(const attention_row *r, size_t key, const double *q, const double *k) {
    return exp(r->s->scale * dot(r->s->width, q + r->query, k + key) - r->lse);
}

static double score_tangent(
    const attention_row *r, size_t key, const double *q, const double *k, const double *dq, const double *dk) {
    size_t w = r->s->width;
    return r->s->scale * (dot(w, dq + r->query, k + key) + dot(w, q + r->query, dk + key));
}

void rk_plain_attention_tangent(
    const rk_attention_shape *s, const double *q, const double *k, const double *v, const double *dq, const double *dk,
    const double *dv, const double *out, const double *lse, double *tangent, double *mean) {
    for (size_t at = 0; at < s->batch * s->heads * s->queries; at++) {
        attention_row r = row_at(s, at, lse);
        memset(tangent + r.out, 0, s->width * sizeof(double));
        mean[at] = 0;
        for (size_t j = 0; j < s->keys; j++) {
            size_t key = rk_place(s->k, r.b, r.h, j), value = rk_place(s->v, r.b, r.h, j);
            double p = probability(&r, key, q, k), d = score_tangent(&r, key, q, k, dq, dk);
            mean[at] += p * d;
            add_scaled(s->width, p * d, v + value, tangent + r.out);
            add_scaled(s->width, p, dv + value, tangent + r.out);
        }
        add_scaled(s->width, -mean[at], out + r.out, tangent + r.out);
    }
}

void rk_plain_attention_tangent_grad(
    const rk_attention_shape *s, const double *q, const double *k, const double *v, const double *dq, const double *dk,
    const double *dv, const double *out, const double *lse, const double *tangent, const double *mean, const double *g,
    double *gq, double *gk, double *gv, double *gdq, double *gdk, double *gdv) {
    double *of_queries[] = {gq, gdq}, *of_keys[] = {gk, gdk}, *of_values[] = {gv, gdv};
    for (int i = 0; i < 2; i++) {
        clear_rows(s, s->q, s->queries, of_queries[i]);
        clear_rows(s, s->k, s->keys, of_keys[i]);
        clear_rows(s, s->v, s->keys, of_values[i]);
    }
    size_t w = s->width;
    for (size_t at = 0; at < s->batch * s->heads * s->queries; at++) {
        attention_row r = row_at(s, at, lse);
        double a = dot(w, g + r.out, out + r.out), rest = dot(w, g + r.out, tangent + r.out) - a * mean[at];
        for (size_t j = 0; j < s->keys; j++) {
            size_t key = rk_place(s->k, r.b, r.h, j), value = rk_place(s->v, r.b, r.h, j);
            double p = probability(&r, key, q, k), d = score_tangent(&r, key, q, k, dq, dk);
            double from_v = dot(w, g + r.out, v + value), from_dv = dot(w, g + r.out, dv + value);
            double to_d = s->scale * p * (from_v - a);
            double to_s = s->scale * p * (from_v * (d - mean[at]) - a * d + from_dv - rest);
            add_scaled(w, p, g + r.out, gdv + value);
            add_scaled(w, p * (d - mean[at]), g + r.out, gv + value);
            add_scaled(w, to_d, k + key, gdq + r.query);
            add_scaled(w, to_d, q + r.query, gdk + key);
            add_scaled(w, to_s, k + key, gq + r.query);
            add_scaled(w, to_d, dk + key, gq + r.query);
            add_scaled(w, to_s, q + r.query, gk + key);
            add_scaled(w, to_d, dq + r.query, gk + key);
        }
    }
}
