// Copies between strided arrays, and of rows by index.
#include <string.h>

#include "kernels/elementwise.h"
#include "kernels/threads.h"
#include "private.h"

#define TILE 64
#define STRIP 8

// A block of memory to copy: dimensions from the slowest to the quickest in y, strides in elements.
typedef struct {
    int rank;
    size_t size[RK_MAX_RANK];
    ptrdiff_t x_stride[RK_MAX_RANK], y_stride[RK_MAX_RANK];
    const char *x;
    char *y;
    size_t width;                                    // bytes of an element
    int outer;                                       // dimensions before the plane that one step copies
    size_t row_chunks, column_chunks, rows, columns; // how a plane is cut into items
} plan;

static void swap_dimensions(plan *p, int i, int j) {
    size_t size = p->size[i];
    ptrdiff_t x = p->x_stride[i], y = p->y_stride[i];
    p->size[i] = p->size[j], p->x_stride[i] = p->x_stride[j], p->y_stride[i] = p->y_stride[j];
    p->size[j] = size, p->x_stride[j] = x, p->y_stride[j] = y;
}

// Sorts the dimensions by their stride in y, so that writes are in order; then merges those that run on in both.
static void collapse(plan *p, int rank, const size_t *size, const ptrdiff_t *x_stride, const ptrdiff_t *y_stride) {
    p->rank = 0;
    for (int d = 0; d < rank; d++) {
        if (size[d] == 1) continue;
        int at = p->rank++;
        p->size[at] = size[d], p->x_stride[at] = x_stride[d], p->y_stride[at] = y_stride[d];
        for (; at > 0 && p->y_stride[at - 1] < p->y_stride[at]; at--) swap_dimensions(p, at - 1, at);
    }
    int kept = 0;
    for (int d = 1; d < p->rank; d++) {
        ptrdiff_t n = (ptrdiff_t)p->size[d];
        bool merges = p->x_stride[kept] == p->x_stride[d] * n && p->y_stride[kept] == p->y_stride[d] * n;
        size_t merged = merges ? p->size[kept] * p->size[d] : p->size[d];
        if (!merges) kept++;
        p->size[kept] = merged, p->x_stride[kept] = p->x_stride[d], p->y_stride[kept] = p->y_stride[d];
    }
    if (p->rank > 0) p->rank = kept + 1;
}

// MARK: - Planes: rows x columns, the columns quickest in y

static void copy_runs(
    size_t width, size_t rows, size_t columns, const char *x, ptrdiff_t x_row, char *y, ptrdiff_t y_row) {
    for (size_t r = 0; r < rows; r++, x += x_row, y += y_row) memcpy(y, x, columns * width);
}

#define STRIDED(type) \
    for (size_t r = 0; r < rows; r++, x += x_row, y += y_row) { \
        const type *from = (const type *)x; \
        type *to = (type *)y; \
        if (x_column == 0 && y_column == 1) \
            for (size_t c = 0; c < columns; c++) to[c] = from[0]; \
        else if (x_column == 1 && y_column == 1) \
            for (size_t c = 0; c < columns; c++) to[c] = from[c]; \
        else \
            for (size_t c = 0; c < columns; c++) to[(ptrdiff_t)c * y_column] = from[(ptrdiff_t)c * x_column]; \
    }

// x_row and y_row in bytes, the columns' strides in elements.
static void copy_strided(
    size_t width, size_t rows, size_t columns, const char *x, ptrdiff_t x_row, ptrdiff_t x_column, char *y,
    ptrdiff_t y_row, ptrdiff_t y_column) {
    if (width == 8)
        STRIDED(uint64_t)
    else if (width == 2)
        STRIDED(uint16_t)
    else
        STRIDED(uint32_t)
}

typedef uint32_t four __attribute__((vector_size(16), aligned(4)));

