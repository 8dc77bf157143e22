// A queue of work on one device, in order: what is asked of it runs while the host goes on.
#pragma once

#include <cstdint>
#include <deque>
#include <mutex>
#include <vector>

#include "core/backend.h"
#include "device/cuda/device.h"

namespace manyscale::cuda {

// Thread-safe. All members but those that are noexcept throw kDeviceFailed once the device has failed.
class Stream final : public Backend {
 public:
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() override;  // nothing asked of it may be pending

  Device& device() const noexcept { return device_; }
  void* handle() const noexcept { return handle_; }  // a CUstream

  DeviceKind kind() const noexcept override { return DeviceKind::kCuda; }
  int concurrency() const override { return 1; }
  Buffer allocate(size_t bytes) override { return device_.allocate(bytes); }
  void release(Buffer buffer) noexcept override { device_.release(buffer); }

  // Asynchronous: the host's side is pinned memory, and stays as it is until an event recorded afterwards was waited for.
  void copy(Buffer to, Buffer from, size_t bytes, CopyDirection direction) override;
  void launch(const Launch& launch) override;                // asynchronous
  void parallel_for(int64_t count, TaskBody body) override;  // Error kDeviceUnavailable: bodies are the host's

  Event record() override;
  void wait(Event event) override;  // blocks the calling thread, without spinning

  // What is asked of this stream from now on runs after `event` of `other`, which may be another device's.
  void follow(Stream& other, Event event);
  void synchronize();

 private:
  friend class Device;
  struct Recorded {
    Event number;
    EventHandle handle;
  };

  Stream(Device& device, StreamHandle handle) : device_(device), handle_(handle) {}
  EventHandle find(Event event);  // null: it has happened
  void happened(Event event);     // and so have all before it

  Device& device_;
  const StreamHandle handle_;
  std::mutex mutex_;
  Event last_ = 0;
  std::deque<Recorded> recorded_;  // not known to have happened, oldest first
  std::vector<EventHandle> free_;
};

}  // namespace manyscale::cuda
