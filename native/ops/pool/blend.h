// How cells that several overlapping tiles have become one.
#pragma once

#include <cstdint>
#include <vector>

namespace manyscale::pool {

enum class Blend {
  kLinear,   // a tile's weight falls to its edge in a straight line over the cells that it shares with a neighbour
  kAverage,  // all tiles that have the cell count alike
};

// One axis of a scale: merged cell m is the sum of weight[k] * (cell[k] of tile[k]) over begin[m] <= k < begin[m + 1]. The weights of a cell sum
// to 1; those of both axes multiply.
struct BlendAxis {
  std::vector<int64_t> begin;  // [merged + 1]
  std::vector<int64_t> tile;
  std::vector<int64_t> cell;
  std::vector<float> weight;
};

// Tiles of `grid` cells whose first merged cells are `starts`, ascending, without gaps; empty: `tiles` of them one behind the other. Only the
// first `merged` cells are made.
BlendAxis make_blend_axis(int64_t tiles, int64_t grid, const std::vector<int64_t>& starts, int64_t merged, Blend blend);

}  // namespace manyscale::pool
