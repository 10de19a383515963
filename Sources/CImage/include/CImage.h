#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// PNG by libpng, whose errors jump: the frames they may unwind are all in png.c.

/// Pixels row by row without gaps: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA samples of 8 or 16 bits (native order).
typedef struct {
    uint32_t width, height;
    uint32_t channels, bits;
} ci_form;

/// Where the bytes of a file come from, or go to. `move` moves all of them or returns false, which ends the work.
typedef struct {
    void *context;
    bool (*move)(void *context, uint8_t *bytes, size_t count);
} ci_stream;

typedef struct {
    const char *key, *text;
} ci_text;

enum { CI_MESSAGE = 160 };

/// A picture that is being read or written.
typedef struct ci_png ci_png;

/// Begins to read a PNG of any colour type and depth, of `size` bytes. In `form` is what ci_png_read gives: palettes
/// become RGB, 1 to 4 bits 8, transparency alpha. Memory for the pixels has not been taken, nor for texts, profiles and
/// whatever else stands beside them, which is passed over. Returns NULL with the reason in `message`.
ci_png *ci_png_open(ci_stream stream, size_t size, ci_form *form, char message[CI_MESSAGE]);

/// Reads all pixels as they are stored, without gamma. Returns false with the reason in `message`.
bool ci_png_read(ci_png *picture, uint8_t *samples, char message[CI_MESSAGE]);

/// Begins to write a PNG of 8 bits with texts. Returns NULL with the reason in `message`.
ci_png *ci_png_create(
    ci_stream stream, const ci_form *form, const ci_text *texts, size_t text_count, char message[CI_MESSAGE]);

/// Writes the next row. Returns false with the reason in `message`.
bool ci_png_write_row(ci_png *picture, const uint8_t *row, char message[CI_MESSAGE]);

/// Writes what stands behind the last row. Returns false with the reason in `message`.
bool ci_png_finish(ci_png *picture, char message[CI_MESSAGE]);

/// Ends the work, whether it was done or not. NULL is allowed.
void ci_png_close(ci_png *picture);
