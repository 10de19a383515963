#include "CImage.h"

#include <string.h>

typedef struct {
    const uint8_t *bytes;
    size_t size;
    bool big;
} tiff;

// Bytes behind the end are 0.
static uint32_t number(tiff t, size_t at, int width) {
    uint32_t value = 0;
    for (int i = 0; i < width; i++) {
        size_t index = at + (size_t)(t.big ? i : width - 1 - i);
        value = value << 8 | (index < t.size ? t.bytes[index] : 0);
    }
    return value;
}

int ci_orientation(const uint8_t *exif, size_t size) {
    enum { ORIENTATION = 0x0112, SHORT = 3 };
    tiff t = {.bytes = exif, .size = size};
    if (size >= 6 && !memcmp(exif, "Exif\0", 6)) t.bytes += 6, t.size -= 6;
    if (t.size < 8 || (memcmp(t.bytes, "II", 2) && memcmp(t.bytes, "MM", 2))) return 1;
    t.big = t.bytes[0] == 'M';
    size_t directory = number(t, 4, 4);
    uint32_t count = number(t, directory, 2);
    for (uint32_t i = 0; i < count; i++) {
        size_t entry = directory + 2 + 12 * (size_t)i;
        if (entry + 12 > t.size) break;
        if (number(t, entry, 2) != ORIENTATION || number(t, entry + 2, 2) != SHORT) continue;
        uint32_t value = number(t, entry + 8, 2);
        return value >= 1 && value <= 8 ? (int)value : 1;
    }
    return 1;
}
