#include "ops/split/split.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <string>
#include <tuple>

#include "core/checked.h"
#include "core/isa.h"
#include "ops/split/kernels.h"
#include "ops/split/scratch.h"

namespace manyscale::split {
namespace {

const Kernels& cpu_kernels() { return MANYSCALE_ACTIVE_KERNELS(); }

// Entries [begin, end) of an axis table.
struct Range {
  int64_t begin = std::numeric_limits<int64_t>::max();
  int64_t end = 0;

  void include(int64_t from, int64_t count) {
    begin = std::min(begin, from);
    end = std::max(end, from + count);
  }
};

// The window of one output pixel. A pass that keeps the size copies: whatever its table says, it has one tap.
struct Window {
  int64_t first;
  int64_t count;

  Window(const AxisTable& table, int64_t i)
      : first(table.identity() ? table.begin + i : table.first[static_cast<size_t>(i)]), count(table.identity() ? 1 : table.count[static_cast<size_t>(i)]) {}
};

// Owns what a FloatAxis shows. Entries are made for `range` only.
struct FloatAxisData {
  std::vector<int32_t> slot, count, weight, source;
  const float* weights = nullptr;

  // `step` elements a pixel. Slots are handed out in runs of whole `lanes`: a new run begins where at least that many elements are not used.
  // Runs are those of the whole axis, also where `range` begins inside one: kernels sum long windows in parts that depend on where runs
  // begin, and a tile's pixels must not depend on which other tiles are asked for.
  void make(const AxisTable& table, const Range& range, int64_t step, int64_t lanes) {
    static constexpr float kOne = 1;
    slot.resize(table.first.size());
    count.resize(slot.size());
    weight.resize(slot.size());
    weights = table.identity() ? &kOne : table.weights.data();
    int64_t run = 0;      // where the run at hand begins,
    int64_t covered = 0;  // and before which element it ends
    for (int64_t i = 0; i < range.end; i++) {
      const Window window(table, i);
      const int64_t first = window.first * step;
      const int64_t end = first + window.count * step;
      if (i == 0 || first >= covered + lanes) {
        run = first;
        covered = first;
      } else if (i == range.begin) {
        covered = run + (first - run) / lanes * lanes;
      }
      if (i < range.begin) {
        if (covered < end) covered += ceil_div(end - covered, lanes) * lanes;
        continue;
      }
      const auto index = static_cast<size_t>(i);
      slot[index] = static_cast<int32_t>(static_cast<int64_t>(source.size()) * lanes - (covered - first));
      count[index] = static_cast<int32_t>(window.count);
      weight[index] = static_cast<int32_t>(table.identity() ? 0 : i * table.taps);
      for (; covered < end; covered += lanes) source.push_back(static_cast<int32_t>(covered));
    }
  }
  FloatAxis view() const { return {slot.data(), count.data(), weight.data(), weights, source.data()}; }
};

// Owns what a FixedAxis shows. Entries are made for `range` only.
struct FixedAxisData {
  std::vector<int32_t> pair, count, weight, weights;
  int64_t length = 0;

  void make(const AxisTable& table, const Range& range) {
    length = table.in;
    pair.resize(table.first.size());
    count.resize(pair.size());
    weight.resize(pair.size());
    weights.reserve(static_cast<size_t>((range.end - range.begin) * (table.identity() ? 2 : table.taps + 3)));
    for (int64_t i = range.begin; i < range.end; i++) {
      const Window window(table, i);
      const auto index = static_cast<size_t>(i);
      const int64_t begin = window.first / 2;
      const int64_t end = (window.first + window.count + 1) / 2;
      pair[index] = static_cast<int32_t>(begin);
      count[index] = static_cast<int32_t>(end - begin);
      weight[index] = static_cast<int32_t>(weights.size());
      const auto at = [&](int64_t pixel) {
        if (pixel < window.first || pixel >= window.first + window.count) return 0;
        return table.identity() ? 1 << kPillowPrecisionBits : table.fixed_weights[static_cast<size_t>(i * table.taps + pixel - window.first)];
      };
      for (int64_t p = begin; p < end; p++) {
        // Rounded to the nearest, so that no low part is larger than its weight and sums of low parts stay in 32 bits.
        const int32_t even = at(2 * p), odd = at(2 * p + 1);
        const int32_t even_high = (even + (1 << (kWeightSplit - 1))) >> kWeightSplit, odd_high = (odd + (1 << (kWeightSplit - 1))) >> kWeightSplit;
        weights.push_back(pack(even_high, odd_high));
        weights.push_back(pack(even - even_high * (1 << kWeightSplit), odd - odd_high * (1 << kWeightSplit)));
      }
    }
  }
  FixedAxis view() const { return {pair.data(), count.data(), weight.data(), weights.data(), length}; }

