#pragma once

#include "types.h"

/// A linear sum assignment in the making: every row of a square matrix gets a column of its own, so that the sum of the
/// costs is least. Whoever asks provides all memory.
typedef struct {
    size_t n;
    const double *cost;       // [n, n], finite
    int32_t *column, *row;    // [n] each: of every row and of every column, -1 while there is none
    double *v;                // [n]: the columns' dual variables
    double *distance, *level; // [n] each: scratch
    int32_t *from, *scanned;  // [n] each: scratch
} rk_assignment;

/// Matches nothing yet. Then rk_assignment_add for each row, in any order.
void rk_assignment_begin(const rk_assignment *a);

/// Matches one more row, moving others where that costs less: O(n^2) at most. The matched rows have their least sum at
/// every time. With all rows matched, v and u[i] = cost[i, column[i]] - v[column[i]] prove it: u[i] + v[j] <= cost[i,
/// j].
void rk_assignment_add(const rk_assignment *a, size_t row);
