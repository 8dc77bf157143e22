// Axis tables: for every output pixel along one axis of a resize the first source pixel, how many, and their weights, in
// the arithmetic of the mode's definer. Reference, SIMD and CUDA all consume these tables, so no device can drift.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace manyscale {

// What each mode means is in docs/resize.md.
enum class ResizeMode : int {
  kTorchBicubic,
  kTorchBilinear,
  kTorchBicubicAntialias,
  kTorchBilinearAntialias,
  kTorchArea,
  kPillowBicubic,
  kPillowBilinear,
  kPillowLanczos,
  kPillowBox,
};
inline constexpr int kResizeModeCount = 9;

const char* resize_mode_name(ResizeMode mode) noexcept;  // 'torch-bicubic' ...
std::optional<ResizeMode> find_resize_mode(std::string_view name) noexcept;
bool is_pillow(ResizeMode mode) noexcept;  // bytes are resized in fixed point, floats like those of any other mode

// Pillow's fixed point: weights have 22 fractional bits, an accumulator starts at one half.
inline constexpr int kPillowPrecisionBits = 22;

// first[i] + count[i] <= in for every i: taps that fall outside were folded into the edge pixels, or dropped and the rest
// renormalised, as the definer does. Weights are padded with zeros to `taps` per output pixel. A table may be of some output pixels only: its
// entry i is output pixel begin + i.
struct AxisTable {
  ResizeMode mode = ResizeMode::kTorchBicubic;
  int64_t in = 0;
  int64_t out = 0;
  int64_t begin = 0;
  int64_t taps = 0;                    // the largest count
  std::vector<int32_t> first;          // [entries]
  std::vector<int32_t> count;          // [entries]
  std::vector<float> weights;          // [entries, taps]
  std::vector<int32_t> fixed_weights;  // [entries, taps], Pillow modes only: for bytes

  bool identity() const { return in == out; }  // every mode copies then
};

// Error kInvalidArgument for sizes below 1, kPlanTooLarge for a table beyond any sense.
AxisTable make_axis_table(ResizeMode mode, int64_t in, int64_t out);
// Of output pixels begin .. end - 1.
AxisTable make_axis_table(ResizeMode mode, int64_t in, int64_t out, int64_t begin, int64_t end);

}  // namespace manyscale
