#include "device/cuda/driver.h"

#include <dlfcn.h>
#include <link.h>

#include <array>
#include <cstdio>
#include <memory>
#include <mutex>

#include "device/cuda/kernels.h"

namespace manyscale::cuda {
namespace {

constexpr const char* kLibrary = "libcuda.so.1";

[[noreturn]] void throw_unavailable(const std::string& received, const std::string& remedy) {
  throw Error(ErrorCode::kDeviceUnavailable, "Expected NVIDIA's driver but received " + received + "; " + remedy);
}

std::string path_of(void* library) {
  const link_map* map = nullptr;
  return dlinfo(library, RTLD_DI_LINKMAP, static_cast<void*>(&map)) == 0 && map ? map->l_name : kLibrary;
}

std::string uuid_text(const Uuid& uuid) {
  std::string text = "GPU-";
  for (size_t i = 0; i < sizeof uuid.bytes; i++) {
    std::array<char, 3> hex{};
    std::snprintf(hex.data(), hex.size(), "%02x", uuid.bytes[i]);
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += hex.data();
  }
  return text;
}

}  // namespace

const Driver& Driver::instance() {
  static auto* const mutex = new std::mutex;  // leaked, as all that outlives environments
  static const Driver* opened = nullptr;
  const std::lock_guard lock(*mutex);
  if (opened) return *opened;
  void* const library = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char* const reason = dlerror();
    throw_unavailable(reason ? reason : "an unknown error of the dynamic loader",
                      "install it, or in a container let the host's in (docs/gpu.md), or stay on the CPU");
  }
  auto driver = std::make_unique<Driver>();
  driver->path_ = path_of(library);
#define MANYSCALE_CUDA_READ(name, parameters)                                               \
  driver->api_.name = reinterpret_cast<decltype(driver->api_.name)>(dlsym(library, #name)); \
  if (!driver->api_.name) throw_unavailable("'" + driver->path_ + "' without " #name, "install a driver for CUDA 11 or newer");
  MANYSCALE_CUDA_FUNCTIONS(MANYSCALE_CUDA_READ)
#undef MANYSCALE_CUDA_READ
  if (const int error = driver->api_.cuInit(0); error != kSuccess) {
    throw_unavailable(driver->text("cuInit", error), error == kErrorNoDevice
                                                         ? "look whether nvidia-smi sees a GPU and CUDA_VISIBLE_DEVICES hides none"
                                                         : "look whether nvidia-smi works, and restart the machine after an update of the driver");
  }
  driver->api_.cuDriverGetVersion(&driver->version_);
  opened = driver.release();  // never closed
  return *opened;
}

std::string Driver::text(const char* call, int error) const {
  const char* name = nullptr;
  const char* words = nullptr;
  api_.cuGetErrorName(error, &name);
  api_.cuGetErrorString(error, &words);
  return std::string(call) + " says " + (name ? name : "an unknown error") + " (" + std::to_string(error) + ")" + (words ? ", " + std::string(words) : "");
}

int Driver::device_count() const {
  int count = 0;
  if (const int error = api_.cuDeviceGetCount(&count); error != kSuccess) throw_unavailable(text("cuDeviceGetCount", error), "look whether nvidia-smi works");
  return count;
}

DeviceInfo Driver::describe(int ordinal) const {
  const auto check = [&](const char* call, int error) {
    if (error == kSuccess) return;
    throw Error(ErrorCode::kDeviceUnavailable, "Expected GPU " + std::to_string(ordinal) + " but received: " + text(call, error) + "; take one of the " +
                                                   std::to_string(device_count()) + " that 'manyscale doctor' lists");
  };
  DeviceHandle device = 0;
  check("cuDeviceGet", api_.cuDeviceGet(&device, ordinal));
  DeviceInfo info;
  info.ordinal = ordinal;
  std::array<char, 256> name{};
  check("cuDeviceGetName", api_.cuDeviceGetName(name.data(), static_cast<int>(name.size()) - 1, device));
  info.name = name.data();
  const auto attribute = [&](int which) {
    int value = 0;
    check("cuDeviceGetAttribute", api_.cuDeviceGetAttribute(&value, which, device));
    return value;
  };
  info.major = attribute(kComputeCapabilityMajor);
  info.minor = attribute(kComputeCapabilityMinor);
  info.multiprocessors = attribute(kMultiprocessorCount);
  info.l2_bytes = attribute(kL2CacheSize);
  info.integrated = attribute(kIntegrated) != 0;
  size_t bytes = 0;
  check("cuDeviceTotalMem_v2", api_.cuDeviceTotalMem_v2(&bytes, device));
  info.total_bytes = static_cast<int64_t>(bytes);
  Uuid uuid{};
  check("cuDeviceGetUuid", api_.cuDeviceGetUuid(&uuid, device));
  info.uuid = uuid_text(uuid);
  return info;
}

DriverDescription describe_driver() noexcept {
  DriverDescription description;
  description.has_kernels = !embedded_modules().empty();
  try {
    const Driver& driver = Driver::instance();
    description.path = driver.path();
    description.version = driver.version();
    const int count = driver.device_count();
    for (int ordinal = 0; ordinal < count; ordinal++) description.devices.push_back(driver.describe(ordinal));
    if (count == 0) description.reason = "the driver has no GPU";
    if (!description.has_kernels) description.reason = "this build of manyscale has no kernels for GPUs: it was made without nvcc";
  } catch (...) {
    try {
      description.reason = current_error().what();
    } catch (...) {  // no memory for words
    }
  }
  return description;
}

}  // namespace manyscale::cuda
