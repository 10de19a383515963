// What depends on order along the middle dimension of [outer, n, inner]: indices of extremes, running sums, sorting;
// and indices of elements.
#include <stdatomic.h>
#include <string.h>

#include "kernels/memory.h"
#include "kernels/reduce.h"
#include "kernels/threads.h"
#include "private.h"
#include "order.h"

typedef struct {
    bool largest, reverse;
    rk_dtype dtype;
    const void *x;
    void *y;
    int32_t *order;
    size_t n, inner;
    atomic_bool *failed;
} plan;

static size_t rows_a_piece(size_t elements) { return elements < RK_GRAIN ? RK_GRAIN / (elements + 1) + 1 : 1; }

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
        entry inserted = e[i];
        size_t j = i;
        for (; j > 0 && e[j - 1].key > inserted.key; j--) e[j] = e[j - 1];
        e[j] = inserted;
    }
}

// Sorts by one digit from e to other; false when all entries share it and nothing had to change.
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

// Turned keys sort downwards: equal numbers stay in their order, NaN comes first.
static entry entry_at(const plan *p, size_t base, size_t i) {
    uint64_t key = key_at(p, base + i);
    return (entry){p->largest ? ~key : key, (uint32_t)i};
}

static entry *sort_entries(const plan *p, entry *e, entry *other, size_t n) {
    if (n > 64) return radix_sort(e, other, n, p->dtype == RK_F64 ? 64 : 32);
    insertion_sort(e, n);
    return e;
}

