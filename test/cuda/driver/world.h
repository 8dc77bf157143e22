// All that the stand-in knows: devices, their primary contexts, and the objects behind handles. One mutex guards it.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "code.h"
#include "cuda_api.h"
#include "device_memory.h"
#include "handles.h"
#include "scheduler.h"
#include "settings.h"
#include "statistics.h"

namespace software_cuda {

// A device's primary context. It lives as long as the process, so that it can be named after it was released; `alive` says the rest.
struct Context {
  int device = 0;
  int references = 0;
  bool alive = false;
  Result failure = kSuccess;  // sticky
  uint64_t handle = 0;
  std::unique_ptr<DeviceMemory> memory;
  QueuePtr default_queue;
};

struct Stream {
  Context* context = nullptr;
  QueuePtr queue;
  bool blocking = true;  // with respect to the default stream
};

struct Event {
  Context* context = nullptr;
  MarkPtr recorded;  // null: never recorded
};

struct LoadedModule {
  Context* context = nullptr;
  std::shared_ptr<const Code> code;
  std::map<std::string, int> registers;
  std::map<std::string, uint64_t> functions;  // handles
};

struct Function {
  Context* context = nullptr;
  std::shared_ptr<const Code> code;
  const KernelFacts* facts = nullptr;
  std::string name;
  int registers = 0;
  int dynamic_shared = 0;  // the attribute
};

struct PinnedBlock {
  size_t bytes = 0;
  Context* context = nullptr;
};

struct World {
  World();
  static World& get();

  std::mutex mutex;
  Settings settings;
  Statistics statistics;
  bool initialized = false;
  Scheduler scheduler;
  std::vector<std::unique_ptr<Context>> contexts;  // by device
  Handles<Context*> context_handles{1, "context"};
  Handles<std::shared_ptr<Stream>> streams{2, "stream"};
  Handles<std::shared_ptr<Event>> events{3, "event"};
  Handles<std::shared_ptr<LoadedModule>> modules{4, "module"};
  Handles<std::shared_ptr<Function>> functions{5, "function"};
  std::map<uint64_t, PinnedBlock> pinned;  // by address
  uint64_t launches = 0;                   // for the nth that faults
  uint64_t allocations = 0;
  uint64_t pins = 0;

  // The context whose memory an address lies in, null when no live allocation has all of the bytes.
  Context* owner_of(uint64_t address, uint64_t bytes);
  bool is_pinned(const void* data, size_t bytes) const;
  void destroy(std::unique_lock<std::mutex>& lock, Context& context);
};

// Bytes that a context can still allocate, as the device's size and the faults that were asked for have it.
size_t available_bytes(const World& world, const Context& context);

// The context that the calling thread works in, null without one.
Context*& current_context();

// What a call of the driver returns: body(world, lock) or the error that stands before it.
class Call {
 public:
  explicit Call(const char* name);  // counts it

  World& world() { return world_; }
  std::unique_lock<std::mutex>& lock() { return lock_; }
  Result misuse(Result result, const std::string& text);

  // The driver is initialised.
  Result begin();
  // And the thread has a context that works.
  Result begin_in_context();
  Context& context() { return *current_context(); }
  // That of an object which need not be of the current context.
  Result check(const Context& context);
  Result find_stream(StreamHandle handle, std::shared_ptr<Stream>& stream);
  template <typename T>
  Result find(Handles<T>& handles, Handle handle, T& object) {
    if (const T* found = handles.find(handle)) {
      object = *found;
      return kSuccess;
    }
    return misuse(kInvalidHandle, handles.describe(handle));
  }
  // Asks a stream for something, in the order that the default stream imposes.
  MarkPtr push(Stream& stream, Operation operation);

 private:
  const char* name_;
  World& world_;
  std::unique_lock<std::mutex> lock_;
};

}  // namespace software_cuda
