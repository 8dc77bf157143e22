#include "ops/pool/params.h"

#include <algorithm>
#include <string>
#include <utility>

#include "core/checked.h"

namespace manyscale::pool {

Params Params::only(size_t scale) const {
  const ScaleParams& s = scales[scale];
  Params part;  // not a copy of all, of which most would go again
  part.input = input;
  part.output = output;
  part.output_type = output_type;
  part.blend = blend;
  part.batch = batch;
  part.prefix = prefix;
  part.dropped = dropped;
  part.grid = grid;
  part.channels = channels;
  const auto begin = tiles.begin() + s.first_tile;
  part.tiles.assign(begin, begin + s.rows * s.columns * batch);
  part.scales.assign(1, s);
  part.scales[0].first_tile = 0;
  return part;
}

namespace {

[[noreturn]] void refuse(const std::string& message) { throw Error(ErrorCode::kInvalidArgument, message); }

Params start(int64_t batch, const Options& options) {
  if (batch < 1) refuse("Expected at least 1 image for pool but received " + std::to_string(batch));
  if (options.prefix < 0) refuse("Expected 0 or more for numPrefixTokens but received " + std::to_string(options.prefix));
  if (options.prefix > 0 && options.input == Layout::kFeatureMap) {
    refuse("Expected 0 for numPrefixTokens of feature maps but received " + std::to_string(options.prefix));
  }
  Params params;
  params.input = options.input;
  params.output = options.output;
  params.output_type = options.type;
  params.blend = options.blend;
  params.batch = batch;
  params.prefix = options.output == Layout::kTokens && !options.drop_prefix ? options.prefix : 0;
  params.dropped = options.prefix - params.prefix;
  return params;
}

void check_features(const ScaleFeatures& tile) {
  if (tile.grid.height < 1 || tile.grid.width < 1 || tile.channels < 1) {
    refuse("Expected a grid of at least 1 x 1 and 1 channel for every scale but received " + to_string(tile.grid) + " and " + std::to_string(tile.channels));
  }
}

// `start` pixels of a side of the tile, in cells.
int64_t whole_cells(int64_t start, int64_t grid, int64_t tile, const char* what) {
  const int64_t scaled = checked_product("merged features", start, grid);
  if (scaled % tile != 0) {
    refuse("Expected tiles that overlap by whole cells for pool but received tiles of " + std::to_string(tile) + " pixels in " + std::to_string(grid) +
           " cells along the " + what + ", one of which begins at pixel " + std::to_string(start) +
           "; take sides and an overlap that are multiples of the cell (with plan() and multiscaleForward patchSize sees to it)");
  }
  return scaled / tile;
}

// Cells of a side of `all` pixels that the first `used` pixels reach into.
int64_t reached(int64_t used, int64_t all, int64_t cells) { return ceil_div(checked_product("merged features", used, cells), all); }

void lay_out(const Scale& scale, ScaleParams& params) {
  const Size grid = params.grid;
  if (scale.overlaps()) {
    for (int64_t row = 0; row < scale.rows; row++) params.tops.push_back(whole_cells(scale.top(row), grid.height, scale.tile_height, "height"));
    for (int64_t column = 0; column < scale.columns; column++) {
      params.lefts.push_back(whole_cells(scale.left(column), grid.width, scale.tile_width, "width"));
    }
    params.merged = {params.tops.back() + grid.height, params.lefts.back() + grid.width};
  } else {
    params.merged = {checked_product("merged features", scale.rows, grid.height), checked_product("merged features", scale.columns, grid.width)};
  }
  checked_product("merged features", params.merged.height, params.merged.width);
  if (!scale.content || scale.padding != Padding::kZero) return;
  const Rectangle content = *scale.content;
  params.merged.height = std::min(params.merged.height, reached(std::min(content.top + content.height, scale.height), scale.height, params.merged.height));
  params.merged.width = std::min(params.merged.width, reached(std::min(content.left + content.width, scale.width), scale.width, params.merged.width));
}

// The scale's tiles, of a dense batch whose first element is `base` of `buffer`; returns where it ends.
int64_t add_tiles(Params& params, const ScaleFeatures& tile, int64_t tiles, int64_t buffer, int64_t base) {
  const int64_t prefix = params.prefix + params.dropped;
  const int64_t tokens = checked_sum("a tile's tokens", prefix, checked_product("a tile's tokens", tile.grid.height, tile.grid.width));
  const int64_t elements = checked_product("a tile's features", tokens, tile.channels);
  checked_product("tile features' bytes", tiles, elements, 4);
  const int64_t end = checked_sum("tile features", base, tiles * elements);
  check_tile_count(checked_sum("tile features", static_cast<int64_t>(params.tiles.size()), tiles));
  for (int64_t i = 0; i < tiles; i++) params.tiles.push_back({buffer, base + i * elements + params.dropped * tile.channels});
  return end;
}

void check_output(const Params& params) {
  const int64_t cells = checked_sum("output tokens", params.prefix, checked_product("output tokens", params.grid.height, params.grid.width));
  checked_product("output bytes", params.batch, cells, params.channels, 4);
  for (const ScaleParams& scale : params.scales) {  // the ends of bins are computed as such products
    checked_product("pooling bins", scale.merged.height, params.grid.height + 1);
    checked_product("pooling bins", scale.merged.width, params.grid.width + 1);
  }
}

}  // namespace

Size merged_grid(const Scale& scale, Size grid) {
  check_features({grid, 1});
  ScaleParams params;
  params.grid = grid;
  lay_out(scale, params);
  return params.merged;
}

Params make_params(const Plan& plan, int64_t batch, const std::vector<ScaleFeatures>& features, bool joined, const Options& options) {
  Params params = start(batch, options);
  if (features.empty() || features.size() % plan.scales.size() != 0) {
    refuse("Expected tile features of " + std::to_string(plan.scales.size()) + " scales for the plan but received " + std::to_string(features.size()));
  }
  const size_t outputs = features.size() / plan.scales.size();
  int64_t base = 0;
  for (size_t s = 0; s < features.size(); s++) {
    const Scale& scale = plan.scales[s / outputs];
    const ScaleFeatures& tile = features[s];
    check_features(tile);
    ScaleParams scale_params;
    scale_params.rows = scale.rows;
    scale_params.columns = scale.columns;
    scale_params.grid = tile.grid;
    scale_params.channels = tile.channels;
    scale_params.channel_offset = params.channels;
    scale_params.first_tile = static_cast<int64_t>(params.tiles.size());
    lay_out(scale, scale_params);
    params.channels = checked_sum("joined channels", params.channels, tile.channels);
    params.scales.push_back(std::move(scale_params));
    const int64_t tiles = checked_product("tile features", scale.rows, scale.columns, batch);
    const int64_t end = add_tiles(params, tile, tiles, joined ? 0 : static_cast<int64_t>(s), base);
    if (joined) base = end;
  }
  params.grid = params.scales[static_cast<size_t>(plan.output_index) * outputs].merged;
  check_output(params);
  return params;
}

Params make_sequence_params(const Plan& plan, const std::vector<ScaleFeatures>& features, const Options& options) {
  Scale tile;
  tile.rows = tile.columns = 1;
  tile.height = tile.tile_height = plan.scales.front().tile_height;
  tile.width = tile.tile_width = plan.scales.front().tile_width;
  Plan single;
  single.image = plan.image;
  single.scales.push_back(std::move(tile));
  return make_params(single, plan.tile_count(), features, true, options);
}

}  // namespace manyscale::pool
