#include "core/checked.h"
#include "core/half.h"
#include "ops/pool/pool.h"

namespace manyscale::pool {
namespace {

using Sources = std::vector<const float*>;

const float* tile_features(const Params& params, const Sources& sources, size_t scale, int64_t tile, int64_t image) {
  const TileSource& source = params.tiles[static_cast<size_t>(params.scales[scale].first_tile + tile * params.batch + image)];
  return sources[static_cast<size_t>(source.buffer)] + source.offset;
}

// One value of one tile.
float tile_value(const Params& params, const Sources& sources, size_t scale, int64_t image, int64_t channel, int64_t tile, int64_t cell) {
  const ScaleParams& s = params.scales[scale];
  const float* const features = tile_features(params, sources, scale, tile, image);
  if (params.input == Layout::kTokens) return features[(params.prefix + cell) * s.channels + channel];
  return features[channel * s.grid.height * s.grid.width + cell];
}

struct Axes {
  BlendAxis y;
  BlendAxis x;
};

// Adaptive average as PyTorch's CPU kernel computes it (ATen/native/cpu/AdaptiveAvgPoolKernel.cpp): the bin summed row
// by row in float32, then divided by its height and by its width. Where tiles overlap, every merged cell is the sum of the tiles' shares.
float bin_average(const Params& params, const Sources& sources, size_t scale, const Axes& axes, int64_t image, int64_t channel, int64_t row, int64_t column) {
  const ScaleParams& s = params.scales[scale];
  const int64_t top = row * s.merged.height / params.grid.height;
  const int64_t bottom = ceil_div((row + 1) * s.merged.height, params.grid.height);
  const int64_t left = column * s.merged.width / params.grid.width;
  const int64_t right = ceil_div((column + 1) * s.merged.width, params.grid.width);
  const auto at = [](const auto& values, int64_t index) { return values[static_cast<size_t>(index)]; };
  float sum = 0;
  for (int64_t y = at(axes.y.begin, top); y < at(axes.y.begin, bottom); y++) {
    for (int64_t x = at(axes.x.begin, left); x < at(axes.x.begin, right); x++) {
      const float value = tile_value(params, sources, scale, image, channel, at(axes.y.tile, y) * s.columns + at(axes.x.tile, x),
                                     at(axes.y.cell, y) * s.grid.width + at(axes.x.cell, x));
      sum += s.overlaps() ? at(axes.y.weight, y) * at(axes.x.weight, x) * value : value;
    }
  }
  return sum / static_cast<float>(bottom - top) / static_cast<float>(right - left);
}

float prefix_average(const Params& params, const Sources& sources, size_t scale, int64_t image, int64_t token, int64_t channel) {
  const ScaleParams& s = params.scales[scale];
  const int64_t tiles = s.rows * s.columns;
  float sum = 0;
  for (int64_t tile = 0; tile < tiles; tile++) sum += tile_features(params, sources, scale, tile, image)[token * s.channels + channel];
  return sum / static_cast<float>(tiles);
}

void write(const Params& params, void* destination, int64_t index, float value) {
  if (params.output_type == OutputType::kFloat16) {
    static_cast<uint16_t*>(destination)[index] = to_half(value);
  } else {
    static_cast<float*>(destination)[index] = value;
  }
}

}  // namespace

void run_reference(const Params& params, const std::vector<const float*>& sources, void* destination) {
  const int64_t cells = params.grid.height * params.grid.width;
  for (int64_t image = 0; image < params.batch; image++) {
    const int64_t start = image * (params.prefix + cells) * params.channels;
    for (size_t scale = 0; scale < params.scales.size(); scale++) {
      const ScaleParams& s = params.scales[scale];
      const Axes axes{make_blend_axis(s.rows, s.grid.height, s.tops, s.merged.height, params.blend),
                      make_blend_axis(s.columns, s.grid.width, s.lefts, s.merged.width, params.blend)};
      for (int64_t c = 0; c < s.channels; c++) {
        const int64_t channel = s.channel_offset + c;
        for (int64_t token = 0; token < params.prefix; token++) {
          write(params, destination, start + token * params.channels + channel, prefix_average(params, sources, scale, image, token, c));
        }
        for (int64_t cell = 0; cell < cells; cell++) {
          const int64_t index = params.output == Layout::kTokens ? (params.prefix + cell) * params.channels + channel : channel * cells + cell;
          write(params, destination, start + index, bin_average(params, sources, scale, axes, image, c, cell / params.grid.width, cell % params.grid.width));
        }
      }
    }
  }
}

}  // namespace manyscale::pool
