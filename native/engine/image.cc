#include "engine/image.h"

#include <utility>

#include "device/cpu/cpu_backend.h"
#include "ops/pool/pool.h"

namespace manyscale::engine {

Image::Image(ImageRequest&& r, std::shared_ptr<Client> c) : request(std::move(r)), client(std::move(c)) {
  tiles = request.split.plan.tile_count();
  batch_class = request.batch_class;
}

void Image::prepare(TableCache& tables) {
  const SplitRequest& split = request.split;
  split_params_ = split::make_params(split.source, split.plan, split.crop, split.preprocess, tables.get(split.plan, split.crop, split.preprocess.resize));
  targets_ = split::all_tiles(split_params_, /*joined=*/true);
  const size_t groups = request.groups();
  const size_t outputs = request.pool.scales.size() / groups;
  int64_t first = 0;
  for (size_t s = 0; s < groups; s++) {
    const int64_t count = request.sequence ? tiles : split.plan.scales[s].tile_count();
    scales_.push_back({{}, {}, first, count, 0});
    for (size_t i = 0; i < outputs; i++) scales_.back().parts.push_back(request.pool.only(s * outputs + i));
    first += count;
  }
  scales_left = scales_.size();
}

size_t Image::scale_of(int64_t tile) const { return request.sequence ? 0 : static_cast<size_t>(target(tile).scale); }

bool Image::store(int64_t tile, const FeatureSlab& slab, int64_t row, int64_t rows) {
  ScaleState& scale = scales_[scale_of(tile)];
  if (scale.slabs.empty() || scale.slabs.back() != slab) scale.slabs.push_back(slab);
  int64_t start = 0;  // of the output in the slab
  for (pool::Params& part : scale.parts) {
    const int64_t elements = part.tile_elements(0);
    const int64_t dropped = part.dropped * part.scales[0].channels;
    part.tiles[static_cast<size_t>(tile - scale.first)] = {static_cast<int64_t>(scale.slabs.size()) - 1, start + row * elements + dropped};
    start += rows * elements;
  }
  return ++scale.done == scale.tiles;
}

void Image::pool(size_t index) {
  ScaleState& scale = scales_[index];
  std::vector<Buffer> sources;
  for (const FeatureSlab& slab : scale.slabs) sources.push_back(slab->buffer());
  for (const pool::Params& part : scale.parts) pool::run(part, cpu::cpu_backend(), sources, host_buffer(request.destination));
  scale.slabs.clear();
}

}  // namespace manyscale::engine
