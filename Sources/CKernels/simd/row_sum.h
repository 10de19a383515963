// Sums over a row in 32 lanes, the same ones at every vector level.
#pragma once

#define RK_LANES 32
/// result = the sum of `term`, an expression in i, over [0, width), in lanes that are added in a fixed order.
#define RK_ROW_SUM(result, width, term) \
    do { \
        float lane_[RK_LANES] = {0}; \
        size_t base_ = 0; \
        for (; base_ + RK_LANES <= (width); base_ += RK_LANES) \
            for (size_t l_ = 0, i = base_; l_ < RK_LANES; l_++, i++) lane_[l_] += (term); \
        for (size_t l_ = 0, i = base_; i < (width); l_++, i++) lane_[l_] += (term); \
        for (size_t half_ = RK_LANES / 2; half_; half_ /= 2) \
            for (size_t l_ = 0; l_ < half_; l_++) lane_[l_] += lane_[l_ + half_]; \
        result = lane_[0]; \
    } while (0)
