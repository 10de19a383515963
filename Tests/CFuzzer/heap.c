#include "CFuzzer.h"

#include <sanitizer/allocator_interface.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static atomic_size_t live, peak;

static void gave(const volatile void *block, size_t bytes) {
    (void)block;
    size_t now = atomic_fetch_add(&live, bytes) + bytes, most = atomic_load(&peak);
    while (now > most && !atomic_compare_exchange_weak(&peak, &most, now)) {}
}

// free(NULL) comes here as well.
static void took(const volatile void *block) {
    if (block) atomic_fetch_sub(&live, __sanitizer_get_allocated_size((const void *)block));
}

void cf_heap_begin(void) {
    atomic_store(&live, __sanitizer_get_current_allocated_bytes());
    __sanitizer_install_malloc_and_free_hooks(gave, took);
}

size_t cf_heap_reset(void) {
    size_t now = atomic_load(&live);
    atomic_store(&peak, now);
    return now;
}

size_t cf_heap_peak(void) { return atomic_load(&peak); }

void cf_fail(const char *message) {
    fprintf(stderr, "riffle: %s\n", message);
    abort();
}
