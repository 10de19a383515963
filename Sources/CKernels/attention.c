// softmax(scale q k^T) v in tiles, with an online softmax: the scores of a tile live in the cache and nowhere else.
#include "kernels/attention.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "kernels/memory.h"
#include "kernels/threads.h"
#include "private.h"
#include "simd/math.h"

enum { TILE_QUERIES = 64, TILE_KEYS = 128 };

#define RK_BODY "attention.h"
#include "simd/levels.h"

static size_t place(rk_attention_stride s, size_t batch, size_t head, size_t row) {
    return batch * s.batch + head * s.head + row * s.row;
}

/// Tiles that one piece of work takes, so that it is worth handing to a thread.
static size_t tile_grain(const rk_attention_shape *s, double tiles_seen) {
    return rk_max(1, (size_t)(2e6 / (tiles_seen * TILE_QUERIES * TILE_KEYS * (double)rk_max(1, s->width))));
}

// MARK: - Forward

typedef struct {
    const rk_attention_shape *shape;
    const float *q, *k, *v;
    float *out, *lse;
    size_t tiles;
    atomic_bool failed;
} forward_job;

/// Scratch of one forward tile.
typedef struct {
    float scores[TILE_KEYS * TILE_QUERIES], largest[TILE_QUERIES], sum[TILE_QUERIES], shrink[TILE_QUERIES];
    float query[];   // [width, TILE_QUERIES]
} forward_tile;

static void attend_keys(const forward_job *job, forward_tile *t, size_t b, size_t h, size_t rows, size_t j, float *out) {
    const rk_attention_shape *s = job->shape;
    size_t keys = rk_min(TILE_KEYS, s->keys - j);
    const float *k = job->k + place(s->k, b, h, j), *v = job->v + place(s->v, b, h, j);
    rk_sgemm(
        keys, TILE_QUERIES, s->width, 1, (rk_operand){k, s->k.row, false}, (rk_operand){t->query, TILE_QUERIES, false}, 0,
        t->scores, TILE_QUERIES);
    RK_DISPATCH(exponentiate_tile)(keys, (float)s->scale, t->scores, t->largest, t->sum, t->shrink);
    if (j > 0) RK_DISPATCH(scale_tile)(rows, s->width, t->shrink, out, s->out.row);
    rk_sgemm(
        rows, s->width, keys, 1, (rk_operand){t->scores, TILE_QUERIES, true}, (rk_operand){v, s->v.row, false},
        j > 0 ? 1 : 0, out, s->out.row);
}

static void attend_tile(const forward_job *job, forward_tile *t, size_t tile) {
    const rk_attention_shape *s = job->shape;
    size_t i = tile % job->tiles * TILE_QUERIES, h = tile / job->tiles % s->heads, b = tile / job->tiles / s->heads;
    size_t rows = rk_min(TILE_QUERIES, s->queries - i);
    float *out = job->out + place(s->out, b, h, i), *lse = job->lse + (b * s->heads + h) * s->queries + i;
    RK_DISPATCH(transpose_tile)(rows, s->width, job->q + place(s->q, b, h, i), s->q.row, t->query);
    for (size_t r = 0; r < TILE_QUERIES; r++) t->largest[r] = -INFINITY, t->sum[r] = 0;
    for (size_t j = 0; j < s->keys; j += TILE_KEYS) attend_keys(job, t, b, h, rows, j, out);
    for (size_t r = 0; r < rows; r++) {
        lse[r] = s->keys ? t->largest[r] + logf(t->sum[r]) : -INFINITY;
        t->shrink[r] = 1 / t->sum[r];
        if (s->keys == 0) memset(out + r * s->out.row, 0, s->width * sizeof(float));
    }
    if (s->keys) RK_DISPATCH(scale_tile)(rows, s->width, t->shrink, out, s->out.row);
}

static void attend_piece(void *context, size_t begin, size_t end) {
    forward_job *job = context;
    size_t bytes = sizeof(forward_tile) + job->shape->width * TILE_QUERIES * sizeof(float);
    forward_tile *scratch = rk_alloc(bytes);
    if (!scratch) {
        atomic_store(&job->failed, true);
        return;
    }
    for (size_t tile = begin; tile < end; tile++) attend_tile(job, scratch, tile);
    rk_free(scratch, bytes);
}

