// One batch of tiles, of one or many images: made, run through the model, and its features handed to the images.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/batch_policy.h"
#include "engine/buffer_pool.h"
#include "engine/image.h"
#include "runtime/session.h"

namespace manyscale::engine {

struct ModelConfiguration {
  size_t input = 0;   // index of the model's image input
  size_t output = 0;  // index of the output to take
  Size tile;
  int64_t fixed_batch = 0;  // that the model demands; 0: any
};

constexpr int64_t kImageChannels = 3;  // split makes them from every uint8 image

// How the tiles of one configuration are batched.
struct Batching {
  bool invariant = false;  // a tile's features were the same, bit by bit, alone and in every batch that was tried
  int64_t size = 1;        // largest batch
  bool fixed = false;      // every batch has exactly `size` rows
};

// What tiles must have in common to share a batch.
struct BatchClass {
  ModelConfiguration configuration;
  std::vector<int64_t> output_dims;  // of one tile, without the batch
  Batching batching;
  std::unique_ptr<BatchPolicy> policy;

  int64_t tile_pixels() const;    // floats
  int64_t tile_features() const;  // floats
  std::vector<int64_t> input_dims(int64_t rows) const;
  std::vector<int64_t> features_dims(int64_t rows) const;
};

struct BatchTimes {  // milliseconds
  double split = 0;
  double model = 0;
};

// Makes the tiles of `runs` at the start of a buffer for tiles, fills up to the rows of the class with zeros, and runs the model.
// Returns the features, row by row in the order of the runs. Throws Error.
FeatureSlab run_batch(runtime::Session& session, const BatchClass& batch_class, const std::vector<TileRun>& runs, BufferPool& buffers,
                      runtime::RunControl& control, BatchTimes& times);

}  // namespace manyscale::engine
