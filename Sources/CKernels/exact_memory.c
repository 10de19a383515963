#include "exact_memory.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define NAN_BYTE 0xFF

bool rk_exact_wanted(void) {
    static atomic_int known = -1;
    int wanted = atomic_load_explicit(&known, memory_order_relaxed);
    if (wanted < 0) {
        const char *text = getenv("RIFFLE_MEMORY");
        wanted = text != NULL && strcmp(text, "exact") == 0;
        atomic_store_explicit(&known, wanted, memory_order_relaxed);
    }
    return wanted;
}

#if __has_feature(address_sanitizer)

// AddressSanitizer guards every block of the system's allocator to the byte, and holds freed blocks back for a while.
void *rk_exact_take(size_t bytes) {
    void *block = NULL;
    if (posix_memalign(&block, 64, bytes) != 0) return NULL;
    return memset(block, NAN_BYTE, bytes);
}

void rk_exact_give(void *block, size_t bytes) {
    (void)bytes;
    free(block);
}

#else

static size_t page(void) { return (size_t)sysconf(_SC_PAGESIZE); }

// The bytes of the whole pages that hold a block; the page behind them is its guard.
static size_t whole_pages(size_t bytes) { return (bytes + page() - 1) / page() * page(); }

void *rk_exact_take(size_t bytes) {
    size_t usable = whole_pages(bytes);
    char *start = mmap(NULL, usable + page(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) return NULL;
    if (usable > 0 && mprotect(start, usable, PROT_READ | PROT_WRITE) != 0) {
        munmap(start, usable + page());
        return NULL;
    }
    return memset(start + usable - bytes, NAN_BYTE, bytes);
}

void rk_exact_give(void *block, size_t bytes) {
    size_t usable = whole_pages(bytes);
    munmap((char *)block + bytes - usable, usable + page());
}

#endif
