// cuInit, devices and contexts.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>

#include "device_limits.h"
#include "world.h"

using namespace software_cuda;  // NOLINT: the file is the interface's

namespace {

std::string device_name(const Settings& settings) {
  return std::string("Software CUDA device (as ") + (settings.integrated ? "integrated, " : "") + "sm_" + std::to_string(settings.major * 10 + settings.minor) +
         ")";
}

Result check_device(Call& call, int device) {
  if (const Result result = call.begin()) return result;
  return device >= 0 && device < call.world().settings.devices ? kSuccess : kInvalidDevice;
}

int64_t attribute_of(const Settings& settings, int device, int attribute, bool& known) {
  known = true;
  switch (attribute) {
    case kMaxThreadsPerBlock: return 1024;
    case kMaxBlockDimX:
    case kMaxBlockDimY: return 1024;
    case kMaxBlockDimZ: return 64;
    case kMaxGridDimX: return 2147483647;
    case kMaxGridDimY:
    case kMaxGridDimZ: return 65535;
    case kMaxSharedMemoryPerBlock: return 49152;
    case kTotalConstantMemory: return 65536;
    case kWarpSize: return 32;
    case kMaxRegistersPerBlock:
    case kMaxRegistersPerMultiprocessor: return 65536;
    case kClockRate: return settings.integrated ? 1300000 : 1980000;
    case kMultiprocessorCount: return settings.multiprocessors;
    case kIntegrated: return settings.integrated;
    case kCanMapHostMemory:
    case kConcurrentKernels:
    case kUnifiedAddressing:
    case kStreamPrioritiesSupported:
    case kManagedMemory: return 1;
    case kComputeMode:
    case kPciDeviceId:
    case kPciDomainId:
    case kPageableMemoryAccess: return 0;
    case kEccEnabled: return !settings.integrated;
    case kPciBusId: return device + 1;
    case kMemoryClockRate: return settings.integrated ? 3199000 : 2619000;
    case kGlobalMemoryBusWidth: return settings.integrated ? 256 : 5120;
    case kL2CacheSize: return settings.l2_bytes;
    case kMaxThreadsPerMultiprocessor: return limits_of(settings.major, settings.minor).threads_per_multiprocessor;
    case kAsyncEngineCount: return settings.integrated ? 2 : 3;
    case kComputeCapabilityMajor: return settings.major;
    case kComputeCapabilityMinor: return settings.minor;
    case kMaxSharedMemoryPerMultiprocessor: return limits_of(settings.major, settings.minor).shared_per_multiprocessor;
    case kMaxSharedMemoryPerBlockOptin: return limits_of(settings.major, settings.minor).shared_optin;
    case kMaxBlocksPerMultiprocessor: return limits_of(settings.major, settings.minor).blocks_per_multiprocessor;
    case kReservedSharedMemoryPerBlock: return settings.major >= 8 ? 1024 : 0;
    default: known = false; return 0;
  }
}

}  // namespace

SOFTWARE_CUDA_CALL cuInit(unsigned flags) {
  Call call("cuInit");
  World& world = call.world();
  const Settings& settings = world.settings;
  if (flags != 0) return kInvalidValue;
  if (settings.init_fails.asked) return settings.init_fails.first > 0 ? static_cast<int>(settings.init_fails.first) : kUnknown;
  if (settings.no_device.asked || settings.devices == 0) return kNoDevice;
  world.initialized = true;
  return kSuccess;
}

SOFTWARE_CUDA_CALL cuDriverGetVersion(int* version) {
  Call call("cuDriverGetVersion");
  if (!version) return kInvalidValue;
  *version = call.world().settings.driver_version;
  return kSuccess;
}

SOFTWARE_CUDA_CALL cuDeviceGetCount(int* count) {
  Call call("cuDeviceGetCount");
  if (const Result result = call.begin()) return result;
  if (!count) return kInvalidValue;
  *count = call.world().settings.devices;
  return kSuccess;
}

SOFTWARE_CUDA_CALL cuDeviceGet(DeviceOrdinal* device, int ordinal) {
  Call call("cuDeviceGet");
  if (const Result result = check_device(call, ordinal)) return result;
  if (!device) return kInvalidValue;
  *device = ordinal;
  return kSuccess;
}

