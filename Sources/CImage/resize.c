// Resizing, separably: rows first, then columns, each sample a weighted sum of the samples under a filter. PIL's
// filters grow as the picture shrinks. Bytes are summed in whole numbers with weights of 22 bits, and rounded to bytes
// between rows and columns, as PIL does; floats are summed in double.
#include "CImage.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/threads.h"

enum { BITS = 22 };

// For each sample of the output: the first sample of the input that it takes, how many, and their weights.
typedef struct {
    size_t most;
    size_t *first, *count;
    double *weights;
    int32_t *whole;
} taps;

static double sinc(double x) { return x == 0 ? 1 : sin(M_PI * x) / (M_PI * x); }

static double weight(ci_filter filter, double x) {
    double size = fabs(x);
    switch (filter) {
    case CI_BOX: return x > -0.5 && x <= 0.5;
    case CI_BILINEAR: return size < 1 ? 1 - size : 0;
    case CI_BICUBIC:
        if (size < 1) return (1.5 * size - 2.5) * size * size + 1;
        return size < 2 ? ((-0.5 * size + 2.5) * size - 4) * size + 2 : 0;
    default: return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0;
    }
}

static double reach(ci_filter filter) {
    static const double reaches[] = {[CI_BOX] = 0.5, [CI_BILINEAR] = 1, [CI_BICUBIC] = 2, [CI_LANCZOS] = 3};
    return reaches[filter];
}

static void end_taps(taps *t) { free(t->first), free(t->count), free(t->weights), free(t->whole); }

static bool take_taps(taps *t, size_t to, size_t most) {
    t->most = most;
    t->first = malloc(to * sizeof *t->first);
    t->count = malloc(to * sizeof *t->count);
    t->weights = calloc(to * most, sizeof *t->weights);
    t->whole = calloc(to * most, sizeof *t->whole);
    return t->first && t->count && t->weights && t->whole;
}

static bool make_taps(taps *t, size_t from, size_t to, ci_filter filter) {
    double scale = (double)from / (double)to, wide = scale < 1 ? 1 : scale, support = reach(filter) * wide;
    if (!take_taps(t, to, (size_t)ceil(support) * 2 + 1)) return false;
    for (size_t i = 0; i < to; i++) {
        double centre = ((double)i + 0.5) * scale, low = centre - support + 0.5, high = centre + support + 0.5, sum = 0;
        size_t begin = low > 0 ? (size_t)low : 0, end = high < (double)from ? (size_t)high : from;
        double *weights = t->weights + i * t->most;
        t->first[i] = begin;
        t->count[i] = end - begin;
        for (size_t j = 0; j < end - begin; j++) {
            weights[j] = weight(filter, ((double)(begin + j) - centre + 0.5) / wide);
            sum += weights[j];
        }
        for (size_t j = 0; j < end - begin; j++) {
            if (sum != 0) weights[j] /= sum;
            t->whole[i * t->most + j] = (int32_t)lround(weights[j] * (1 << BITS));
        }
    }
    return true;
}

// Between the two nearest samples, whose positions TensorFlow 1 counts from their corners, PyTorch from their centres;
// in float32 as both do.
static bool make_linear_taps(taps *t, size_t from, size_t to, bool from_centres) {
    if (!take_taps(t, to, 2)) return false;
    float scale = (float)from / (float)to;
    for (size_t i = 0; i < to; i++) {
        float at = from_centres ? fmaxf(((float)i + 0.5f) * scale - 0.5f, 0) : (float)i * scale;
        size_t low = (size_t)at < from ? (size_t)at : from - 1;
        double part = low + 1 < from ? (double)(at - (float)low) : 0;
        t->first[i] = low;
        t->count[i] = low + 1 < from ? 2 : 1;
        t->weights[2 * i] = 1 - part;
        t->weights[2 * i + 1] = part;
    }
    return true;
}

static uint8_t byte(int64_t sum) {
    sum >>= BITS;
    return sum < 0 ? 0 : sum > 255 ? 255 : (uint8_t)sum;
}

// MARK: - Bytes

static inline void row_of_bytes(const uint8_t *in, uint8_t *out, const taps *t, size_t width, size_t channels) {
    for (size_t x = 0; x < width; x++) {
        const int32_t *weights = t->whole + x * t->most;
        const uint8_t *pixels = in + t->first[x] * channels;
        size_t count = t->count[x];
        for (size_t c = 0; c < channels; c++) {
            int32_t sum = 1 << (BITS - 1);
            for (size_t j = 0; j < count; j++) sum += weights[j] * pixels[j * channels + c];
            out[x * channels + c] = byte(sum);
        }
    }
}

static void columns_of_bytes(const uint8_t *in, uint8_t *out, const taps *t, size_t line, int32_t *sums, size_t y) {
    for (size_t i = 0; i < line; i++) sums[i] = 1 << (BITS - 1);
    for (size_t j = 0; j < t->count[y]; j++) {
        int32_t weight = t->whole[y * t->most + j];
        const uint8_t *row = in + (t->first[y] + j) * line;
        for (size_t i = 0; i < line; i++) sums[i] += weight * row[i];
    }
    for (size_t i = 0; i < line; i++) out[y * line + i] = byte(sums[i]);
}

static void rows_of_bytes(const uint8_t *in, ci_size from, uint8_t *out, size_t width, size_t channels, const taps *t) {
    for (size_t y = 0; y < from.height; y++) {
        const uint8_t *row = in + y * from.width * channels;
        uint8_t *target = out + y * width * channels;
        switch (channels) {
        case 1: row_of_bytes(row, target, t, width, 1); break;
        case 3: row_of_bytes(row, target, t, width, 3); break;
        default: row_of_bytes(row, target, t, width, channels);
        }
    }
}

