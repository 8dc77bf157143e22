// What GPUs there are, for those who choose one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace manyscale::engine {

struct Gpu {
  int ordinal = 0;
  std::string name;
  std::string compute_capability;  // '8.7'
  int64_t memory = 0;              // bytes
  bool integrated = false;         // shares the host's memory
};

struct GpuDescription {
  int version = 0;     // the driver's: 13000 is CUDA 13.0; 0 without one
  std::string path;    // of the driver's library, or ''
  std::string reason;  // why no GPU can be used, or ''
  std::vector<Gpu> gpus;
};

// Opens the driver, once per process.
GpuDescription describe_gpus();

}  // namespace manyscale::engine