SOFTWARE_CUDA_CALL cuDeviceGetName(char* name, int bytes, DeviceOrdinal device) {
  Call call("cuDeviceGetName");
  if (const Result result = check_device(call, device)) return result;
  if (!name || bytes < 1) return kInvalidValue;
  std::snprintf(name, static_cast<size_t>(bytes), "%s", device_name(call.world().settings).c_str());
  return kSuccess;
}

SOFTWARE_CUDA_CALL cuDeviceGetAttribute(int* value, int attribute, DeviceOrdinal device) {
  Call call("cuDeviceGetAttribute");
  if (const Result result = check_device(call, device)) return result;
  if (!value) return kInvalidValue;
  bool known = false;
  const int64_t found = attribute_of(call.world().settings, device, attribute, known);
  if (!known) return call.misuse(kInvalidValue, "attribute " + std::to_string(attribute) + ", which the stand-in does not know");
  *value = static_cast<int>(std::min<int64_t>(found, 2147483647));
  return kSuccess;
}

SOFTWARE_CUDA_CALL cuDeviceTotalMem_v2(size_t* bytes, DeviceOrdinal device) {
  Call call("cuDeviceTotalMem_v2");
  if (const Result result = check_device(call, device)) return result;
  if (!bytes) return kInvalidValue;
  *bytes = static_cast<size_t>(call.world().settings.memory);
  return kSuccess;
}

SOFTWARE_CUDA_CALL cuDeviceGetUuid(Uuid* uuid, DeviceOrdinal device) {
  Call call("cuDeviceGetUuid");
  if (const Result result = check_device(call, device)) return result;
  if (!uuid) return kInvalidValue;
  constexpr char kText[] = "software-cuda-";
  std::memcpy(uuid->bytes, kText, sizeof kText - 1);
  uuid->bytes[14] = 0;
  uuid->bytes[15] = static_cast<unsigned char>(device);
  return kSuccess;
}

SOFTWARE_CUDA_CALL cuDeviceGetUuid_v2(Uuid* uuid, DeviceOrdinal device) { return cuDeviceGetUuid(uuid, device); }

SOFTWARE_CUDA_CALL cuDevicePrimaryCtxRetain(ContextHandle* handle, DeviceOrdinal device) {
  Call call("cuDevicePrimaryCtxRetain");
  if (const Result result = check_device(call, device)) return result;
  if (!handle) return kInvalidValue;
  World& world = call.world();
  Context& context = *world.contexts[static_cast<size_t>(device)];
  if (context.alive && context.failure != kSuccess) return call.check(context);
  if (!context.alive) {
    context.memory = std::make_unique<DeviceMemory>(static_cast<size_t>(world.settings.memory));
    context.default_queue = world.scheduler.add(&context);
    context.alive = true;
  }
  context.references++;
  *handle = reinterpret_cast<ContextHandle>(context.handle);
  return kSuccess;
}

SOFTWARE_CUDA_CALL cuDevicePrimaryCtxRelease_v2(DeviceOrdinal device) {
  Call call("cuDevicePrimaryCtxRelease_v2");
  if (const Result result = check_device(call, device)) return result;
  World& world = call.world();
  Context& context = *world.contexts[static_cast<size_t>(device)];
  if (context.references == 0) return call.misuse(kInvalidContext, "more often than it was retained");
  // A dead context stays as it is: its failure is for the whole process.
  if (const Result failure = call.check(context)) return failure;
  if (--context.references == 0) world.destroy(call.lock(), context);
  return kSuccess;
}

SOFTWARE_CUDA_CALL cuCtxSetCurrent(ContextHandle handle) {
  Call call("cuCtxSetCurrent");
  if (const Result result = call.begin()) return result;
  if (!handle) {
    current_context() = nullptr;
    return kSuccess;
  }
  Context* const* context = call.world().context_handles.find(handle);
  if (!context) return call.misuse(kInvalidContext, call.world().context_handles.describe(handle));
  if (const Result result = call.check(**context)) return result;
  current_context() = *context;
  return kSuccess;
}

SOFTWARE_CUDA_CALL cuCtxGetCurrent(ContextHandle* handle) {
  Call call("cuCtxGetCurrent");
  if (const Result result = call.begin()) return result;
  if (!handle) return kInvalidValue;
  *handle = current_context() ? reinterpret_cast<ContextHandle>(current_context()->handle) : nullptr;
  return kSuccess;
}