bool ci_resize_bytes(const uint8_t *in, ci_size from, uint8_t *out, ci_size to, size_t channels, ci_filter filter) {
    size_t line = to.width * channels;
    taps across = {0}, down = {0};
    bool wide = from.width != to.width, high = from.height != to.height;
    uint8_t *between = wide && high ? malloc(from.height * line) : NULL;
    int32_t *sums = high ? malloc(line * sizeof *sums) : NULL;
    bool fits = (!wide || !high || between) && (!high || sums)
                && (!wide || make_taps(&across, from.width, to.width, filter))
                && (!high || make_taps(&down, from.height, to.height, filter));
    if (fits) {
        if (wide) rows_of_bytes(in, from, high ? between : out, to.width, channels, &across);
        for (size_t y = 0; high && y < to.height; y++) columns_of_bytes(wide ? between : in, out, &down, line, sums, y);
        if (!wide && !high) memcpy(out, in, from.height * line);
    }
    end_taps(&across);
    end_taps(&down);
    free(between);
    free(sums);
    return fits;
}

// MARK: - Floats

static inline void row_of_floats(const float *in, float *out, const taps *t, size_t width, size_t channels) {
    for (size_t x = 0; x < width; x++) {
        const double *weights = t->weights + x * t->most;
        const float *pixels = in + t->first[x] * channels;
        for (size_t c = 0; c < channels; c++) {
            double sum = 0;
            for (size_t j = 0; j < t->count[x]; j++) sum += weights[j] * pixels[j * channels + c];
            out[x * channels + c] = (float)sum;
        }
    }
}

static void columns_of_floats(const float *in, float *out, const taps *t, size_t line, double *sums, size_t y) {
    memset(sums, 0, line * sizeof *sums);
    for (size_t j = 0; j < t->count[y]; j++) {
        double weight = t->weights[y * t->most + j];
        const float *row = in + (t->first[y] + j) * line;
        for (size_t i = 0; i < line; i++) sums[i] += weight * row[i];
    }
    for (size_t i = 0; i < line; i++) out[y * line + i] = (float)sums[i];
}

typedef struct {
    ci_size from, to;
    size_t channels;
    taps across, down;
} float_plan;

static void end_plan(float_plan *p) { end_taps(&p->across), end_taps(&p->down); }

// `between` holds from.height rows of the new width, `sums` one row.
static void resize_floats(const float_plan *p, const float *in, float *out, float *between, double *sums) {
    size_t line = p->to.width * p->channels;
    for (size_t y = 0; y < p->from.height; y++) {
        const float *row = in + y * p->from.width * p->channels;
        float *target = between + y * line;
        if (p->channels == 3)
            row_of_floats(row, target, &p->across, p->to.width, 3);
        else
            row_of_floats(row, target, &p->across, p->to.width, p->channels);
    }
    for (size_t y = 0; y < p->to.height; y++) columns_of_floats(between, out, &p->down, line, sums, y);
}

bool ci_resize_floats(const float *in, ci_size from, float *out, ci_size to, size_t channels, ci_filter filter) {
    size_t line = to.width * channels;
    float_plan plan = {from, to, channels, {0}, {0}};
    float *between = malloc(from.height * line * sizeof *between);
    double *sums = malloc(line * sizeof *sums);
    bool fits = between && sums && make_taps(&plan.across, from.width, to.width, filter)
                && make_taps(&plan.down, from.height, to.height, filter);
    if (fits) resize_floats(&plan, in, out, between, sums);
    end_plan(&plan);
    free(between);
    free(sums);
    return fits;
}

// MARK: - Pictures for networks

typedef struct {
    float_plan plan;
    const uint8_t *in;
    float *out;
    bool overshoots;
    atomic_bool failed;
} picture_job;

static void resize_pictures(void *context, size_t begin, size_t end) {
    picture_job *job = context;
    const float_plan *p = &job->plan;
    size_t line = p->to.width * p->channels, size = p->from.height * p->from.width * p->channels;
    float *floats = malloc(size * sizeof *floats), *between = malloc(p->from.height * line * sizeof *between);
    double *sums = malloc(line * sizeof *sums);
    if (!floats || !between || !sums) atomic_store(&job->failed, true);
    for (size_t n = begin; n < end && floats && between && sums; n++) {
        for (size_t i = 0; i < size; i++) floats[i] = job->in[n * size + i];
        float *out = job->out + n * p->to.height * line;
        resize_floats(p, floats, out, between, sums);
        for (size_t i = 0; job->overshoots && i < p->to.height * line; i++) out[i] = fminf(fmaxf(out[i], 0), 255);
    }
    free(floats);
    free(between);
    free(sums);
}

bool ci_resize_pictures(
    const uint8_t *in, size_t count, ci_size from, float *out, ci_size to, size_t channels, ci_sampling sampling) {
    bool bicubic = sampling == CI_PIL_BICUBIC, centres = sampling == CI_CENTRES, fits;
    picture_job job = {.plan = {from, to, channels, {0}, {0}}, .in = in, .out = out, .overshoots = bicubic};
    taps *across = &job.plan.across, *down = &job.plan.down;
    if (bicubic)
        fits =
            make_taps(across, from.width, to.width, CI_BICUBIC) && make_taps(down, from.height, to.height, CI_BICUBIC);
    else
        fits = make_linear_taps(across, from.width, to.width, centres)
               && make_linear_taps(down, from.height, to.height, centres);
    if (fits) rk_parallel_for(count, 1, resize_pictures, &job);
    end_plan(&job.plan);
    return fits && !atomic_load(&job.failed);
}
