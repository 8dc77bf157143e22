// Buffers that are used again: warm work allocates nothing, free memory is bounded, and an allocation that fails has one more chance.
#include "engine/buffer_pool.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/error.h"
#include "device/cpu/cpu_backend.h"
#include "failing_new.h"

using manyscale::Backend;
using manyscale::Buffer;
using manyscale::Error;
using manyscale::ErrorCode;
using manyscale::host_pointer;
using manyscale::engine::BufferPool;

namespace {

// A device with so many bytes of memory: the CPU's, counted.
class SmallDevice final : public Backend {
 public:
  explicit SmallDevice(size_t capacity) : capacity_(capacity) {}
  size_t held() const {
    const std::lock_guard lock(mutex_);
    return held_;
  }

  manyscale::DeviceKind kind() const noexcept override { return cpu_.kind(); }
  int concurrency() const override { return cpu_.concurrency(); }
  Buffer allocate(size_t bytes) override {
    const std::lock_guard lock(mutex_);
    if (held_ + bytes > capacity_) throw Error(ErrorCode::kOutOfMemory, "the device is full");
    const Buffer buffer = cpu_.allocate(bytes);
    try {
      sizes_[buffer.handle] = bytes;
    } catch (...) {
      cpu_.release(buffer);
      throw;
    }
    held_ += bytes;
    return buffer;
  }
  void release(Buffer buffer) noexcept override {
    const std::lock_guard lock(mutex_);
    held_ -= sizes_[buffer.handle];
    sizes_.erase(buffer.handle);
    cpu_.release(buffer);
  }
  void copy(Buffer to, Buffer from, size_t bytes, manyscale::CopyDirection direction) override { cpu_.copy(to, from, bytes, direction); }
  void parallel_for(int64_t count, manyscale::TaskBody body) override { cpu_.parallel_for(count, body); }
  void launch(const manyscale::Launch& launch) override { cpu_.launch(launch); }
  Event record() override { return cpu_.record(); }
  void wait(Event event) override { cpu_.wait(event); }

 private:
  Backend& cpu_ = manyscale::cpu::cpu_backend();
  const size_t capacity_;
  mutable std::mutex mutex_;
  size_t held_ = 0;
  std::map<uintptr_t, size_t> sizes_;
};

constexpr size_t kPlenty = 1 << 30;

}  // namespace

TEST_CASE("buffer pool: a buffer that came back is used again") {
  SmallDevice device(kPlenty);
  BufferPool pool(device);
  uintptr_t handle = 0;
  {
    const BufferPool::Lease lease = pool.take(1000);
    REQUIRE(lease);
    handle = lease.buffer().handle;
    CHECK(lease.bytes() == 1000);
    CHECK(pool.state().used_bytes == 1000);
    CHECK(pool.state().free_bytes == 0);
    std::memset(host_pointer<void>(lease.buffer()), 1, 1000);
  }
  CHECK(pool.state().used_bytes == 0);
  CHECK(pool.state().free_bytes == 1000);
  const BufferPool::Lease smaller = pool.take(500);
  CHECK(smaller.buffer().handle == handle);
  CHECK(smaller.bytes() == 1000);
  CHECK(pool.state().allocations == 1);
  const BufferPool::Lease second = pool.take(500);  // the only one is in use
  CHECK(second.buffer().handle != handle);
  CHECK(pool.state().allocations == 2);
}

TEST_CASE("buffer pool: neither too small a buffer nor one more than twice as large is given") {
  SmallDevice device(kPlenty);
  BufferPool pool(device);
  pool.take(1000);
  CHECK(pool.take(499).bytes() == 499);
  CHECK(pool.take(1001).bytes() == 1001);
  CHECK(pool.take(0).bytes() == 0);
}

TEST_CASE("buffer pool: of several that fit the smallest is given") {
  SmallDevice device(kPlenty);
  BufferPool pool(device);
  {
    const BufferPool::Lease a = pool.take(1000);
    const BufferPool::Lease b = pool.take(700);
    const BufferPool::Lease c = pool.take(900);
  }
  CHECK(pool.take(600).bytes() == 700);
  CHECK(pool.take(800).bytes() == 900);
  CHECK(pool.state().allocations == 3);
}

TEST_CASE("buffer pool: a lease moves, and gives back once") {
  SmallDevice device(kPlenty);
  BufferPool pool(device);
  BufferPool::Lease a = pool.take(100);
  BufferPool::Lease b = std::move(a);
  CHECK_FALSE(a);  // NOLINT(bugprone-use-after-move): that is what is tested
  CHECK(a.bytes() == 0);
  CHECK(b.bytes() == 100);
  BufferPool::Lease c = pool.take(300);
  c = std::move(b);
  CHECK(c.bytes() == 100);
  CHECK(pool.state().used_bytes == 100);
  CHECK(pool.state().free_bytes == 300);
  auto& self = c;
  c = std::move(self);
  CHECK(c.bytes() == 100);
  c = BufferPool::Lease();
  CHECK(pool.state().used_bytes == 0);
}

