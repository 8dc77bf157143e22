// make_plan and check_plan with any options: a plan that fulfils its promises, or a refusal.
#include <cmath>
#include <cstdint>
#include <string>

#include "check.h"
#include "core/plan.h"
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
  return to_string(s.size()) + " in " + std::to_string(s.rows) + " x " + std::to_string(s.columns) + " tiles of " + to_string(s.tile());
}

// What every plan promises, wherever its scales are from.
void check_promises(const Plan& plan, Size image, size_t scales) {
  FUZZ_CHECK(plan.image == image, to_string(plan.image));
  FUZZ_CHECK(plan.scales.size() == scales && scales <= static_cast<size_t>(kMaxScales), std::to_string(plan.scales.size()));
  FUZZ_CHECK(plan.output_index >= 0 && plan.output_index < static_cast<int64_t>(scales), std::to_string(plan.output_index));
  __int128 pixels = 0, tiles = 0;
  for (size_t s = 0; s < scales; s++) {
    const Scale& scale = plan.scales[s];
    for (const int64_t side : {scale.height, scale.width, scale.rows, scale.columns, scale.tile_height, scale.tile_width}) {
      FUZZ_CHECK(side >= 1 && side <= kMaxSide, describe(scale));
    }
    FUZZ_CHECK(scale.rows * scale.tile_height == scale.height && scale.columns * scale.tile_width == scale.width, describe(scale));
    FUZZ_CHECK(plan.first_tile(s) == static_cast<int64_t>(tiles), std::to_string(plan.first_tile(s)));
    tiles += scale.tile_count();
    pixels += static_cast<__int128>(scale.height) * scale.width;
  }
  FUZZ_CHECK(tiles <= kMaxPlanTiles && plan.tile_count() == static_cast<int64_t>(tiles), std::to_string(plan.tile_count()));
  FUZZ_CHECK(pixels <= kMaxPlanPixels, "too many pixels");
}

void fuzz_make_plan(FuzzedInput& input) {
  PlanOptions options;
  const Size image = read_size(input);
  if (input.boolean()) options.base = read_size(input);
  const Size base = options.base.value_or(image);
  if (input.boolean()) options.tile = input.boolean() ? base : read_size(input);
  if (input.boolean()) options.max_split_size = read_size(input);
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
  check_promises(plan, image, sizes ? options.image_sizes.size() : options.scales.size());
  for (size_t s = 0; s < plan.scales.size(); s++) {
    const Scale& scale = plan.scales[s];
    if (sizes) {
      FUZZ_CHECK(scale.size() == options.image_sizes[s], describe(scale));
    } else {
      FUZZ_CHECK(static_cast<double>(scale.height) == std::floor(static_cast<double>(base.height) * options.scales[s]), describe(scale));
      FUZZ_CHECK(static_cast<double>(scale.width) == std::floor(static_cast<double>(base.width) * options.scales[s]), describe(scale));
    }
    if (options.tile) {
      FUZZ_CHECK(scale.tile() == *options.tile, describe(scale));
    } else {  // the fewest tiles that are no larger than allowed
      const Size largest = options.max_split_size.value_or(base);
      FUZZ_CHECK(scale.tile_height <= largest.height && scale.tile_width <= largest.width, describe(scale));
      FUZZ_CHECK(scale.rows == 1 || (scale.rows - 1) * largest.height < scale.height, describe(scale));
      FUZZ_CHECK(scale.columns == 1 || (scale.columns - 1) * largest.width < scale.width, describe(scale));
    }
  }
  const Plan again = check_plan(image, plan.scales, plan.output_index);
  FUZZ_CHECK(again.scales.size() == plan.scales.size() && again.output_index == plan.output_index, "a plan that is not its own check");
  for (size_t s = 0; s < plan.scales.size(); s++) FUZZ_CHECK(again.scales[s] == plan.scales[s], describe(again.scales[s]));
}

void fuzz_check_plan(FuzzedInput& input) {
  const Size image = read_size(input);
  std::vector<Scale> scales(static_cast<size_t>(input.between(0, kMostScales)));
  for (Scale& scale : scales) {
    scale.tile_height = input.size(kOrdinarySide);
    scale.tile_width = input.size(kOrdinarySide);
    scale.rows = input.size(5);
    scale.columns = input.size(5);
    const bool consistent = input.boolean() && !__builtin_mul_overflow(scale.rows, scale.tile_height, &scale.height) &&
                            !__builtin_mul_overflow(scale.columns, scale.tile_width, &scale.width);
    if (!consistent) {
      scale.height = input.size(kOrdinarySide);
      scale.width = input.size(kOrdinarySide);
    }
  }
  try {
    const Plan plan = check_plan(image, scales, input.size(kMostScales));
    check_promises(plan, image, scales.size());
    for (size_t s = 0; s < scales.size(); s++) FUZZ_CHECK(plan.scales[s] == scales[s], describe(plan.scales[s]));
  } catch (const Error& error) {
    FUZZ_CHECK_REFUSAL(error, ErrorCode::kInvalidArgument, ErrorCode::kPlanTooLarge);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzedInput input(data, size);
  if (input.boolean()) {
    fuzz_check_plan(input);
  } else {
    fuzz_make_plan(input);
  }
  return 0;
}
