// The axis tables by themselves: what every table must be, and values worked out by hand. split_test.cc has the golden data.
#include "core/axis.h"

#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <string>

#include "core/error.h"

using namespace manyscale;

namespace {

const std::vector<ResizeMode>& all_modes() {
  static const std::vector<ResizeMode> modes = [] {
    std::vector<ResizeMode> list;
    for (int i = 0; i < kResizeModeCount; i++) list.push_back(static_cast<ResizeMode>(i));
    return list;
  }();
  return modes;
}

// A weight as floats are resized with it, and as bytes are.
double weight(const AxisTable& table, size_t index) { return static_cast<double>(table.weights[index]); }
double fixed_weight(const AxisTable& table, size_t index) { return table.fixed_weights[index] / std::ldexp(1.0, kPillowPrecisionBits); }

void check_table(const AxisTable& table) {
  const auto out = static_cast<size_t>(table.out);
  const auto taps = static_cast<size_t>(table.taps);
  REQUIRE(table.first.size() == out);
  REQUIRE(table.count.size() == out);
  REQUIRE(table.weights.size() == out * taps);
  REQUIRE(table.fixed_weights.size() == (is_pillow(table.mode) ? out * taps : 0));
  int32_t widest = 0;
  for (size_t i = 0; i < out; i++) {
    INFO("output pixel ", i);
    REQUIRE(table.first[i] >= 0);
    REQUIRE(table.count[i] >= 1);
    REQUIRE(table.first[i] + table.count[i] <= table.in);
    if (i > 0) {  // windows only move on: kernels count on it
      REQUIRE(table.first[i] >= table.first[i - 1]);
      REQUIRE(table.first[i] + table.count[i] >= table.first[i - 1] + table.count[i - 1]);
    }
    widest = std::max(widest, table.count[i]);
    double sum = 0;
    for (size_t k = 0; k < taps; k++) {
      sum += weight(table, i * taps + k);
      if (static_cast<int32_t>(k) >= table.count[i]) REQUIRE(weight(table, i * taps + k) == 0);
      // The same weight, rounded to 22 bits after the point, or to the 24 bits of a float.
      if (is_pillow(table.mode))
        REQUIRE(std::abs(fixed_weight(table, i * taps + k) - weight(table, i * taps + k)) <= std::ldexp(1.0, -23) + std::ldexp(1.0, -24));
    }
    // Each weight was rounded by itself: to 24 bits of a float.
    REQUIRE(std::abs(sum - 1) <= 1e-6 + static_cast<double>(table.count[i]) * std::ldexp(1.0, -23));
  }
  REQUIRE(table.taps == widest);
}

}  // namespace

TEST_CASE("axis: every mode has a name that finds it") {
  for (ResizeMode mode : all_modes()) CHECK(find_resize_mode(resize_mode_name(mode)) == mode);
  CHECK(find_resize_mode("torch-bicubic") == ResizeMode::kTorchBicubic);
  CHECK(find_resize_mode("pillow-box") == ResizeMode::kPillowBox);
  CHECK(!find_resize_mode("bicubic"));
  CHECK(is_pillow(ResizeMode::kPillowLanczos));
  CHECK(!is_pillow(ResizeMode::kTorchArea));
}

TEST_CASE("axis: windows lie inside the source, move on, and their weights add up to 1") {
  const unsigned seed = std::random_device{}();
  INFO("seed ", seed);
  std::mt19937 random(seed);
  std::uniform_int_distribution<int64_t> size(1, 700);
  for (ResizeMode mode : all_modes()) {
    INFO(resize_mode_name(mode));
    for (const auto& [in, out] :
         std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {1, 17}, {17, 1}, {2, 3}, {3, 9}, {5000, 672}, {30000, 7}, {7, 3001}, {1344, 224}}) {
      INFO(in, " to ", out);
      check_table(make_axis_table(mode, in, out));
    }
    for (int i = 0; i < 20; i++) {
      const int64_t in = size(random);
      const int64_t out = size(random);
      INFO(in, " to ", out);
      check_table(make_axis_table(mode, in, out));
    }
  }
}

