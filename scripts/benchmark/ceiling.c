// Measures the limits of the machine, of which a workload reaches a share. Prints GFLOP/s of float32 multiply-adds that
// need no memory, and GB/s of a = b + s c over arrays that no cache holds. cc -O3 -march=native -pthread ceiling.c; ./a.out THREADS
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#ifdef __AVX512F__
enum { LANES = 16 };
#else
enum { LANES = 8 };
#endif
typedef float vector __attribute__((vector_size(LANES * sizeof(float))));

enum { CHAINS = 12, STEPS = 100000000, NUMBERS = 1 << 25, ROUNDS = 5 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static volatile float sink;

/// Adds to twelve sums that do not wait for each other, enough for two units with a latency of four or five cycles.
static void *multiply_add(void *unused) {
    (void)unused;
    vector sum[CHAINS], x = {0}, y = {0};
    for (int i = 0; i < LANES; i++) x[i] = 0.999f + 1e-6f * (float)i, y[i] = 1e-3f;
    for (int c = 0; c < CHAINS; c++) sum[c] = y;
    for (int step = 0; step < STEPS; step++)
#pragma clang loop unroll(full)
        for (int c = 0; c < CHAINS; c++) sum[c] = sum[c] * x + y;
    for (int c = 0; c < CHAINS; c++) sink += sum[c][0];
    return NULL;
}

/// Computes a = b + s c; the three arrays of a thread follow each other in memory.
static void *triad(void *memory) {
    float *restrict a = memory, *b = a + NUMBERS, *c = b + NUMBERS;
    for (size_t i = 0; i < NUMBERS; i++) a[i] = b[i] + 0.5f * c[i];
    sink += a[NUMBERS / 2];
    return NULL;
}

static double best_seconds(int threads, void *(*work)(void *), float **memory) {
    double best = 1e30;
    for (int round = 0; round < ROUNDS; round++) {
        pthread_t running[threads];
        double start = now();
        for (int i = 0; i < threads; i++) pthread_create(&running[i], NULL, work, memory ? memory[i] : NULL);
        for (int i = 0; i < threads; i++) pthread_join(running[i], NULL);
        double seconds = now() - start;
        best = seconds < best ? seconds : best;
    }
    return best;
}

int main(int count, char **arguments) {
    int threads = count > 1 ? atoi(arguments[1]) : 1;
    float *memory[threads];
    for (int i = 0; i < threads; i++) {
        memory[i] = malloc(3 * sizeof(float) * NUMBERS);
        if (!memory[i]) return 1;
        for (size_t at = 0; at < 3 * (size_t)NUMBERS; at++) memory[i][at] = (float)at;
    }
    double compute = 2.0 * CHAINS * LANES * STEPS * threads / best_seconds(threads, multiply_add, NULL);
    double traffic = 3.0 * sizeof(float) * NUMBERS * threads / best_seconds(threads, triad, memory);
    printf("%.1f %.1f\n", compute / 1e9, traffic / 1e9);
}
