#include "ops/pool/blend.h"

#include <algorithm>

namespace manyscale::pool {
namespace {

// Before it is divided by the sum of all tiles' that have the cell. With k shared cells those at the edge have 1 / 2k, 3 / 2k ...: two
// neighbours' weights sum to 1 by themselves.
double window(const std::vector<int64_t>& starts, int64_t grid, size_t tile, int64_t cell, Blend blend) {
  if (blend == Blend::kAverage) return 1;
  const auto ramp = [](int64_t from_edge, int64_t shared) {
    return from_edge < shared ? (static_cast<double>(from_edge) + 0.5) / static_cast<double>(shared) : 1.0;
  };
  double weight = 1;
  if (tile > 0) weight = std::min(weight, ramp(cell, starts[tile - 1] + grid - starts[tile]));
  if (tile + 1 < starts.size()) weight = std::min(weight, ramp(grid - 1 - cell, starts[tile] + grid - starts[tile + 1]));
  return weight;
}

}  // namespace

BlendAxis make_blend_axis(int64_t tiles, int64_t grid, const std::vector<int64_t>& given, int64_t merged, Blend blend) {
  std::vector<int64_t> starts = given;
  for (int64_t tile = 0; given.empty() && tile < tiles; tile++) starts.push_back(tile * grid);
  BlendAxis axis;
  size_t first = 0;  // tile that has the cell
  for (int64_t m = 0; m < merged; m++) {
    axis.begin.push_back(static_cast<int64_t>(axis.tile.size()));
    while (starts[first] + grid <= m) first++;
    double sum = 0;
    for (size_t tile = first; tile < starts.size() && starts[tile] <= m; tile++) sum += window(starts, grid, tile, m - starts[tile], blend);
    for (size_t tile = first; tile < starts.size() && starts[tile] <= m; tile++) {
      axis.tile.push_back(static_cast<int64_t>(tile));
      axis.cell.push_back(m - starts[tile]);
      axis.weight.push_back(static_cast<float>(window(starts, grid, tile, m - starts[tile], blend) / sum));
    }
  }
  axis.begin.push_back(static_cast<int64_t>(axis.tile.size()));
  return axis;
}

}  // namespace manyscale::pool
