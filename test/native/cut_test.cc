// Plans of images whose sizes do not divide: keeping the aspect ratio, resizing or padding to what tiles fill, overlapping tiles.
#include "core/plan.h"

#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <string>

#include "core/error.h"
#include "failing_new.h"
#include "seed.h"

using namespace manyscale;

namespace {

std::string code_of(Size image, const PlanOptions& options) {
  try {
    make_plan(image, options);
  } catch (const Error& error) {
    CHECK(std::string(error.what()).rfind("Expected ", 0) == 0);
    CHECK(std::string(error.what()).find("but received") != std::string::npos);
    return error_code_name(error.code());
  }
  return "none";
}

PlanOptions keeping(std::vector<double> scales, Size tile, Uneven uneven) {
  PlanOptions options;
  options.scales = std::move(scales);
  options.base = options.tile = tile;
  options.keep_aspect = true;
  options.uneven = uneven;
  return options;
}

PlanOptions overlapping(std::vector<Size> sizes, Size tile, double overlap, Size unit) {
  PlanOptions options;
  options.image_sizes = std::move(sizes);
  options.base = options.tile = tile;
  options.overlap = overlap;
  options.overlap_unit = unit;
  return options;
}

}  // namespace

TEST_CASE("cut: keeping the aspect ratio by area, made as large as tiles fill") {
  // 1000 x 2250: sides of scale 1 are 224 / 1500 times the image's.
  const Plan plan = make_plan({1000, 2250}, keeping({1, 2, 3}, {224, 224}, Uneven::kResize));
  CHECK(plan.scales[0] == Scale{224, 448, 1, 2, 224, 224});   // 149 x 336
  CHECK(plan.scales[1] == Scale{448, 672, 2, 3, 224, 224});   // 299 x 672
  CHECK(plan.scales[2] == Scale{448, 1120, 2, 5, 224, 224});  // 448 x 1008
}

TEST_CASE("cut: padding keeps the size and says where the image is") {
  const Plan plan = make_plan({1000, 2250}, keeping({1, 3}, {224, 224}, Uneven::kPad));
  CHECK(plan.scales[0].size() == Size{224, 448});
  REQUIRE(plan.scales[0].content);
  CHECK(*plan.scales[0].content == Rectangle{0, 0, 149, 336});
  CHECK(*plan.scales[1].content == Rectangle{0, 0, 448, 1008});
  CHECK_FALSE(plan.scales[1].covers());
  CHECK_FALSE(make_plan({500, 500}, keeping({1, 2}, {224, 224}, Uneven::kPad)).scales[1].content);  // nothing to pad
}

TEST_CASE("cut: without a fixed tile, sizes go to the next that divides") {
  PlanOptions options;
  options.image_sizes = {{225, 224}, {451, 673}};
  options.max_split_size = Size{224, 224};
  options.uneven = Uneven::kResize;
  const Plan plan = make_plan({10, 10}, options);
  CHECK(plan.scales[0] == Scale{226, 224, 2, 1, 113, 224});
  CHECK(plan.scales[1] == Scale{453, 676, 3, 4, 151, 169});
}

