// What a device offers to the operations. device/cpu implements it; another device implements the same.
// Operations hold no raw pointers: a buffer is a handle and an offset, and only the device turns it into an address.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace manyscale {

enum class DeviceKind { kCpu, kCuda };

struct Buffer {
  uintptr_t handle = 0;  // an address in the device's own memory
  size_t offset = 0;     // bytes

  Buffer at(size_t bytes) const { return {handle, offset + bytes}; }
};

// Calls a function object that outlives the call; no allocation, no ownership.
class TaskBody {
 public:
  template <typename F, typename = std::enable_if_t<!std::is_same_v<std::decay_t<F>, TaskBody>>>
  TaskBody(F&& body)  // NOLINT(google-explicit-constructor): it stands in a parameter list, as a lambda
      : object_(const_cast<void*>(static_cast<const void*>(&body))),
        call_([](void* object, int64_t index) { (*static_cast<std::remove_reference_t<F>*>(object))(index); }) {}
  void operator()(int64_t index) const { call_(object_, index); }

 private:
  void* object_;
  void (*call_)(void*, int64_t);
};

// A kernel launch in full, made by ops/X/launch.cc without a device at hand.
struct Launch {
  std::string kernel;
  std::array<uint32_t, 3> grid{1, 1, 1};
  std::array<uint32_t, 3> block{1, 1, 1};
  uint32_t shared_bytes = 0;
  std::vector<std::byte> arguments;
};

enum class CopyDirection { kToDevice, kToHost, kOnDevice };

class Backend {
 public:
  virtual ~Backend() = default;
  virtual DeviceKind kind() const noexcept = 0;
  virtual int concurrency() const = 0;  // how many bodies parallel_for can run at once

  virtual Buffer allocate(size_t bytes) = 0;  // aligned to 64 bytes; Error kOutOfMemory
  virtual void release(Buffer buffer) noexcept = 0;
  virtual void copy(Buffer to, Buffer from, size_t bytes, CopyDirection direction) = 0;

  // body(0) .. body(count - 1), each once, on any threads, done on return. A body must not throw or block.
  virtual void parallel_for(int64_t count, TaskBody body) = 0;
  virtual void launch(const Launch& launch) = 0;  // Error kDeviceUnavailable on a device without kernels

  using Event = uint64_t;
  virtual Event record() = 0;  // everything asked for so far
  virtual void wait(Event event) = 0;
};

// Memory of the process seen as a buffer of a device that shares it (the CPU).
inline Buffer host_buffer(const void* data) { return {reinterpret_cast<uintptr_t>(data), 0}; }
template <typename T>
T* host_pointer(Buffer buffer) {
  return reinterpret_cast<T*>(buffer.handle + buffer.offset);
}

}  // namespace manyscale
