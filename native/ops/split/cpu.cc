// Compiled once per instruction set (cmake/simd.cmake): everything but the table has internal linkage and nothing of the
// C++ library is used.
//
// In float ('torch-' modes, and every mode of float tensors): the rows of a band are resized vertically, a few vectors of columns
// at a time, from bytes made float once (or, where few output rows need a source row, anew for each); the result is transposed
// into columns of the band's rows, so that the horizontal pass works on whole vectors (lane = row) whatever its windows are;
// blocks of output are transposed back, normalised and stored.
//
// In fixed point ('pillow-' modes of bytes) it goes the other way round, as the definition asks: bytes of 16 source rows are
// transposed into columns, resized horizontally (lane = source row), rounded, transposed back, then resized vertically (lane =
// column).
//
// All scratch memory is of fixed size: windows that do not fit are summed in parts.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/simd.h"
#include "ops/split/kernels.h"

namespace manyscale::split::MANYSCALE_ISA {
namespace {

using namespace simd;

MANYSCALE_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
MANYSCALE_INLINE int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
MANYSCALE_INLINE int64_t round_up(int64_t a, int64_t to) { return (a + to - 1) / to * to; }

// A band reads and writes many rows a little at a time, which the processor does not foresee by itself.
constexpr int64_t kCacheLine = 64;
// Callers go through memory in runs of `bytes`, one after another: seen from its end, each run has as many new lines as are asked for.
MANYSCALE_INLINE void will_read(const char* from, int64_t bytes) {
  for (int64_t at = bytes; at > 0; at -= kCacheLine) __builtin_prefetch(from + at - 1, 0);
}

// Columns [x, x + count) of every row of the unit in one of its tiles.
MANYSCALE_INLINE void will_write(const Unit& unit, const float* tile, int64_t x, int64_t count) {
  const ScaleView& scale = *unit.scale;
  for (int64_t w = 0; w < unit.written; w++) {
    for (int64_t r = 0; r < unit.rows; r++) {
      const float* const row = tile + unit.target_offset + (w * scale.tile_height + r) * scale.tile_width;
      for (int64_t at = count; at > 0; at -= kCacheLine / 4) __builtin_prefetch(row + x + at - 1, 1);
    }
  }
}

// ---- Sources: elements of a row as vectors. What lies beyond the row's `length` elements is not read and gives 0.

constexpr int64_t kEnough = INT64_MAX;  // as `length`: known to be long enough, nothing to check
MANYSCALE_INLINE bool fits(int64_t end, int64_t length) { return length == kEnough || end <= length; }

MANYSCALE_INLINE Ints load_elements(const uint8_t* row, int64_t at, int64_t length) {
  if (fits(at + kLanes, length)) return load_bytes(row + at);
  uint8_t bytes[kLanes] = {};
  if (at < length) memcpy(bytes, row + at, static_cast<size_t>(length - at));
  return load_bytes(bytes);
}

MANYSCALE_INLINE Bytes16 load_block(const uint8_t* row, int64_t at, int64_t length) {
  if (fits(at + 16, length)) return load<Bytes16>(row + at);
  uint8_t bytes[16] = {};
  if (at < length) memcpy(bytes, row + at, static_cast<size_t>(length - at));
  return load<Bytes16>(bytes);
}

// (pixel * alpha + background * (255 - alpha) + 127) / 255, for lanes of at least 16 unsigned bits.
template <typename Vector>
MANYSCALE_INLINE Vector compose(Vector pixel, Vector alpha, Vector background) {
  const Vector sum = pixel * alpha + background * (255 - alpha) + 127;
  return (sum + 1 + (sum >> 8)) >> 8;  // sum / 255, exactly, for sums up to 255 * 255 + 127
}

struct Plane {
  using Element = float;
  static constexpr int kStep = 1;      // elements a pixel
  static constexpr int kChannels = 1;  // to compute
  static constexpr int kFewTaps = 0;   // see few_taps: floats are read once, they would come too late from memory otherwise
  explicit Plane(const Unit&) {}
  Floats floats(const char* row, int64_t at, int64_t length) const {
    const auto* const elements = reinterpret_cast<const float*>(row);
    if (fits(at + kLanes, length)) return load<Floats>(elements + at);
    float values[kLanes] = {};
    if (at < length) memcpy(values, elements + at, static_cast<size_t>(length - at) * sizeof(float));
    return load<Floats>(values);
  }
};

template <int Channels>
struct Opaque {
  using Element = uint8_t;
  static constexpr int kStep = Channels;
  static constexpr int kChannels = Channels;
  static constexpr int kFewTaps = kLanes >= 8 ? 2 : 1;  // narrow vectors take more instructions to convert
  explicit Opaque(const Unit&) {}
  Floats floats(const char* row, int64_t at, int64_t length) const { return to_floats(load_elements(reinterpret_cast<const uint8_t*>(row), at, length)); }
  Bytes16 bytes(const char* row, int64_t at, int64_t length) const { return load_block(reinterpret_cast<const uint8_t*>(row), at, length); }
};

// Whole pixels only: `at` is a multiple of 4. The fourth element of a pixel is of no use afterwards.
struct Transparent {
  using Element = uint8_t;
  static constexpr int kStep = 4;
  static constexpr int kChannels = 3;
  static constexpr int kFewTaps = kLanes >= 8 ? 1 : 0;
  Ints background;
  Shorts8 background8;

