// softmax(scale q k^T) v in tiles, with an online softmax: the scores of a tile live in the cache and nowhere else.
#include <math.h>
#include <stdatomic.h>

#include "attention_tiles.h"
#include "kernels/memory.h"
#include "kernels/threads.h"

#define RK_BODY "attention.inc"
#include "simd/levels.h"

// MARK: - Forward

/// A piece is a span of query tiles of one head, so that a tile of keys and values is fetched once for all of them.
typedef struct {
    const rk_attention_shape *shape;
    const float *q, *k, *v;
    float *out, *lse;
    size_t tiles, span, spans; // query tiles of a head, of a piece; pieces of a head
    atomic_bool failed;
} forward_job;

/// What a tile of queries keeps from one tile of keys to the next; behind it the queries, [width, TILE_QUERIES].
typedef struct {
    float largest[TILE_QUERIES], sum[TILE_QUERIES], query[];
} query_tile;

/// Scratch of a piece.
typedef struct {
    float *scores, *k, *v;
    char *tiles;
    size_t tile_bytes, bytes;
} forward_space;

static bool reserve_forward(const forward_job *job, forward_space *space) {
    size_t width = job->shape->width, floats = TILE_KEYS * (TILE_QUERIES + 2 * width);
    space->tile_bytes = sizeof(query_tile) + width * TILE_QUERIES * sizeof(float);
    space->bytes = floats * sizeof(float) + job->span * space->tile_bytes;
    space->scores = rk_alloc(space->bytes);
    if (!space->scores) return false;
    space->k = space->scores + TILE_KEYS * TILE_QUERIES, space->v = space->k + TILE_KEYS * width;
    space->tiles = (char *)(space->v + TILE_KEYS * width);
    return true;
}

static query_tile *tile_at(const forward_space *space, size_t i) {
    return (query_tile *)(space->tiles + i * space->tile_bytes);
}

/// One tile of queries meets one of keys; `first` says that there is nothing to add to.
static void attend_tile(
    const rk_attention_shape *s, const forward_space *space, query_tile *t, size_t rows, size_t keys, bool first,
    float *out) {
    float shrink[TILE_QUERIES];
    rk_sgemm(
        s->precision, keys, TILE_QUERIES, s->width, (rk_operand){space->k, s->width, false},
        (rk_operand){t->query, TILE_QUERIES, false}, (rk_output){space->scores, TILE_QUERIES, 1, 0});
    RK_DISPATCH(exponentiate_tile)(keys, (float)s->scale, space->scores, t->largest, t->sum, shrink);
    if (!first) RK_DISPATCH(scale_tile)(rows, s->width, shrink, out, s->out.row);
    rk_sgemm(
        s->precision, rows, s->width, keys, (rk_operand){space->scores, TILE_QUERIES, true},
        (rk_operand){space->v, s->width, false}, (rk_output){out, s->out.row, 1, first ? 0 : 1});
}

static void finish_tile(const rk_attention_shape *s, const query_tile *t, size_t rows, float *out, float *lse) {
    float factor[TILE_QUERIES];
    for (size_t r = 0; r < rows; r++) {
        lse[r] = s->keys ? t->largest[r] + logf(t->sum[r]) : -INFINITY;
        factor[r] = 1 / t->sum[r];
        if (s->keys == 0) memset(out + r * s->out.row, 0, s->width * sizeof(float));
    }
    if (s->keys) RK_DISPATCH(scale_tile)(rows, s->width, factor, out, s->out.row);
}

static void attend_span(
    const forward_job *job, const forward_space *space, size_t b, size_t h, size_t begin, size_t end) {
    const rk_attention_shape *s = job->shape;
    for (size_t i = begin; i < end; i += TILE_QUERIES) {
        query_tile *t = tile_at(space, (i - begin) / TILE_QUERIES);
        RK_DISPATCH(transpose_tile)
        (rk_min(TILE_QUERIES, end - i), s->width, job->q + rk_row_offset(s->q, b, h, i), s->q.row, t->query);
        for (size_t r = 0; r < TILE_QUERIES; r++) t->largest[r] = -INFINITY, t->sum[r] = 0;
    }
    for (size_t j = 0; j < s->keys; j += TILE_KEYS) {
        size_t keys = rk_min(TILE_KEYS, s->keys - j);
        rk_gather_head_rows(keys, s->width, job->k + rk_row_offset(s->k, b, h, j), s->k.row, space->k);
        rk_gather_head_rows(keys, s->width, job->v + rk_row_offset(s->v, b, h, j), s->v.row, space->v);
        for (size_t i = begin; i < end; i += TILE_QUERIES)
            attend_tile(
                s, space, tile_at(space, (i - begin) / TILE_QUERIES), rk_min(TILE_QUERIES, end - i), keys, j == 0,
                job->out + rk_row_offset(s->out, b, h, i));
    }
    for (size_t i = begin; i < end; i += TILE_QUERIES)
        finish_tile(
            s, tile_at(space, (i - begin) / TILE_QUERIES), rk_min(TILE_QUERIES, end - i),
            job->out + rk_row_offset(s->out, b, h, i), job->lse + (b * s->heads + h) * s->queries + i);
}

