#include "core/scale.h"

#include <string>

#include "core/checked.h"
#include "core/limits.h"

namespace manyscale {
namespace {

[[noreturn]] void refuse(const std::string& message) { throw Error(ErrorCode::kInvalidArgument, message); }

// Tiles of one axis: `starts` or, empty, one behind the other. Every pixel in a tile, no tile outside.
void check_axis(int64_t side, int64_t tile, int64_t count, const std::vector<int64_t>& starts, const char* what) {
  if (starts.empty()) {
    if (side % tile == 0 && count == side / tile) return;
    refuse("Expected rows * tileHeight = height and columns * tileWidth = width for every scale of a plan whose tiles do not overlap but received " +
           std::to_string(count) + " tiles of " + std::to_string(tile) + " pixels for a " + what + " of " + std::to_string(side));
  }
  const std::string name = std::string("the positions of tiles along the ") + what;
  if (static_cast<int64_t>(starts.size()) != count) {
    refuse("Expected " + std::to_string(count) + " numbers for " + name + " but received " + std::to_string(starts.size()));
  }
  if (starts.front() != 0 || starts.back() != side - tile) {
    refuse("Expected 0 to " + std::to_string(side - tile) + " for " + name + " but received " + std::to_string(starts.front()) + " to " +
           std::to_string(starts.back()));
  }
  for (size_t i = 1; i < starts.size(); i++) {
    if (starts[i] > starts[i - 1] && starts[i] - starts[i - 1] <= tile) continue;
    refuse("Expected ascending numbers at most " + std::to_string(tile) + " apart for " + name + " but received " + std::to_string(starts[i - 1]) + " and " +
           std::to_string(starts[i]));
  }
}

void check_content(const Scale& scale) {
  const Rectangle& r = *scale.content;
  check_side(r.height, "the height of a scale's content");
  check_side(r.width, "the width of a scale's content");
  const bool near = r.top > -kMaxSide && r.left > -kMaxSide && r.top < scale.height && r.left < scale.width;
  if (!near || r.top + r.height <= 0 || r.left + r.width <= 0) {
    refuse("Expected content that lies in its scale (" + to_string(scale.size()) + ") but received " + to_string(Size{r.height, r.width}) + " at row " +
           std::to_string(r.top) + ", column " + std::to_string(r.left));
  }
  if (checked_product("a scale's content", r.height, r.width) > kMaxPlanPixels) {
    throw Error(ErrorCode::kPlanTooLarge, "Expected a resized image of at most " + std::to_string(kMaxPlanPixels) + " pixels but received " +
                                              to_string(Size{r.height, r.width}) + "; the image's aspect ratio is too extreme for this way of cutting");
  }
}

}  // namespace

bool Scale::covers() const {
  const Rectangle r = resized();
  return r.top <= 0 && r.left <= 0 && r.top + r.height >= height && r.left + r.width >= width;
}

void check_scale(const Scale& scale) {
  check_side(scale.height, "the height of every scale");
  check_side(scale.width, "the width of every scale");
  check_side(scale.tile_height, "every scale's tileHeight");
  check_side(scale.tile_width, "every scale's tileWidth");
  check_axis(scale.height, scale.tile_height, scale.rows, scale.tops, "height");
  check_axis(scale.width, scale.tile_width, scale.columns, scale.lefts, "width");
  if (scale.content) check_content(scale);
}

}  // namespace manyscale
