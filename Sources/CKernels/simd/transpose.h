// Transposes by squares of four, which every vector level does well.
#pragma once

#include <stddef.h>

typedef float rk_quad __attribute__((vector_size(16), aligned(4), may_alias));

/// out [4, 4] = x [4, 4] transposed.
static inline __attribute__((always_inline)) void rk_transpose_quad(
    const float *x, size_t row, float *out, size_t out_row) {
    rk_quad a = *(const rk_quad *)x, b = *(const rk_quad *)(x + row);
    rk_quad c = *(const rk_quad *)(x + 2 * row), d = *(const rk_quad *)(x + 3 * row);
    rk_quad ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
    rk_quad ab2 = __builtin_shufflevector(a, b, 2, 6, 3, 7), cd2 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    *(rk_quad *)out = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
    *(rk_quad *)(out + out_row) = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
    *(rk_quad *)(out + 2 * out_row) = __builtin_shufflevector(ab2, cd2, 0, 1, 4, 5);
    *(rk_quad *)(out + 3 * out_row) = __builtin_shufflevector(ab2, cd2, 2, 3, 6, 7);
}

/// out [columns, rows] = x [rows, columns] transposed, their rows `row` and `out_row` apart.
static inline __attribute__((always_inline)) void rk_transpose(
    size_t rows, size_t columns, const float *x, size_t row, float *out, size_t out_row) {
    size_t i = 0;
    for (; i + 4 <= rows; i += 4) {
        size_t j = 0;
        for (; j + 4 <= columns; j += 4) rk_transpose_quad(x + i * row + j, row, out + j * out_row + i, out_row);
        for (; j < columns; j++)
            for (size_t l = 0; l < 4; l++) out[j * out_row + i + l] = x[(i + l) * row + j];
    }
    for (; i < rows; i++)
        for (size_t j = 0; j < columns; j++) out[j * out_row + i] = x[i * row + j];
}
