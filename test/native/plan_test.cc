// The plan: sizes, splits, limits, and plans that come from outside.
#include "core/plan.h"

#include <doctest/doctest.h>

#include <limits>
#include <string>

#include "core/error.h"

using namespace manyscale;

namespace {

PlanOptions scaled(std::vector<double> scales) {
  PlanOptions options;
  options.scales = std::move(scales);
  return options;
}

PlanOptions sized(std::vector<Size> sizes, std::optional<Size> max_split = std::nullopt) {
  PlanOptions options;
  options.image_sizes = std::move(sizes);
  options.max_split_size = max_split;
  return options;
}

struct Refusal {
  std::string code = "none";
  std::string message;

  bool names(const std::string& text) const { return message.find(text) != std::string::npos; }
};

// What a call throws; its message must have the one form that all messages have.
template <typename Call>
Refusal refusal(Call call) {
  try {
    call();
  } catch (const Error& error) {
    CHECK(std::string(error.what()).rfind("Expected ", 0) == 0);
    CHECK(std::string(error.what()).find("but received") != std::string::npos);
    return {error_code_name(error.code()), error.what()};
  }
  return {};
}
Refusal refused(Size image, const PlanOptions& options) {
  return refusal([&] { make_plan(image, options); });
}

bool same(const Scale& a, const Scale& b) { return a == b; }

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int64_t kHuge = int64_t{1} << 62;

}  // namespace

TEST_CASE("plan: scales of the image, cut into tiles of its own size") {
  const Plan plan = make_plan({224, 224}, scaled({1, 2, 3}));
  REQUIRE(plan.scales.size() == 3);
  CHECK(same(plan.scales[0], {224, 224, 1, 1, 224, 224}));
  CHECK(same(plan.scales[1], {448, 448, 2, 2, 224, 224}));
  CHECK(same(plan.scales[2], {672, 672, 3, 3, 224, 224}));
  CHECK(plan.tile_count() == 14);
  CHECK(plan.first_tile(0) == 0);
  CHECK(plan.first_tile(1) == 1);
  CHECK(plan.first_tile(2) == 5);
  CHECK(plan.same_tile_shape());
  CHECK(plan.output_index == 0);
}

TEST_CASE("plan: sizes are floored, splits rounded up") {
  // 101 * 1.5 = 151.5 -> 151, which is prime: only one split would do, and 151 > 101 wants two.
  CHECK(refused({101, 101}, scaled({1.5})).code == "ERR_INVALID_ARGUMENT");
  const Plan plan = make_plan({100, 60}, scaled({0.5, 1.5, 2.25}));
  CHECK(same(plan.scales[0], {50, 30, 1, 1, 50, 30}));
  CHECK(same(plan.scales[1], {150, 90, 2, 2, 75, 45}));
  CHECK(same(plan.scales[2], {225, 135, 3, 3, 75, 45}));
  CHECK_FALSE(plan.same_tile_shape());
  const Plan floored = make_plan({3, 5}, scaled({0.99}));
  CHECK(same(floored.scales[0], {2, 4, 1, 1, 2, 4}));
}

TEST_CASE("plan: sizes in pixels, a max split size and a base") {
  const Plan plan = make_plan({5000, 3000}, sized({{224, 224}, {448, 672}}, Size{224, 224}));
  CHECK(plan.image == Size{5000, 3000});
  CHECK(same(plan.scales[0], {224, 224, 1, 1, 224, 224}));
  CHECK(same(plan.scales[1], {448, 672, 2, 3, 224, 224}));

  PlanOptions options = scaled({1, 2});
  options.base = Size{224, 320};
  options.tile = Size{224, 320};
  const Plan model = make_plan({5000, 3000}, options);
  CHECK(same(model.scales[0], {224, 320, 1, 1, 224, 320}));
  CHECK(same(model.scales[1], {448, 640, 2, 2, 224, 320}));

  const Plan whole = make_plan({10, 10}, sized({{30, 30}}, Size{std::numeric_limits<int64_t>::max(), kHuge}));
  CHECK(same(whole.scales[0], {30, 30, 1, 1, 30, 30}));
}

