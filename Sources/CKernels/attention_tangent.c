// The tangent of attention where q, k and v have the tangents dq, dk and dv, and its gradients, in tiles: no matrix of
// queries by keys is stored. With scores S = scale q k^T, probabilities P = softmax(S), their tangents D = scale (dq
// k^T + q dk^T) and m = the sum over keys of P D:
//
//     tangent = (P D) v + P dv - m out
//
// From its gradient g, with A = g v^T, B = g dv^T, a = g . out and w = g . tangent - a m:
//
//     gdv = P^T g,  gv = (P (D - m))^T g,  U = scale P (A - a),  W = scale P (A (D - m) - a D + B - w),
//     gdq = U k,  gdk = U^T q,  gq = W k + U dk,  gk = W^T q + U^T dq
#include <stdatomic.h>

#include "attention_tiles.h"
#include "kernels/memory.h"
#include "kernels/threads.h"

typedef struct {
    const rk_attention_shape *shape;
    const float *q, *k, *v, *dq, *dk, *dv, *out, *lse, *g;
    float *tangent, *mean; // mean [batch, heads, queries] is m
    float *gq, *gk, *gv, *gdq, *gdk, *gdv;
    size_t query_span, key_span; // queries and keys of a piece
    bool want_query, want_key;
    atomic_bool failed;
} tangent_job;

/// Scratch of a piece: its queries (and output gradients) in rows and, by tiles, transposed, with a few numbers for
/// each; a tile of keys and values with their tangents; four tiles of scores.
typedef struct {
    float *p, *d, *a, *b, *k, *dk, *v, *dv;
    float *q_rows, *dq_rows, *g_rows, *query, *dquery, *g;
    float *lse, *mean_d, *mean_a, *mean_w;
    size_t bytes;
} tangent_space;

#define RK_BODY "attention_tangent.inc"
#include "simd/levels.h"

static bool reserve(const tangent_job *job, tangent_space *t) {
    size_t rows = rk_round_up(job->query_span, TILE_QUERIES), tile = TILE_QUERIES * TILE_KEYS,
           width = job->shape->width;
    size_t side = TILE_KEYS * width, all = rows * width;
    t->bytes = (4 * tile + 4 * side + 6 * all + 4 * rows) * sizeof(float);
    float *at = rk_alloc(t->bytes);
    if (!at) return false;
    float **tiles[] = {&t->p, &t->d, &t->a, &t->b}, **keys[] = {&t->k, &t->dk, &t->v, &t->dv};
    float **queries[] = {&t->q_rows, &t->dq_rows, &t->g_rows, &t->query, &t->dquery, &t->g};
    float **numbers[] = {&t->lse, &t->mean_d, &t->mean_a, &t->mean_w};
    for (int i = 0; i < 4; i++, at += tile) *tiles[i] = at;
    for (int i = 0; i < 4; i++, at += side) *keys[i] = at;
    for (int i = 0; i < 6; i++, at += all) *queries[i] = at;
    for (int i = 0; i < 4; i++, at += rows) *numbers[i] = at;
    return true;
}

/// Queries i, i + 1, ... of a head into the tile `at` of the scratch.
static void prepare_tile(const tangent_job *job, tangent_space *t, size_t b, size_t h, size_t i, size_t at) {
    const rk_attention_shape *s = job->shape;
    size_t rows = rk_min(TILE_QUERIES, s->queries - i), w = s->width, query = rk_row_offset(s->q, b, h, i);
    size_t out = rk_row_offset(s->out, b, h, i), number = (b * s->heads + h) * s->queries + i;
    rk_gather_head_rows(rows, w, job->q + query, s->q.row, t->q_rows + at * w);
    rk_gather_head_rows(rows, w, job->dq + query, s->q.row, t->dq_rows + at * w);
    RK_DISPATCH(transpose_tile)(rows, w, t->q_rows + at * w, w, t->query + at * w);
    RK_DISPATCH(transpose_tile)(rows, w, t->dq_rows + at * w, w, t->dquery + at * w);
    float *numbers[] = {t->lse, t->mean_d, t->mean_a, t->mean_w};
    for (int n = 0; n < 4; n++) memset(numbers[n] + at, 0, TILE_QUERIES * sizeof(float));
    memcpy(t->lse + at, job->lse + number, rows * sizeof(float));
    if (!job->g) return;
    rk_gather_head_rows(rows, w, job->g + out, s->out.row, t->g_rows + at * w);
    RK_DISPATCH(transpose_tile)(rows, w, t->g_rows + at * w, w, t->g + at * w);
    memcpy(t->mean_d + at, job->mean + number, rows * sizeof(float));
    RK_DISPATCH(row_products)(rows, w, job->out + out, job->g + out, s->out.row, t->mean_a + at);
    RK_DISPATCH(row_products)(rows, w, job->tangent + out, job->g + out, s->out.row, t->mean_w + at);
    for (size_t r = at; r < at + rows; r++) t->mean_w[r] -= t->mean_a[r] * t->mean_d[r];
}

