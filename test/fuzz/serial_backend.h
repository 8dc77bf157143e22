// The CPU as a backend that claims any number of threads and runs the units of work on the calling one, in an order that the
// input chooses: repeatable, and what depends on the order shows.
#pragma once

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

#include "core/backend.h"
#include "core/error.h"

namespace manyscale::fuzz {

class SerialBackend : public Backend {
 public:
  SerialBackend(int concurrency, uint32_t order) : concurrency_(concurrency), random_(order) {}

  DeviceKind kind() const noexcept override { return DeviceKind::kCpu; }
  int concurrency() const override { return concurrency_; }

  Buffer allocate(size_t bytes) override { return host_buffer(::operator new(bytes, kAlignment)); }
  void release(Buffer buffer) noexcept override { ::operator delete(host_pointer<void>(buffer), kAlignment); }
  void copy(Buffer to, Buffer from, size_t bytes, CopyDirection) override { std::memcpy(host_pointer<void>(to), host_pointer<void>(from), bytes); }

  void parallel_for(int64_t count, TaskBody body) override {
    std::vector<int64_t> order(static_cast<size_t>(count));
    std::iota(order.begin(), order.end(), int64_t{0});
    std::shuffle(order.begin(), order.end(), random_);
    for (const int64_t i : order) body(i);
  }
  void launch(const Launch&) override { throw Error(ErrorCode::kDeviceUnavailable, "Expected a device with kernels for a launch but received the CPU"); }

  Event record() override { return 0; }
  void wait(Event) override {}

 private:
  static constexpr std::align_val_t kAlignment{64};
  const int concurrency_;
  std::minstd_rand random_;
};

}  // namespace manyscale::fuzz
