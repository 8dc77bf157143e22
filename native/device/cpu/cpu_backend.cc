#include "device/cpu/cpu_backend.h"

#include <cstring>
#include <new>

#include "core/error.h"
#include "device/cpu/executor.h"

namespace manyscale::cpu {
namespace {

constexpr std::align_val_t kAlignment{64};  // a cache line, and the widest vector

class CpuBackend final : public Backend {
 public:
  DeviceKind kind() const noexcept override { return DeviceKind::kCpu; }
  int concurrency() const override { return Executor::instance().thread_count(); }

  Buffer allocate(size_t bytes) override {
    void* data = ::operator new(bytes, kAlignment, std::nothrow);
    if (!data)
      throw Error(ErrorCode::kOutOfMemory,
                  "Expected " + std::to_string(bytes) + " bytes of memory for a buffer but received none; use smaller scales or fewer images at once");
    return host_buffer(data);
  }
  void release(Buffer buffer) noexcept override { ::operator delete(host_pointer<void>(buffer), kAlignment); }
  void copy(Buffer to, Buffer from, size_t bytes, CopyDirection) override { std::memcpy(host_pointer<void>(to), host_pointer<void>(from), bytes); }

  void parallel_for(int64_t count, TaskBody body) override { Executor::instance().parallel_for(count, body); }
  void launch(const Launch& launch) override {
    throw Error(ErrorCode::kDeviceUnavailable, "Expected a device with kernels for " + launch.kernel + " but received the CPU");
  }

  // Everything above is done when it returns.
  Event record() override { return 0; }
  void wait(Event) override {}
};

}  // namespace

Backend& cpu_backend() {
  static CpuBackend* const backend = new CpuBackend;  // leaked: nothing is destroyed at exit
  return *backend;
}

}  // namespace manyscale::cpu
