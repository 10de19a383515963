#pragma once

#include <stddef.h>
#include <stdint.h>

/// libFuzzer's loop: calls `run` with inputs until its options, which are in the arguments, end it.
int LLVMFuzzerRunDriver(int *count, char ***arguments, int (*run)(const uint8_t *bytes, size_t size));

/// Counts the bytes that malloc has given out, by the hooks of AddressSanitizer.
void cf_heap_begin(void);

/// Lets the peak begin at what is out now, and returns that.
size_t cf_heap_reset(void);

/// The most bytes that were out since the last reset.
size_t cf_heap_peak(void);

/// Ends the process with a message and a trace, which libFuzzer takes for a finding.
_Noreturn void cf_fail(const char *message);