static void store_row(const plan *p, size_t row, const entry *sorted, size_t count) {
    size_t from = row * p->n, to = row * count;
    for (size_t i = 0; i < count; i++) {
        size_t source = from + sorted[i].index;
        if (p->y != NULL && p->dtype == RK_F64)
            ((double *)p->y)[to + i] = ((const double *)p->x)[source];
        else if (p->y != NULL)
            ((uint32_t *)p->y)[to + i] = ((const uint32_t *)p->x)[source];
        if (p->order != NULL) p->order[to + i] = (int32_t)sorted[i].index;
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
    for (size_t row = begin; row < end; row++) {
        for (size_t i = 0; i < p->n; i++) scratch[i] = entry_at(p, row * p->n, i);
        store_row(p, row, sort_entries(p, scratch, scratch + p->n, p->n), p->n);
    }
    if (scratch != few) rk_free(scratch, bytes);
}

// A long row is sorted in runs, which threads share; pairs of runs are then merged until one is left.
#define LONG_ROW 131072

typedef struct {
    const plan *p;
    entry *from, *to;
    size_t row, run;
} long_plan;

static void run_piece(void *context, size_t begin, size_t end) {
    const long_plan *l = context;
    for (size_t i = begin; i < end; i++) l->from[i] = entry_at(l->p, l->row * l->p->n, i);
    entry *sorted = sort_entries(l->p, l->from + begin, l->to + begin, end - begin);
    if (sorted != l->from + begin) memcpy(l->from + begin, sorted, (end - begin) * sizeof(entry));
}

static void merge_piece(void *context, size_t begin, size_t end) {
    const long_plan *l = context;
    size_t middle = begin + l->run < end ? begin + l->run : end, left = begin, right = middle;
    for (size_t i = begin; i < end; i++) {
        bool takes_left = left < middle && (right == end || l->from[left].key <= l->from[right].key);
        l->to[i] = l->from[takes_left ? left++ : right++];
    }
}

static bool sort_long_rows(const plan *p, size_t rows) {
    size_t bytes = 2 * p->n * sizeof(entry);
    entry *scratch = rk_alloc(bytes);
    if (scratch == NULL) return false;
    for (size_t row = 0; row < rows; row++) {
        long_plan l = {p, scratch, scratch + p->n, row, LONG_ROW / 2};
        rk_parallel_for(p->n, l.run, run_piece, &l);
        for (; l.run < p->n; l.run *= 2) {
            rk_parallel_for(p->n, 2 * l.run, merge_piece, &l);
            entry *swap = l.from;
            l.from = l.to, l.to = swap;
        }
        store_row(p, row, l.from, p->n);
    }
    rk_free(scratch, bytes);
    return true;
}

bool rk_sort_rows(bool descending, rk_dtype dtype, const void *x, void *y, int32_t *order, size_t rows, size_t n) {
    atomic_bool failed = false;
    plan p = {.largest = descending, .dtype = dtype, .x = x, .y = y, .order = order, .n = n, .failed = &failed};
    if (n >= LONG_ROW) return sort_long_rows(&p, rows);
    if (n > 0) rk_parallel_for(rows, rows_a_piece(16 * n), sort_piece, &p);
    return !failed;
}

// MARK: - The first few in order

static bool comes_before(entry a, entry b) { return a.key < b.key || (a.key == b.key && a.index < b.index); }

// Sinks the entry at the top of a heap whose top comes last of all.
static void sink(entry *heap, size_t count) {
    entry sinking = heap[0];
    size_t at = 0;
    for (size_t child = 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && comes_before(heap[child], heap[child + 1])) child++;
        if (!comes_before(sinking, heap[child])) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = sinking;
}

// Keeps the first `count` entries of a row in a heap, then takes it apart from the last to the first.
static void top_row(const plan *p, size_t row, entry *heap, size_t count) {
    size_t held = 0, base = row * p->n;
    for (; held < count; held++) {
        entry e = entry_at(p, base, held);
        size_t at = held;
        for (; at > 0 && comes_before(heap[(at - 1) / 2], e); at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
        heap[at] = e;
    }
    for (size_t i = count; i < p->n; i++) {
        entry e = entry_at(p, base, i);
        if (!comes_before(e, heap[0])) continue;
        heap[0] = e;
        sink(heap, count);
    }
    while (held > 1) {
        entry last = heap[0];
        heap[0] = heap[--held];
        sink(heap, held);
        heap[held] = last;
    }
    store_row(p, row, heap, count);
}

static void top_piece(void *context, size_t begin, size_t end) {
    const plan *p = context;
    size_t bytes = p->inner * sizeof(entry);
    entry *heap = rk_alloc(bytes);
    if (heap == NULL) {
        atomic_store(p->failed, true);
        return;
    }
    for (size_t row = begin; row < end; row++) top_row(p, row, heap, p->inner);
    rk_free(heap, bytes);
}

bool rk_top_rows(bool largest, rk_dtype dtype, const void *x, int32_t *order, size_t rows, size_t n, size_t count) {
    atomic_bool failed = false;
    plan p = {.largest = largest, .dtype = dtype, .x = x, .order = order, .n = n, .inner = count, .failed = &failed};
    if (count > 0) rk_parallel_for(rows, rows_a_piece(4 * n), top_piece, &p);
    return !failed;
}

// MARK: - Indices from 1

typedef struct {
    int32_t *order, *whole;
    size_t count, n;
} indices_plan;

static void indices_piece(void *context, size_t begin, size_t end) {
    const indices_plan *p = context;
    for (size_t i = begin; i < end; i++) {
        p->order[i] += 1;
        p->whole[i] = (int32_t)(i / p->count * p->n) + p->order[i];
    }
}

void rk_indices_from_one(int32_t *order, int32_t *whole, size_t rows, size_t count, size_t n) {
    rk_parallel_for(rows * count, RK_GRAIN, indices_piece, &(indices_plan){order, whole, count, n});
}

#define EACH_NONZERO(type, body) \
    for (size_t i = 0; i < count; i++) \
        if (((const type *)x)[i] != 0) body

#define FOR_TYPES(body) \
    switch (dtype) { \
    case RK_F32: EACH_NONZERO(float, body) break; \
    case RK_F64: EACH_NONZERO(double, body) break; \
    case RK_I32: EACH_NONZERO(int32_t, body) break; \
    }

size_t rk_count_nonzero(rk_dtype dtype, const void *x, size_t count) {
    size_t found = 0;
    FOR_TYPES(found++;)
    return found;
}

void rk_nonzero(rk_dtype dtype, const void *x, int rank, const size_t *shape, int32_t *indices) {
    size_t count = 1;
    for (int d = 0; d < rank; d++) count *= shape[d];
    FOR_TYPES({
        size_t left = i;
        for (int d = rank - 1; d >= 0; left /= shape[d--]) indices[d] = (int32_t)(left % shape[d]) + 1;
        indices += rank;
    })
}

#define IS_MASK(type) \
    for (size_t i = 0; i < count; i++) others += ((const type *)x)[i] != 0 && ((const type *)x)[i] != 1;

bool rk_is_mask(rk_dtype dtype, const void *x, size_t count) {
    size_t others = 0;
    switch (dtype) {
    case RK_F32: IS_MASK(float) break;
    case RK_F64: IS_MASK(double) break;
    case RK_I32: IS_MASK(int32_t) break;
    }
    return others == 0;
}
