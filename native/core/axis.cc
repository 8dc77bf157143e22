// Compiled without contraction of multiply-adds: the coordinates are part of each mode's definition.
#include "core/axis.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/checked.h"

namespace manyscale {
namespace {

constexpr const char* kNames[kResizeModeCount] = {"torch-bicubic", "torch-bilinear", "torch-bicubic-antialias", "torch-bilinear-antialias",
                                                  "torch-area",    "pillow-bicubic", "pillow-bilinear",         "pillow-lanczos",
                                                  "pillow-box"};

constexpr int64_t kMaxWeights = int64_t{1} << 27;

// Output pixels begin .. end - 1.
struct Part {
  int64_t begin;
  int64_t end;
};

// Taps of one output pixel before they are packed into the table.
template <typename Weight>
struct Window {
  int64_t first = 0;
  std::vector<Weight> weights;
};

// Keys' cubic convolution with parameter a, |x| <= 1 and 1 < |x| < 2.
template <typename T>
T cubic_inner(T x, T a) {
  return ((a + 2) * x - (a + 3)) * x * x + 1;
}
template <typename T>
T cubic_outer(T x, T a) {
  return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
}

template <typename T>
T cubic_filter(T x) {  // a = -0.5, as both definers use when they antialias
  constexpr T a = T(-0.5);
  x = std::abs(x);
  if (x < 1) return cubic_inner(x, a);
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

template <typename T>
T triangle_filter(T x) {
  x = std::abs(x);
  return x < 1 ? 1 - x : T(0);
}

double sinc(double x) {
  if (x == 0) return 1;
  x *= 3.14159265358979323846;
  return std::sin(x) / x;
}
double lanczos_filter(double x) { return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0; }
double box_filter(double x) { return x > -0.5 && x <= 0.5 ? 1 : 0; }

// PyTorch without antialias: ATen/native/cpu/UpSampleKernel.cpp, HelperInterpCubic and HelperInterpLinear. Taps outside
// repeat the edge pixel: their weights are added to its weight. The scale is float32 but coordinates are double: float32 ones
// differ from the golden data by 1e-5 at 5000 -> 672.
void torch_direct(ResizeMode mode, int64_t in, int64_t out, const Part& part, std::vector<Window<float>>& windows) {
  const float scale = static_cast<float>(in) / static_cast<float>(out);
  for (int64_t i = part.begin; i < part.end; i++) {
    double coordinate = scale * (static_cast<double>(i) + 0.5) - 0.5;
    if (mode == ResizeMode::kTorchBilinear) coordinate = std::max(coordinate, 0.0);
    const int64_t base = std::min(static_cast<int64_t>(std::floor(coordinate)), in - 1);
    const float t = static_cast<float>(std::min(std::max(coordinate - static_cast<double>(base), 0.0), 1.0));
    float taps[4];
    int64_t start = base;
    int count = 2;
    if (mode == ResizeMode::kTorchBicubic) {
      constexpr float a = -0.75F;
      start = base - 1;
      count = 4;
      taps[0] = cubic_outer(t + 1, a);
      taps[1] = cubic_inner(t, a);
      taps[2] = cubic_inner(1 - t, a);
      taps[3] = cubic_outer(1 - t + 1, a);
    } else {
      taps[0] = 1 - t;
      taps[1] = t;
    }
    const int64_t low = std::clamp<int64_t>(start, 0, in - 1);
    const int64_t high = std::clamp<int64_t>(start + count - 1, 0, in - 1);
    Window<float>& window = windows[i - part.begin];
    window.first = low;
    window.weights.assign(static_cast<size_t>(high - low + 1), 0.0F);
    for (int k = 0; k < count; k++) window.weights[std::clamp<int64_t>(start + k, 0, in - 1) - low] += taps[k];
  }
}

// PyTorch with antialias: HelperInterpBase::_compute_indices_min_size_weights_aa, whose mix of float and double is kept.
void torch_antialias(ResizeMode mode, int64_t in, int64_t out, const Part& part, std::vector<Window<float>>& windows) {
  const float scale = static_cast<float>(in) / static_cast<float>(out);
  const int interpolation_size = mode == ResizeMode::kTorchBicubicAntialias ? 4 : 2;
  const float support = static_cast<float>(scale >= 1.0F ? (interpolation_size * 0.5) * scale : interpolation_size * 0.5);
  const float inverse = static_cast<float>(scale >= 1.0F ? 1.0 / scale : 1.0);
  for (int64_t i = part.begin; i < part.end; i++) {
    const float centre = static_cast<float>(scale * (static_cast<double>(i) + 0.5));
    const int64_t low = std::max<int64_t>(static_cast<int64_t>(centre - support + 0.5), 0);
    const int64_t high = std::min<int64_t>(static_cast<int64_t>(centre + support + 0.5), in);
    Window<float>& window = windows[i - part.begin];
    window.first = low;
    window.weights.resize(static_cast<size_t>(high - low));
    float total = 0;
    for (int64_t k = 0; k < high - low; k++) {
      const float x = static_cast<float>((static_cast<float>(k + low) - centre + 0.5) * inverse);
      const float weight = mode == ResizeMode::kTorchBicubicAntialias ? cubic_filter(x) : triangle_filter(x);
      window.weights[k] = weight;
      total += weight;
    }
    if (total != 0) {
      for (float& weight : window.weights) weight /= total;
    }
  }
}

// PyTorch's adaptive average: bin i covers floor(i * in / out) .. ceil((i + 1) * in / out).
void torch_area(int64_t in, int64_t out, const Part& part, std::vector<Window<float>>& windows) {
  for (int64_t i = part.begin; i < part.end; i++) {
    const int64_t low = i * in / out;
    const int64_t high = ceil_div((i + 1) * in, out);
    windows[i - part.begin].first = low;
    windows[i - part.begin].weights.assign(static_cast<size_t>(high - low), 1.0F / static_cast<float>(high - low));
  }
}

// Pillow: src/libImaging/Resample.c, precompute_coeffs, in double.
void pillow(ResizeMode mode, int64_t in, int64_t out, const Part& part, std::vector<Window<double>>& windows) {
  double (*filter)(double) = nullptr;
  double filter_support = 0;
  switch (mode) {
    case ResizeMode::kPillowBilinear: filter = triangle_filter<double>, filter_support = 1; break;
    case ResizeMode::kPillowLanczos: filter = lanczos_filter, filter_support = 3; break;
    case ResizeMode::kPillowBox: filter = box_filter, filter_support = 0.5; break;
    default: filter = cubic_filter<double>, filter_support = 2; break;
  }
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double filter_scale = std::max(scale, 1.0);
  const double support = filter_support * filter_scale;
  const double inverse = 1.0 / filter_scale;
  for (int64_t i = part.begin; i < part.end; i++) {
    const double centre = (static_cast<double>(i) + 0.5) * scale;
    const int64_t low = std::max<int64_t>(static_cast<int64_t>(centre - support + 0.5), 0);
    const int64_t high = std::min<int64_t>(static_cast<int64_t>(centre + support + 0.5), in);
    Window<double>& window = windows[i - part.begin];
    window.first = low;
    window.weights.resize(static_cast<size_t>(high - low));
    double total = 0;
    for (int64_t k = 0; k < high - low; k++) {
      window.weights[k] = filter((static_cast<double>(k + low) - centre + 0.5) * inverse);
      total += window.weights[k];
    }
    if (total != 0) {
      for (double& weight : window.weights) weight /= total;
    }
  }
}

// Pillow's normalize_coeffs_8bpc: half away from zero.
int32_t to_fixed(double weight) {
  const double scaled = weight * (1 << kPillowPrecisionBits);
  return static_cast<int32_t>(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
}

template <typename Weight>
void pack_windows(const std::vector<Window<Weight>>& windows, AxisTable& table) {
  size_t taps = 1;
  table.first.reserve(windows.size());
  table.count.reserve(windows.size());
  for (const auto& window : windows) {
    taps = std::max(taps, window.weights.size());
    table.first.push_back(static_cast<int32_t>(window.first));
    table.count.push_back(static_cast<int32_t>(window.weights.size()));
  }
  table.taps = static_cast<int64_t>(taps);
}

// [entries, taps] as `convert` makes them.
template <typename Weight, typename Packed>
std::vector<Packed> pack_weights(const std::vector<Window<Weight>>& windows, int64_t taps, Packed (*convert)(Weight)) {
  std::vector<Packed> packed(windows.size() * static_cast<size_t>(taps), Packed(0));
  auto row = packed.begin();
  for (const auto& window : windows) {
    std::transform(window.weights.begin(), window.weights.end(), row, convert);
    row += taps;
  }
  return packed;
}

template <typename Weight>
float to_float(Weight weight) {
  return static_cast<float>(weight);
}

}  // namespace

const char* resize_mode_name(ResizeMode mode) noexcept { return kNames[static_cast<int>(mode)]; }

std::optional<ResizeMode> find_resize_mode(std::string_view name) noexcept {
  for (int i = 0; i < kResizeModeCount; i++) {
    if (name == kNames[i]) return static_cast<ResizeMode>(i);
  }
  return std::nullopt;
}

bool is_pillow(ResizeMode mode) noexcept { return mode >= ResizeMode::kPillowBicubic; }

AxisTable make_axis_table(ResizeMode mode, int64_t in, int64_t out) { return make_axis_table(mode, in, out, 0, out); }

AxisTable make_axis_table(ResizeMode mode, int64_t in, int64_t out, int64_t begin, int64_t end) {
  if (in < 1 || out < 1) {
    throw Error(ErrorCode::kInvalidArgument,
                "Expected sizes of at least 1 pixel for a resize but received " + std::to_string(in) + " to " + std::to_string(out));
  }
  // The widest filter (Lanczos) has 3 source pixels to each side per output pixel.
  const int64_t widest = checked_sum("a resize table", checked_product("a resize table", 6, ceil_div(in, out)), 2);
  if (in > (int64_t{1} << 30) || out > (int64_t{1} << 30) || checked_product("a resize table", widest, end - begin) > kMaxWeights) {
    throw Error(ErrorCode::kPlanTooLarge, "Expected a resize of fewer pixels but received " + std::to_string(in) + " to " + std::to_string(out));
  }
  if (begin < 0 || end <= begin || end > out) {
    throw Error(ErrorCode::kInvalidArgument,
                "Expected some of the " + std::to_string(out) + " pixels of a resize but received " + std::to_string(begin) + " to " + std::to_string(end));
  }
  const Part part{begin, end};
  const auto entries = static_cast<size_t>(end - begin);
  AxisTable table;
  table.mode = mode;
  table.in = in;
  table.out = out;
  table.begin = begin;
  if (is_pillow(mode)) {
    std::vector<Window<double>> windows(entries);
    pillow(mode, in, out, part, windows);
    pack_windows(windows, table);
    table.weights = pack_weights(windows, table.taps, to_float<double>);
    table.fixed_weights = pack_weights(windows, table.taps, to_fixed);
    return table;
  }
  std::vector<Window<float>> windows(entries);
  switch (mode) {
    case ResizeMode::kTorchArea: torch_area(in, out, part, windows); break;
    case ResizeMode::kTorchBicubicAntialias:
    case ResizeMode::kTorchBilinearAntialias: torch_antialias(mode, in, out, part, windows); break;
    default: torch_direct(mode, in, out, part, windows); break;
  }
  pack_windows(windows, table);
  table.weights = pack_weights(windows, table.taps, to_float<float>);
  return table;
}

}  // namespace manyscale
