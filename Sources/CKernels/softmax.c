// Softmax and its gradient.
#include "kernels/norm.h"

#include "kernels/threads.h"
#include "private.h"
#include "simd/math.h"
#include "simd/row_sum.h"

#define RK_BODY "softmax.inc"
#include "simd/levels.h"

typedef struct {
    bool logarithm;
    size_t width;
    const float *x, *gy;
    float *y;
} softmax_job;

static void softmax_piece(void *context, size_t begin, size_t end) {
    const softmax_job *job = context;
    size_t at = begin * job->width;
    if (job->gy)
        RK_DISPATCH(softmax_grad)(job->logarithm, end - begin, job->width, job->x + at, job->gy + at, job->y + at);
    else
        RK_DISPATCH(softmax)(job->logarithm, end - begin, job->width, job->x + at, job->y + at);
}

void rk_softmax(rk_dtype dtype, bool logarithm, size_t rows, size_t width, const void *x, void *y) {
    if (dtype == RK_F64) {
        rk_plain_softmax(logarithm, rows, width, x, y);
        return;
    }
    softmax_job job = {logarithm, width, x, NULL, y};
    rk_parallel_for(rows, rk_rows_of_piece(2 * width), softmax_piece, &job);
}

void rk_softmax_grad(
    rk_dtype dtype, bool logarithm, size_t rows, size_t width, const void *y, const void *gy, void *gx) {
    if (dtype == RK_F64) {
        rk_plain_softmax_grad(logarithm, rows, width, y, gy, gx);
        return;
    }
    softmax_job job = {logarithm, width, y, gy, gx};
    rk_parallel_for(rows, rk_rows_of_piece(width), softmax_piece, &job);
}
