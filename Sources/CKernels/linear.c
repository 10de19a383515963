// Matrix products: cut into blocks by shape alone, each block multiplied by one thread and finished while it is in the
// cache.
#include "kernels/linear.h"

#include <stdatomic.h>

#include "kernels/memory.h"
#include "kernels/threads.h"
#include "private.h"

#define RK_BODY "linear.inc"
#include "simd/levels.h"

// MARK: - Sums of partial results

typedef struct {
    size_t parts, count;
    const float *part;
    bool accumulate;
    float *y;
} sum_job;

static void sum_piece(void *context, size_t begin, size_t end) {
    const sum_job *job = context;
    RK_DISPATCH(sum_parts)(job->parts, job->count, end - begin, job->part + begin, job->accumulate, job->y + begin);
}

void rk_sum_parts(size_t parts, size_t count, const float *part, bool accumulate, float *y) {
    sum_job job = {parts, count, part, accumulate, y};
    rk_parallel_for(count, RK_GRAIN, sum_piece, &job);
}

// MARK: - Products in blocks

/// C in blocks of rows x columns; where that gives too few pieces the inner dimension is cut in `parts` too.
typedef struct {
    const rk_gemm_shape *shape;
    const float *a, *b;
    float *c, *partial, *packed;
    size_t rows, columns, row_blocks, column_blocks, parts, depth;
    const uint16_t *half; // B where it is bfloat16, and the sum is not cut
    atomic_bool lacks_memory;
} gemm_job;

/// Blocks have about rk_block_rows() rows and this many columns, or fewer where there would be less than RK_PIECES
/// blocks. None has much less than rk_piece_work() multiply-adds.
enum { BLOCK_COLUMNS = 512 };

/// The size of equal parts of `count`, none larger than `most`, in multiples of `unit`.
static size_t even_block(size_t count, size_t most, size_t unit) {
    return rk_round_up(rk_ceil_div(count, rk_ceil_div(count, most)), unit);
}

static void cut(gemm_job *job) {
    const rk_gemm_shape *s = job->shape;
    double work = (double)s->m * (double)s->n * (double)s->k * (double)s->batch;
    double most = work / (double)rk_piece_work();
    if (most > RK_PIECES) most = RK_PIECES;
    size_t unit = rk_row_unit();
    job->rows = even_block(s->m, rk_block_rows(s->transpose_a), unit),
    job->columns = even_block(s->n, BLOCK_COLUMNS, 64);
    job->parts = 1, job->depth = s->k;
    size_t blocks = rk_ceil_div(s->m, job->rows) * rk_ceil_div(s->n, job->columns);
    if (!job->half && s->batch == 1 && s->k >= 2048 && s->k > 2 * rk_max(s->m, s->n)) {
        // A long sum of few products, as in weights' gradients: cut the sum, and read A and B once. There are up to
        // twice RK_PIECES pieces, since these are large and threads would wait long for the last of fewer.
        size_t parts = rk_min((size_t)(2 * most) / blocks, s->k / 1024);
        job->depth = parts > 1 ? rk_round_up(rk_ceil_div(s->k, parts), 16) : s->k;
        job->parts = rk_ceil_div(s->k, job->depth);
    }
    for (;;) {
        job->row_blocks = rk_ceil_div(s->m, job->rows), job->column_blocks = rk_ceil_div(s->n, job->columns);
        if ((double)(s->batch * job->parts * job->row_blocks * job->column_blocks) * 1.5 > most) return;
        if (job->columns >= 128 && job->columns > job->rows)
            job->columns = rk_round_up(job->columns / 2, 64);
        else if (job->rows >= 72)
            job->rows = rk_round_up(job->rows / 2, unit);
        else
            return;
    }
}

/// A block of C and the inner indices [p, p + depth) that are summed for it.
typedef struct {
    size_t i, rows, j, columns, p, depth;
} product_block;

/// The block of C that a piece computes, over `depth` inner indices from p on.
static product_block block_at(const gemm_job *job, size_t piece, size_t p, size_t depth) {
    size_t blocks = job->row_blocks * job->column_blocks;
    size_t i = piece % blocks / job->column_blocks * job->rows, j = piece % job->column_blocks * job->columns;
    size_t rows = rk_min(job->rows, job->shape->m - i), columns = rk_min(job->columns, job->shape->n - j);
    return (product_block){i, rows, j, columns, p, depth};
}

static void add_bias(const rk_gemm_shape *s, size_t i, size_t rows, size_t j, size_t columns, float *c) {
    if (s->bias) RK_DISPATCH(add_to_rows)(rows, columns, (const float *)s->bias + j, c + i * s->ldc + j, s->ldc);
}

