#include "CImage.h"

#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUFFER = 1 << 16 };

// On the heap, so that it lives across a jump.
struct ci_png {
    png_structp png;
    png_infop info;
    ci_stream stream;
    bool writes;
    // Bytes of the file that have not been taken from the stream, and what was taken but not given to libpng.
    size_t left, begin, end;
    uint8_t *buffer;
    size_t stride;
    int passes;
    uint32_t height;
    // The last warning: where a header is wrong, libpng warns of what is wrong and then fails in general terms.
    char warning[CI_MESSAGE];
    char *message;
};

static void fail(png_structp png, png_const_charp reason) {
    ci_png *picture = png_get_error_ptr(png);
    if (picture->warning[0] && !strcmp(reason, "Invalid IHDR data")) reason = picture->warning;
    snprintf(picture->message, CI_MESSAGE, "%s", reason);
    png_longjmp(png, 1);
}

static void note(png_structp png, png_const_charp reason) {
    // libpng warns, and takes the memory all the same.
    if (strstr(reason, "chunk data is too large")) fail(png, reason);
    ci_png *picture = png_get_error_ptr(png);
    snprintf(picture->warning, CI_MESSAGE, "%s", reason);
}

static void take(png_structp png, png_bytep target, size_t count) {
    ci_png *picture = png_get_io_ptr(png);
    while (count > 0) {
        if (picture->begin == picture->end) {
            size_t next = picture->left < BUFFER ? picture->left : BUFFER;
            if (next == 0) png_error(png, "the file ends too early");
            if (!picture->stream.move(picture->stream.context, picture->buffer, next))
                png_error(png, "it cannot be read");
            picture->left -= next;
            picture->begin = 0;
            picture->end = next;
        }
        size_t some = picture->end - picture->begin;
        if (some > count) some = count;
        memcpy(target, picture->buffer + picture->begin, some);
        picture->begin += some;
        target += some;
        count -= some;
    }
}

static void give(png_structp png, png_bytep bytes, size_t count) {
    ci_png *picture = png_get_io_ptr(png);
    if (!picture->stream.move(picture->stream.context, bytes, count)) png_error(png, "it cannot be written");
}

static void flush(png_structp png) { (void)png; }

static ci_png *begin(ci_stream stream, bool writes, char *message) {
    snprintf(message, CI_MESSAGE, "out of memory");
    ci_png *picture = calloc(1, sizeof *picture);
    if (!picture) return NULL;
    *picture = (ci_png){.stream = stream, .writes = writes, .message = message};
    picture->buffer = writes ? NULL : malloc(BUFFER);
    picture->png = writes ? png_create_write_struct(PNG_LIBPNG_VER_STRING, picture, fail, note)
                          : png_create_read_struct(PNG_LIBPNG_VER_STRING, picture, fail, note);
    picture->info = picture->png ? png_create_info_struct(picture->png) : NULL;
    if (picture->info && (writes || picture->buffer)) {
        // The caller bounds sides by the memory that they take; libpng's own bound is a million.
        png_set_user_limits(picture->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
        return picture;
    }
    ci_png_close(picture);
    return NULL;
}

// MARK: - Reading

static bool read_header(ci_png *picture, size_t size, ci_form *form) {
    png_structp png = picture->png;
    if (setjmp(png_jmpbuf(png))) return false;
    png_set_read_fn(png, picture, take);
    // Nothing beside the pixels and their orientation is kept or unpacked, whatever length it claims.
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_AS_DEFAULT, (png_const_bytep) "eXIf", 1);
    // libpng takes memory for a chunk as long as it claims to be. No chunk is longer than the file.
    png_set_chunk_malloc_max(png, size);
    png_read_info(png, picture->info);
    picture->height = png_get_image_height(png, picture->info);
    // Deflate makes at most 1032 bytes of one: a header that promises more than the file can hold is not believed.
    if (png_get_rowbytes(png, picture->info) > SIZE_MAX / 16 / picture->height
        || png_get_rowbytes(png, picture->info) * picture->height / 1032 > size)
        png_error(png, "the file is too short for the size in its header");

    int type = png_get_color_type(png, picture->info), depth = png_get_bit_depth(png, picture->info);
    bool has_alpha = type & PNG_COLOR_MASK_ALPHA || png_get_valid(png, picture->info, PNG_INFO_tRNS);
    *form = (ci_form){
        .width = png_get_image_width(png, picture->info),
        .height = picture->height,
        .channels = (type & PNG_COLOR_MASK_COLOR ? 3 : 1) + has_alpha,
        .bits = depth == 16 ? 16 : 8,
        .orientation = 1,
    };
    png_bytep exif = NULL;
    png_uint_32 length = 0;
    if (png_get_eXIf_1(png, picture->info, &length, &exif)) form->orientation = (uint32_t)ci_orientation(exif, length);
    return true;
}

