#include "device/cuda/stream.h"

#include <algorithm>

#include "device/cuda/current.h"

namespace manyscale::cuda {

Stream::~Stream() {
  if (device_.failed()) return;
  try {
    const Device::Current current(device_);
    for (const Recorded& event : recorded_) device_.api_.cuEventDestroy_v2(event.handle);
    for (const EventHandle event : free_) device_.api_.cuEventDestroy_v2(event);
    device_.api_.cuStreamDestroy_v2(handle_);
  } catch (...) {  // failed by now: all of it stays
  }
}

void Stream::copy(Buffer to, Buffer from, size_t bytes, CopyDirection direction) {
  if (bytes == 0) return;
  const Device::Current current(device_);
  const DriverApi& api = device_.api_;
  const DeviceAddress to_address = to.handle + to.offset;
  const DeviceAddress from_address = from.handle + from.offset;
  switch (direction) {
    case CopyDirection::kToDevice:
      device_.check("cuMemcpyHtoDAsync_v2", api.cuMemcpyHtoDAsync_v2(to_address, host_pointer<const void>(from), bytes, handle_));
      return;
    case CopyDirection::kToHost: device_.check("cuMemcpyDtoHAsync_v2", api.cuMemcpyDtoHAsync_v2(host_pointer<void>(to), from_address, bytes, handle_)); return;
    case CopyDirection::kOnDevice: device_.check("cuMemcpyDtoDAsync_v2", api.cuMemcpyDtoDAsync_v2(to_address, from_address, bytes, handle_)); return;
  }
}

void Stream::launch(const Launch& launch) {
  const Device::Current current(device_);
  const FunctionHandle function = device_.kernel(launch);
  // One buffer with all arguments: the driver copies it before it returns.
  size_t bytes = launch.arguments.size();
  void* extra[] = {kLaunchParametersPointer, const_cast<std::byte*>(launch.arguments.data()), kLaunchParametersSize, &bytes, kLaunchParametersEnd};
  device_.check("cuLaunchKernel", device_.api_.cuLaunchKernel(function, launch.grid[0], launch.grid[1], launch.grid[2], launch.block[0], launch.block[1],
                                                              launch.block[2], launch.shared_bytes, handle_, nullptr, extra));
}

void Stream::parallel_for(int64_t, TaskBody) {
  throw Error(ErrorCode::kDeviceUnavailable, "Expected the CPU for work of the host but received a stream of GPU " + std::to_string(device_.info().ordinal));
}

Backend::Event Stream::record() {
  const std::lock_guard lock(mutex_);
  const Device::Current current(device_);
  const DriverApi& api = device_.api_;
  // Events that nobody waits for come back here.
  while (!recorded_.empty()) {
    const int state = api.cuEventQuery(recorded_.front().handle);
    if (state == kErrorNotReady) break;
    device_.check("cuEventQuery", state);
    happened(recorded_.front().number);
  }
  EventHandle event = nullptr;
  if (free_.empty()) {
    device_.check("cuEventCreate", api.cuEventCreate(&event, kEventBlockingSync | kEventDisableTiming));
    free_.push_back(event);
  }
  event = free_.back();
  device_.check("cuEventRecord", api.cuEventRecord(event, handle_));
  recorded_.push_back({last_ + 1, event});
  free_.pop_back();
  return ++last_;
}

void Stream::wait(Event event) {
  EventHandle handle = nullptr;
  {
    const std::lock_guard lock(mutex_);
    handle = find(event);
  }
  if (!handle) return;
  const Device::Current current(device_);
  // Not under the lock: others may ask for more meanwhile. Should one of them take the event for its own, it has happened, and the wait is longer.
  device_.check("cuEventSynchronize", device_.api_.cuEventSynchronize(handle));
  const std::lock_guard lock(mutex_);
  happened(event);
}

void Stream::follow(Stream& other, Event event) {
  const std::lock_guard lock(other.mutex_);  // the event is not recorded anew meanwhile
  const EventHandle handle = other.find(event);
  if (!handle) return;
  const Device::Current current(device_);
  device_.check("cuStreamWaitEvent", device_.api_.cuStreamWaitEvent(handle_, handle, 0));
}

void Stream::synchronize() {
  const Device::Current current(device_);
  device_.check("cuStreamSynchronize", device_.api_.cuStreamSynchronize(handle_));
}

EventHandle Stream::find(Event event) {
  const auto at = std::find_if(recorded_.begin(), recorded_.end(), [event](const Recorded& recorded) { return recorded.number >= event; });
  return at == recorded_.end() ? nullptr : at->handle;
}

void Stream::happened(Event event) {
  while (!recorded_.empty() && recorded_.front().number <= event) {
    free_.push_back(recorded_.front().handle);
    recorded_.pop_front();
  }
}

}  // namespace manyscale::cuda
