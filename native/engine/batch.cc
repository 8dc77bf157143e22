#include "engine/batch.h"

#include <chrono>
#include <cstring>

#include "core/checked.h"
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

size_t bytes_of(const char* what, int64_t rows, int64_t elements) { return static_cast<size_t>(checked_product(what, rows, elements, int64_t{sizeof(float)})); }

// Writes the run's tiles one behind another.
void split_run(const TileRun& run, float* tiles, int64_t tile_pixels) {
  const auto& image = static_cast<const Image&>(*run.image);
  split::Params params = image.split_params();
  for (int64_t i = 0; i < run.count; i++) {
    params.tiles.push_back(image.target(run.first + i));
    params.tiles.back().offset = i * tile_pixels;
  }
  split::run(params, cpu::cpu_backend(), host_buffer(image.request.pixels), std::vector<Buffer>(params.scales.size(), host_buffer(tiles)));
}

}  // namespace

int64_t BatchClass::tile_pixels() const { return checked_product("a tile", kImageChannels, configuration.tile.height, configuration.tile.width); }

int64_t BatchClass::tile_features() const {
  int64_t elements = 1;
  for (const int64_t dim : output_dims) elements = checked_product("a tile's features", elements, dim);
  return elements;
}

std::vector<int64_t> BatchClass::input_dims(int64_t rows) const { return {rows, kImageChannels, configuration.tile.height, configuration.tile.width}; }
std::vector<int64_t> BatchClass::features_dims(int64_t rows) const { return with_batch(rows, output_dims); }

FeatureSlab run_batch(runtime::Session& session, const BatchClass& batch_class, const std::vector<TileRun>& runs, BufferPool& buffers,
                      runtime::RunControl& control, BatchTimes& times) {
  int64_t tiles = 0;
  for (const TileRun& run : runs) tiles += run.count;
  const int64_t rows = batch_class.batching.fixed ? batch_class.batching.size : tiles;
  const int64_t tile_pixels = batch_class.tile_pixels();

  Clock::time_point start = Clock::now();
  const BufferPool::Lease input = buffers.take(bytes_of("a tile batch's bytes", rows, tile_pixels));
  float* const pixels = host_pointer<float>(input.buffer());
  int64_t row = 0;
  for (const TileRun& run : runs) {
    split_run(run, pixels + row * tile_pixels, tile_pixels);
    row += run.count;
  }
  std::memset(pixels + row * tile_pixels, 0, static_cast<size_t>((rows - row) * tile_pixels) * sizeof(float));
  times.split += milliseconds_since(start);

  start = Clock::now();
  auto features = std::make_shared<const BufferPool::Lease>(buffers.take(bytes_of("a batch's features", rows, batch_class.tile_features())));
  const ModelConfiguration& configuration = batch_class.configuration;
  session.run(configuration.input, pixels, batch_class.input_dims(rows), configuration.output, host_pointer<float>(features->buffer()),
              batch_class.features_dims(rows), &control);
  times.model += milliseconds_since(start);
  return features;
}

}  // namespace manyscale::engine
