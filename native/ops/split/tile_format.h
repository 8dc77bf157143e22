// From tiles as split makes them, float32 planes, to tiles as a model takes them.
#pragma once

#include <cstdint>

namespace manyscale::split {

enum class TileType { kFloat32, kFloat16, kUint8 };
enum class TileLayout { kNchw, kNhwc };

struct TileFormat {
  TileType type = TileType::kFloat32;
  TileLayout layout = TileLayout::kNchw;

  // Whether split's own tiles are it already.
  bool is_plain() const { return type == TileType::kFloat32 && layout == TileLayout::kNchw; }

  friend bool operator==(const TileFormat& a, const TileFormat& b) { return a.type == b.type && a.layout == b.layout; }
};

constexpr int64_t element_bytes(TileType type) { return type == TileType::kFloat32 ? 4 : type == TileType::kFloat16 ? 2 : 1; }

// `planes` is [channels, pixels] of float32; `tile` has room for as many elements of the format's type, and gets them as
// [channels, pixels] or, kNhwc, [pixels, channels]. float16 is rounded to the nearest, ties to even; so is uint8, after what is beyond
// 0 to 255 has been brought to the nearer end, and NaN to 0.
void convert_tile(const TileFormat& format, const float* planes, int64_t channels, int64_t pixels, void* tile);

}  // namespace manyscale::split
