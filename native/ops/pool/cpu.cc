// Compiled once per instruction set (cmake/simd.cmake): everything but the table has internal linkage and nothing of the
// C++ library is used. Every value is summed in the order of reference.cc, so that all instruction sets give its bits.
#include <cstdint>
#include <cstring>

#include "ops/pool/kernels.h"

namespace manyscale::pool::MANYSCALE_ISA {
namespace {

#if defined(__AVX512F__)
constexpr const char* kIsa = "avx512";
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr const char* kIsa = "avx2";
constexpr int kVectorBytes = 32;
#elif defined(__ARM_NEON)
constexpr const char* kIsa = "neon";
constexpr int kVectorBytes = 16;
#else
constexpr const char* kIsa = "baseline";
constexpr int kVectorBytes = 16;
#endif

typedef float Vector __attribute__((vector_size(kVectorBytes), aligned(4), may_alias));  // loads and stores need no alignment
constexpr int64_t kLanes = kVectorBytes / 4;
constexpr int64_t kRegisters = 8;  // accumulators of one block: enough loads in flight, few enough for 16 registers

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

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
  Vector sum[Count];
  for (int64_t k = 0; k < Count; k++) sum[k] = average.continues ? *reinterpret_cast<const Vector*>(to + channel + k * kLanes) : Vector{};
  for (int64_t r = 0; r < row_count; r++) {
    const float* const row = rows[r] + channel;
    for (int64_t k = 0; k < Count; k++) sum[k] += *reinterpret_cast<const Vector*>(row + k * kLanes);
  }
  for (int64_t k = 0; k < Count; k++) {
    if (average.ends) sum[k] = sum[k] / average.height / average.width;
    *reinterpret_cast<Vector*>(to + channel + k * kLanes) = sum[k];
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

void prefix(const View& view, int64_t image) {
  const int64_t tokens = view.prefix + view.grid_height * view.grid_width;
  float* const out = view.destination + image * tokens * view.channels;
  for (int64_t s = 0; s < view.scale_count; s++) {
    const ScaleView& scale = view.scales[s];
    for (int64_t token = 0; token < view.prefix; token++) {
      RowSum sum(scale.channels, out + token * view.channels + scale.channel_offset, scale.tiles, 1);
      for (int64_t tile = 0; tile < scale.tiles; tile++) {
        sum.add(scale.source + scale.tile_offsets[tile * view.batch + image] + token * scale.channels);
      }
      sum.end();
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
    return scale.source + scale.tile_offsets[tile * view.batch + image] + index * scale.channels + channel;
  };
  if (bottom - top == 1 && right - left == 1) {
    std::memcpy(to, token(top, left), static_cast<size_t>(channels) * sizeof(float));
    return;
  }
  RowSum sum(channels, to, bottom - top, right - left);
  for (int64_t y = top; y < bottom; y++) {
    for (int64_t x = left; x < right; x++) sum.add(token(y, x));
  }
  sum.end();
}

// Blocks of a transposed write: both sides of a block stay in the first-level cache.
constexpr int64_t kBlockCells = 64;
constexpr int64_t kBlockChannels = 64;

void tokens(const View& view, int64_t image, int64_t cell_begin, int64_t cell_end) {
  const int64_t cells = view.grid_height * view.grid_width;
  for (int64_t s = 0; s < view.scale_count; s++) {
    const ScaleView& scale = view.scales[s];
    if (view.tokens_out) {
      float* const out = view.destination + (image * (view.prefix + cells) + view.prefix) * view.channels + scale.channel_offset;
      for (int64_t cell = cell_begin; cell < cell_end; cell++) token_cell(view, scale, image, cell, 0, scale.channels, out + cell * view.channels);
      continue;
    }
    float block[kBlockCells * kBlockChannels];
    for (int64_t from = cell_begin; from < cell_end; from += kBlockCells) {
      const int64_t block_cells = smaller(kBlockCells, cell_end - from);
      for (int64_t channel = 0; channel < scale.channels; channel += kBlockChannels) {
        const int64_t block_channels = smaller(kBlockChannels, scale.channels - channel);
        for (int64_t k = 0; k < block_cells; k++) token_cell(view, scale, image, from + k, channel, block_channels, block + k * kBlockChannels);
        float* const out = view.destination + (image * view.channels + scale.channel_offset + channel) * cells + from;
        for (int64_t c = 0; c < block_channels; c++) {
          for (int64_t k = 0; k < block_cells; k++) out[c * cells + k] = block[k * kBlockChannels + c];
        }
      }
    }
  }
}

// A plane of a feature map over all tiles of a scale.
struct Plane {
  const ScaleView& scale;
  int64_t batch;
  int64_t image;
  int64_t channel;

  const float* row(int64_t y, int64_t tile_column) const {
    const int64_t tile = scale.y.tile[y] * scale.columns + tile_column;
    return scale.source + scale.tile_offsets[tile * batch + image] + (channel * scale.grid_height + scale.y.cell[y]) * scale.grid_width;
  }
  // Calls visit(values, from, to) for each run of merged columns from .. to - 1 of row y that stands in one tile.
  template <typename Visit>
  void runs(int64_t y, int64_t left, int64_t right, Visit visit) const {
    for (int64_t x = left; x < right;) {
      const int64_t end = smaller(right, x - scale.x.cell[x] + scale.grid_width);
      visit(row(y, scale.x.tile[x]) + scale.x.cell[x], x, end);
      x = end;
    }
  }
};

// Runs are short (a tile's grid is 7 to 32 wide): no call, and a last vector that overlaps the one before.
inline void copy_run(float* to, const float* from, int64_t count) {
  typedef float Four __attribute__((vector_size(16), aligned(4), may_alias));
  if (count >= kLanes) {
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) *reinterpret_cast<Vector*>(to + i) = *reinterpret_cast<const Vector*>(from + i);
    if (i < count) *reinterpret_cast<Vector*>(to + count - kLanes) = *reinterpret_cast<const Vector*>(from + count - kLanes);
  } else if (count >= 4) {
    int64_t i = 0;
    for (; i + 4 <= count; i += 4) *reinterpret_cast<Four*>(to + i) = *reinterpret_cast<const Four*>(from + i);
    if (i < count) *reinterpret_cast<Four*>(to + count - 4) = *reinterpret_cast<const Four*>(from + count - 4);
  } else {
    for (int64_t i = 0; i < count; i++) to[i] = from[i];
  }
}

constexpr int64_t kRowCells = 64;   // output cells of a row that are summed together
constexpr int64_t kMapChannels = 16; // that are transposed together: a cache line of tokens
constexpr int64_t kRowStep = 16;    // sums are made in whole steps of this many; the cells beyond the row are not written

// sum[i] += staged[Ratio * i] + ..., one after the other.
template <int64_t Ratio>
inline void add_even(float* sum, const float* staged, int64_t count) {
  for (int64_t from = 0; from < count; from += kRowStep) {
    for (int64_t i = from; i < from + kRowStep; i++) {
      float value = sum[i];
      for (int64_t k = 0; k < Ratio; k++) value += staged[Ratio * i + k];
      sum[i] = value;
    }
  }
}

// Output cells column .. column + count - 1 of one row, count <= kRowCells.
void plane_row(const Plane& plane, int64_t row, int64_t column, int64_t count, float* to) {
  const AxisView& x = plane.scale.x;
  const int64_t top = plane.scale.y.first[row];
  const int64_t bottom = plane.scale.y.last[row];
  const int64_t left = x.first[column];
  const int64_t right = x.last[column + count - 1];
  if (x.ratio == 1 && bottom - top == 1) {
    plane.runs(top, left, right, [&](const float* values, int64_t from, int64_t end) { copy_run(to + (from - left), values, end - from); });
    return;
  }
  float sum[kRowCells] = {};
  const float height = static_cast<float>(bottom - top);
  if (x.ratio == 2 || x.ratio == 3) {
    float staged[3 * kRowCells];
    for (int64_t i = x.ratio * count; i < x.ratio * kRowCells; i++) staged[i] = 0;  // the steps read beyond the row
    for (int64_t y = top; y < bottom; y++) {
      plane.runs(y, left, right, [&](const float* values, int64_t from, int64_t end) { copy_run(staged + (from - left), values, end - from); });
      if (x.ratio == 2) add_even<2>(sum, staged, count);
      if (x.ratio == 3) add_even<3>(sum, staged, count);
    }
    for (int64_t i = 0; i < count; i++) to[i] = sum[i] / height / static_cast<float>(x.ratio);
    return;
  }
  for (int64_t y = top; y < bottom; y++) {
    int64_t i = 0;  // the first bin that reaches into the run
    plane.runs(y, left, right, [&](const float* values, int64_t from, int64_t end) {
      while (x.last[column + i] <= from) i++;
      for (int64_t k = i; k < count && x.first[column + k] < end; k++) {
        const int64_t stop = smaller(x.last[column + k], end);
        float value = sum[k];
        for (int64_t at = larger(x.first[column + k], from); at < stop; at++) value += values[at - from];
        sum[k] = value;
      }
    });
  }
  for (int64_t i = 0; i < count; i++) to[i] = sum[i] / height / static_cast<float>(x.last[column + i] - x.first[column + i]);
}

void maps(const View& view, int64_t image, int64_t channel_begin, int64_t channel_end, int64_t row_begin, int64_t row_end) {
  const int64_t cells = view.grid_height * view.grid_width;
  for (int64_t s = 0; s < view.scale_count; s++) {
    const ScaleView& scale = view.scales[s];
    const int64_t begin = larger(channel_begin - scale.channel_offset, 0);
    const int64_t end = smaller(channel_end - scale.channel_offset, scale.channels);
    if (!view.tokens_out) {
      for (int64_t channel = begin; channel < end; channel++) {
        const Plane plane{scale, view.batch, image, channel};
        float* const out = view.destination + (image * view.channels + scale.channel_offset + channel) * cells;
        if (scale.tiles == 1 && scale.y.ratio == 1 && scale.x.ratio == 1) {
          std::memcpy(out + row_begin * view.grid_width, plane.row(row_begin, 0), static_cast<size_t>((row_end - row_begin) * view.grid_width) * sizeof(float));
          continue;
        }
        for (int64_t row = row_begin; row < row_end; row++) {
          for (int64_t column = 0; column < view.grid_width; column += kRowCells) {
            plane_row(plane, row, column, smaller(kRowCells, view.grid_width - column), out + row * view.grid_width + column);
          }
        }
      }
      continue;
    }
    float block[kMapChannels * kRowCells];
    for (int64_t channel = begin; channel < end; channel += kMapChannels) {
      const int64_t block_channels = smaller(kMapChannels, end - channel);
      for (int64_t row = row_begin; row < row_end; row++) {
        for (int64_t column = 0; column < view.grid_width; column += kRowCells) {
          const int64_t count = smaller(kRowCells, view.grid_width - column);
          for (int64_t c = 0; c < block_channels; c++) plane_row({scale, view.batch, image, channel + c}, row, column, count, block + c * kRowCells);
          float* const out = view.destination + (image * cells + row * view.grid_width + column) * view.channels + scale.channel_offset + channel;
          for (int64_t k = 0; k < count; k++) {
            for (int64_t c = 0; c < block_channels; c++) out[k * view.channels + c] = block[c * kRowCells + k];
          }
        }
      }
    }
  }
}

}  // namespace

const Kernels kKernels = {kIsa, prefix, tokens, maps};

}  // namespace manyscale::pool::MANYSCALE_ISA
