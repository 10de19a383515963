#include "CImage.h"

#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// What lives across a jump: in the caller's frame, never in the one that setjmp returns to twice.
typedef struct {
    const uint8_t *bytes;
    size_t count, place;
    uint8_t *output;
    size_t capacity;
    png_bytep *rows;
    char *message;
} work;

static void fail(png_structp png, png_const_charp reason) {
    work *w = png_get_error_ptr(png);
    snprintf(w->message, CI_MESSAGE, "%s", reason);
    png_longjmp(png, 1);
}

static void ignore(png_structp png, png_const_charp reason) {
    (void)png;
    (void)reason;
}

static void take(png_structp png, png_bytep target, size_t count) {
    work *w = png_get_io_ptr(png);
    if (count > w->count - w->place) png_error(png, "the file ends too early");
    memcpy(target, w->bytes + w->place, count);
    w->place += count;
}

static void give(png_structp png, png_bytep bytes, size_t count) {
    work *w = png_get_io_ptr(png);
    if (count > w->capacity - w->count) {
        size_t capacity = 2 * w->capacity + count;
        uint8_t *output = realloc(w->output, capacity);
        if (!output) png_error(png, "out of memory");
        w->output = output;
        w->capacity = capacity;
    }
    memcpy(w->output + w->count, bytes, count);
    w->count += count;
}

static void flush(png_structp png) { (void)png; }

// Rows of `stride` bytes that begin at `pixels`.
static void set_rows(png_structp png, work *w, uint8_t *pixels, size_t height, size_t stride) {
    w->rows = malloc(height * sizeof *w->rows);
    if (!w->rows) png_error(png, "out of memory");
    for (size_t y = 0; y < height; y++) w->rows[y] = pixels + y * stride;
}

static bool decode(png_structp png, png_infop info, work *w, ci_image *image) {
    if (setjmp(png_jmpbuf(png))) return false;
    png_set_read_fn(png, w, take);
    png_read_info(png, info);
    image->width = png_get_image_width(png, info);
    image->height = png_get_image_height(png, info);
    // Deflate makes at most 1032 bytes of one: a header that promises more than the file can hold is not believed.
    if (png_get_rowbytes(png, info) > SIZE_MAX / 16 / image->height
        || png_get_rowbytes(png, info) * image->height / 1032 > w->count)
        png_error(png, "the file is too short for the size in its header");

    png_set_expand(png);
    if (png_get_bit_depth(png, info) == 16) png_set_swap(png);
    png_set_interlace_handling(png);
    png_read_update_info(png, info);
    image->channels = png_get_channels(png, info);
    image->bits = png_get_bit_depth(png, info);
    size_t stride = png_get_rowbytes(png, info);
    image->pixels = malloc(stride * image->height);
    if (!image->pixels) png_error(png, "out of memory");
    set_rows(png, w, image->pixels, image->height, stride);
    png_read_image(png, w->rows);
    png_read_end(png, NULL);
    return true;
}

bool ci_png_read(const uint8_t *bytes, size_t count, ci_image *image, char message[CI_MESSAGE]) {
    work w = {.bytes = bytes, .count = count, .message = message};
    *image = (ci_image){0};
    if (count < 8 || png_sig_cmp(bytes, 0, 8)) {
        snprintf(message, CI_MESSAGE, "not a PNG file");
        return false;
    }
    snprintf(message, CI_MESSAGE, "out of memory");
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &w, fail, ignore);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    bool done = info && decode(png, info, &w, image);
    png_destroy_read_struct(png ? &png : NULL, info ? &info : NULL, NULL);
    free(w.rows);
    if (!done) {
        free(image->pixels);
        image->pixels = NULL;
    }
    return done;
}

static bool encode(png_structp png, png_infop info, work *w, const ci_image *image, const ci_text *texts, size_t text_count) {
    static const int colours[] = {PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGB, PNG_COLOR_TYPE_RGB_ALPHA};
    if (setjmp(png_jmpbuf(png))) return false;
    png_set_write_fn(png, w, give, flush);
    png_set_IHDR(
        png, info, image->width, image->height, 8, colours[image->channels - 1], PNG_INTERLACE_NONE,
        PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    for (size_t i = 0; i < text_count; i++) {
        bool ascii = true;
        for (const char *c = texts[i].text; *c; c++) ascii = ascii && !(*c & 0x80);
        png_text text = {
            .compression = ascii ? PNG_TEXT_COMPRESSION_NONE : PNG_ITXT_COMPRESSION_NONE,
            .key = (char *)texts[i].key,
            .text = (char *)texts[i].text,
        };
        png_set_text(png, info, &text, 1);
    }
    png_write_info(png, info);
    set_rows(png, w, image->pixels, image->height, (size_t)image->width * image->channels);
    png_write_image(png, w->rows);
    png_write_end(png, NULL);
    return true;
}

bool ci_png_write(
    const ci_image *image, const ci_text *texts, size_t text_count, uint8_t **bytes, size_t *count, char message[CI_MESSAGE]) {
    work w = {.message = message};
    snprintf(message, CI_MESSAGE, "out of memory");
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &w, fail, ignore);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    bool done = info && encode(png, info, &w, image, texts, text_count);
    png_destroy_write_struct(png ? &png : NULL, info ? &info : NULL);
    free(w.rows);
    if (!done) {
        free(w.output);
        w.output = NULL;
    }
    *bytes = w.output;
    *count = done ? w.count : 0;
    return done;
}

void ci_free(void *block) { free(block); }
