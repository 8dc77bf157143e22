// Initialisation, contexts per thread, handles, devices.
#include <doctest/doctest.h>

#include <string>
#include <thread>

#include "test_driver.h"

using namespace software_cuda;  // NOLINT
using driver_test::driver;
using driver_test::enter;
using driver_test::in_process;

CUDA_SCENARIO(before_init) {
  const auto& cuda = driver();
  int count = 0;
  EXPECT(cuda.cuDeviceGetCount(&count) == kNotInitialized);
  ContextHandle context = nullptr;
  EXPECT(cuda.cuDevicePrimaryCtxRetain(&context, 0) == kNotInitialized);
  int version = 0;
  EXPECT(cuda.cuDriverGetVersion(&version) == kSuccess);
  EXPECT(version == 13000);
  EXPECT(cuda.cuInit(0) == kSuccess);
  EXPECT(cuda.cuDeviceGetCount(&count) == kSuccess);
  EXPECT(count == 1);
  return "";
}

TEST_CASE("nothing works before cuInit but the version") { CHECK(in_process("before_init", {}) == ""); }

TEST_CASE("the current context is the thread's own") {
  enter();
  const auto& cuda = driver();
  cuda.reset();
  ContextHandle here = nullptr;
  REQUIRE(cuda.cuCtxGetCurrent(&here) == kSuccess);
  REQUIRE(here != nullptr);
  std::thread([&cuda, here] {
    ContextHandle current = here;
    CHECK(cuda.cuCtxGetCurrent(&current) == kSuccess);
    CHECK(current == nullptr);
    DeviceAddress address = 0;
    CHECK(cuda.cuMemAlloc_v2(&address, 256) == kInvalidContext);
    StreamHandle stream = nullptr;
    CHECK(cuda.cuStreamCreate(&stream, kStreamNonBlocking) == kInvalidContext);
    CHECK(cuda.counts().misuses == 2);
    CHECK(cuda.cuCtxSetCurrent(here) == kSuccess);
    REQUIRE(cuda.cuMemAlloc_v2(&address, 256) == kSuccess);
    CHECK(cuda.cuMemFree_v2(address) == kSuccess);
    CHECK(cuda.cuCtxSetCurrent(nullptr) == kSuccess);
    CHECK(cuda.cuMemFree_v2(address) == kInvalidContext);
  }).join();
  CHECK(cuda.misuses().find("the calling thread has no current context") != std::string::npos);
}

TEST_CASE("a handle that was destroyed, or is another's, is found out") {
  enter();
  const auto& cuda = driver();
  cuda.reset();
  EventHandle event = nullptr;
  StreamHandle stream = nullptr;
  REQUIRE(cuda.cuEventCreate(&event, kEventDisableTiming) == kSuccess);
  REQUIRE(cuda.cuStreamCreate(&stream, kStreamNonBlocking) == kSuccess);
  CHECK(cuda.stream_alive(stream) == 1);
  CHECK(cuda.stream_device(stream) == 0);
  CHECK(cuda.cuEventRecord(stream, stream) == kInvalidHandle);
  CHECK(cuda.cuStreamSynchronize(event) == kInvalidHandle);
  CHECK(cuda.counts().misuses == 2);
  CHECK(cuda.cuEventDestroy_v2(event) == kSuccess);
  CHECK(cuda.cuEventRecord(event, stream) == kInvalidHandle);
  CHECK(cuda.cuStreamWaitEvent(stream, event, 0) == kInvalidHandle);
  CHECK(cuda.cuEventDestroy_v2(event) == kInvalidHandle);
  CHECK(cuda.cuStreamDestroy_v2(stream) == kSuccess);
  CHECK(cuda.stream_alive(stream) == 0);
  CHECK(cuda.cuStreamDestroy_v2(stream) == kInvalidHandle);
  CHECK(cuda.counts().misuses == 6);
  CHECK(cuda.misuses().find("cuEventRecord: the event") != std::string::npos);
}

TEST_CASE("a device says what it is") {
  enter();
  const auto& cuda = driver();
  cuda.reset();
  char name[128];
  REQUIRE(cuda.cuDeviceGetName(name, sizeof name, 0) == kSuccess);
  CHECK(std::string(name) == "Software CUDA device (as sm_90)");
  const auto attribute = [&cuda](int which) {
    int value = -1;
    CHECK(cuda.cuDeviceGetAttribute(&value, which, 0) == kSuccess);
    return value;
  };
  CHECK(attribute(kComputeCapabilityMajor) == 9);
  CHECK(attribute(kMultiprocessorCount) == 132);
  CHECK(attribute(kMaxSharedMemoryPerBlock) == 49152);
  CHECK(attribute(kMaxSharedMemoryPerBlockOptin) == 232448);
  CHECK(attribute(kL2CacheSize) == 50 << 20);
  CHECK(attribute(kIntegrated) == 0);
  Uuid uuid{};
  CHECK(cuda.cuDeviceGetUuid_v2(&uuid, 0) == kSuccess);
  CHECK(uuid.bytes[0] == 's');
  int device = -1;
  CHECK(cuda.cuDeviceGet(&device, 1) == kInvalidDevice);
  CHECK(cuda.counts().misuses == 0);
  int value = 0;
  CHECK(cuda.cuDeviceGetAttribute(&value, 9999, 0) == kInvalidValue);
  CHECK(cuda.counts().misuses == 1);
}

