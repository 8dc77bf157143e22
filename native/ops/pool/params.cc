#include "ops/pool/params.h"

#include <string>

#include "core/checked.h"

namespace manyscale::pool {

Params Params::only(size_t scale) const {
  Params part = *this;
  const ScaleParams& s = scales[scale];
  const auto begin = tiles.begin() + s.first_tile;
  part.tiles.assign(begin, begin + s.rows * s.columns * batch);
  part.scales.assign(1, s);
  part.scales[0].first_tile = 0;
  return part;
}

Params make_params(const Plan& plan, int64_t batch, Layout input, Layout output, int64_t prefix, const std::vector<ScaleFeatures>& features, bool joined,
                   OutputType type) {
  const auto refuse = [](const std::string& message) { throw Error(ErrorCode::kInvalidArgument, message); };
  if (batch < 1) refuse("Expected at least 1 image for pool but received " + std::to_string(batch));
  if (prefix < 0) refuse("Expected 0 or more for numPrefixTokens but received " + std::to_string(prefix));
  if (prefix > 0 && input == Layout::kFeatureMap) refuse("Expected 0 for numPrefixTokens of feature maps but received " + std::to_string(prefix));
  if (features.empty() || features.size() % plan.scales.size() != 0) {
    refuse("Expected tile features of " + std::to_string(plan.scales.size()) + " scales for the plan but received " + std::to_string(features.size()));
  }
  const size_t outputs = features.size() / plan.scales.size();
  Params params;
  params.input = input;
  params.output = output;
  params.output_type = type;
  params.batch = batch;
  params.prefix = output == Layout::kTokens ? prefix : 0;
  params.dropped = prefix - params.prefix;
  int64_t base = 0;
  for (size_t s = 0; s < features.size(); s++) {
    const Scale& scale = plan.scales[s / outputs];
    const ScaleFeatures& tile = features[s];
    if (tile.grid.height < 1 || tile.grid.width < 1 || tile.channels < 1) {
      refuse("Expected a grid of at least 1 x 1 and 1 channel for every scale but received " + to_string(tile.grid) + " and " + std::to_string(tile.channels));
    }
    ScaleParams scale_params;
    scale_params.rows = scale.rows;
    scale_params.columns = scale.columns;
    scale_params.grid = tile.grid;
    scale_params.channels = tile.channels;
    scale_params.channel_offset = params.channels;
    scale_params.first_tile = static_cast<int64_t>(params.tiles.size());
    checked_product("merged features", scale.rows, tile.grid.height, scale.columns, tile.grid.width);
    params.channels = checked_sum("joined channels", params.channels, tile.channels);
    params.scales.push_back(scale_params);
    const int64_t tokens = checked_sum("a tile's tokens", prefix, checked_product("a tile's tokens", tile.grid.height, tile.grid.width));
    const int64_t elements = checked_product("a tile's features", tokens, tile.channels);
    const int64_t tiles = checked_product("tile features", scale.rows, scale.columns, batch);
    checked_product("tile features' bytes", tiles, elements, 4);
    const int64_t end = checked_sum("tile features", base, tiles * elements);
    check_tile_count(checked_sum("tile features", scale_params.first_tile, tiles));
    for (int64_t i = 0; i < tiles; i++) {
      params.tiles.push_back({joined ? 0 : static_cast<int64_t>(s), base + i * elements + params.dropped * tile.channels});
    }
    if (joined) base = end;
  }
  params.grid = params.scales[static_cast<size_t>(plan.output_index) * outputs].merged();
  const int64_t cells = checked_sum("output tokens", params.prefix, checked_product("output tokens", params.grid.height, params.grid.width));
  checked_product("output bytes", batch, cells, params.channels, 4);
  for (const ScaleParams& scale : params.scales) {  // the ends of bins are computed as such products
    checked_product("pooling bins", scale.merged().height, params.grid.height + 1);
    checked_product("pooling bins", scale.merged().width, params.grid.width + 1);
  }
  return params;
}

}  // namespace manyscale::pool
