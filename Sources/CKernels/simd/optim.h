// One pass over the parameters and their state, float32.
#define LOOP _Pragma("clang loop vectorize(assume_safety)") for (size_t i = 0; i < n; i++)

static void RK_LEVEL(adamw)(const adamw_numbers *s, float *p, const float *g, float *m, float *v, size_t n) {
    // By value: stores through p, m and v must not make the loop read them again.
    adamw_numbers k = *s;
    LOOP {
        float d = k.grad_scale * g[i];
        float first = m[i] + k.rest1 * (d - m[i]), second = k.beta2 * v[i] + k.rest2 * (d * d);
        m[i] = first;
        v[i] = second;
        p[i] = k.keep * p[i] - k.step * first / (sqrtf(second) * k.rms_scale + k.eps);
    }
}

static void RK_LEVEL(sgd)(const sgd_numbers *s, float *p, const float *g, float *buffer, size_t n) {
    sgd_numbers k = *s;
    LOOP {
        float d = k.grad_scale * g[i] + k.weight_decay * p[i];
        float moved = k.momentum * buffer[i] + d;
        buffer[i] = moved;
        p[i] -= k.lr * (k.nesterov ? d + k.momentum * moved : moved);
    }
}

static void RK_LEVEL(sgd_plain)(const sgd_numbers *s, float *p, const float *g, size_t n) {
    sgd_numbers k = *s;
    LOOP p[i] -= k.lr * (k.grad_scale * g[i] + k.weight_decay * p[i]);
}

static void RK_LEVEL(lerp)(float weight, const float *p, float *average, size_t n) {
    LOOP average[i] += weight * (p[i] - average[i]);
}

#undef LOOP