// y[r][c] = x[c][r] for a 4 x 4 block.
static inline void transpose_block(const uint32_t *x, ptrdiff_t x_step, uint32_t *y, ptrdiff_t y_step) {
    four a = *(const four *)x, b = *(const four *)(x + x_step);
    four c = *(const four *)(x + 2 * x_step), d = *(const four *)(x + 3 * x_step);
    four ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
    *(four *)y = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
    *(four *)(y + y_step) = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
    ab = __builtin_shufflevector(a, b, 2, 6, 3, 7), cd = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    *(four *)(y + 2 * y_step) = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
    *(four *)(y + 3 * y_step) = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
}

// y[r y_step + c] = x[c x_step + r]: strips of 8 rows, so that a line of x is read twice at most while the lines of y
// stay within a set of the cache even where steps are powers of two; then what is left over at the edges.
static void transpose_32(
    size_t rows, size_t columns, const uint32_t *x, ptrdiff_t x_step, uint32_t *y, ptrdiff_t y_step) {
    size_t r4 = rows & ~(size_t)3, c4 = columns & ~(size_t)3;
    for (size_t strip = 0; strip < r4; strip += STRIP) {
        size_t end = r4 - strip < STRIP ? r4 : strip + STRIP;
        for (size_t c = 0; c < c4; c += 4)
            for (size_t r = strip; r < end; r += 4)
                transpose_block(x + (ptrdiff_t)c * x_step + r, x_step, y + (ptrdiff_t)r * y_step + c, y_step);
    }
    for (size_t r = 0; r < r4; r += 4)
        for (size_t c = c4; c < columns; c++)
            for (size_t i = r; i < r + 4; i++) y[(ptrdiff_t)i * y_step + c] = x[(ptrdiff_t)c * x_step + i];
    for (size_t r = r4; r < rows; r++)
        for (size_t c = 0; c < columns; c++) y[(ptrdiff_t)r * y_step + c] = x[(ptrdiff_t)c * x_step + r];
}

static void copy_plane(const plan *p, size_t rows, size_t columns, const char *x, char *y) {
    int last = p->rank - 1;
    ptrdiff_t width = (ptrdiff_t)p->width;
    ptrdiff_t x_column = p->x_stride[last], y_column = p->y_stride[last];
    ptrdiff_t x_row = last > 0 ? p->x_stride[last - 1] : 0, y_row = last > 0 ? p->y_stride[last - 1] : 0;
    if (x_column == 1 && y_column == 1 && columns > 16)
        copy_runs(p->width, rows, columns, x, x_row * width, y, y_row * width);
    else if (x_row == 1 && y_column == 1 && width == 4)
        transpose_32(rows, columns, (const uint32_t *)x, x_column, (uint32_t *)y, y_row);
    else
        copy_strided(p->width, rows, columns, x, x_row * width, x_column, y, y_row * width, y_column);
}

// MARK: - The whole

// An item is a part of one plane, rows x columns at most.
static void copy_piece(void *context, size_t begin, size_t end) {
    const plan *p = context;
    int last = p->rank - 1;
    for (size_t item = begin; item < end; item++) {
        size_t column = item % p->column_chunks * p->columns, left = item / p->column_chunks;
        size_t row = left % p->row_chunks * p->rows;
        left /= p->row_chunks;
        ptrdiff_t x = (ptrdiff_t)column * p->x_stride[last], y = (ptrdiff_t)column * p->y_stride[last];
        size_t all_rows = last > 0 ? p->size[last - 1] : 1;
        if (last > 0) x += (ptrdiff_t)row * p->x_stride[last - 1], y += (ptrdiff_t)row * p->y_stride[last - 1];
        for (int d = p->outer - 1; d >= 0; d--) {
            ptrdiff_t index = (ptrdiff_t)(left % p->size[d]);
            left /= p->size[d];
            x += index * p->x_stride[d], y += index * p->y_stride[d];
        }
        size_t rows = all_rows - row, columns = p->size[last] - column;
        copy_plane(
            p, rows < p->rows ? rows : p->rows, columns < p->columns ? columns : p->columns,
            p->x + x * (ptrdiff_t)p->width, p->y + y * (ptrdiff_t)p->width);
    }
}

