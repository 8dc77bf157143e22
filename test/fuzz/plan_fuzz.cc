// make_plan, make_preset_plan and check_plan with any options: a plan that fulfils its promises, or a refusal.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>

#include "check.h"
#include "core/plan.h"
#include "core/preset.h"
#include "fuzzed_input.h"

using namespace manyscale;
using manyscale::fuzz::FuzzedInput;

namespace {

constexpr int64_t kOrdinarySide = 2000;
constexpr int64_t kMostScales = 6;

Size read_size(FuzzedInput& input) {
  const int64_t height = input.size(kOrdinarySide);
  return {height, input.size(kOrdinarySide)};
}

// Multiples of one another, so that more than refusals is reached.
Size read_multiple(FuzzedInput& input, const Size& of) {
  const int64_t rows = input.between(1, 5);
  const int64_t columns = input.between(1, 5);
  Size size;
  if (__builtin_mul_overflow(of.height, rows, &size.height) || __builtin_mul_overflow(of.width, columns, &size.width)) return of;
  return size;
}

std::string describe(const Scale& s) {
  std::string text = to_string(s.size()) + " in " + std::to_string(s.rows) + " x " + std::to_string(s.columns) + " tiles of " + to_string(s.tile());
  if (s.overlaps()) text += " that overlap";
  if (s.content)
    text +=
        ", content " + to_string(Size{s.content->height, s.content->width}) + " at " + std::to_string(s.content->top) + ", " + std::to_string(s.content->left);
  return text;
}

// What is said of heights is said of widths: one axis of a scale.
struct Axis {
  int64_t side, count, tile, content, begin;  // content from `begin`
  const std::vector<int64_t>& starts;
  bool has_content;

