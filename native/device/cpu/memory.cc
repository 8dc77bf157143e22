#include "device/cpu/memory.h"

#include <malloc.h>

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

namespace manyscale::cpu {
namespace {

// cgroup v1 writes a number near 2^63 or 2^64 where there is no limit; no machine has as much as this.
constexpr unsigned long long kNoLimit = 1ull << 60;
// Where nothing tells: what any machine of today has.
constexpr int64_t kAssumed = int64_t{1} << 30;

// Takes a limit into account. 0 is none: no process would be running.
void lower(std::optional<int64_t>& least, unsigned long long limit) {
  if (limit == 0 || limit >= kNoLimit) return;
  const auto value = static_cast<int64_t>(limit);
  least = least ? std::min(*least, value) : value;
}

// A file of one number in bytes, or of "max".
void lower_by_file(std::optional<int64_t>& least, const std::string& path) {
  std::ifstream file(path);
  unsigned long long value = 0;
  if (file >> value) lower(least, value);
}

// MemTotal of /proc/meminfo, in kB.
void lower_by_machine(std::optional<int64_t>& least, const std::string& path) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("MemTotal:", 0) != 0) continue;
    const unsigned long long kilobytes = std::strtoull(line.c_str() + sizeof("MemTotal:") - 1, nullptr, 10);
    return lower(least, kilobytes < kNoLimit / 1024 ? kilobytes * 1024 : kNoLimit);
  }
}

// The limits of a control group and of all above it: each of them holds. In a container the path may be the host's, which is not
// mounted there; the container's own group is the mount's root then.
void lower_by_group(std::optional<int64_t>& least, const std::string& mount, std::string group, const char* file) {
  for (;;) {
    lower_by_file(least, mount + group + "/" + file);
    const size_t slash = group.rfind('/');
    if (slash == std::string::npos) return;
    group.resize(slash);
  }
}

}  // namespace

std::optional<int64_t> memory_limit_of_files(const std::string& root) {
  std::optional<int64_t> least;
  lower_by_machine(least, root + "/proc/meminfo");
  const std::string mount = root + "/sys/fs/cgroup";
  lower_by_group(least, mount, "", "memory.max");
  lower_by_group(least, mount + "/memory", "", "memory.limit_in_bytes");
  // Lines of hierarchy:controllers:path; the path may have colons of its own.
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    std::string controllers = line.substr(first, second - first + 1);
    std::replace(controllers.begin(), controllers.end(), ':', ',');
    const std::string path = line.substr(second + 1);
    if (controllers == ",,") lower_by_group(least, mount, path, "memory.max");
    if (controllers.find(",memory,") != std::string::npos) lower_by_group(least, mount + "/memory", path, "memory.limit_in_bytes");
  }
  return least;
}

int64_t usable_memory() {
  std::optional<int64_t> least = memory_limit_of_files("/");
  if (!least) {
    const long pages = sysconf(_SC_PHYS_PAGES);
    const long page = sysconf(_SC_PAGESIZE);
    if (pages > 0 && page > 0) lower(least, static_cast<unsigned long long>(pages) * static_cast<unsigned long long>(page));
  }
  rlimit address_space{};
  if (getrlimit(RLIMIT_AS, &address_space) == 0 && address_space.rlim_cur != RLIM_INFINITY) lower(least, address_space.rlim_cur);
  return least.value_or(kAssumed);
}

void return_free_memory() noexcept {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

}  // namespace manyscale::cpu
