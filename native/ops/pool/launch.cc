#include "ops/pool/launch.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "core/checked.h"
#include "ops/pool/blend.h"
#include "ops/pool/device_params.h"

namespace manyscale::pool {
namespace {

constexpr size_t kAlignment = 16;

template <typename T>
int64_t append(std::vector<std::byte>& tables, const std::vector<T>& values) {
  const size_t start = (tables.size() + kAlignment - 1) / kAlignment * kAlignment;
  tables.resize(start + values.size() * sizeof(T));
  if (!values.empty()) std::memcpy(tables.data() + start, values.data(), values.size() * sizeof(T));
  return static_cast<int64_t>(start);
}

int32_t narrow(int64_t value) {
  if (value > std::numeric_limits<int32_t>::max())
    throw Error(ErrorCode::kPlanTooLarge, "Expected at most 2^31 - 1 for a number of pool on a GPU but received " + std::to_string(value));
  return static_cast<int32_t>(value);
}

std::vector<device::Bin> bins_of(const BlendAxis& axis, int64_t merged, int64_t bins) {
  std::vector<device::Bin> result;
  for (int64_t bin = 0; bin < bins; bin++) {
    const int64_t first = bin * merged / bins, last = ceil_div((bin + 1) * merged, bins);
    result.push_back({narrow(axis.begin[static_cast<size_t>(first)]), narrow(axis.begin[static_cast<size_t>(last)]), narrow(last - first)});
  }
  return result;
}

std::vector<device::Entry> entries_of(const BlendAxis& axis) {
  std::vector<device::Entry> result;
  for (size_t i = 0; i < axis.tile.size(); i++) result.push_back({narrow(axis.tile[i]), narrow(axis.cell[i]), axis.weight[i]});
  return result;
}

int64_t bytes_of(FeatureType type) { return type == FeatureType::kFloat32 ? 4 : 2; }

// Channels that a thread reads and writes at once: 16 bytes of features where every access is aligned to them.
int32_t width_of(const LaunchPart& part, const ScaleParams& scale, const std::vector<int64_t>& tiles) {
  const Params& params = *part.params;
  if (params.input == Layout::kFeatureMap) return 1;
  const int64_t width = 16 / bytes_of(part.type);
  const auto fits = [](int64_t bytes, int64_t unit) { return bytes % unit == 0; };
  const bool reads = scale.channels % width == 0 && std::all_of(tiles.begin(), tiles.end(), [&](int64_t at) { return fits(at, 16); });
  if (!reads) return 1;
  if (params.output == Layout::kFeatureMap) return narrow(width);
  const int64_t element = element_bytes(params.output_type);
  const int64_t unit = std::min<int64_t>(16, width * element);
  const bool writes = fits(static_cast<int64_t>(part.output), unit) && fits(params.channels * element, unit) && fits(scale.channel_offset * element, unit);
  return writes ? narrow(width) : 1;
}

}  // namespace

PoolLaunch::PoolLaunch(const std::vector<LaunchPart>& given) {
  std::vector<device::Part> parts;
  size_t count = 0;
  for (const LaunchPart& part : given) count += part.params->scales.size();
  tables_.resize(count * sizeof(device::Part));
  int64_t blocks = 0;
  for (const LaunchPart& part : given) {
    const Params& params = *part.params;
    for (const ScaleParams& scale : params.scales) {
      device::Part made{};
      std::vector<int64_t> tiles;
      for (int64_t i = 0; i < scale.rows * scale.columns * params.batch; i++) {
        const TileSource& source = params.tiles[static_cast<size_t>(scale.first_tile + i)];
        tiles.push_back(checked_sum("tile features' bytes", static_cast<int64_t>(part.features),
                                    checked_product("tile features' bytes", source.offset, bytes_of(part.type))));
      }
      const BlendAxis y = make_blend_axis(scale.rows, scale.grid.height, scale.tops, scale.merged.height, params.blend);
      const BlendAxis x = make_blend_axis(scale.columns, scale.grid.width, scale.lefts, scale.merged.width, params.blend);
      made.width = width_of(part, scale, tiles);
      made.tiles = append(tables_, tiles);
      made.bins_y = append(tables_, bins_of(y, scale.merged.height, params.grid.height));
      made.bins_x = append(tables_, bins_of(x, scale.merged.width, params.grid.width));
      made.entries_y = append(tables_, entries_of(y));
      made.entries_x = append(tables_, entries_of(x));
      made.output = static_cast<int64_t>(part.output);
      made.type = static_cast<int32_t>(part.type);
      made.output_type = params.output_type == OutputType::kFloat16 ? device::kFloat16 : device::kFloat32;
      made.batch = narrow(params.batch);
      made.rows = narrow(scale.rows);
      made.columns = narrow(scale.columns);
      made.tile_height = narrow(scale.grid.height);
      made.tile_width = narrow(scale.grid.width);
      made.channels = narrow(scale.channels);
      made.prefix = narrow(params.prefix);
      made.output_height = narrow(params.grid.height);
      made.output_width = narrow(params.grid.width);
      made.output_channels = narrow(params.channels);
      made.channel_offset = narrow(scale.channel_offset);
      made.input_is_map = params.input == Layout::kFeatureMap;
      made.output_is_map = params.output == Layout::kFeatureMap;
      made.is_weighted = scale.overlaps();
      const int64_t cells = params.prefix + params.grid.height * params.grid.width;
      made.items = checked_product("pool's threads", params.batch, cells, scale.channels / made.width);
      made.first_block = static_cast<uint32_t>(blocks);
      blocks = checked_sum("pool's blocks", blocks, ceil_div(made.items, int64_t{device::kThreads}));
      narrow(blocks);
      parts.push_back(made);
    }
  }
  std::memcpy(tables_.data(), parts.data(), parts.size() * sizeof(device::Part));
  blocks_ = static_cast<uint32_t>(blocks);
  parts_ = narrow(static_cast<int64_t>(parts.size()));
}

void PoolLaunch::write_tables(std::byte* to) const { std::memcpy(to, tables_.data(), tables_.size()); }

Launch PoolLaunch::at(Buffer features, Buffer tables, Buffer destination) const {
  const auto address = [](Buffer buffer) { return static_cast<uint64_t>(buffer.handle + buffer.offset); };
  const device::Arguments arguments{address(features), address(tables), address(destination), parts_, 0};
  Launch launch;
  launch.kernel = "manyscale_pool";
  launch.grid = {blocks_, 1, 1};
  launch.block = {device::kThreads, 1, 1};
  launch.arguments.resize(sizeof arguments);
  std::memcpy(launch.arguments.data(), &arguments, sizeof arguments);
  return launch;
}

}  // namespace manyscale::pool
