// Matrix products on the tile unit (AMX), for gemm.c.
#pragma once

#include "private.h"

/// Columns of a panel.
enum { RK_AMX_SIDE = 32 };

/// Whether a product of this size is faster there.
bool rk_amx_suits(size_t m, size_t n, size_t k);

/// C = alpha op(A) op(B) + beta C on the calling thread, with B as it is stored or, where `packed` is given, in panels;
/// beta multiplies the row `bias` instead of each row of C, unless it is NULL.
/// False, with C as it was, where B is not packed and there is no memory for that.
bool rk_amx_gemm(
    rk_precision precision, size_t m, size_t n, size_t k, rk_operand a, rk_operand b, const float *packed,
    const float *bias, rk_output out);

/// The floats of a panel of k inner indices.
size_t rk_amx_panel_floats(rk_precision precision, size_t k);

/// Puts op(B), depth x columns, in a panel of k inner indices, from index p on, a multiple of 32.
void rk_amx_pack(rk_precision precision, rk_operand b, size_t depth, size_t columns, float *panel, size_t k, size_t p);

/// The product by vector instructions: in gemm.c.
void rk_vector_gemm(size_t m, size_t n, size_t k, rk_operand a, rk_operand b, rk_output out);
