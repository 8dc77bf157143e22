// How much memory this process may use: what limits on images in flight are measured by.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace manyscale::cpu {

// Bytes: the least of the machine's memory, the limits of the control groups that the process is in (its container's), and its
// address space's limit if it has one. Never 0.
int64_t usable_memory();

// The part of it that files tell, read under the folder `root` ("/" is the machine's own): proc/meminfo, and of every control group
// from the process's own up to the mount's, memory.max (cgroup v2) or memory.limit_in_bytes (v1). Nothing where no file has a limit.
std::optional<int64_t> memory_limit_of_files(const std::string& root);

// Gives memory that was freed back to the system, where the C library keeps it for later. Takes milliseconds.
void return_free_memory() noexcept;

}  // namespace manyscale::cpu
