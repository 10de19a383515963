// Tensor memory: counted, limited, and kept for reuse in a bounded cache.
#include "kernels/memory.h"

#include "kernels/cgroup.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "exact_memory.h"

#define HUGE_PAGE ((size_t)2 << 20)
#define CLASSES 512
#define LENT_CLASSES 2 // up to a quarter more than was asked for

// A free block holds the link to the next one of its class.
typedef struct free_block {
    struct free_block *next;
} free_block;

// Everything below is guarded by the mutex: a limit must be checked and charged at once.
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static free_block *cache[CLASSES];
static rk_memory now;
static bool has_cache_limit;

// Eight classes an octave, at multiples of 64 bytes: at most an eighth of a large block is lost.
static size_t class_bytes(size_t bytes) {
    if (rk_exact_wanted()) return bytes;
    if (bytes <= 512) return bytes == 0 ? 64 : (bytes + 63) & ~(size_t)63;
    size_t step = (size_t)1 << (60 - __builtin_clzll(bytes - 1));
    return (bytes + step - 1) & ~(step - 1);
}

static size_t class_index(size_t rounded) {
    if (rounded <= 512) return rounded / 64 - 1;
    int octave = 63 - __builtin_clzll(rounded - 1);
    return 8 * (size_t)(octave - 8) + ((rounded - 1) >> (octave - 3) & 7);
}

static size_t bytes_of_class(size_t index) {
    return index < 8 ? 64 * (index + 1) : (8 + index % 8 + 1) << (index / 8 + 5);
}

// MARK: - Limits

static size_t default_limit(void) {
    size_t all = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    return rk_cgroup_memory("/proc/self/cgroup", "/sys/fs/cgroup", all) / 5 * 4;
}

size_t rk_memory_available(void) {
    size_t kilobytes = (size_t)1 << 52;
    FILE *file = fopen("/proc/meminfo", "re");
    char line[128];
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "MemAvailable: %zu kB", &kilobytes) == 1) break;
    if (file != NULL) fclose(file);
    return kilobytes << 10;
}

static void lock(void) {
    pthread_mutex_lock(&mutex);
    if (__builtin_expect(now.limit == 0, 0)) {
        now.limit = default_limit();
        if (!has_cache_limit) now.cache_limit = now.limit / 4;
    }
}

static void unlock(void) { pthread_mutex_unlock(&mutex); }

// MARK: - Large blocks

// All large blocks by address, with the bytes each really has: one may be lent to those who ask for a little less.
typedef struct {
    char *address;
    size_t bytes;
} large_block;

static large_block *large;
static size_t large_count, large_capacity;