TEST_CASE("plan: a size that does not divide names the nearest that do") {
  const Refusal uneven = refused({224, 224}, sized({{225, 224}}));
  CHECK(uneven.code == "ERR_INVALID_ARGUMENT");
  CHECK(uneven.names("height"));
  CHECK(uneven.names("received 225"));
  CHECK(uneven.names("224 or 226"));
  const Refusal wide = refused({224, 224}, sized({{224, 673}}));
  CHECK(wide.names("width"));
  CHECK(wide.names("672 or 676"));  // 673 wants four splits

  PlanOptions options = sized({{448, 500}});
  options.tile = Size{224, 224};
  const Refusal tile = refused({1000, 1000}, options);
  CHECK(tile.code == "ERR_INVALID_ARGUMENT");
  CHECK(tile.names("448 or 672"));
  options.image_sizes = {{100, 224}};
  CHECK(refused({1000, 1000}, options).names("are 224"));  // nothing below
  options.tile = Size{kMaxSide / 2 + 1, 1};
  options.image_sizes = {{kMaxSide, 1}};
  const Refusal largest = refused({1000, 1000}, options);  // nothing above within the limit
  CHECK(largest.names("are " + std::to_string(kMaxSide / 2 + 1)));
  CHECK_FALSE(largest.names(std::to_string(kMaxSide + 1)));
}

TEST_CASE("plan: every size that is named works, and none between does") {
  for (int64_t max_split = 1; max_split <= 12; max_split++) {
    for (int64_t side = 1; side <= 150; side++) {
      const Refusal uneven = refused({1, 1}, sized({{side, 1}}, Size{max_split, 1}));
      const auto works = [&](int64_t n) { return refused({1, 1}, sized({{n, 1}}, Size{max_split, 1})).code == "none"; };
      if (uneven.code == "none") continue;
      int64_t below = side, above = side;
      while (below > 0 && !works(below)) below--;
      while (!works(above)) above++;
      CHECK(uneven.names("work are " + std::to_string(below) + " or " + std::to_string(above)));
    }
  }
}

TEST_CASE("plan: sizes and scales without sense are refused") {
  for (const double scale : {0.0, -0.0, -1.0, -kInfinity, kInfinity, std::numeric_limits<double>::quiet_NaN()}) {
    CAPTURE(scale);
    CHECK(refused({224, 224}, scaled({1, scale})).code == "ERR_INVALID_ARGUMENT");
  }
  CHECK(refused({224, 224}, scaled({})).code == "ERR_INVALID_ARGUMENT");
  CHECK(refused({0, 224}, scaled({1})).code == "ERR_INVALID_ARGUMENT");
  CHECK(refused({224, -1}, scaled({1})).code == "ERR_INVALID_ARGUMENT");
  CHECK(refused({224, 224}, scaled({0.001})).code == "ERR_INVALID_ARGUMENT");  // less than a pixel
  CHECK(refused({224, 224}, scaled({std::numeric_limits<double>::denorm_min()})).code == "ERR_INVALID_ARGUMENT");
  CHECK(refused({224, 224}, sized({{0, 5}})).code == "ERR_INVALID_ARGUMENT");
  CHECK(refused({224, 224}, sized({{5, -5}})).code == "ERR_INVALID_ARGUMENT");
  CHECK(refused({224, 224}, sized({{5, 5}}, Size{0, 5})).code == "ERR_INVALID_ARGUMENT");
  CHECK(refused({224, 224}, sized({{5, 5}}, Size{5, -5})).code == "ERR_INVALID_ARGUMENT");
  PlanOptions options = scaled({1});
  options.base = Size{0, 224};
  CHECK(refused({224, 224}, options).code == "ERR_INVALID_ARGUMENT");
  options.base.reset();
  options.tile = Size{224, 0};
  CHECK(refused({224, 224}, options).code == "ERR_INVALID_ARGUMENT");
}

