// The plan: pure geometry from an image's size and options to scales and tiles. No pixels.
// Sizes follow the PyTorch S2 wrapper: size_s = floor(size * scale_s), splits_s = ceil(size_s / max_split), and each
// size must divide evenly into its splits unless the options say otherwise.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/cut.h"
#include "core/geometry.h"
#include "core/limits.h"
#include "core/scale.h"

namespace manyscale {

struct PlanOptions {
  std::vector<double> scales;          // relative to `base`; used when image_sizes is empty
  std::vector<Size> image_sizes;       // absolute, in pixels
  std::optional<Size> base;            // what scales are relative to; default: the image
  std::optional<Size> max_split_size;  // default: the base
  std::optional<Size> tile;            // a model's fixed tile, instead of max_split_size
  bool keep_aspect = false;            // a scale has the image's aspect ratio and about the area of base * scale, or of its image size
  Uneven uneven = Uneven::kRefuse;
  double overlap = 0;                  // of tiles, at least: pixels or, below 1, a part of the tile
  std::optional<Size> overlap_unit;    // overlapping tiles begin at multiples of it; default: any that tile, overlap and side share
  int64_t resize_output_to_index = 0;  // negative counts from the end
};

struct Plan {
  Size image;
  std::vector<Scale> scales;
  int64_t output_index = 0;  // which scale's grid the output has, 0 <= output_index < scales.size()
  // One tile that the image is made into first; the scales are then made of it, and not of the image.
  std::optional<Scale> via;

  int64_t tile_count() const;              // of one image, all scales
  int64_t first_tile(size_t scale) const;  // index of a scale's first tile among all tiles
  bool same_tile_shape() const;            // every scale has the same tile height and width
};

// Error kInvalidArgument (bad sizes, scales that do not divide: names the nearest that do) or kPlanTooLarge.
Plan make_plan(Size image, const PlanOptions& options);

// From scales that are as wanted: checked, and counted against the limits. Errors as make_plan.
Plan make_plan_of(Size image, std::vector<Scale> scales, int64_t resize_output_to_index);

// A plan that came from outside: refused when it is not what make_plan or make_preset_plan could have made.
Plan check_plan(Size image, const std::vector<Scale>& scales, int64_t output_index);

}  // namespace manyscale
