// The memory that the process may use, from files as the kernel writes them.
#include "device/cpu/memory.h"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

using manyscale::cpu::memory_limit_of_files;
using manyscale::cpu::usable_memory;

namespace {

constexpr int64_t kMegabyte = 1024 * 1024;

// A folder of its own that stands for "/".
class Root {
 public:
  Root() {
    std::string pattern = (std::filesystem::temp_directory_path() / "manyscale-XXXXXX").string();
    REQUIRE(mkdtemp(pattern.data()));
    path_ = pattern;
  }
  ~Root() { std::filesystem::remove_all(path_); }
  Root& with(const std::string& file, const std::string& text) {
    const std::filesystem::path path = path_ / file;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
    return *this;
  }
  std::optional<int64_t> limit() const { return memory_limit_of_files(path_.string()); }

 private:
  std::filesystem::path path_;
};

const std::string kMachine = "MemTotal:        1024000 kB\nMemFree:          1000 kB\nMemAvailable:      2000 kB\n";

}  // namespace

TEST_CASE("memory: the machine's, where no control group limits it") {
  CHECK(Root().with("proc/meminfo", kMachine).limit() == 1000 * kMegabyte);
  CHECK(Root().with("proc/meminfo", kMachine).with("sys/fs/cgroup/memory.max", "max\n").with("proc/self/cgroup", "0::/\n").limit() == 1000 * kMegabyte);
  CHECK_FALSE(Root().limit());
  CHECK_FALSE(Root().with("proc/meminfo", "MemTotal: 0 kB\n").limit());
}

TEST_CASE("memory: a container's limit in cgroup v2") {
  CHECK(Root().with("proc/meminfo", kMachine).with("sys/fs/cgroup/memory.max", "104857600\n").with("proc/self/cgroup", "0::/\n").limit() == 100 * kMegabyte);
}

TEST_CASE("memory: the process's own group in cgroup v2, and each above it") {
  Root root;
  root.with("proc/meminfo", kMachine).with("proc/self/cgroup", "0::/user.slice/app:1.service/worker\n");
  root.with("sys/fs/cgroup/user.slice/app:1.service/worker/memory.max", "314572800\n");
  CHECK(root.limit() == 300 * kMegabyte);
  root.with("sys/fs/cgroup/user.slice/app:1.service/memory.max", "209715200\n");
  CHECK(root.limit() == 200 * kMegabyte);
  root.with("sys/fs/cgroup/user.slice/memory.max", "max\n");
  CHECK(root.limit() == 200 * kMegabyte);
  root.with("sys/fs/cgroup/user.slice/memory.max", "104857600\n");
  CHECK(root.limit() == 100 * kMegabyte);
}

TEST_CASE("memory: cgroup v1, whose unlimited groups say a huge number") {
  Root root;
  root.with("proc/meminfo", kMachine).with("proc/self/cgroup", "5:cpu,cpuacct:/a\n4:devices,memory:/docker/abc\n0::/\n");
  root.with("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  CHECK(root.limit() == 1000 * kMegabyte);
  root.with("sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "314572800\n");
  CHECK(root.limit() == 300 * kMegabyte);
  // As a container sees it: the host's path is not there, and the mount's root is its own group.
  Root container;
  container.with("proc/meminfo", kMachine).with("proc/self/cgroup", "4:memory:/docker/abc\n");
  container.with("sys/fs/cgroup/memory/memory.limit_in_bytes", "209715200\n");
  CHECK(container.limit() == 200 * kMegabyte);
  CHECK_FALSE(Root().with("sys/fs/cgroup/memory/memory.limit_in_bytes", "18446744073709551615\n").limit());
}

TEST_CASE("memory: files that say nothing sensible are passed over") {
  Root root;
  root.with("proc/meminfo", kMachine).with("proc/self/cgroup", "\n:\n0:\nmemory\n4:memory\n::\n0::");
  root.with("sys/fs/cgroup/memory.max", "0\n").with("sys/fs/cgroup/memory/memory.limit_in_bytes", "99999999999999999999999\n");
  CHECK(root.limit() == 1000 * kMegabyte);
  root.with("sys/fs/cgroup/memory.max", "none");
  CHECK(root.limit() == 1000 * kMegabyte);
}

TEST_CASE("memory: this process may use some, and no more than there is") {
  CHECK(usable_memory() > kMegabyte);
  const auto pages = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES));
  CHECK(usable_memory() <= pages * sysconf(_SC_PAGESIZE));
}

#ifndef __SANITIZE_ADDRESS__  // it maps terabytes of address space for itself
TEST_CASE("memory: a limit on the address space counts") {
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_AS, &before) == 0);
  const int64_t half = usable_memory() / 2;
  const rlimit limit{static_cast<rlim_t>(half), before.rlim_max};
  REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0);
  rlimit in_force{};
  REQUIRE(getrlimit(RLIMIT_AS, &in_force) == 0);
  const int64_t limited = usable_memory();
  REQUIRE(setrlimit(RLIMIT_AS, &before) == 0);
  if (in_force.rlim_cur != limit.rlim_cur) {
    MESSAGE("skipped: qemu takes limits and does not keep them");
    return;
  }
  CHECK(limited == half);
}
#endif
