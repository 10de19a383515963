// The loops over the columns of one row. Sums of three numbers and comparisons: the same bits at every level.
#define LANES 16
#define FOR_LANES _Pragma("clang loop vectorize(assume_safety)") for (size_t l = 0; l < LANES; l++)

static void RK_LEVEL(lower)(const double *cost, double *least, size_t n) {
    _Pragma("clang loop vectorize(assume_safety)") for (size_t j = 0; j < n; j++) least[j] =
        cost[j] < least[j] ? cost[j] : least[j];
}

// Takes the way over row i wherever it is shorter, and returns the least distance. The distance of a scanned column is NaN,
// which is neither shortened nor least.
static double RK_LEVEL(relax)(
    const double *cost, const double *v, double shift, int32_t i, double *distance, int32_t *from, size_t n) {
    double lane[LANES], lowest = INFINITY;
    FOR_LANES lane[l] = INFINITY;
    size_t j = 0;
    for (; j + LANES <= n; j += LANES) FOR_LANES {
        double way = cost[j + l] - v[j + l] + shift, known = distance[j + l];
        int32_t before = from[j + l];
        from[j + l] = way < known ? i : before;
        distance[j + l] = known = way < known ? way : known;
        lane[l] = known < lane[l] ? known : lane[l];
    }
    for (; j < n; j++) {
        double way = cost[j] - v[j] + shift;
        if (way < distance[j]) distance[j] = way, from[j] = i;
        if (distance[j] < lowest) lowest = distance[j];
    }
    for (size_t l = 0; l < LANES; l++)
        if (lane[l] < lowest) lowest = lane[l];
    return lowest;
}

// The first column at the distance `lowest` that has no row, else the first at that distance: where many costs are equal
// this ends most searches at once. Blocks are searched without branches first.
static size_t RK_LEVEL(nearest)(const double *distance, const int32_t *row, double lowest, size_t n) {
    size_t first = n;
    for (size_t begin = 0; begin < n; begin += 128) {
        size_t end = n - begin < 128 ? n : begin + 128;
        unsigned found = 0;
        for (size_t j = begin; j < end; j++) found |= distance[j] == lowest;
        for (size_t j = begin; found && j < end; j++) {
            if (distance[j] != lowest) continue;
            if (row[j] < 0) return j;
            if (first == n) first = j;
        }
    }
    return first;
}

#undef LANES
#undef FOR_LANES
