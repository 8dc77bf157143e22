// Machines whose driver does not work as it should: each case runs in a process of its own, with the environment that CMakeLists.txt gives it.
#include <doctest/doctest.h>

#include <string>

#include "device/cuda/device.h"

namespace manyscale::cuda {
namespace {

Error error_of_open() {
  try {
    Device::open(0);
  } catch (const Error& error) {
    return error;
  }
  return Error(ErrorCode::kInvalidArgument, "the device opened");
}

bool has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

TEST_CASE("no driver" * doctest::skip()) {
  const DriverDescription description = describe_driver();
  if (description.version != 0) return;  // a machine with a GPU
  CHECK(has(description.reason, "libcuda.so.1"));
  CHECK(description.devices.empty());
  CHECK(Device::count() == 0);
  const Error error = error_of_open();
  CHECK(error.code() == ErrorCode::kDeviceUnavailable);
  CHECK(has(error.what(), "Expected NVIDIA's driver"));
}

TEST_CASE("no device" * doctest::skip()) {
  CHECK(has(describe_driver().reason, "CUDA_ERROR_NO_DEVICE (100)"));
  const Error error = error_of_open();
  CHECK(error.code() == ErrorCode::kDeviceUnavailable);
  CHECK(has(error.what(), "nvidia-smi"));
}

TEST_CASE("init fails" * doctest::skip()) {
  CHECK(has(describe_driver().reason, "(803)"));
  CHECK(error_of_open().code() == ErrorCode::kDeviceUnavailable);
}

TEST_CASE("too old" * doctest::skip()) {
  const Error error = error_of_open();
  CHECK(error.code() == ErrorCode::kDeviceUnavailable);
  INFO(error.what());
  CHECK((has(error.what(), "newer driver") || has(error.what(), "install a driver")));
}

TEST_CASE("small" * doctest::skip()) {
  Device& device = Device::open(0);
  const int64_t free = device.free_bytes();
  CHECK_THROWS_AS(device.allocate(size_t{1} << 30), Error);
  CHECK(!device.failed());
  const Buffer buffer = device.allocate(1 << 20);
  CHECK(device.free_bytes() <= free - (1 << 20));
  device.release(buffer);
  CHECK(device.free_bytes() == free);
}

}  // namespace
}  // namespace manyscale::cuda
