// Between launch.cc, which prepares, and cuda.cu: plain data, as it lies in device memory. C++17, for nvcc 11.8 and newer.
#pragma once

#include <stdint.h>

namespace manyscale {
namespace pool {
namespace device {

enum Type : int32_t { kFloat32, kFloat16, kBfloat16 };

// The merged cells of one bin along an axis: entries first .. last - 1 of the axis; `length` cells.
struct Bin {
  int32_t first;
  int32_t last;
  int32_t length;
};

// A tile's share of a merged cell.
struct Entry {
  int32_t tile;  // row or column of tiles
  int32_t cell;  // of the tile
  float weight;
};

// One scale of one output of the model, for all images of its batch. Offsets into the tables are bytes from their start.
struct Part {
  int64_t tiles;   // of int64_t: where each tile's features begin, bytes from the start of the features
  int64_t bins_y;  // of Bin [output_height], bins_x [output_width]
  int64_t bins_x;
  int64_t entries_y;  // of Entry
  int64_t entries_x;
  int64_t output;  // bytes from the start of the destination
  int64_t items;   // threads
  uint32_t first_block;
  int32_t type;  // of the features
  int32_t output_type;
  int32_t batch;
  int32_t rows;  // of tiles
  int32_t columns;
  int32_t tile_height;  // cells of a tile
  int32_t tile_width;
  int32_t channels;
  int32_t prefix;         // tokens
  int32_t output_height;  // cells
  int32_t output_width;
  int32_t output_channels;  // all parts' together
  int32_t channel_offset;
  int32_t width;  // channels of a thread: 1, 4 or 8
  int32_t input_is_map;
  int32_t output_is_map;
  int32_t is_weighted;  // tiles overlap
};

struct Arguments {
  uint64_t features;
  uint64_t tables;  // Part [part_count], then what their offsets name
  uint64_t destination;
  int32_t part_count;
  int32_t unused;
};

constexpr uint32_t kThreads = 256;

}  // namespace device
}  // namespace pool
}  // namespace manyscale
