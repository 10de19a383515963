// Limits that control groups set on this process.
#include "kernels/cgroup.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

// The first line of a file in a group's folder; false where there is none.
static bool read_line(const char *folder, const char *name, char *line, int size) {
    char path[1400];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "re");
    if (file == NULL) return false;
    bool found = fgets(line, size, file) != NULL;
    fclose(file);
    return found;
}

// Whether a list such as "cpu,cpuacct" holds a controller.
static bool lists(const char *controllers, const char *controller) {
    size_t length = strlen(controller);
    for (const char *at = controllers; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, controller, length) == 0 && (at[length] == 0 || at[length] == ',')) return true;
    }
    return false;
}

typedef void visitor(const char *folder, bool unified, void *result);

// A group's limit holds for those inside it, and a container may not see its own group's path: each level is looked at.
static void visit_levels(const char *root, char *group, bool unified, visitor *visit, void *result) {
    for (;;) {
        char folder[1300];
        snprintf(folder, sizeof folder, "%s%s", root, group);
        visit(folder, unified, result);
        char *slash = strrchr(group, '/');
        if (slash == NULL) return;
        *slash = 0;
    }
}

// Visits the folders of a controller's groups. Version 2 has one tree for all controllers, whose name is empty.
static void visit_groups(
    const char *membership, const char *root, const char *controller, visitor *visit, void *result) {
    FILE *file = fopen(membership, "re");
    char line[1024], own_root[256];
    snprintf(own_root, sizeof own_root, "%s/%s", root, controller);
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = 0;
        char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (group == NULL) continue;
        *group++ = 0;
        bool unified = controllers[1] == 0;
        if (unified || lists(controllers + 1, controller))
            visit_levels(unified ? root : own_root, group, unified, visit, result);
    }
    if (file != NULL) fclose(file);
}

static void take_memory(const char *folder, bool unified, void *result) {
    char line[64];
    unsigned long long value;
    size_t *limit = result;
    if (read_line(folder, unified ? "memory.max" : "memory.limit_in_bytes", line, sizeof line)
        && sscanf(line, "%llu", &value) == 1 && value < *limit)
        *limit = (size_t)value;
}

size_t rk_cgroup_memory(const char *membership, const char *root, size_t limit) {
    visit_groups(membership, root, "memory", take_memory, &limit);
    return limit;
}

static void take_processors(const char *folder, bool unified, void *result) {
    char line[64];
    double quota = 0, period = 0, *least = result;
    if (unified) {
        if (!read_line(folder, "cpu.max", line, sizeof line) || sscanf(line, "%lf %lf", &quota, &period) != 2) return;
    } else {
        if (!read_line(folder, "cpu.cfs_quota_us", line, sizeof line) || sscanf(line, "%lf", &quota) != 1) return;
        if (!read_line(folder, "cpu.cfs_period_us", line, sizeof line) || sscanf(line, "%lf", &period) != 1) return;
    }
    // Version 1 writes -1 for none, and version 2 a word.
    if (quota > 0 && period > 0 && (*least == 0 || quota / period < *least)) *least = quota / period;
}

double rk_cgroup_processors(const char *membership, const char *root) {
    double least = 0;
    visit_groups(membership, root, "cpu", take_processors, &least);
    return least;
}
