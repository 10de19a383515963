// 3x3 convolutions of stride 1 in Winograd's form: a quarter of the multiplications, in 36 products of blocks of tiles
// that stay in the second-level cache from the first transform to the last.
#include <stdatomic.h>
#include <string.h>

#include "kernels/memory.h"
#include "kernels/threads.h"
#include "private.h"
#include "simd/transpose.h"

#define RK_BODY "winograd.inc"
#include "simd/levels.h"

enum { TILE = 4, PLANES = 36 };

bool rk_winograd_suits(const rk_conv_shape *s) {
    if (s->kernel_h != 3 || s->kernel_w != 3 || s->stride_h != 1 || s->stride_w != 1) return false;
    if (s->pad_h > 2 || s->pad_w > 2) return false;
    if (s->c_in < 16 || s->c_out < 16) return false; // a vector of channels at least
    size_t pixels = s->n * s->out_h * s->out_w;
    size_t covered = s->n * rk_round_up(s->out_h, TILE) * rk_round_up(s->out_w, TILE);
    // Border tiles waste work, and few pixels do not pay for transforming the weights.
    return pixels >= 192 && covered <= 2 * pixels;
}

/// Images [n, h, w, channels].
typedef struct {
    const float *pixels;
    size_t n, h, w, channels;
} images;

static images images_x(const rk_conv_shape *s, const float *x) { return (images){x, s->n, s->h, s->w, s->c_in}; }
static images images_y(const rk_conv_shape *s, const float *y) {
    return (images){y, s->n, s->out_h, s->out_w, s->c_out};
}

/// Images cut in 4x4 tiles.
typedef struct {
    size_t n, h, w, down, across;
} tiling;

static tiling tile_images(const images *x) {
    return (tiling){x->n, x->h, x->w, rk_ceil_div(x->h, TILE), rk_ceil_div(x->w, TILE)};
}

static size_t tile_count(const tiling *t) { return t->n * t->down * t->across; }

/// A tile's first pixel.
typedef struct {
    size_t image, i, j;
} tile_origin;

static tile_origin locate(const tiling *t, size_t tile) {
    size_t image = tile / (t->down * t->across), rest = tile % (t->down * t->across);
    return (tile_origin){image, rest / t->across * TILE, rest % t->across * TILE};
}

/// The addresses of side x side pixels, the first of which lies `up` above and `left` of a tile's first; pixels outside
/// are `zeros`.
static void address_tile(
    const images *x, tile_origin at, size_t side, size_t up, size_t left, const float *zeros, const float **pixels) {
    for (size_t i = 0; i < side; i++)
        for (size_t j = 0; j < side; j++) {
            size_t row = at.i + i - up, column = at.j + j - left; // wraps around below 0
            bool inside = row < x->h && column < x->w;
            pixels[i * side + j] = inside ? x->pixels + ((at.image * x->h + row) * x->w + column) * x->channels : zeros;
        }
}

/// The floats from one plane to the next: not a multiple of 4096 bytes, which would map all planes to one cache set.
static size_t plane_size(size_t rows, size_t columns) { return rk_round_up(rows * columns, 16) + 16; }

// MARK: - Weights

/// The transformed weight: packed planes [rows, columns] from taps `tap` apart and rows `row` apart.
typedef struct {
    const float *weight;
    ptrdiff_t tap;
    size_t row, rows, columns, plane;
    float *out;
} weight_job;

/// Rows and columns that are transformed at a time, so that their 36 planes are packed while they are in the cache.
enum { WEIGHT_ROWS = 32, WEIGHT_COLUMNS = 64 };

static void transform_weight_block(const weight_job *job, size_t r, size_t rows, size_t j, size_t columns) {
    float planes[PLANES * WEIGHT_ROWS * WEIGHT_COLUMNS];
    for (size_t i = 0; i < rows; i++) RK_DISPATCH(weight_row)
    (job->weight + (r + i) * job->row + j, job->tap, columns, planes + i * WEIGHT_COLUMNS,
     WEIGHT_ROWS * WEIGHT_COLUMNS);
    for (size_t p = 0; p < PLANES; p++)
        rk_pack_slice(
            RK_FLOAT32, (rk_operand){planes + p * WEIGHT_ROWS * WEIGHT_COLUMNS, WEIGHT_COLUMNS, false}, job->rows, r,
            rows, j, columns, job->out + p * job->plane);
}

