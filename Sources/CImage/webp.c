#include "CImage.h"

#include <stdio.h>
#include <string.h>

#include <webp/decode.h>

static uint32_t little(const uint8_t *bytes) {
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static uint32_t orientation(const uint8_t *bytes, size_t size) {
    for (size_t at = 12; size >= 8 && at <= size - 8;) {
        size_t length = little(bytes + at + 4);
        if (length > size - 8 - at) break;
        if (!memcmp(bytes + at, "EXIF", 4)) return (uint32_t)ci_orientation(bytes + at + 8, length);
        at += 8 + length + (length & 1);
    }
    return 1;
}

static const char *reason(VP8StatusCode status) {
    switch (status) {
    case VP8_STATUS_OUT_OF_MEMORY: return "out of memory";
    case VP8_STATUS_BITSTREAM_ERROR: return "its data are damaged";
    case VP8_STATUS_UNSUPPORTED_FEATURE: return "it has a feature that is not known";
    case VP8_STATUS_NOT_ENOUGH_DATA: return "the file ends too early";
    default: return "not a WebP file";
    }
}

bool ci_webp_header(const uint8_t *bytes, size_t size, ci_form *form, bool *whole, char message[CI_MESSAGE]) {
    WebPBitstreamFeatures features;
    VP8StatusCode status = WebPGetFeatures(bytes, size, &features);
    *whole = status != VP8_STATUS_NOT_ENOUGH_DATA;
    if (status == VP8_STATUS_OK && features.has_animation) {
        snprintf(message, CI_MESSAGE, "it is animated; pictures that stand still are read");
        return false;
    }
    if (status != VP8_STATUS_OK) {
        snprintf(message, CI_MESSAGE, "%s", reason(status));
        return false;
    }
    // The flag of the extended header says that there is a chunk of EXIF, which comes behind the pixels.
    bool exif = size > 20 && !memcmp(bytes + 12, "VP8X", 4) && bytes[20] & 8;
    *whole = !exif;
    size_t pixels = (size_t)features.width * (size_t)features.height;
    *form = (ci_form){
        .width = (uint32_t)features.width,
        .height = (uint32_t)features.height,
        .channels = features.has_alpha ? 4 : 3,
        .bits = 8,
        .orientation = exif ? orientation(bytes, size) : 1,
        .work = 5 * pixels,
    };
    return true;
}

bool ci_webp_read(const uint8_t *bytes, size_t size, const ci_form *form, uint8_t *samples, char message[CI_MESSAGE]) {
    WebPDecoderConfig config;
    size_t stride = (size_t)form->width * form->channels;
    if (!WebPInitDecoderConfig(&config)) {
        snprintf(message, CI_MESSAGE, "libwebp is of another version");
        return false;
    }
    config.output.colorspace = form->channels == 4 ? MODE_RGBA : MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = samples;
    config.output.u.RGBA.stride = (int)stride;
    config.output.u.RGBA.size = stride * form->height;
    VP8StatusCode status = WebPDecode(bytes, size, &config);
    if (status != VP8_STATUS_OK) snprintf(message, CI_MESSAGE, "%s", reason(status));
    return status == VP8_STATUS_OK;
}
