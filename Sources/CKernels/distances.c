// Squared distances between all samples of two sets, in float64.
#include "kernels/distances.h"

#include <string.h>

#include "private.h"
#include "kernels/threads.h"

/// Two sets of samples, and where their distances go.
typedef struct {
    size_t m, size;
    const double *x, *y;
    double *distance;
} plan;

#define RK_BODY "distances.inc"
#include "simd/levels.h"

#define GRAIN 48

static void rows_piece(void *context, size_t begin, size_t end) { RK_DISPATCH(rows)(context, begin, end); }

void rk_squared_distances(size_t n, size_t m, size_t size, const double *x, const double *y, double *distance) {
    if (size == 0) memset(distance, 0, n * m * sizeof *distance);
    rk_parallel_for(n, GRAIN, rows_piece, &(plan){m, size, x, y, distance});
}
