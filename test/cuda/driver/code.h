// Kernels as the rest of the stand-in sees them: the machine's interpreter and its report behind a few lines.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cuda_api.h"

namespace software_cuda {

class DeviceMemory;
struct Settings;

struct KernelFacts {
  std::vector<size_t> parameter_offsets;
  std::vector<size_t> parameter_bytes;
  size_t parameters_end = 0;  // bytes of all of them
  int static_shared = 0;
  int most_threads = 1024;  // of a block, where the kernel bounds it
};

struct LaunchDescription {
  uint32_t grid[3];
  uint32_t block[3];
  uint32_t shared_bytes = 0;  // dynamic
  int registers = 0;
  std::vector<std::byte> parameters;
};

struct LaunchOutcome {
  Result fault = kSuccess;
  std::string text;                         // of the fault
  std::map<std::string, uint64_t> traffic;  // where it is counted
};

class Code {
 public:
  // Throws std::runtime_error with what cannot be read.
  static std::shared_ptr<const Code> parse(const std::string& ptx);
  virtual ~Code() = default;
  virtual const KernelFacts* find(const std::string& kernel) const = 0;
  // On the calling thread and as many beside it as the settings allow.
  virtual LaunchOutcome run(const std::string& kernel, DeviceMemory& memory, const LaunchDescription& launch, const Settings& settings) const = 0;
};

}  // namespace software_cuda
