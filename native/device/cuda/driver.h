// NVIDIA's driver, opened at run time: nothing links against it, and a machine without one only has no GPUs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/error.h"
#include "device/cuda/driver_api.h"

namespace manyscale::cuda {

struct DeviceInfo {
  int ordinal = 0;
  std::string name;
  int major = 0;  // compute capability
  int minor = 0;
  int multiprocessors = 0;
  int64_t total_bytes = 0;
  int64_t l2_bytes = 0;
  bool integrated = false;  // shares the host's memory
  std::string uuid;         // 'GPU-...' as nvidia-smi has it
};

struct DriverDescription {
  int version = 0;  // 13000 is CUDA 13.0; 0 without a driver
  std::string path;
  std::string reason;  // why no GPU can be used, or ''
  std::vector<DeviceInfo> devices;
  bool has_kernels = false;  // the addon was built with nvcc
};

// Opens the driver, if that was not done yet. Never throws: what is wrong is the reason.
DriverDescription describe_driver() noexcept;

class Driver {
 public:
  // Opened and initialised at first use and never closed; a failure is not remembered. Error kDeviceUnavailable.
  static const Driver& instance();

  const DriverApi& api() const noexcept { return api_; }
  const std::string& path() const noexcept { return path_; }
  int version() const noexcept { return version_; }
  int device_count() const;                // Error kDeviceUnavailable
  DeviceInfo describe(int ordinal) const;  // Error kDeviceUnavailable

  // "cuMemAlloc_v2 says CUDA_ERROR_OUT_OF_MEMORY (2), out of memory"
  std::string text(const char* call, int error) const;

 private:
  DriverApi api_;
  std::string path_;
  int version_ = 0;
};

}  // namespace manyscale::cuda