TEST_CASE("buffer pool: trimming and destroying free what is free") {
  SmallDevice device(kPlenty);
  {
    BufferPool pool(device);
    BufferPool::Lease held = pool.take(100);
    pool.take(5000);
    CHECK(device.held() == 5100);
    pool.trim();
    CHECK(pool.state().free_bytes == 0);
    CHECK(device.held() == 100);
    held = BufferPool::Lease();
    CHECK(device.held() == 100);
  }
  CHECK(device.held() == 0);
}

TEST_CASE("buffer pool: where the device is full, what is free goes before an error comes") {
  SmallDevice device(1000);
  BufferPool pool(device);
  pool.take(600);
  const BufferPool::Lease lease = pool.take(900);  // room only without the 600
  CHECK(lease.bytes() == 900);
  ErrorCode code = ErrorCode::kInvalidArgument;
  try {
    pool.take(200);
  } catch (const Error& error) {
    code = error.code();
  }
  CHECK(code == ErrorCode::kOutOfMemory);
  CHECK(pool.state().used_bytes == 900);
  CHECK(device.held() == 900);
}

TEST_CASE("buffer pool: where the process's memory runs out the error is the same, and nothing is lost") {
  SmallDevice device(kPlenty);
  BufferPool pool(device);
  int failures = 0;
  for (int64_t successes = 0;; successes++) {
    ErrorCode code = ErrorCode::kInvalidArgument;
    try {
      BufferPool::Lease lease;
      {
        const FailingNew failing(successes);
        lease = pool.take(100);
      }
      break;
    } catch (const Error& error) {
      code = error.code();
    }
    failures++;
    CHECK(code == ErrorCode::kOutOfMemory);
    CHECK(pool.state().used_bytes == 0);
  }
  CHECK(failures > 0);
  CHECK(pool.state().used_bytes == 0);
  pool.trim();
  CHECK(device.held() == 0);
}

TEST_CASE("buffer pool: no mix of sizes makes the free bytes more than were ever in use at once") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 dice(seed);
  SmallDevice device(kPlenty);
  BufferPool pool(device);
  std::vector<BufferPool::Lease> leases;
  size_t most = 0;
  for (int i = 0; i < 20000; i++) {
    if (i % 5000 == 4999) {
      pool.trim();
      most = pool.state().used_bytes;
    }
    if (leases.size() < 12 && dice() % 2 == 0) {
      const size_t bytes = dice() % 100000;
      leases.push_back(pool.take(bytes));
      REQUIRE(leases.back().bytes() >= bytes);
      REQUIRE(leases.back().bytes() <= 2 * bytes);
    } else if (!leases.empty()) {
      std::swap(leases[dice() % leases.size()], leases.back());
      leases.pop_back();
    }
    size_t used = 0;
    for (const BufferPool::Lease& lease : leases) used += lease.bytes();
    most = std::max(most, used);
    const BufferPool::State state = pool.state();
    REQUIRE(state.used_bytes == used);
    REQUIRE(state.free_bytes <= most);
    REQUIRE(device.held() == state.used_bytes + state.free_bytes);
  }
}

TEST_CASE("buffer pool: images of the same sizes allocate nothing once warm") {
  SmallDevice device(kPlenty);
  BufferPool pool(device);
  const std::vector<size_t> sizes = {60000, 1000, 60000, 30000, 250000};
  int64_t warm = 0;
  for (int image = 0; image < 100; image++) {
    if (image == 2) warm = pool.state().allocations;
    std::vector<BufferPool::Lease> leases;
    for (const size_t bytes : sizes) leases.push_back(pool.take(bytes));
  }
  CHECK(pool.state().allocations == warm);
}

TEST_CASE("buffer pool: many threads, each buffer in one hand at a time") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  SmallDevice device(kPlenty);
  BufferPool pool(device);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 6; t++) {
    threads.emplace_back([&, t] {
      std::mt19937 dice(seed + t);
      for (int i = 0; i < 2000; i++) {
        const size_t bytes = 1 + dice() % 4096;
        const BufferPool::Lease lease = pool.take(bytes);
        auto* const data = host_pointer<unsigned char>(lease.buffer());
        std::memset(data, static_cast<int>(t), lease.bytes());
        if (i % 64 == 0) pool.trim();
        wrong += std::any_of(data, data + lease.bytes(), [t](unsigned char value) { return value != t; });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(pool.state().used_bytes == 0);
  CHECK(device.held() == pool.state().free_bytes);
}
