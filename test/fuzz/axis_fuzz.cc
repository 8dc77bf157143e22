// make_axis_table for every mode and any two sizes: windows inside the source whose weights add up to one, or a refusal.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "check.h"
#include "core/axis.h"
#include "fuzzed_input.h"

using namespace manyscale;
using manyscale::fuzz::FuzzedInput;

namespace {

constexpr int64_t kMostWeights = int64_t{1} << 14;  // of a table that is made here, so that an input takes milliseconds

// The sum of a window's weights, [out, taps] as `weights` has them in units of 1 / `one`.
template <typename Weight>
void check_sum(const AxisTable& table, const std::vector<Weight>& weights, double one, size_t i, double rounding, const std::string& what) {
  const size_t at = i * static_cast<size_t>(table.taps);
  double sum = 0;
  for (size_t k = 0; k < static_cast<size_t>(table.taps); k++) {
    const double weight = static_cast<double>(weights[at + k]) / one;
    FUZZ_CHECK(std::isfinite(weight) && std::abs(weight) < 2, what);
    FUZZ_CHECK(static_cast<int64_t>(k) < table.count[i] || weight == 0, what + ": a weight behind its window");
    sum += weight;
  }
  FUZZ_CHECK(std::abs(sum - 1) <= rounding, what + ": the weights of pixel " + std::to_string(i) + " add up to " + std::to_string(sum));
}

// A table of some of the output pixels has the whole one's entries; only the zeros behind their weights may be fewer.
void check_part(const AxisTable& whole, int64_t begin, int64_t end, const std::string& text) {
  const AxisTable part = make_axis_table(whole.mode, whole.in, whole.out, begin, end);
  const std::string what = text + ", pixels " + std::to_string(begin) + " to " + std::to_string(end);
  FUZZ_CHECK(part.in == whole.in && part.out == whole.out && part.begin == begin && part.first.size() == static_cast<size_t>(end - begin), what);
  const auto at = [](const auto& weights, size_t i, int64_t taps, int32_t k) { return weights[i * static_cast<size_t>(taps) + static_cast<size_t>(k)]; };
  for (size_t i = 0; i < part.first.size(); i++) {
    const size_t j = i + static_cast<size_t>(begin);
    FUZZ_CHECK(part.first[i] == whole.first[j] && part.count[i] == whole.count[j] && part.count[i] <= part.taps, what);
    for (int32_t k = 0; k < part.count[i]; k++) {
      FUZZ_CHECK(at(part.weights, i, part.taps, k) == at(whole.weights, j, whole.taps, k), what);
      if (is_pillow(whole.mode)) FUZZ_CHECK(at(part.fixed_weights, i, part.taps, k) == at(whole.fixed_weights, j, whole.taps, k), what);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzedInput input(data, size);
  const auto mode = static_cast<ResizeMode>(input.between(0, kResizeModeCount - 1));
  const int64_t in = input.size(1500);
  const int64_t out = input.size(1500);
  const std::string what = std::string(resize_mode_name(mode)) + " from " + std::to_string(in) + " to " + std::to_string(out);
  // Larger tables are made by the same code, slowly. What is far larger is refused, which takes no time.
  const bool valid = in >= 1 && out >= 1;
  if (valid && in <= (int64_t{1} << 30) && out <= (int64_t{1} << 30)) {
    const double weights = (6 * std::ceil(static_cast<double>(in) / static_cast<double>(out)) + 2) * static_cast<double>(out);
    if (weights > kMostWeights && weights <= 1 << 27) return -1;
  }
  AxisTable table;
  try {
    table = make_axis_table(mode, in, out);
  } catch (const Error& error) {
    FUZZ_CHECK_REFUSAL(error, ErrorCode::kInvalidArgument, ErrorCode::kPlanTooLarge);
    FUZZ_CHECK((error.code() == ErrorCode::kInvalidArgument) == !valid || error.code() == ErrorCode::kPlanTooLarge, error.what());
    return 0;
  }
  FUZZ_CHECK(valid && table.mode == mode && table.in == in && table.out == out, what);
  const auto pixels = static_cast<size_t>(out);
  FUZZ_CHECK(table.first.size() == pixels && table.count.size() == pixels, what);
  FUZZ_CHECK(table.weights.size() == pixels * static_cast<size_t>(table.taps), what);
  FUZZ_CHECK(table.fixed_weights.size() == (is_pillow(mode) ? table.weights.size() : 0), what);
  FUZZ_CHECK(*std::max_element(table.count.begin(), table.count.end()) == table.taps, what);
  for (size_t i = 0; i < pixels; i++) {
    FUZZ_CHECK(table.first[i] >= 0 && table.count[i] >= 1 && table.first[i] + int64_t{table.count[i]} <= in,
               what + ": pixel " + std::to_string(i) + " has the window " + std::to_string(table.first[i]) + " + " + std::to_string(table.count[i]));
    FUZZ_CHECK(i == 0 || table.first[i] >= table.first[i - 1], what + ": windows that go back");
    // A float weight is a few float32 operations away from exact, one in fixed point was rounded to 22 bits.
    const auto taps = static_cast<double>(table.count[i]);
    check_sum(table, table.weights, 1, i, 2e-6 + taps * 1e-7, what);
    if (is_pillow(mode)) check_sum(table, table.fixed_weights, 1 << kPillowPrecisionBits, i, taps / (1 << kPillowPrecisionBits), what);
  }
  const int64_t begin = input.between(0, out - 1);
  check_part(table, begin, input.between(begin + 1, out), what);
  return 0;
}
