#include "engine/batch.h"

#include <chrono>
#include <cstddef>
#include <cstring>
#include <string>

#include "core/checked.h"
#include "core/half.h"
#include "device/cpu/cpu_backend.h"
#include "ops/split/split.h"

namespace manyscale::engine {
namespace {

using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point start) { return std::chrono::duration<double, std::milli>(Clock::now() - start).count(); }

std::vector<int64_t> with_batch(int64_t rows, const std::vector<int64_t>& dims) {
  std::vector<int64_t> all{rows};
  all.insert(all.end(), dims.begin(), dims.end());
  return all;
}

size_t bytes_of(const char* what, int64_t rows, int64_t elements, int64_t element_bytes) {
  return static_cast<size_t>(checked_product(what, rows, elements, element_bytes));
}

split::TileType tile_type(const runtime::ValueInfo& input) {
  switch (input.type) {
    case runtime::ElementType::kFloat32: return split::TileType::kFloat32;
    case runtime::ElementType::kFloat16: return split::TileType::kFloat16;
    case runtime::ElementType::kUint8: return split::TileType::kUint8;
    default: break;
  }
  throw Error(ErrorCode::kModelShape, "Expected float32, float16 or uint8 for the model's input '" + input.name + "' but received " +
                                          runtime::element_type_name(input.type) + "; export the model with one of those");
}

const runtime::ValueInfo& value_at(const std::vector<runtime::ValueInfo>& values, size_t index, const char* what) {
  if (index < values.size()) return values[index];
  throw Error(ErrorCode::kInvalidArgument,
              "Expected an index below " + std::to_string(values.size()) + " for " + what + " but received " + std::to_string(index));
}

// Writes `count` tiles from `first` on one behind another.
void split_tiles(const Image& image, int64_t first, int64_t count, float* tiles, int64_t tile_elements) {
  split::Params params = image.split_params();
  for (int64_t i = 0; i < count; i++) {
    params.tiles.push_back(image.target(first + i));
    params.tiles.back().offset = i * tile_elements;
  }
  split::run(params, cpu::cpu_backend(), host_buffer(image.request.pixels), std::vector<Buffer>(params.scales.size(), host_buffer(tiles)));
}

// Fills `tiles`, which has room for `rows`, in the format that the model takes.
void make_tiles(const BatchInput& input, const std::vector<TileRun>& runs, int64_t rows, std::byte* tiles, BufferPool& buffers) {
  const int64_t elements = input.tile_elements();
  const int64_t tile_bytes = input.bytes(1);
  int64_t row = 0;
  BufferPool::Lease plain;  // one tile as split makes it
  if (!input.format.is_plain()) plain = buffers.take(bytes_of("a tile's bytes", 1, elements, sizeof(float)));
  for (const TileRun& run : runs) {
    const auto& image = static_cast<const Image&>(*run.image);
    if (!plain) {
      split_tiles(image, run.first, run.count, reinterpret_cast<float*>(tiles + row * tile_bytes), elements);
    } else {
      float* const planes = host_pointer<float>(plain.buffer());
      for (int64_t i = 0; i < run.count; i++) {
        split_tiles(image, run.first + i, 1, planes, elements);
        split::convert_tile(input.format, planes, kImageChannels, elements / kImageChannels, tiles + (row + i) * tile_bytes);
      }
    }
    row += run.count;
  }
  std::memset(tiles + row * tile_bytes, 0, static_cast<size_t>((rows - row) * tile_bytes));
}

}  // namespace

BatchInput::BatchInput(const runtime::Session& session, const ModelConfiguration& configuration)
    : tile(configuration.tile), format{tile_type(value_at(session.inputs(), configuration.input, "a model's input")), configuration.layout} {}

int64_t BatchInput::tile_elements() const { return checked_product("a tile", kImageChannels, tile.height, tile.width); }
int64_t BatchInput::bytes(int64_t rows) const { return checked_product("a tile batch's bytes", rows, tile_elements(), split::element_bytes(format.type)); }

