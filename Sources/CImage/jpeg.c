#include "CImage.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

enum { FIRST = 1 << 12, BUFFER = 1 << 16 };

// Most scans of a picture, and of a picture whose file has a bit for each block; and blocks that a bit of a file may
// stand for where codes are arithmetic, which have no bound of their own.
enum { MOST_SCANS = 500, MOST_SCANS_OF_BITS = 50, MOST_BLOCKS = 128 };

// On the heap, so that it lives across a jump.
struct ci_jpeg {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    jmp_buf jump;
    ci_stream stream;
    // Bytes of the file that have not been taken from the stream.
    size_t size, left;
    // Blocks of 8 x 8 in all components.
    uint64_t blocks;
    uint8_t *buffer;
    char *message;
};

static void fail(ci_jpeg *picture, const char *reason) {
    snprintf(picture->message, CI_MESSAGE, "%s", reason);
    longjmp(picture->jump, 1);
}

static void give_up(j_common_ptr jpeg) {
    char reason[JMSG_LENGTH_MAX];
    jpeg->err->format_message(jpeg, reason);
    fail(jpeg->client_data, reason);
}

// libjpeg goes on with grey or repeated pixels where data are damaged. That is no picture to learn from.
static void note(j_common_ptr jpeg, int level) {
    if (level >= 0) return;
    switch (jpeg->err->msg_code) {
    case JWRN_ARITH_BAD_CODE:
    case JWRN_BOGUS_PROGRESSION:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_JPEG_EOF:
    case JWRN_MUST_RESYNC: give_up(jpeg);
    }
}

static void say_nothing(j_common_ptr jpeg) { (void)jpeg; }

// A small file may hold very many scans of a large picture, each of which takes the time of the whole.
static void watch(j_common_ptr jpeg) {
    ci_jpeg *picture = jpeg->client_data;
    uint64_t scans = (uint64_t)((j_decompress_ptr)jpeg)->input_scan_number;
    if (scans > MOST_SCANS || scans * picture->blocks / 8 > (uint64_t)picture->size * MOST_SCANS_OF_BITS)
        fail(picture, "it has too many scans for its size");
}

static void begin_source(j_decompress_ptr jpeg) { (void)jpeg; }

static boolean take(j_decompress_ptr jpeg) {
    ci_jpeg *picture = jpeg->client_data;
    size_t next = picture->left == picture->size ? FIRST : BUFFER;
    if (next > picture->left) next = picture->left;
    if (next == 0) fail(picture, "the file ends too early");
    if (!picture->stream.move(picture->stream.context, picture->buffer, next)) fail(picture, "it cannot be read");
    picture->left -= next;
    picture->source.next_input_byte = picture->buffer;
    picture->source.bytes_in_buffer = next;
    return TRUE;
}

static void skip(j_decompress_ptr jpeg, long count) {
    struct jpeg_source_mgr *source = jpeg->src;
    while (count > (long)source->bytes_in_buffer) {
        count -= (long)source->bytes_in_buffer;
        take(jpeg);
    }
    if (count > 0) source->next_input_byte += count, source->bytes_in_buffer -= (size_t)count;
}

static void end_source(j_decompress_ptr jpeg) { (void)jpeg; }

static int orientation(j_decompress_ptr jpeg) {
    for (jpeg_saved_marker_ptr marker = jpeg->marker_list; marker; marker = marker->next)
        if (marker->marker == JPEG_APP0 + 1 && marker->data_length >= 6 && !memcmp(marker->data, "Exif\0", 6))
            return ci_orientation(marker->data, marker->data_length);
    return 1;
}

