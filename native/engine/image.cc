#include "engine/image.h"

#include <utility>

#include "device/cpu/cpu_backend.h"
#include "ops/pool/pool.h"

namespace manyscale::engine {

Image::Image(ImageRequest&& r, std::shared_ptr<Client> c) : request(std::move(r)), client(std::move(c)) {
  tiles = request.split.plan.tile_count();
  batch_class = request.batch_class;
  tile_features_ = request.pool.tile_elements(0);
}

void Image::prepare(TableCache& tables) {
  const SplitRequest& split = request.split;
  split_params_ = split::make_params(split.source, split.plan, split.crop, split.preprocess, tables.get(split.plan, split.crop, split.preprocess.resize));
  targets_ = split::all_tiles(split_params_, /*joined=*/true);
  dropped_ = request.pool.dropped * request.pool.scales[0].channels;
  int64_t first = 0;
  if (request.sequence) scales_.push_back({request.pool, {}, 0, tiles, 0});
  for (size_t s = 0; !request.sequence && s < split.plan.scales.size(); s++) {
    const int64_t count = split.plan.scales[s].tile_count();
    scales_.push_back({request.pool.only(s), {}, first, count, 0});
    first += count;
  }
  scales_left = scales_.size();
}

size_t Image::scale_of(int64_t tile) const { return request.sequence ? 0 : static_cast<size_t>(target(tile).scale); }

bool Image::store(int64_t tile, const FeatureSlab& slab, int64_t element) {
  ScaleState& scale = scales_[scale_of(tile)];
  if (scale.slabs.empty() || scale.slabs.back() != slab) scale.slabs.push_back(slab);
  scale.pool.tiles[static_cast<size_t>(tile - scale.first)] = {static_cast<int64_t>(scale.slabs.size()) - 1, element + dropped_};
  return ++scale.done == scale.tiles;
}

void Image::pool(size_t index) {
  ScaleState& scale = scales_[index];
  std::vector<Buffer> sources;
  for (const FeatureSlab& slab : scale.slabs) sources.push_back(slab->buffer());
  pool::run(scale.pool, cpu::cpu_backend(), sources, host_buffer(request.destination));
  scale.slabs.clear();
}

}  // namespace manyscale::engine
