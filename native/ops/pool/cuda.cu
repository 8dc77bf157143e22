// pool: every thread makes one output cell, or prefix token, of a few channels of one scale: the average of its bin's merged cells, each read from
// wherever its tile lies. Sums in float32 in the order of the reference, rounded once.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "ops/pool/device_params.h"

namespace {

using manyscale::pool::device::Arguments;
using manyscale::pool::device::Bin;
using manyscale::pool::device::Entry;
using manyscale::pool::device::Part;
namespace device = manyscale::pool::device;

__device__ __forceinline__ float half_value(uint32_t bits) { return __half2float(__ushort_as_half(static_cast<unsigned short>(bits))); }
__device__ __forceinline__ float bfloat_value(uint32_t bits) { return __uint_as_float(bits << 16); }

// kWidth values from `at`, which is aligned to all of them.
template <int kType, int kWidth>
__device__ __forceinline__ void load(const char* at, float (&values)[kWidth]) {
  if constexpr (kWidth == 1) {
    if constexpr (kType == device::kFloat32)
      values[0] = *reinterpret_cast<const float*>(at);
    else if constexpr (kType == device::kFloat16)
      values[0] = half_value(*reinterpret_cast<const unsigned short*>(at));
    else
      values[0] = bfloat_value(*reinterpret_cast<const unsigned short*>(at));
  } else {
    const uint4 words = __ldg(reinterpret_cast<const uint4*>(at));
    const uint32_t all[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
    for (int k = 0; k < kWidth; k++) {
      if constexpr (kType == device::kFloat32)
        values[k] = __uint_as_float(all[k]);
      else if constexpr (kType == device::kFloat16)
        values[k] = half_value(all[k / 2] >> (k % 2 * 16) & 0xffffU);
      else
        values[k] = bfloat_value(all[k / 2] >> (k % 2 * 16) & 0xffffU);
    }
  }
}

__device__ __forceinline__ uint32_t half_bits(float value) { return __half_as_ushort(__float2half_rn(value)); }

// Channels lie `step` elements apart: 1 in tokens, a map's cells in feature maps.
template <int kWidth>
__device__ __forceinline__ void store(const Part& part, char* output, int64_t index, int64_t step, const float (&values)[kWidth]) {
  if (part.output_type == device::kFloat32) {
    float* const to = reinterpret_cast<float*>(output) + index;
    if (kWidth >= 4 && step == 1) {
#pragma unroll
      for (int k = 0; k + 3 < kWidth; k += 4) *reinterpret_cast<float4*>(to + k) = make_float4(values[k], values[k + 1], values[k + 2], values[k + 3]);
    } else {
#pragma unroll
      for (int k = 0; k < kWidth; k++) to[k * step] = values[k];
    }
    return;
  }
  unsigned short* const to = reinterpret_cast<unsigned short*>(output) + index;
  if (kWidth == 8 && step == 1) {
    uint32_t words[4];
#pragma unroll
    for (int k = 0; k < 4; k++) words[k] = half_bits(values[2 * k % kWidth]) | half_bits(values[(2 * k + 1) % kWidth]) << 16;
    *reinterpret_cast<uint4*>(to) = make_uint4(words[0], words[1], words[2], words[3]);
  } else if (kWidth == 4 && step == 1) {
    *reinterpret_cast<uint2*>(to) =
        make_uint2(half_bits(values[0]) | half_bits(values[1 % kWidth]) << 16, half_bits(values[2 % kWidth]) | half_bits(values[3 % kWidth]) << 16);
  } else {
#pragma unroll
    for (int k = 0; k < kWidth; k++) to[k * step] = static_cast<unsigned short>(half_bits(values[k]));
  }
}

template <int kType, int kWidth>
__device__ void run(const Arguments& a, const Part& part, int64_t item) {
  constexpr int kBytes = kType == device::kFloat32 ? 4 : 2;
  const char* const tables = reinterpret_cast<const char*>(a.tables);
  const char* const features = reinterpret_cast<const char*>(a.features);
  const int64_t* const tiles = reinterpret_cast<const int64_t*>(tables + part.tiles);
  const int32_t groups = part.channels / kWidth;
  const int32_t output_cells = part.output_height * part.output_width;
  const int32_t lines = part.prefix + output_cells;
  // Neighbouring threads read neighbouring bytes: channels of tokens, cells of maps.
  int32_t group, line;
  int64_t image;
  if (part.input_is_map) {
    line = static_cast<int32_t>(item % lines);
    group = static_cast<int32_t>(item / lines % groups);
    image = item / lines / groups;
  } else {
    group = static_cast<int32_t>(item % groups);
    line = static_cast<int32_t>(item / groups % lines);
    image = item / groups / lines;
  }
  const int32_t channel = group * kWidth;
  float sums[kWidth] = {};
  float values[kWidth];
  if (line < part.prefix) {
    const int32_t count = part.rows * part.columns;
    for (int32_t tile = 0; tile < count; tile++) {
      load<kType>(features + tiles[static_cast<int64_t>(tile) * part.batch + image] + (static_cast<int64_t>(line) * part.channels + channel) * kBytes, values);
#pragma unroll
      for (int k = 0; k < kWidth; k++) sums[k] += values[k];
    }
#pragma unroll
    for (int k = 0; k < kWidth; k++) sums[k] /= static_cast<float>(count);
  } else {
    const int32_t cell = line - part.prefix;
    const Bin y = reinterpret_cast<const Bin*>(tables + part.bins_y)[cell / part.output_width];
    const Bin x = reinterpret_cast<const Bin*>(tables + part.bins_x)[cell % part.output_width];
    const Entry* const entries_y = reinterpret_cast<const Entry*>(tables + part.entries_y);
    const Entry* const entries_x = reinterpret_cast<const Entry*>(tables + part.entries_x);
    // Of a cell in its tile.
    const int64_t start =
        part.input_is_map ? static_cast<int64_t>(channel) * part.tile_height * part.tile_width : static_cast<int64_t>(part.prefix) * part.channels + channel;
    const int64_t step = part.input_is_map ? 1 : part.channels;
    for (int32_t j = y.first; j < y.last; j++) {
      const Entry row = entries_y[j];
      for (int32_t i = x.first; i < x.last; i++) {
        const Entry column = entries_x[i];
        const int64_t tile = tiles[(static_cast<int64_t>(row.tile) * part.columns + column.tile) * part.batch + image];
        load<kType>(features + tile + (start + (row.cell * part.tile_width + column.cell) * step) * kBytes, values);
        if (part.is_weighted) {
          const float weight = row.weight * column.weight;
#pragma unroll
          for (int k = 0; k < kWidth; k++) sums[k] += weight * values[k];
        } else {
#pragma unroll
          for (int k = 0; k < kWidth; k++) sums[k] += values[k];
        }
      }
    }
#pragma unroll
    for (int k = 0; k < kWidth; k++) sums[k] = sums[k] / static_cast<float>(y.length) / static_cast<float>(x.length);
  }
  char* const output = reinterpret_cast<char*>(a.destination) + part.output;
  const int64_t of_image = image * lines * part.output_channels;
  if (part.output_is_map)
    store(part, output, of_image + static_cast<int64_t>(part.channel_offset + channel) * output_cells + line, output_cells, sums);
  else
    store(part, output, of_image + static_cast<int64_t>(line) * part.output_channels + part.channel_offset + channel, 1, sums);
}

}  // namespace

extern "C" __global__ void __launch_bounds__(manyscale::pool::device::kThreads, 3) manyscale_pool(const __grid_constant__ Arguments a) {
  const Part* const parts = reinterpret_cast<const Part*>(a.tables);
  int32_t low = 0;
  for (int32_t high = a.part_count; high - low > 1;) {
    const int32_t middle = low + (high - low) / 2;
    if (parts[middle].first_block <= blockIdx.x)
      low = middle;
    else
      high = middle;
  }
  const Part& part = parts[low];
  const int64_t item = static_cast<int64_t>(blockIdx.x - part.first_block) * device::kThreads + threadIdx.x;
  if (item >= part.items) return;
  if (part.type == device::kFloat32) {
    if (part.width == 4)
      run<device::kFloat32, 4>(a, part, item);
    else
      run<device::kFloat32, 1>(a, part, item);
  } else if (part.type == device::kFloat16) {
    if (part.width == 8)
      run<device::kFloat16, 8>(a, part, item);
    else
      run<device::kFloat16, 1>(a, part, item);
  } else {
    if (part.width == 8)
      run<device::kBfloat16, 8>(a, part, item);
    else
      run<device::kBfloat16, 1>(a, part, item);
  }
}
