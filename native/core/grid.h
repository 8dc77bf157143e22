// From a number of tokens to the grid that they form.
#pragma once

#include <cstdint>

#include "core/geometry.h"

namespace manyscale {

// The grid (rows x columns of tokens) that `cells` tokens of one tile form. With `patch_size` 0 it is found from the
// tile's aspect ratio (no two grids of one tile have equally many cells); Error kModelShape when none fits, and for the tile what
// check_side says.
Size find_grid(Size tile, int64_t cells, int64_t patch_size);

struct TokenLayout {
  int64_t prefix = 0;
  Size grid;
};

// Prefix tokens of a model that returns `tokens` rows for a tile: tokens minus the largest grid that fits the tile's aspect ratio.
TokenLayout find_token_layout(Size tile, int64_t tokens, int64_t patch_size);

}  // namespace manyscale
