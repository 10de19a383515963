// One pool of threads, and the one loop that is spread over it.
#define _GNU_SOURCE // sched_getaffinity
#include "kernels/cpu.h"
#include "kernels/threads.h"

#include "kernels/cgroup.h"

#include <errno.h>
#include <immintrin.h>
#include <linux/futex.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MAX_THREADS 1024
#define SPIN_NANOSECONDS 400000

// The call in progress. Only the thread that holds `busy` writes it, while the gate is shut and nobody is inside.
static struct {
    size_t count, grain, pieces;
    void (*body)(void *context, size_t begin, size_t end);
    void *context;
    rk_cpu_level level;
} job;

static _Alignas(64) atomic_size_t next_piece;
// Workers inside the call, and the OPEN bit while others may still enter: a caller waits for those who came, never for
// one that is asleep.
static _Alignas(64) atomic_uint gate;
#define OPEN 0x80000000u
// Counts calls; workers sleep on it.
static _Alignas(64) atomic_uint epoch;
static atomic_int sleepers;
static _Alignas(64) atomic_flag busy = ATOMIC_FLAG_INIT;
static atomic_int wanted; // threads asked for, 0 before the first question
static atomic_int kept;   // workers with a larger number leave
static pthread_t workers[MAX_THREADS];
static int worker_count; // guarded by busy
static _Thread_local void *thread_context;
static _Thread_local void (*release_thread_context)(void *);
static pthread_key_t thread_end; // has a value in threads that have a context
static pthread_once_t thread_end_made = PTHREAD_ONCE_INIT;

void *rk_thread_context(void) { return thread_context; }

static void thread_ends(void *context) {
    thread_context = NULL; // What the release asks of the engine finds a fresh one, which is released in turn.
    release_thread_context(context);
}

static void make_thread_end(void) { pthread_key_create(&thread_end, thread_ends); }

void rk_thread_set_context(void *context, void (*release)(void *)) {
    pthread_once(&thread_end_made, make_thread_end);
    thread_context = context;
    release_thread_context = release;
    pthread_setspecific(thread_end, context);
}

// MARK: - How many

static int default_threads(void) {
    const char *text = getenv("RIFFLE_THREADS");
    if (text != NULL) {
        char *end;
        long value = strtol(text, &end, 10);
        if (end != text && *end == 0 && value >= 1 && value <= MAX_THREADS) return (int)value;
    }
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : (int)sysconf(_SC_NPROCESSORS_ONLN);
    // A part of a processor is one: the work is cut fine enough for threads of unequal speed.
    double quota = ceil(rk_cgroup_processors("/proc/self/cgroup", "/sys/fs/cgroup"));
    if (quota > 0 && quota < count) count = (int)quota;
    return count < 1 ? 1 : count > MAX_THREADS ? MAX_THREADS : count;
}

int rk_threads(void) {
    int count = atomic_load_explicit(&wanted, memory_order_relaxed);
    if (count == 0) {
        int none = 0;
        count = default_threads();
        if (!atomic_compare_exchange_strong(&wanted, &none, count)) count = none;
    }
    return count;
}

void rk_threads_set(int count) { atomic_store(&wanted, count < 1 ? 1 : count > MAX_THREADS ? MAX_THREADS : count); }

// MARK: - Workers

static void futex_wait(unsigned seen) { syscall(SYS_futex, &epoch, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0); }
static void futex_wake(int count) { syscall(SYS_futex, &epoch, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0); }

static long long nanoseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void run_pieces(void) {
    for (;;) {
        size_t piece = atomic_fetch_add_explicit(&next_piece, 1, memory_order_relaxed);
        if (piece >= job.pieces) return;
        size_t begin = piece * job.grain, left = job.count - begin;
        job.body(job.context, begin, begin + (left < job.grain ? left : job.grain));
    }
}

// Kernels follow each other closely, so that spinning a little saves most of the system calls.
static unsigned wait_for_change(unsigned seen) {
    long long until = 0;
    for (int turn = 0;; turn++) {
        unsigned current = atomic_load_explicit(&epoch, memory_order_acquire);
        if (current != seen) return current;
        _mm_pause();
        if (turn % 64 != 63) continue;
        long long time = nanoseconds();
        if (until == 0) until = time + SPIN_NANOSECONDS;
        if (time > until) break;
    }
    atomic_fetch_add(&sleepers, 1);
    while (atomic_load(&epoch) == seen) futex_wait(seen);
    atomic_fetch_sub(&sleepers, 1);
    return atomic_load(&epoch);
}

static bool enter(void) {
    unsigned current = atomic_load_explicit(&gate, memory_order_relaxed);
    while (current & OPEN)
        if (atomic_compare_exchange_weak_explicit(
                &gate, &current, current + 1, memory_order_acquire, memory_order_relaxed))
            return true;
    return false;
}

static void *work(void *argument) {
    int number = (int)(intptr_t)argument;
    unsigned seen = atomic_load(&epoch) - 1; // a call may have begun before this thread ran
    while (number <= atomic_load_explicit(&kept, memory_order_acquire)) {
        if (enter()) {
            rk_cpu_set(job.level);
            run_pieces();
            atomic_fetch_sub_explicit(&gate, 1, memory_order_release);
        }
        seen = wait_for_change(seen);
    }
    return NULL;
}

// Fewer threads than asked for is no error: the work is the same.
static void start_workers(int count) {
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    atomic_store(&kept, count);
    while (worker_count < count
           && pthread_create(&workers[worker_count], NULL, work, (void *)(intptr_t)(worker_count + 1)) == 0)
        worker_count++;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void stop_workers(int count) {
    atomic_store(&kept, count);
    atomic_fetch_add(&epoch, 1);
    futex_wake(MAX_THREADS);
    while (worker_count > count) pthread_join(workers[--worker_count], NULL);
}

// MARK: - The loop

static void run_inline(size_t count, size_t grain, void (*body)(void *, size_t, size_t), void *context) {
    for (size_t begin = 0; begin < count; begin += grain)
        body(context, begin, count - begin < grain ? count : begin + grain);
}

static void leave_last(void) {
    atomic_fetch_and_explicit(&gate, ~OPEN, memory_order_relaxed);
    for (int turn = 0; atomic_load_explicit(&gate, memory_order_acquire) != 0; turn++)
        if (turn < 4096)
            _mm_pause();
        else
            sched_yield();
}

void rk_parallel_for(size_t count, size_t grain, void (*body)(void *context, size_t begin, size_t end), void *context) {
    if (grain == 0) grain = 1;
    int threads = count > grain ? rk_threads() : 1;
    if (threads == 1 || atomic_flag_test_and_set_explicit(&busy, memory_order_acquire)) {
        run_inline(count, grain, body, context);
        return;
    }
    if (worker_count < threads - 1) start_workers(threads - 1);
    if (worker_count > threads - 1) stop_workers(threads - 1);
    job.count = count, job.grain = grain, job.pieces = (count - 1) / grain + 1;
    job.body = body, job.context = context, job.level = rk_cpu();
    atomic_store_explicit(&next_piece, 0, memory_order_relaxed);
    atomic_store_explicit(&gate, OPEN, memory_order_release);
    atomic_fetch_add(&epoch, 1);
    if (atomic_load(&sleepers) > 0) futex_wake(job.pieces - 1 < MAX_THREADS ? (int)job.pieces - 1 : MAX_THREADS);
    run_pieces();
    leave_last();
    atomic_flag_clear_explicit(&busy, memory_order_release);
}
