// Between split.cc, which prepares, and cpu.cc, which is compiled once per instruction set: plain data and one table of
// functions. Nothing here has code, so no inline function of a newer instruction set can replace its baseline copy.
#pragma once

#include <cstddef>
#include <cstdint>

namespace manyscale::split {

// One axis of a resize in float. Kernels see only the source rows and columns that some output pixel uses:
// they stand one after another in "slots", and the taps of output pixel i are slots slot[i] .. slot[i] + count[i] * step - 1.
// Vertically a slot is a source row (step 1); horizontally it is an element of a row (step: elements a pixel).
struct FloatAxis {
  const int32_t* slot;
  const int32_t* count;
  const int32_t* weight;  // of output pixel i: weights[weight[i]] and on
  const float* weights;
  const int32_t* source;  // vertically: the source row of a slot; horizontally: the first element of each vector of slots
};

// One axis of a resize of bytes in Pillow's fixed point. Taps come in pairs of source pixels (2p, 2p + 1), so that a pair of 16-bit
// products is added at once. A weight is high * 2^kWeightSplit + low; each pair of taps has two entries, the highs and the
// lows, the even pixel's in the lower 16 bits.
struct FixedAxis {
  const int32_t* pair;    // of output pixel i: its first pair
  const int32_t* count;   // pairs
  const int32_t* weight;  // of output pixel i: weights[weight[i]] and on
  const int32_t* weights;
  int64_t length;  // source pixels
};

inline constexpr int kWeightSplit = 11;

struct ScaleView {
  FloatAxis y, x;
  FixedAxis fixed_y, fixed_x;
  int64_t tile_height;  // of the targets, which may be made in part only
  int64_t tile_width;
};

inline constexpr int kMaxWritten = 3;

// Some rows of adjacent tiles of one scale, and the written channels that come from one plane of the source.
struct Unit {
  const ScaleView* scale;
  const void* source;  // the crop's first element
  int64_t row;         // entry of the scale's vertical table
  int64_t rows;        // at most Kernels::band_rows
  int64_t column;      // entry of its horizontal table: the first that is made for the first tile
  int64_t columns;     // that are made for each tile: all of them where there are several tiles
  int64_t tiles;
  float* const* targets;          // [tiles] each tile's first element
  int64_t target_offset;          // of (row, column) in the first written channel, from there
  int64_t written;                // channels, at most kMaxWritten
  int32_t computed[kMaxWritten];  // of each written channel: which of the source's channels it shows
  float multiply[kMaxWritten];
  float add[kMaxWritten];
  int64_t row_stride;    // bytes
  int64_t row_elements;  // that may be read from the crop's left edge on
  uint8_t background[3];
};

using Kernel = void (*)(const Unit& unit, void* scratch);

struct Kernels {
  const char* isa;          // that the compiler was told to produce
  int64_t lanes;            // slots in a vector of FloatAxis::source
  int64_t float_band_rows;  // output rows of a unit, in float
  int64_t fixed_band_rows;  // in fixed point
  size_t scratch_bytes;     // aligned to 64, one for each thread
  Kernel from_float;        // one plane of float32
  Kernel from_grey, from_rgb, from_rgba;
  Kernel fixed_from_grey, fixed_from_rgb, fixed_from_rgba;
};

namespace baseline {
extern const Kernels kKernels;
}
namespace avx2 {
extern const Kernels kKernels;
}
namespace avx512 {
extern const Kernels kKernels;
}
namespace neon {
extern const Kernels kKernels;
}

}  // namespace manyscale::split
