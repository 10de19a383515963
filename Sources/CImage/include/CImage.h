#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Pictures by libpng, libjpeg and libwebp. The errors of the first two jump: the frames they may unwind are all in
// png.c and jpeg.c.

/// Pixels row by row without gaps: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA samples of 8 or 16 bits (native order).
typedef struct {
    uint32_t width, height;
    uint32_t channels, bits;
    /// How EXIF says that the picture is to be shown, 1 to 8.
    uint32_t orientation;
    /// Bytes that decoding takes beside the pixels.
    uint64_t work;
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

// MARK: - JPEG

typedef struct ci_jpeg ci_jpeg;

/// Begins to read a JPEG, baseline or progressive, of `size` bytes. In `form` is what ci_jpeg_read gives: grey, or RGB
/// of three components or four inks. Memory for the pixels has not been taken. Returns NULL with the reason in
/// `message`.
ci_jpeg *ci_jpeg_open(ci_stream stream, size_t size, ci_form *form, char message[CI_MESSAGE]);

/// Reads all pixels as they are stored, not turned. Damaged data are an error, even where libjpeg would go on.
bool ci_jpeg_read(ci_jpeg *picture, uint8_t *samples, char message[CI_MESSAGE]);

/// Ends the work. NULL is allowed.
void ci_jpeg_close(ci_jpeg *picture);

// MARK: - WebP

/// Reads the header of a WebP out of its first bytes. `whole` is false where more of the file is needed to know the
/// form.
bool ci_webp_header(const uint8_t *bytes, size_t size, ci_form *form, bool *whole, char message[CI_MESSAGE]);

/// Reads all pixels of a whole file in memory, in the form of its header.
bool ci_webp_read(const uint8_t *bytes, size_t size, const ci_form *form, uint8_t *samples, char message[CI_MESSAGE]);

// MARK: - EXIF

/// The orientation, 1 to 8, that EXIF's bytes name; 1 where they name none.
int ci_orientation(const uint8_t *exif, size_t size);

// MARK: - Resizing

typedef enum { CI_BOX, CI_BILINEAR, CI_BICUBIC, CI_LANCZOS } ci_filter;

typedef struct {
    size_t width, height;
} ci_size;

/// Resizes interleaved samples to another size of one pixel or more a side. Returns false when memory runs out.
bool ci_resize_bytes(const uint8_t *in, ci_size from, uint8_t *out, ci_size to, size_t channels, ci_filter filter);
bool ci_resize_floats(const float *in, ci_size from, float *out, ci_size to, size_t channels, ci_filter filter);

/// Where a sample of a resized picture lies: among the corners of the pixels, as TensorFlow 1 has it, or their centres,
/// as PyTorch has it, in both cases between the two nearest of a row and a column; or under PIL's bicubic filter.
typedef enum { CI_CORNERS, CI_CENTRES, CI_PIL_BICUBIC } ci_sampling;

/// Resizes `count` pictures of bytes, one behind the other, to floats from 0 to 255, where what the bicubic filter
/// overshoots is cut off, on the threads of the kernels. Returns false when memory runs out.
bool ci_resize_pictures(
    const uint8_t *in, size_t count, ci_size from, float *out, ci_size to, size_t channels, ci_sampling sampling);
