// Streams run late and in any legal order: what a synchronous stand-in would hide.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

#include "test_driver.h"

using namespace software_cuda;  // NOLINT
using driver_test::driver;
using driver_test::enter;

namespace {

constexpr int kWords = 4096;
constexpr size_t kBytes = kWords * sizeof(int32_t);

// A write that comes too early, which ThreadSanitizer would report as the error that it is.
__attribute__((noinline, no_sanitize("thread"))) void spoil(volatile int32_t* word) { *word = 2; }

struct Fixture {
  const driver_test::Driver& cuda = driver();
  int32_t* host = nullptr;
  DeviceAddress device = 0;
  StreamHandle first = nullptr;
  StreamHandle second = nullptr;
  EventHandle event = nullptr;

  Fixture() {
    enter();
    cuda.reset();
    void* pinned = nullptr;
    REQUIRE(cuda.cuMemHostAlloc(&pinned, kBytes, 0) == kSuccess);
    host = static_cast<int32_t*>(pinned);
    REQUIRE(cuda.cuMemAlloc_v2(&device, kBytes) == kSuccess);
    REQUIRE(cuda.cuStreamCreate(&first, kStreamNonBlocking) == kSuccess);
    REQUIRE(cuda.cuStreamCreate(&second, kStreamNonBlocking) == kSuccess);
    REQUIRE(cuda.cuEventCreate(&event, kEventBlockingSync | kEventDisableTiming) == kSuccess);
  }
  ~Fixture() {
    cuda.cuStreamSynchronize(first);
    cuda.cuStreamSynchronize(second);
    cuda.cuMemFreeHost(host);
    cuda.cuMemFree_v2(device);
    cuda.cuStreamDestroy_v2(first);
    cuda.cuStreamDestroy_v2(second);
    cuda.cuEventDestroy_v2(event);
  }
  void fill(int32_t value) const {
    for (int i = 0; i < kWords; i++) host[i] = value;
  }
  int32_t on_device() const {
    int32_t value = 0;
    std::memcpy(&value, cuda.host_view(device + kBytes - 4, 4), 4);
    return value;
  }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "a copy reads its source when it runs, not when it is asked for") {
  int changed = 0;
  for (uint64_t seed = 1; seed <= 8; seed++) {
    cuda.set_seed(seed);
    fill(1);
    CHECK(cuda.cuMemcpyHtoDAsync_v2(device, host, kBytes, first) == kSuccess);
    spoil(host + kWords - 1);
    CHECK(cuda.cuStreamSynchronize(first) == kSuccess);
    changed += on_device() == 2;
  }
  CHECK(changed >= 6);
  CHECK(cuda.misuses() == "");
}

TEST_CASE_FIXTURE(Fixture, "what is waited for in the right way has been done") {
  for (uint64_t seed = 1; seed <= 20; seed++) {
    cuda.set_seed(seed);
    fill(static_cast<int32_t>(seed));
    CHECK(cuda.cuMemcpyHtoDAsync_v2(device, host, kBytes, first) == kSuccess);
    CHECK(cuda.cuEventRecord(event, first) == kSuccess);
    CHECK(cuda.cuStreamWaitEvent(second, event, 0) == kSuccess);
    CHECK(cuda.cuMemcpyDtoHAsync_v2(host, device, kBytes, second) == kSuccess);
    CHECK(cuda.cuMemsetD8Async(device, 0, kBytes, second) == kSuccess);
    CHECK(cuda.cuStreamSynchronize(second) == kSuccess);
    CHECK(host[0] == static_cast<int32_t>(seed));
    CHECK(host[kWords - 1] == static_cast<int32_t>(seed));
    CHECK(on_device() == 0);
  }
  CHECK(cuda.misuses() == "");
}

TEST_CASE_FIXTURE(Fixture, "a missing wait between streams shows for some seed, whichever way it is missing") {
  const auto wrong_of = [&](bool writer_first) {
    int wrong = 0;
    for (uint64_t seed = 1; seed <= 16; seed++) {
      cuda.set_seed(seed);
      CHECK(cuda.cuMemsetD8Async(device, 0, kBytes, first) == kSuccess);
      CHECK(cuda.cuStreamSynchronize(first) == kSuccess);
      // No event between the two.
      const auto write = [&] { return cuda.cuMemsetD8Async(device, 1, kBytes, first); };
      if (writer_first) CHECK(write() == kSuccess);
      CHECK(cuda.cuMemcpyDtoHAsync_v2(host, device, kBytes, second) == kSuccess);
      if (!writer_first) CHECK(write() == kSuccess);
      CHECK(cuda.cuStreamSynchronize(second) == kSuccess);
      const int32_t expected = writer_first ? 0x01010101 : 0;
      wrong += host[0] != expected || host[kWords - 1] != expected;
      CHECK(cuda.cuStreamSynchronize(first) == kSuccess);
    }
    return wrong;
  };
  CHECK(wrong_of(true) >= 2);
  CHECK(wrong_of(false) >= 2);
}

TEST_CASE_FIXTURE(Fixture, "the same seed gives the same order") {
  const auto results = [&] {
    std::vector<int32_t> values;
    cuda.set_seed(7);
    for (int round = 0; round < 12; round++) {
      CHECK(cuda.cuMemsetD8Async(device, static_cast<unsigned char>(round), kBytes, first) == kSuccess);
      CHECK(cuda.cuMemsetD8Async(device, static_cast<unsigned char>(100 + round), kBytes, second) == kSuccess);
      CHECK(cuda.cuStreamSynchronize(first) == kSuccess);
      CHECK(cuda.cuStreamSynchronize(second) == kSuccess);
      values.push_back(on_device());
    }
    return values;
  };
  // Work may begin by itself when the host is slow, so that the order is only mostly the seed's.
  const auto once = results();
  const auto again = results();
  int same = 0;
  for (size_t i = 0; i < once.size(); i++) same += once[i] == again[i];
  CHECK(same >= 6);
}

TEST_CASE_FIXTURE(Fixture, "an event stands for what was asked before its latest record") {
  CHECK(cuda.cuEventQuery(event) == kSuccess);  // never recorded
  CHECK(cuda.cuEventSynchronize(event) == kSuccess);
  CHECK(cuda.cuStreamWaitEvent(second, event, 0) == kSuccess);

  fill(5);
  CHECK(cuda.cuMemcpyHtoDAsync_v2(device, host, kBytes, first) == kSuccess);
  CHECK(cuda.cuEventRecord(event, first) == kSuccess);
  CHECK(cuda.cuStreamWaitEvent(second, event, 0) == kSuccess);  // holds to the first record
  CHECK(cuda.cuMemsetD8Async(device, 0, kBytes, second) == kSuccess);
  CHECK(cuda.cuEventRecord(event, second) == kSuccess);
  CHECK(cuda.cuEventSynchronize(event) == kSuccess);
  CHECK(on_device() == 0);
}

TEST_CASE_FIXTURE(Fixture, "work goes on when it is only asked about, and when nobody asks at all") {
  fill(3);
  CHECK(cuda.cuMemcpyHtoDAsync_v2(device, host, kBytes, first) == kSuccess);
  CHECK(cuda.cuEventRecord(event, first) == kSuccess);
  int asked = 0;
  for (int result = kNotReady; result == kNotReady && asked < 100000; asked++) {
    result = cuda.cuEventQuery(event);
    if (result != kSuccess) CHECK(result == kNotReady);
    std::this_thread::yield();
  }
  CHECK(cuda.cuEventQuery(event) == kSuccess);
  CHECK(cuda.cuStreamQuery(first) == kSuccess);

  fill(4);
  CHECK(cuda.cuMemcpyHtoDAsync_v2(device, host, kBytes, first) == kSuccess);
  for (int i = 0; i < 2000 && cuda.counts().pending > 0; i++) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  CHECK(cuda.counts().pending == 0);
  CHECK(on_device() == 4);
}

TEST_CASE_FIXTURE(Fixture, "the default stream waits for blocking streams and they for it") {
  StreamHandle blocking = nullptr;
  REQUIRE(cuda.cuStreamCreate(&blocking, 0) == kSuccess);
  for (uint64_t seed = 1; seed <= 10; seed++) {
    cuda.set_seed(seed);
    fill(static_cast<int32_t>(seed));
    CHECK(cuda.cuMemcpyHtoDAsync_v2(device, host, kBytes, blocking) == kSuccess);
    CHECK(cuda.cuMemcpyDtoHAsync_v2(host, device, kBytes, nullptr) == kSuccess);
    CHECK(cuda.cuMemsetD8Async(device, 9, kBytes, blocking) == kSuccess);
    CHECK(cuda.cuStreamSynchronize(blocking) == kSuccess);
    CHECK(host[kWords - 1] == static_cast<int32_t>(seed));
    CHECK(on_device() == 0x09090909);
  }
  CHECK(cuda.counts().default_stream == 10);
  CHECK(cuda.cuStreamDestroy_v2(blocking) == kSuccess);
}

TEST_CASE_FIXTURE(Fixture, "a stream that is destroyed still does what it was asked") {
  StreamHandle gone = nullptr;
  REQUIRE(cuda.cuStreamCreate(&gone, kStreamNonBlocking) == kSuccess);
  fill(8);
  CHECK(cuda.cuMemcpyHtoDAsync_v2(device, host, kBytes, gone) == kSuccess);
  CHECK(cuda.cuEventRecord(event, gone) == kSuccess);
  CHECK(cuda.cuStreamDestroy_v2(gone) == kSuccess);
  CHECK(cuda.cuEventSynchronize(event) == kSuccess);
  CHECK(on_device() == 8);
  CHECK(cuda.misuses() == "");
  CHECK(cuda.cuStreamSynchronize(gone) == kInvalidHandle);
  CHECK(cuda.cuMemcpyHtoDAsync_v2(device, host, kBytes, gone) == kInvalidHandle);
  CHECK(cuda.misuses().find("was destroyed before") != std::string::npos);
  CHECK(cuda.counts().misuses == 2);
}

TEST_CASE_FIXTURE(Fixture, "a host function runs in its stream's order and sees device memory") {
  struct Seen {
    const driver_test::Driver* cuda;
    DeviceAddress device;
    int32_t value;
  } seen{&cuda, device, 0};
  fill(11);
  CHECK(cuda.cuMemcpyHtoDAsync_v2(device, host, kBytes, first) == kSuccess);
  const auto look = [](void* data, int) {
    auto* all = static_cast<Seen*>(data);
    std::memcpy(&all->value, all->cuda->host_view(all->device, 4), 4);
  };
  CHECK(cuda.enqueue_host(first, look, &seen) == kSuccess);
  CHECK(cuda.cuMemsetD8Async(device, 0, kBytes, first) == kSuccess);
  CHECK(cuda.cuStreamSynchronize(first) == kSuccess);
  CHECK(seen.value == 11);
  CHECK(cuda.counts().host_operations == 1);
  CHECK(cuda.enqueue_host(event, look, &seen) == kInvalidHandle);
}

TEST_CASE_FIXTURE(Fixture, "many threads with streams of their own do not disturb each other") {
  ContextHandle context = nullptr;
  REQUIRE(cuda.cuCtxGetCurrent(&context) == kSuccess);
  std::atomic<int> wrong{0};
  const auto work = [&](int which) {
    const auto expect = [&wrong](bool right) { wrong += !right; };
    expect(cuda.cuCtxSetCurrent(context) == kSuccess);
    StreamHandle up = nullptr;
    StreamHandle down = nullptr;
    EventHandle copied = nullptr;
    void* pinned = nullptr;
    expect(cuda.cuStreamCreate(&up, kStreamNonBlocking) == kSuccess && cuda.cuStreamCreate(&down, kStreamNonBlocking) == kSuccess);
    expect(cuda.cuEventCreate(&copied, kEventDisableTiming) == kSuccess);
    expect(cuda.cuMemHostAlloc(&pinned, 2 * kBytes, 0) == kSuccess);
    auto* words = static_cast<int32_t*>(pinned);
    for (int round = 0; round < 30; round++) {
      DeviceAddress there = 0;
      expect(cuda.cuMemAlloc_v2(&there, kBytes) == kSuccess);
      for (int i = 0; i < kWords; i++) words[i] = which * 1000 + round;
      expect(cuda.cuMemcpyHtoDAsync_v2(there, words, kBytes, up) == kSuccess);
      expect(cuda.cuEventRecord(copied, up) == kSuccess);
      expect(cuda.cuStreamWaitEvent(down, copied, 0) == kSuccess);
      expect(cuda.cuMemcpyDtoHAsync_v2(words + kWords, there, kBytes, down) == kSuccess);
      expect(cuda.cuEventRecord(copied, down) == kSuccess);
      expect(cuda.cuEventSynchronize(copied) == kSuccess);
      expect(words[2 * kWords - 1] == which * 1000 + round);
      expect(cuda.cuMemFree_v2(there) == kSuccess);
    }
    expect(cuda.cuMemFreeHost(pinned) == kSuccess);
    expect(cuda.cuStreamDestroy_v2(up) == kSuccess && cuda.cuStreamDestroy_v2(down) == kSuccess && cuda.cuEventDestroy_v2(copied) == kSuccess);
  };
  std::vector<std::thread> threads;
  for (int i = 1; i <= 4; i++) threads.emplace_back(work, i);
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(cuda.misuses() == "");
}
