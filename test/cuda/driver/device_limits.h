// What the parts of a device bound, by compute capability (CUDA's programming guide, "technical specifications per compute capability").
#pragma once

namespace software_cuda {

struct Limits {
  int threads_per_multiprocessor;
  int blocks_per_multiprocessor;
  int shared_per_multiprocessor;
  int shared_optin;  // most that one block can have
};

Limits limits_of(int major, int minor) noexcept;

}  // namespace software_cuda
