// pool: tile features + plan -> multi-scale features (merge, area average, join). Parameters, checked once in make_params
// and then trusted by every implementation.
#pragma once

#include <cstdint>
#include <vector>

#include "core/plan.h"
#include "ops/pool/blend.h"

namespace manyscale::pool {

enum class Layout {
  kTokens,      // 'bnc':  [n, prefix + grid height * grid width, channels]
  kFeatureMap,  // 'bchw': [n, channels, grid height, grid width]
};

// Elements of the output. Sources are float32, and so is every sum.
enum class OutputType { kFloat32, kFloat16 };
constexpr int64_t element_bytes(OutputType type) { return type == OutputType::kFloat16 ? 2 : 4; }

// What one of the model's outputs has for the tiles of one scale.
struct ScaleFeatures {
  Size grid;  // of one tile
  int64_t channels = 0;
};

struct ScaleParams {
  int64_t rows = 0;
  int64_t columns = 0;
  Size grid;  // of one tile
  int64_t channels = 0;
  int64_t channel_offset = 0;  // first channel in the joined features
  int64_t first_tile = 0;      // into tiles
  Size merged;                 // cells of all tiles together that are pooled: without those of zero padding, which come last
  // The first merged cell of each row and column of tiles; both empty where tiles do not overlap.
  std::vector<int64_t> tops;
  std::vector<int64_t> lefts;

  bool overlaps() const { return !tops.empty(); }
};

// Where the features of one tile start, after the dropped tokens.
struct TileSource {
  int64_t buffer = 0;  // index of the source
  int64_t offset = 0;  // elements from its start
};

struct Params {
  Layout input = Layout::kTokens;
  Layout output = Layout::kTokens;
  OutputType output_type = OutputType::kFloat32;
  Blend blend = Blend::kLinear;
  int64_t batch = 1;     // images
  int64_t prefix = 0;    // prefix tokens; 0 for feature maps
  int64_t dropped = 0;   // prefix tokens of the input that are left out, since a feature map has no place for them
  Size grid;             // of the output
  int64_t channels = 0;  // of the output: all scales' together
  std::vector<ScaleParams> scales;
  std::vector<TileSource> tiles;  // index: first_tile + (row * columns + column) * batch + image

  int64_t tile_elements(size_t scale) const {
    const ScaleParams& s = scales[scale];
    return (dropped + prefix + s.grid.height * s.grid.width) * s.channels;
  }
  int64_t output_elements() const { return batch * (prefix + grid.height * grid.width) * channels; }
  int64_t output_bytes() const { return output_elements() * element_bytes(output_type); }

  // The same output's channels of one scale: run with these parameters writes them and nothing else, so that scales can be
  // pooled one by one, in any order and at once.
  Params only(size_t scale) const;
};

// The grid of a scale whose tiles have `grid` cells each: without the cells of zero padding. Error kInvalidArgument when tiles overlap by other
// than whole cells.
Size merged_grid(const Scale& scale, Size grid);

struct Options {
  Layout input = Layout::kTokens;
  Layout output = Layout::kTokens;
  OutputType type = OutputType::kFloat32;
  Blend blend = Blend::kLinear;
  int64_t prefix = 0;        // tokens that come first in every tile; pooled to a feature map they are dropped
  bool drop_prefix = false;  // leave them out of tokens too
};

// `features` has one entry per scale of the plan and output of the model, those of one scale together; so are params.scales. The
// output has the merged grid that scale plan.output_index has in the first output. The tiles are those of dense batches, one buffer
// per entry (or, `joined`, one buffer for all in order); a caller with its own arrangement overwrites them. Error kInvalidArgument or kPlanTooLarge.
Params make_params(const Plan& plan, int64_t batch, const std::vector<ScaleFeatures>& features, bool joined, const Options& options);

// Of one image: tiles one after another in the plan's order instead of merged, [tiles, prefix + cells, channels] or [tiles, channels, height,
// width]. `features` has one entry per output, the same for every scale. They are the parameters of a batch of as many images of one tile. Errors
// as make_params.
Params make_sequence_params(const Plan& plan, const std::vector<ScaleFeatures>& features, const Options& options);

}  // namespace manyscale::pool
