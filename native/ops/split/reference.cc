// The law: plain loops over the axis tables. Sums are made in double, so that what others differ by is their own rounding.
#include <algorithm>
#include <utility>
#include <vector>

#include "ops/split/split.h"

namespace manyscale::split {
namespace {

// One pixel on opaque ground: rounded to uint8 once, for every mode.
uint8_t compose(uint8_t pixel, uint8_t alpha, uint8_t background) { return static_cast<uint8_t>((pixel * alpha + background * (255 - alpha) + 127) / 255); }

// One image of the source, as the resize sees it: cropped, without transparency.
struct Pixels {
  const Params& params;
  const void* data;
  int64_t image;

  float float_at(int64_t channel, int64_t y, int64_t x) const {
    const Source& s = params.source;
    const auto* plane = static_cast<const float*>(data) + (image * s.channels + channel) * s.height * s.width;
    return plane[(params.crop.top + y) * s.width + params.crop.left + x];
  }
  uint8_t byte_at(int64_t channel, int64_t y, int64_t x) const {
    const Source& s = params.source;
    const auto* pixel = static_cast<const uint8_t*>(data) + (params.crop.top + y) * s.row_stride + (params.crop.left + x) * s.channels;
    return s.channels == 4 ? compose(pixel[channel], pixel[3], params.background[static_cast<size_t>(channel)]) : pixel[channel];
  }
  float at(int64_t channel, int64_t y, int64_t x) const {
    return params.source.type == PixelType::kFloat32 ? float_at(channel, y, x) : static_cast<float>(byte_at(channel, y, x));
  }
};

// One output pixel of one pass; value(k) is the axis's source pixel k. A pass that keeps the size copies.
template <typename Value>
float resize_float(const AxisTable& axis, int64_t i, Value value) {
  if (axis.identity()) return value(axis.begin + i);
  const auto index = static_cast<size_t>(i);
  double sum = 0;
  for (int32_t k = 0; k < axis.count[index]; k++)
    sum += static_cast<double>(axis.weights[index * static_cast<size_t>(axis.taps) + static_cast<size_t>(k)]) * value(axis.first[index] + k);
  return static_cast<float>(sum);
}

template <typename Value>
uint8_t resize_fixed(const AxisTable& axis, int64_t i, Value value) {
  if (axis.identity()) return value(axis.begin + i);
  const auto index = static_cast<size_t>(i);
  int64_t sum = int64_t{1} << (kPillowPrecisionBits - 1);
  for (int32_t k = 0; k < axis.count[index]; k++)
    sum += int64_t{axis.fixed_weights[index * static_cast<size_t>(axis.taps) + static_cast<size_t>(k)]} * value(axis.first[index] + k);
  return static_cast<uint8_t>(std::clamp<int64_t>(sum >> kPillowPrecisionBits, 0, 255));
}

// The source rows that output rows [begin, begin + count) use.
std::pair<int64_t, int64_t> used(const AxisTable& axis, int64_t begin, int64_t count) {
  if (axis.identity()) return {axis.begin + begin, axis.begin + begin + count};
  int64_t low = axis.in;
  int64_t high = 0;
  for (int64_t i = begin; i < begin + count; i++) {
    const auto index = static_cast<size_t>(i);
    low = std::min<int64_t>(low, axis.first[index]);
    high = std::max<int64_t>(high, axis.first[index] + axis.count[index]);
  }
  return {low, high};
}

void make_tile(const Params& params, const void* source, const TileTarget& tile, float* to) {
  const ScaleTables& tables = params.scales[static_cast<size_t>(tile.scale)];
  const Scale& scale = tables.scale;
  const Pixels pixels{params, source, tile.image};
  const TilePart part = part_of_tile(scale, tile.row, tile.column);
  const auto [low, high] = used(*tables.y, part.y, part.rows());
  const bool fixed = params.fixed_point();
  // Between the passes; holds uint8 values in fixed point.
  std::vector<float> rows(static_cast<size_t>(std::max<int64_t>(high - low, 0) * part.columns()));
  for (int64_t c = 0; c < params.channels; c++) {
    float* const plane = to + c * scale.tile_height * scale.tile_width;
    std::fill(plane, plane + scale.tile_height * scale.tile_width, params.padding(scale, c));
    const int64_t channel = params.source_channel(c);
    for (int64_t y = low; y < high; y++) {
      for (int64_t x = 0; x < part.columns(); x++) {
        rows[static_cast<size_t>((y - low) * part.columns() + x)] =
            fixed ? static_cast<float>(resize_fixed(*tables.x, part.x + x, [&](int64_t k) { return pixels.byte_at(channel, y, k); }))
                  : resize_float(*tables.x, part.x + x, [&](int64_t k) { return pixels.at(channel, y, k); });
      }
    }
    for (int64_t y = 0; y < part.rows(); y++) {
      for (int64_t x = 0; x < part.columns(); x++) {
        const auto row_value = [&, low = low](int64_t k) { return rows[static_cast<size_t>((k - low) * part.columns() + x)]; };
        const float value = fixed ? static_cast<float>(resize_fixed(*tables.y, part.y + y, [&](int64_t k) { return static_cast<uint8_t>(row_value(k)); }))
                                  : resize_float(*tables.y, part.y + y, row_value);
        const auto index = static_cast<size_t>(c);
        plane[(part.top + y) * scale.tile_width + part.left + x] = value * params.multiply[index] + params.add[index];
      }
    }
  }
}

}  // namespace

void run_reference(const Params& params, const void* source, const std::vector<float*>& destinations) {
  for (const TileTarget& tile : params.tiles) make_tile(params, source, tile, destinations[static_cast<size_t>(tile.scale)] + tile.offset);
}

}  // namespace manyscale::split