static void gather_keys(const tangent_job *job, tangent_space *t, size_t b, size_t h, size_t j, size_t keys) {
    const rk_attention_shape *s = job->shape;
    size_t key = rk_row_offset(s->k, b, h, j), value = rk_row_offset(s->v, b, h, j);
    rk_gather_head_rows(keys, s->width, job->k + key, s->k.row, t->k);
    rk_gather_head_rows(keys, s->width, job->dk + key, s->k.row, t->dk);
    rk_gather_head_rows(keys, s->width, job->v + value, s->v.row, t->v);
    rk_gather_head_rows(keys, s->width, job->dv + value, s->v.row, t->dv);
}

/// tile (+)= x y for rows x of a tile of keys and transposed queries y.
static void score(const rk_attention_shape *s, size_t keys, const float *x, const float *y, float add, float *tile) {
    rk_sgemm(
        s->precision, keys, TILE_QUERIES, s->width, (rk_operand){x, s->width, false},
        (rk_operand){y, TILE_QUERIES, false}, (rk_output){tile, TILE_QUERIES, 1, add});
}

/// Probabilities, and the scores' tangents without scale.
static void score_tile(const rk_attention_shape *s, const tangent_space *t, size_t at, size_t keys) {
    const float *query = t->query + at * s->width, *dquery = t->dquery + at * s->width;
    score(s, keys, t->k, query, 0, t->p);
    RK_DISPATCH(probabilities)(keys, (float)s->scale, t->lse + at, t->p);
    score(s, keys, t->k, dquery, 0, t->d);
    score(s, keys, t->dk, query, 1, t->d);
}

/// y (+)= tile^T x, a row for each query.
static void to_queries(
    const rk_attention_shape *s, size_t rows, size_t keys, const float *tile, const float *x, float add, float *y,
    size_t stride) {
    rk_sgemm(
        s->precision, rows, s->width, keys, (rk_operand){tile, TILE_QUERIES, true}, (rk_operand){x, s->width, false},
        (rk_output){y, stride, 1, add});
}

/// y (+)= tile x, a row for each key.
static void to_keys(
    const rk_attention_shape *s, size_t rows, size_t keys, const float *tile, const float *x, float add, float *y,
    size_t stride) {
    rk_sgemm(
        s->precision, keys, s->width, rows, (rk_operand){tile, TILE_QUERIES, false}, (rk_operand){x, s->width, false},
        (rk_output){y, stride, 1, add});
}

// MARK: - Pieces

static void tangent_tile(
    const tangent_job *job, const tangent_space *t, size_t b, size_t h, size_t i, size_t at, size_t j) {
    const rk_attention_shape *s = job->shape;
    size_t rows = rk_min(TILE_QUERIES, s->queries - i), keys = rk_min(TILE_KEYS, s->keys - j);
    float *y = job->tangent + rk_row_offset(s->out, b, h, i);
    score_tile(s, t, at, keys);
    RK_DISPATCH(weighted_tangents)(keys, (float)s->scale, t->p, t->d, t->mean_d + at);
    to_queries(s, rows, keys, t->d, t->v, j > 0, y, s->out.row);
    to_queries(s, rows, keys, t->p, t->dv, 1, y, s->out.row);
    if (j + TILE_KEYS < s->keys) return;
    memcpy(job->mean + (b * s->heads + h) * s->queries + i, t->mean_d + at, rows * sizeof(float));
    RK_DISPATCH(subtract_scaled)
    (rows, s->width, t->mean_d + at, job->out + rk_row_offset(s->out, b, h, i), s->out.row, y, s->out.row);
}

static void gradient_tile(
    const tangent_job *job, const tangent_space *t, size_t b, size_t h, size_t i, size_t at, size_t j) {
    const rk_attention_shape *s = job->shape;
    size_t rows = rk_min(TILE_QUERIES, s->queries - i), keys = rk_min(TILE_KEYS, s->keys - j), w = s->width;
    size_t query = rk_row_offset(s->q, b, h, i), key = rk_row_offset(s->k, b, h, j),
           value = rk_row_offset(s->v, b, h, j);
    score_tile(s, t, at, keys);
    score(s, keys, t->v, t->g + at * w, 0, t->a);
    score(s, keys, t->dv, t->g + at * w, 0, t->b);
    RK_DISPATCH(tangent_slopes)(keys, (float)s->scale, t, at);
    if (job->want_key) {
        const float *g = t->g_rows + at * w, *q = t->q_rows + at * w, *dq = t->dq_rows + at * w;
        to_keys(s, rows, keys, t->p, g, i > 0, job->gdv + value, s->v.row);
        to_keys(s, rows, keys, t->d, g, i > 0, job->gv + value, s->v.row);
        to_keys(s, rows, keys, t->a, q, i > 0, job->gdk + key, s->k.row);
        to_keys(s, rows, keys, t->b, q, i > 0, job->gk + key, s->k.row);
        to_keys(s, rows, keys, t->a, dq, 1, job->gk + key, s->k.row);
    }
    if (job->want_query) {
        to_queries(s, rows, keys, t->a, t->k, j > 0, job->gdq + query, s->q.row);
        to_queries(s, rows, keys, t->b, t->k, j > 0, job->gq + query, s->q.row);
        to_queries(s, rows, keys, t->a, t->dk, 1, job->gq + query, s->q.row);
    }
}

