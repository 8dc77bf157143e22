// Modules, kernels, the limits of a launch, and what a fault does.
#include <doctest/doctest.h>
#include <elf.h>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

#include "test_driver.h"

using namespace software_cuda;  // NOLINT
using driver_test::AddOne;
using driver_test::driver;
using driver_test::enter;
using driver_test::in_process;
using driver_test::launch_add_one;
using driver_test::load_add_one;

namespace {

struct Fixture {
  const driver_test::Driver& cuda = driver();
  driver_test::Kernel kernel;
  StreamHandle stream = nullptr;
  DeviceAddress words = 0;
  static constexpr int kCount = 1000;

  Fixture() {
    enter();
    cuda.reset();
    kernel = load_add_one();
    REQUIRE(cuda.cuStreamCreate(&stream, kStreamNonBlocking) == kSuccess);
    REQUIRE(cuda.cuMemAlloc_v2(&words, kCount * 4) == kSuccess);
    REQUIRE(cuda.cuMemsetD8Async(words, 0, kCount * 4, stream) == kSuccess);
  }
  ~Fixture() {
    cuda.cuStreamSynchronize(stream);
    cuda.cuMemFree_v2(words);
    cuda.cuStreamDestroy_v2(stream);
    cuda.cuModuleUnload(kernel.module);
  }
  int32_t word(int index) const {
    int32_t value = -1;
    std::memcpy(&value, cuda.host_view(words + static_cast<uint64_t>(index) * 4, 4), 4);
    return value;
  }
  int launch(unsigned grid_x, unsigned grid_y, unsigned block, unsigned shared) const {
    AddOne arguments{words, 0};
    void* parameters[] = {&arguments};
    return cuda.cuLaunchKernel(kernel.function, grid_x, grid_y, 1, block, 1, 1, shared, stream, parameters, nullptr);
  }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "a kernel runs, with the arguments as they were when it was asked for") {
  AddOne arguments{words, kCount};
  void* parameters[] = {&arguments};
  for (int i = 0; i < 3; i++) CHECK(cuda.cuLaunchKernel(kernel.function, 16, 1, 1, 64, 1, 1, 0, stream, parameters, nullptr) == kSuccess);
  arguments = {0, 0};
  CHECK(cuda.cuStreamSynchronize(stream) == kSuccess);
  CHECK(word(0) == 3);
  CHECK(word(kCount - 1) == 3);
  CHECK(cuda.launches("add_one") == 3);
  CHECK(cuda.counts().launches == 3);
  CHECK(cuda.counts().kernels_run == 3);
  CHECK(cuda.misuses() == "");
}

TEST_CASE_FIXTURE(Fixture, "arguments may come as one buffer") {
  AddOne arguments{words, kCount};
  size_t bytes = sizeof arguments;
  void* extra[] = {reinterpret_cast<void*>(1), &arguments, reinterpret_cast<void*>(2), &bytes, nullptr};
  CHECK(cuda.cuLaunchKernel(kernel.function, 16, 1, 1, 64, 1, 1, 0, stream, nullptr, extra) == kSuccess);
  CHECK(cuda.cuStreamSynchronize(stream) == kSuccess);
  CHECK(word(7) == 1);
}

TEST_CASE_FIXTURE(Fixture, "a launch keeps to the device's limits") {
  CHECK(launch(1, 1, 1024, 0) == kSuccess);
  CHECK(launch(1, 1, 1025, 0) == kInvalidValue);
  CHECK(launch(0, 1, 64, 0) == kInvalidValue);
  CHECK(launch(1, 65536, 64, 0) == kInvalidValue);
  CHECK(launch(1, 1, 64, 49152) == kSuccess);
  CHECK(launch(1, 1, 64, 49153) == kInvalidValue);
  CHECK(cuda.cuFuncSetAttribute(kernel.function, kFunctionMaxDynamicSharedBytes, 232448) == kSuccess);
  CHECK(launch(1, 1, 64, 232448) == kSuccess);
  CHECK(cuda.cuFuncSetAttribute(kernel.function, kFunctionMaxDynamicSharedBytes, 232449) == kInvalidValue);
  int value = -1;
  CHECK(cuda.cuFuncGetAttribute(&value, kFunctionMaxDynamicSharedBytes, kernel.function) == kSuccess);
  CHECK(value == 232448);
  CHECK(cuda.cuFuncGetAttribute(&value, kFunctionMaxThreadsPerBlock, kernel.function) == kSuccess);
  CHECK(value == 1024);
  CHECK(cuda.cuStreamSynchronize(stream) == kSuccess);
  CHECK(cuda.counts().misuses > 0);
}

TEST_CASE_FIXTURE(Fixture, "modules and functions are found, or not") {
  FunctionHandle none = nullptr;
  CHECK(cuda.cuModuleGetFunction(&none, kernel.module, "add_two") == kNotFound);
  ModuleHandle other = nullptr;
  CHECK(cuda.cuModuleLoadData(&other, "no PTX at all") == kInvalidPtx);
  CHECK(cuda.cuModuleLoadData(&other, driver_test::add_one_ptx("6.3", "add_one", "sm_100").c_str()) == kNoBinaryForGpu);
  CHECK(cuda.cuModuleLoadData(&other, driver_test::add_one_ptx("9.1").c_str()) == kUnsupportedPtxVersion);
  CHECK(cuda.cuModuleLoadData(&other, driver_test::add_one_ptx("9.0").c_str()) == kSuccess);
  CHECK(cuda.cuModuleUnload(other) == kSuccess);
  CHECK(cuda.cuModuleUnload(other) == kInvalidHandle);
  CHECK(cuda.cuModuleGetFunction(&none, other, "add_one") == kInvalidHandle);
}

namespace {

template <typename T>
void append(std::string& bytes, T value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// An entry of a fatbin as `fatbinary` writes it.
std::string entry_of(uint16_t kind, uint32_t target, const std::string& payload, uint64_t flags = 0x11) {
  std::string bytes;
  append<uint16_t>(bytes, kind);
  append<uint16_t>(bytes, 0x0101);
  append<uint32_t>(bytes, 64);
  append<uint64_t>(bytes, payload.size());
  append<uint64_t>(bytes, 0);
  append<uint32_t>(bytes, 0x00090000);
  append<uint32_t>(bytes, target);
  append<uint64_t>(bytes, 0);
  append<uint64_t>(bytes, flags);
  bytes.resize(64);
  return bytes + payload;
}

std::string fatbin_of(const std::string& entries) {
  std::string bytes;
  append<uint32_t>(bytes, 0xBA55ED50);
  append<uint16_t>(bytes, 1);
  append<uint16_t>(bytes, 16);
  append<uint64_t>(bytes, entries.size());
  return bytes + entries;
}

// Machine code as ptxas writes it, as far as the registers of one kernel go.
std::string elf_of(const std::string& kernel, uint32_t registers) {
  const std::string code = ".text." + kernel;
  const std::string names = std::string(1, '\0') + code + std::string(1, '\0');
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_shoff = sizeof header + names.size();
  header.e_shentsize = sizeof(Elf64_Shdr);
  header.e_shnum = 3;
  header.e_shstrndx = 1;
  Elf64_Shdr sections[3]{};
  sections[1].sh_offset = sizeof header;
  sections[1].sh_size = names.size();
  sections[2].sh_name = 1;
  sections[2].sh_info = registers << 24 | 16;
  std::string bytes;
  append(bytes, header);
  bytes += names;
  append(bytes, sections);
  return bytes;
}

}  // namespace

TEST_CASE_FIXTURE(Fixture, "a kernel's registers come from the machine code, and bound its blocks") {
  const std::string image = fatbin_of(entry_of(1, 75, driver_test::add_one_ptx()) + entry_of(2, 80, elf_of("add_one", 8)) +
                                      entry_of(2, 90, elf_of("add_one", 72)) + entry_of(2, 100, elf_of("add_one", 255)));
  ModuleHandle module = nullptr;
  FunctionHandle function = nullptr;
  REQUIRE(cuda.cuModuleLoadData(&module, image.c_str()) == kSuccess);
  REQUIRE(cuda.cuModuleGetFunction(&function, module, "add_one") == kSuccess);
  int value = 0;
  CHECK(cuda.cuFuncGetAttribute(&value, kFunctionRegisters, function) == kSuccess);
  CHECK(value == 72);
  CHECK(cuda.cuFuncGetAttribute(&value, kFunctionMaxThreadsPerBlock, function) == kSuccess);
  CHECK(value == 896);
  AddOne arguments{words, 0};
  void* parameters[] = {&arguments};
  CHECK(cuda.cuLaunchKernel(function, 1, 1, 1, 896, 1, 1, 0, stream, parameters, nullptr) == kSuccess);
  CHECK(cuda.cuLaunchKernel(function, 1, 1, 1, 897, 1, 1, 0, stream, parameters, nullptr) == kLaunchOutOfResources);
  CHECK(cuda.cuStreamSynchronize(stream) == kSuccess);
  CHECK(cuda.cuModuleUnload(module) == kSuccess);
}

TEST_CASE_FIXTURE(Fixture, "of a fatbin the newest PTX that the device and the driver take is loaded") {
  const auto ptx = [](const char* name, const char* target, const char* version = "6.3") { return driver_test::add_one_ptx(version, name, target); };
  const std::string good = entry_of(1, 75, ptx("of_75", "sm_75")) + entry_of(1, 80, ptx("of_80", "sm_80")) + entry_of(1, 100, ptx("of_100", "sm_100")) +
                           entry_of(1, 90, ptx("too_new", "sm_90", "9.1"));
  ModuleHandle module = nullptr;
  FunctionHandle function = nullptr;
  REQUIRE(cuda.cuModuleLoadData(&module, fatbin_of(good).c_str()) == kSuccess);
  CHECK(cuda.cuModuleGetFunction(&function, module, "of_80") == kSuccess);
  CHECK(cuda.cuModuleGetFunction(&function, module, "of_75") == kNotFound);
  CHECK(cuda.cuModuleUnload(module) == kSuccess);
  CHECK(cuda.cuModuleLoadData(&module, fatbin_of(entry_of(1, 100, ptx("of_100", "sm_100"))).c_str()) == kNoBinaryForGpu);
  CHECK(cuda.cuModuleLoadData(&module, fatbin_of(entry_of(1, 75, ptx("packed", "sm_75"), 0x8011)).c_str()) == kInvalidImage);
  std::string cut = fatbin_of(good);
  cut[24] = '\x7f';  // an entry's size, beyond the end
  cut[26] = '\x7f';
  CHECK(cuda.cuModuleLoadData(&module, cut.c_str()) == kInvalidImage);
}

CUDA_SCENARIO(kernel_fault) {
  const auto& cuda = driver();
  enter();
  const driver_test::Kernel kernel = load_add_one();
  StreamHandle stream = nullptr;
  EXPECT(cuda.cuStreamCreate(&stream, kStreamNonBlocking) == kSuccess);
  DeviceAddress words = 0;
  EXPECT(cuda.cuMemAlloc_v2(&words, 400) == kSuccess);
  EXPECT(cuda.cuMemsetD8Async(words, 0, 400, stream) == kSuccess);
  EXPECT(launch_add_one(kernel.function, words, 101, stream) == kSuccess);  // one word too many
  const int told = cuda.cuStreamSynchronize(stream);
  EXPECT(told == kIllegalAddress);
  DeviceAddress more = 0;
  size_t free_bytes = 0;
  EXPECT(cuda.cuMemAlloc_v2(&more, 16) == kIllegalAddress);
  EXPECT(cuda.cuMemFree_v2(words) == kIllegalAddress);
  EXPECT(cuda.cuMemGetInfo_v2(&free_bytes, &free_bytes) == kIllegalAddress);
  EXPECT(cuda.cuStreamDestroy_v2(stream) == kIllegalAddress);
  EXPECT(launch_add_one(kernel.function, words, 1, stream) == kIllegalAddress);
  EXPECT(cuda.cuDevicePrimaryCtxRelease_v2(0) == kIllegalAddress);
  ContextHandle context = nullptr;
  EXPECT(cuda.cuDevicePrimaryCtxRetain(&context, 0) == kIllegalAddress);
  int count = 0;
  EXPECT(cuda.cuDeviceGetCount(&count) == kSuccess);
  EXPECT(cuda.counts().failed_contexts == 1);
  EXPECT(cuda.counts().after_failure >= 7);
  EXPECT(cuda.counts().misuses == 0);
  return "";
}

TEST_CASE("a kernel that reads beyond its memory kills the context for good") { CHECK(in_process("kernel_fault", {}) == ""); }

CUDA_SCENARIO(freed_too_early) {
  const auto& cuda = driver();
  enter();
  const driver_test::Kernel kernel = load_add_one();
  StreamHandle stream = nullptr;
  EXPECT(cuda.cuStreamCreate(&stream, kStreamNonBlocking) == kSuccess);
  DeviceAddress words = 0;
  EXPECT(cuda.cuMemAlloc_v2(&words, 4096) == kSuccess);
  EXPECT(cuda.cuMemsetD8Async(words, 0, 4096, stream) == kSuccess);
  EXPECT(cuda.cuStreamSynchronize(stream) == kSuccess);
  EXPECT(launch_add_one(kernel.function, words, 10, stream) == kSuccess);
  EXPECT(cuda.cuMemFree_v2(words) == kSuccess);
  EXPECT(cuda.misuses().find("freed while a launch of add_one on them had still to run") != std::string::npos);
  EXPECT(cuda.cuStreamSynchronize(stream) == kIllegalAddress);
  return "";
}

TEST_CASE("a kernel whose memory is freed before it runs is told, and faults") { CHECK(in_process("freed_too_early", {}) == ""); }

CUDA_SCENARIO(fault_on_demand) {
  const auto& cuda = driver();
  enter();
  const driver_test::Kernel kernel = load_add_one();
  StreamHandle stream = nullptr;
  EXPECT(cuda.cuStreamCreate(&stream, kStreamNonBlocking) == kSuccess);
  DeviceAddress words = 0;
  EXPECT(cuda.cuMemAlloc_v2(&words, 4096) == kSuccess);
  EXPECT(cuda.cuMemsetD8Async(words, 0, 4096, stream) == kSuccess);
  EXPECT(launch_add_one(kernel.function, words, 10, stream) == kSuccess);
  EXPECT(cuda.cuStreamSynchronize(stream) == kSuccess);
  EXPECT(launch_add_one(kernel.function, words, 10, stream) == kSuccess);
  EXPECT(cuda.cuStreamSynchronize(stream) == kLaunchFailed);
  EXPECT(cuda.cuMemFree_v2(words) == kLaunchFailed);
  return "";
}

TEST_CASE("the nth launch faults when that is asked for") { CHECK(in_process("fault_on_demand", {{"SOFTWARE_CUDA_FAULT", "kernel-fault:2:719"}}) == ""); }
