// The transforms of Winograd's F(4x4, 3x3), one vector of channels at a time (Lavin and Gray 2016):
// y = A^T [(G w G^T) * (B^T x B)] A for a 6x6 tile of x and a 4x4 tile of y, with the points 0, 3/4, -3/4, 3/2, -3/2 and
// infinity, whose errors are a quarter of those of the usual 0, 1, -1, 2, -2. The 36 elements of a transformed tile lie
// `plane` floats apart. A count of channels that no vector divides ends with a vector that overlaps the one before.

#ifndef RK_POINT_A
#define RK_POINT_A 0.75f
#define RK_POINT_B 1.5f
#define RK_A2 (RK_POINT_A * RK_POINT_A)
#define RK_B2 (RK_POINT_B * RK_POINT_B)
#define RK_A3 (RK_POINT_A * RK_A2)
#define RK_B3 (RK_POINT_B * RK_B2)
#define RK_SCALE_0 (1 / (RK_A2 * RK_B2))
#define RK_SCALE_A (1 / (2 * RK_A2 * (RK_A2 - RK_B2)))
#define RK_SCALE_B (1 / (2 * RK_B2 * (RK_B2 - RK_A2)))
#endif

typedef float RK_LEVEL(vector) __attribute__((vector_size(RK_VECTOR_BYTES), aligned(4), may_alias));
#define VECTOR RK_LEVEL(vector)
#define LANES (RK_VECTOR_BYTES / 4)
#define AT(pointer) (*(VECTOR *)(pointer))
#define FROM(pointer) (*(const VECTOR *)(pointer))
#define EACH_VECTOR(c, channels) \
    for (size_t next_ = 0, c; next_ < (channels) && (c = rk_min(next_, (channels) - LANES), true); next_ += LANES)

/// B^T
RK_INLINE void RK_LEVEL(input_line)(const VECTOR *in, size_t step, VECTOR *out, size_t out_step) {
    VECTOR a = in[0], b = in[step], c = in[2 * step], d = in[3 * step], e = in[4 * step], f = in[5 * step];
    VECTOR even = e - RK_B2 * c, odd = RK_POINT_A * (d - RK_B2 * b);
    VECTOR even2 = e - RK_A2 * c, odd2 = RK_POINT_B * (d - RK_A2 * b);
    out[0] = RK_A2 * RK_B2 * a - (RK_A2 + RK_B2) * c + e;
    out[out_step] = even + odd;
    out[2 * out_step] = even - odd;
    out[3 * out_step] = even2 + odd2;
    out[4 * out_step] = even2 - odd2;
    out[5 * out_step] = RK_A2 * RK_B2 * b - (RK_A2 + RK_B2) * d + f;
}

/// A^T
RK_INLINE void RK_LEVEL(output_line)(const VECTOR *in, size_t step, VECTOR *out, size_t out_step) {
    VECTOR sum = in[step] + in[2 * step], difference = in[step] - in[2 * step];
    VECTOR sum2 = in[3 * step] + in[4 * step], difference2 = in[3 * step] - in[4 * step];
    out[0] = in[0] + sum + sum2;
    out[out_step] = RK_POINT_A * difference + RK_POINT_B * difference2;
    out[2 * out_step] = RK_A2 * sum + RK_B2 * sum2;
    out[3 * out_step] = RK_A3 * difference + RK_B3 * difference2 + in[5 * step];
}

/// A
RK_INLINE void RK_LEVEL(output_grad_line)(const VECTOR *in, size_t step, VECTOR *out, size_t out_step) {
    VECTOR a = in[0], b = in[step], c = in[2 * step], d = in[3 * step];
    VECTOR even = a + RK_A2 * c, odd = RK_POINT_A * b + RK_A3 * d;
    VECTOR even2 = a + RK_B2 * c, odd2 = RK_POINT_B * b + RK_B3 * d;
    out[0] = a;
    out[out_step] = even + odd;
    out[2 * out_step] = even - odd;
    out[3 * out_step] = even2 + odd2;
    out[4 * out_step] = even2 - odd2;
    out[5 * out_step] = d;
}

/// G
RK_INLINE void RK_LEVEL(weight_line)(const VECTOR *in, size_t step, VECTOR *out, size_t out_step) {
    VECTOR a = in[0], b = in[step], c = in[2 * step];
    VECTOR even = RK_SCALE_A * a + RK_SCALE_A * RK_A2 * c, odd = RK_SCALE_A * RK_POINT_A * b;
    VECTOR even2 = RK_SCALE_B * a + RK_SCALE_B * RK_B2 * c, odd2 = RK_SCALE_B * RK_POINT_B * b;
    out[0] = RK_SCALE_0 * a;
    out[out_step] = even + odd;
    out[2 * out_step] = even - odd;
    out[3 * out_step] = even2 + odd2;
    out[4 * out_step] = even2 - odd2;
    out[5 * out_step] = c;
}

