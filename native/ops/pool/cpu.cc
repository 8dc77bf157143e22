// Compiled once per instruction set (cmake/simd.cmake): everything but the table has internal linkage and nothing of the
// C++ library is used. Without fused multiply-adds (cmake/simd.cmake) and in an order that depends on sizes alone, so that all instruction sets and any
// number of threads give the same bits: those of reference.cc, but for feature maps whose tiles overlap, which are blended row by row.
#include <cstdint>
#include <cstring>

#include "core/half.h"
#include "core/simd.h"
#include "ops/pool/kernels.h"

namespace manyscale::pool::MANYSCALE_ISA {
namespace {

using simd::Floats;
using simd::load;
using simd::store;

constexpr int64_t kLanes = simd::kLanes;
constexpr int64_t kRegisters = 8;  // accumulators of one block: enough loads in flight, few enough for 16 registers

constexpr int64_t kBlock = 256;  // values that are made before they go elsewhere

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

// Into an output of either type.
inline void put(float* to, float value) { *to = value; }
inline void put(uint16_t* to, float value) { *to = to_half(value); }
inline void put(float* to, Floats values) { store(to, values); }
inline void put(uint16_t* to, Floats values) { simd::store_halves(to, values); }

void convert(const float* from, int64_t count, uint16_t* to) {
  if (count < kLanes) {
    for (int64_t i = 0; i < count; i++) put(to + i, from[i]);
    return;
  }
  for (int64_t i = 0; i < count; i += kLanes) {
    const int64_t at = smaller(i, count - kLanes);  // the last vector overlaps the one before
    put(to + at, load<Floats>(from + at));
  }
}

// to[c * to_stride + r] is from[r * from_stride + c].
template <typename Out>
void transpose(const float* from, int64_t from_stride, int64_t rows, int64_t columns, Out* to, int64_t to_stride) {
  if (rows < kLanes || columns < kLanes) {
    for (int64_t c = 0; c < columns; c++) {
      for (int64_t r = 0; r < rows; r++) put(to + c * to_stride + r, from[r * from_stride + c]);
    }
    return;
  }
  for (int64_t c = 0; c < columns; c += kLanes) {
    const int64_t column = smaller(c, columns - kLanes);  // the last block overlaps the one before, both ways
    for (int64_t r = 0; r < rows; r += kLanes) {
      const int64_t row = smaller(r, rows - kLanes);
      Floats block[kLanes];
      for (int64_t k = 0; k < kLanes; k++) block[k] = load<Floats>(from + (row + k) * from_stride + column);
      simd::transpose(block);
      for (int64_t k = 0; k < kLanes; k++) put(to + (column + k) * to_stride + row, block[k]);
    }
  }
}

// Output values are made by make(from, count, to), which writes floats: into the output itself or, where that has halves,
// into blocks of the first-level cache.
template <typename Make>
inline void write(float* to, int64_t count, Make make) {
  make(int64_t{0}, count, to);
}
template <typename Make>
inline void write(uint16_t* to, int64_t count, Make make) {
  float block[kBlock];
  for (int64_t from = 0; from < count; from += kBlock) {
    const int64_t n = smaller(kBlock, count - from);
    make(from, n, block);
    convert(block, n, to + from);
  }
}

// How a sum over rows becomes an average. A sum too long for one list of rows is continued from the destination.
struct Average {
  bool continues;
  bool ends;
  float height;
  float width;
};

// `Count` vectors of channels stay in registers while all rows are added.
template <int64_t Count>
inline void sum_block(const float* const* rows, int64_t row_count, int64_t channel, float* to, const Average& average) {
  Floats sum[Count];
  for (int64_t k = 0; k < Count; k++) sum[k] = average.continues ? load<Floats>(to + channel + k * kLanes) : Floats{};
  for (int64_t r = 0; r < row_count; r++) {
    const float* const row = rows[r] + channel;
    for (int64_t k = 0; k < Count; k++) sum[k] += load<Floats>(row + k * kLanes);
  }
  for (int64_t k = 0; k < Count; k++) {
    if (average.ends) sum[k] = sum[k] / average.height / average.width;
    store(to + channel + k * kLanes, sum[k]);
  }
}

void sum_rows(const float* const* rows, int64_t row_count, int64_t channels, float* to, const Average& average) {
  int64_t c = 0;
  for (; c + kRegisters * kLanes <= channels; c += kRegisters * kLanes) sum_block<kRegisters>(rows, row_count, c, to, average);
  for (; c + kLanes <= channels; c += kLanes) sum_block<1>(rows, row_count, c, to, average);
  for (; c < channels; c++) {
    float sum = average.continues ? to[c] : 0.0F;
    for (int64_t r = 0; r < row_count; r++) sum += rows[r][c];
    to[c] = average.ends ? sum / average.height / average.width : sum;
  }
}

// Collects rows to be averaged, in order, and adds them up whenever its list is full.
struct RowSum {
  int64_t channels;
  float* to;
  Average average;
  int64_t count = 0;
  const float* rows[64];