  explicit Transparent(const Unit& unit) : background{}, background8{} {
    for (int i = 0; i < kLanes; i++) background[i] = i % 4 < 3 ? unit.background[i % 4] : 0;
    for (int i = 0; i < 8; i++) background8[i] = i % 4 < 3 ? unit.background[i % 4] : 0;
  }
  Floats floats(const char* row, int64_t at, int64_t length) const {
    const Ints pixels = load_elements(reinterpret_cast<const uint8_t*>(row), at, length);
    return to_floats(compose(pixels, spread_fourth(pixels), background));
  }
  Bytes16 bytes(const char* row, int64_t at, int64_t length) const {
    const Bytes16 pixels = load_block(reinterpret_cast<const uint8_t*>(row), at, length);
    const Shorts8 low = reinterpret_cast<Shorts8>(zip_low(pixels, Bytes16{}));
    const Shorts8 high = reinterpret_cast<Shorts8>(zip_high(pixels, Bytes16{}));
    const Shorts8 low_alpha = MANYSCALE_SHUFFLE(Shorts8, low, low, 3, 3, 3, 3, 7, 7, 7, 7);
    const Shorts8 high_alpha = MANYSCALE_SHUFFLE(Shorts8, high, high, 3, 3, 3, 3, 7, 7, 7, 7);
    const Bytes16 a = reinterpret_cast<Bytes16>(compose(low, low_alpha, background8));
    const Bytes16 b = reinterpret_cast<Bytes16>(compose(high, high_alpha, background8));
    return MANYSCALE_SHUFFLE(Bytes16, a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  }
};

// ---- In float

constexpr int kBlock = 16;     // output columns that are made together
constexpr int kBandRows = 16;  // output rows of a unit
constexpr int kBandVectors = kBandRows / kLanes;
constexpr int kStripVectors = 6;  // of source columns that are resized vertically together: one register each
constexpr int kStrip = kStripVectors * kLanes;
constexpr int kStripRows = 64;  // source rows of a strip at a time: its floats stay in the first-level cache
constexpr int kColumns = 512;   // vertically resized columns kept for the horizontal pass

struct alignas(64) FloatScratch {
  float strip[kStripRows][kStrip];  // source rows
  float sums[kBandRows][kStrip];    // output rows
  float columns[kColumns][kBandRows];
  float block[3][kBlock][kBandRows];  // output pixels
};

// The strip's share of every output row of the band. The strip has slots [begin, end) of the source rows; a window that
// began in an earlier strip is continued: sums of sums also round less than one long sum.
template <int Vectors>
void add_strip(const Unit& unit, int64_t begin, int64_t end, FloatScratch& scratch) {
  const FloatAxis& axis = unit.scale->y;
  for (int64_t r = 0; r < unit.rows; r++) {
    const int64_t slot = axis.slot[unit.row + r];
    const int64_t from = larger(slot, begin);
    const int64_t to = smaller(slot + axis.count[unit.row + r], end);
    if (from >= to) continue;
    const float* weight = axis.weights + axis.weight[unit.row + r] + (from - slot);
    float* const sums = scratch.sums[r];
    Floats sum[Vectors] = {};
    for (int64_t k = from; k < to; k++) {
      const Floats w = broadcast(*weight++);
      const float* const row = scratch.strip[k - begin];
      for (int v = 0; v < Vectors; v++) sum[v] = multiply_add(w, load<Floats>(row + v * kLanes), sum[v]);
    }
    if (from > slot) {
      for (int v = 0; v < Vectors; v++) sum[v] += load<Floats>(sums + v * kLanes);
    }
    for (int v = 0; v < Vectors; v++) store(sums + v * kLanes, sum[v]);
  }
}

// Whether the taps of a band's rows are so few, at most kFewTaps for each source row, that making floats anew for each tap
// is cheaper than storing and loading them. Only where a strip would be summed in one part, so that both ways give the same bits.
template <typename Pixels>
bool few_taps(const Unit& unit) {
  const FloatAxis& axis = unit.scale->y;
  const int64_t last = unit.row + unit.rows - 1;
  const int64_t rows = axis.slot[last] + axis.count[last] - axis.slot[unit.row];
  int64_t taps = 0;
  for (int64_t r = 0; r < unit.rows; r++) taps += axis.count[unit.row + r];
  return rows <= kStripRows && taps <= rows * Pixels::kFewTaps;
}

// Output rows of the band, straight from the source: vectors of elements from at[...] on, which lie inside its rows.
template <int Vectors, typename Pixels>
void sum_rows(const Unit& unit, const Pixels& pixels, const int32_t (&at)[Vectors], FloatScratch& scratch) {
  const FloatAxis& axis = unit.scale->y;
  const char* const source = static_cast<const char*>(unit.source);
  const int64_t stride = unit.row_stride;
  for (int64_t r = 0; r < unit.rows; r++) {
    const int32_t* row = axis.source + axis.slot[unit.row + r];
    const float* weight = axis.weights + axis.weight[unit.row + r];
    Floats sum[Vectors] = {};
    for (int64_t k = axis.count[unit.row + r]; k > 0; k--) {
      const Floats w = broadcast(*weight++);
      const char* const from = source + *row++ * stride;
      MANYSCALE_UNROLL
      for (int v = 0; v < Vectors; v++) sum[v] = multiply_add(w, pixels.floats(from, at[v], kEnough), sum[v]);
    }
    for (int v = 0; v < Vectors; v++) store(scratch.sums[r] + v * kLanes, sum[v]);
  }
}

// Vectors [first, first + Vectors) of the row's slots, resized vertically, to `columns` on.
template <int Vectors, typename Pixels>
void make_columns(const Unit& unit, const Pixels& pixels, bool few, int64_t first, FloatScratch& scratch, float* columns) {
  constexpr int64_t kElementBytes = sizeof(typename Pixels::Element);
  const FloatAxis& axis = unit.scale->y;
  const int64_t begin = axis.slot[unit.row];
  const int64_t end = axis.slot[unit.row + unit.rows - 1] + axis.count[unit.row + unit.rows - 1];
  // Copies: as far as the compiler knows, the stores below could change what they come from.
  const char* const source = static_cast<const char*>(unit.source);
  const int64_t stride = unit.row_stride;
  const int64_t length = unit.row_elements;
  int32_t at[Vectors];
  for (int v = 0; v < Vectors; v++) at[v] = unit.scale->x.source[first + v];
  const int64_t next = (at[Vectors - 1] + kLanes) * kElementBytes;
  const bool inside = at[Vectors - 1] + kLanes <= length;
  if (Pixels::kFewTaps > 0 && few && inside) {
    for (int64_t s = begin; s < end; s++) will_read(source + axis.source[s] * stride + next, Vectors * kLanes * kElementBytes);
    sum_rows(unit, pixels, at, scratch);
  } else {
    for (int64_t slot = begin; slot < end; slot += kStripRows) {
      const int64_t stop = smaller(slot + kStripRows, end);
      float* to = scratch.strip[0];
      for (int64_t s = slot; s < stop; s++, to += kStrip) {
        const char* const row = source + axis.source[s] * stride;
        will_read(row + next, Vectors * kLanes * kElementBytes);
        if (inside) {
          MANYSCALE_UNROLL
          for (int v = 0; v < Vectors; v++) store(to + v * kLanes, pixels.floats(row, at[v], kEnough));
        } else {
          for (int v = 0; v < Vectors; v++) store(to + v * kLanes, pixels.floats(row, at[v], length));
        }
      }
      add_strip<Vectors>(unit, slot, stop, scratch);
    }
  }
  for (int v = 0; v < Vectors; v++) {
    for (int b = 0; b < kBandVectors; b++) {
      Floats square[kLanes];
      MANYSCALE_UNROLL
      for (int i = 0; i < kLanes; i++) square[i] = load<Floats>(scratch.sums[b * kLanes + i] + v * kLanes);
      transpose(square);
      MANYSCALE_UNROLL
      for (int i = 0; i < kLanes; i++) store(columns + (v * kLanes + i) * kBandRows + b * kLanes, square[i]);
    }
  }
}

// The columns that a band has at hand: slots [begin, end) of the row.
template <typename Pixels>
struct Columns {
  const Unit& unit;
  const Pixels& pixels;
  FloatScratch& scratch;
  bool few;  // taps
  int64_t begin = 0;
  int64_t end = 0;

