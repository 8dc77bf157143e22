#include "core/cut.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "core/checked.h"
#include "core/limits.h"

namespace manyscale {
namespace {

[[noreturn]] void refuse(const std::string& message) { throw Error(ErrorCode::kInvalidArgument, message); }

// The sizes of the two that could be asked for, as "672 or 896".
std::string either(int64_t below, int64_t above) {
  if (below < 1) return std::to_string(above);
  if (above > kMaxSide) return std::to_string(below);
  return std::to_string(below) + " or " + std::to_string(above);
}

// The nearest sizes below and above that divide evenly. With k splits these are the multiples of k, k * max_split among them, so
// that neither is further away than the smaller of k and max_split.
std::string nearest_dividing(int64_t side, int64_t max_split) {
  const auto works = [max_split](int64_t n) { return n % ceil_div(n, max_split) == 0; };
  int64_t below = side;
  int64_t above = side;
  while (!works(below)) below--;  // 1 works
  while (above <= kMaxSide && !works(above)) above++;
  return either(below, above);
}

AxisCut cut_into_equal(int64_t side, const AxisRule& rule) {
  const int64_t splits = ceil_div(side, rule.max_split);
  if (side % splits != 0 && rule.uneven == Uneven::kRefuse) {
    refuse(std::string("Expected a ") + rule.what + " that divides evenly into its splits for every scale but received " + std::to_string(side) +
           " with a max split size of " + std::to_string(rule.max_split) + " (" + std::to_string(splits) + " splits); the nearest that work are " +
           nearest_dividing(side, rule.max_split));
  }
  const int64_t tile = ceil_div(side, splits);
  return {splits * tile, splits, tile, {}};
}

// `side`, or the next that is a multiple of `step` and at least a tile.
int64_t fill(int64_t side, int64_t tile, int64_t step, const AxisRule& rule) {
  const int64_t filled = std::max(tile, ceil_div(side, step) * step);
  if (filled == side || rule.uneven != Uneven::kRefuse) return filled;
  const std::string steps = step == tile
                                ? "a multiple of the tile's " + std::string(rule.what) + " (" + std::to_string(tile) + ")"
                                : "a multiple of " + std::to_string(step) + " (a whole number of cells) that holds a tile (" + std::to_string(tile) + ")";
  const int64_t below = side / step * step;
  refuse("Expected " + steps + " for the " + rule.what + " of every scale but received " + std::to_string(side) + "; the nearest that work are " +
         either(below >= tile ? below : 0, filled));
}

int64_t overlap_pixels(const AxisRule& rule, int64_t tile) {
  const auto whole = static_cast<double>(tile);
  // A part that was meant to be whole pixels is not to become one more by rounding, nor one of almost a tile a whole one.
  const double pixels = rule.overlap < 1 ? std::clamp(std::ceil(rule.overlap * whole - 1e-6), 1.0, std::max(1.0, whole - 1)) : rule.overlap;
  if (pixels >= whole) {
    refuse("Expected an overlap of less than a tile (" + std::to_string(tile) + " pixels along the " + rule.what + ") but received " +
           number_text(rule.overlap) + (rule.overlap < 1 ? " of it" : ""));
  }
  return static_cast<int64_t>(pixels);
}

AxisCut cut_overlapping(int64_t side, int64_t tile, const AxisRule& rule) {
  int64_t overlap = overlap_pixels(rule, tile);
  int64_t unit = std::gcd(std::gcd(tile, overlap), side);
  if (rule.unit > 0) {
    unit = rule.unit;
    if (tile % unit != 0 || tile == unit) {
      refuse("Expected tiles that can overlap by whole cells for overlap but received a tile of " + std::to_string(tile) + " pixels along the " + rule.what +
             " whose cells meet other tiles' only every " + std::to_string(unit) + " pixels; leave overlap out");
    }
    overlap = std::min(ceil_div(overlap, unit) * unit, tile - unit);
    side = fill(side, tile, unit, rule);
  }
  if (side == tile) return {side, 1, tile, {}};
  AxisCut cut{side, ceil_div(side - overlap, tile - overlap), tile, {}};
  check_tile_count(cut.count);
  const int64_t room = (side - tile) / unit;
  cut.starts.reserve(static_cast<size_t>(cut.count));
  for (int64_t i = 0; i < cut.count; i++) cut.starts.push_back(i * room / (cut.count - 1) * unit);
  return cut;
}

}  // namespace

AxisCut cut_axis(int64_t side, const AxisRule& rule) {
  check_side(side, rule.what[0] == 'h' ? "the height of every scale" : "the width of every scale");
  AxisCut cut;
  if (rule.overlap > 0) {
    const int64_t tile = rule.tile > 0 ? rule.tile : std::min(rule.max_split, side);
    if (rule.tile == 0 && tile == side) return {side, 1, side, {}};
    if (side < tile) side = fill(side, tile, rule.unit > 0 ? rule.unit : tile, rule);
    cut = cut_overlapping(side, tile, rule);
  } else if (rule.tile > 0) {
    const int64_t filled = fill(side, rule.tile, rule.tile, rule);
    cut = {filled, filled / rule.tile, rule.tile, {}};
  } else {
    cut = cut_into_equal(side, rule);
  }
  check_side(cut.side, rule.what[0] == 'h' ? "the height of every scale" : "the width of every scale");
  return cut;
}

}  // namespace manyscale
