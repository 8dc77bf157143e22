// One GPU: its primary context, shared with others in the process, its memory and its kernels.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/backend.h"
#include "device/cuda/driver.h"

namespace manyscale::cuda {

class Stream;

// Host memory that copies of every device may use: what is asked for with it runs while the host goes on.
class PinnedMemory {
 public:
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;
  ~PinnedMemory();  // no copy may be pending
  std::byte* data() const noexcept { return data_; }
  size_t bytes() const noexcept { return bytes_; }
  Buffer buffer() const noexcept { return host_buffer(data_); }

 private:
  friend class Device;
  PinnedMemory(class Device& device, std::byte* data, size_t bytes) : device_(device), data_(data), bytes_(bytes) {}
  class Device& device_;
  std::byte* const data_;
  const size_t bytes_;
};

// One per GPU and process, made at first use and never destroyed. All members may be called from any thread.
class Device {
 public:
  // Error kDeviceUnavailable with the driver's own name of what is wrong, and what to do.
  static Device& open(int ordinal);
  static int count() noexcept;  // 0 without a usable driver

  const DeviceInfo& info() const noexcept { return info_; }

  // After an error that kills the context (an illegal address, say) it is dead for the whole process. The device is set aside then: nothing
  // of it is reset, freed or destroyed any more, and every later call throws kDeviceFailed.
  bool failed() const noexcept { return failed_.load(std::memory_order_acquire); }
  std::string failure() const;  // the reason, '' while it works

  Buffer allocate(size_t bytes);  // aligned to 256 bytes; Error kOutOfMemory, after which the device goes on working
  void release(Buffer buffer) noexcept;
  int64_t free_bytes();
  std::unique_ptr<PinnedMemory> pin(size_t bytes);  // Error kOutOfMemory
  std::unique_ptr<Stream> make_stream();

 private:
  friend class Stream;
  friend class PinnedMemory;
  class Current;  // the context on the calling thread, while it lives

  Device(const Driver& driver, int ordinal);
  void check(const char* call, int error);  // throws kDeviceFailed or kOutOfMemory
  FunctionHandle kernel(const Launch& launch);
  void load_modules();

  const Driver& driver_;
  const DriverApi& api_;
  const DeviceInfo info_;
  ContextHandle context_ = nullptr;

  std::atomic<bool> failed_{false};
  mutable std::mutex mutex_;
  std::string failure_;

  struct Kernel {
    FunctionHandle function = nullptr;
    uint32_t shared_bytes = 48 * 1024;  // dynamic, that it may have
  };
  std::mutex kernels_mutex_;
  std::vector<ModuleHandle> modules_;
  std::map<std::string, Kernel> kernels_;
};

}  // namespace manyscale::cuda