/// One block of one matrix; `out` is the whole matrix.
static void multiply_block(const gemm_job *job, size_t matrix, product_block block, rk_output out) {
    const rk_gemm_shape *s = job->shape;
    rk_operand a = rk_slice((rk_operand){job->a + matrix * s->stride_a, s->lda, s->transpose_a}, block.i, block.p);
    out.c += block.i * out.row + block.j;
    if (job->packed) {
        rk_sgemm_packed(
            s->precision, block.rows, block.columns, block.depth, a,
            rk_packed_at(s->precision, job->packed, s->k, block.j), NULL, out);
        return;
    }
    rk_operand b = rk_slice((rk_operand){job->b + matrix * s->stride_b, s->ldb, s->transpose_b}, block.p, block.j);
    rk_sgemm(s->precision, block.rows, block.columns, block.depth, a, b, out);
}

static void gemm_piece(void *context, size_t begin, size_t end) {
    const gemm_job *job = context;
    const rk_gemm_shape *s = job->shape;
    for (size_t piece = begin; piece < end; piece++) {
        size_t matrix = piece / (job->row_blocks * job->column_blocks);
        product_block block = block_at(job, piece, 0, s->k);
        float *c = job->c + matrix * s->stride_c;
        multiply_block(job, matrix, block, (rk_output){c, s->ldc, (float)s->alpha, (float)s->beta});
        add_bias(s, block.i, block.rows, block.j, block.columns, c);
    }
}

static void partial_piece(void *context, size_t begin, size_t end) {
    const gemm_job *job = context;
    const rk_gemm_shape *s = job->shape;
    for (size_t piece = begin; piece < end; piece++) {
        size_t part = piece / (job->row_blocks * job->column_blocks), p = part * job->depth;
        product_block block = block_at(job, piece, p, rk_min(job->depth, s->k - p));
        multiply_block(job, 0, block, (rk_output){job->partial + part * s->m * s->n, s->n, (float)s->alpha, 0});
    }
}

/// Few outputs and a long inner dimension: parts of the sum are computed apart, then added in order.
static bool gemm_in_parts(gemm_job *job) {
    const rk_gemm_shape *s = job->shape;
    size_t bytes = job->parts * s->m * s->n * sizeof(float);
    job->partial = rk_alloc(bytes);
    if (!job->partial) return false;
    rk_parallel_for(job->parts * job->row_blocks * job->column_blocks, 1, partial_piece, job);
    if (s->beta != 0 && s->beta != 1) // an empty product only scales
        rk_sgemm(
            s->precision, s->m, s->n, 0, (rk_operand){0}, (rk_operand){0},
            (rk_output){job->c, s->ldc, 1, (float)s->beta});
    if (s->ldc == s->n)
        rk_sum_parts(job->parts, s->m * s->n, job->partial, s->beta != 0, job->c);
    else
        for (size_t i = 0; i < s->m; i++) RK_DISPATCH(sum_parts)
    (job->parts, s->m * s->n, s->n, job->partial + i * s->n, s->beta != 0, job->c + i * s->ldc);
    add_bias(s, 0, s->m, 0, s->n, job->c);
    rk_free(job->partial, bytes);
    return true;
}

/// A B that several row blocks share and that is costly to put in the kernel's order is put in it once; returns the
/// bytes that this takes.
static size_t prepack(gemm_job *job) {
    const rk_gemm_shape *s = job->shape;
    bool shared = s->batch == 1 ? job->row_blocks >= 2 : s->stride_b == 0;
    if (!shared || !rk_rearranges(job->rows, job->columns, s->k, s->transpose_b)) return 0;
    size_t bytes = rk_packed_floats(s->precision, s->k, s->n) * sizeof(float);
    job->packed = rk_alloc(bytes); // without memory each block packs for itself
    if (job->packed) rk_pack(s->precision, (rk_operand){job->b, s->ldb, s->transpose_b}, s->k, s->n, job->packed);
    return bytes;
}

