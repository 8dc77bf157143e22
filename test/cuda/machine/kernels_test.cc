// Kernels of the shape that split and pool have (samples/samples.cu, as nvcc compiled it), against plain loops, and errors planted in their launches.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <random>
#include <sstream>

#include "machine/machine.h"
#include "machine/values.h"

namespace software_cuda {
namespace {

const Module& samples() {
  static const std::shared_ptr<const Module> module = [] {
    std::ifstream file(SAMPLES_PTX);
    std::stringstream text;
    text << file.rdbuf();
    return Module::parse(text.str());
  }();
  return *module;
}

// Buffers at made-up addresses.
struct Memory {
  std::vector<Region> regions;
  std::vector<std::unique_ptr<std::byte[]>> owned;
  uint64_t add(size_t bytes) {
    owned.push_back(std::make_unique<std::byte[]>(bytes));
    const uint64_t address = 0x700000000000 + regions.size() * 0x10000000;
    regions.push_back({address, bytes, owned.back().get()});
    return address;
  }
  template <typename T>
  T* at(size_t region) {
    return reinterpret_cast<T*>(regions[region].host);
  }
};

template <typename T>
std::vector<std::byte> bytes_of_arguments(const T& arguments) {
  std::vector<std::byte> bytes(sizeof arguments);
  std::memcpy(bytes.data(), &arguments, sizeof arguments);
  return bytes;
}

FaultKind fault_of(const Kernel& kernel, const Memory& memory, const LaunchConfig& launch, const RunOptions& options = {}) {
  try {
    run(kernel, memory.regions, launch, options);
  } catch (const Fault& fault) {
    return fault.kind;
  }
  FAIL("no fault");
  return FaultKind::kTrap;
}

struct ResizeArguments {
  uint64_t from, to, weights;
  int32_t in, out, taps, flags = 0;
};

struct Resize {
  Memory memory;
  ResizeArguments arguments{};
  LaunchConfig launch;
  static constexpr int kIn = 301, kOut = 517, kTaps = 5;
  Resize() {
    arguments = {memory.add(kIn), memory.add(kOut * 4), memory.add(kTaps * 4), kIn, kOut, kTaps};
    std::mt19937 random(7);
    for (int i = 0; i < kIn; i++) memory.at<uint8_t>(0)[i] = static_cast<uint8_t>(random());
    for (int t = 0; t < kTaps; t++) memory.at<float>(2)[t] = static_cast<float>(random() % 1000) / 1000 - 0.3F;
    launch.grid[0] = (kOut + 127) / 128;
    launch.block[0] = 128;
    arm();
  }
  void arm() { launch.parameters = bytes_of_arguments(arguments); }
};

TEST_CASE("a resize gives what plain loops give") {
  Resize r;
  RunOptions options;
  options.outputs = {{r.arguments.to, Resize::kOut * 4, nullptr}};
  for (const int threads : {1, 3}) {
    options.threads = threads;
    run(*samples().find("resize_row"), r.memory.regions, r.launch, options);
    for (int x = 0; x < Resize::kOut; x++) {
      const int first = x * Resize::kIn / Resize::kOut - Resize::kTaps / 2;
      float sum = 0;
      for (int t = 0; t < Resize::kTaps; t++)
        sum = std::fma(r.memory.at<float>(2)[t], static_cast<float>(r.memory.at<uint8_t>(0)[std::clamp(first + t, 0, Resize::kIn - 1)]), sum);
      REQUIRE(r.memory.at<float>(1)[x] == sum);
    }
  }
}

TEST_CASE("an access beyond memory, a misaligned one and an output that is not written once are found") {
  const Kernel& kernel = *samples().find("resize_row");
  Resize beyond;
  beyond.arguments.in += 1;
  beyond.arm();
  CHECK(fault_of(kernel, beyond.memory, beyond.launch) == FaultKind::kOutOfBounds);
  Resize misaligned;
  misaligned.arguments.weights += 2;
  misaligned.arm();
  CHECK(fault_of(kernel, misaligned.memory, misaligned.launch) == FaultKind::kMisaligned);
  Resize less;
  RunOptions options;
  options.outputs = {{less.arguments.to, Resize::kOut * 4, nullptr}};
  less.arguments.out -= 1;
  less.arm();
  CHECK(fault_of(kernel, less.memory, less.launch, options) == FaultKind::kUnwritten);
  Resize twice;
  twice.launch.grid[1] = 2;
  CHECK(fault_of(kernel, twice.memory, twice.launch, options) == FaultKind::kWrittenTwice);
  Resize shared;
  shared.arguments.taps = 17;
  shared.arm();
  CHECK(fault_of(kernel, shared.memory, shared.launch) == FaultKind::kOutOfBounds);
  Resize threads;
  threads.launch.block[0] = 256;
  CHECK(fault_of(kernel, threads.memory, threads.launch) == FaultKind::kLaunch);
}

struct PoolArguments {
  uint64_t from, to;
  int32_t rows, groups, bfloat, flags = 0;
};

TEST_CASE("halves and bfloat16 are averaged as plain loops do") {
  constexpr int kRows = 9, kGroups = 70;
  for (const int bfloat : {0, 1}) {
    Memory memory;
    const PoolArguments arguments{memory.add(kRows * kGroups * 16), memory.add(kGroups * 16), kRows, kGroups, bfloat};
    std::mt19937 random(11);
    std::normal_distribution<float> normal;
    for (int i = 0; i < kRows * kGroups * 8; i++) memory.at<uint16_t>(0)[i] = bfloat ? float_to_bf16(normal(random)) : float_to_half(normal(random));
    LaunchConfig launch;
    launch.grid[0] = 2;
    launch.block[0] = 64;
    launch.parameters = bytes_of_arguments(arguments);
    RunOptions options;
    options.outputs = {{arguments.to, kGroups * 16, nullptr}};
    options.count = true;
    const Report report = run(*samples().find("pool_half"), memory.regions, launch, options);
    for (int c = 0; c < kGroups * 8; c++) {
      float sum = 0;
      for (int r = 0; r < kRows; r++) {
        const uint16_t bits = memory.at<uint16_t>(0)[r * kGroups * 8 + c];
        sum += bfloat ? bf16_to_float(bits) : half_to_float(bits);
      }
      REQUIRE(memory.at<uint16_t>(1)[c] == float_to_half(sum / kRows));
    }
    // 16 bytes of 32 lanes: 16 sectors a request; everything is touched once.
    CHECK(report.dram_read == uint64_t{kRows} * kGroups * 16);
    CHECK(report.ideal_read == report.dram_read);
    CHECK(report.dram_written == uint64_t{kGroups} * 16);
    CHECK(report.global_requests == 3 * (kRows + 1));
    CHECK(report.global_sectors == (kRows + 1) * kGroups * 16 / 32);
  }
}

struct SumArguments {
  uint64_t from, to;
  int32_t count, barrier;
};

TEST_CASE("shuffles and shared memory: a sum, and what a missing barrier does") {
  Memory memory;
  SumArguments arguments{memory.add(4000), memory.add(4), 1000, 1};
  int64_t expected = 0;
  for (int i = 0; i < 1000; i++) expected += memory.at<int32_t>(0)[i] = i * i - 5000;
  LaunchConfig launch;
  launch.block[0] = 256;
  launch.shared_bytes = 32;
  launch.parameters = bytes_of_arguments(arguments);
  run(*samples().find("block_sum"), memory.regions, launch);
  CHECK(*memory.at<int32_t>(1) == expected);
  launch.shared_bytes = 28;
  CHECK(fault_of(*samples().find("block_sum"), memory, launch) == FaultKind::kOutOfBounds);
  launch.shared_bytes = 32;
  launch.block[0] = 240;  // half a warp takes no part
  CHECK(fault_of(*samples().find("block_sum"), memory, launch) == FaultKind::kShuffle);
  launch.block[0] = 256;
  arguments.barrier = 0;
  launch.parameters = bytes_of_arguments(arguments);
  const FaultKind found = fault_of(*samples().find("block_sum"), memory, launch);
  CHECK((found == FaultKind::kUninitialised || found == FaultKind::kSharedRace));
}

TEST_CASE("what cannot be read is named with its line") {
  CHECK_THROWS_WITH(Module::parse(".version 6.3\n.target sm_75\n.visible .entry f()\n{\n  tex.1d.v4.f32 {%f1}, [x];\n}\n"),
                    doctest::Contains("PTX line 5: an instruction that the machine does not know"));
  CHECK_THROWS_WITH(Module::parse(".visible .entry f()\n{\n  bra nowhere;\n}\n"), doctest::Contains("nowhere"));
}

}  // namespace
}  // namespace software_cuda
