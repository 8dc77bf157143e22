// The machines and the faults that the environment asks for.
#include <doctest/doctest.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

#include "test_driver.h"

using namespace software_cuda;  // NOLINT
using driver_test::driver;
using driver_test::enter;
using driver_test::in_process;
using driver_test::launch_add_one;
using driver_test::load_add_one;

CUDA_SCENARIO(no_device) {
  EXPECT(driver().cuInit(0) == kNoDevice);
  int count = 0;
  EXPECT(driver().cuDeviceGetCount(&count) == kNotInitialized);
  return "";
}

CUDA_SCENARIO(init_fails) {
  EXPECT(driver().cuInit(0) == kUnknown);
  return "";
}

CUDA_SCENARIO(init_mismatch) {
  EXPECT(driver().cuInit(0) == 803);
  const char* name = nullptr;
  EXPECT(driver().cuGetErrorName(803, &name) == kSuccess);
  EXPECT(std::string(name) == "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH");
  return "";
}

CUDA_SCENARIO(too_old) {
  const auto& cuda = driver();
  enter();
  int version = 0;
  EXPECT(cuda.cuDriverGetVersion(&version) == kSuccess);
  EXPECT(version == 9020);
  ModuleHandle module = nullptr;
  EXPECT(cuda.cuModuleLoadData(&module, driver_test::add_one_ptx("6.3").c_str()) == kUnsupportedPtxVersion);
  return "";
}

CUDA_SCENARIO(old_but_able) {
  const auto& cuda = driver();
  enter();
  ModuleHandle module = nullptr;
  EXPECT(cuda.cuModuleLoadData(&module, driver_test::add_one_ptx("9.0").c_str()) == kUnsupportedPtxVersion);
  EXPECT(cuda.cuModuleLoadData(&module, driver_test::add_one_ptx("6.3").c_str()) == kSuccess);
  return "";
}

CUDA_SCENARIO(little_memory) {
  const auto& cuda = driver();
  enter();
  size_t free_bytes = 0;
  size_t total = 0;
  EXPECT(cuda.cuMemGetInfo_v2(&free_bytes, &total) == kSuccess);
  EXPECT(free_bytes == 1 << 20);
  DeviceAddress address = 0;
  EXPECT(cuda.cuMemAlloc_v2(&address, 2 << 20) == kOutOfMemory);
  EXPECT(cuda.cuMemAlloc_v2(&address, 1 << 19) == kSuccess);
  EXPECT(cuda.cuMemAlloc_v2(&address, (1 << 19) + 1) == kOutOfMemory);
  return "";
}

CUDA_SCENARIO(no_memory) {
  enter();
  DeviceAddress address = 0;
  EXPECT(driver().cuMemAlloc_v2(&address, 1) == kOutOfMemory);
  return "";
}

CUDA_SCENARIO(second_allocation_fails) {
  enter();
  DeviceAddress address = 0;
  EXPECT(driver().cuMemAlloc_v2(&address, 1) == kSuccess);
  EXPECT(driver().cuMemAlloc_v2(&address, 1) == kOutOfMemory);
  EXPECT(driver().cuMemAlloc_v2(&address, 1) == kSuccess);
  return "";
}

CUDA_SCENARIO(no_pinned_memory) {
  enter();
  void* data = nullptr;
  EXPECT(driver().cuMemHostAlloc(&data, 64, 0) == kOutOfMemory);
  return "";
}

CUDA_SCENARIO(orin) {
  const auto& cuda = driver();
  enter();
  const auto attribute = [&cuda](int which) {
    int value = -1;
    cuda.cuDeviceGetAttribute(&value, which, 0);
    return value;
  };
  EXPECT(attribute(kIntegrated) == 1);
  EXPECT(attribute(kComputeCapabilityMajor) == 8);
  EXPECT(attribute(kComputeCapabilityMinor) == 7);
  EXPECT(attribute(kMultiprocessorCount) == 8);
  EXPECT(attribute(kL2CacheSize) == 4 << 20);
  size_t bytes = 0;
  EXPECT(cuda.cuDeviceTotalMem_v2(&bytes, 0) == kSuccess);
  EXPECT(bytes == 256 << 20);
  return "";
}

