// float32 reductions. Sums run in float64, in LANES chains side by side, so that neither their order nor their error
// depends on the vector level.
#define LANES 32
#define FOR_LANES _Pragma("clang loop vectorize(assume_safety)") for (size_t l = 0; l < LANES; l++)

// MARK: - A run of adjacent elements

// Adds the lanes in halves.
static double RK_LEVEL(fold_sum)(double *lane) {
    for (size_t half = LANES / 2; half > 0; half /= 2)
        for (size_t l = 0; l < half; l++) lane[l] += lane[l + half];
    return lane[0];
}

static float RK_LEVEL(fold_largest)(float *lane) {
    for (size_t l = 1; l < LANES; l++) lane[0] = larger(lane[0], lane[l]);
    return lane[0];
}

static double RK_LEVEL(sum_run)(const float *x, size_t n) {
    double lane[LANES] = {0}, rest = 0.0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) FOR_LANES lane[l] += (double)x[i + l];
    for (; i < n; i++) rest += (double)x[i];
    return n < LANES ? rest : RK_LEVEL(fold_sum)(lane) + rest;
}

static double RK_LEVEL(sum_squares_run)(const float *x, size_t n) {
    double lane[LANES] = {0}, rest = 0.0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) FOR_LANES lane[l] += (double)x[i + l] * (double)x[i + l];
    for (; i < n; i++) rest += (double)x[i] * (double)x[i];
    return n < LANES ? rest : RK_LEVEL(fold_sum)(lane) + rest;
}

static float RK_LEVEL(largest_run)(const float *x, size_t n) {
    float lane[LANES], rest = -INFINITY;
    size_t i = 0;
    FOR_LANES lane[l] = -INFINITY;
    for (; i + LANES <= n; i += LANES) FOR_LANES lane[l] = larger(lane[l], x[i + l]);
    for (; i < n; i++) rest = larger(rest, x[i]);
    return larger(n < LANES ? rest : RK_LEVEL(fold_largest)(lane), rest);
}

static float RK_LEVEL(smallest_run)(const float *x, size_t n) {
    float lane[LANES], rest = -INFINITY;
    size_t i = 0;
    FOR_LANES lane[l] = -INFINITY;
    for (; i + LANES <= n; i += LANES) FOR_LANES lane[l] = larger(lane[l], -x[i + l]);
    for (; i < n; i++) rest = larger(rest, -x[i]);
    return -larger(n < LANES ? rest : RK_LEVEL(fold_largest)(lane), rest);
}

static void RK_LEVEL(reduce_rows)(rk_reduce_op op, const float *x, float *y, size_t rows, size_t n) {
    for (size_t r = 0; r < rows; r++, x += n)
        y[r] = op == RK_REDUCE_SUM ? (float)RK_LEVEL(sum_run)(x, n)
            : op == RK_REDUCE_MAX  ? RK_LEVEL(largest_run)(x, n)
                                   : RK_LEVEL(smallest_run)(x, n);
}

// The first element equal to the extreme `value` (or the first NaN): blocks are searched without branches first.
static size_t RK_LEVEL(find_run)(const float *x, float value, size_t n) {
    for (size_t begin = 0; begin < n; begin += 256) {
        size_t end = n - begin < 256 ? n : begin + 256;
        unsigned found = 0;
        for (size_t i = begin; i < end; i++) found |= (x[i] == value) | (x[i] != x[i]);
        for (size_t i = begin; found && i < end; i++)
            if (x[i] == value || x[i] != x[i]) return i;
    }
    return 0;
}

static void RK_LEVEL(arg_rows)(bool largest, const float *x, int32_t *y, size_t rows, size_t n) {
    for (size_t r = 0; r < rows; r++, x += n) {
        float value = largest ? RK_LEVEL(largest_run)(x, n) : RK_LEVEL(smallest_run)(x, n);
        y[r] = (int32_t)RK_LEVEL(find_run)(x, value, n);
    }
}

static size_t RK_LEVEL(nonfinite_run)(const float *x, size_t n) {
    size_t total = 0;
    for (size_t begin = 0; begin < n; begin += 4096) {
        size_t end = n - begin < 4096 ? n : begin + 4096;
        unsigned count = 0;
        for (size_t i = begin; i < end; i++) count += !(fabsf(x[i]) < INFINITY);
        total += count;
    }
    return total;
}

// MARK: - Columns

// total[i] += the sum over j < rows of x[j * step + i] for i < width, four rows at a time.
static void RK_LEVEL(sum_columns)(const float *x, size_t rows, size_t step, size_t width, double *total) {
    size_t j = 0;
    for (; j + 4 <= rows; j += 4, x += 4 * step) {
        const float *a = x, *b = x + step, *c = b + step, *d = c + step;
        _Pragma("clang loop vectorize(assume_safety)") for (size_t i = 0; i < width; i++)
            total[i] += ((double)a[i] + (double)b[i]) + ((double)c[i] + (double)d[i]);
    }
    for (; j < rows; j++, x += step)
        _Pragma("clang loop vectorize(assume_safety)") for (size_t i = 0; i < width; i++) total[i] += (double)x[i];
}

// extreme[i] = the largest of extreme[i] and sign * x[j * step + i].
static void RK_LEVEL(largest_columns)(
    const float *x, size_t rows, size_t step, size_t width, float sign, float *extreme) {
    for (size_t j = 0; j < rows; j++, x += step)
        _Pragma("clang loop vectorize(assume_safety)") for (size_t i = 0; i < width; i++) extreme[i] =
            larger(extreme[i], sign * x[i]);
}

#undef LANES
#undef FOR_LANES
