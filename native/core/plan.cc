#include "core/plan.h"

#include <algorithm>
#include <cmath>

#include "core/checked.h"

namespace manyscale {
namespace {

// floor(side * scale), refused before the conversion could overflow.
int64_t scaled_side(int64_t side, double scale, const char* what) {
  const double scaled = std::floor(static_cast<double>(side) * scale);
  if (!(scaled <= static_cast<double>(kMaxSide))) {
    throw Error(ErrorCode::kPlanTooLarge, std::string("Expected at most ") + std::to_string(kMaxSide) + " pixels for " + what +
                                              " of every scale but received scale " + number_text(scale) + " of " + std::to_string(side));
  }
  if (scaled < 1) {
    throw Error(ErrorCode::kInvalidArgument, std::string("Expected at least 1 pixel for ") + what + " of every scale but received scale " + number_text(scale) +
                                                 " of " + std::to_string(side) + " pixels; take a larger scale");
  }
  return static_cast<int64_t>(scaled);
}

// The sizes of the two that could be asked for, as "672 or 896".
std::string either(int64_t below, int64_t above) {
  if (below < 1) return std::to_string(above);
  if (above > kMaxSide) return std::to_string(below);
  return std::to_string(below) + " or " + std::to_string(above);
}

// The nearest sizes below and above that divide evenly. With k splits these are the multiples of k, k * max_split among them, so
// that neither is further away than the smaller of k and max_split.
std::string nearest_dividing(int64_t side, int64_t max_split) {
  const auto works = [max_split](int64_t n) { return n % ceil_div(n, max_split) == 0; };
  int64_t below = side;
  int64_t above = side;
  while (!works(below)) below--;  // 1 works
  while (above <= kMaxSide && !works(above)) above++;
  return either(below, above);
}

// How many tiles a side is cut into.
int64_t cut(int64_t side, int64_t max_split, int64_t tile, const char* what) {
  if (tile > 0) {
    if (side % tile != 0) {
      throw Error(ErrorCode::kInvalidArgument, std::string("Expected a multiple of the tile's ") + what + " (" + std::to_string(tile) + ") for the " + what +
                                                   " of every scale but received " + std::to_string(side) + "; the nearest that work are " +
                                                   either(side / tile * tile, side / tile * tile + tile));
    }
    return side / tile;
  }
  const int64_t splits = ceil_div(side, max_split);
  if (side % splits != 0) {
    throw Error(ErrorCode::kInvalidArgument, std::string("Expected a ") + what + " that divides evenly into its splits for every scale but received " +
                                                 std::to_string(side) + " with a max split size of " + std::to_string(max_split) + " (" +
                                                 std::to_string(splits) + " splits); the nearest that work are " + nearest_dividing(side, max_split));
  }
  return splits;
}

int64_t resolve_output_index(int64_t index, size_t count) {
  const int64_t scales = static_cast<int64_t>(count);
  if (index < -scales || index >= scales) {
    throw Error(ErrorCode::kInvalidArgument, "Expected " + std::to_string(-scales) + " to " + std::to_string(scales - 1) +
                                                 " for resizeOutputToIndex but received " + std::to_string(index) + " (there are " + std::to_string(scales) +
                                                 " scales)");
  }
  return index < 0 ? index + scales : index;
}

void check_count(size_t scales) {
  if (scales > static_cast<size_t>(kMaxScales)) {
    throw Error(ErrorCode::kPlanTooLarge, "Expected at most " + std::to_string(kMaxScales) + " scales for a plan but received " + std::to_string(scales));
  }
}

void check_total(const Plan& plan) {
  int64_t total = 0;
  int64_t tiles = 0;
  for (const Scale& scale : plan.scales) {
    tiles = checked_sum("a plan's tiles", tiles, checked_product("a plan's tiles", scale.rows, scale.columns));
    total = checked_sum("a plan's pixels", total, checked_product("a plan's pixels", scale.height, scale.width));
  }
  if (total > kMaxPlanPixels) {
    throw Error(ErrorCode::kPlanTooLarge, "Expected at most " + std::to_string(kMaxPlanPixels) + " pixels over all scales but received " +
                                              std::to_string(total) + "; take smaller or fewer scales");
  }
  check_tile_count(tiles);
}

}  // namespace

void check_side(int64_t side, const char* what) {
  if (side < 1) throw Error(ErrorCode::kInvalidArgument, std::string("Expected at least 1 pixel for ") + what + " but received " + std::to_string(side));
  if (side > kMaxSide) {
    throw Error(ErrorCode::kPlanTooLarge,
                std::string("Expected at most ") + std::to_string(kMaxSide) + " pixels for " + what + " but received " + std::to_string(side));
  }
}

void check_tile_count(int64_t tiles) {
  if (tiles > kMaxPlanTiles) {
    throw Error(ErrorCode::kPlanTooLarge, "Expected at most " + std::to_string(kMaxPlanTiles) + " tiles over all scales but received " + std::to_string(tiles) +
                                              "; take larger tiles, smaller scales or fewer images");
  }
}

int64_t Plan::tile_count() const {
  int64_t count = 0;
  for (const Scale& scale : scales) count += scale.tile_count();
  return count;
}

int64_t Plan::first_tile(size_t index) const {
  int64_t count = 0;
  for (size_t i = 0; i < index; i++) count += scales[i].tile_count();
  return count;
}

bool Plan::same_tile_shape() const {
  return std::all_of(scales.begin(), scales.end(), [this](const Scale& scale) { return scale.tile() == scales.front().tile(); });
}

Plan make_plan(Size image, const PlanOptions& options) {
  check_side(image.height, "the image's height");
  check_side(image.width, "the image's width");
  const Size base = options.base.value_or(image);
  check_side(base.height, "the height that scales are relative to");
  check_side(base.width, "the width that scales are relative to");
  if (options.tile) {
    check_side(options.tile->height, "the tile's height");
    check_side(options.tile->width, "the tile's width");
  }
  const Size max_split = options.max_split_size.value_or(base);
  if (max_split.height < 1 || max_split.width < 1) {
    throw Error(ErrorCode::kInvalidArgument, "Expected at least 1 pixel for maxSplitSize but received " + to_string(max_split));
  }

  std::vector<Size> sizes = options.image_sizes;
  if (sizes.empty()) {
    for (double scale : options.scales) {
      if (!std::isfinite(scale) || scale <= 0) {
        throw Error(ErrorCode::kInvalidArgument, "Expected finite numbers above 0 for scales but received " + number_text(scale));
      }
      sizes.push_back({scaled_side(base.height, scale, "the height"), scaled_side(base.width, scale, "the width")});
    }
  }
  if (sizes.empty()) throw Error(ErrorCode::kInvalidArgument, "Expected at least one scale for scales or imageSizes but received none");
  check_count(sizes.size());

  Plan plan;
  plan.image = image;
  plan.output_index = resolve_output_index(options.resize_output_to_index, sizes.size());
  for (const Size& size : sizes) {
    check_side(size.height, "the height of every scale");
    check_side(size.width, "the width of every scale");
    const int64_t rows = cut(size.height, max_split.height, options.tile ? options.tile->height : 0, "height");
    const int64_t columns = cut(size.width, max_split.width, options.tile ? options.tile->width : 0, "width");
    plan.scales.push_back({size.height, size.width, rows, columns, size.height / rows, size.width / columns});
  }
  check_total(plan);
  return plan;
}

Plan check_plan(Size image, const std::vector<Scale>& scales, int64_t output_index) {
  check_side(image.height, "the plan's image height");
  check_side(image.width, "the plan's image width");
  if (scales.empty()) throw Error(ErrorCode::kInvalidArgument, "Expected at least one scale for a plan but received none");
  check_count(scales.size());
  Plan plan;
  plan.image = image;
  plan.output_index = resolve_output_index(output_index, scales.size());
  for (const Scale& scale : scales) {
    check_side(scale.height, "the height of every scale");
    check_side(scale.width, "the width of every scale");
    check_side(scale.tile_height, "every scale's tileHeight");
    check_side(scale.tile_width, "every scale's tileWidth");
    const bool whole = scale.height % scale.tile_height == 0 && scale.width % scale.tile_width == 0;
    if (!whole || scale.rows != scale.height / scale.tile_height || scale.columns != scale.width / scale.tile_width) {
      throw Error(ErrorCode::kInvalidArgument, "Expected rows * tileHeight = height and columns * tileWidth = width for every scale of a plan but received " +
                                                   std::to_string(scale.rows) + " x " + std::to_string(scale.columns) + " tiles of " + to_string(scale.tile()) +
                                                   " for a scale of " + to_string(scale.size()));
    }
    plan.scales.push_back(scale);
  }
  check_total(plan);
  return plan;
}

}  // namespace manyscale