void rk_gemm(rk_dtype dtype, const rk_gemm_shape *shape, const void *a, const void *b, void *c) {
    if (shape->batch == 0 || shape->m == 0 || shape->n == 0) return;
    if (dtype == RK_F64) {
        rk_plain_gemm(shape, a, b, c);
        return;
    }
    gemm_job job = {.shape = shape, .a = a, .b = b, .c = c};
    cut(&job);
    // Without memory for the parts the whole sum runs in one piece, which only costs time.
    if (job.parts > 1 && gemm_in_parts(&job)) return;
    size_t pieces = shape->batch * job.row_blocks * job.column_blocks;
    double work = (double)shape->m * (double)shape->n * (double)rk_max(shape->k, 8) * (double)shape->batch;
    size_t grain = rk_max(1, (size_t)((double)(pieces * rk_piece_work() / 4) / work));
    size_t bytes = prepack(&job);
    rk_parallel_for(pieces, grain, gemm_piece, &job);
    if (job.packed) rk_free(job.packed, bytes);
}

// MARK: - B of bfloat16

/// The columns of op(B) from column j on.
static const uint16_t *half_columns(const gemm_job *job, size_t j) {
    return job->half + (job->shape->transpose_b ? j * job->shape->ldb : j);
}

static void pack_half_piece(void *context, size_t begin, size_t end) {
    const gemm_job *job = context;
    const rk_gemm_shape *s = job->shape;
    size_t j = begin * rk_panel(), columns = rk_min(end * rk_panel(), s->n) - j;
    float *to = job->packed + begin * rk_panel_floats(s->precision, s->k);
    rk_pack_bfloat16(s->precision, half_columns(job, j), s->ldb, s->transpose_b, s->k, columns, to);
}

/// Blocks that no other block shares columns with put them in order themselves.
static void half_piece(void *context, size_t begin, size_t end) {
    gemm_job *job = context;
    const rk_gemm_shape *s = job->shape;
    size_t bytes = rk_packed_floats(s->precision, s->k, job->columns) * sizeof(float);
    float *packed = rk_alloc(bytes);
    if (!packed) atomic_store(&job->lacks_memory, true);
    for (size_t piece = begin; packed && piece < end; piece++) {
        product_block block = block_at(job, piece, 0, s->k);
        rk_pack_bfloat16(s->precision, half_columns(job, block.j), s->ldb, s->transpose_b, s->k, block.columns, packed);
        rk_operand a = rk_slice((rk_operand){job->a, s->lda, s->transpose_a}, block.i, 0);
        rk_output out = {job->c + block.i * s->ldc + block.j, s->ldc, (float)s->alpha, (float)s->beta};
        rk_sgemm_packed(s->precision, block.rows, block.columns, s->k, a, packed, NULL, out);
        add_bias(s, block.i, block.rows, block.j, block.columns, job->c);
    }
    if (packed) rk_free(packed, bytes);
}

/// Few rows: B is read once, as it is stored.
static void half_dots_piece(void *context, size_t begin, size_t end) {
    const gemm_job *job = context;
    const rk_gemm_shape *s = job->shape;
    for (size_t matrix = 0; matrix < s->batch; matrix++) {
        float *c = job->c + matrix * s->stride_c;
        rk_operand a = {job->a + matrix * s->stride_a, s->lda, false};
        rk_output out = {c + begin, s->ldc, (float)s->alpha, (float)s->beta};
        rk_bfloat16_dots(s->m, end - begin, s->k, a, half_columns(job, begin), s->ldb, out);
        add_bias(s, 0, s->m, begin, end - begin, c);
    }
}

bool rk_gemm_bfloat16(const rk_gemm_shape *s, const float *a, const uint16_t *b, float *c) {
    if (s->batch == 0 || s->m == 0 || s->n == 0) return true;
    if (s->k == 0 || s->alpha == 0) { // reads no B
        rk_gemm(RK_F32, s, a, NULL, c);
        return true;
    }
    gemm_job job = {.shape = s, .a = a, .c = c, .half = b};
    if (s->m <= 4 && !s->transpose_a && s->transpose_b) {
        size_t grain = rk_round_up(rk_ceil_div(rk_piece_work() / 4, s->m * s->k * s->batch), 4);
        rk_parallel_for(s->n, grain, half_dots_piece, &job);
        return true;
    }
    cut(&job);
    size_t pieces = s->batch * job.row_blocks * job.column_blocks;
    if (pieces == job.column_blocks) {
        rk_parallel_for(pieces, 1, half_piece, &job);
        return !job.lacks_memory;
    }
    size_t bytes = rk_packed_floats(s->precision, s->k, s->n) * sizeof(float);
    job.packed = rk_alloc(bytes);
    if (!job.packed) return false;
    rk_parallel_for(rk_ceil_div(s->n, rk_panel()), 1, pack_half_piece, &job);
    rk_parallel_for(pieces, 1, gemm_piece, &job);
    rk_free(job.packed, bytes);
    return true;
}