// The index at which a block is listed, or would be.
static size_t large_index(const void *block) {
    size_t low = 0, high = large_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (large[middle].address < (const char *)block)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool list_large_locked(void *block, size_t bytes) {
    if (large_count == large_capacity) {
        size_t capacity = large_capacity == 0 ? 256 : 2 * large_capacity;
        large_block *more = realloc(large, capacity * sizeof *more);
        if (more == NULL) return false;
        large = more, large_capacity = capacity;
    }
    size_t i = large_index(block);
    memmove(large + i + 1, large + i, (large_count++ - i) * sizeof *large);
    large[i] = (large_block){block, bytes};
    return true;
}

static void forget_large_locked(const void *block) {
    size_t i = large_index(block);
    memmove(large + i, large + i + 1, (--large_count - i) * sizeof *large);
}

// Large blocks come from the system at multiples of a huge page: a training step touches hundreds of megabytes, and
// faults and address translation in small pages would show.
static void *map_large(size_t bytes) {
    char *all = mmap(NULL, bytes + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED) return NULL;
    size_t head = -(size_t)all & (HUGE_PAGE - 1);
    if (head > 0) munmap(all, head);
    if (head < HUGE_PAGE) munmap(all + head + bytes, HUGE_PAGE - head);
    madvise(all + head, bytes, MADV_HUGEPAGE);
    lock();
    bool listed = list_large_locked(all + head, bytes);
    unlock();
    if (listed) return all + head;
    munmap(all + head, bytes);
    return NULL;
}

static void *take_from_system(size_t bytes) {
    if (rk_exact_wanted()) return rk_exact_take(bytes);
    return bytes >= HUGE_PAGE ? map_large(bytes) : aligned_alloc(64, bytes);
}

static void give_to_system(void *block, size_t bytes) {
    if (rk_exact_wanted()) {
        rk_exact_give(block, bytes);
        return;
    }
    RK_ALLOW(block, bytes);
    if (bytes < HUGE_PAGE) {
        free(block);
        return;
    }
    lock();
    forget_large_locked(block);
    unlock();
    munmap(block, bytes);
}

// Moves all that is cached to `taken`, to be released once the mutex is free.
static void empty_cache_locked(free_block *taken[CLASSES]) {
    memcpy(taken, cache, sizeof cache);
    memset(cache, 0, sizeof cache);
    now.cached = 0;
}

static void release(free_block *taken[CLASSES]) {
    for (size_t i = 0; i < CLASSES; i++) {
        for (free_block *block = taken[i], *next; block != NULL; block = next) {
            next = block->next;
            give_to_system(block, bytes_of_class(i));
        }
    }
}

// MARK: - Blocks

// A block and the bytes it really has, which are those that count as live.
typedef struct {
    void *block;
    size_t bytes;
    bool must_empty; // the cache, since it and what is live pass the limit together
} grant;

// A cached block of `bytes`, or a large one of little more: gradients and activations come in sizes of their own, and
// would lie idle in turns.
static grant take_cached_locked(size_t bytes) {
    grant none = {NULL, bytes, false};
    if (rk_exact_wanted()) return none;
    size_t first = class_index(bytes), last = bytes >= HUGE_PAGE ? first + LENT_CLASSES : first;
    for (size_t i = first; i <= last && bytes_of_class(i) <= now.limit - now.live; i++) {
        free_block *block = cache[i];
        if (block == NULL) continue;
        cache[i] = block->next;
        now.cached -= bytes_of_class(i);
        return (grant){block, bytes_of_class(i), false};
    }
    return none;
}

// Counts `bytes` as live, with a cached block when there is one; false when they would pass the limit.
static bool charge_locked(size_t bytes, grant *given) {
    if (bytes > now.limit || now.live > now.limit - bytes) return false;
    *given = take_cached_locked(bytes);
    now.live += given->bytes;
    given->must_empty = now.cached > 0 && now.live + now.cached > now.limit;
    if (now.live > now.peak) now.peak = now.live;
    return true;
}

// The system has nothing left: give back the cache and try once more.
static void *take_again(size_t bytes) {
    rk_memory_clear_cache();
    void *block = take_from_system(bytes);
    if (block == NULL) {
        lock();
        now.live -= bytes;
        unlock();
    }
    return block;
}

void *rk_alloc(size_t bytes) {
    if (bytes > SIZE_MAX / 4) return NULL;
    grant given;
    lock();
    bool fits = charge_locked(class_bytes(bytes), &given);
    unlock();
    if (!fits) return NULL;
    if (given.must_empty) rk_memory_clear_cache();
    if (given.block == NULL) given.block = take_from_system(given.bytes);
    if (given.block == NULL) given.block = take_again(given.bytes);
    if (given.block == NULL) return NULL;
    RK_ALLOW(given.block, bytes);
    RK_FORBID((char *)given.block + bytes, given.bytes - bytes);
    return given.block;
}

// The bytes that a block really has which was given to someone who asked for no more than `bytes`.
static size_t real_bytes_locked(const void *block, size_t bytes) {
    if (bytes < HUGE_PAGE || rk_exact_wanted()) return bytes;
    size_t i = large_index(block), most = bytes_of_class(class_index(bytes) + LENT_CLASSES);
    if (i < large_count && large[i].address == block && large[i].bytes >= bytes && large[i].bytes <= most)
        return large[i].bytes;
    fprintf(stderr, "riffle: rk_free of %p, no block of %zu bytes\n", block, bytes);
    abort();
}

// When the cache is full it holds sizes that nobody asks for any more: emptying it is simpler than choosing, and rare.
void rk_free(void *block, size_t bytes) {
    if (block == NULL) return;
    lock();
    bytes = real_bytes_locked(block, class_bytes(bytes));
    now.live -= bytes;
    bool keep = bytes <= now.cache_limit && !rk_exact_wanted(), full = keep && now.cached > now.cache_limit - bytes;
    if (keep && !full) {
        free_block **list = &cache[class_index(bytes)];
        RK_ALLOW(block, sizeof *list);
        RK_FORBID((free_block *)block + 1, bytes - sizeof(free_block)); // leaks are looked for along the links
        ((free_block *)block)->next = *list;
        *list = block;
        now.cached += bytes;
    }
    unlock();
    if (keep && !full) return;
    if (full) rk_memory_clear_cache();
    give_to_system(block, bytes);
}

rk_memory rk_memory_now(void) {
    lock();
    rk_memory copy = now;
    unlock();
    return copy;
}

void rk_memory_set_limit(size_t bytes) {
    lock();
    now.limit = bytes > 0 ? bytes : default_limit();
    if (!has_cache_limit) now.cache_limit = now.limit / 4;
    unlock();
}

void rk_memory_set_cache_limit(size_t bytes) {
    lock();
    now.cache_limit = bytes;
    has_cache_limit = true;
    bool over = now.cached > bytes;
    unlock();
    if (over) rk_memory_clear_cache();
}

void rk_memory_clear_cache(void) {
    free_block *taken[CLASSES];
    lock();
    empty_cache_locked(taken);
    unlock();
    release(taken);
}

void rk_memory_reset_peak(void) {
    lock();
    now.peak = now.live;
    unlock();
}
