// Two GPUs that work.
#include <dlfcn.h>
#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "device/cuda/device.h"
#include "device/cuda/stream.h"
#include "software_cuda.h"

namespace manyscale::cuda {
namespace {

template <typename F>
F* symbol(const char* name) {
  static void* const library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
  REQUIRE(library);
  return reinterpret_cast<F*>(dlsym(library, name));
}

SoftwareCudaCounts counts() {
  SoftwareCudaCounts result{};
  symbol<decltype(software_cuda_counts)>("software_cuda_counts")(&result, sizeof result);
  return result;
}

std::string misuses() {
  std::string text;
  const auto misuse = symbol<decltype(software_cuda_misuse)>("software_cuda_misuse");
  for (size_t i = 0; misuse(i); i++) text += std::string(misuse(i)) + "\n";
  return text;
}

constexpr size_t kBytes = 1 << 16;

TEST_CASE("gpu: what there is is described") {
  const DriverDescription description = describe_driver();
  CHECK(description.reason == "");
  CHECK(description.version >= 11000);
  CHECK(description.path.find("libcuda.so.1") != std::string::npos);
  REQUIRE(description.devices.size() == 2);
  CHECK(description.devices[1].ordinal == 1);
  CHECK(description.devices[1].total_bytes > 0);
  CHECK(description.devices[0].uuid != description.devices[1].uuid);
  CHECK(description.devices[0].uuid.size() == 40);
  CHECK(Device::count() == 2);
  CHECK_THROWS_WITH_AS(Device::open(2), doctest::Contains("GPU 2"), Error);
  CHECK(&Device::open(1) == &Device::open(1));
}

TEST_CASE("gpu: bytes go up, across, and down, in a stream's order") {
  Device& device = Device::open(0);
  const auto stream = device.make_stream();
  const auto up = device.pin(kBytes);
  const auto down = device.pin(kBytes);
  for (size_t i = 0; i < kBytes; i++) up->data()[i] = static_cast<std::byte>(i * 7);
  const Buffer a = device.allocate(kBytes);
  const Buffer b = device.allocate(kBytes);
  CHECK(a.handle % 256 == 0);
  stream->copy(a, up->buffer(), kBytes, CopyDirection::kToDevice);
  stream->copy(b.at(1), a, kBytes - 1, CopyDirection::kOnDevice);
  stream->copy(down->buffer(), b.at(1), kBytes - 1, CopyDirection::kToHost);
  stream->wait(stream->record());
  CHECK(std::memcmp(down->data(), up->data(), kBytes - 1) == 0);
  device.release(a);
  device.release(b);
  CHECK(misuses() == "");
}

TEST_CASE("gpu: a stream that follows another runs after its event, under every order") {
  Device& device = Device::open(0);
  const auto first = device.make_stream();
  const auto second = device.make_stream();
  const auto up = device.pin(kBytes);
  const auto down = device.pin(kBytes);
  const Buffer memory = device.allocate(kBytes);
  for (uint64_t seed = 1; seed <= 20; seed++) {
    symbol<decltype(software_cuda_set_seed)>("software_cuda_set_seed")(seed);
    std::memset(up->data(), static_cast<int>(seed), kBytes);
    first->copy(memory, up->buffer(), kBytes, CopyDirection::kToDevice);
    second->follow(*first, first->record());
    second->copy(down->buffer(), memory, kBytes, CopyDirection::kToHost);
    second->wait(second->record());
    CHECK(down->data()[kBytes - 1] == static_cast<std::byte>(seed));
    CHECK(std::memcmp(down->data(), up->data(), kBytes) == 0);
  }
  device.release(memory);
  CHECK(misuses() == "");
}

TEST_CASE("gpu: any thread may use a device, and has its own context back afterwards") {
  Device& device = Device::open(1);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; t++) {
    threads.emplace_back([&device] {
      const auto stream = device.make_stream();
      const auto host = device.pin(kBytes);
      const Buffer memory = device.allocate(kBytes);
      for (int i = 0; i < 10; i++) stream->copy(memory, host->buffer(), kBytes, CopyDirection::kToDevice);
      stream->synchronize();
      device.release(memory);
      void* context = &device;
      symbol<int(void**)>("cuCtxGetCurrent")(&context);
      CHECK(context == nullptr);
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(misuses() == "");
}

TEST_CASE("gpu: events come back, and nothing is left behind") {
  Device& device = Device::open(0);
  const SoftwareCudaCounts before = counts();
  {
    const auto stream = device.make_stream();
    const auto host = device.pin(64);
    const Buffer memory = device.allocate(64);
    Backend::Event last = 0;
    for (int i = 0; i < 200; i++) {
      stream->copy(memory, host->buffer(), 64, CopyDirection::kToDevice);
      last = stream->record();
      if (i % 8 == 0) stream->wait(last);
    }
    CHECK(counts().live_events <= before.live_events + 16);
    stream->wait(last);
    stream->wait(last);
    device.release(memory);
  }
  const SoftwareCudaCounts after = counts();
  CHECK(after.live_allocations == before.live_allocations);
  CHECK(after.live_pinned == before.live_pinned);
  CHECK(after.live_streams == before.live_streams);
  CHECK(after.live_events == before.live_events);
  CHECK(misuses() == "");
}

TEST_CASE("gpu: what a stream cannot do is refused") {
  const auto stream = Device::open(0).make_stream();
  CHECK(stream->kind() == DeviceKind::kCuda);
  CHECK_THROWS_WITH_AS(stream->launch({"no_such_kernel", {}, {}, 0, {}}), doctest::Contains("no_such_kernel"), Error);
  CHECK_THROWS_AS(stream->parallel_for(1, [](int64_t) {}), Error);
}

// The last: the device is of no use afterwards.
TEST_CASE("gpu: zz a fault sets the device aside, and the other one goes on") {
  Device& device = Device::open(0);
  const auto stream = device.make_stream();
  const auto host = device.pin(64);
  const Buffer memory = device.allocate(64);
  symbol<decltype(software_cuda_enqueue_fault)>("software_cuda_enqueue_fault")(stream->handle(), 700);
  stream->copy(memory, host->buffer(), 64, CopyDirection::kToDevice);
  try {
    stream->wait(stream->record());
    FAIL("the fault was not told");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::kDeviceFailed);
    CHECK(std::string(error.what()).find("CUDA_ERROR_ILLEGAL_ADDRESS (700)") != std::string::npos);
  }
  const uint64_t asked = counts().after_failure;  // the thread got its own context back
  CHECK(device.failed());
  CHECK(device.failure() != "");
  CHECK_THROWS_AS(device.allocate(64), Error);
  CHECK_THROWS_AS(Device::open(0), Error);
  device.release(memory);  // nothing is asked of the driver any more
  CHECK(counts().after_failure == asked);
  CHECK(!Device::open(1).failed());
  Device::open(1).release(Device::open(1).allocate(64));
}

}  // namespace
}  // namespace manyscale::cuda