  int64_t start(int64_t i) const { return starts.empty() ? i * tile : starts[static_cast<size_t>(i)]; }
};

Axis rows_of(const Scale& s) {
  const Rectangle r = s.resized();
  return {s.height, s.rows, s.tile_height, r.height, r.top, s.tops, s.content.has_value()};
}
Axis columns_of(const Scale& s) {
  const Rectangle r = s.resized();
  return {s.width, s.columns, s.tile_width, r.width, r.left, s.lefts, s.content.has_value()};
}

// Every pixel in a tile, no tile outside of its scale or without pixels of its own; some of the resized image within the scale.
void check_axis(const Axis& axis, const std::string& what) {
  for (const int64_t side : {axis.side, axis.count, axis.tile, axis.content}) FUZZ_CHECK(side >= 1 && side <= kMaxSide, what);
  FUZZ_CHECK(axis.starts.empty() || static_cast<int64_t>(axis.starts.size()) == axis.count, what);
  int64_t covered = 0;
  for (int64_t i = 0; i < axis.count; i++) {
    const int64_t start = axis.start(i);
    FUZZ_CHECK(start <= covered && start + axis.tile > covered && start >= 0, what);
    covered = start + axis.tile;
  }
  FUZZ_CHECK(covered == axis.side, what);
  FUZZ_CHECK(axis.begin < axis.side && axis.begin + axis.content > 0, what);
}

void check_scales(const Plan& plan, size_t scales) {
  FUZZ_CHECK(plan.scales.size() == scales && scales <= static_cast<size_t>(kMaxScales), std::to_string(plan.scales.size()));
  FUZZ_CHECK(plan.output_index >= 0 && plan.output_index < static_cast<int64_t>(scales), std::to_string(plan.output_index));
  __int128 pixels = 0, tiles = 0;
  for (size_t s = 0; s < scales; s++) {
    const Scale& scale = plan.scales[s];
    check_axis(rows_of(scale), describe(scale));
    check_axis(columns_of(scale), describe(scale));
    FUZZ_CHECK(static_cast<__int128>(scale.resized().height) * scale.resized().width <= kMaxPlanPixels, describe(scale));
    FUZZ_CHECK(plan.first_tile(s) == static_cast<int64_t>(tiles), std::to_string(plan.first_tile(s)));
    tiles += scale.tile_count();
    pixels += static_cast<__int128>(scale.tile_count()) * scale.tile_height * scale.tile_width;
  }
  FUZZ_CHECK(tiles <= kMaxPlanTiles && plan.tile_count() == static_cast<int64_t>(tiles), std::to_string(plan.tile_count()));
  FUZZ_CHECK(pixels <= kMaxPlanPixels, "too many pixels");
}

// What every plan promises, wherever its scales are from; sent out and back in it is the same.
void check_promises(const Plan& plan, Size image, size_t scales) {
  FUZZ_CHECK(plan.image == image, to_string(plan.image));
  check_scales(plan, scales);
  const Plan again = check_plan(image, plan.scales, plan.output_index);
  FUZZ_CHECK(again.scales == plan.scales && again.output_index == plan.output_index, "a plan that is not its own check");
}

struct Wanted {
  double side;  // before it is rounded
  int64_t rounded;
};

Wanted wanted_side(const PlanOptions& options, Size image, size_t index, int64_t Size::*axis) {
  const Size base = options.base.value_or(image);
  const bool sizes = !options.image_sizes.empty();
  if (!options.keep_aspect) {
    if (sizes) return {static_cast<double>(options.image_sizes[index].*axis), options.image_sizes[index].*axis};
    const double side = std::floor(static_cast<double>(base.*axis) * options.scales[index]);
    return {side, static_cast<int64_t>(side)};
  }
  const auto area = [](Size size) { return static_cast<double>(size.height) * static_cast<double>(size.width); };
  const double factor = sizes ? std::sqrt(area(options.image_sizes[index]) / area(image)) : options.scales[index] * std::sqrt(area(base) / area(image));
  const double side = std::max(1.0, static_cast<double>(image.*axis) * factor);
  return {side, static_cast<int64_t>(std::floor(side + 0.5))};
}

// One axis of what make_plan made of a wanted side.
void check_cut(const Axis& axis, const PlanOptions& options, const Wanted& wanted, int64_t tile, int64_t max_split, int64_t unit, const std::string& what) {
  const int64_t side = wanted.rounded;
  const bool overlaps = options.overlap > 0;
  FUZZ_CHECK(axis.side >= side, what);
  if (options.uneven == Uneven::kRefuse) FUZZ_CHECK(axis.side == side, what);
  if (options.uneven != Uneven::kPad) FUZZ_CHECK(!axis.has_content, what);
  if (options.uneven == Uneven::kPad) FUZZ_CHECK(axis.begin == 0 && (axis.has_content ? axis.content == side : axis.side == side), what);
  if (tile > 0) FUZZ_CHECK(axis.tile == tile, what);
  if (tile == 0) FUZZ_CHECK(axis.tile <= max_split, what);
  if (!overlaps) {  // no tile more than it takes
    FUZZ_CHECK(axis.starts.empty(), what);
    FUZZ_CHECK(axis.side - side < (tile > 0 ? tile : axis.count), what);
    if (tile == 0) FUZZ_CHECK((axis.count - 1) * max_split < side, what);
    return;
  }
  if (tile == 0) FUZZ_CHECK(axis.tile == std::min(max_split, side), what);
  FUZZ_CHECK(axis.side == axis.tile || axis.side - side < std::max<int64_t>(unit, 1), what);
  if (axis.count == 1) return;
  const double asked = options.overlap < 1 ? options.overlap * static_cast<double>(axis.tile) : options.overlap;
  // Whole cells, and never a whole tile.
  const double least = std::min(std::ceil(asked - 1e-5), static_cast<double>(axis.tile - std::max<int64_t>(unit, 1)));
  for (int64_t i = 1; i < axis.count; i++) {
    FUZZ_CHECK(static_cast<double>(axis.start(i - 1) + axis.tile - axis.start(i)) >= least, what);
    if (unit > 0) FUZZ_CHECK(axis.start(i) % unit == 0, what);
  }
  const int64_t rounded = std::max<int64_t>(static_cast<int64_t>(least), 1);
  const int64_t shared = unit > 0 ? std::min((rounded + unit - 1) / unit * unit, axis.tile - unit) : rounded;
  FUZZ_CHECK(axis.tile + (axis.count - 2) * (axis.tile - shared) < axis.side, what);  // one tile less does not do
}

void fuzz_make_plan(FuzzedInput& input) {
  PlanOptions options;
  const Size image = read_size(input);
  if (input.boolean()) options.base = read_size(input);
  const Size base = options.base.value_or(image);
  if (input.boolean()) options.tile = input.boolean() ? base : read_size(input);
  if (input.boolean()) options.max_split_size = read_size(input);
  options.keep_aspect = input.boolean();
  options.uneven = static_cast<Uneven>(input.between(0, 2));
  if (input.boolean()) options.overlap = input.boolean() ? static_cast<double>(input.between(1, 300)) : input.number() / 8;
  if (input.boolean()) options.overlap_unit = input.boolean() ? Size{input.between(1, 32), input.between(1, 32)} : read_size(input);
  const int64_t count = input.between(0, kMostScales);
  const bool sizes = count > 0 && input.boolean();
  for (int64_t i = 0; i < count; i++) {
    if (sizes) {
      options.image_sizes.push_back(input.boolean() ? read_size(input) : read_multiple(input, options.tile.value_or(options.max_split_size.value_or(base))));
    } else {
      options.scales.push_back(input.number());
    }
  }
  if (!sizes && input.between(0, 63) == 63) options.scales.resize(static_cast<size_t>(input.between(kMaxScales - 1, kMaxScales + 1)), 1.0);
  options.resize_output_to_index = input.boolean() ? input.between(-kMostScales, kMostScales) : input.size(kMostScales);

  Plan plan;
  try {
    plan = make_plan(image, options);
  } catch (const Error& error) {
    FUZZ_CHECK_REFUSAL(error, ErrorCode::kInvalidArgument, ErrorCode::kPlanTooLarge);
    return;
  }
  FUZZ_CHECK(!plan.via, "what nobody asked for");
  check_promises(plan, image, sizes ? options.image_sizes.size() : options.scales.size());
  const Size tile = options.tile.value_or(Size{0, 0});
  const Size max_split = options.max_split_size.value_or(base);
  const Size unit = options.overlap_unit.value_or(Size{0, 0});
  for (size_t s = 0; s < plan.scales.size(); s++) {
    const Scale& scale = plan.scales[s];
    const Wanted height = wanted_side(options, image, s, &Size::height);
    const Wanted width = wanted_side(options, image, s, &Size::width);
    const std::string what = describe(scale) + " of " + std::to_string(height.side) + " x " + std::to_string(width.side);
    if (scale.content) FUZZ_CHECK(scale.padding == Padding::kZero, what);
    check_cut(rows_of(scale), options, height, tile.height, max_split.height, unit.height, what);
    check_cut(columns_of(scale), options, width, tile.width, max_split.width, unit.width, what);
  }
}

// One tile that shows the middle of the image, whose shortest edge is as long as the tile's.
void check_via(const Plan& plan, int64_t side) {
  FUZZ_CHECK(plan.via.has_value(), "llava-s2 crops");
  const Scale& via = *plan.via;
  FUZZ_CHECK(via.rows == 1 && via.columns == 1 && via.size() == (Size{side, side}) && via.covers(), describe(via));
  check_promises({plan.image, {via}, 0, std::nullopt}, plan.image, 1);
  const Rectangle r = via.resized();
  FUZZ_CHECK(std::min(r.height, r.width) == side, describe(via));
  for (const auto& [begin, length] : {std::pair{r.top, r.height}, std::pair{r.left, r.width}}) {
    FUZZ_CHECK(std::abs(-begin - (length - side + begin)) <= 1, describe(via));
  }
}

// In the middle of background, as large as fits.
void check_placed(const Scale& scale) {
  const Rectangle r = scale.resized();
  FUZZ_CHECK(r.top >= 0 && r.left >= 0 && r.top + r.height <= scale.height && r.left + r.width <= scale.width, describe(scale));
  FUZZ_CHECK(r.height == scale.height || r.width == scale.width, describe(scale));
  FUZZ_CHECK(scale.height - r.height - 2 * r.top <= 1 && scale.width - r.width - 2 * r.left <= 1, describe(scale));
  FUZZ_CHECK(scale.covers() || scale.padding == Padding::kBackground, describe(scale));
}

void fuzz_make_preset_plan(FuzzedInput& input) {
  constexpr const char* kPresetNames[] = {"llava-s2", "dynamic-s2", "internvl", "anyres"};
  constexpr int64_t kOrdinaryTile = 448;
  const Size image = read_size(input);
  PresetOptions options;
  options.preset = *find_preset(input.pick(kPresetNames));
  options.tile.height = input.size(kOrdinaryTile);
  options.tile.width = input.between(0, 15) == 15 ? input.size(kOrdinaryTile) : options.tile.height;
  for (int64_t count = input.between(0, 3); count > 0; count--) {
    const bool ascends = input.boolean();
    options.scales.push_back(ascends ? static_cast<double>(options.scales.size() + 1) : input.number());
  }
  if (input.boolean()) options.max_tiles = input.boolean() ? input.between(1, 40) : input.size(1000);
  for (int64_t count = input.between(0, 3); count > 0; count--) {
    options.resolutions.push_back(input.boolean() ? read_multiple(input, options.tile) : read_size(input));
  }
  if (input.boolean()) options.resize_output_to_index = input.size(kMostScales);

  Plan plan;
  try {
    plan = make_preset_plan(image, options);
  } catch (const Error& error) {
    FUZZ_CHECK_REFUSAL(error, ErrorCode::kInvalidArgument, ErrorCode::kPlanTooLarge);
    return;
  }
  check_promises(plan, image, plan.scales.size());
  FUZZ_CHECK(plan.via.has_value() == (options.preset == Preset::kLlavaS2), "what the scales are made of");
  for (const Scale& scale : plan.scales) FUZZ_CHECK(scale.tile() == options.tile && !scale.overlaps(), describe(scale));
  const bool joins = options.preset == Preset::kLlavaS2 || options.preset == Preset::kDynamicS2;
  if (joins) {
    FUZZ_CHECK(plan.scales.size() == (options.scales.empty() ? 3 : options.scales.size()), "scales");
    const size_t squares = plan.scales.size() - (options.preset == Preset::kDynamicS2 ? 1 : 0);
    for (size_t s = 0; s < squares; s++) {
      const auto side = options.scales.empty() ? static_cast<int64_t>(s) + 1 : static_cast<int64_t>(options.scales[s]);
      FUZZ_CHECK(plan.scales[s].rows == side && plan.scales[s].columns == side && !plan.scales[s].content, describe(plan.scales[s]));
    }
  }
  const Scale& last = plan.scales.back();
  const int64_t most = options.max_tiles;
  switch (options.preset) {
    case Preset::kLlavaS2: check_via(plan, last.height); break;
    case Preset::kDynamicS2: {
      const int64_t side = options.scales.empty() ? 3 : static_cast<int64_t>(options.scales.back());
      FUZZ_CHECK(last.tile_count() >= side * side && last.tile_count() <= (most > 0 ? most : std::max<int64_t>(12, side * side)), describe(last));
      break;
    }
    case Preset::kInternVl: {
      const Scale& first = plan.scales.front();
      FUZZ_CHECK(first.tile_count() <= (most > 0 ? most : 12), describe(first));
      FUZZ_CHECK(plan.scales.size() == (first.tile_count() > 1 ? 2 : 1) && (first.tile_count() == 1 || last.tile_count() == 1),
                 "a thumbnail beside several tiles");
      break;
    }
    case Preset::kAnyRes:
      FUZZ_CHECK(plan.scales.size() == 2 && plan.scales.front().tile_count() == 1 && !plan.scales.front().content, "the whole image on one tile");
      FUZZ_CHECK(most == 0 || last.tile_count() <= most, describe(last));
      check_placed(last);
      break;
  }
}

// An axis of a scale from outside: tiles that fill it or overlap, or anything.
void read_axis(FuzzedInput& input, int64_t& side, int64_t& count, int64_t& tile, std::vector<int64_t>& starts) {
  tile = input.size(kOrdinarySide);
  count = input.size(5);
  if (tile >= 1 && tile <= kMaxSide && input.boolean()) {
    starts.push_back(0);
    while (static_cast<int64_t>(starts.size()) < std::min<int64_t>(count, 40)) starts.push_back(starts.back() + input.between(1, tile));
    side = starts.back() + tile;
    if (input.between(0, 7) == 7) starts[static_cast<size_t>(input.between(0, static_cast<int64_t>(starts.size()) - 1))] = input.size(kOrdinarySide);
  } else if (!input.boolean() || __builtin_mul_overflow(count, tile, &side)) {
    side = input.size(kOrdinarySide);
  }
}

void fuzz_check_plan(FuzzedInput& input) {
  const Size image = read_size(input);
  std::vector<Scale> scales(static_cast<size_t>(input.between(0, kMostScales)));
  for (Scale& scale : scales) {
    read_axis(input, scale.height, scale.rows, scale.tile_height, scale.tops);
    read_axis(input, scale.width, scale.columns, scale.tile_width, scale.lefts);
    if (input.boolean()) {
      const Size size = read_size(input);
      const Size at = read_size(input);
      scale.content = Rectangle{input.boolean() ? at.height : 0, input.boolean() ? at.width : 0, size.height, size.width};
      scale.padding = input.boolean() ? Padding::kZero : Padding::kBackground;
    }
  }
  try {
    const Plan plan = check_plan(image, scales, input.size(kMostScales));
    check_promises(plan, image, scales.size());
    FUZZ_CHECK(plan.scales == scales, "a check that changes the plan");
  } catch (const Error& error) {
    FUZZ_CHECK_REFUSAL(error, ErrorCode::kInvalidArgument, ErrorCode::kPlanTooLarge);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzedInput input(data, size);
  switch (input.between(0, 3)) {
    case 0: fuzz_check_plan(input); break;
    case 1: fuzz_make_preset_plan(input); break;
    default: fuzz_make_plan(input);
  }
  return 0;
}
