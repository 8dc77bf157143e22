// Limits that turn absurd requests into ERR_PLAN_TOO_LARGE before anything is allocated.
#pragma once

#include <cstdint>

namespace manyscale {

inline constexpr int64_t kMaxSide = int64_t{1} << 24;        // pixels along one axis
inline constexpr int64_t kMaxPlanPixels = int64_t{1} << 31;  // of all scales of one image
inline constexpr int64_t kMaxPlanTiles = int64_t{1} << 20;   // of all scales of one image, and of all images of one operation
inline constexpr int64_t kMaxScales = 1024;

// A side of `what` in pixels: Error kInvalidArgument below 1, kPlanTooLarge beyond kMaxSide.
void check_side(int64_t side, const char* what);

// Error kPlanTooLarge for more tiles than kMaxPlanTiles.
void check_tile_count(int64_t tiles);

}  // namespace manyscale
