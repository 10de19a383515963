// Blocks of Philox4x32-10 side by side, and float32 numbers made of them.

// Words of BLOCKS consecutive blocks from `counter` on: word[w][b] is word w of block counter + b. The 32-bit words sit
// in 64-bit lanes, where one instruction gives a whole product.
static void RK_LEVEL(philox_blocks)(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t word[4][BLOCKS]) {
    typedef uint64_t lanes __attribute__((vector_size(RK_VECTOR_BYTES)));
    enum { WIDTH = RK_VECTOR_BYTES / 8 };
    const uint64_t low = 0xffffffffu;
    for (size_t begin = 0; begin < BLOCKS; begin += 2 * WIDTH) {
        lanes a[2], b[2], c[2], d[2];
        for (size_t k = 0; k < 2; k++)
            for (size_t l = 0; l < WIDTH; l++) a[k][l] = counter + begin + k * WIDTH + l;
        for (size_t k = 0; k < 2; k++) {
            b[k] = a[k] >> 32, a[k] &= low;
            c[k] = (lanes){} + (stream & low), d[k] = (lanes){} + (stream >> 32);
        }
        uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
        for (int round = 0; round < 10; round++, key0 += PHILOX_W0, key1 += PHILOX_W1)
            for (size_t k = 0; k < 2; k++) {
                lanes p = (a[k] & low) * PHILOX_M0, q = (c[k] & low) * PHILOX_M1;
                a[k] = (q >> 32) ^ b[k] ^ key0, b[k] = q & low;
                c[k] = (p >> 32) ^ d[k] ^ key1, d[k] = p & low;
            }
        for (size_t k = 0; k < 2; k++)
            for (size_t l = 0, at = begin + k * WIDTH; l < WIDTH; l++) {
                word[0][at + l] = (uint32_t)a[k][l], word[1][at + l] = (uint32_t)b[k][l];
                word[2][at + l] = (uint32_t)c[k][l], word[3][at + l] = (uint32_t)d[k][l];
            }
    }
}

static void RK_LEVEL(uniform_blocks)(uint64_t seed, uint64_t stream, uint64_t counter, float *y) {
    uint32_t word[4][BLOCKS];
    RK_LEVEL(philox_blocks)(seed, stream, counter, word);
    for (size_t b = 0; b < BLOCKS; b++)
        for (size_t w = 0; w < 4; w++) y[4 * b + w] = (float)(int32_t)(word[w][b] >> 8) * 0x1p-24f;
}

static void RK_LEVEL(integer_blocks)(
    uint64_t seed, uint64_t stream, uint64_t counter, uint32_t bound, uint32_t *y) {
    uint32_t word[4][BLOCKS];
    RK_LEVEL(philox_blocks)(seed, stream, counter, word);
    for (size_t b = 0; b < BLOCKS; b++)
        for (size_t w = 0; w < 4; w++) y[4 * b + w] = (uint32_t)((uint64_t)word[w][b] * bound >> 32);
}

// Box-Muller: 31 bits of one word give the radius, so that tails reach 6.6; the other is the angle in 2^-32 of a turn,
// whose nearest quarter and remainder need no rounding.
static void RK_LEVEL(normal_pairs)(const uint32_t *u, const uint32_t *v, float *first, float *second) {
    for (size_t b = 0; b < BLOCKS; b++) {
        float radius = sqrtf(-2.0f * rk_log_f32(((float)(int32_t)(u[b] >> 1) + 0.5f) * 0x1p-31f));
        uint32_t quarter = (v[b] + 0x20000000u) >> 30;
        float angle = (float)(int32_t)(v[b] - (quarter << 30)) * (1.57079632679489662f * 0x1p-30f);
        first[b] = radius * rk_sin_turned_f32(angle, quarter + 1);
        second[b] = radius * rk_sin_turned_f32(angle, quarter);
    }
}

static void RK_LEVEL(normal_blocks)(uint64_t seed, uint64_t stream, uint64_t counter, float *y) {
    uint32_t word[4][BLOCKS];
    float number[4][BLOCKS];
    RK_LEVEL(philox_blocks)(seed, stream, counter, word);
    RK_LEVEL(normal_pairs)(word[0], word[1], number[0], number[1]);
    RK_LEVEL(normal_pairs)(word[2], word[3], number[2], number[3]);
    for (size_t b = 0; b < BLOCKS; b++)
        for (size_t w = 0; w < 4; w++) y[4 * b + w] = number[w][b];
}
