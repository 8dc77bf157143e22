#include "engine/parts.h"

#include <cstring>
#include <string>
#include <utility>

#include "core/checked.h"
#include "device/cpu/cpu_backend.h"
#include "device/cpu/memory.h"
#include "engine/buffer_pool.h"
#include "engine/table_cache.h"
#include "ops/pool/pool.h"
#include "ops/split/split.h"

namespace manyscale::engine {
namespace {

// Fresh memory of an image's size costs more than the copy: the system clears every page of it.
BufferPool& copies() {
  static auto* const pool = new BufferPool(cpu::cpu_backend());  // leaked, as the executor
  return *pool;
}

// Of the shapes that were split last, whoever asked.
TableCache& tables() {
  static auto* const cache = new TableCache;  // leaked, as the executor
  return *cache;
}

}  // namespace

std::vector<int64_t> split_elements(const SplitRequest& request) {
  if (request.joined && !request.plan.same_tile_shape()) {
    throw Error(ErrorCode::kInvalidArgument, "Expected scales of one tile shape for a joined tile batch but received several; make one batch per scale");
  }
  const int64_t channels = request.source.type == split::PixelType::kUint8 ? 3 : request.source.channels;
  std::vector<int64_t> elements;
  for (const Scale& scale : request.plan.scales) {
    const int64_t count = checked_product("a tile batch", request.source.batch, channels, scale.rows, scale.columns, scale.tile_height, scale.tile_width);
    checked_product("a tile batch's bytes", count, 4);
    if (request.joined && !elements.empty()) {
      elements[0] = checked_sum("a tile batch", elements[0], count);
    } else {
      elements.push_back(count);
    }
  }
  return elements;
}

void split_all(const SplitRequest& request, const void* pixels, const std::vector<float*>& destinations) {
  split::Params params =
      split::make_params(request.source, request.plan, request.crop, request.preprocess, tables().get(request.plan, request.crop, request.preprocess.resize));
  params.tiles = split::all_tiles(params, request.joined);
  std::vector<Buffer> buffers;
  for (size_t s = 0; s < params.scales.size(); s++) buffers.push_back(host_buffer(destinations[request.joined ? 0 : s]));
  split::run(params, cpu::cpu_backend(), host_buffer(pixels), buffers);
}

pool::Params pool_params(const PoolRequest& request) {
  if (request.sequence) return pool::make_sequence_params(request.plan, request.features, request.options);
  return pool::make_params(request.plan, request.batch, request.features, request.joined, request.options);
}

Size merged_grid(const Scale& scale, Size grid) { return pool::merged_grid(scale, grid); }

std::vector<int64_t> pool_source_elements(const pool::Params& params, bool joined) {
  std::vector<int64_t> elements;
  for (size_t s = 0; s < params.scales.size(); s++) {
    const int64_t count = checked_product("tile features", params.scales[s].rows, params.scales[s].columns, params.batch, params.tile_elements(s));
    if (joined && !elements.empty()) {
      elements[0] = checked_sum("tile features", elements[0], count);
    } else {
      elements.push_back(count);
    }
  }
  return elements;
}

void pool_all(const pool::Params& params, const std::vector<const float*>& sources, float* destination) {
  std::vector<Buffer> buffers;
  for (const float* source : sources) buffers.push_back(host_buffer(source));
  pool::run(params, cpu::cpu_backend(), buffers, host_buffer(destination));
}

const char* split_kernel_isa() { return split::kernel_isa(); }
const char* pool_kernel_isa() { return pool::kernel_isa(); }
void submit_task(std::function<void()> task, Priority priority) { cpu::Executor::instance().submit(std::move(task), priority); }

std::shared_ptr<void> copy_of(const void* data, size_t bytes) {
  const auto lease = std::make_shared<BufferPool::Lease>(copies().take(bytes));
  std::memcpy(host_pointer<void>(lease->buffer()), data, bytes);
  return {lease, host_pointer<void>(lease->buffer())};
}

void return_free_memory() noexcept {
  copies().trim();
  tables().clear();
  cpu::return_free_memory();
}
int executor_threads() { return cpu::cpu_backend().concurrency(); }

}  // namespace manyscale::engine
