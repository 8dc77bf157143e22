#include "world.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace software_cuda {
namespace {

void write_report_at_exit() {
  const std::string path = World::get().settings.report;
  if (!path.empty()) software_cuda_write_report(path.c_str());
}

}  // namespace

Context*& current_context() {
  thread_local Context* current = nullptr;
  return current;
}

World::World()
    : settings(read_settings()), scheduler(mutex, settings.seed, settings.late, [this](Context& context, Result fault, const std::string& text) {
        context.failure = fault;
        statistics.counts.failed_contexts++;
        statistics.failures.push_back("device " + std::to_string(context.device) + ": error " + std::to_string(fault) + ": " + text);
      }) {
  for (int ordinal = 0; ordinal < settings.devices; ordinal++) {
    auto context = std::make_unique<Context>();
    context->device = ordinal;
    context->handle = context_handles.add(context.get());
    contexts.push_back(std::move(context));
  }
  if (!settings.error.empty()) statistics.misuse(settings.error);
}

World& World::get() {
  static World* const world = [] {
    auto* made = new World;  // leaked: other threads may call while the process ends
    std::atexit(write_report_at_exit);
    return made;
  }();
  return *world;
}

Context* World::owner_of(uint64_t address, uint64_t bytes) {
  for (const auto& context : contexts) {
    if (context->memory && context->memory->contains(address, bytes)) return context.get();
  }
  return nullptr;
}

bool World::is_pinned(const void* data, size_t bytes) const {
  const auto begin = reinterpret_cast<uint64_t>(data);
  auto block = pinned.upper_bound(begin);
  if (block == pinned.begin()) return false;
  --block;
  return begin + bytes <= block->first + block->second.bytes;
}

void World::destroy(std::unique_lock<std::mutex>& lock, Context& context) {
  scheduler.drain(lock, context);
  const auto of_it = [&context](const auto& object) { return object->context == &context; };
  for (const auto& [handle, stream] : streams.all()) {
    if (of_it(stream)) scheduler.remove(stream->queue);
  }
  scheduler.remove(context.default_queue);
  streams.remove_if(of_it);
  events.remove_if(of_it);
  modules.remove_if(of_it);
  functions.remove_if(of_it);
  statistics.counts.live_streams = streams.size();
  statistics.counts.live_events = events.size();
  statistics.counts.live_modules = modules.size();
  for (const auto& [address, bytes] : context.memory->allocations()) statistics.released(bytes);
  context.memory.reset();
  context.default_queue.reset();
  context.alive = false;
}

size_t available_bytes(const World& world, const Context& context) {
  const FaultSetting& fault = world.settings.out_of_memory;
  const int64_t size = fault.asked ? std::min(world.settings.memory, std::max<int64_t>(0, fault.first)) : world.settings.memory;
  const auto used = static_cast<int64_t>(context.memory->used());
  return static_cast<size_t>(std::max<int64_t>(0, size - used));
}

Call::Call(const char* name) : name_(name), world_(World::get()), lock_(world_.mutex) { world_.statistics.calls[name]++; }

Result Call::misuse(Result result, const std::string& text) {
  world_.statistics.misuse(std::string(name_) + ": " + text);
  return result;
}

Result Call::begin() { return world_.initialized ? kSuccess : misuse(kNotInitialized, "before cuInit"); }

Result Call::check(const Context& context) {
  if (!context.alive) return misuse(kInvalidContext, "in a context that was released");
  if (context.failure != kSuccess) {
    world_.statistics.counts.after_failure++;
    world_.statistics.after_failure[name_]++;
  }
  return context.failure;
}

Result Call::begin_in_context() {
  if (const Result result = begin()) return result;
  if (!current_context()) return misuse(kInvalidContext, "the calling thread has no current context");
  return check(*current_context());
}

// Null and 1 are the default stream.
Result Call::find_stream(StreamHandle handle, std::shared_ptr<Stream>& stream) {
  constexpr uint64_t kDefault = 1;
  if (reinterpret_cast<uint64_t>(handle) <= kDefault) {
    world_.statistics.counts.default_stream++;
    stream = std::make_shared<Stream>();
    stream->context = &context();
    stream->queue = context().default_queue;
    return kSuccess;
  }
  if (const Result result = find(world_.streams, handle, stream)) return result;
  return check(*stream->context);
}

MarkPtr Call::push(Stream& stream, Operation operation) {
  Context& owner = *stream.context;
  if (stream.queue == owner.default_queue) {
    for (const auto& [handle, other] : world_.streams.all()) {
      if (other->context == &owner && other->blocking) operation.after.push_back(other->queue->last);
    }
  } else if (stream.blocking) {
    operation.after.push_back(owner.default_queue->last);
  }
  return world_.scheduler.push(stream.queue, std::move(operation));
}

}  // namespace software_cuda