TEST_CASE("axis: a size that stays is a copy in every mode") {
  for (ResizeMode mode : all_modes()) {
    INFO(resize_mode_name(mode));
    const AxisTable table = make_axis_table(mode, 37, 37);
    CHECK(table.identity());
    for (size_t i = 0; i < 37; i++) {
      for (size_t k = 0; k < static_cast<size_t>(table.count[i]); k++) {
        const double expected = table.first[i] + static_cast<int32_t>(k) == static_cast<int32_t>(i) ? 1 : 0;
        const size_t index = i * static_cast<size_t>(table.taps) + k;
        REQUIRE(std::abs(weight(table, index) - expected) < 1e-15);  // Lanczos: sin(pi) is not quite 0
        if (is_pillow(mode)) REQUIRE(fixed_weight(table, index) == expected);
      }
    }
  }
}

TEST_CASE("axis: bilinear and bicubic at twice the size, by hand") {
  // Output 3 of 4 -> 8 lies at source 1.25.
  const AxisTable bilinear = make_axis_table(ResizeMode::kTorchBilinear, 4, 8);
  CHECK(bilinear.first[3] == 1);
  CHECK(bilinear.count[3] == 2);
  CHECK(bilinear.weights[3 * 2] == 0.75F);
  CHECK(bilinear.weights[3 * 2 + 1] == 0.25F);

  const AxisTable bicubic = make_axis_table(ResizeMode::kTorchBicubic, 4, 8);  // a = -0.75
  CHECK(bicubic.first[3] == 0);
  CHECK(bicubic.count[3] == 4);
  const double expected[] = {-0.10546875, 0.87890625, 0.26171875, -0.03515625};
  for (size_t k = 0; k < 4; k++) CHECK(static_cast<double>(bicubic.weights[3 * 4 + k]) == doctest::Approx(expected[k]).epsilon(1e-6));

  // Output 0 lies at -0.25: what falls outside is added to the edge pixel.
  CHECK(bicubic.first[0] == 0);
  CHECK(static_cast<double>(bicubic.weights[0]) == doctest::Approx(-0.03515625 + 0.26171875 + 0.87890625).epsilon(1e-6));
}

TEST_CASE("axis: area averages whole pixels, overlapping where the bins are uneven") {
  const AxisTable area = make_axis_table(ResizeMode::kTorchArea, 7, 3);
  const int32_t first[] = {0, 2, 4};
  for (size_t i = 0; i < 3; i++) {
    CHECK(area.first[i] == first[i]);
    CHECK(area.count[i] == 3);
    CHECK(area.weights[i * 3] == 1.0F / 3);
  }
}

TEST_CASE("axis: Pillow's box takes each pixel once and weighs with 22 bits") {
  const AxisTable box = make_axis_table(ResizeMode::kPillowBox, 6, 3);
  for (size_t i = 0; i < 3; i++) {
    CHECK(box.first[i] == static_cast<int32_t>(2 * i));
    CHECK(box.count[i] == 2);
    CHECK(box.fixed_weights[i * static_cast<size_t>(box.taps)] == 1 << (kPillowPrecisionBits - 1));
    CHECK(box.weights[i * static_cast<size_t>(box.taps)] == 0.5F);
  }
}

TEST_CASE("axis: bad and absurd sizes are refused with their code") {
  const auto code = [](int64_t in, int64_t out) -> std::string {
    try {
      make_axis_table(ResizeMode::kPillowLanczos, in, out);
    } catch (const Error& error) {
      return error_code_name(error.code());
    }
    return "none";
  };
  CHECK(code(0, 1) == "ERR_INVALID_ARGUMENT");
  CHECK(code(1, -1) == "ERR_INVALID_ARGUMENT");
  CHECK(code(int64_t{1} << 40, 1) == "ERR_PLAN_TOO_LARGE");
  CHECK(code(1, int64_t{1} << 40) == "ERR_PLAN_TOO_LARGE");
  CHECK(code(int64_t{1} << 29, int64_t{1} << 29) == "ERR_PLAN_TOO_LARGE");
  CHECK(code(INT64_MAX, INT64_MAX) == "ERR_PLAN_TOO_LARGE");
}