static void transform_weight_rows(void *context, size_t begin, size_t end) {
    const weight_job *job = context;
    for (size_t b = begin; b < end; b++)
        for (size_t r = b * WEIGHT_ROWS, j = 0; j < job->columns; j += WEIGHT_COLUMNS)
            transform_weight_block(
                job, r, rk_min(job->rows - r, WEIGHT_ROWS), j, rk_min(job->columns - j, WEIGHT_COLUMNS));
}

typedef struct {
    const rk_conv_shape *shape;
    const float *weight;
    float *out;
} transpose_job;

/// Some input channels of weight [c_out, 9, c_in] -> [9, c_in, c_out].
static void transpose_channels(void *context, size_t begin, size_t end) {
    const transpose_job *job = context;
    size_t in = job->shape->c_in, out = job->shape->c_out;
    for (size_t tap = 0; tap < 9; tap++) RK_DISPATCH(transpose)
    (out, end - begin, job->weight + tap * in + begin, 9 * in, job->out + (tap * in + begin) * out, out);
}

// MARK: - Forward and input gradient

typedef struct {
    images x;
    size_t up, left; // from a pixel of y to the first pixel of x that it sees
    tiling tiles;    // of y
    size_t in, out, block, blocks, in_plane, out_plane, weight_plane;
    const float *weight, *bias; // weight: packed planes [in, out]
    float *y;
    atomic_bool failed;
} forward_job;

static void convolve_block(const forward_job *job, size_t begin, size_t count, const float *zeros, float *v, float *m) {
    const float *pixels[PLANES];
    for (size_t t = 0; t < count; t++) {
        address_tile(&job->x, locate(&job->tiles, begin + t), TILE + 2, job->up, job->left, zeros, pixels);
        RK_DISPATCH(input_tile)(pixels, job->in, v + t * job->in, job->in_plane);
    }
    for (size_t p = 0; p < PLANES; p++)
        rk_sgemm_packed(
            RK_FLOAT32, count, job->out, job->in, (rk_operand){v + p * job->in_plane, job->in, false},
            job->weight + p * job->weight_plane, NULL, (rk_output){m + p * job->out_plane, job->out, 1, 0});
    for (size_t t = 0; t < count; t++) {
        tile_origin at = locate(&job->tiles, begin + t);
        float *y = job->y + ((at.image * job->tiles.h + at.i) * job->tiles.w + at.j) * job->out;
        size_t rows = rk_min(TILE, job->tiles.h - at.i), columns = rk_min(TILE, job->tiles.w - at.j);
        RK_DISPATCH(output_tile)
        (m + t * job->out, job->out_plane, job->out, job->bias, rows, columns, y, job->tiles.w * job->out);
    }
}

static void convolve_piece(void *context, size_t begin, size_t end) {
    forward_job *job = context;
    size_t v = PLANES * job->in_plane, m = PLANES * job->out_plane, bytes = (v + m + job->in) * sizeof(float);
    float *space = rk_alloc(bytes);
    if (!space) {
        atomic_store(&job->failed, true);
        return;
    }
    float *zeros = space + v + m;
    memset(zeros, 0, job->in * sizeof(float));
    for (size_t b = begin; b < end; b++) {
        size_t first = b * job->block, count = rk_min(job->block, tile_count(&job->tiles) - first);
        convolve_block(job, first, count, zeros, space, space + v);
    }
    rk_free(space, bytes);
}

/// Tiles of a block, a multiple of the rows that the product's kernel takes at once: both transformed blocks fit the
/// second-level cache, weights that do not fit are read for as many tiles as that allows, and there are RK_PIECES
/// blocks where the images are large enough.
static size_t block_tiles(size_t tiles, size_t in, size_t out) {
    size_t unit = rk_row_unit(), fits = rk_max(rk_round_up(24, unit), rk_min(96, 8448 / (in + out) / unit * unit));
    return rk_min(fits, rk_max(unit, rk_round_up(rk_ceil_div(tiles, RK_PIECES), unit)));
}