  // Makes [from, to) present, both multiples of kLanes, at most kColumns apart, keeping what is there of it.
  void provide(int64_t from, int64_t to) {
    if (from < begin || from >= end) {
      end = from;
    } else if (from > begin) {
      memmove(scratch.columns[0], scratch.columns[from - begin], static_cast<size_t>(end - from) * sizeof scratch.columns[0]);
    }
    begin = from;
    while (end < to) {
      const int64_t vectors = smaller((to - end) / kLanes, kStripVectors);
      float* const at = scratch.columns[end - begin];
      const int64_t first = end / kLanes;
      switch (vectors) {
        case 1: make_columns<1>(unit, pixels, few, first, scratch, at); break;
        case 2: make_columns<2>(unit, pixels, few, first, scratch, at); break;
        case 3: make_columns<3>(unit, pixels, few, first, scratch, at); break;
        case 4: make_columns<4>(unit, pixels, few, first, scratch, at); break;
        case 5: make_columns<5>(unit, pixels, few, first, scratch, at); break;
        default: make_columns<kStripVectors>(unit, pixels, few, first, scratch, at); break;
      }
      end += vectors * kLanes;
    }
  }
};

// Output columns [column, column + count) of the band, count <= kBlock, into scratch.block.
template <typename Pixels>
void make_block(Columns<Pixels>& columns, int64_t column, int64_t count) {
  constexpr int kChannels = Pixels::kChannels;
  constexpr int kStep = Pixels::kStep;
  const FloatAxis& axis = columns.unit.scale->x;
  FloatScratch& scratch = columns.scratch;
  int64_t done[kBlock] = {};
  int64_t from = axis.slot[column] / kLanes * kLanes;
  const int64_t to = round_up(axis.slot[column + count - 1] + axis.count[column + count - 1] * kStep, kLanes);
  for (;;) {
    const int64_t stop = smaller(to, from + kColumns);
    columns.provide(from, stop);
    for (int64_t i = 0; i < count; i++) {
      const int64_t slot = axis.slot[column + i];
      const int64_t last = smaller((stop - slot) / kStep, axis.count[column + i]);  // whole pixels only
      if (last <= done[i]) continue;
      Floats sum[kChannels][kBandVectors] = {};
      const float* const weights = axis.weights + axis.weight[column + i];
      const float* pixel = scratch.columns[slot + done[i] * kStep - from];
      for (int64_t k = done[i]; k < last; k++, pixel += kStep * kBandRows) {
        const Floats w = broadcast(weights[k]);
        for (int c = 0; c < kChannels; c++) {
          for (int b = 0; b < kBandVectors; b++) sum[c][b] = multiply_add(w, load<Floats>(pixel + c * kBandRows + b * kLanes), sum[c][b]);
        }
      }
      for (int c = 0; c < kChannels; c++) {
        for (int b = 0; b < kBandVectors; b++) {
          if (done[i] > 0) sum[c][b] += load<Floats>(scratch.block[c][i] + b * kLanes);
          store(scratch.block[c][i] + b * kLanes, sum[c][b]);
        }
      }
      done[i] = last;
    }
    if (stop == to) return;
    from = stop - kLanes;  // a pixel may have begun in the last vector
  }
}

// scratch.block to a tile: to[row][column] of the first written channel on.
template <int Channels>
void store_block(const Unit& unit, const FloatScratch& scratch, int64_t columns, float* to) {
  const int64_t width = unit.scale->tile_width;
  const int64_t plane = unit.scale->tile_height * width;
  for (int c = 0; c < Channels; c++) {
    for (int b = 0; b < kBandVectors && b * kLanes < unit.rows; b++) {
      const int64_t rows = smaller(unit.rows - b * kLanes, kLanes);
      for (int x = 0; x < kBlock && x < columns; x += kLanes) {
        Floats square[kLanes];
        MANYSCALE_UNROLL
        for (int i = 0; i < kLanes; i++) square[i] = load<Floats>(scratch.block[c][x + i] + b * kLanes);
        transpose(square);
        const int64_t valid = smaller(columns - x, kLanes);
        for (int64_t w = 0; w < unit.written; w++) {
          if (unit.computed[w] != c) continue;
          const Floats multiply = broadcast(unit.multiply[w]);
          const Floats add = broadcast(unit.add[w]);
          float* const out = to + w * plane + b * kLanes * width + x;
          if (rows == kLanes && valid == kLanes) {
            MANYSCALE_UNROLL
            for (int i = 0; i < kLanes; i++) store(out + i * width, multiply_add(square[i], multiply, add));
          } else {
            for (int64_t i = 0; i < rows; i++) store_first(out + i * width, multiply_add(square[i], multiply, add), static_cast<int>(valid));
          }
        }
      }
    }
  }
}

template <typename Pixels>
void float_unit(const Unit& unit, void* memory) {
  FloatScratch& scratch = *static_cast<FloatScratch*>(memory);
  // Lanes of rows that the band does not have are computed with the others and never stored.
  memset(scratch.sums, 0, sizeof scratch.sums);
  const Pixels pixels(unit);
  Columns<Pixels> columns{unit, pixels, scratch, few_taps<Pixels>(unit)};
  for (int64_t t = 0; t < unit.tiles; t++) {
    for (int64_t x = 0; x < unit.columns; x += kBlock) {
      const int64_t count = smaller(kBlock, unit.columns - x);
      will_write(unit, unit.targets[t], x, count);
      make_block(columns, unit.column + t * unit.columns + x, count);
      store_block<Pixels::kChannels>(unit, scratch, count, unit.targets[t] + unit.target_offset + x);
    }
  }
}

// ---- In fixed point

constexpr int kPrecisionBits = 22;
constexpr int32_t kHalf = 1 << (kPrecisionBits - 1);
constexpr int kGroup = 16;  // source rows that are resized horizontally together
constexpr int kGroupVectors = kGroup / kLanes;
constexpr int kFixedRows = 32;    // output rows of a unit: neighbours need some of the same source rows
constexpr int kFixedBlock = 32;   // output columns that are made together
constexpr int kRowPairs = 64;     // pairs of source rows kept for the vertical pass
constexpr int kColumnPairs = 64;  // pairs of source columns at a time

struct alignas(64) FixedScratch {
  uint8_t bytes[2 * kColumnPairs * 4][kGroup];  // source columns
  int32_t pairs[kColumnPairs][3][kGroup];       // lane: (even pixel, odd pixel) of a row
  int32_t across[3][kFixedBlock][kGroup];       // horizontal sums
  int16_t rounded[kFixedBlock][kGroup];
  int32_t rows[kRowPairs][3][kFixedBlock];   // lane: (even row, odd row) of a column
  int32_t down[kFixedRows][3][kFixedBlock];  // vertical sums
};

// 16 x 16 bytes, in place: four rounds of interleaving a vector with the one 8 further.
MANYSCALE_INLINE void transpose_bytes(Bytes16 (&v)[16]) {
  Bytes16 t[16];
  MANYSCALE_UNROLL
  for (int i = 0; i < 8; i++) t[2 * i] = zip_low(v[i], v[i + 8]), t[2 * i + 1] = zip_high(v[i], v[i + 8]);
  MANYSCALE_UNROLL
  for (int i = 0; i < 8; i++) v[2 * i] = zip_low(t[i], t[i + 8]), v[2 * i + 1] = zip_high(t[i], t[i + 8]);
  MANYSCALE_UNROLL
  for (int i = 0; i < 8; i++) t[2 * i] = zip_low(v[i], v[i + 8]), t[2 * i + 1] = zip_high(v[i], v[i + 8]);
  MANYSCALE_UNROLL
  for (int i = 0; i < 8; i++) v[2 * i] = zip_low(t[i], t[i + 8]), v[2 * i + 1] = zip_high(t[i], t[i + 8]);
}

// to[i] = (even[i], odd[i]) as 16-bit integers.
MANYSCALE_INLINE void store_pairs(Bytes16 even, Bytes16 odd, int32_t* to) {
  const Bytes16 low = zip_low(even, odd);
  const Bytes16 high = zip_high(even, odd);
#if MANYSCALE_LANES >= 8
  store(to, _mm256_cvtepu8_epi16(reinterpret_cast<__m128i>(low)));
  store(to + 8, _mm256_cvtepu8_epi16(reinterpret_cast<__m128i>(high)));
#else
  store(to, zip_low(low, Bytes16{}));
  store(to + 4, zip_high(low, Bytes16{}));
  store(to + 8, zip_low(high, Bytes16{}));
  store(to + 12, zip_high(high, Bytes16{}));
#endif
}

// 16 sums as rounded pixels: shifted and clipped to 0 .. 255.
MANYSCALE_INLINE void round_sums(const int32_t* from, int16_t* to) {
#if MANYSCALE_LANES >= 8
  const __m256i low = _mm256_srai_epi32(load<__m256i>(from), kPrecisionBits);
  const __m256i high = _mm256_srai_epi32(load<__m256i>(from + 8), kPrecisionBits);
  const __m256i both = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8);
  store(to, _mm256_min_epi16(_mm256_max_epi16(both, _mm256_setzero_si256()), _mm256_set1_epi16(255)));
#elif defined(__SSE2__)
  for (int i = 0; i < 16; i += 8) {
    const __m128i low = _mm_srai_epi32(load<__m128i>(from + i), kPrecisionBits);
    const __m128i high = _mm_srai_epi32(load<__m128i>(from + i + 4), kPrecisionBits);
    store(to + i, _mm_min_epi16(_mm_max_epi16(_mm_packs_epi32(low, high), _mm_setzero_si128()), _mm_set1_epi16(255)));
  }
#else
  for (int i = 0; i < 16; i++) {
    const int32_t value = from[i] >> kPrecisionBits;
    to[i] = static_cast<int16_t>(value < 0 ? 0 : value > 255 ? 255 : value);
  }
#endif
}

// to[m] lane x = the pair m (rows 2m and 2m + 1) of column x; `stride` lanes from pair to pair.
MANYSCALE_INLINE void transpose_rounded(const int16_t (&from)[kFixedBlock][kGroup], int32_t* to, int64_t stride) {
#if MANYSCALE_LANES >= 8
  for (int x = 0; x < kFixedBlock; x += 8) {
    __m256 square[8];
    MANYSCALE_UNROLL
    for (int i = 0; i < 8; i++) square[i] = load<__m256>(from[x + i]);
    transpose8(square);
    MANYSCALE_UNROLL
    for (int i = 0; i < 8; i++) store(to + i * stride + x, square[i]);
  }
#else
  for (int x = 0; x < kFixedBlock; x += 4) {
    for (int half = 0; half < 2; half++) {
      Floats square[4];
      for (int i = 0; i < 4; i++) square[i] = load<Floats>(from[x + i] + half * 8);
      transpose(square);
      for (int i = 0; i < 4; i++) store(to + (half * 4 + i) * stride + x, square[i]);
    }
  }
#endif
}

// Pairs of source columns [begin, end) of the 16 rows, as lanes of 16-bit pairs.
template <typename Pixels>
void make_pairs(const Unit& unit, const Pixels& pixels, const char* const (&rows)[kGroup], int64_t begin, int64_t end, FixedScratch& scratch) {
  constexpr int kStep = Pixels::kStep;
  const int64_t first = 2 * begin * kStep;
  const int64_t length = 2 * (end - begin) * kStep;
  for (int64_t at = 0; at < length; at += 16) {
    Bytes16 square[16];
    if (first + at + 16 <= unit.row_elements) {
      MANYSCALE_UNROLL
      for (int i = 0; i < 16; i++) square[i] = pixels.bytes(rows[i], first + at, kEnough);
    } else {
      for (int i = 0; i < 16; i++) square[i] = pixels.bytes(rows[i], first + at, unit.row_elements);
    }
    transpose_bytes(square);
    MANYSCALE_UNROLL
    for (int i = 0; i < 16; i++) store(scratch.bytes[at + i], square[i]);
  }
  for (int64_t p = 0; p < end - begin; p++) {
    for (int c = 0; c < Pixels::kChannels; c++) {
      store_pairs(load<Bytes16>(scratch.bytes[2 * p * kStep + c]), load<Bytes16>(scratch.bytes[(2 * p + 1) * kStep + c]), scratch.pairs[p][c]);
    }
  }
}

// Output columns [column, column + count) of source rows [row, row + 16), into `to`: kGroup / 2 pairs of rows.
template <typename Pixels>
void resize_across(const Unit& unit, const Pixels& pixels, int64_t row, int64_t column, int64_t count, FixedScratch& scratch, int32_t (*to)[3][kFixedBlock]) {
  constexpr int kChannels = Pixels::kChannels;
  // With narrow vectors the sums of all channels do not fit in the registers.
  constexpr int kTogether = kLanes >= 8 ? kChannels : 1;
  const FixedAxis& axis = unit.scale->fixed_x;
  const char* rows[kGroup];
  // Rows beyond the last have no weight; any row may stand for them.
  for (int i = 0; i < kGroup; i++) rows[i] = static_cast<const char*>(unit.source) + smaller(row + i, unit.scale->fixed_y.length - 1) * unit.row_stride;
  const int64_t first = axis.pair[column];
  const int64_t last = axis.pair[column + count - 1] + axis.count[column + count - 1];
  for (int64_t begin = first; begin < last; begin += kColumnPairs) {
    const int64_t end = smaller(begin + kColumnPairs, last);
    make_pairs(unit, pixels, rows, begin, end, scratch);
    for (int64_t i = 0; i < count; i++) {
      const int64_t pair = axis.pair[column + i];
      const int64_t from = larger(pair, begin);
      const int64_t stop = smaller(pair + axis.count[column + i], end);
      if (from >= stop && begin != first) continue;
      for (int c = 0; c < kChannels; c += kTogether) {
        const int32_t* weight = axis.weights + axis.weight[column + i] + 2 * (from - pair);
        Ints high[kTogether][kGroupVectors] = {};
        Ints low[kTogether][kGroupVectors] = {};
        for (int64_t p = from; p < stop; p++, weight += 2) {
          const Ints high_weight = broadcast(weight[0]);
          const Ints low_weight = broadcast(weight[1]);
          for (int d = 0; d < kTogether; d++) {
            for (int v = 0; v < kGroupVectors; v++) {
              const Ints value = load<Ints>(scratch.pairs[p - begin][c + d] + v * kLanes);
              high[d][v] += multiply_pairs(value, high_weight);
              low[d][v] += multiply_pairs(value, low_weight);
            }
          }
        }
        for (int d = 0; d < kTogether; d++) {
          for (int v = 0; v < kGroupVectors; v++) {
            int32_t* const sum = scratch.across[c + d][i] + v * kLanes;
            const Ints before = begin == first ? broadcast(kHalf) : load<Ints>(sum);
            store(sum, before + (high[d][v] << kWeightSplit) + low[d][v]);
          }
        }
      }
    }
  }
  // Columns that the block does not have go through the vertical pass with the others and are never stored.
  if (count < kFixedBlock) memset(scratch.rounded[count], 0, static_cast<size_t>(kFixedBlock - count) * sizeof scratch.rounded[0]);
  for (int c = 0; c < kChannels; c++) {
    for (int64_t i = 0; i < count; i++) round_sums(scratch.across[c][i], scratch.rounded[i]);
    transpose_rounded(scratch.rounded, to[0][c], sizeof to[0] / sizeof(int32_t));
  }
}

// Pairs of source rows [begin, end) in scratch.rows, added to the sums of every output row.
template <int Channels>
void resize_down(const Unit& unit, int64_t begin, int64_t end, bool continues, FixedScratch& scratch) {
  constexpr int kVectors = Channels * kFixedBlock / kLanes;
  constexpr int kTogether = kVectors < 6 ? kVectors : kLanes == 16 ? 6 : 4;
  static_assert(kVectors % kTogether == 0);
  const FixedAxis& axis = unit.scale->fixed_y;
  for (int64_t r = 0; r < unit.rows; r++) {
    const int64_t pair = axis.pair[unit.row + r];
    const int64_t from = larger(pair, begin);
    const int64_t stop = smaller(pair + axis.count[unit.row + r], end);
    if (from >= stop && continues) continue;
    for (int at = 0; at < kVectors * kLanes; at += kTogether * kLanes) {
      const int32_t* weight = axis.weights + axis.weight[unit.row + r] + 2 * (from - pair);
      Ints high[kTogether] = {};
      Ints low[kTogether] = {};
      for (int64_t p = from; p < stop; p++, weight += 2) {
        const Ints high_weight = broadcast(weight[0]);
        const Ints low_weight = broadcast(weight[1]);
        const int32_t* const values = scratch.rows[p - begin][0] + at;
        for (int v = 0; v < kTogether; v++) {
          const Ints value = load<Ints>(values + v * kLanes);
          high[v] += multiply_pairs(value, high_weight);
          low[v] += multiply_pairs(value, low_weight);
        }
      }
      int32_t* const sums = scratch.down[r][0] + at;
      for (int v = 0; v < kTogether; v++) {
        const Ints before = continues ? load<Ints>(sums + v * kLanes) : broadcast(kHalf);
        store(sums + v * kLanes, before + (high[v] << kWeightSplit) + low[v]);
      }
    }
  }
}

// scratch.down to a tile, rounded and normalised.
template <int Channels>
void store_down(const Unit& unit, const FixedScratch& scratch, int64_t columns, float* to) {
  const int64_t width = unit.scale->tile_width;
  const int64_t plane = unit.scale->tile_height * width;
  for (int64_t w = 0; w < unit.written; w++) {
    const Floats multiply = broadcast(unit.multiply[w]);
    const Floats add = broadcast(unit.add[w]);
    for (int64_t r = 0; r < unit.rows; r++) {
      const int32_t* const sums = scratch.down[r][unit.computed[w]];
      for (int x = 0; x < kFixedBlock && x < columns; x += kLanes) {
        Ints value = load<Ints>(sums + x) >> kPrecisionBits;
        value = value < 0 ? Ints{} : value;
        value = value > 255 ? broadcast(255) : value;
        store_first(to + w * plane + r * width + x, multiply_add(to_floats(value), multiply, add), static_cast<int>(smaller(columns - x, kLanes)));
      }
    }
  }
}

template <typename Pixels>
void fixed_unit(const Unit& unit, void* memory) {
  FixedScratch& scratch = *static_cast<FixedScratch*>(memory);
  const Pixels pixels(unit);
  const FixedAxis& axis = unit.scale->fixed_y;
  const int64_t first = axis.pair[unit.row];
  const int64_t last = axis.pair[unit.row + unit.rows - 1] + axis.count[unit.row + unit.rows - 1];
  for (int64_t t = 0; t < unit.tiles; t++) {
    for (int64_t x = 0; x < unit.columns; x += kFixedBlock) {
      const int64_t count = smaller(kFixedBlock, unit.columns - x);
      will_write(unit, unit.targets[t], x, count);
      for (int64_t begin = first; begin < last; begin += kRowPairs) {
        const int64_t end = smaller(begin + kRowPairs, last);
        for (int64_t p = begin; p < end; p += kGroup / 2) {
          resize_across(unit, pixels, 2 * p, unit.column + t * unit.columns + x, count, scratch, scratch.rows + (p - begin));
        }
        resize_down<Pixels::kChannels>(unit, begin, end, begin != first, scratch);
      }
      store_down<Pixels::kChannels>(unit, scratch, count, unit.targets[t] + unit.target_offset + x);
    }
  }
}

}  // namespace

const Kernels kKernels = {
    kIsaName,
    kLanes,
    kBandRows,
    kFixedRows,
    sizeof(FloatScratch) > sizeof(FixedScratch) ? sizeof(FloatScratch) : sizeof(FixedScratch),
    float_unit<Plane>,
    float_unit<Opaque<1>>,
    float_unit<Opaque<3>>,
    float_unit<Transparent>,
    fixed_unit<Opaque<1>>,
    fixed_unit<Opaque<3>>,
    fixed_unit<Transparent>,
};

}  // namespace manyscale::split::MANYSCALE_ISA
