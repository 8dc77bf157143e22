#include "device/cuda/device.h"

#include <algorithm>
#include <iterator>

#include "device/cuda/current.h"
#include "device/cuda/kernels.h"
#include "device/cuda/stream.h"

namespace manyscale::cuda {
namespace {

// Errors after which the context answers nothing else any more: a fault of a kernel or of the hardware.
constexpr int kSticky[] = {
    214 /* ECC_UNCORRECTABLE */,
    220 /* NVLINK_UNCORRECTABLE */,
    700 /* ILLEGAL_ADDRESS */,
    702 /* LAUNCH_TIMEOUT */,
    709 /* CONTEXT_IS_DESTROYED */,
    710 /* ASSERT */,
    714 /* HARDWARE_STACK_ERROR */,
    715 /* ILLEGAL_INSTRUCTION */,
    716 /* MISALIGNED_ADDRESS */,
    717 /* INVALID_ADDRESS_SPACE */,
    718 /* INVALID_PC */,
    719 /* LAUNCH_FAILED */,
    999 /* UNKNOWN */,
};

std::string name_of(const DeviceInfo& info) { return "GPU " + std::to_string(info.ordinal) + " (" + info.name + ")"; }

struct Registry {
  std::mutex mutex;
  std::map<int, std::unique_ptr<Device>> devices;
};
Registry& registry() {
  static auto* const all = new Registry;  // leaked: nothing is destroyed at exit
  return *all;
}

}  // namespace

PinnedMemory::~PinnedMemory() {
  if (device_.failed()) return;
  try {
    const Device::Current current(device_);
    device_.api_.cuMemFreeHost(data_);
  } catch (...) {  // the device has failed: the memory stays
  }
}

Device& Device::open(int ordinal) {
  const Driver& driver = Driver::instance();
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  auto& device = all.devices[ordinal];
  if (!device) {
    try {
      device.reset(new Device(driver, ordinal));
    } catch (...) {
      all.devices.erase(ordinal);
      throw;
    }
  }
  if (device->failed()) throw Error(ErrorCode::kDeviceUnavailable, device->failure());
  return *device;
}

int Device::count() noexcept {
  try {
    return Driver::instance().device_count();
  } catch (...) {
    return 0;
  }
}

Device::Device(const Driver& driver, int ordinal) : driver_(driver), api_(driver.api()), info_(driver.describe(ordinal)) {
  if (embedded_modules().empty()) {
    throw Error(ErrorCode::kDeviceUnavailable, "Expected kernels for " + name_of(info_) +
                                                   " but received a build of manyscale without them; build it where nvcc 11.8 or newer is, or stay on the CPU");
  }
  DeviceHandle device = 0;
  api_.cuDeviceGet(&device, ordinal);
  if (const int error = api_.cuDevicePrimaryCtxRetain(&context_, device); error != kSuccess) {
    throw Error(ErrorCode::kDeviceUnavailable, "Expected a context of " + name_of(info_) + " but received: " + driver.text("cuDevicePrimaryCtxRetain", error) +
                                                   "; look with nvidia-smi whether its memory is full or its mode is exclusive");
  }
  try {
    const Current current(*this);
    load_modules();
  } catch (...) {
    api_.cuDevicePrimaryCtxRelease_v2(device);
    throw;
  }
}

std::string Device::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

void Device::check(const char* call, int error) {
  if (error == kSuccess) return;
  const std::string text = driver_.text(call, error);
  if (error == kErrorOutOfMemory) {
    throw Error(ErrorCode::kOutOfMemory, "Expected memory of " + name_of(info_) + " but received: " + text + "; use smaller scales or fewer images at once");
  }
  if (std::find(std::begin(kSticky), std::end(kSticky), error) != std::end(kSticky)) {
    const std::lock_guard lock(mutex_);
    if (failure_.empty()) {
      failure_ = "Expected " + name_of(info_) + " to work but received: " + text + "; it is set aside until the process is started anew";
      failed_.store(true, std::memory_order_release);
    }
    throw Error(ErrorCode::kDeviceFailed, failure_);
  }
  throw Error(ErrorCode::kDeviceFailed, "Expected " + name_of(info_) + " to work but received: " + text);
}

Buffer Device::allocate(size_t bytes) {
  const Current current(*this);
  DeviceAddress address = 0;
  check("cuMemAlloc_v2", api_.cuMemAlloc_v2(&address, std::max<size_t>(bytes, 1)));
  return {static_cast<uintptr_t>(address), 0};
}

void Device::release(Buffer buffer) noexcept {
  if (failed()) return;
  try {
    const Current current(*this);
    check("cuMemFree_v2", api_.cuMemFree_v2(buffer.handle));
  } catch (...) {  // failed by now: the memory stays
  }
}

int64_t Device::free_bytes() {
  const Current current(*this);
  size_t free = 0;
  size_t total = 0;
  check("cuMemGetInfo_v2", api_.cuMemGetInfo_v2(&free, &total));
  return static_cast<int64_t>(free);
}

std::unique_ptr<PinnedMemory> Device::pin(size_t bytes) {
  const Current current(*this);
  void* data = nullptr;
  check("cuMemHostAlloc", api_.cuMemHostAlloc(&data, std::max<size_t>(bytes, 1), kHostAllocPortable));
  return std::unique_ptr<PinnedMemory>(new PinnedMemory(*this, static_cast<std::byte*>(data), bytes));
}

std::unique_ptr<Stream> Device::make_stream() {
  const Current current(*this);
  StreamHandle stream = nullptr;
  check("cuStreamCreate", api_.cuStreamCreate(&stream, kStreamNonBlocking));
  return std::unique_ptr<Stream>(new Stream(*this, stream));
}

void Device::load_modules() {
  for (const EmbeddedModule& embedded : embedded_modules()) {
    ModuleHandle module = nullptr;
    const int error = api_.cuModuleLoadData(&module, embedded.data);
    if (error == kErrorInvalidImage || error == kErrorNoBinaryForGpu || error == kErrorInvalidPtx || error == kErrorUnsupportedPtxVersion) {
      throw Error(ErrorCode::kDeviceUnavailable, "Expected kernels that " + name_of(info_) + ", of compute capability " + std::to_string(info_.major) + "." +
                                                     std::to_string(info_.minor) + ", and its driver for CUDA " + std::to_string(driver_.version() / 1000) +
                                                     "." + std::to_string(driver_.version() % 1000 / 10) +
                                                     " can load but received: " + driver_.text("cuModuleLoadData", error) +
                                                     "; install a newer driver, or build manyscale on this machine with its own nvcc");
    }
    check("cuModuleLoadData", error);
    modules_.push_back(module);
  }
}

FunctionHandle Device::kernel(const Launch& launch) {
  const std::lock_guard lock(kernels_mutex_);
  Kernel& kernel = kernels_[launch.kernel];
  for (size_t i = 0; !kernel.function && i < modules_.size(); i++) {
    const int error = api_.cuModuleGetFunction(&kernel.function, modules_[i], launch.kernel.c_str());
    if (error == kErrorNotFound)
      kernel.function = nullptr;
    else
      check("cuModuleGetFunction", error);
  }
  if (!kernel.function) throw Error(ErrorCode::kDeviceUnavailable, "Expected a kernel '" + launch.kernel + "' in this build of manyscale but received none");
  if (launch.shared_bytes > kernel.shared_bytes) {
    check("cuFuncSetAttribute", api_.cuFuncSetAttribute(kernel.function, kFunctionMaxDynamicSharedBytes, static_cast<int>(launch.shared_bytes)));
    kernel.shared_bytes = launch.shared_bytes;
  }
  return kernel.function;
}

}  // namespace manyscale::cuda
