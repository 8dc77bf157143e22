#include "core/plan.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "core/checked.h"

namespace manyscale {
namespace {

[[noreturn]] void refuse(const std::string& message) { throw Error(ErrorCode::kInvalidArgument, message); }

// A side that was computed, refused before the conversion could overflow. `of`: for messages, "scale 2 of 224".
int64_t whole_side(double side, const char* what, const std::string& of) {
  if (!(side <= static_cast<double>(kMaxSide))) {
    throw Error(ErrorCode::kPlanTooLarge, "Expected at most " + std::to_string(kMaxSide) + " pixels for " + what + " of every scale but received " + of);
  }
  if (side < 1) {
    refuse(std::string("Expected at least 1 pixel for ") + what + " of every scale but received " + of + " pixels; take a larger scale");
  }
  return static_cast<int64_t>(side);
}

// floor(side * scale)
int64_t scaled_side(int64_t side, double scale, const char* what) {
  return whole_side(std::floor(static_cast<double>(side) * scale), what, "scale " + number_text(scale) + " of " + std::to_string(side));
}

// The image's own aspect ratio, `factor` times its sides: to the nearest pixel, at least 1.
Size keeping_aspect(Size image, double factor) {
  const std::string of = number_text(factor) + " times " + to_string(image);
  const auto side = [&](int64_t pixels, const char* what) {
    return whole_side(std::max(1.0, std::floor(static_cast<double>(pixels) * factor + 0.5)), what, of);
  };
  return {side(image.height, "the height"), side(image.width, "the width")};
}

double area(const Size& size) { return static_cast<double>(size.height) * static_cast<double>(size.width); }

std::vector<Size> wanted_sizes(Size image, Size base, const PlanOptions& options) {
  std::vector<Size> sizes;
  if (!options.image_sizes.empty()) {
    for (const Size& size : options.image_sizes) {
      check_side(size.height, "the height of every scale");
      check_side(size.width, "the width of every scale");
      sizes.push_back(options.keep_aspect ? keeping_aspect(image, std::sqrt(area(size) / area(image))) : size);
    }
    return sizes;
  }
  for (const double scale : options.scales) {
    if (!std::isfinite(scale) || scale <= 0) refuse("Expected finite numbers above 0 for scales but received " + number_text(scale));
    if (options.keep_aspect) {
      sizes.push_back(keeping_aspect(image, scale * std::sqrt(area(base) / area(image))));
    } else {
      sizes.push_back({scaled_side(base.height, scale, "the height"), scaled_side(base.width, scale, "the width")});
    }
  }
  return sizes;
}

int64_t resolve_output_index(int64_t index, size_t count) {
  const int64_t scales = static_cast<int64_t>(count);
  if (index < -scales || index >= scales) {
    refuse("Expected " + std::to_string(-scales) + " to " + std::to_string(scales - 1) + " for resizeOutputToIndex but received " + std::to_string(index) +
           " (there are " + std::to_string(scales) + " scales)");
  }
  return index < 0 ? index + scales : index;
}

void check_count(size_t scales) {
  if (scales > static_cast<size_t>(kMaxScales)) {
    throw Error(ErrorCode::kPlanTooLarge, "Expected at most " + std::to_string(kMaxScales) + " scales for a plan but received " + std::to_string(scales));
  }
}

// What the scales of a plan have together, refused as soon as it is too much.
class Total {
 public:
  // Tiles that overlap have more pixels than their scale.
  void add(const Scale& scale) {
    const int64_t count = checked_product("a plan's tiles", scale.rows, scale.columns);
    tiles_ = checked_sum("a plan's tiles", tiles_, count);
    pixels_ = checked_sum("a plan's pixels", pixels_, checked_product("a plan's pixels", count, scale.tile_height, scale.tile_width));
    if (pixels_ > kMaxPlanPixels) {
      throw Error(ErrorCode::kPlanTooLarge, "Expected at most " + std::to_string(kMaxPlanPixels) + " pixels over all scales but received " +
                                                std::to_string(pixels_) + " or more; take smaller or fewer scales");
    }
    check_tile_count(tiles_);
  }

 private:
  int64_t tiles_ = 0;
  int64_t pixels_ = 0;
};

Scale make_scale(Size size, const AxisRule& y, const AxisRule& x, Uneven uneven) {
  AxisCut rows = cut_axis(size.height, y);
  AxisCut columns = cut_axis(size.width, x);
  Scale scale;
  scale.height = rows.side;
  scale.width = columns.side;
  scale.rows = rows.count;
  scale.columns = columns.count;
  scale.tile_height = rows.tile;
  scale.tile_width = columns.tile;
  scale.tops = std::move(rows.starts);
  scale.lefts = std::move(columns.starts);
  if (uneven == Uneven::kPad && scale.size() != size) scale.content = Rectangle{0, 0, size.height, size.width};
  return scale;
}

}  // namespace

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
  if (max_split.height < 1 || max_split.width < 1) refuse("Expected at least 1 pixel for maxSplitSize but received " + to_string(max_split));
  const double overlap = options.overlap;
  if (!(overlap >= 0 && overlap <= static_cast<double>(kMaxSide)) || (overlap >= 1 && overlap != std::floor(overlap))) {
    refuse("Expected whole pixels, or a part of the tile below 1, for overlap but received " + number_text(overlap));
  }
  const size_t count = options.image_sizes.empty() ? options.scales.size() : options.image_sizes.size();
  if (count == 0) refuse("Expected at least one scale for scales or imageSizes but received none");
  check_count(count);

  const Size tile = options.tile.value_or(Size{0, 0});
  const Size unit = options.overlap_unit.value_or(Size{0, 0});
  if (unit.height < 0 || unit.width < 0) refuse("Expected at least 1 pixel for the unit of overlaps but received " + to_string(unit));
  const AxisRule y{max_split.height, tile.height, overlap, unit.height, options.uneven, "height"};
  const AxisRule x{max_split.width, tile.width, overlap, unit.width, options.uneven, "width"};
  std::vector<Scale> scales;
  Total total;  // before the next scale lists where its tiles begin
  for (const Size& size : wanted_sizes(image, base, options)) {
    scales.push_back(make_scale(size, y, x, options.uneven));
    total.add(scales.back());
  }
  return make_plan_of(image, std::move(scales), options.resize_output_to_index);
}

Plan make_plan_of(Size image, std::vector<Scale> scales, int64_t resize_output_to_index) {
  Plan plan;
  plan.image = image;
  plan.output_index = resolve_output_index(resize_output_to_index, scales.size());
  plan.scales = std::move(scales);
  Total total;
  for (const Scale& scale : plan.scales) {
    check_scale(scale);
    total.add(scale);
  }
  return plan;
}

Plan check_plan(Size image, const std::vector<Scale>& scales, int64_t output_index) {
  check_side(image.height, "the plan's image height");
  check_side(image.width, "the plan's image width");
  if (scales.empty()) refuse("Expected at least one scale for a plan but received none");
  check_count(scales.size());
  return make_plan_of(image, scales, output_index);
}

}  // namespace manyscale