CUDA_SCENARIO(slow) {
  const auto& cuda = driver();
  enter();
  const driver_test::Kernel kernel = load_add_one();
  StreamHandle stream = nullptr;
  EXPECT(cuda.cuStreamCreate(&stream, kStreamNonBlocking) == kSuccess);
  DeviceAddress words = 0;
  EXPECT(cuda.cuMemAlloc_v2(&words, 4096) == kSuccess);
  EXPECT(cuda.cuMemsetD8Async(words, 0, 4096, stream) == kSuccess);
  const auto start = std::chrono::steady_clock::now();
  EXPECT(launch_add_one(kernel.function, words, 10, stream) == kSuccess);
  EXPECT(std::chrono::steady_clock::now() - start < std::chrono::milliseconds(150));
  EXPECT(cuda.cuStreamSynchronize(stream) == kSuccess);
  EXPECT(std::chrono::steady_clock::now() - start >= std::chrono::milliseconds(200));
  return "";
}

CUDA_SCENARIO(report) {
  const auto& cuda = driver();
  enter();
  const driver_test::Kernel kernel = load_add_one();
  StreamHandle stream = nullptr;
  EXPECT(cuda.cuStreamCreate(&stream, kStreamNonBlocking) == kSuccess);
  DeviceAddress words = 0;
  EXPECT(cuda.cuMemAlloc_v2(&words, 4096) == kSuccess);
  EXPECT(cuda.cuMemsetD8Async(words, 0, 4096, stream) == kSuccess);
  EXPECT(launch_add_one(kernel.function, words, 1024, stream) == kSuccess);
  EXPECT(cuda.cuStreamSynchronize(stream) == kSuccess);
  EXPECT(cuda.cuStreamSynchronize(reinterpret_cast<void*>(0x1234)) == kInvalidHandle);
  return "";
}

CUDA_SCENARIO(unread_variable) {
  enter();
  EXPECT(driver().misuses().find("SOFTWARE_CUDA_FAULT=no-such-fault cannot be read") != std::string::npos);
  EXPECT(driver().misuses().find("SOFTWARE_CUDA_DEVICES=two cannot be read") != std::string::npos);
  return "";
}

TEST_CASE("a broken driver answers as a real one does") {
  CHECK(in_process("no_device", {{"SOFTWARE_CUDA_FAULT", "no-device"}}) == "");
  CHECK(in_process("no_device", {{"SOFTWARE_CUDA_DEVICES", "0"}}) == "");
  CHECK(in_process("init_fails", {{"SOFTWARE_CUDA_FAULT", "init-fails"}}) == "");
  CHECK(in_process("init_mismatch", {{"SOFTWARE_CUDA_FAULT", "init-fails:803"}}) == "");
  CHECK(in_process("too_old", {{"SOFTWARE_CUDA_FAULT", "too-old"}}) == "");
  CHECK(in_process("old_but_able", {{"SOFTWARE_CUDA_FAULT", "too-old:11040"}}) == "");
}

TEST_CASE("memory runs out as it is told to") {
  CHECK(in_process("little_memory", {{"SOFTWARE_CUDA_MEMORY", "1M"}}) == "");
  CHECK(in_process("little_memory", {{"SOFTWARE_CUDA_FAULT", "out-of-memory:1M"}}) == "");
  CHECK(in_process("no_memory", {{"SOFTWARE_CUDA_FAULT", "out-of-memory"}}) == "");
  CHECK(in_process("second_allocation_fails", {{"SOFTWARE_CUDA_FAULT", "allocation-fails:2"}}) == "");
  CHECK(in_process("no_pinned_memory", {{"SOFTWARE_CUDA_FAULT", "pin-fails"}}) == "");
}

TEST_CASE("the machine is the one that the environment describes") {
  CHECK(in_process("orin", {{"SOFTWARE_CUDA_INTEGRATED", "1"}, {"SOFTWARE_CUDA_MULTIPROCESSORS", "8"}, {"SOFTWARE_CUDA_MEMORY", "256M"}}) == "");
  CHECK(in_process("slow", {{"SOFTWARE_CUDA_FAULT", "slow:200"}}) == "");
  CHECK(in_process("unread_variable", {{"SOFTWARE_CUDA_FAULT", "no-such-fault"}, {"SOFTWARE_CUDA_DEVICES", "two"}}) == "");
}

TEST_CASE("a report is written when the process ends") {
  const std::string path = "/tmp/software_cuda_report_" + std::to_string(getpid()) + ".json";
  CHECK(in_process("report", {{"SOFTWARE_CUDA_REPORT", path}, {"SOFTWARE_CUDA_COUNT", "1"}}) == "");
  std::ifstream file(path);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  std::remove(path.c_str());
  const auto has = [&text](const char* part) { return text.find(part) != std::string::npos; };
  CHECK(has("\"launches\": {\"add_one\": 1}"));
  CHECK(has("\"launchesByDevice\": {\"0\": 1}"));
  CHECK(has("\"misuseCount\": 1"));
  CHECK(has("the stream 0x1234 never was one"));
  CHECK(has("\"traffic\": {\"add_one\": {"));
}