// Puts the dimension that is adjacent in x next to the one that is adjacent in y: their plane is a transpose.
static bool arrange_transpose(plan *p) {
    int last = p->rank - 1;
    if (last < 1 || p->y_stride[last] != 1 || p->x_stride[last] <= 1) return false;
    for (int d = 0; d < last; d++)
        if (p->x_stride[d] == 1) {
            for (; d < last - 1; d++) swap_dimensions(p, d, d + 1);
            return true;
        }
    return false;
}

void rk_copy_strided(
    rk_dtype dtype, int rank, const size_t *size, const void *x, const ptrdiff_t *x_stride, void *y,
    const ptrdiff_t *y_stride) {
    plan p = {.x = x, .y = y, .width = rk_width(dtype)};
    size_t items = 1;
    for (int d = 0; d < rank; d++) items *= size[d];
    if (items == 0) return;
    collapse(&p, rank, size, x_stride, y_stride);
    if (p.rank == 0) {
        memcpy(y, x, p.width);
        return;
    }
    bool transposes = arrange_transpose(&p);
    int last = p.rank - 1;
    size_t rows = last > 0 ? p.size[last - 1] : 1;
    p.outer = last > 0 ? last - 1 : 0;
    p.columns = transposes ? (rows < TILE ? TILE * TILE / rows : TILE) : RK_GRAIN;
    if (p.columns > p.size[last]) p.columns = p.size[last];
    p.rows = (transposes ? TILE * TILE : RK_GRAIN) / p.columns;
    if (p.rows > rows) p.rows = rows;
    p.row_chunks = (rows - 1) / p.rows + 1, p.column_chunks = (p.size[last] - 1) / p.columns + 1;
    items = p.row_chunks * p.column_chunks;
    for (int d = 0; d < p.outer; d++) items *= p.size[d];
    size_t elements = p.rows * p.columns;
    rk_parallel_for(items, rk_rows_of_piece(elements), copy_piece, &p);
}

// MARK: - Rows by index

typedef struct {
    rk_dtype dtype;
    const char *x;
    char *y;
    const int32_t *index;
    size_t count, width; // width in bytes for gather, in elements for scatter
} rows_plan;

static void gather_piece(void *context, size_t begin, size_t end) {
    const rows_plan *p = context;
    for (size_t i = begin; i < end; i++) memcpy(p->y + i * p->width, p->x + (size_t)p->index[i] * p->width, p->width);
}

void rk_gather_rows(rk_dtype dtype, const void *x, const int32_t *index, void *y, size_t count, size_t width) {
    rows_plan p = {.x = x, .y = y, .index = index, .width = width * rk_width(dtype)};
    if (width > 0) rk_parallel_for(count, rk_rows_of_piece(width), gather_piece, &p);
}

#define SCATTER(type) \
    for (size_t i = 0; i < p->count; i++) { \
        type *to = (type *)p->y + (size_t)p->index[i] * p->width; \
        const type *from = (const type *)p->x + i * p->width; \
        for (size_t j = begin; j < end; j++) to[j] += from[j]; \
    }

// Threads share the columns, so that each sum runs in the order of i.
static void scatter_piece(void *context, size_t begin, size_t end) {
    const rows_plan *p = context;
    switch (p->dtype) {
    case RK_F32: SCATTER(float) break;
    case RK_F64: SCATTER(double) break;
    case RK_I32: SCATTER(uint32_t) break;
    }
}

void rk_scatter_add_rows(rk_dtype dtype, const void *x, const int32_t *index, void *y, size_t count, size_t width) {
    rows_plan p = {.dtype = dtype, .x = x, .y = y, .index = index, .count = count, .width = width};
    if (count > 0) rk_parallel_for(width, count < RK_GRAIN / 64 ? RK_GRAIN / count : 64, scatter_piece, &p);
}

void rk_index_range(const int32_t *index, size_t count, int32_t *lowest, int32_t *highest) {
    int32_t low = count > 0 ? index[0] : 0, high = count > 0 ? index[0] : -1;
    for (size_t i = 0; i < count; i++) {
        low = index[i] < low ? index[i] : low;
        high = index[i] > high ? index[i] : high;
    }
    *lowest = low, *highest = high;
}