TEST_CASE("cut: overlapping tiles are spread evenly over whole cells") {
  const Plan plan = make_plan({10, 10}, overlapping({{448, 672}}, {224, 224}, 32, {16, 16}));
  const Scale& scale = plan.scales[0];
  CHECK(scale.size() == Size{448, 672});
  CHECK(scale.tops == std::vector<int64_t>{0, 112, 224});
  CHECK(scale.lefts == std::vector<int64_t>{0, 144, 288, 448});  // 28 cells over three steps: 9.33
  // A quarter of 224 is 56, and 64 in whole cells of 32.
  CHECK(make_plan({10, 10}, overlapping({{448, 224}}, {224, 224}, 0.25, {32, 32})).scales[0].tops == std::vector<int64_t>{0, 96, 224});
  // Sizes need only be whole cells, and 'keep' goes to the next of those.
  CHECK(make_plan({10, 10}, overlapping({{240, 224}}, {224, 224}, 16, {16, 16})).scales[0].tops == std::vector<int64_t>{0, 16});
  PlanOptions options = keeping({1.5}, {224, 224}, Uneven::kResize);
  options.overlap = 16;
  options.overlap_unit = Size{16, 16};
  CHECK(make_plan({1000, 2250}, options).scales[0].size() == Size{224, 512});
  // Without units: what tile, overlap and size have in common.
  PlanOptions free = overlapping({{60, 100}}, {1, 1}, 10, {1, 1});
  free.tile.reset();
  free.overlap_unit.reset();
  free.max_split_size = Size{40, 40};
  CHECK(make_plan({10, 10}, free).scales[0].tops == std::vector<int64_t>{0, 20});
  CHECK(make_plan({10, 10}, free).scales[0].lefts == std::vector<int64_t>{0, 30, 60});
}

TEST_CASE("cut: overlaps without sense are refused") {
  const auto code = [](double overlap, Size unit, Size tile = {224, 224}) { return code_of({10, 10}, overlapping({{448, 448}}, tile, overlap, unit)); };
  CHECK(code(0, {16, 16}) == "none");
  CHECK(code(0.999, {16, 16}) == "none");  // up to the last cell but one
  CHECK(code(208, {16, 16}) == "none");
  for (const double overlap : {224.0, 1000.0, 1.5, -1.0, -0.25, 1e300, std::nan("")}) CHECK(code(overlap, {16, 16}) == "ERR_INVALID_ARGUMENT");
  CHECK(code(16, {224, 224}) == "ERR_INVALID_ARGUMENT");  // one cell a tile
  CHECK(code(16, {100, 16}) == "ERR_INVALID_ARGUMENT");   // no part of the tile
  CHECK(code_of({10, 10}, overlapping({{450, 448}}, {224, 224}, 16, {16, 16})) == "ERR_INVALID_ARGUMENT");
  CHECK(code_of({10, 10}, overlapping({{kMaxSide, 224}}, {224, 224}, 223, {1, 1})) == "ERR_PLAN_TOO_LARGE");
}

TEST_CASE("cut: a plan that is too large is refused at the first scale too many, before the others list their tiles") {
  PlanOptions options = overlapping(std::vector<Size>(1000, Size{1000000, 1000000}), {2, 2}, 1, {1, 1});
  const FailingNew few(400);  // all 1000 scales would take 16 GB, and thousands of allocations
  CHECK(code_of({10, 10}, options) == "ERR_PLAN_TOO_LARGE");
}

TEST_CASE("cut: plans from outside with positions or content that cannot be are refused") {
  const auto code = [](const Scale& scale) {
    try {
      check_plan({10, 10}, {scale}, 0);
    } catch (const Error& error) {
      return std::string(error_code_name(error.code()));
    }
    return std::string("none");
  };
  Scale good{448, 224, 3, 1, 224, 224};
  good.tops = {0, 100, 224};
  CHECK(code(good) == "none");
  for (const std::vector<int64_t>& tops : std::vector<std::vector<int64_t>>{{0, 224}, {0, 0, 224}, {0, 300, 224}, {1, 100, 224}, {0, 100, 225}, {0, -1, 224}}) {
    Scale bad = good;
    bad.tops = tops;
    CHECK(code(bad) == "ERR_INVALID_ARGUMENT");
  }
  Scale gap{500, 224, 2, 1, 224, 224};
  gap.tops = {0, 276};
  CHECK(code(gap) == "ERR_INVALID_ARGUMENT");
  const auto with_content = [](const Rectangle& content) {
    Scale scale{224, 224, 1, 1, 224, 224};
    scale.content = content;
    return scale;
  };
  CHECK(code(with_content({-100, 50, 150, 1000})) == "none");
  for (const Rectangle& outside :
       {Rectangle{224, 0, 5, 5}, Rectangle{0, -5, 5, 5}, Rectangle{0, 0, 0, 5}, Rectangle{INT64_MIN, 0, 5, 5}, Rectangle{INT64_MAX, 0, 5, 5}}) {
    CHECK(code(with_content(outside)) == "ERR_INVALID_ARGUMENT");
  }
  CHECK(code(with_content({0, 0, kMaxSide, kMaxSide})) == "ERR_PLAN_TOO_LARGE");
}