  RowSum(int64_t n, float* destination, int64_t height, int64_t width)
      : channels(n), to(destination), average{false, false, static_cast<float>(height), static_cast<float>(width)} {}
  void add(const float* row) {
    if (count == 64) {
      sum_rows(rows, count, channels, to, average);
      average.continues = true;
      count = 0;
    }
    rows[count++] = row;
  }
  void end() {
    average.ends = true;
    sum_rows(rows, count, channels, to, average);
  }
};

// `Count` vectors of channels stay in registers while all rows are added, each by its weight.
template <int64_t Count>
inline void weigh_block(const float* const* rows, const float* weights, int64_t row_count, int64_t channel, float* to, const Average& average) {
  Floats sum[Count];
  for (int64_t k = 0; k < Count; k++) sum[k] = average.continues ? load<Floats>(to + channel + k * kLanes) : Floats{};
  for (int64_t r = 0; r < row_count; r++) {
    const float* const row = rows[r] + channel;
    const Floats weight = simd::broadcast(weights[r]);
    for (int64_t k = 0; k < Count; k++) sum[k] += weight * load<Floats>(row + k * kLanes);
  }
  for (int64_t k = 0; k < Count; k++) {
    if (average.ends) sum[k] = sum[k] / average.height / average.width;
    store(to + channel + k * kLanes, sum[k]);
  }
}

void weigh_rows(const float* const* rows, const float* weights, int64_t row_count, int64_t channels, float* to, const Average& average) {
  int64_t c = 0;
  for (; c + kRegisters * kLanes <= channels; c += kRegisters * kLanes) weigh_block<kRegisters>(rows, weights, row_count, c, to, average);
  for (; c + kLanes <= channels; c += kLanes) weigh_block<1>(rows, weights, row_count, c, to, average);
  for (; c < channels; c++) {
    float sum = average.continues ? to[c] : 0.0F;
    for (int64_t r = 0; r < row_count; r++) sum += weights[r] * rows[r][c];
    to[c] = average.ends ? sum / average.height / average.width : sum;
  }
}

// As RowSum, for tiles that overlap.
struct WeightedRowSum {
  int64_t channels;
  float* to;
  Average average;
  int64_t count = 0;
  const float* rows[64];
  float weights[64];