CUDA_SCENARIO(context_release) {
  const auto& cuda = driver();
  enter();
  ContextHandle again = nullptr;
  EXPECT(cuda.cuDevicePrimaryCtxRetain(&again, 0) == kSuccess);
  StreamHandle stream = nullptr;
  EXPECT(cuda.cuStreamCreate(&stream, kStreamNonBlocking) == kSuccess);
  DeviceAddress address = 0;
  EXPECT(cuda.cuMemAlloc_v2(&address, 1024) == kSuccess);
  EXPECT(cuda.cuMemsetD8Async(address, 1, 1024, stream) == kSuccess);
  EXPECT(cuda.cuDevicePrimaryCtxRelease_v2(0) == kSuccess);
  EXPECT(cuda.cuStreamSynchronize(stream) == kSuccess);  // retained once more
  EXPECT(cuda.cuDevicePrimaryCtxRelease_v2(0) == kSuccess);
  EXPECT(cuda.cuStreamSynchronize(stream) == kInvalidContext);
  EXPECT(cuda.counts().live_bytes == 0);
  EXPECT(cuda.counts().live_streams == 0);
  EXPECT(cuda.cuDevicePrimaryCtxRelease_v2(0) == kInvalidContext);
  ContextHandle fresh = nullptr;
  EXPECT(cuda.cuDevicePrimaryCtxRetain(&fresh, 0) == kSuccess);
  EXPECT(cuda.cuCtxSetCurrent(fresh) == kSuccess);
  EXPECT(cuda.cuStreamSynchronize(stream) == kInvalidHandle);
  return "";
}

TEST_CASE("a context that is released as often as it was retained takes all that is in it along") { CHECK(in_process("context_release", {}) == ""); }

CUDA_SCENARIO(two_devices) {
  const auto& cuda = driver();
  enter(1);
  ContextHandle second = nullptr;
  EXPECT(cuda.cuCtxGetCurrent(&second) == kSuccess);
  StreamHandle of_second = nullptr;
  EXPECT(cuda.cuStreamCreate(&of_second, kStreamNonBlocking) == kSuccess);
  EventHandle event = nullptr;
  EXPECT(cuda.cuEventCreate(&event, kEventDisableTiming) == kSuccess);
  DeviceAddress there = 0;
  EXPECT(cuda.cuMemAlloc_v2(&there, 4096) == kSuccess);
  enter(0);
  DeviceAddress here = 0;
  EXPECT(cuda.cuMemAlloc_v2(&here, 4096) == kSuccess);
  EXPECT(here != there);
  EXPECT(cuda.address_device(here, 4096) == 0);
  EXPECT(cuda.address_device(there, 4096) == 1);
  EXPECT(cuda.stream_device(of_second) == 1);
  StreamHandle stream = nullptr;
  EXPECT(cuda.cuStreamCreate(&stream, kStreamNonBlocking) == kSuccess);
  EXPECT(cuda.cuMemsetD8Async(here, 1, 4096, of_second) == kInvalidContext);  // the wrong device is current
  EXPECT(cuda.cuEventRecord(event, stream) == kInvalidHandle);
  EXPECT(cuda.counts().misuses == 2);
  // A kernel that gets the other device's address reads nothing there.
  const driver_test::Kernel kernel = driver_test::load_add_one();
  EXPECT(driver_test::launch_add_one(kernel.function, there, 4, stream) == kSuccess);
  EXPECT(cuda.cuStreamSynchronize(stream) == kIllegalAddress);
  EXPECT(cuda.cuMemFree_v2(here) == kIllegalAddress);
  EXPECT(cuda.counts().failed_contexts == 1);
  // The other device goes on.
  EXPECT(cuda.cuCtxSetCurrent(second) == kSuccess);
  EXPECT(cuda.cuMemsetD8Async(there, 1, 4096, of_second) == kSuccess);
  EXPECT(cuda.cuStreamSynchronize(of_second) == kSuccess);
  EXPECT(cuda.cuMemFree_v2(there) == kSuccess);
  return "";
}

TEST_CASE("two devices have memory, streams and failures of their own") { CHECK(in_process("two_devices", {{"SOFTWARE_CUDA_DEVICES", "2"}}) == ""); }
