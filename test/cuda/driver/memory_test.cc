// Device memory that the host cannot touch, poison, pinned and pageable host memory.
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <vector>

#include "test_driver.h"

using namespace software_cuda;  // NOLINT
using driver_test::driver;
using driver_test::enter;

namespace {

struct Fixture {
  const driver_test::Driver& cuda = driver();
  StreamHandle stream = nullptr;

  Fixture() {
    enter();
    cuda.reset();
    REQUIRE(cuda.cuStreamCreate(&stream, kStreamNonBlocking) == kSuccess);
  }
  ~Fixture() {
    cuda.cuStreamSynchronize(stream);
    cuda.cuStreamDestroy_v2(stream);
  }
  DeviceAddress allocate(size_t bytes) const {
    DeviceAddress address = 0;
    REQUIRE(cuda.cuMemAlloc_v2(&address, bytes) == kSuccess);
    return address;
  }
  std::byte* pin(size_t bytes) const {
    void* data = nullptr;
    REQUIRE(cuda.cuMemHostAlloc(&data, bytes, 0) == kSuccess);
    return static_cast<std::byte*>(data);
  }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "the host cannot touch what a device address names") {
  const DeviceAddress address = allocate(4096);
  const pid_t child = fork();
  if (child == 0) {
    std::signal(SIGSEGV, SIG_DFL);
    const volatile char* data = reinterpret_cast<const char*>(address);
    _exit(data[0] == 1 ? 1 : 2);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  // A sanitizer may turn the signal into an exit of its own; it never reads.
  CHECK((WIFSIGNALED(status) || (WIFEXITED(status) && WEXITSTATUS(status) != 1 && WEXITSTATUS(status) != 2)));
  CHECK(cuda.cuMemFree_v2(address) == kSuccess);
}

TEST_CASE_FIXTURE(Fixture, "allocations are aligned, counted and bounded") {
  const SoftwareCudaCounts before = cuda.counts();
  const DeviceAddress a = allocate(1);
  const DeviceAddress b = allocate(1000);
  CHECK(a % 256 == 0);
  CHECK(b % 256 == 0);
  CHECK(cuda.counts().live_allocations == before.live_allocations + 2);
  CHECK(cuda.counts().live_bytes == before.live_bytes + 1001);
  CHECK(cuda.address_device(b, 1000) == 0);
  CHECK(cuda.address_device(b, 1001) == -1);
  CHECK(cuda.address_device(b + 999, 1) == 0);

  std::byte* host = pin(2048);
  CHECK(cuda.cuMemcpyHtoDAsync_v2(b, host, 1001, stream) == kInvalidValue);  // beyond the end
  CHECK(cuda.cuMemcpyDtoHAsync_v2(host, b + 1, 1000, stream) == kInvalidValue);
  CHECK(cuda.cuMemsetD8Async(b, 0, 1001, stream) == kInvalidValue);
  CHECK(cuda.cuMemcpyDtoDAsync_v2(a, b, 2, stream) == kInvalidValue);
  CHECK(cuda.counts().misuses == 4);

  size_t free_bytes = 0;
  size_t total = 0;
  REQUIRE(cuda.cuMemGetInfo_v2(&free_bytes, &total) == kSuccess);
  CHECK(free_bytes < total);
  DeviceAddress none = 0;
  CHECK(cuda.cuMemAlloc_v2(&none, free_bytes + 4096) == kOutOfMemory);
  CHECK(cuda.cuMemAlloc_v2(&none, 0) == kInvalidValue);
  CHECK(cuda.cuMemFree_v2(a) == kSuccess);
  CHECK(cuda.cuMemFree_v2(b) == kSuccess);
  CHECK(cuda.cuMemFreeHost(host) == kSuccess);
  CHECK(cuda.counts().live_bytes == before.live_bytes);
}

TEST_CASE_FIXTURE(Fixture, "new memory and freed memory hold poison, and freed memory is not given out at once") {
  const DeviceAddress address = allocate(4096);
  const auto* view = static_cast<const unsigned char*>(cuda.host_view(address, 4096));
  REQUIRE(view);
  CHECK(view[0] != 0);
  CHECK(view[4095] != 0);
  REQUIRE(cuda.cuMemsetD8Async(address, 0, 4096, stream) == kSuccess);
  REQUIRE(cuda.cuStreamSynchronize(stream) == kSuccess);
  CHECK(view[4095] == 0);
  CHECK(cuda.cuMemFree_v2(address) == kSuccess);
  CHECK(cuda.host_view(address, 1) == nullptr);
  CHECK(allocate(4096) != address);
  CHECK(cuda.counts().misuses == 0);
  CHECK(cuda.cuMemFree_v2(address) == kInvalidValue);
  CHECK(cuda.misuses().find("freed before") != std::string::npos);
}

TEST_CASE_FIXTURE(Fixture, "pinned memory has a home, and is freed once") {
  std::byte* host = pin(100);
  CHECK(std::to_integer<int>(host[99]) == 0xA5);
  CHECK(cuda.counts().live_pinned_bytes == 100);
  CHECK(cuda.cuMemFreeHost(host) == kSuccess);
  CHECK(cuda.counts().live_pinned_bytes == 0);
  CHECK(cuda.counts().misuses == 0);
  CHECK(cuda.cuMemFreeHost(host) == kInvalidValue);
  CHECK(cuda.counts().misuses == 1);
}

TEST_CASE_FIXTURE(Fixture, "pageable memory is told, and copied as the driver does: staged at once, waited for") {
  const DeviceAddress address = allocate(1024);
  std::vector<std::byte> host(1024, std::byte{1});
  CHECK(cuda.cuMemcpyHtoDAsync_v2(address, host.data(), 1024, stream) == kSuccess);
  CHECK(cuda.counts().misuses == 1);
  std::memset(host.data(), 2, host.size());
  CHECK(cuda.cuMemcpyDtoHAsync_v2(host.data(), address, 1024, stream) == kSuccess);
  CHECK(host[0] == std::byte{1});
  CHECK(host[1023] == std::byte{1});
  CHECK(cuda.counts().misuses == 2);
  CHECK(cuda.misuses().find("pageable") != std::string::npos);
  CHECK(cuda.cuMemFree_v2(address) == kSuccess);
}

TEST_CASE_FIXTURE(Fixture, "freeing memory on which a copy is pending is told") {
  cuda.set_seed(1);
  std::byte* host = pin(65536);
  const DeviceAddress address = allocate(65536);
  REQUIRE(cuda.cuMemsetD8Async(address, 1, 65536, stream) == kSuccess);
  REQUIRE(cuda.cuMemcpyDtoHAsync_v2(host, address, 65536, stream) == kSuccess);
  CHECK(cuda.cuMemFreeHost(host) == kSuccess);
  CHECK(cuda.misuses().find("a copy down on them had still to run") != std::string::npos);
  CHECK(cuda.cuMemFree_v2(address) == kSuccess);
  CHECK(cuda.counts().misuses == 1);
}