static void piece_of_head(const tangent_job *job, tangent_space *t, size_t head, size_t i0, size_t j0) {
    const rk_attention_shape *s = job->shape;
    size_t b = head / s->heads, h = head % s->heads;
    size_t i1 = rk_min(i0 + job->query_span, s->queries), j1 = rk_min(j0 + job->key_span, s->keys);
    for (size_t i = i0; i < i1; i += TILE_QUERIES) prepare_tile(job, t, b, h, i, i - i0);
    for (size_t j = j0; j < j1; j += TILE_KEYS) {
        gather_keys(job, t, b, h, j, rk_min(TILE_KEYS, j1 - j));
        for (size_t i = i0; i < i1; i += TILE_QUERIES)
            (job->g ? gradient_tile : tangent_tile)(job, t, b, h, i, i - i0, j);
    }
}

static void tangent_piece(void *context, size_t begin, size_t end) {
    tangent_job *job = context;
    tangent_space space;
    if (!reserve(job, &space)) {
        atomic_store(&job->failed, true);
        return;
    }
    size_t spans = rk_ceil_div(job->shape->queries, job->query_span);
    size_t key_spans = rk_ceil_div(job->shape->keys, job->key_span);
    for (size_t piece = begin; piece < end; piece++)
        piece_of_head(
            job, &space, piece / (spans * key_spans), piece / key_spans % spans * job->query_span,
            piece % key_spans * job->key_span);
    rk_free(space.p, space.bytes);
}

static void run_pieces(tangent_job *job, size_t query_span, size_t key_span, double products) {
    const rk_attention_shape *s = job->shape;
    job->query_span = query_span, job->key_span = key_span;
    size_t pieces = rk_ceil_div(s->queries, query_span) * rk_ceil_div(s->keys, key_span);
    double tiles = (double)rk_ceil_div(query_span, TILE_QUERIES) * (double)rk_ceil_div(key_span, TILE_KEYS);
    rk_parallel_for(s->batch * s->heads * pieces, rk_tile_grain(s, products * tiles), tangent_piece, job);
}

// MARK: - Functions

bool rk_attention_tangent(
    rk_dtype dtype, const rk_attention_shape *s, rk_attention_inputs in, rk_attention_inputs d, const void *out,
    const void *lse, void *tangent, void *mean) {
    if (dtype == RK_F64) return rk_plain_attention_tangent(s, in, d, out, lse, tangent, mean), true;
    if (s->queries == 0) return true;
    tangent_job job = {
        .shape = s,
        .q = in.q,
        .k = in.k,
        .v = in.v,
        .dq = d.q,
        .dk = d.k,
        .dv = d.v,
        .out = out,
        .lse = lse,
        .tangent = tangent,
        .mean = mean};
    run_pieces(&job, rk_query_span(s) * TILE_QUERIES, s->keys, 5);
    return !atomic_load(&job.failed);
}

bool rk_attention_tangent_grad(
    rk_dtype dtype, const rk_attention_shape *s, rk_attention_inputs in, rk_attention_inputs d,
    rk_attention_results results, const void *g, rk_attention_grads grads, rk_attention_grads d_grads) {
    if (dtype == RK_F64) return rk_plain_attention_tangent_grad(s, in, d, results, g, grads, d_grads), true;
    if (s->queries == 0) {
        float *of_keys[] = {grads.k, d_grads.k}, *of_values[] = {grads.v, d_grads.v};
        for (int i = 0; i < 2; i++)
            rk_clear_rows(s, s->k, s->keys, of_keys[i]), rk_clear_rows(s, s->v, s->keys, of_values[i]);
        return true;
    }
    tangent_job job = {
        .shape = s,
        .q = in.q,
        .k = in.k,
        .v = in.v,
        .dq = d.q,
        .dk = d.k,
        .dv = d.v,
        .out = results.out,
        .lse = results.lse,
        .tangent = (float *)results.tangent,
        .mean = (float *)results.mean,
        .g = g,
        .gq = grads.q,
        .gk = grads.k,
        .gv = grads.v,
        .gdq = d_grads.q,
        .gdk = d_grads.k,
        .gdv = d_grads.v};
    // With few heads the gradients of keys and of queries are computed apart; the sums run in the same order.
    bool whole = s->batch * s->heads >= 6 || (s->queries <= TILE_QUERIES && s->keys <= TILE_KEYS);
    job.want_key = true, job.want_query = whole;
    run_pieces(&job, s->queries, whole ? s->keys : TILE_KEYS, 13);
    if (whole) return !atomic_load(&job.failed);
    job.want_key = false, job.want_query = true;
    run_pieces(&job, TILE_QUERIES, s->keys, 8);
    return !atomic_load(&job.failed);
}