static bool read_header(ci_jpeg *picture, ci_form *form) {
    j_decompress_ptr jpeg = &picture->jpeg;
    if (setjmp(picture->jump)) return false;
    jpeg_create_decompress(jpeg);
    jpeg->src = &picture->source;
    jpeg->progress = &picture->progress;
    jpeg_save_markers(jpeg, JPEG_APP0 + 1, 0xFFFF);
    jpeg_read_header(jpeg, TRUE);
    bool grey = jpeg->jpeg_color_space == JCS_GRAYSCALE, four = jpeg->num_components == 4;
    if (!grey && !four && jpeg->num_components != 3) fail(picture, "it has neither 1, 3 nor 4 components");
    // Huffman's codes have a bit or more for each block: a header that promises more is not believed.
    uint64_t blocks = 0;
    for (int i = 0; i < jpeg->num_components; i++)
        blocks += (uint64_t)jpeg->comp_info[i].width_in_blocks * jpeg->comp_info[i].height_in_blocks;
    picture->blocks = blocks;
    if (blocks / 8 / (jpeg->arith_code ? MOST_BLOCKS : 1) > picture->size)
        fail(picture, "the file is too short for the size in its header");
    jpeg->out_color_space = grey ? JCS_GRAYSCALE : four ? JCS_CMYK : JCS_RGB;
    uint64_t coefficients = blocks * DCTSIZE2 * sizeof(JCOEF);
    *form = (ci_form){
        .width = jpeg->image_width,
        .height = jpeg->image_height,
        .channels = grey ? 1 : 3,
        .bits = 8,
        .orientation = (uint32_t)orientation(jpeg),
        .work = jpeg_has_multiple_scans(jpeg) ? coefficients : 0,
    };
    return true;
}

ci_jpeg *ci_jpeg_open(ci_stream stream, size_t size, ci_form *form, char message[CI_MESSAGE]) {
    snprintf(message, CI_MESSAGE, "out of memory");
    ci_jpeg *picture = calloc(1, sizeof *picture);
    if (!picture) return NULL;
    picture->stream = stream;
    picture->size = picture->left = size;
    picture->message = message;
    picture->jpeg.err = jpeg_std_error(&picture->errors);
    picture->jpeg.client_data = picture;
    picture->errors.error_exit = give_up;
    picture->errors.emit_message = note;
    picture->errors.output_message = say_nothing;
    picture->progress.progress_monitor = watch;
    picture->source = (struct jpeg_source_mgr){
        .init_source = begin_source,
        .fill_input_buffer = take,
        .skip_input_data = skip,
        .resync_to_restart = jpeg_resync_to_restart,
        .term_source = end_source,
    };
    picture->buffer = malloc(BUFFER);
    if (picture->buffer && read_header(picture, form)) return picture;
    ci_jpeg_close(picture);
    return NULL;
}

static uint8_t product(unsigned a, unsigned b) {
    unsigned sum = a * b + 128;
    return (uint8_t)((sum + (sum >> 8)) >> 8);
}

// Files keep inks inverted, as Adobe's programs write them: 255 is no ink.
static void mix(const uint8_t *inks, uint8_t *pixels, size_t width) {
    for (size_t x = 0; x < width; x++, inks += 4, pixels += 3)
        for (int c = 0; c < 3; c++) pixels[c] = (uint8_t)(inks[3] - product(255u - inks[c], inks[3]));
}

static bool read_rows(ci_jpeg *picture, uint8_t *samples) {
    j_decompress_ptr jpeg = &picture->jpeg;
    if (setjmp(picture->jump)) return false;
    jpeg_start_decompress(jpeg);
    size_t width = jpeg->output_width, channels = jpeg->out_color_space == JCS_GRAYSCALE ? 1 : 3;
    bool four = jpeg->out_color_space == JCS_CMYK;
    JSAMPARRAY inks = NULL;
    if (four) inks = jpeg->mem->alloc_sarray((j_common_ptr)jpeg, JPOOL_IMAGE, (JDIMENSION)(4 * width), 1);
    while (jpeg->output_scanline < jpeg->output_height) {
        uint8_t *row = samples + jpeg->output_scanline * width * channels;
        JSAMPROW target = four ? inks[0] : row;
        jpeg_read_scanlines(jpeg, &target, 1);
        if (four) mix(inks[0], row, width);
    }
    jpeg_finish_decompress(jpeg);
    return true;
}

bool ci_jpeg_read(ci_jpeg *picture, uint8_t *samples, char message[CI_MESSAGE]) {
    picture->message = message;
    return read_rows(picture, samples);
}

void ci_jpeg_close(ci_jpeg *picture) {
    if (!picture) return;
    jpeg_destroy_decompress(&picture->jpeg);
    free(picture->buffer);
    free(picture);
}