std::vector<int64_t> BatchInput::dims(int64_t rows) const {
  if (format.layout == split::TileLayout::kNhwc) return {rows, tile.height, tile.width, kImageChannels};
  return {rows, kImageChannels, tile.height, tile.width};
}

int64_t BatchOutput::elements() const {
  int64_t elements = 1;
  for (const int64_t dim : dims) elements = checked_product("a tile's features", elements, dim);
  return elements;
}

BatchClass::BatchClass(const runtime::Session& session, const ModelConfiguration& c, const std::vector<std::vector<int64_t>>& output_dims)
    : configuration(c), input(session, c) {
  if (c.outputs.empty() || c.outputs.size() != output_dims.size()) {
    throw Error(ErrorCode::kInvalidArgument, "Expected at least one of the model's outputs, and dims of each, but received " +
                                                 std::to_string(c.outputs.size()) + " and " + std::to_string(output_dims.size()));
  }
  for (size_t i = 0; i < c.outputs.size(); i++) {
    const runtime::ValueInfo& output = value_at(session.outputs(), c.outputs[i], "a model's output");
    outputs.push_back({output_dims[i], output.type == runtime::ElementType::kFloat16});
  }
}

int64_t BatchClass::tile_features() const {
  int64_t elements = 0;
  for (const BatchOutput& output : outputs) elements = checked_sum("a tile's features", elements, output.elements());
  return elements;
}

BufferPool::Lease run_model(runtime::Session& session, const BatchClass& batch_class, int64_t rows, const void* tiles, BufferPool& buffers,
                            runtime::RunControl* control) {
  BufferPool::Lease features = buffers.take(bytes_of("a batch's features", rows, batch_class.tile_features(), sizeof(float)));
  struct Halves {
    BufferPool::Lease lease;
    int64_t count;
    float* floats;
  };
  std::vector<Halves> halves;
  std::vector<runtime::OutputMemory> results;
  float* floats = host_pointer<float>(features.buffer());
  for (size_t i = 0; i < batch_class.outputs.size(); i++) {
    const BatchOutput& output = batch_class.outputs[i];
    const int64_t count = rows * output.elements();
    void* data = floats;
    if (output.is_half) {
      halves.push_back({buffers.take(bytes_of("a batch's features", rows, output.elements(), sizeof(uint16_t))), count, floats});
      data = host_pointer<void>(halves.back().lease.buffer());
    }
    results.push_back({batch_class.configuration.outputs[i], data, with_batch(rows, output.dims)});
    floats += count;
  }
  session.run(batch_class.configuration.input, tiles, batch_class.input.dims(rows), results, control);
  for (const Halves& part : halves) {
    const auto* const values = host_pointer<const uint16_t>(part.lease.buffer());
    for (int64_t i = 0; i < part.count; i++) part.floats[i] = from_half(values[i]);
  }
  return features;
}

FeatureSlab run_batch(runtime::Session& session, const BatchClass& batch_class, const std::vector<TileRun>& runs, BufferPool& buffers,
                      runtime::RunControl& control, BatchTimes& times) {
  int64_t count = 0;
  for (const TileRun& run : runs) count += run.count;
  const int64_t rows = batch_class.batching.fixed ? batch_class.batching.size : count;

  Clock::time_point start = Clock::now();
  const BufferPool::Lease tiles = buffers.take(static_cast<size_t>(batch_class.input.bytes(rows)));
  make_tiles(batch_class.input, runs, rows, host_pointer<std::byte>(tiles.buffer()), buffers);
  times.split += milliseconds_since(start);

  start = Clock::now();
  auto features = std::make_shared<const BufferPool::Lease>(run_model(session, batch_class, rows, host_pointer<void>(tiles.buffer()), buffers, &control));
  times.model += milliseconds_since(start);
  return features;
}

}  // namespace manyscale::engine
