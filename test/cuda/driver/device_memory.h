// The memory of one device, as the driver hands it out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

#include "scheduler.h"

namespace software_cuda {

// Thread-safe: a program allocates while a stream copies.
class DeviceMemory {
 public:
  explicit DeviceMemory(size_t capacity);
  ~DeviceMemory();

  uint64_t allocate(size_t bytes);  // 256-aligned; 0 when there is none
  void release(uint64_t address);
  uint64_t size_of(uint64_t address) const;     // of the allocation that begins there, else 0
  Range allocation_of(uint64_t address) const;  // that has this byte; empty when there is none
  bool contains(uint64_t address, size_t bytes) const;
  // Where the process may touch them; null unless one live allocation has all of them.
  std::byte* host_view(uint64_t address, size_t bytes) const;
  std::map<uint64_t, size_t> allocations() const;
  size_t used() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace software_cuda
