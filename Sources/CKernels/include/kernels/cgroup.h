#pragma once

#include <stddef.h>

// What a container or a batch system lets this process have, by Linux's control groups of either version.
// `membership` is /proc/self/cgroup and `root` /sys/fs/cgroup, but for tests.

/// The smallest limit on memory of the groups that this process is in, in bytes, or `limit` where that is smaller.
size_t rk_cgroup_memory(const char *membership, const char *root, size_t limit);

/// The smallest quota of processor time, in processors; 0 where there is none.
double rk_cgroup_processors(const char *membership, const char *root);