 private:
  static int32_t pack(int32_t low_half, int32_t high_half) {
    return static_cast<int32_t>((static_cast<uint32_t>(high_half) << 16) | (static_cast<uint32_t>(low_half) & 0xffffU));
  }
};

// One scale, laid out for the kernels, for the tiles that are asked for.
struct ScaleData {
  Range rows, columns;
  FloatAxisData y, x;
  FixedAxisData fixed_y, fixed_x;
  ScaleView view{};
};

std::vector<ScaleData> lay_out(const Params& params, const Kernels& kernels) {
  std::vector<ScaleData> scales(params.scales.size());
  for (const TileTarget& tile : params.tiles) {
    const TilePart part = part_of_tile(params.scales[static_cast<size_t>(tile.scale)].scale, tile.row, tile.column);
    if (part.rows() == 0) continue;
    scales[static_cast<size_t>(tile.scale)].rows.include(part.y, part.rows());
    scales[static_cast<size_t>(tile.scale)].columns.include(part.x, part.columns());
  }
  const int64_t step = params.source.type == PixelType::kFloat32 ? 1 : params.source.channels;
  for (size_t s = 0; s < scales.size(); s++) {
    ScaleData& data = scales[s];
    if (data.rows.end == 0) continue;
    const ScaleTables& tables = params.scales[s];
    if (params.fixed_point()) {
      data.fixed_y.make(*tables.y, data.rows);
      data.fixed_x.make(*tables.x, data.columns);
    } else {
      data.y.make(*tables.y, data.rows, 1, 1);
      data.x.make(*tables.x, data.columns, step, kernels.lanes);
    }
    data.view = {data.y.view(), data.x.view(), data.fixed_y.view(), data.fixed_x.view(), tables.scale.tile_height, tables.scale.tile_width};
  }
  return scales;
}

Kernel choose_kernel(const Params& params, const Kernels& kernels) {
  if (params.source.type == PixelType::kFloat32) return kernels.from_float;
  const bool fixed = params.fixed_point();
  switch (params.source.channels) {
    case 1: return fixed ? kernels.fixed_from_grey : kernels.from_grey;
    case 3: return fixed ? kernels.fixed_from_rgb : kernels.from_rgb;
    default: return fixed ? kernels.fixed_from_rgba : kernels.from_rgba;
  }
}

constexpr int64_t kUnitsPerThread = 4;  // fewer, and the last one to finish keeps the others waiting

// Adjacent tiles of a row that are made in whole: they share columns of the source. Indices into the sorted tiles.
struct Run {
  size_t first;
  size_t count;
};

std::vector<Run> find_runs(const Params& params, const std::vector<TileTarget>& tiles, const std::vector<TilePart>& parts, bool join) {
  std::vector<Run> runs;
  for (size_t i = 0; i < tiles.size(); i++) {
    if (parts[i].rows() == 0) continue;
    if (join && i > 0) {
      const TileTarget& a = tiles[i - 1];
      const TileTarget& b = tiles[i];
      const Scale& scale = params.scales[static_cast<size_t>(b.scale)].scale;
      const bool beside = a.image == b.image && a.scale == b.scale && a.row == b.row && a.column + 1 == b.column;
      if (beside && parts[i - 1].is_whole(scale) && parts[i].is_whole(scale) && parts[i - 1].x + scale.tile_width == parts[i].x) {
        runs.back().count++;
        continue;
      }
    }
    runs.push_back({i, 1});
  }
  return runs;
}

// The whole work in units that write nothing of one another's. `order` has them by the source's rows across all scales, so
// that threads working side by side read the source from memory once.
struct Work {
  std::vector<TileTarget> tiles;
  std::vector<TilePart> parts;  // of `tiles`
  std::vector<float*> targets;  // of `tiles`
  std::vector<Unit> units;
  std::vector<int64_t> order;
};

Work divide(const Params& params, const Kernels& kernels, const std::vector<ScaleData>& scales, const void* source, const std::vector<Buffer>& destinations,
            int64_t threads) {
  const bool floats = params.source.type == PixelType::kFloat32;
  const bool fixed = params.fixed_point();
  const int64_t band = fixed ? kernels.fixed_band_rows : kernels.float_band_rows;
  const int64_t planes = floats ? params.channels : 1;  // each on its own
  Work work;
  work.tiles = params.tiles;
  std::sort(work.tiles.begin(), work.tiles.end(),
            [](const TileTarget& a, const TileTarget& b) { return std::tie(a.image, a.scale, a.row, a.column) < std::tie(b.image, b.scale, b.row, b.column); });
  for (const TileTarget& tile : work.tiles) {
    work.parts.push_back(part_of_tile(params.scales[static_cast<size_t>(tile.scale)].scale, tile.row, tile.column));
    work.targets.push_back(host_pointer<float>(destinations[static_cast<size_t>(tile.scale)]) + tile.offset);
  }
  const auto count_units = [&](const std::vector<Run>& runs) {
    int64_t count = 0;
    for (const Run& run : runs) count += ceil_div(work.parts[run.first].rows(), band) * planes;
    return count;
  };
  std::vector<Run> runs = find_runs(params, work.tiles, work.parts, true);
  if (threads > 1 && count_units(runs) < threads * kUnitsPerThread) runs = find_runs(params, work.tiles, work.parts, false);

  const Source& from = params.source;
  const Rectangle& crop = params.crop;
  const int64_t step = floats ? 1 : from.channels;
  const int64_t element = floats ? 4 : 1;
  const int64_t row_stride = floats ? from.width * 4 : from.row_stride;
  std::vector<std::tuple<int64_t, int64_t, int64_t>> keys;
  work.units.reserve(static_cast<size_t>(count_units(runs)));
  keys.reserve(work.units.capacity());
  for (const Run& run : runs) {
    const TileTarget& tile = work.tiles[run.first];
    const TilePart& part = work.parts[run.first];
    const ScaleData& scale = scales[static_cast<size_t>(tile.scale)];
    for (int64_t plane = 0; plane < planes; plane++) {
      Unit unit{};
      unit.scale = &scale.view;
      const int64_t source_plane = floats ? tile.image * from.channels + params.source_channel(plane) : 0;
      unit.source = static_cast<const char*>(source) + (source_plane * from.height + crop.top) * row_stride + crop.left * step * element;
      unit.column = part.x;
      unit.columns = part.columns();
      unit.tiles = static_cast<int64_t>(run.count);
      unit.targets = work.targets.data() + run.first;
      unit.written = floats ? 1 : params.channels;
      for (int64_t w = 0; w < unit.written; w++) {
        unit.computed[w] = floats ? 0 : static_cast<int32_t>(params.source_channel(w));
        unit.multiply[w] = params.multiply[static_cast<size_t>(plane + w)];
        unit.add[w] = params.add[static_cast<size_t>(plane + w)];
      }
      unit.row_stride = row_stride;
      unit.row_elements = (from.width - crop.left) * step;
      std::copy(params.background.begin(), params.background.end(), unit.background);
      for (int64_t row = 0; row < part.rows(); row += band) {
        unit.row = part.y + row;
        unit.rows = std::min(band, part.rows() - row);
        unit.target_offset = (plane * scale.view.tile_height + part.top + row) * scale.view.tile_width + part.left;
        work.units.push_back(unit);
        const auto index = static_cast<size_t>(unit.row);
        keys.emplace_back(tile.image, plane, fixed ? 2 * scale.fixed_y.pair[index] : scale.y.source[static_cast<size_t>(scale.y.slot[index])]);
      }
    }
  }
  work.order.resize(work.units.size());
  std::iota(work.order.begin(), work.order.end(), int64_t{0});
  std::stable_sort(work.order.begin(), work.order.end(), [&](int64_t a, int64_t b) { return keys[static_cast<size_t>(a)] < keys[static_cast<size_t>(b)]; });
  return work;
}

// What a tile has beside its part of the image.
void pad(const Params& params, const TileTarget& tile, const TilePart& part, float* to) {
  const Scale& scale = params.scales[static_cast<size_t>(tile.scale)].scale;
  for (int64_t c = 0; c < params.channels; c++) {
    const float value = params.padding(scale, c);
    float* const plane = to + c * scale.tile_height * scale.tile_width;
    for (int64_t y = 0; y < scale.tile_height; y++) {
      float* const row = plane + y * scale.tile_width;
      const bool beside = y >= part.top && y < part.bottom;
      std::fill(row, row + (beside ? part.left : scale.tile_width), value);
      if (beside) std::fill(row + part.right, row + scale.tile_width, value);
    }
  }
}

void run_cpu(const Params& params, Backend& backend, Buffer source, const std::vector<Buffer>& destinations) {
  if (params.tiles.empty()) return;
  const Kernels& kernels = cpu_kernels();
  const Kernel kernel = choose_kernel(params, kernels);
  const std::vector<ScaleData> scales = lay_out(params, kernels);
  const int64_t threads = backend.concurrency();
  const Work work = divide(params, kernels, scales, host_pointer<const void>(source), destinations, threads);
  const auto count = static_cast<int64_t>(work.order.size());
  ScratchLease scratch(static_cast<size_t>(std::min(threads, count)), kernels.scratch_bytes);
  std::vector<size_t> padded;
  for (size_t i = 0; i < work.tiles.size(); i++) {
    if (!work.parts[i].is_whole(params.scales[static_cast<size_t>(work.tiles[i].scale)].scale)) padded.push_back(i);
  }
  backend.parallel_for(count + static_cast<int64_t>(padded.size()), [&](int64_t i) {
    if (i >= count) {
      const size_t tile = padded[static_cast<size_t>(i - count)];
      return pad(params, work.tiles[tile], work.parts[tile], work.targets[tile]);
    }
    const ScratchLease::Block block(scratch);
    kernel(work.units[static_cast<size_t>(work.order[static_cast<size_t>(i)])], block.data());
  });
}

}  // namespace

void run(const Params& params, Backend& backend, Buffer source, const std::vector<Buffer>& destinations) {
  switch (backend.kind()) {
    case DeviceKind::kCpu: return run_cpu(params, backend, source, destinations);
    case DeviceKind::kCuda: break;
  }
  throw Error(ErrorCode::kDeviceUnavailable, "Expected a device that split is built for (cpu) but received another");
}

const char* kernel_isa() { return cpu_kernels().isa; }

}  // namespace manyscale::split