/// G^T
RK_INLINE void RK_LEVEL(weight_grad_line)(const VECTOR *in, size_t step, VECTOR *out, size_t out_step) {
    VECTOR sum = in[step] + in[2 * step], difference = in[step] - in[2 * step];
    VECTOR sum2 = in[3 * step] + in[4 * step], difference2 = in[3 * step] - in[4 * step];
    out[0] = RK_SCALE_0 * in[0] + RK_SCALE_A * sum + RK_SCALE_B * sum2;
    out[out_step] = RK_SCALE_A * RK_POINT_A * difference + RK_SCALE_B * RK_POINT_B * difference2;
    out[2 * out_step] = RK_SCALE_A * RK_A2 * sum + RK_SCALE_B * RK_B2 * sum2 + in[5 * step];
}

/// A 6x6 tile, given by its pixels' addresses.
static void RK_LEVEL(input_tile)(const float *const pixels[36], size_t channels, float *out, size_t plane) {
    EACH_VECTOR(c, channels) {
        VECTOR x[36], half[36], done[6];
        for (size_t i = 0; i < 36; i++) x[i] = FROM(pixels[i] + c);
        for (size_t i = 0; i < 6; i++) RK_LEVEL(input_line)(x + i, 6, half + i, 6);
        for (size_t i = 0; i < 6; i++) {
            RK_LEVEL(input_line)(half + 6 * i, 1, done, 1);
            for (size_t j = 0; j < 6; j++) AT(out + (6 * i + j) * plane + c) = done[j];
        }
    }
}

/// The adjoint's other operand: a 4x4 tile of y's gradient.
static void RK_LEVEL(output_grad_tile)(const float *const pixels[16], size_t channels, float *out, size_t plane) {
    EACH_VECTOR(c, channels) {
        VECTOR gy[16], half[24], done[6];
        for (size_t i = 0; i < 16; i++) gy[i] = FROM(pixels[i] + c);
        for (size_t i = 0; i < 4; i++) RK_LEVEL(output_grad_line)(gy + i, 4, half + i, 4);
        for (size_t i = 0; i < 6; i++) {
            RK_LEVEL(output_grad_line)(half + 4 * i, 1, done, 1);
            for (size_t j = 0; j < 6; j++) AT(out + (6 * i + j) * plane + c) = done[j];
        }
    }
}

/// The top left rows x columns of a 4x4 tile of y, whose pixels lie `channels` and whose rows lie `row` floats apart.
static void RK_LEVEL(output_tile)(
    const float *in, size_t plane, size_t channels, const float *bias, size_t rows, size_t columns, float *y,
    size_t row) {
    EACH_VECTOR(c, channels) {
        VECTOR m[36], half[24], done[16], shift = bias ? FROM(bias + c) : (VECTOR){0};
        for (size_t i = 0; i < 36; i++) m[i] = FROM(in + i * plane + c);
        for (size_t i = 0; i < 6; i++) RK_LEVEL(output_line)(m + i, 6, half + i, 6);
        for (size_t i = 0; i < 4; i++) RK_LEVEL(output_line)(half + 6 * i, 1, done + 4 * i, 1);
        if (rows == 4 && columns == 4) {
            for (size_t i = 0; i < 16; i++) AT(y + i / 4 * row + i % 4 * channels + c) = done[i] + shift;
            continue;
        }
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < columns; j++) AT(y + i * row + j * channels + c) = done[4 * i + j] + shift;
    }
}

/// A row of weights, one tap `tap` floats after the other, to a row of each plane; missing columns of the last vector
/// become 0.
static void RK_LEVEL(weight_row)(const float *weight, ptrdiff_t tap, size_t channels, float *out, size_t plane) {
    for (size_t c = 0; c < channels; c += LANES, weight += LANES, out += LANES) {
        VECTOR w[9], half[18], done[6];
        for (ptrdiff_t i = 0; i < 9; i++)
            if (c + LANES <= channels) w[i] = FROM(weight + i * tap);
            else
                for (size_t l = 0; l < LANES; l++) w[i][l] = c + l < channels ? weight[i * tap + (ptrdiff_t)l] : 0;
        for (size_t i = 0; i < 3; i++) RK_LEVEL(weight_line)(w + i, 3, half + i, 3);
        for (size_t i = 0; i < 6; i++) {
            RK_LEVEL(weight_line)(half + 3 * i, 1, done, 1);
            for (size_t j = 0; j < 6; j++) AT(out + (6 * i + j) * plane) = done[j];
        }
    }
}

/// The adjoint of weight_row.
static void RK_LEVEL(weight_grad_row)(const float *in, size_t plane, size_t channels, float *gweight, size_t tap) {
    EACH_VECTOR(c, channels) {
        VECTOR m[36], half[18], done[3];
        for (size_t i = 0; i < 36; i++) m[i] = FROM(in + i * plane + c);
        for (size_t i = 0; i < 6; i++) RK_LEVEL(weight_grad_line)(m + i, 6, half + i, 6);
        for (size_t i = 0; i < 3; i++) {
            RK_LEVEL(weight_grad_line)(half + 6 * i, 1, done, 1);
            for (size_t j = 0; j < 3; j++) AT(gweight + (3 * i + j) * tap + c) = done[j];
        }
    }
}

static void RK_LEVEL(transpose)(size_t rows, size_t columns, const float *x, size_t row, float *out, size_t out_row) {
    rk_transpose(rows, columns, x, row, out, out_row);
}

#undef VECTOR
#undef LANES
#undef AT
#undef FROM
#undef EACH_VECTOR
