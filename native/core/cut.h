// How one axis of a scale is cut into tiles.
#pragma once

#include <cstdint>
#include <vector>

namespace manyscale {

// What happens to a side that tiles do not fill.
enum class Uneven {
  kRefuse,  // Error kInvalidArgument that names the nearest sides that work
  kResize,  // the scale is made as large as the next side that works
  kPad,     // the scale keeps its size and is padded up to there
};

// What holds for an axis of every scale.
struct AxisRule {
  int64_t max_split = 1;  // largest tile; of no interest with `tile`
  int64_t tile = 0;       // 0: as few tiles as max_split allows, all of one size
  double overlap = 0;     // of neighbouring tiles, at least: pixels or, below 1, a part of the tile
  int64_t unit = 0;       // overlapping tiles begin at multiples of it; 0: any that tile, overlap and side share
  Uneven uneven = Uneven::kRefuse;
  const char* what = "side";  // for messages: 'height' or 'width'
};

struct AxisCut {
  int64_t side = 0;             // after `uneven`: as asked for, or more
  int64_t count = 0;            // tiles
  int64_t tile = 0;             // pixels
  std::vector<int64_t> starts;  // empty: one behind the other
};

// Overlapping tiles are spread evenly from the first pixel to the last: as few as overlap by `overlap` everywhere, rounded up to whole units.
// Error kInvalidArgument (sides that do not work, overlaps of a whole tile or more) or kPlanTooLarge.
AxisCut cut_axis(int64_t side, const AxisRule& rule);

}  // namespace manyscale
