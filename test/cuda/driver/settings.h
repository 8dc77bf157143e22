// What the environment says about the machine that the stand-in pretends to be, read once at the first call. docs/software-cuda.md lists it.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace software_cuda {

// One fault on demand: "kernel-fault:3:719" is name "kernel-fault", arguments 3 and 719.
struct FaultSetting {
  bool asked = false;
  int64_t first = -1;  // -1: not given
  int64_t second = -1;
};

struct Settings {
  uint64_t seed = 1;        // SOFTWARE_CUDA_SEED
  int devices = 1;          // SOFTWARE_CUDA_DEVICES
  int64_t memory = 0;       // SOFTWARE_CUDA_MEMORY: bytes of one device, with K, M or G
  bool integrated = false;  // SOFTWARE_CUDA_INTEGRATED
  int major = 9;            // SOFTWARE_CUDA_COMPUTE, such as 8.7
  int minor = 0;
  int multiprocessors = 0;     // SOFTWARE_CUDA_MULTIPROCESSORS
  int64_t l2_bytes = 0;        // SOFTWARE_CUDA_L2
  int driver_version = 13000;  // SOFTWARE_CUDA_DRIVER, such as 12.6
  int threads = 0;             // SOFTWARE_CUDA_THREADS: of the interpreter
  bool count = false;          // SOFTWARE_CUDA_COUNT: traffic
  bool late = true;            // SOFTWARE_CUDA_LATE=0: work begins when it is asked for, as on an idle device
  std::string report;          // SOFTWARE_CUDA_REPORT
  std::string fault_text;      // SOFTWARE_CUDA_FAULT
  FaultSetting too_old, no_device, init_fails, out_of_memory, allocation_fails, pin_fails, kernel_fault, slow;
  std::string error;  // what of the variables could not be read, '' if all could
};

Settings read_settings();

}  // namespace software_cuda
