// half: the conversion to binary16 against a search for the nearest half in double. pool_test.cc has that of the kernels.
#include "core/half.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "half_values.h"
#include "seed.h"

using namespace manyscale;

namespace {

// `value` is not NaN. Magnitudes of halves are in the order of their bits, and 65536 stands where the next would be.
uint16_t nearest_half(float value) {
  static const std::vector<double> halves = [] {
    std::vector<double> all;
    for (uint16_t half = 0; half < 0x7c00; half++) all.push_back(static_cast<double>(half_value(half)));
    all.push_back(65536.0);
    return all;
  }();
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const double magnitude = std::abs(static_cast<double>(value));
  const auto above = std::lower_bound(halves.begin(), halves.end(), magnitude);
  if (above == halves.end()) return static_cast<uint16_t>(sign | 0x7c00);
  auto index = static_cast<uint16_t>(above - halves.begin());
  if (*above != magnitude) {
    const double up = *above - magnitude, down = magnitude - *(above - 1);
    if (down < up || (down == up && index % 2 == 1)) index--;
  }
  return static_cast<uint16_t>(sign | index);
}

float float_of(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace

TEST_CASE("half: every half becomes the float that it means, and comes back") {
  int64_t wrong = 0;
  for (uint32_t bits = 0; bits < 0x10000; bits++) {
    const auto half = static_cast<uint16_t>(bits);
    const float value = from_half(half), expected = half_value(half);
    const bool is_nan = (half & 0x7fff) > 0x7c00;
    if (is_nan) {  // quiet, with its sign and payload
      wrong += !std::isnan(value) || std::signbit(value) != ((half & 0x8000) != 0) || to_half(value) != (half | 0x200);
    } else {
      wrong += std::memcmp(&value, &expected, sizeof value) != 0 || to_half(value) != half;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("half: by hand") {
  CHECK(to_half(0.0F) == 0);
  CHECK(to_half(-0.0F) == 0x8000);
  CHECK(to_half(1.0F) == 0x3c00);
  CHECK(to_half(-2.0F) == 0xc000);
  CHECK(to_half(65504.0F) == 0x7bff);
  CHECK(to_half(65519.996F) == 0x7bff);
  CHECK(to_half(65520.0F) == 0x7c00);
  CHECK(to_half(-1e30F) == 0xfc00);
  CHECK(to_half(0x1p-14F) == 0x0400);
  CHECK(to_half(0x1p-24F) == 0x0001);
  CHECK(to_half(0x1p-25F) == 0x0000);  // halfway to the smallest: to even
  CHECK(to_half(0x1.000002p-25F) == 0x0001);
  CHECK(to_half(1.0F + 0x1p-11F) == 0x3c00);      // halfway: to even, which is down
  CHECK(to_half(1.0F + 3 * 0x1p-11F) == 0x3c02);  // and up
}

TEST_CASE("half: the nearest one, ties to even") {
  std::mt19937 random(fresh_seed());
  std::vector<float> values = telling_floats();
  for (int i = 0; i < 300000; i++) values.push_back(float_of(static_cast<uint32_t>(random())));
  int64_t wrong = 0;
  for (const float value : values) wrong += !std::isnan(value) && to_half(value) != nearest_half(value);
  CHECK(wrong == 0);
}

TEST_CASE("half: NaN stays NaN, quiet, with its sign") {
  std::mt19937 random(fresh_seed());
  int64_t wrong = 0;
  for (int i = 0; i < 10000; i++) {
    const uint32_t payload = i == 0 ? 1 : std::uniform_int_distribution<uint32_t>(1, 0x7fffff)(random);  // 1: none of the bits that stay
    for (const uint32_t sign : {0U, 0x80000000U}) {
      const uint16_t half = to_half(float_of(sign | 0x7f800000U | payload));
      wrong += (half & 0x7e00) != 0x7e00 || (half >> 15) != static_cast<int>(sign >> 31);
    }
  }
  CHECK(wrong == 0);
}
