// How many columns and rows of tiles an image is resized to, chosen by its aspect ratio: NVILA's dynamic-S2 and InternVL's tiling.
#pragma once

#include <cstdint>
#include <vector>

#include "core/geometry.h"

namespace manyscale {

// Rows and columns whose product is from least to most (at most kMostRatioTiles), by ascending product. Both systems build a Python set of
// (columns, rows) and sort it by product, so that equal products stand in the order of CPython's set: it decides the rare ties, and is
// followed here.
std::vector<Size> tile_ratios(int64_t least, int64_t most);
inline constexpr int64_t kMostRatioTiles = 128;

// The candidate whose columns / rows is nearest to the image's width / height, in doubles. Of equally near ones the last for which the image
// has more than half as many pixels as the tiles of side `base` (each in its turn against the one before), else the first.
Size choose_tile_ratio(Size image, const std::vector<Size>& candidates, int64_t base);

}  // namespace manyscale
