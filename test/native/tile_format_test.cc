// Tiles as models take them: types, order, rounding and bounds, against plain definitions.
#include "ops/split/tile_format.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "core/half.h"
#include "seed.h"

using namespace manyscale;
using namespace manyscale::split;

namespace {

template <typename T>
std::vector<T> converted(const TileFormat& format, const std::vector<float>& planes, int64_t channels) {
  std::vector<T> tile(planes.size() + 2, T{77});  // with a guard on each side
  convert_tile(format, planes.data(), channels, static_cast<int64_t>(planes.size()) / channels, tile.data() + 1);
  CHECK(tile.front() == T{77});
  CHECK(tile.back() == T{77});
  return {tile.begin() + 1, tile.end() - 1};
}

std::vector<uint8_t> to_bytes(const std::vector<float>& values) { return converted<uint8_t>({TileType::kUint8, TileLayout::kNchw}, values, 1); }

}  // namespace

TEST_CASE("tile format: channels last, whatever the type") {
  const std::vector<float> planes{1, 2, 10, 20, 100, 200};  // 3 channels of 2 pixels
  CHECK(converted<float>({TileType::kFloat32, TileLayout::kNchw}, planes, 3) == planes);
  CHECK(converted<float>({TileType::kFloat32, TileLayout::kNhwc}, planes, 3) == std::vector<float>{1, 10, 100, 2, 20, 200});
  CHECK(converted<uint8_t>({TileType::kUint8, TileLayout::kNhwc}, planes, 3) == std::vector<uint8_t>{1, 10, 100, 2, 20, 200});
  std::vector<uint16_t> halves;
  for (const float value : {1, 10, 100, 2, 20, 200}) halves.push_back(to_half(value));
  CHECK(converted<uint16_t>({TileType::kFloat16, TileLayout::kNhwc}, planes, 3) == halves);
}

TEST_CASE("tile format: bytes are rounded, ties to even, and kept within 0 to 255") {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  CHECK(to_bytes({0.5F, 1.5F, 2.5F, 0.49999997F, 253.5F, 254.5F, 254.50002F}) == std::vector<uint8_t>{0, 2, 2, 0, 254, 254, 255});
  CHECK(to_bytes({-0.0F, -0.6F, -1e30F, 255.4F, 255.5F, 256, 1e30F}) == std::vector<uint8_t>{0, 0, 0, 255, 255, 255, 255});
  CHECK(to_bytes({kInfinity, -kInfinity, NAN, -NAN}) == std::vector<uint8_t>{255, 0, 0, 0});
  std::mt19937 random(fresh_seed());
  std::uniform_real_distribution<float> around(-20, 280);
  std::vector<float> values(10000);
  for (float& value : values) value = around(random);
  for (int i = 0; i < 256; i++) values.push_back(static_cast<float>(i));
  std::vector<uint8_t> expected;
  for (const float value : values) expected.push_back(static_cast<uint8_t>(std::nearbyint(std::clamp(value, 0.0F, 255.0F))));
  CHECK(to_bytes(values) == expected);
}