bool rk_attention(
    rk_dtype dtype, const rk_attention_shape *s, const void *q, const void *k, const void *v, void *out, void *lse) {
    if (dtype == RK_F64) {
        rk_plain_attention(s, q, k, v, out, lse);
        return true;
    }
    forward_job job = {.shape = s, .q = q, .k = k, .v = v, .out = out, .lse = lse};
    job.tiles = rk_ceil_div(s->queries, TILE_QUERIES);
    size_t grain = tile_grain(s, 2.0 * (double)rk_max(1, rk_ceil_div(s->keys, TILE_KEYS)));
    rk_parallel_for(s->batch * s->heads * job.tiles, grain, attend_piece, &job);
    return !atomic_load(&job.failed);
}

// MARK: - Gradient

/// With many heads a piece is one of them. With few, the keys' and the queries' gradients are computed apart, cut in
/// tiles; either way the sums run in the same order.
typedef struct {
    const rk_attention_shape *shape;
    const float *q, *k, *v, *out, *lse, *gout;
    float *gq, *gk, *gv;
    size_t query_span, key_span;   // queries and keys that a piece covers
    bool want_query, want_key;
    atomic_bool failed;
} grad_job;

/// Scratch of one piece: the tiles of queries and of output gradients transposed, and two tiles of scores.
typedef struct {
    float *query, *gout, *lse, *mean, *p, *slope;
    size_t bytes;
} grad_space;

static bool reserve(const grad_job *job, grad_space *space) {
    size_t rows = rk_round_up(job->query_span, TILE_QUERIES), tile = TILE_QUERIES * TILE_KEYS;
    size_t width = job->shape->width;
    space->bytes = (2 * rows * width + 2 * rows + 2 * tile) * sizeof(float);
    space->p = rk_alloc(space->bytes);
    if (!space->p) return false;
    space->slope = space->p + tile;
    space->query = space->slope + tile;
    space->gout = space->query + rows * width;
    space->lse = space->gout + rows * width;
    space->mean = space->lse + rows;
    return true;
}

static void prepare_queries(const grad_job *job, const grad_space *space, size_t b, size_t h, size_t begin, size_t end) {
    const rk_attention_shape *s = job->shape;
    for (size_t i = begin; i < end; i += TILE_QUERIES) {
        size_t rows = rk_min(TILE_QUERIES, end - i), at = i - begin, out = place(s->out, b, h, i);
        RK_DISPATCH(transpose_tile)(rows, s->width, job->q + place(s->q, b, h, i), s->q.row, space->query + at * s->width);
        RK_DISPATCH(transpose_tile)(rows, s->width, job->gout + out, s->out.row, space->gout + at * s->width);
        memset(space->lse + at, 0, TILE_QUERIES * sizeof(float));
        memset(space->mean + at, 0, TILE_QUERIES * sizeof(float));
        memcpy(space->lse + at, job->lse + (b * s->heads + h) * s->queries + i, rows * sizeof(float));
        RK_DISPATCH(row_products)(rows, s->width, job->out + out, job->gout + out, s->out.row, space->mean + at);
    }
}

/// What the tile of queries i, i + 1, ... (the tile `at` of the prepared ones) and of keys j, ... adds.
static void grad_tile(
    const grad_job *job, const grad_space *space, size_t b, size_t h, size_t i, size_t at, size_t j) {
    const rk_attention_shape *s = job->shape;
    size_t rows = rk_min(TILE_QUERIES, s->queries - i), keys = rk_min(TILE_KEYS, s->keys - j), w = s->width;
    size_t query = place(s->q, b, h, i), key = place(s->k, b, h, j), value = place(s->v, b, h, j);
    rk_operand k = {job->k + key, s->k.row, false}, v = {job->v + value, s->v.row, false};
    rk_operand columns = {space->query + at * w, TILE_QUERIES, false}, gout = {space->gout + at * w, TILE_QUERIES, false};
    float scale = (float)s->scale, add_key = i > 0, add_query = j > 0;
    rk_sgemm(keys, TILE_QUERIES, w, 1, k, columns, 0, space->p, TILE_QUERIES);
    RK_DISPATCH(probabilities)(keys, scale, space->lse + at, space->p);
    rk_sgemm(keys, TILE_QUERIES, w, 1, v, gout, 0, space->slope, TILE_QUERIES);
    RK_DISPATCH(score_slopes)(keys, scale, space->p, space->mean + at, space->slope);
    if (job->want_key) {
        rk_operand rows_of_q = {job->q + query, s->q.row, false};
        rk_operand rows_of_gout = {job->gout + place(s->out, b, h, i), s->out.row, false};
        rk_sgemm(keys, w, rows, 1, (rk_operand){space->p, TILE_QUERIES, false}, rows_of_gout, add_key, job->gv + value,
                 s->v.row);
        rk_sgemm(keys, w, rows, 1, (rk_operand){space->slope, TILE_QUERIES, false}, rows_of_q, add_key, job->gk + key,
                 s->k.row);
    }
    if (job->want_query)
        rk_sgemm(rows, w, keys, 1, (rk_operand){space->slope, TILE_QUERIES, true}, k, add_query, job->gq + query,
                 s->q.row);
}

