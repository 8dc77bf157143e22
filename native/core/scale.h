// One scale of a plan: a resized copy of the image, and how it is cut into tiles.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/geometry.h"

namespace manyscale {

// What the tiles have where a scale reaches beyond its content.
enum class Padding {
  kZero,        // 0 after normalisation. The features there are left out of the merged grid
  kBackground,  // pixels of the background, normalised like others; their features stay
};

struct Scale {
  int64_t height = 0;
  int64_t width = 0;
  int64_t rows = 0;  // of tiles
  int64_t columns = 0;
  int64_t tile_height = 0;
  int64_t tile_width = 0;
  // Where the resized image lies, relative to the scale's upper left corner: smaller than the scale where that is padded, reaching
  // beyond it where the resized image is cropped. Nothing: it is the scale.
  std::optional<Rectangle> content{};
  Padding padding = Padding::kZero;
  // The first pixel of each row and column of tiles where they overlap; empty: one begins where the one before ends.
  std::vector<int64_t> tops{};
  std::vector<int64_t> lefts{};

  Size size() const { return {height, width}; }
  Size tile() const { return {tile_height, tile_width}; }
  int64_t tile_count() const { return rows * columns; }
  int64_t top(int64_t row) const { return tops.empty() ? row * tile_height : tops[static_cast<size_t>(row)]; }
  int64_t left(int64_t column) const { return lefts.empty() ? column * tile_width : lefts[static_cast<size_t>(column)]; }
  bool overlaps() const { return !tops.empty() || !lefts.empty(); }
  Rectangle resized() const { return content.value_or(Rectangle{0, 0, height, width}); }
  bool covers() const;  // the content leaves nothing to pad

  friend bool operator==(const Scale&, const Scale&) = default;
};

// Error kInvalidArgument or kPlanTooLarge for a scale that cannot be: tiles that leave it or leave pixels of it out, positions that are
// not ascending, content that lies outside.
void check_scale(const Scale& scale);

}  // namespace manyscale
