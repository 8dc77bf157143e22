// Presets: choices that are easily made wrong. Whole sweeps against plain implementations are in test/parity.
#include "core/preset.h"

#include <doctest/doctest.h>

#include <string>

#include "core/error.h"
#include "core/tile_ratio.h"

using namespace manyscale;

namespace {

PresetOptions options_of(Preset preset, int64_t tile, int64_t max_tiles = 0, std::vector<double> scales = {}) {
  PresetOptions options;
  options.preset = preset;
  options.tile = {tile, tile};
  options.max_tiles = max_tiles;
  options.scales = std::move(scales);
  return options;
}

std::string code_of(Size image, const PresetOptions& options) {
  try {
    make_preset_plan(image, options);
  } catch (const Error& error) {
    CHECK(std::string(error.what()).find("but received") != std::string::npos);
    return error_code_name(error.code());
  }
  return "none";
}

}  // namespace

TEST_CASE("preset: equal products of tiles stand in the order of CPython's set") {
  std::string text;
  for (const Size& ratio : tile_ratios(9, 12)) text += std::to_string(ratio.width) + "x" + std::to_string(ratio.height) + " ";
  CHECK(text == "3x3 9x1 1x9 10x1 1x10 2x5 5x2 11x1 1x11 1x12 6x2 12x1 3x4 4x3 2x6 ");
}

TEST_CASE("preset: of equally near ratios the later one is taken by images of more than half its pixels") {
  // 1 x 1, 2 x 2 and 3 x 3 tiles are equally near to any square.
  const std::vector<Size> ratios = tile_ratios(1, 12);
  CHECK(choose_tile_ratio({100, 100}, ratios, 448) == Size{1, 1});
  CHECK(choose_tile_ratio({633, 633}, ratios, 448) == Size{1, 1});  // half of 2 x 2 tiles: 633.57 squared
  CHECK(choose_tile_ratio({634, 634}, ratios, 448) == Size{2, 2});
  CHECK(choose_tile_ratio({950, 950}, ratios, 448) == Size{2, 2});
  CHECK(choose_tile_ratio({951, 951}, ratios, 448) == Size{3, 3});
}

TEST_CASE("preset: dynamic-s2 ends with the scale that follows the aspect ratio, where the output is") {
  const Plan plan = make_preset_plan({900, 1200}, options_of(Preset::kDynamicS2, 448));
  REQUIRE(plan.scales.size() == 3);
  CHECK(plan.scales[0] == Scale{448, 448, 1, 1, 448, 448});
  CHECK(plan.scales[1] == Scale{896, 896, 2, 2, 448, 448});
  CHECK(plan.scales[2] == Scale{1344, 1792, 3, 4, 448, 448});
  CHECK(plan.output_index == 2);
  CHECK(code_of({900, 1200}, options_of(Preset::kDynamicS2, 448, 8)) == "ERR_INVALID_ARGUMENT");  // fewer than 3 x 3
  CHECK(code_of({900, 1200}, options_of(Preset::kDynamicS2, 448, 9)) == "none");
}

TEST_CASE("preset: internvl has a thumbnail behind several tiles only") {
  CHECK(make_preset_plan({400, 400}, options_of(Preset::kInternVl, 448)).scales.size() == 1);
  const Plan plan = make_preset_plan({1000, 2000}, options_of(Preset::kInternVl, 448));
  REQUIRE(plan.scales.size() == 2);
  CHECK(plan.scales[0] == Scale{896, 1792, 2, 4, 448, 448});
  CHECK(plan.scales[1] == Scale{448, 448, 1, 1, 448, 448});
}

TEST_CASE("preset: anyres has the whole image first, then the resolution that keeps most of it, in the middle of background") {
  const Plan plan = make_preset_plan({500, 1000}, options_of(Preset::kAnyRes, 336));
  REQUIRE(plan.scales.size() == 2);
  CHECK(plan.scales[0] == Scale{336, 336, 1, 1, 336, 336});
  CHECK(plan.scales[1].size() == Size{336, 672});  // 672 x 672 keeps as much, but wastes more
  CHECK(*make_preset_plan({300, 1000}, options_of(Preset::kAnyRes, 336)).scales[1].content == Rectangle{16, 0, 303, 1008});
  PresetOptions options = options_of(Preset::kAnyRes, 336);
  options.resolutions = {{336, 1344}};
  CHECK(make_preset_plan({500, 1000}, options).scales[1].columns == 4);
  options.resolutions = {{336, 1000}};
  CHECK(code_of({500, 1000}, options) == "ERR_INVALID_ARGUMENT");
  options.resolutions = {{336, 1344}};
  options.max_tiles = 3;
  CHECK(code_of({500, 1000}, options) == "ERR_INVALID_ARGUMENT");
}

TEST_CASE("preset: llava-s2 crops the middle of the image with its shortest edge at the largest scale") {
  const Plan plan = make_preset_plan({1000, 1778}, options_of(Preset::kLlavaS2, 336));
  REQUIRE(plan.via);
  CHECK(plan.via->size() == Size{1008, 1008});
  CHECK(*plan.via->content == Rectangle{0, -392, 1008, 1792});
  CHECK(plan.scales.size() == 3);
  CHECK(plan.scales[2] == Scale{1008, 1008, 3, 3, 336, 336});
  CHECK(plan.output_index == 0);
}

TEST_CASE("preset: what cannot be is refused") {
  for (const Preset preset : {Preset::kLlavaS2, Preset::kDynamicS2, Preset::kInternVl, Preset::kAnyRes}) {
    PresetOptions options = options_of(preset, 336);
    CHECK(code_of({1, 1}, options) == "none");
    CHECK(code_of({0, 1}, options) == "ERR_INVALID_ARGUMENT");
    options.tile = {336, 448};
    CHECK(code_of({100, 100}, options) == "ERR_INVALID_ARGUMENT");
  }
  for (const std::vector<double>& scales : {std::vector<double>{2, 3}, {1, 1}, {1, 1.5}, {1, 3, 2}, {1, -2}, {0.5, 1}}) {
    CHECK(code_of({100, 100}, options_of(Preset::kDynamicS2, 64, 0, scales)) == "ERR_INVALID_ARGUMENT");
    CHECK(code_of({100, 100}, options_of(Preset::kLlavaS2, 64, 0, scales)) == "ERR_INVALID_ARGUMENT");
  }
  CHECK(code_of({100, 100}, options_of(Preset::kInternVl, 448, 129)) == "ERR_INVALID_ARGUMENT");
  CHECK(code_of({100, 100}, options_of(Preset::kInternVl, 448, -1)) == "ERR_INVALID_ARGUMENT");
  CHECK(code_of({100, 100}, options_of(Preset::kDynamicS2, 8, 0, {1, 11})) == "none");
  CHECK(code_of({100, 100}, options_of(Preset::kDynamicS2, 8, 0, {1, 12})) == "ERR_INVALID_ARGUMENT");
  CHECK(code_of({1, 20000}, options_of(Preset::kLlavaS2, 448)) == "ERR_PLAN_TOO_LARGE");
}
