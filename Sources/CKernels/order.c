// What depends on order along the middle dimension of [outer, n, inner]: indices of extremes, running sums, sorting.
#include <stdatomic.h>
#include <string.h>

#include "kernels/memory.h"
#include "kernels/reduce.h"
#include "kernels/threads.h"
#include "order.h"

#define GRAIN 16384

typedef struct {
    bool largest, reverse;
    rk_dtype dtype;
    const void *x;
    void *y;
    int32_t *order;
    size_t n, inner;
    atomic_bool *failed;
} plan;

static size_t rows_a_piece(size_t elements) { return elements < GRAIN ? GRAIN / (elements + 1) + 1 : 1; }

// MARK: - Indices of extremes

// The first NaN stands, as it would in the extreme itself.
#define ARG(type) \
    for (size_t i = 0; i < p->inner; i++) { \
        const type *x = (const type *)p->x + o * p->n * p->inner + i; \
        type best = p->n > 0 ? *x : 0; \
        size_t at = 0; \
        for (size_t j = 1; j < p->n && best == best; j++) { \
            type v = x[j * p->inner]; \
            if ((p->largest ? v > best : v < best) || v != v) best = v, at = j; \
        } \
        ((int32_t *)p->y)[o * p->inner + i] = (int32_t)at; \
    }

static void arg_piece(void *context, size_t begin, size_t end) {
    const plan *p = context;
    for (size_t o = begin; o < end; o++) switch (p->dtype) {
        case RK_F32: ARG(float) break;
        case RK_F64: ARG(double) break;
        case RK_I32: ARG(int32_t) break;
        }
}

void rk_arg_reduce(bool largest, rk_dtype dtype, const void *x, int32_t *y, size_t outer, size_t n, size_t inner) {
    plan p = {.largest = largest, .dtype = dtype, .x = x, .y = y, .n = n, .inner = inner};
    if (dtype == RK_F32 && inner == 1)
        rk_arg_rows(largest, x, y, outer, n);
    else
        rk_parallel_for(outer, rows_a_piece(n * inner), arg_piece, &p);
}

// MARK: - Running sums

#define CUMSUM(type, sum_type) \
    for (size_t i = 0; i < p->inner; i++) { \
        size_t base = o * p->n * p->inner + i; \
        sum_type total = 0; \
        for (size_t step = 0; step < p->n; step++) { \
            size_t at = base + (p->reverse ? p->n - 1 - step : step) * p->inner; \
            total += ((const type *)p->x)[at]; \
            ((type *)p->y)[at] = (type)total; \
        } \
    }

static void cumsum_piece(void *context, size_t begin, size_t end) {
    const plan *p = context;
    for (size_t o = begin; o < end; o++) switch (p->dtype) {
        case RK_F32: CUMSUM(float, double) break;
        case RK_F64: CUMSUM(double, double) break;
        case RK_I32: CUMSUM(uint32_t, uint32_t) break;
        }
}

void rk_cumsum(bool reverse, rk_dtype dtype, const void *x, void *y, size_t outer, size_t n, size_t inner) {
    plan p = {.reverse = reverse, .dtype = dtype, .x = x, .y = y, .n = n, .inner = inner};
    rk_parallel_for(outer, rows_a_piece(n * inner), cumsum_piece, &p);
}

// MARK: - Sorting

typedef struct {
    uint64_t key;
    uint32_t index;
} entry;

#define DIGIT_BITS 11
#define DIGITS (1 << DIGIT_BITS)

// Keys whose unsigned order is the order of the numbers: both zeros alike, NaN last.
static uint64_t key_at(const plan *p, size_t i) {
    if (p->dtype == RK_I32) return ((const uint32_t *)p->x)[i] ^ 0x80000000u;
    if (p->dtype == RK_F64) {
        double v = ((const double *)p->x)[i] + 0.0;
        uint64_t u;
        memcpy(&u, &v, sizeof u);
        return v != v ? UINT64_MAX : u >> 63 ? ~u : u | (uint64_t)1 << 63;
    }
    float v = ((const float *)p->x)[i] + 0.0f;
    uint32_t u;
    memcpy(&u, &v, sizeof u);
    return v != v ? UINT32_MAX : u >> 31 ? ~u : u | 0x80000000u;
}

static void insertion_sort(entry *e, size_t n) {
    for (size_t i = 1; i < n; i++) {
        entry moved = e[i];
        size_t j = i;
        for (; j > 0 && e[j - 1].key > moved.key; j--) e[j] = e[j - 1];
        e[j] = moved;
    }
}

// Sorts by one digit from e to other; false when all entries share it and nothing was moved.
static bool radix_pass(const entry *e, entry *other, size_t n, int shift) {
    uint32_t start[DIGITS] = {0}, sum = 0;
    for (size_t i = 0; i < n; i++) start[e[i].key >> shift & (DIGITS - 1)]++;
    if (start[e[0].key >> shift & (DIGITS - 1)] == n) return false;
    for (size_t d = 0; d < DIGITS; d++) {
        uint32_t count = start[d];
        start[d] = sum;
        sum += count;
    }
    for (size_t i = 0; i < n; i++) other[start[e[i].key >> shift & (DIGITS - 1)]++] = e[i];
    return true;
}

static entry *radix_sort(entry *e, entry *other, size_t n, int key_bits) {
    for (int shift = 0; shift < key_bits; shift += DIGIT_BITS)
        if (radix_pass(e, other, n, shift)) {
            entry *swap = e;
            e = other, other = swap;
        }
    return e;
}

static void sort_row(const plan *p, size_t row, entry *scratch) {
    size_t n = p->n, base = row * n;
    for (size_t i = 0; i < n; i++) scratch[i] = (entry){key_at(p, base + i), (uint32_t)i};
    entry *sorted = scratch;
    if (n <= 64)
        insertion_sort(scratch, n);
    else
        sorted = radix_sort(scratch, scratch + n, n, p->dtype == RK_F64 ? 64 : 32);
    for (size_t i = 0; i < n; i++) {
        size_t from = base + sorted[i].index;
        if (p->dtype == RK_F64)
            ((double *)p->y)[base + i] = ((const double *)p->x)[from];
        else
            ((uint32_t *)p->y)[base + i] = ((const uint32_t *)p->x)[from];
        if (p->order != NULL) p->order[base + i] = (int32_t)sorted[i].index;
    }
}

static void sort_piece(void *context, size_t begin, size_t end) {
    const plan *p = context;
    size_t bytes = 2 * p->n * sizeof(entry);
    entry few[64], *scratch = p->n <= 64 ? few : rk_alloc(bytes);
    if (scratch == NULL) {
        atomic_store(p->failed, true);
        return;
    }
    for (size_t row = begin; row < end; row++) sort_row(p, row, scratch);
    if (scratch != few) rk_free(scratch, bytes);
}

bool rk_sort_rows(rk_dtype dtype, const void *x, void *y, int32_t *order, size_t rows, size_t n) {
    atomic_bool failed = false;
    plan p = {.dtype = dtype, .x = x, .y = y, .order = order, .n = n, .failed = &failed};
    if (n > 0) rk_parallel_for(rows, rows_a_piece(16 * n), sort_piece, &p);
    return !failed;
}
