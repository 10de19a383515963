// Linear sum assignment by shortest augmenting paths (Jonker and Volgenant 1987; Crouse 2016), started from the
// columns' least costs.
#include "kernels/assignment.h"

#include <math.h>

#define RK_BODY "assignment.inc"
#include "simd/levels.h"

void rk_assignment_begin(const rk_assignment *a) {
    for (size_t j = 0; j < a->n; j++) a->row[j] = a->column[j] = -1, a->v[j] = INFINITY;
    for (size_t i = 0; i < a->n; i++) RK_DISPATCH(lower)(a->cost + i * a->n, a->v, a->n);
}

// Grows a tree of shortest paths from a row, by reduced costs, to the nearest column that has no row, which it returns.
// `scanned` gets the columns on the way and `level` their distances, up to *count; *lowest the distance of the last
// one.
static size_t search(const rk_assignment *a, size_t start, size_t *count, double *lowest) {
    for (size_t j = 0; j < a->n; j++) a->distance[j] = INFINITY, a->from[j] = (int32_t)start;
    size_t i = start;
    double shift = 0;
    for (*count = 0;; ++*count) {
        const double *cost = a->cost + i * a->n;
        *lowest = RK_DISPATCH(relax)(cost, a->v, shift, (int32_t)i, a->distance, a->from, a->n);
        size_t j = RK_DISPATCH(nearest)(a->distance, a->row, *lowest, a->n);
        if (a->row[j] < 0) return j;
        a->scanned[*count] = (int32_t)j, a->level[*count] = *lowest;
        a->distance[j] = NAN;
        i = (size_t)a->row[j];
        shift = *lowest - (a->cost[i * a->n + j] - a->v[j]);
    }
}

void rk_assignment_add(const rk_assignment *a, size_t row) {
    size_t count, j;
    double lowest;
    j = search(a, row, &count, &lowest);
    for (size_t k = 0; k < count; k++) a->v[a->scanned[k]] += a->level[k] - lowest;
    // Back along the path: each row leaves its column to the row behind it.
    for (int32_t i, left = (int32_t)j; left >= 0;) {
        i = a->from[left];
        a->row[left] = i;
        int32_t before = a->column[i];
        a->column[i] = left;
        left = before;
    }
}
