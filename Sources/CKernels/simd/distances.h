// Blocks of ROWS samples of x by a panel of samples of y, whose sums stay in registers over DEPTH coordinates. Panels are
// packed: rows of y lie a power of two apart too often for the first cache.
typedef double RK_LEVEL(vector) __attribute__((vector_size(RK_VECTOR_BYTES), may_alias));
#define VECTOR RK_LEVEL(vector)
#define LANES (RK_VECTOR_BYTES / 8)
#define PANEL (2 * LANES)
#define ROWS (RK_VECTOR_BYTES == 64 ? 8 : 4)
#define DEPTH 256

/// distance = (or +=, behind the first coordinates) the distances of `rows` samples to the first `columns` of a panel.
/// `rows` is a constant wherever this is inlined.
RK_INLINE void RK_LEVEL(block)(
    size_t rows, size_t depth, const plan *p, const double *x, const VECTOR *panel, bool is_first, size_t columns,
    double *distance) {
    VECTOR sum[ROWS][2];
#pragma clang loop unroll(full)
    for (size_t i = 0; i < rows; i++) sum[i][0] = sum[i][1] = (VECTOR){0};
#pragma clang loop unroll(disable)
    for (size_t k = 0; k < depth; k++, panel += 2) {
        VECTOR y0 = panel[0], y1 = panel[1];
#pragma clang loop unroll(full)
        for (size_t i = 0; i < rows; i++) {
            VECTOR d0 = x[i * p->size + k] - y0, d1 = x[i * p->size + k] - y1;
            sum[i][0] += d0 * d0;
            sum[i][1] += d1 * d1;
        }
    }
    for (size_t i = 0; i < rows; i++, distance += p->m) {
        const double *found = (const double *)sum[i];
        for (size_t j = 0; j < columns; j++) distance[j] = is_first ? found[j] : distance[j] + found[j];
    }
}

/// Coordinates [first, first + depth) of the samples of y from number j on, coordinate by coordinate; zeros behind the last.
static void RK_LEVEL(pack)(const plan *p, size_t j, size_t first, size_t depth, double *panel) {
    for (size_t l = 0; l < PANEL; l++) {
        const double *y = p->y + (j + l) * p->size + first;
        for (size_t k = 0; k < depth; k++) panel[k * PANEL + l] = j + l < p->m ? y[k] : 0;
    }
}

static void RK_LEVEL(rows)(const plan *p, size_t begin, size_t end) {
    VECTOR panel[2 * DEPTH];
    for (size_t first = 0; first < p->size; first += DEPTH) {
        size_t depth = rk_min(DEPTH, p->size - first);
        for (size_t j = 0; j < p->m; j += PANEL) {
            size_t columns = rk_min(PANEL, p->m - j), i = begin;
            RK_LEVEL(pack)(p, j, first, depth, (double *)panel);
            for (; i + ROWS <= end; i += ROWS)
                RK_LEVEL(block)
                (ROWS, depth, p, p->x + i * p->size + first, panel, first == 0, columns, p->distance + i * p->m + j);
            for (; i < end; i++)
                RK_LEVEL(block)
                (1, depth, p, p->x + i * p->size + first, panel, first == 0, columns, p->distance + i * p->m + j);
        }
    }
}

#undef VECTOR
#undef LANES
#undef PANEL
#undef ROWS
#undef DEPTH
