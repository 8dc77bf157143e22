// One batch of tiles, of one or many images: made, run through the model, and its features handed to the images.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/batch_policy.h"
#include "engine/buffer_pool.h"
#include "engine/image.h"
#include "ops/split/tile_format.h"
#include "runtime/session.h"

namespace manyscale::engine {

struct ModelConfiguration {
  size_t input = 0;             // index of the model's image input
  std::vector<size_t> outputs;  // indices of the outputs to take
  Size tile;
  int64_t fixed_batch = 0;  // that the model demands; 0: any
  split::TileLayout layout = split::TileLayout::kNchw;

  friend bool operator==(const ModelConfiguration& a, const ModelConfiguration& b) {
    return a.input == b.input && a.outputs == b.outputs && a.tile == b.tile && a.fixed_batch == b.fixed_batch && a.layout == b.layout;
  }
};

// The tiles that a configuration gives to the model.
struct BatchInput {
  // Error kInvalidArgument for an input that the model has not, kModelShape for a type that tiles cannot have.
  BatchInput(const runtime::Session& session, const ModelConfiguration& configuration);

  Size tile;
  split::TileFormat format;

  int64_t tile_elements() const;
  int64_t bytes(int64_t rows) const;
  std::vector<int64_t> dims(int64_t rows) const;
};

// What one of the model's outputs gives for a tile.
struct BatchOutput {
  std::vector<int64_t> dims;  // without the batch
  bool is_half = false;       // float16; otherwise float32

  int64_t elements() const;
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
  // `output_dims`: of each output of the configuration, for one tile, without the batch. Error kInvalidArgument.
  BatchClass(const runtime::Session& session, const ModelConfiguration& configuration, const std::vector<std::vector<int64_t>>& output_dims);

  ModelConfiguration configuration;
  BatchInput input;
  std::vector<BatchOutput> outputs;  // of the configuration, in its order
  Batching batching;
  std::unique_ptr<BatchPolicy> policy;

  int64_t tile_features() const;  // floats, of all outputs
};

struct BatchTimes {  // milliseconds
  double split = 0;
  double model = 0;
};

// Runs the model on `rows` tiles of the class's format, and returns what it gives as float32: [rows, features of a tile] of
// the first output, then of the second, and so on. Throws Error.
BufferPool::Lease run_model(runtime::Session& session, const BatchClass& batch_class, int64_t rows, const void* tiles, BufferPool& buffers,
                            runtime::RunControl* control);

// Makes the tiles of `runs` at the start of a buffer for tiles, fills up to the rows of the class with zeros, and runs the model.
// Its features stand in the order of the runs. Throws Error.
FeatureSlab run_batch(runtime::Session& session, const BatchClass& batch_class, const std::vector<TileRun>& runs, BufferPool& buffers,
                      runtime::RunControl& control, BatchTimes& times);

}  // namespace manyscale::engine