TEST_CASE("plan: sizes beyond the limits are refused before anything is allocated") {
  CHECK(refused({1000000, 1000000}, scaled({1})).code == "ERR_PLAN_TOO_LARGE");  // 1e12 pixels
  CHECK(refused({224, 224}, scaled({1, 4500})).code == "ERR_PLAN_TOO_LARGE");
  CHECK(refused({224, 224}, scaled({1e300})).code == "ERR_PLAN_TOO_LARGE");
  CHECK(refused({224, 224}, scaled({std::numeric_limits<double>::max()})).code == "ERR_PLAN_TOO_LARGE");
  CHECK(refused({kHuge, 1}, scaled({1})).code == "ERR_PLAN_TOO_LARGE");
  CHECK(refused({224, 224}, sized({{kHuge, kHuge}})).code == "ERR_PLAN_TOO_LARGE");
  CHECK(refused({224, 224}, sized({{kMaxSide, kMaxSide}}, Size{kMaxSide, kMaxSide})).code == "ERR_PLAN_TOO_LARGE");
  CHECK(refused({224, 224}, scaled(std::vector<double>(static_cast<size_t>(kMaxScales) + 1, 1.0))).code == "ERR_PLAN_TOO_LARGE");
  CHECK(refused({2000, 2000}, sized({{2000, 2000}}, Size{1, 1})).code == "ERR_PLAN_TOO_LARGE");  // 4 million tiles of a pixel
  PlanOptions options = scaled({1});
  options.base = Size{kHuge, 1};
  CHECK(refused({224, 224}, options).code == "ERR_PLAN_TOO_LARGE");
  CHECK(refused({32768, 32768}, scaled({1, 1, 1})).code == "ERR_PLAN_TOO_LARGE");  // too many only together
  CHECK(refused({30000, 1}, scaled({1, 2})).code == "none");
  CHECK(refused({1, 1}, scaled({1})).code == "none");
}

TEST_CASE("plan: the output's scale, counted from either end") {
  PlanOptions options = scaled({1, 2, 3});
  const auto index = [&](int64_t i) {
    options.resize_output_to_index = i;
    return make_plan({10, 10}, options).output_index;
  };
  CHECK(index(0) == 0);
  CHECK(index(2) == 2);
  CHECK(index(-1) == 2);
  CHECK(index(-3) == 0);
  for (const int64_t i : {int64_t{3}, int64_t{-4}, kHuge, std::numeric_limits<int64_t>::min()}) {
    options.resize_output_to_index = i;
    CHECK(refused({10, 10}, options).code == "ERR_INVALID_ARGUMENT");
  }
}

TEST_CASE("plan: one from outside is checked") {
  const Plan made = make_plan({100, 60}, scaled({1, 2, 3}));
  const Plan checked = check_plan(made.image, made.scales, -1);
  CHECK(checked.output_index == 2);
  REQUIRE(checked.scales.size() == made.scales.size());
  for (size_t i = 0; i < made.scales.size(); i++) CHECK(same(checked.scales[i], made.scales[i]));

  const auto code = [](Size image, const std::vector<Scale>& scales, int64_t output_index = 0) {
    return refusal([&] { check_plan(image, scales, output_index); }).code;
  };
  const Scale good{200, 120, 2, 2, 100, 60};
  CHECK(code({100, 60}, {good}) == "none");
  CHECK(code({100, 60}, {}) == "ERR_INVALID_ARGUMENT");
  CHECK(code({0, 60}, {good}) == "ERR_INVALID_ARGUMENT");
  CHECK(code({100, 60}, {good}, 1) == "ERR_INVALID_ARGUMENT");
  CHECK(code({100, 60}, {{200, 120, 3, 2, 100, 60}}) == "ERR_INVALID_ARGUMENT");
  CHECK(code({100, 60}, {{200, 120, 2, -2, 100, 60}}) == "ERR_INVALID_ARGUMENT");
  CHECK(code({100, 60}, {{201, 120, 2, 2, 100, 60}}) == "ERR_INVALID_ARGUMENT");
  CHECK(code({100, 60}, {{200, 120, 2, 2, 0, 60}}) == "ERR_INVALID_ARGUMENT");
  CHECK(code({100, 60}, {{-200, 120, 2, 2, -100, 60}}) == "ERR_INVALID_ARGUMENT");
  CHECK(code({100, 60}, {{200, 120, kHuge, kHuge, 100, 60}}) == "ERR_INVALID_ARGUMENT");
  CHECK(code({100, 60}, {{kHuge, 120, 2, 2, kHuge / 2, 60}}) == "ERR_PLAN_TOO_LARGE");
  CHECK(code({100, 60}, {{kMaxSide, kMaxSide, 1, 1, kMaxSide, kMaxSide}}) == "ERR_PLAN_TOO_LARGE");
  CHECK(code({100, 60}, std::vector<Scale>(static_cast<size_t>(kMaxScales) + 1, Scale{1, 1, 1, 1, 1, 1})) == "ERR_PLAN_TOO_LARGE");
}