static void attend_piece(void *context, size_t begin, size_t end) {
    forward_job *job = context;
    const rk_attention_shape *s = job->shape;
    forward_space space;
    if (!reserve_forward(job, &space)) {
        atomic_store(&job->failed, true);
        return;
    }
    for (size_t piece = begin; piece < end; piece++) {
        size_t head = piece / job->spans, i = piece % job->spans * job->span * TILE_QUERIES;
        attend_span(job, &space, head / s->heads, head % s->heads, i, rk_min(i + job->span * TILE_QUERIES, s->queries));
    }
    rk_free(space.scores, space.bytes);
}

bool rk_attention(rk_dtype dtype, const rk_attention_shape *s, rk_attention_inputs in, void *out, void *lse) {
    if (dtype == RK_F64) {
        rk_plain_attention(s, in, out, lse);
        return true;
    }
    forward_job job = {.shape = s, .q = in.q, .k = in.k, .v = in.v, .out = out, .lse = lse};
    job.tiles = rk_ceil_div(s->queries, TILE_QUERIES);
    job.span = rk_query_span(s);
    job.spans = rk_ceil_div(job.tiles, job.span);
    size_t grain = rk_tile_grain(s, 2.0 * (double)job.span * (double)rk_max(1, rk_ceil_div(s->keys, TILE_KEYS)));
    rk_parallel_for(s->batch * s->heads * job.spans, grain, attend_piece, &job);
    return !atomic_load(&job.failed);
}

// MARK: - Gradient

/// With many heads a piece is one of them. With few, the keys' and the queries' gradients are computed apart, cut in
/// tiles; either way the sums run in the same order.
typedef struct {
    const rk_attention_shape *shape;
    const float *q, *k, *v, *out, *lse, *gout;
    float *gq, *gk, *gv;
    size_t query_span, key_span; // queries and keys that a piece covers
    bool want_query, want_key;
    atomic_bool failed;
} grad_job;

/// Scratch of a piece: queries and output gradients in rows and, by tiles, transposed; a tile of keys and of values;
/// two tiles of scores.
typedef struct {
    float *q_rows, *gout_rows, *query, *gout, *lse, *mean, *k, *v, *p, *slope;
    size_t bytes;
} grad_space;

static bool reserve_grad(const grad_job *job, grad_space *space) {
    size_t rows = rk_round_up(job->query_span, TILE_QUERIES), tile = TILE_QUERIES * TILE_KEYS;
    size_t width = job->shape->width;
    space->bytes = (4 * rows * width + 2 * rows + 2 * TILE_KEYS * width + 2 * tile) * sizeof(float);
    space->p = rk_alloc(space->bytes);
    if (!space->p) return false;
    space->slope = space->p + tile;
    space->k = space->slope + tile, space->v = space->k + TILE_KEYS * width;
    space->q_rows = space->v + TILE_KEYS * width, space->gout_rows = space->q_rows + rows * width;
    space->query = space->gout_rows + rows * width;
    space->gout = space->query + rows * width;
    space->lse = space->gout + rows * width;
    space->mean = space->lse + rows;
    return true;
}

static void prepare_queries(
    const grad_job *job, const grad_space *space, size_t b, size_t h, size_t begin, size_t end) {
    const rk_attention_shape *s = job->shape;
    for (size_t i = begin; i < end; i += TILE_QUERIES) {
        size_t rows = rk_min(TILE_QUERIES, end - i), at = i - begin, w = s->width, out = rk_row_offset(s->out, b, h, i);
        rk_gather_head_rows(rows, w, job->q + rk_row_offset(s->q, b, h, i), s->q.row, space->q_rows + at * w);
        rk_gather_head_rows(rows, w, job->gout + out, s->out.row, space->gout_rows + at * w);
        RK_DISPATCH(transpose_tile)(rows, w, space->q_rows + at * w, w, space->query + at * w);
        RK_DISPATCH(transpose_tile)(rows, w, space->gout_rows + at * w, w, space->gout + at * w);
        memset(space->lse + at, 0, TILE_QUERIES * sizeof(float));
        memset(space->mean + at, 0, TILE_QUERIES * sizeof(float));
        memcpy(space->lse + at, job->lse + (b * s->heads + h) * s->queries + i, rows * sizeof(float));
        RK_DISPATCH(row_products)(rows, w, job->out + out, job->gout + out, s->out.row, space->mean + at);
    }
}