ci_png *ci_png_open(ci_stream stream, size_t size, ci_form *form, char message[CI_MESSAGE]) {
    ci_png *picture = begin(stream, false, message);
    if (!picture) return NULL;
    picture->left = size;
    uint8_t signature[8];
    if (size >= sizeof signature && stream.move(stream.context, picture->buffer, sizeof signature)) {
        memcpy(signature, picture->buffer, sizeof signature);
        picture->left -= sizeof signature;
        if (!png_sig_cmp(signature, 0, sizeof signature)) {
            png_set_sig_bytes(picture->png, sizeof signature);
            if (read_header(picture, size, form)) return picture;
            ci_png_close(picture);
            return NULL;
        }
    }
    snprintf(message, CI_MESSAGE, "not a PNG file");
    ci_png_close(picture);
    return NULL;
}

static bool read_rows(ci_png *picture, uint8_t *samples) {
    png_structp png = picture->png;
    if (setjmp(png_jmpbuf(png))) return false;
    png_set_expand(png);
    if (png_get_bit_depth(png, picture->info) == 16) png_set_swap(png);
    picture->passes = png_set_interlace_handling(png);
    png_read_update_info(png, picture->info);
    picture->stride = png_get_rowbytes(png, picture->info);
    for (int pass = 0; pass < picture->passes; pass++)
        for (uint32_t y = 0; y < picture->height; y++) png_read_row(png, samples + y * picture->stride, NULL);
    png_read_end(png, NULL);
    return true;
}

bool ci_png_read(ci_png *picture, uint8_t *samples, char message[CI_MESSAGE]) {
    picture->message = message;
    return read_rows(picture, samples);
}

// MARK: - Writing

static bool write_header(ci_png *picture, const ci_form *form, const ci_text *texts, size_t text_count) {
    static const int colours[] = {
        PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGB, PNG_COLOR_TYPE_RGB_ALPHA};
    png_structp png = picture->png;
    if (setjmp(png_jmpbuf(png))) return false;
    png_set_write_fn(png, picture, give, flush);
    png_set_IHDR(
        png, picture->info, form->width, form->height, 8, colours[form->channels - 1], PNG_INTERLACE_NONE,
        PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    for (size_t i = 0; i < text_count; i++) {
        bool ascii = true;
        for (const char *c = texts[i].text; *c; c++) ascii = ascii && !(*c & 0x80);
        png_text text = {
            .compression = ascii ? PNG_TEXT_COMPRESSION_NONE : PNG_ITXT_COMPRESSION_NONE,
            .key = (char *)texts[i].key,
            .text = (char *)texts[i].text,
        };
        png_set_text(png, picture->info, &text, 1);
    }
    png_write_info(png, picture->info);
    return true;
}

ci_png *ci_png_create(
    ci_stream stream, const ci_form *form, const ci_text *texts, size_t text_count, char message[CI_MESSAGE]) {
    ci_png *picture = begin(stream, true, message);
    if (!picture || write_header(picture, form, texts, text_count)) return picture;
    ci_png_close(picture);
    return NULL;
}

bool ci_png_write_row(ci_png *picture, const uint8_t *row, char message[CI_MESSAGE]) {
    picture->message = message;
    if (setjmp(png_jmpbuf(picture->png))) return false;
    png_write_row(picture->png, row);
    return true;
}

bool ci_png_finish(ci_png *picture, char message[CI_MESSAGE]) {
    picture->message = message;
    if (setjmp(png_jmpbuf(picture->png))) return false;
    png_write_end(picture->png, NULL);
    return true;
}

void ci_png_close(ci_png *picture) {
    if (!picture) return;
    if (picture->writes)
        png_destroy_write_struct(picture->png ? &picture->png : NULL, picture->info ? &picture->info : NULL);
    else
        png_destroy_read_struct(picture->png ? &picture->png : NULL, picture->info ? &picture->info : NULL, NULL);
    free(picture->buffer);
    free(picture);
}