static void grad_piece(void *context, size_t begin, size_t end) {
    grad_job *job = context;
    const rk_attention_shape *s = job->shape;
    grad_space space;
    if (!reserve(job, &space)) {
        atomic_store(&job->failed, true);
        return;
    }
    size_t query_spans = rk_ceil_div(s->queries, job->query_span), key_spans = rk_ceil_div(s->keys, job->key_span);
    for (size_t piece = begin; piece < end; piece++) {
        size_t head = piece / (query_spans * key_spans), b = head / s->heads, h = head % s->heads;
        size_t i0 = piece / key_spans % query_spans * job->query_span, j0 = piece % key_spans * job->key_span;
        size_t i1 = rk_min(i0 + job->query_span, s->queries), j1 = rk_min(j0 + job->key_span, s->keys);
        prepare_queries(job, &space, b, h, i0, i1);
        for (size_t j = j0; j < j1; j += TILE_KEYS)
            for (size_t i = i0; i < i1; i += TILE_QUERIES) grad_tile(job, &space, b, h, i, i - i0, j);
    }
    rk_free(space.p, space.bytes);
}

static void run_grad(grad_job *job, size_t query_span, size_t key_span, bool want_query, bool want_key) {
    const rk_attention_shape *s = job->shape;
    job->query_span = query_span, job->key_span = key_span, job->want_query = want_query, job->want_key = want_key;
    size_t pieces = rk_ceil_div(s->queries, query_span) * rk_ceil_div(s->keys, key_span);
    double tiles = (double)rk_ceil_div(query_span, TILE_QUERIES) * (double)rk_ceil_div(key_span, TILE_KEYS);
    rk_parallel_for(s->batch * s->heads * pieces, tile_grain(s, 5 * tiles), grad_piece, job);
}

static void clear_rows(const rk_attention_shape *s, rk_attention_stride stride, size_t rows, float *g) {
    for (size_t at = 0; at < s->batch * s->heads * rows; at++)
        memset(g + place(stride, at / rows / s->heads, at / rows % s->heads, at % rows), 0, s->width * sizeof(float));
}

bool rk_attention_grad(
    rk_dtype dtype, const rk_attention_shape *s, const void *q, const void *k, const void *v, const void *out,
    const void *lse, const void *gout, void *gq, void *gk, void *gv) {
    if (dtype == RK_F64) {
        rk_plain_attention_grad(s, q, k, v, out, lse, gout, gq, gk, gv);
        return true;
    }
    if (s->queries == 0 || s->keys == 0) {
        clear_rows(s, s->q, s->queries, gq);
        clear_rows(s, s->k, s->keys, gk);
        clear_rows(s, s->v, s->keys, gv);
        return true;
    }
    grad_job job = {
        .shape = s, .q = q, .k = k, .v = v, .out = out, .lse = lse, .gout = gout, .gq = gq, .gk = gk, .gv = gv};
    if (s->batch * s->heads >= 6 || (s->queries <= TILE_QUERIES && s->keys <= TILE_KEYS)) {
        run_grad(&job, s->queries, s->keys, true, true);
    } else {
        run_grad(&job, s->queries, TILE_KEYS, false, true);
        run_grad(&job, TILE_QUERIES, s->keys, true, false);
    }
    return !atomic_load(&job.failed);
}
