// The plan: pure geometry from an image's size and options to scales and tiles. No pixels.
// Sizes follow the PyTorch S2 wrapper: size_s = floor(size * scale_s), splits_s = ceil(size_s / max_split), and each
// size must divide evenly into its splits.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/geometry.h"

namespace manyscale {

// One resized copy of the image, cut into rows x columns equal tiles.
struct Scale {
  int64_t height = 0;
  int64_t width = 0;
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t tile_height = 0;
  int64_t tile_width = 0;

  Size size() const { return {height, width}; }
  Size tile() const { return {tile_height, tile_width}; }
  int64_t tile_count() const { return rows * columns; }

  friend bool operator==(const Scale& a, const Scale& b) { return a.size() == b.size() && a.rows == b.rows && a.columns == b.columns && a.tile() == b.tile(); }
};

struct PlanOptions {
  std::vector<double> scales;          // relative to `base`; used when image_sizes is empty
  std::vector<Size> image_sizes;       // absolute, in pixels
  std::optional<Size> base;            // what scales are relative to; default: the image
  std::optional<Size> max_split_size;  // default: the base
  std::optional<Size> tile;            // every scale must be a multiple of it (a model's fixed tile)
  int64_t resize_output_to_index = 0;  // negative counts from the end
};

struct Plan {
  Size image;
  std::vector<Scale> scales;
  int64_t output_index = 0;  // which scale's grid the output has, 0 <= output_index < scales.size()

  int64_t tile_count() const;              // of one image, all scales
  int64_t first_tile(size_t scale) const;  // index of a scale's first tile among all tiles
  bool same_tile_shape() const;            // every scale has the same tile height and width
};

// Limits that turn absurd requests into ERR_PLAN_TOO_LARGE before anything is allocated.
inline constexpr int64_t kMaxSide = int64_t{1} << 24;        // pixels along one axis
inline constexpr int64_t kMaxPlanPixels = int64_t{1} << 31;  // of all scales of one image
inline constexpr int64_t kMaxPlanTiles = int64_t{1} << 20;   // of all scales of one image, and of all images of one operation
inline constexpr int64_t kMaxScales = 1024;

// A side of `what` in pixels: Error kInvalidArgument below 1, kPlanTooLarge beyond kMaxSide.
void check_side(int64_t side, const char* what);

// Error kPlanTooLarge for more tiles than kMaxPlanTiles.
void check_tile_count(int64_t tiles);

// Error kInvalidArgument (bad sizes, scales that do not divide: names the nearest that do) or kPlanTooLarge.
Plan make_plan(Size image, const PlanOptions& options);

// A plan that came from outside: recomputed from its sizes and tiles, refused when it is not what make_plan would have made.
Plan check_plan(Size image, const std::vector<Scale>& scales, int64_t output_index);

}  // namespace manyscale
