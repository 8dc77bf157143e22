// The device's context on the calling thread: contexts are per thread, and others in the process have theirs.
#pragma once

#include "device/cuda/device.h"

namespace manyscale::cuda {

class Device::Current {
 public:
  explicit Current(Device& device) : api_(device.api_) {
    if (device.failed()) throw Error(ErrorCode::kDeviceFailed, device.failure());
    api_.cuCtxGetCurrent(&before_);
    if (before_ == device.context_) return;
    device.check("cuCtxSetCurrent", api_.cuCtxSetCurrent(device.context_));
    changed_ = true;
  }
  ~Current() {
    if (changed_) api_.cuCtxSetCurrent(before_);
  }
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;

 private:
  const DriverApi& api_;
  ContextHandle before_ = nullptr;
  bool changed_ = false;
};

}  // namespace manyscale::cuda