static bool convolve(forward_job job, weight_job *weights) {
    size_t in = job.in, out = job.out;
    job.block = block_tiles(tile_count(&job.tiles), in, out);
    job.blocks = rk_ceil_div(tile_count(&job.tiles), job.block);
    job.in_plane = plane_size(job.block, in), job.out_plane = plane_size(job.block, out);
    job.weight_plane = weights->plane = rk_packed_floats(RK_FLOAT32, in, out) + 16;
    weights->rows = in;
    size_t bytes = PLANES * job.weight_plane * sizeof(float);
    weights->out = rk_alloc(bytes);
    if (!weights->out) return false;
    rk_parallel_for(rk_ceil_div(in, WEIGHT_ROWS), 1, transform_weight_rows, weights);
    job.weight = weights->out;
    rk_parallel_for(job.blocks, 1, convolve_piece, &job);
    rk_free(weights->out, bytes);
    return !atomic_load(&job.failed);
}

bool rk_winograd_conv2d(const rk_conv_shape *s, const float *x, const float *weight, const float *bias, float *y) {
    size_t bytes = 9 * s->c_in * s->c_out * sizeof(float);
    float *turned = rk_alloc(bytes);
    if (!turned) return false;
    transpose_job job = {s, weight, turned};
    rk_parallel_for(s->c_in, 16, transpose_channels, &job);
    weight_job weights = {
        .weight = turned, .tap = (ptrdiff_t)(s->c_in * s->c_out), .row = s->c_out, .columns = s->c_out};
    images result = images_y(s, y);
    bool done = convolve(
        (forward_job){
            .x = images_x(s, x),
            .up = s->pad_h,
            .left = s->pad_w,
            .tiles = tile_images(&result),
            .in = s->c_in,
            .out = s->c_out,
            .bias = bias,
            .y = y},
        &weights);
    rk_free(turned, bytes);
    return done;
}

bool rk_winograd_input_grad(const rk_conv_shape *s, const float *gy, const float *weight, float *gx) {
    // The taps in descending order; rows are output channels already.
    weight_job weights = {
        .weight = weight + 8 * s->c_in, .tap = -(ptrdiff_t)s->c_in, .row = 9 * s->c_in, .columns = s->c_in};
    images result = images_x(s, gx);
    return convolve(
        (forward_job){
            .x = images_y(s, gy),
            .up = 2 - s->pad_h,
            .left = 2 - s->pad_w,
            .tiles = tile_images(&result),
            .in = s->c_out,
            .out = s->c_in,
            .y = gx},
        &weights);
}

// MARK: - Weight gradient

/// A piece is a block of input channels, one of output channels and a part of the tiles; its sums stay in the cache.
typedef struct {
    images x, gy;
    size_t up, left;
    tiling tiles; // of gy
    size_t in, out, in_blocks, out_blocks, parts, block;
    float *partial; // [parts, out, 9, in]
    atomic_bool failed;
} weight_grad_job;

/// Block sizes of a piece, and its scratch.
typedef struct {
    size_t in, out, x_plane, gy_plane, sum_plane;
    float *x, *gy, *sum, *zeros;
} weight_grad_space;

enum { CHANNEL_BLOCK = 64 };

