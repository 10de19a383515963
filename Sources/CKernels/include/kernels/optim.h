#pragma once

#include "types.h"

/// One AdamW step in place (Loshchilov and Hutter 2019, with PyTorch's order): p -= lr weight_decay p; m and v updated
/// with the gradient times grad_scale; p -= lr (m / correction1) / (sqrt(v / correction2) + eps).
typedef struct {
    double lr, beta1, beta2, eps, weight_decay, correction1, correction2, grad_scale;
} rk_adamw_settings;

void rk_adamw(const rk_adamw_settings *settings, float *p, const float *g, float *m, float *v, size_t count);

/// One SGD step in place: d = grad_scale g + weight_decay p; buffer = momentum buffer + d; p -= lr buffer
/// (with nesterov: d + momentum buffer). `buffer` may be NULL, for a momentum of 0.
typedef struct {
    double lr, momentum, weight_decay, grad_scale;
    bool nesterov;
} rk_sgd_settings;

void rk_sgd(const rk_sgd_settings *settings, float *p, const float *g, float *buffer, size_t count);

/// average += weight (p - average), in place.
void rk_lerp(double weight, const float *p, float *average, size_t count);
