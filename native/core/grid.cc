#include "core/grid.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "core/error.h"
#include "core/plan.h"

namespace manyscale {
namespace {

// Every grid that square patches of a whole number of pixels can cut a tile into; what is left over at the edge is
// ignored, as convolutions without padding do (384 in patches of 14: 27 x 27). Larger patches never give more rows or
// columns, so all grids with one number of cells are the same grid: what is found is the only one.
template <typename Visit>
void for_each_patch_grid(Size tile, Visit visit) {
  const int64_t largest = std::min(tile.height, tile.width);
  for (int64_t patch = 1; patch <= largest;) {
    const Size grid{tile.height / patch, tile.width / patch};
    visit(grid);
    patch = std::min(tile.height / grid.height, tile.width / grid.width) + 1;  // the next that gives another grid
  }
}

void check_tile(Size tile) {
  check_side(tile.height, "the tile's height");
  check_side(tile.width, "the tile's width");
}

// The grid of `cells` whose aspect ratio is exactly the tile's, if there is one.
std::optional<Size> exact_grid(Size tile, int64_t cells) {
  const double ratio = static_cast<double>(tile.height) / static_cast<double>(tile.width);
  const int64_t height = std::llround(std::sqrt(static_cast<double>(cells) * ratio));
  if (height < 1 || height > kMaxSide || cells % height != 0) return std::nullopt;
  const Size grid{height, cells / height};
  if (grid.width > kMaxSide) return std::nullopt;
  if (grid.height * tile.width != grid.width * tile.height) return std::nullopt;
  return grid;
}

}  // namespace

Size find_grid(Size tile, int64_t cells, int64_t patch_size) {
  check_tile(tile);
  const std::string received = std::to_string(cells) + " tokens for a tile of " + to_string(tile);
  if (patch_size > 0) {
    const Size grid{tile.height / patch_size, tile.width / patch_size};
    if (cells < 1 || grid.height * grid.width != cells) {
      throw Error(ErrorCode::kModelShape, "Expected " + std::to_string(grid.height * grid.width) + " tokens (" + to_string(grid) + " patches of " +
                                              std::to_string(patch_size) + ") beside the prefix tokens but received " + received +
                                              "; check numPrefixTokens and patchSize");
    }
    return grid;
  }
  if (cells >= 1) {
    if (const auto exact = exact_grid(tile, cells)) return *exact;
    std::optional<Size> found;
    for_each_patch_grid(tile, [&](Size grid) {
      if (grid.height * grid.width == cells) found = grid;
    });
    if (found) return *found;
  }
  throw Error(ErrorCode::kModelShape, "Expected a number of tokens that forms a grid of the tile's aspect ratio but received " + received +
                                          "; check numPrefixTokens or give patchSize");
}

TokenLayout find_token_layout(Size tile, int64_t tokens, int64_t patch_size) {
  check_tile(tile);
  Size best;
  int64_t best_cells = 0;
  const auto consider = [&](Size grid) {
    const int64_t cells = grid.height * grid.width;
    if (cells > tokens || cells <= best_cells) return;
    best = grid;
    best_cells = cells;
  };
  if (patch_size > 0) {
    consider({tile.height / patch_size, tile.width / patch_size});
  } else {
    for_each_patch_grid(tile, consider);
  }
  if (best_cells < 1) {
    throw Error(ErrorCode::kModelShape, "Expected a grid of the tile's aspect ratio for the model's tokens but received " + std::to_string(tokens) +
                                            " tokens for a tile of " + to_string(tile) + "; give numPrefixTokens and patchSize");
  }
  return {tokens - best_cells, best};
}

}  // namespace manyscale