TEST_CASE("cut: any image and any options give a plan that keeps its promises, or an error") {
  const uint32_t seed = fresh_seed();
  INFO("seed ", seed);
  std::mt19937 random(seed);
  const auto between = [&](int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(random); };
  const auto side = [&] { return random() % 4 == 0 ? between(1, 20000) : between(1, 600); };
  int made = 0;
  for (int i = 0; i < 20000; i++) {
    const Size image{side(), side()};
    PlanOptions options;
    const bool fixed = random() % 2;
    const Size tile{between(1, 8) * 16, between(1, 8) * 16};
    if (fixed) options.base = options.tile = tile;
    if (!fixed && random() % 2) options.max_split_size = tile;
    for (int64_t n = between(1, 3); n > 0; n--) {
      if (random() % 4 == 0) {
        options.image_sizes.push_back({side(), side()});
      } else {
        options.scales.push_back(static_cast<double>(between(1, 12)) / (random() % 2 ? 4.0 : 1.0));
      }
    }
    options.keep_aspect = random() % 2;
    options.uneven = static_cast<Uneven>(random() % 3);
    if (random() % 2) options.overlap = random() % 2 ? static_cast<double>(between(0, 140)) : static_cast<double>(between(0, 110)) / 100;
    if (fixed && random() % 2) options.overlap_unit = Size{between(1, 3) * 8, between(1, 3) * 8};
    Plan plan;
    try {
      plan = make_plan(image, options);
    } catch (const Error& error) {
      const bool foreseen = error.code() == ErrorCode::kInvalidArgument || error.code() == ErrorCode::kPlanTooLarge;
      if (!foreseen) FAIL_CHECK(error.what());
      continue;
    }
    made++;
    for (const Scale& scale : plan.scales) {
      const auto covered = [](int64_t count, int64_t length, int64_t tile_side, auto start) {
        int64_t end = 0;
        for (int64_t k = 0; k < count; k++) {
          if (start(k) > end || start(k) < 0 || start(k) + tile_side > length) return false;  // a gap, or out of the scale
          end = start(k) + tile_side;
        }
        return end == length;
      };
      const bool rows = covered(scale.rows, scale.height, scale.tile_height, [&](int64_t k) { return scale.top(k); });
      const bool columns = covered(scale.columns, scale.width, scale.tile_width, [&](int64_t k) { return scale.left(k); });
      if (!rows || !columns) FAIL_CHECK("a pixel in no tile, or a tile that leaves its scale: ", to_string(scale.size()), " tile ", to_string(scale.tile()));
      if (fixed && !(scale.tile() == tile)) FAIL_CHECK("another tile than the model's");
      if (options.uneven != Uneven::kPad && scale.content) FAIL_CHECK("padding that nobody asked for");
      for (size_t k = 1; k < scale.tops.size(); k++) {
        const double overlap = options.overlap < 1 ? options.overlap * static_cast<double>(scale.tile_height) : options.overlap;
        const auto shared = static_cast<double>(scale.tops[k - 1] + scale.tile_height - scale.tops[k]);
        const auto most = static_cast<double>(scale.tile_height - (options.overlap_unit ? options.overlap_unit->height : 1));
        if (shared < std::min(overlap - 1e-5, most)) FAIL_CHECK("tiles that overlap by ", shared, " instead of ", overlap);
      }
    }
    CHECK(check_plan(image, plan.scales, plan.output_index).scales == plan.scales);
  }
  CHECK(made > 4000);
}
