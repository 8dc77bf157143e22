// The compiled kernels that the addon carries: one fatbin per operation (cmake/cuda.cmake), or none in a build without nvcc.
#pragma once

#include <span>

namespace manyscale::cuda {

struct EmbeddedModule {
  const char* name;  // of the operation
  const void* data;  // a fatbin
};

std::span<const EmbeddedModule> embedded_modules() noexcept;

}  // namespace manyscale::cuda
