#include "ops/split/tile_format.h"

#include <cstring>

#include "core/half.h"

namespace manyscale::split {
namespace {

float same(float value) { return value; }

uint8_t to_byte(float value) {
  const float inside = value > 0 ? (value < 255 ? value : 255) : 0;
  // From 2^23 on floats are whole numbers: the addition rounds, to even because 2^23 is, and the lowest bits count.
  const float sum = inside + 0x1p23F;
  uint32_t bits;
  std::memcpy(&bits, &sum, sizeof bits);
  return static_cast<uint8_t>(bits);
}

template <typename T, T (*Convert)(float)>
void convert(TileLayout layout, const float* planes, int64_t channels, int64_t pixels, T* tile) {
  if (layout == TileLayout::kNchw) {
    for (int64_t i = 0; i < channels * pixels; i++) tile[i] = Convert(planes[i]);
    return;
  }
  for (int64_t c = 0; c < channels; c++) {
    const float* const plane = planes + c * pixels;
    for (int64_t i = 0; i < pixels; i++) tile[i * channels + c] = Convert(plane[i]);
  }
}

}  // namespace

void convert_tile(const TileFormat& format, const float* planes, int64_t channels, int64_t pixels, void* tile) {
  switch (format.type) {
    case TileType::kFloat32: return convert<float, same>(format.layout, planes, channels, pixels, static_cast<float*>(tile));
    case TileType::kFloat16: return convert<uint16_t, to_half>(format.layout, planes, channels, pixels, static_cast<uint16_t*>(tile));
    case TileType::kUint8: return convert<uint8_t, to_byte>(format.layout, planes, channels, pixels, static_cast<uint8_t*>(tile));
  }
}

}  // namespace manyscale::split
