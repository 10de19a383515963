// Nearest-neighbour upsampling and its adjoint, a sum over squares of pixels.
#include <string.h>

#include "kernels/conv.h"
#include "kernels/threads.h"
#include "private.h"

typedef struct {
    size_t element, w, c, factor;
    double scale;
    const char *x;
    char *y;
} pool_job;

/// Input rows [begin, end): each becomes `factor` equal output rows.
static void upsample_rows(void *context, size_t begin, size_t end) {
    const pool_job *job = context;
    size_t pixel = job->c * job->element, row = job->w * pixel, wide = row * job->factor;
    for (size_t r = begin; r < end; r++) {
        char *first = job->y + r * job->factor * wide, *y = first;
        for (size_t i = 0; i < job->w; i++)
            for (size_t f = 0; f < job->factor; f++, y += pixel) memcpy(y, job->x + r * row + i * pixel, pixel);
        for (size_t f = 1; f < job->factor; f++) memcpy(first + f * wide, first, wide);
    }
}

void rk_upsample_nearest(rk_dtype dtype, const rk_pool_shape *s, const void *x, void *y) {
    if (s->factor == 0) return;
    pool_job job = {dtype == RK_F64 ? 8 : 4, s->w, s->c, s->factor, 1, x, y};
    rk_parallel_for(s->n * s->h, rk_rows_of_piece(s->w * s->c * s->factor), upsample_rows, &job);
}

#define SUM_ROWS(name, type) \
    static void name(void *context, size_t begin, size_t end) { \
        const pool_job *job = context; \
        size_t c = job->c, wide = job->w * job->factor * c; \
        for (size_t r = begin; r < end; r++) \
            for (size_t i = 0; i < job->w; i++) { \
                type *restrict y = (type *)job->y + (r * job->w + i) * c; \
                const type *square = (const type *)job->x + r * job->factor * wide + i * job->factor * c; \
                memset(y, 0, c * sizeof(type)); \
                for (size_t f = 0; f < job->factor * job->factor; f++) { \
                    const type *x = square + f / job->factor * wide + f % job->factor * c; \
                    for (size_t j = 0; j < c; j++) y[j] += x[j]; \
                } \
                for (size_t j = 0; j < c; j++) y[j] *= (type)job->scale; \
            } \
    }

SUM_ROWS(sum_rows_f32, float)
SUM_ROWS(sum_rows_f64, double)

void rk_sum_pool(rk_dtype dtype, const rk_pool_shape *s, double scale, const void *x, void *y) {
    pool_job job = {0, s->w, s->c, s->factor, scale, x, y};
    size_t grain = rk_rows_of_piece(s->w * s->c * s->factor * s->factor);
    rk_parallel_for(s->n * s->h, grain, dtype == RK_F64 ? sum_rows_f64 : sum_rows_f32, &job);
}
