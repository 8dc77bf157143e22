// One image on its way through the engine: which of its tiles are done, where their features lie, and what is left to pool.
// Guarded by the engine's mutex, apart from what prepare() makes: that is written once, before any tile is taken.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "core/error.h"
#include "engine/buffer_pool.h"
#include "engine/parts.h"
#include "engine/table_cache.h"
#include "engine/tile_queue.h"

namespace manyscale::engine {

class Client;

struct Timings {  // milliseconds; split and model are an image's share of its batches, summed over threads; the others are by the clock
  double queue = 0;
  double split = 0;
  double model = 0;
  double pool = 0;
  double total = 0;
};

// An image to be seen at several scales, every scale's tile being the model's.
struct ImageRequest {
  size_t batch_class = 0;  // as Engine::configure() gave it
  SplitRequest split;
  const void* pixels = nullptr;  // alive until done
  pool::Params pool;             // of joined features: an entry per group and output of the class, those of one group together
  bool sequence = false;         // pool is of all tiles one after another
  void* destination = nullptr;   // pool.output_bytes(), alive until done
  // Called once, on any thread, after which nothing of the request is touched.
  std::function<void(const std::optional<Error>&, const Timings&)> done;

  // Of tiles that are pooled at once: scales, or the one sequence.
  size_t groups() const { return sequence ? 1 : split.plan.scales.size(); }
};

// The features of one batch of tiles, as run_model() leaves them; it goes back to the pool when no image needs it any more.
using FeatureSlab = std::shared_ptr<const BufferPool::Lease>;

class Image : public QueuedImage, public std::enable_shared_from_this<Image> {
 public:
  Image(ImageRequest&& request, std::shared_ptr<Client> client);

  // Axis tables and targets: made on a worker, since neither is cheap for large images. Throws Error.
  void prepare(TableCache& tables);

  // The tile's features lie in this row of a slab of so many. True: it was the last tile of its scale, which can be pooled.
  bool store(int64_t tile, const FeatureSlab& slab, int64_t row, int64_t rows);

  // Pools a scale whose tiles are all there into its channels of the destination, and lets go of their features. Scales may
  // be pooled at once.
  void pool(size_t scale);
  void release_features() noexcept { scales_.clear(); }

  size_t scale_of(int64_t tile) const;  // that is pooled at once: of a sequence all tiles are
  const split::Params& split_params() const { return split_params_; }
  const split::TileTarget& target(int64_t tile) const { return targets_[static_cast<size_t>(tile)]; }

  ImageRequest request;
  std::shared_ptr<Client> client;
  int active = 0;              // workers that prepare, run or pool something of it
  size_t scales_left = 0;      // that are not pooled yet
  std::optional<Error> error;  // once set, no tile is taken any more
  Timings timings;
  const std::chrono::steady_clock::time_point submitted = std::chrono::steady_clock::now();

 private:
  struct ScaleState {
    std::vector<pool::Params> parts;  // of this scale alone, one per output
    std::vector<FeatureSlab> slabs;   // that its tiles' features lie in
    int64_t first = 0;                // tile
    int64_t tiles = 0;
    int64_t done = 0;
  };
  split::Params split_params_;  // without tiles: each batch names its own
  std::vector<split::TileTarget> targets_;
  std::vector<ScaleState> scales_;
};

}  // namespace manyscale::engine
