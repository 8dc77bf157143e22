// What cuModuleLoadData is given: plain PTX, or a fatbin with PTX and machine code for several targets. The stand-in runs the PTX; of the
// machine code it reads how many registers each kernel takes, for the launch limits.
#pragma once

#include <map>
#include <string>

#include "cuda_api.h"

namespace software_cuda {

struct Image {
  Result result = kSuccess;  // why it cannot be used, as the driver would put it
  std::string reason;
  std::string ptx;
  std::map<std::string, int> registers;  // by kernel; empty where the fatbin has no machine code for the device
};

// For a device of compute capability `capability` (87) and a driver of `driver_version` (13000).
Image read_image(const void* data, int capability, int driver_version);

}  // namespace software_cuda
