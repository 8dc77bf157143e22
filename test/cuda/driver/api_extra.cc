// What the library exports besides the driver's calls (software_cuda.h).
#include "software_cuda.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>

#include "world.h"

using namespace software_cuda;  // NOLINT: the file is the interface's

#define SOFTWARE_CUDA_EXTRA extern "C" __attribute__((visibility("default")))

SOFTWARE_CUDA_EXTRA void software_cuda_counts(SoftwareCudaCounts* counts, size_t size) {
  World& world = World::get();
  const std::lock_guard lock(world.mutex);
  world.statistics.counts.pending = world.scheduler.pending();
  std::memcpy(counts, &world.statistics.counts, std::min(size, sizeof *counts));
}

SOFTWARE_CUDA_EXTRA uint64_t software_cuda_launches(const char* kernel) {
  World& world = World::get();
  const std::lock_guard lock(world.mutex);
  const auto found = world.statistics.kernels.find(kernel);
  return found == world.statistics.kernels.end() ? 0 : found->second.launches;
}

SOFTWARE_CUDA_EXTRA const char* software_cuda_misuse(size_t index) {
  World& world = World::get();
  const std::lock_guard lock(world.mutex);
  const auto& misuses = world.statistics.misuses();
  return index < misuses.size() ? misuses[index].c_str() : nullptr;
}

SOFTWARE_CUDA_EXTRA void software_cuda_reset_counts() {
  World& world = World::get();
  const std::lock_guard lock(world.mutex);
  world.statistics.reset();
}

SOFTWARE_CUDA_EXTRA int software_cuda_write_report(const char* path) {
  World& world = World::get();
  std::string json;
  {
    const std::lock_guard lock(world.mutex);
    world.statistics.counts.pending = world.scheduler.pending();
    json = world.statistics.json(world.settings);
  }
  // Under another name first: who reads it finds all of it or nothing.
  const std::string unfinished = std::string(path) + ".tmp";
  std::FILE* file = std::fopen(unfinished.c_str(), "wb");
  if (!file) return 1;
  const bool written = std::fwrite(json.data(), 1, json.size(), file) == json.size();
  return (std::fclose(file) == 0 && written && std::rename(unfinished.c_str(), path) == 0) ? 0 : 1;
}

SOFTWARE_CUDA_EXTRA void* software_cuda_host_view(uint64_t address, size_t bytes) {
  World& world = World::get();
  const std::lock_guard lock(world.mutex);
  Context* owner = world.owner_of(address, bytes);
  return owner ? owner->memory->host_view(address, bytes) : nullptr;
}

SOFTWARE_CUDA_EXTRA int software_cuda_stream_alive(void* stream) {
  World& world = World::get();
  const std::lock_guard lock(world.mutex);
  return world.streams.find(stream) != nullptr;
}

SOFTWARE_CUDA_EXTRA int software_cuda_stream_device(void* stream) {
  World& world = World::get();
  const std::lock_guard lock(world.mutex);
  const auto* found = world.streams.find(stream);
  return found ? (*found)->context->device : -1;
}

SOFTWARE_CUDA_EXTRA int software_cuda_address_device(uint64_t address, size_t bytes) {
  World& world = World::get();
  const std::lock_guard lock(world.mutex);
  const Context* owner = world.owner_of(address, bytes);
  return owner ? owner->device : -1;
}

SOFTWARE_CUDA_EXTRA int software_cuda_enqueue_host(void* handle, SoftwareCudaHostFunction function, void* data) {
  Call call("software_cuda_enqueue_host");
  std::shared_ptr<Stream> stream;
  if (const Result result = call.begin()) return result;
  if (const Result result = call.find(call.world().streams, handle, stream)) return result;
  if (const Result result = call.check(*stream->context)) return result;
  call.world().statistics.counts.host_operations++;
  Operation operation;
  operation.what = "a host function";
  operation.step = [function, data] { return function(data, 0), Step{}; };
  operation.drop = [function, data] { function(data, 1); };
  call.push(*stream, std::move(operation));
  return kSuccess;
}

SOFTWARE_CUDA_EXTRA int software_cuda_enqueue_fault(void* handle, int error) {
  Call call("software_cuda_enqueue_fault");
  std::shared_ptr<Stream> stream;
  if (const Result result = call.find(call.world().streams, handle, stream)) return result;
  if (const Result result = call.check(*stream->context)) return result;
  Operation operation;
  operation.what = "a fault";
  operation.step = [error] { return Step{true, static_cast<Result>(error), "a fault that was asked for on a stream"}; };
  call.push(*stream, std::move(operation));
  return kSuccess;
}

SOFTWARE_CUDA_EXTRA int software_cuda_synchronize(void* handle) {
  Call call("software_cuda_synchronize");
  std::shared_ptr<Stream> stream;
  if (const Result result = call.find(call.world().streams, handle, stream)) return result;
  call.world().scheduler.wait(call.lock(), stream->queue->last);
  return call.check(*stream->context);
}

SOFTWARE_CUDA_EXTRA void software_cuda_set_seed(uint64_t seed) {
  World& world = World::get();
  const std::lock_guard lock(world.mutex);
  world.settings.seed = seed;
  world.scheduler.set_seed(seed);
}