  WeightedRowSum(int64_t n, float* destination, float height, float width) : channels(n), to(destination), average{false, false, height, width} {}
  void add(const float* row, float weight) {
    if (count == 64) {
      weigh_rows(rows, weights, count, channels, to, average);
      average.continues = true;
      count = 0;
    }
    weights[count] = weight;
    rows[count++] = row;
  }
  void end() {
    average.ends = true;
    weigh_rows(rows, weights, count, channels, to, average);
  }
};

template <typename Out>
void prefix(const View& view, int64_t image) {
  const int64_t tokens = view.prefix + view.grid_height * view.grid_width;
  Out* const out = static_cast<Out*>(view.destination) + image * tokens * view.channels;
  for (int64_t s = 0; s < view.scale_count; s++) {
    const ScaleView& scale = view.scales[s];
    for (int64_t token = 0; token < view.prefix; token++) {
      write(out + token * view.channels + scale.channel_offset, scale.channels, [&](int64_t channel, int64_t channels, float* to) {
        RowSum sum(channels, to, scale.tile_count, 1);
        for (int64_t tile = 0; tile < scale.tile_count; tile++) sum.add(scale.tiles[tile * view.batch + image] + token * scale.channels + channel);
        sum.end();
      });
    }
  }
}

// One output cell of one scale: `channels` of them from `channel` on.
inline void token_cell(const View& view, const ScaleView& scale, int64_t image, int64_t cell, int64_t channel, int64_t channels, float* to) {
  const int64_t row = cell / view.grid_width;
  const int64_t column = cell % view.grid_width;
  const int64_t top = scale.y.first[row];
  const int64_t bottom = scale.y.last[row];
  const int64_t left = scale.x.first[column];
  const int64_t right = scale.x.last[column];
  const auto token = [&](int64_t y, int64_t x) {
    const int64_t tile = scale.y.tile[y] * scale.columns + scale.x.tile[x];
    const int64_t index = view.prefix + scale.y.cell[y] * scale.grid_width + scale.x.cell[x];
    return scale.tiles[tile * view.batch + image] + index * scale.channels + channel;
  };
  if (bottom - top == 1 && right - left == 1) {  // also where tiles overlap: a cell that one tile has weighs 1
    std::memcpy(to, token(top, left), static_cast<size_t>(channels) * sizeof(float));
    return;
  }
  if (scale.y.blend) {
    const float* const down = scale.y.blend->weight;
    const float* const across = scale.x.blend->weight;
    WeightedRowSum sum(channels, to, scale.y.size[row], scale.x.size[column]);
    for (int64_t y = top; y < bottom; y++) {
      for (int64_t x = left; x < right; x++) sum.add(token(y, x), down[y] * across[x]);
    }
    sum.end();
    return;
  }
  RowSum sum(channels, to, bottom - top, right - left);
  for (int64_t y = top; y < bottom; y++) {
    for (int64_t x = left; x < right; x++) sum.add(token(y, x));
  }
  sum.end();
}

// Blocks of a transposed write: a cache line on the side of the feature map, long runs on the side of the tokens. The
// extra floats of a row keep its column from falling into few sets of the first-level cache.
template <typename Out>
constexpr int64_t kBlockCells = 64 / static_cast<int64_t>(sizeof(Out));
constexpr int64_t kBlockChannels = 256;
constexpr int64_t kBlockStride = kBlockChannels + 16;

template <typename Out>
void tokens(const View& view, int64_t image, int64_t cell_begin, int64_t cell_end) {
  Out* const destination = static_cast<Out*>(view.destination);
  const int64_t cells = view.grid_height * view.grid_width;
  for (int64_t s = 0; s < view.scale_count; s++) {
    const ScaleView& scale = view.scales[s];
    if (view.tokens_out) {
      Out* const out = destination + (image * (view.prefix + cells) + view.prefix) * view.channels + scale.channel_offset;
      for (int64_t cell = cell_begin; cell < cell_end; cell++) {
        write(out + cell * view.channels, scale.channels,
              [&](int64_t channel, int64_t channels, float* to) { token_cell(view, scale, image, cell, channel, channels, to); });
      }
      continue;
    }
    float block[kBlockCells<Out> * kBlockStride];
    for (int64_t from = cell_begin; from < cell_end; from += kBlockCells<Out>) {
      const int64_t block_cells = smaller(kBlockCells<Out>, cell_end - from);
      for (int64_t channel = 0; channel < scale.channels; channel += kBlockChannels) {
        const int64_t block_channels = smaller(kBlockChannels, scale.channels - channel);
        for (int64_t k = 0; k < block_cells; k++) token_cell(view, scale, image, from + k, channel, block_channels, block + k * kBlockStride);
        Out* const out = destination + (image * view.channels + scale.channel_offset + channel) * cells + from;
        transpose(block, kBlockStride, block_cells, block_channels, out, cells);
      }
    }
  }
}

// Output rows and columns of one plane. Either whole rows or a part of one, so that the cells follow one another.
struct Piece {
  int64_t row;
  int64_t rows;
  int64_t column;
  int64_t columns;

