// Random numbers from a counter: Philox4x32-10, keyed by the seed, counting (block low, block high, stream low, stream
// high). Element i of a stream of 32-bit numbers uses word i % 4 of block i / 4; of 64-bit numbers, words 2 (i % 2) and
// 2 (i % 2) + 1 of block i / 2. Normal numbers come in pairs from the same words.
#include "kernels/random.h"
#include "kernels/threads.h"
#include "private.h"

#include <string.h>

#include "simd/math.h"

#define PHILOX_M0 0xD2511F53u
#define PHILOX_M1 0xCD9E8D57u
#define PHILOX_W0 0x9E3779B9u
#define PHILOX_W1 0xBB67AE85u
// Blocks made at once.
#define BLOCKS 64

#define RK_BODY "random.inc"
#include "simd/levels.h"

void rk_philox(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t words[4]) {
    uint32_t a = (uint32_t)counter, b = (uint32_t)(counter >> 32), c = (uint32_t)stream, d = (uint32_t)(stream >> 32);
    uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++, key0 += PHILOX_W0, key1 += PHILOX_W1) {
        uint64_t p = (uint64_t)a * PHILOX_M0, q = (uint64_t)c * PHILOX_M1;
        a = (uint32_t)(q >> 32) ^ b ^ key0, b = (uint32_t)q;
        c = (uint32_t)(p >> 32) ^ d ^ key1, d = (uint32_t)p;
    }
    words[0] = a, words[1] = b, words[2] = c, words[3] = d;
}

typedef enum { UNIFORM, NORMAL, INTEGERS } kind;

typedef struct {
    kind kind;
    uint64_t seed, stream, offset;
    uint32_t bound;
    void *y;
} plan;

// MARK: - 32-bit numbers

static void make_blocks(const plan *p, uint64_t counter, void *y) {
    switch (p->kind) {
    case UNIFORM: RK_DISPATCH(uniform_blocks)(p->seed, p->stream, counter, y); break;
    case NORMAL: RK_DISPATCH(normal_blocks)(p->seed, p->stream, counter, y); break;
    case INTEGERS: RK_DISPATCH(integer_blocks)(p->seed, p->stream, counter, p->bound, y); break;
    }
}

// Whole batches are made in place, those that reach over an end in a buffer: all by the same code, so that an
// element's bits do not depend on where a call begins or ends.
static void piece_32(void *context, size_t begin, size_t end) {
    const plan *p = context;
    uint64_t index = p->offset + begin;
    uint32_t *y = (uint32_t *)p->y + begin, buffer[4 * BLOCKS];
    for (size_t left = end - begin; left > 0;) {
        size_t skip = index % 4, n = 4 * BLOCKS - skip < left ? 4 * BLOCKS - skip : left;
        bool in_place = n == 4 * BLOCKS;
        make_blocks(p, index / 4, in_place ? y : buffer);
        if (!in_place) memcpy(y, buffer + skip, n * sizeof *y);
        index += n, y += n, left -= n;
    }
}

// MARK: - 64-bit numbers

static double unit_f64(uint32_t low, uint32_t high) { return (double)((uint64_t)high << 21 | low >> 11) * 0x1p-53; }

static void piece_f64(void *context, size_t begin, size_t end) {
    const plan *p = context;
    uint32_t w[4];
    for (size_t i = begin; i < end; i++) {
        uint64_t index = p->offset + i;
        rk_philox(p->seed, p->stream, index / 2, w);
        double u = unit_f64(w[0], w[1]), v = unit_f64(w[2], w[3]);
        if (p->kind == NORMAL) {
            double radius = sqrt(-2.0 * log(u + 0x1p-54)), angle = 6.28318530717958648 * v;
            u = radius * cos(angle), v = radius * sin(angle);
        }
        ((double *)p->y)[i] = index % 2 ? v : u;
    }
}

void rk_random_uniform(rk_dtype dtype, uint64_t seed, uint64_t stream, uint64_t offset, void *y, size_t count) {
    plan p = {.kind = UNIFORM, .seed = seed, .stream = stream, .offset = offset, .y = y};
    rk_parallel_for(count, RK_GRAIN, dtype == RK_F64 ? piece_f64 : piece_32, &p);
}

void rk_random_normal(rk_dtype dtype, uint64_t seed, uint64_t stream, uint64_t offset, void *y, size_t count) {
    plan p = {.kind = NORMAL, .seed = seed, .stream = stream, .offset = offset, .y = y};
    rk_parallel_for(count, RK_GRAIN, dtype == RK_F64 ? piece_f64 : piece_32, &p);
}

void rk_random_integers(uint64_t seed, uint64_t stream, uint64_t offset, uint32_t bound, int32_t *y, size_t count) {
    plan p = {.kind = INTEGERS, .seed = seed, .stream = stream, .offset = offset, .bound = bound, .y = y};
    rk_parallel_for(count, RK_GRAIN, piece_32, &p);
}