/// What the tile of queries i, i + 1, ... (the tile `at` of the prepared ones) and of keys j, ... adds.
static void grad_tile(const grad_job *job, const grad_space *space, size_t b, size_t h, size_t i, size_t at, size_t j) {
    const rk_attention_shape *s = job->shape;
    size_t rows = rk_min(TILE_QUERIES, s->queries - i), keys = rk_min(TILE_KEYS, s->keys - j), w = s->width;
    size_t query = rk_row_offset(s->q, b, h, i), key = rk_row_offset(s->k, b, h, j),
           value = rk_row_offset(s->v, b, h, j);
    rk_operand k = {space->k, w, false}, v = {space->v, w, false};
    rk_operand columns = {space->query + at * w, TILE_QUERIES, false};
    rk_operand gout = {space->gout + at * w, TILE_QUERIES, false};
    float scale = (float)s->scale, add_key = i > 0, add_query = j > 0;
    rk_sgemm(s->precision, keys, TILE_QUERIES, w, k, columns, (rk_output){space->p, TILE_QUERIES, 1, 0});
    RK_DISPATCH(probabilities)(keys, scale, space->lse + at, space->p);
    rk_sgemm(s->precision, keys, TILE_QUERIES, w, v, gout, (rk_output){space->slope, TILE_QUERIES, 1, 0});
    RK_DISPATCH(score_slopes)(keys, scale, space->p, space->mean + at, space->slope);
    if (job->want_key) {
        rk_operand rows_of_q = {space->q_rows + at * w, w, false}, rows_of_gout = {space->gout_rows + at * w, w, false};
        rk_sgemm(
            s->precision, keys, w, rows, (rk_operand){space->p, TILE_QUERIES, false}, rows_of_gout,
            (rk_output){job->gv + value, s->v.row, 1, add_key});
        rk_sgemm(
            s->precision, keys, w, rows, (rk_operand){space->slope, TILE_QUERIES, false}, rows_of_q,
            (rk_output){job->gk + key, s->k.row, 1, add_key});
    }
    if (job->want_query)
        rk_sgemm(
            s->precision, rows, w, keys, (rk_operand){space->slope, TILE_QUERIES, true}, k,
            (rk_output){job->gq + query, s->q.row, 1, add_query});
}

static void grad_piece(void *context, size_t begin, size_t end) {
    grad_job *job = context;
    const rk_attention_shape *s = job->shape;
    grad_space space;
    if (!reserve_grad(job, &space)) {
        atomic_store(&job->failed, true);
        return;
    }
    size_t query_spans = rk_ceil_div(s->queries, job->query_span), key_spans = rk_ceil_div(s->keys, job->key_span);
    for (size_t piece = begin; piece < end; piece++) {
        size_t head = piece / (query_spans * key_spans), b = head / s->heads, h = head % s->heads;
        size_t i0 = piece / key_spans % query_spans * job->query_span, j0 = piece % key_spans * job->key_span;
        size_t i1 = rk_min(i0 + job->query_span, s->queries), j1 = rk_min(j0 + job->key_span, s->keys);
        prepare_queries(job, &space, b, h, i0, i1);
        for (size_t j = j0; j < j1; j += TILE_KEYS) {
            rk_gather_head_rows(
                rk_min(TILE_KEYS, j1 - j), s->width, job->k + rk_row_offset(s->k, b, h, j), s->k.row, space.k);
            rk_gather_head_rows(
                rk_min(TILE_KEYS, j1 - j), s->width, job->v + rk_row_offset(s->v, b, h, j), s->v.row, space.v);
            for (size_t i = i0; i < i1; i += TILE_QUERIES) grad_tile(job, &space, b, h, i, i - i0, j);
        }
    }
    rk_free(space.p, space.bytes);
}

static void run_grad(grad_job *job, size_t query_span, size_t key_span, bool want_query, bool want_key) {
    const rk_attention_shape *s = job->shape;
    job->query_span = query_span, job->key_span = key_span, job->want_query = want_query, job->want_key = want_key;
    size_t pieces = rk_ceil_div(s->queries, query_span) * rk_ceil_div(s->keys, key_span);
    double tiles = (double)rk_ceil_div(query_span, TILE_QUERIES) * (double)rk_ceil_div(key_span, TILE_KEYS);
    rk_parallel_for(s->batch * s->heads * pieces, rk_tile_grain(s, 5 * tiles), grad_piece, job);
}

bool rk_attention_grad(
    rk_dtype dtype, const rk_attention_shape *s, rk_attention_inputs in, rk_attention_results results, const void *gout,
    rk_attention_grads grads) {
    if (dtype == RK_F64) {
        rk_plain_attention_grad(s, in, results, gout, grads);
        return true;
    }
    if (s->queries == 0 || s->keys == 0) {
        rk_clear_rows(s, s->q, s->queries, grads.q);
        rk_clear_rows(s, s->k, s->keys, grads.k);
        rk_clear_rows(s, s->v, s->keys, grads.v);
        return true;
    }
    grad_job job = {
        .shape = s,
        .q = in.q,
        .k = in.k,
        .v = in.v,
        .out = results.out,
        .lse = results.lse,
        .gout = gout,
        .gq = grads.q,
        .gk = grads.k,
        .gv = grads.v};
    if (s->batch * s->heads >= 6 || (s->queries <= TILE_QUERIES && s->keys <= TILE_KEYS)) {
        run_grad(&job, s->queries, s->keys, true, true);
    } else {
        run_grad(&job, s->queries, TILE_KEYS, false, true);
        run_grad(&job, TILE_QUERIES, s->keys, true, false);
    }
    return !atomic_load(&job.failed);
}
