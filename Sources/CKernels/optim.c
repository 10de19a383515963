// Optimizer steps and running averages, in place.
#include "kernels/optim.h"
#include "kernels/threads.h"
#include "private.h"

#include <math.h>

typedef struct {
    float rest1, beta2, rest2, eps, keep, step, rms_scale, grad_scale;
} adamw_numbers;

typedef struct {
    float lr, momentum, weight_decay, grad_scale;
    bool nesterov;
} sgd_numbers;

#define RK_BODY "optim.inc"
#include "simd/levels.h"

typedef struct {
    const void *numbers;
    float *p, *m, *v;
    const float *g;
} plan;

static void adamw_piece(void *context, size_t begin, size_t end) {
    const plan *l = context;
    RK_DISPATCH(adamw)(l->numbers, l->p + begin, l->g + begin, l->m + begin, l->v + begin, end - begin);
}

// The numbers are made in float64: 1 - beta2 and the corrections lose digits in float32.
void rk_adamw(const rk_adamw_settings *s, float *p, const float *g, float *m, float *v, size_t count) {
    adamw_numbers numbers = {
        .rest1 = (float)(1.0 - s->beta1),
        .beta2 = (float)s->beta2,
        .rest2 = (float)(1.0 - s->beta2),
        .eps = (float)s->eps,
        .keep = (float)(1.0 - s->lr * s->weight_decay),
        .step = (float)(s->lr / s->correction1),
        .rms_scale = (float)(1.0 / sqrt(s->correction2)),
        .grad_scale = (float)s->grad_scale,
    };
    rk_parallel_for(count, RK_GRAIN, adamw_piece, &(plan){.numbers = &numbers, .p = p, .g = g, .m = m, .v = v});
}

static void sgd_piece(void *context, size_t begin, size_t end) {
    const plan *l = context;
    if (l->m == NULL)
        RK_DISPATCH(sgd_plain)(l->numbers, l->p + begin, l->g + begin, end - begin);
    else
        RK_DISPATCH(sgd)(l->numbers, l->p + begin, l->g + begin, l->m + begin, end - begin);
}

void rk_sgd(const rk_sgd_settings *s, float *p, const float *g, float *buffer, size_t count) {
    sgd_numbers numbers = {
        .lr = (float)s->lr,
        .momentum = (float)s->momentum,
        .weight_decay = (float)s->weight_decay,
        .grad_scale = (float)s->grad_scale,
        .nesterov = s->nesterov,
    };
    rk_parallel_for(count, RK_GRAIN, sgd_piece, &(plan){.numbers = &numbers, .p = p, .g = g, .m = buffer});
}

typedef struct {
    float weight;
    const float *p;
    float *average;
} lerp_plan;

static void lerp_piece(void *context, size_t begin, size_t end) {
    const lerp_plan *l = context;
    RK_DISPATCH(lerp)(l->weight, l->p + begin, l->average + begin, end - begin);
}

void rk_lerp(double weight, const float *p, float *average, size_t count) {
    rk_parallel_for(count, RK_GRAIN, lerp_piece, &(lerp_plan){(float)weight, p, average});
}
