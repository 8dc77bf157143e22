#include "core/checked.h"
#include "ops/pool/pool.h"

namespace manyscale::pool {
namespace {

// Where one value of the merged grid of a scale stands. `row` and `column` count cells over all tiles of the scale.
const float& merged_value(const Params& params, size_t scale, const float* source, int64_t image, int64_t channel, int64_t row, int64_t column) {
  const ScaleParams& s = params.scales[scale];
  const int64_t tile = row / s.grid.height * s.columns + column / s.grid.width;
  const int64_t cell = row % s.grid.height * s.grid.width + column % s.grid.width;
  const int64_t start = params.tile_offsets[static_cast<size_t>(s.first_tile + tile * params.batch + image)];
  if (params.input == Layout::kTokens) return source[start + (params.prefix + cell) * s.channels + channel];
  return source[start + channel * s.grid.height * s.grid.width + cell];
}

// Adaptive average as PyTorch's CPU kernel computes it (ATen/native/cpu/AdaptiveAvgPoolKernel.cpp): the bin summed row
// by row in float32, then divided by its height and by its width.
float bin_average(const Params& params, size_t scale, const float* source, int64_t image, int64_t channel, int64_t row, int64_t column) {
  const Size merged = params.scales[scale].merged();
  const int64_t top = row * merged.height / params.grid.height;
  const int64_t bottom = ceil_div((row + 1) * merged.height, params.grid.height);
  const int64_t left = column * merged.width / params.grid.width;
  const int64_t right = ceil_div((column + 1) * merged.width, params.grid.width);
  float sum = 0;
  for (int64_t y = top; y < bottom; y++) {
    for (int64_t x = left; x < right; x++) sum += merged_value(params, scale, source, image, channel, y, x);
  }
  return sum / static_cast<float>(bottom - top) / static_cast<float>(right - left);
}

float prefix_average(const Params& params, size_t scale, const float* source, int64_t image, int64_t token, int64_t channel) {
  const ScaleParams& s = params.scales[scale];
  const int64_t tiles = s.rows * s.columns;
  float sum = 0;
  for (int64_t tile = 0; tile < tiles; tile++) {
    const int64_t start = params.tile_offsets[static_cast<size_t>(s.first_tile + tile * params.batch + image)];
    sum += source[start + token * s.channels + channel];
  }
  return sum / static_cast<float>(tiles);
}

}  // namespace

void run_reference(const Params& params, const std::vector<const float*>& sources, float* destination) {
  const int64_t cells = params.grid.height * params.grid.width;
  for (int64_t image = 0; image < params.batch; image++) {
    float* const out = destination + image * (params.prefix + cells) * params.channels;
    for (size_t scale = 0; scale < params.scales.size(); scale++) {
      const ScaleParams& s = params.scales[scale];
      for (int64_t c = 0; c < s.channels; c++) {
        const int64_t channel = s.channel_offset + c;
        for (int64_t token = 0; token < params.prefix; token++) {
          out[token * params.channels + channel] = prefix_average(params, scale, sources[scale], image, token, c);
        }
        for (int64_t cell = 0; cell < cells; cell++) {
          const float value = bin_average(params, scale, sources[scale], image, c, cell / params.grid.width, cell % params.grid.width);
          out[params.output == Layout::kTokens ? (params.prefix + cell) * params.channels + channel : channel * cells + cell] = value;
        }
      }
    }
  }
}

}  // namespace manyscale::pool
