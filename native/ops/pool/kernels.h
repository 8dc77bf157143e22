// Between pool.cc, which prepares, and cpu.cc, which is compiled once per instruction set: plain data and one table of
// functions. Nothing here has code, so no inline function of a newer instruction set can replace its baseline copy.
#pragma once

#include <cstdint>

namespace manyscale::pool {

// What an axis has beside, where tiles overlap: merged cells that are sums of several tiles' shares.
struct BlendView {
  const float* weight;          // of each entry; those of a merged cell sum to 1
  const int64_t* begin;         // [merged + 1] the entries of merged cell m are begin[m] .. begin[m + 1] - 1
  const int64_t* merged_first;  // of each bin: its merged cells
  const int64_t* merged_last;
  bool by_rows;  // whole merged rows are made at a time, which the sizes of the scale and of the output allow
  int64_t tiles;
  const int64_t* start;  // [tiles] the merged cell of each tile's first
  const float* window;   // [tiles, grid] the weight of each tile's cells; kWindowMargin more numbers may be read on both sides
};

inline constexpr int64_t kWindowMargin = 16;   // numbers
inline constexpr int64_t kMostTogether = 64;   // tiles that share a merged row, where it is made at once
inline constexpr int64_t kRowFloats = 4096;    // rows of all tiles beside each other, with margins
inline constexpr int64_t kStagedCells = 4096;  // merged cells that are brought together in the first-level cache
inline constexpr int64_t kPieceCells = 256;    // output cells of one plane that are made together

// One axis of one scale. Output index i averages what its bin has: the entries first[i] .. last[i] - 1, each cell[k] of tile tile[k]. An entry is a
// merged cell or, where tiles overlap, one tile's share of it.
struct AxisView {
  const int64_t* first;
  const int64_t* last;
  const int64_t* tile;
  const int64_t* cell;
  const float* size;       // of each bin, in merged cells
  int64_t ratio;           // every bin has this many merged cells and bins share none; 0 when bins are uneven
  const BlendView* blend;  // null where tiles do not overlap
};

struct ScaleView {
  const float* const* tiles;  // [tile_count, batch] each tile's features, after the dropped tokens
  int64_t tile_count;
  int64_t columns;      // of tiles
  int64_t grid_height;  // of one tile
  int64_t grid_width;
  int64_t channels;
  int64_t channel_offset;  // in the output
  AxisView y;
  AxisView x;
};

struct View {
  const ScaleView* scales;
  int64_t scale_count;
  int64_t batch;
  int64_t prefix;
  int64_t grid_height;  // of the output
  int64_t grid_width;
  int64_t channels;
  bool tokens_out;  // [batch, prefix + cells, channels], otherwise [batch, channels, cells]
  void* destination;
};

// For one type of output. Each makes one part of the output of one image; parts may be made in any order and at once, and of
// each only the channels of the scales in view are written.
struct TypedKernels {
  void (*prefix)(const View& view, int64_t image);
  // From tokens: output cells (row * grid_width + column) of all channels.
  void (*tokens)(const View& view, int64_t image, int64_t cell_begin, int64_t cell_end);
  // From feature maps: output channels and rows.
  void (*maps)(const View& view, int64_t image, int64_t channel_begin, int64_t channel_end, int64_t row_begin, int64_t row_end);
};

struct Kernels {
  const char* isa;  // that the compiler was told to produce
  TypedKernels to_float32;
  TypedKernels to_float16;
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

}  // namespace manyscale::pool
