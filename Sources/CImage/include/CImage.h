#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// PNG by libpng, whose errors jump: the frames they may unwind are all in png.c.

/// Pixels row by row without gaps: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA samples of 8 or 16 bits (native order).
typedef struct {
    uint32_t width, height;
    uint32_t channels, bits;
    uint8_t *pixels;
} ci_image;

typedef struct {
    const char *key, *text;
} ci_text;

#define CI_MESSAGE 128

/// Reads a PNG of any colour type and depth from memory: palettes become RGB, 1 to 4 bits 8, transparency alpha; samples
/// are given as they are stored, without gamma. image->pixels is then the caller's, to be given to ci_free.
/// Returns false with the reason in `message`.
bool ci_png_read(const uint8_t *bytes, size_t count, ci_image *image, char message[CI_MESSAGE]);

/// Writes 8-bit pixels with texts as a PNG into memory that is then the caller's, to be given to ci_free.
bool ci_png_write(
    const ci_image *image, const ci_text *texts, size_t text_count, uint8_t **bytes, size_t *count, char message[CI_MESSAGE]);

void ci_free(void *block);