static void add_tiles(
    const weight_grad_job *job, const weight_grad_space *space, size_t in0, size_t out0, size_t begin, size_t count,
    bool first) {
    const float *pixels[PLANES];
    images x = job->x, gy = job->gy;
    x.pixels += in0, gy.pixels += out0;
    for (size_t t = 0; t < count; t++) {
        tile_origin at = locate(&job->tiles, begin + t);
        address_tile(&x, at, TILE + 2, job->up, job->left, space->zeros, pixels);
        RK_DISPATCH(input_tile)(pixels, space->in, space->x + t * space->in, space->x_plane);
        address_tile(&gy, at, TILE, 0, 0, space->zeros, pixels);
        RK_DISPATCH(output_grad_tile)(pixels, space->out, space->gy + t * space->out, space->gy_plane);
    }
    for (size_t p = 0; p < PLANES; p++)
        rk_sgemm(
            RK_FLOAT32, space->out, space->in, count, (rk_operand){space->gy + p * space->gy_plane, space->out, true},
            (rk_operand){space->x + p * space->x_plane, space->in, false},
            (rk_output){space->sum + p * space->sum_plane, space->in, 1, first ? 0 : 1});
}

static void weight_grad_block(const weight_grad_job *job, weight_grad_space *space, size_t piece) {
    size_t part = piece % job->parts, i = piece / job->parts % job->in_blocks, o = piece / job->parts / job->in_blocks;
    size_t in0 = i * job->in / job->in_blocks, out0 = o * job->out / job->out_blocks, tiles = tile_count(&job->tiles);
    size_t begin = part * tiles / job->parts, end = (part + 1) * tiles / job->parts;
    space->in = (i + 1) * job->in / job->in_blocks - in0, space->out = (o + 1) * job->out / job->out_blocks - out0;
    for (size_t t = begin; t < end; t += job->block)
        add_tiles(job, space, in0, out0, t, rk_min(job->block, end - t), t == begin);
    float *gweight = job->partial + part * job->out * 9 * job->in;
    for (size_t r = 0; r < space->out; r++) RK_DISPATCH(weight_grad_row)
    (space->sum + r * space->in, space->sum_plane, space->in, gweight + (out0 + r) * 9 * job->in + in0, job->in);
}

static void weight_grad_piece(void *context, size_t begin, size_t end) {
    weight_grad_job *job = context;
    weight_grad_space space = {
        .x_plane = plane_size(job->block, CHANNEL_BLOCK),
        .gy_plane = plane_size(job->block, CHANNEL_BLOCK),
        .sum_plane = plane_size(CHANNEL_BLOCK, CHANNEL_BLOCK)};
    size_t floats = PLANES * (space.x_plane + space.gy_plane + space.sum_plane) + CHANNEL_BLOCK;
    space.x = rk_alloc(floats * sizeof(float));
    if (!space.x) {
        atomic_store(&job->failed, true);
        return;
    }
    space.gy = space.x + PLANES * space.x_plane;
    space.sum = space.gy + PLANES * space.gy_plane;
    space.zeros = space.sum + PLANES * space.sum_plane;
    memset(space.zeros, 0, CHANNEL_BLOCK * sizeof(float));
    for (size_t piece = begin; piece < end; piece++) weight_grad_block(job, &space, piece);
    rk_free(space.x, floats * sizeof(float));
}

bool rk_winograd_weight_grad(const rk_conv_shape *s, const float *x, const float *gy, float *gweight) {
    weight_grad_job job = {
        .x = images_x(s, x),
        .gy = images_y(s, gy),
        .up = s->pad_h,
        .left = s->pad_w,
        .in = s->c_in,
        .out = s->c_out,
        .block = 64};
    job.tiles = tile_images(&job.gy);
    job.in_blocks = rk_ceil_div(s->c_in, CHANNEL_BLOCK), job.out_blocks = rk_ceil_div(s->c_out, CHANNEL_BLOCK);
    size_t blocks = job.in_blocks * job.out_blocks, count = s->c_out * 9 * s->c_in;
    job.parts = rk_max(1, rk_min(rk_ceil_div(RK_PIECES, blocks), tile_count(&job.tiles) / job.block));
    size_t bytes = job.parts * count * sizeof(float);
    job.partial = job.parts > 1 ? rk_alloc(bytes) : gweight;
    if (!job.partial) return false;
    rk_parallel_for(blocks * job.parts, 1, weight_grad_piece, &job);
    if (job.parts > 1) {
        rk_sum_parts(job.parts, count, job.partial, false, gweight);
        rk_free(job.partial, bytes);
    }
    return !atomic_load(&job.failed);
}
