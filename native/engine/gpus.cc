#include "engine/gpus.h"

#include "device/cuda/driver.h"

namespace manyscale::engine {

GpuDescription describe_gpus() {
  const cuda::DriverDescription driver = cuda::describe_driver();
  GpuDescription description;
  description.version = driver.version;
  description.path = driver.path;
  description.reason = driver.reason;
  // The driver and pool's kernel are there; split's and the engine's way through device memory are not.
  if (description.reason.empty()) description.reason = "this version of manyscale does not compute on GPUs yet";
  for (const cuda::DeviceInfo& device : driver.devices) {
    description.gpus.push_back(
        {device.ordinal, device.name, std::to_string(device.major) + "." + std::to_string(device.minor), device.total_bytes, device.integrated});
  }
  return description;
}

}  // namespace manyscale::engine