  int64_t cells() const { return rows * columns; }
};

// Visits the merged cells top .. bottom - 1, left .. right - 1 of one channel, tile by tile: visit(values, y, x, rows,
// columns), where a row of values is grid_width behind the one above.
template <typename Visit>
inline void visit_tiles(const View& view, const ScaleView& scale, int64_t image, int64_t channel, int64_t top, int64_t bottom, int64_t left, int64_t right,
                        Visit visit) {
  for (int64_t y = top; y < bottom;) {
    const int64_t row = scale.y.cell[y];
    const int64_t rows = smaller(scale.grid_height - row, bottom - y);
    for (int64_t x = left; x < right;) {
      const int64_t column = scale.x.cell[x];
      const int64_t columns = smaller(scale.grid_width - column, right - x);
      const int64_t tile = scale.y.tile[y] * scale.columns + scale.x.tile[x];
      visit(scale.tiles[tile * view.batch + image] + (channel * scale.grid_height + row) * scale.grid_width + column, y, x, rows, columns);
      x += columns;
    }
    y += rows;
  }
}

// Rows are short (a tile's grid is 7 to 32 wide): no call, and a last vector that overlaps the one before.
typedef float Floats4 __attribute__((vector_size(16)));
typedef float Floats8 __attribute__((vector_size(32)));

template <typename Vector>
inline void copy_vectors(float* to, const float* from, int64_t count) {
  constexpr int64_t lanes = sizeof(Vector) / sizeof(float);
  for (int64_t i = 0; i + lanes <= count; i += lanes) store(to + i, load<Vector>(from + i));
  if (count % lanes != 0) store(to + count - lanes, load<Vector>(from + count - lanes));
}
inline void copy_row(float* to, const float* from, int64_t count) {
  if (count >= kLanes) return copy_vectors<Floats>(to, from, count);
  if (kLanes > 8 && count >= 8) return copy_vectors<Floats8>(to, from, count);
  if (kLanes > 4 && count >= 4) return copy_vectors<Floats4>(to, from, count);
  for (int64_t i = 0; i < count; i++) to[i] = from[i];
}

constexpr int64_t kStaged = kStagedCells;

// One index per lane, for shuffles.
#if MANYSCALE_LANES == 16
#define MANYSCALE_EACH_LANE(F) F(0), F(1), F(2), F(3), F(4), F(5), F(6), F(7), F(8), F(9), F(10), F(11), F(12), F(13), F(14), F(15)
#elif MANYSCALE_LANES == 8
#define MANYSCALE_EACH_LANE(F) F(0), F(1), F(2), F(3), F(4), F(5), F(6), F(7)
#else
#define MANYSCALE_EACH_LANE(F) F(0), F(1), F(2), F(3)
#endif

// sum + the first of every `Ratio` values + the second ..., one after the other. Lane i takes values[Ratio * i + k].
template <int64_t Ratio>
inline Floats add_values(Floats sum, const float* values) {
  const Floats a = load<Floats>(values);
  const Floats b = load<Floats>(values + kLanes);
  if constexpr (Ratio == 2) {
#define MANYSCALE_AT_0(i) 2 * i
#define MANYSCALE_AT_1(i) 2 * i + 1
    sum += MANYSCALE_SHUFFLE(simd::Ints, a, b, MANYSCALE_EACH_LANE(MANYSCALE_AT_0));
    return sum + MANYSCALE_SHUFFLE(simd::Ints, a, b, MANYSCALE_EACH_LANE(MANYSCALE_AT_1));
#undef MANYSCALE_AT_0
#undef MANYSCALE_AT_1
  } else {
    // What stands in the first two vectors, then what stands in the third.
    const Floats c = load<Floats>(values + 2 * kLanes);
#define MANYSCALE_LOW(at) ((at) < 2 * MANYSCALE_LANES ? (at) : 0)
#define MANYSCALE_HIGH(at, i) ((at) < 2 * MANYSCALE_LANES ? i : (at)-MANYSCALE_LANES)
#define MANYSCALE_LOW_0(i) MANYSCALE_LOW(3 * i)
#define MANYSCALE_LOW_1(i) MANYSCALE_LOW(3 * i + 1)
#define MANYSCALE_LOW_2(i) MANYSCALE_LOW(3 * i + 2)
#define MANYSCALE_HIGH_0(i) MANYSCALE_HIGH(3 * i, i)
#define MANYSCALE_HIGH_1(i) MANYSCALE_HIGH(3 * i + 1, i)
#define MANYSCALE_HIGH_2(i) MANYSCALE_HIGH(3 * i + 2, i)
    const Floats low_0 = MANYSCALE_SHUFFLE(simd::Ints, a, b, MANYSCALE_EACH_LANE(MANYSCALE_LOW_0));
    const Floats low_1 = MANYSCALE_SHUFFLE(simd::Ints, a, b, MANYSCALE_EACH_LANE(MANYSCALE_LOW_1));
    const Floats low_2 = MANYSCALE_SHUFFLE(simd::Ints, a, b, MANYSCALE_EACH_LANE(MANYSCALE_LOW_2));
    sum += MANYSCALE_SHUFFLE(simd::Ints, low_0, c, MANYSCALE_EACH_LANE(MANYSCALE_HIGH_0));
    sum += MANYSCALE_SHUFFLE(simd::Ints, low_1, c, MANYSCALE_EACH_LANE(MANYSCALE_HIGH_1));
    return sum + MANYSCALE_SHUFFLE(simd::Ints, low_2, c, MANYSCALE_EACH_LANE(MANYSCALE_HIGH_2));
#undef MANYSCALE_LOW
#undef MANYSCALE_HIGH
#undef MANYSCALE_LOW_0
#undef MANYSCALE_LOW_1
#undef MANYSCALE_LOW_2
#undef MANYSCALE_HIGH_0
#undef MANYSCALE_HIGH_1
#undef MANYSCALE_HIGH_2
  }
}
#undef MANYSCALE_EACH_LANE

// Bins of Ratio columns and any number of rows. `staged` has the first rows of all bins in one line, then the second ...
template <int64_t Ratio>
inline void average_even(const float* staged, int64_t rows, int64_t cells, float* to) {
  const float height = static_cast<float>(rows);
  const float width = static_cast<float>(Ratio);
  if (cells < kLanes) {
    for (int64_t i = 0; i < cells; i++) {
      float sum = 0;
      for (int64_t r = 0; r < rows; r++) {
        for (int64_t k = 0; k < Ratio; k++) sum += staged[(r * cells + i) * Ratio + k];
      }
      to[i] = sum / height / width;
    }
    return;
  }
  for (int64_t i = 0; i < cells; i += kLanes) {
    const int64_t at = smaller(i, cells - kLanes);  // the last vector overlaps the one before
    Floats sum = {};
    for (int64_t r = 0; r < rows; r++) sum = add_values<Ratio>(sum, staged + (r * cells + at) * Ratio);
    store(to + at, sum / height / width);
  }
}

constexpr int64_t kMargin = kWindowMargin;  // of zeros on both sides of a tile's row

// One row of cells of one row of tiles, and its share of a merged row.
struct RowShare {
  const float* const* tiles;
  int64_t offset;  // of the row in a tile
  float weight;
};

// The sum of all shares of one column of tiles: `count` cells, at least a vector of them. The last vector overlaps the one before.
template <typename Vector>
inline void sum_shares(const RowShare* shares, int64_t share_count, int64_t tile, int64_t count, float* to) {
  constexpr int64_t lanes = sizeof(Vector) / sizeof(float);
  for (int64_t i = 0; i < count; i += lanes) {
    const int64_t at = smaller(i, count - lanes);
    Vector sum = {};
    for (int64_t s = 0; s < share_count; s++) sum += shares[s].weight * load<Vector>(shares[s].tiles[tile] + shares[s].offset + at);
    store(to + at, sum);
  }
}
inline void sum_row(const RowShare* shares, int64_t share_count, int64_t tile, int64_t count, float* to) {
  if (count >= kLanes) return sum_shares<Floats>(shares, share_count, tile, count, to);
  if (kLanes > 8 && count >= 8) return sum_shares<Floats8>(shares, share_count, tile, count, to);
  if (kLanes > 4 && count >= 4) return sum_shares<Floats4>(shares, share_count, tile, count, to);
  for (int64_t i = 0; i < count; i++) {
    to[i] = 0;
    for (int64_t s = 0; s < share_count; s++) to[i] += shares[s].weight * shares[s].tiles[tile][shares[s].offset + i];
  }
}

// Merged cells top .. bottom - 1, left .. right - 1 of one channel where tiles overlap; row y goes to row_of(y). First the rows of all tiles that have
// the row become one, each column of tiles for itself, then these are weighed and added across: every merged cell is written once.
template <typename RowOf>
inline void blend_rows(const View& view, const ScaleView& scale, int64_t image, int64_t channel, int64_t top, int64_t bottom, int64_t left, int64_t right,
                       RowOf row_of) {
  const BlendView& down = *scale.y.blend;
  const BlendView& across = *scale.x.blend;
  const int64_t grid = scale.grid_width;
  const int64_t pitch = grid + 2 * kMargin;
  float rows[kRowFloats];
  for (int64_t i = 0; i < across.tiles * pitch; i++) rows[i] = 0;
  int64_t first = 0;  // tile that has the leftmost cell
  while (across.start[first] + grid <= left) first++;
  for (int64_t y = top; y < bottom; y++) {
    RowShare shares[kMostTogether];
    int64_t count = 0;
    for (int64_t k = down.begin[y]; k < down.begin[y + 1]; k++) {
      shares[count++] = {scale.tiles + scale.y.tile[k] * scale.columns * view.batch + image, (channel * scale.grid_height + scale.y.cell[k]) * grid,
                         down.weight[k]};
    }
    int64_t end = first;
    for (; end < across.tiles && across.start[end] < right; end++) sum_row(shares, count, end * view.batch, grid, rows + end * pitch + kMargin);
    float* const to = row_of(y);
    int64_t t = first;
    for (int64_t x = left; x < right; x += kLanes) {
      while (across.start[t] + grid <= x) t++;
      Floats sum = {};
      for (int64_t u = t; u < end && across.start[u] < x + kLanes; u++) {
        const int64_t cell = x - across.start[u];  // may be in the margins, where rows are 0
        sum += load<Floats>(across.window + u * grid + cell) * load<Floats>(rows + u * pitch + kMargin + cell);
      }
      simd::store_first(to + (x - left), sum, static_cast<int>(smaller(right - x, kLanes)));
    }
  }
}

// A bin of an overlapping scale's merged cells, whatever its size.
float blend_bin(const View& view, const ScaleView& scale, int64_t image, int64_t channel, int64_t row, int64_t column) {
  const AxisView& y = scale.y;
  const AxisView& x = scale.x;
  const int64_t plane = channel * scale.grid_height * scale.grid_width;
  float sum = 0;
  for (int64_t k = y.first[row]; k < y.last[row]; k++) {
    const float* const* const tiles = scale.tiles + y.tile[k] * scale.columns * view.batch + image;
    const int64_t line = plane + y.cell[k] * scale.grid_width;
    float part = 0;
    for (int64_t m = x.first[column]; m < x.last[column]; m++) part += x.blend->weight[m] * tiles[x.tile[m] * view.batch][line + x.cell[m]];
    sum += y.blend->weight[k] * part;
  }
  return sum / y.size[row] / x.size[column];
}

// Averages of one piece where tiles overlap: merged in the first-level cache where there is room, then averaged as others are.
void blend_piece(const View& view, const ScaleView& scale, int64_t image, int64_t channel, const Piece& piece, float* to) {
  const AxisView& axis_y = scale.y;
  const AxisView& axis_x = scale.x;
  const int64_t top = axis_y.blend->merged_first[piece.row];
  const int64_t bottom = axis_y.blend->merged_last[piece.row + piece.rows - 1];
  const int64_t left = axis_x.blend->merged_first[piece.column];
  const int64_t right = axis_x.blend->merged_last[piece.column + piece.columns - 1];
  const int64_t width = right - left;
  const bool by_rows = axis_y.blend->by_rows;
  if (by_rows && axis_y.ratio == 1 && axis_x.ratio == 1) {
    return blend_rows(view, scale, image, channel, top, bottom, left, right, [&](int64_t y) { return to + (y - top) * piece.columns; });
  }
  if (!by_rows) {
    for (int64_t row = 0; row < piece.rows; row++) {
      for (int64_t column = 0; column < piece.columns; column++) {
        to[row * piece.columns + column] = blend_bin(view, scale, image, channel, piece.row + row, piece.column + column);
      }
    }
    return;
  }
  if (bottom - top > kStaged / width) {  // one row has room, whichever it is
    for (int64_t row = 0; row < piece.rows; row++) {
      blend_piece(view, scale, image, channel, {piece.row + row, 1, piece.column, piece.columns}, to + row * piece.columns);
    }
    return;
  }
  float staged[kStaged];
  const int64_t height = axis_y.ratio;
  if (height > 0 && (axis_x.ratio == 2 || axis_x.ratio == 3)) {
    blend_rows(view, scale, image, channel, top, bottom, left, right,
               [&](int64_t y) { return staged + ((y - top) % height * piece.rows + (y - top) / height) * width; });
    if (axis_x.ratio == 2) average_even<2>(staged, height, piece.cells(), to);
    if (axis_x.ratio == 3) average_even<3>(staged, height, piece.cells(), to);
    return;
  }
  blend_rows(view, scale, image, channel, top, bottom, left, right, [&](int64_t y) { return staged + (y - top) * width; });
  for (int64_t row = piece.row; row < piece.row + piece.rows; row++) {
    float* const out = to + (row - piece.row) * piece.columns;
    for (int64_t i = 0; i < piece.columns; i++) {
      float sum = 0;
      for (int64_t y = axis_y.blend->merged_first[row]; y < axis_y.blend->merged_last[row]; y++) {
        const float* const line = staged + (y - top) * width - left;
        for (int64_t x = axis_x.blend->merged_first[piece.column + i]; x < axis_x.blend->merged_last[piece.column + i]; x++) sum += line[x];
      }
      out[i] = sum / axis_y.size[row] / axis_x.size[piece.column + i];
    }
  }
}

// Averages of one piece of one output plane, cell after cell.
void average_piece(const View& view, const ScaleView& scale, int64_t image, int64_t channel, const Piece& piece, float* to) {
  if (scale.y.blend) return blend_piece(view, scale, image, channel, piece, to);
  const AxisView& axis_y = scale.y;
  const AxisView& axis_x = scale.x;
  const int64_t cells = piece.cells();
  const int64_t top = axis_y.first[piece.row];
  const int64_t bottom = axis_y.last[piece.row + piece.rows - 1];
  const int64_t left = axis_x.first[piece.column];
  const int64_t right = axis_x.last[piece.column + piece.columns - 1];
  if (axis_y.ratio == 1 && axis_x.ratio == 1) {
    visit_tiles(view, scale, image, channel, top, bottom, left, right, [&](const float* values, int64_t y, int64_t x, int64_t rows, int64_t columns) {
      float* const out = to + (y - top) * piece.columns + (x - left);
      for (int64_t r = 0; r < rows; r++) copy_row(out + r * piece.columns, values + r * scale.grid_width, columns);
    });
    return;
  }
  if (axis_y.ratio > 0 && (axis_x.ratio == 2 || axis_x.ratio == 3) && axis_y.ratio <= kStaged / (cells * axis_x.ratio)) {
    float staged[kStaged];
    const int64_t height = axis_y.ratio;
    const int64_t width = axis_x.ratio * piece.columns;
    visit_tiles(view, scale, image, channel, top, bottom, left, right, [&](const float* values, int64_t y, int64_t x, int64_t rows, int64_t columns) {
      int64_t bin = (y - top) / height;
      int64_t row = (y - top) % height;
      for (int64_t r = 0; r < rows; r++) {
        copy_row(staged + (row * piece.rows + bin) * width + (x - left), values + r * scale.grid_width, columns);
        if (++row == height) row = 0, bin++;
      }
    });
    if (axis_x.ratio == 2) average_even<2>(staged, height, cells, to);
    if (axis_x.ratio == 3) average_even<3>(staged, height, cells, to);
    return;
  }
  for (int64_t row = 0; row < piece.rows; row++) {
    float* const out = to + row * piece.columns;
    const int64_t* const first = axis_x.first + piece.column;
    const int64_t* const last = axis_x.last + piece.column;
    const int64_t bin_top = axis_y.first[piece.row + row];
    const int64_t bin_bottom = axis_y.last[piece.row + row];
    for (int64_t i = 0; i < piece.columns; i++) out[i] = 0;
    for (int64_t y = bin_top; y < bin_bottom; y++) {
      int64_t i = 0;  // the first bin that reaches into the tile
      visit_tiles(view, scale, image, channel, y, y + 1, left, right, [&](const float* values, int64_t, int64_t x, int64_t, int64_t columns) {
        while (last[i] <= x) i++;
        for (int64_t k = i; k < piece.columns && first[k] < x + columns; k++) {
          float sum = out[k];
          for (int64_t at = larger(first[k], x); at < smaller(last[k], x + columns); at++) sum += values[at - x];
          out[k] = sum;
        }
      });
    }
    for (int64_t i = 0; i < piece.columns; i++) out[i] = out[i] / static_cast<float>(bin_bottom - bin_top) / static_cast<float>(last[i] - first[i]);
  }
}

// Cuts output rows into pieces of at most kPieceCells cells.
template <typename Visit>
inline void visit_pieces(const View& view, int64_t row_begin, int64_t row_end, Visit visit) {
  if (view.grid_width <= kPieceCells) {
    const int64_t rows = kPieceCells / view.grid_width;
    for (int64_t row = row_begin; row < row_end; row += rows) visit(Piece{row, smaller(rows, row_end - row), 0, view.grid_width});
    return;
  }
  for (int64_t row = row_begin; row < row_end; row++) {
    for (int64_t column = 0; column < view.grid_width; column += kPieceCells) visit(Piece{row, 1, column, smaller(kPieceCells, view.grid_width - column)});
  }
}

template <typename Out>
constexpr int64_t kMapChannels = 64 / static_cast<int64_t>(sizeof(Out));  // transposed together: a cache line on the side of the tokens

template <typename Out>
void maps(const View& view, int64_t image, int64_t channel_begin, int64_t channel_end, int64_t row_begin, int64_t row_end) {
  Out* const destination = static_cast<Out*>(view.destination);
  const int64_t cells = view.grid_height * view.grid_width;
  for (int64_t s = 0; s < view.scale_count; s++) {
    const ScaleView& scale = view.scales[s];
    const int64_t begin = larger(channel_begin - scale.channel_offset, 0);
    const int64_t end = smaller(channel_end - scale.channel_offset, scale.channels);
    if (!view.tokens_out) {
      for (int64_t channel = begin; channel < end; channel++) {
        Out* const out = destination + (image * view.channels + scale.channel_offset + channel) * cells;
        visit_pieces(view, row_begin, row_end, [&](const Piece& piece) {
          static_assert(kPieceCells <= kBlock);  // made in one go
          write(out + piece.row * view.grid_width + piece.column, piece.cells(),
                [&](int64_t, int64_t, float* to) { average_piece(view, scale, image, channel, piece, to); });
        });
      }
      continue;
    }
    float block[kMapChannels<Out> * kPieceCells];
    for (int64_t channel = begin; channel < end; channel += kMapChannels<Out>) {
      const int64_t channels = smaller(kMapChannels<Out>, end - channel);
      visit_pieces(view, row_begin, row_end, [&](const Piece& piece) {
        for (int64_t c = 0; c < channels; c++) average_piece(view, scale, image, channel + c, piece, block + c * kPieceCells);
        Out* const out = destination + (image * cells + piece.row * view.grid_width + piece.column) * view.channels + scale.channel_offset + channel;
        transpose(block, kPieceCells, channels, piece.cells(), out, view.channels);
      });
    }
  }
}

}  // namespace

const Kernels kKernels = {simd::kIsaName, {prefix<float>, tokens<float>, maps<float>}, {prefix<uint16_t>, tokens<uint16_t>, maps<uint16_t>}};

}  // namespace manyscale::pool::MANYSCALE_ISA
