// Device memory, pinned host memory and copies.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "world.h"

using namespace software_cuda;  // NOLINT: the file is the interface's

namespace {

constexpr int kPoison = 0xA5;
constexpr size_t kPieces = 4;  // of a copy, each a step of its own
constexpr size_t kLeastPiece = 4096;

uint64_t number_of(const void* pointer) { return reinterpret_cast<uint64_t>(pointer); }

std::string bytes_at(uint64_t address, size_t bytes) {
  char text[64];
  std::snprintf(text, sizeof text, "%zu bytes at 0x%llx", bytes, static_cast<unsigned long long>(address));
  return text;
}

size_t page_rounded(size_t bytes) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

// Where one side of a copy lies when it is executed.
struct Side {
  Context* context = nullptr;  // null: the host's
  uint64_t address = 0;

  // Null when it has been freed since it was asked for.
  std::byte* at(size_t offset, size_t bytes) const {
    if (!context) return reinterpret_cast<std::byte*>(address + offset);
    return context->memory->host_view(address + offset, bytes);
  }
};

struct Copy {
  Side to;
  Side from;
  size_t bytes;
  size_t done = 0;

  Step step() {
    const size_t piece = std::min(bytes - done, std::max(kLeastPiece, (bytes + kPieces - 1) / kPieces));
    std::byte* target = to.at(done, piece);
    const std::byte* source = from.at(done, piece);
    if (!target || !source)
      return {true, kIllegalAddress, "a copy of memory that was freed before it ran: " + bytes_at(target ? from.address : to.address, bytes)};
    std::memcpy(target, source, piece);
    done += piece;
    return {done == bytes, kSuccess, ""};
  }
};

Result push_copy(Call& call, StreamHandle handle, const char* what, Copy copy) {
  std::shared_ptr<Stream> stream;
  if (const Result result = call.find_stream(handle, stream)) return result;
  if (stream->context != &call.context()) return call.misuse(kInvalidContext, "a stream of another device than the current context's");
  World& world = call.world();
  Operation operation;
  operation.what = what;
  operation.ranges = {{copy.to.address, copy.to.address + copy.bytes}, {copy.from.address, copy.from.address + copy.bytes}};
  const bool to_pageable = !copy.to.context && !world.is_pinned(reinterpret_cast<void*>(copy.to.address), copy.bytes);
  const bool from_pageable = !copy.from.context && !world.is_pinned(reinterpret_cast<void*>(copy.from.address), copy.bytes);
  // With pageable memory the driver's copies are not asynchronous: the source is staged at once, a destination is waited for.
  if (to_pageable || from_pageable) call.misuse(kSuccess, "pageable host memory, " + bytes_at(to_pageable ? copy.to.address : copy.from.address, copy.bytes));
  if (from_pageable) {
    const auto* source = reinterpret_cast<const std::byte*>(copy.from.address);
    const auto staged = std::make_shared<std::vector<std::byte>>(source, source + copy.bytes);
    copy.from.address = number_of(staged->data());
    operation.step = [copy, staged]() mutable { return copy.step(); };
  } else {
    operation.step = [copy]() mutable { return copy.step(); };
  }
  const MarkPtr mark = call.push(*stream, std::move(operation));
  if (!to_pageable) return kSuccess;
  world.scheduler.wait(call.lock(), mark);
  return call.check(*stream->context);
}

void count(SoftwareCudaCopies& copies, size_t bytes) {
  copies.count++;
  copies.bytes += bytes;
}

Result find_memory(Call& call, DeviceAddress address, size_t bytes, Side& side) {
  side = {call.world().owner_of(address, bytes), address};
  return side.context ? kSuccess : call.misuse(kInvalidValue, bytes_at(address, bytes) + " are not in one live allocation of device memory");
}

}  // namespace

SOFTWARE_CUDA_CALL cuMemAlloc_v2(DeviceAddress* address, size_t bytes) {
  Call call("cuMemAlloc_v2");
  if (const Result result = call.begin_in_context()) return result;
  if (!address || bytes == 0) return kInvalidValue;
  World& world = call.world();
  const Settings& settings = world.settings;
  const uint64_t nth = ++world.allocations;
  if (settings.allocation_fails.asked && nth == static_cast<uint64_t>(std::max<int64_t>(1, settings.allocation_fails.first))) return kOutOfMemory;
  if (bytes > available_bytes(world, call.context())) return kOutOfMemory;
  const uint64_t allocated = call.context().memory->allocate(bytes);
  if (allocated == 0) return kOutOfMemory;
  world.statistics.allocated(bytes);
  *address = allocated;
  return kSuccess;
}

SOFTWARE_CUDA_CALL cuMemFree_v2(DeviceAddress address) {
  Call call("cuMemFree_v2");
  if (const Result result = call.begin_in_context()) return result;
  if (address == 0) return kSuccess;
  World& world = call.world();
  Context* owner = world.owner_of(address, 1);
  const uint64_t bytes = owner ? owner->memory->size_of(address) : 0;
  if (bytes == 0) return call.misuse(kInvalidValue, bytes_at(address, 0) + ": no live allocation begins there; it was freed before or never was one");
  if (const Result result = call.check(*owner)) return result;
  // A driver may wait here; nothing promises it. So the memory is gone, and what comes late finds that out.
  if (const std::string pending = world.scheduler.pending_on({address, address + bytes}); !pending.empty())
    call.misuse(kSuccess, bytes_at(address, bytes) + " were freed while " + pending + " on them had still to run");
  owner->memory->release(address);
  world.statistics.released(bytes);
  return kSuccess;
}

SOFTWARE_CUDA_CALL cuMemGetInfo_v2(size_t* free_bytes, size_t* total) {
  Call call("cuMemGetInfo_v2");
  if (const Result result = call.begin_in_context()) return result;
  if (!free_bytes || !total) return kInvalidValue;
  *free_bytes = available_bytes(call.world(), call.context());
  *total = static_cast<size_t>(call.world().settings.memory);
  return kSuccess;
}

SOFTWARE_CUDA_CALL cuMemHostAlloc(void** data, size_t bytes, unsigned) {
  Call call("cuMemHostAlloc");
  if (const Result result = call.begin_in_context()) return result;
  if (!data || bytes == 0) return kInvalidValue;
  World& world = call.world();
  const FaultSetting& fault = world.settings.pin_fails;
  const uint64_t nth = ++world.pins;
  if (fault.asked && (fault.first < 0 || nth == static_cast<uint64_t>(fault.first))) return kOutOfMemory;
  void* mapped = mmap(nullptr, page_rounded(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return kOutOfMemory;
  std::memset(mapped, kPoison, bytes);
  world.pinned[number_of(mapped)] = {bytes, &call.context()};
  world.statistics.counts.pinned++;
  world.statistics.counts.live_pinned++;
  world.statistics.counts.live_pinned_bytes += bytes;
  *data = mapped;
  return kSuccess;
}

SOFTWARE_CUDA_CALL cuMemFreeHost(void* data) {
  Call call("cuMemFreeHost");
  if (const Result result = call.begin_in_context()) return result;
  World& world = call.world();
  const auto block = world.pinned.find(number_of(data));
  if (block == world.pinned.end()) return call.misuse(kInvalidValue, "host memory that was freed before or never was pinned");
  const PinnedBlock freed = block->second;
  world.pinned.erase(block);
  world.statistics.counts.live_pinned--;
  world.statistics.counts.live_pinned_bytes -= freed.bytes;
  if (const std::string pending = world.scheduler.pending_on({number_of(data), number_of(data) + freed.bytes}); !pending.empty()) {
    call.misuse(kSuccess, bytes_at(number_of(data), freed.bytes) + " of pinned memory were freed while " + pending + " on them had still to run");
    world.scheduler.drain(call.lock(), *freed.context);  // where a process that goes on tells more than one that has crashed
  }
  munmap(data, page_rounded(freed.bytes));
  return kSuccess;
}

SOFTWARE_CUDA_CALL cuMemcpyHtoDAsync_v2(DeviceAddress to, const void* from, size_t bytes, StreamHandle stream) {
  Call call("cuMemcpyHtoDAsync_v2");
  if (const Result result = call.begin_in_context()) return result;
  if (bytes == 0) return kSuccess;
  if (!from) return kInvalidValue;
  Side target;
  if (const Result result = find_memory(call, to, bytes, target)) return result;
  count(call.world().statistics.counts.up, bytes);
  return push_copy(call, stream, "a copy up", {target, {nullptr, number_of(from)}, bytes});
}

SOFTWARE_CUDA_CALL cuMemcpyDtoHAsync_v2(void* to, DeviceAddress from, size_t bytes, StreamHandle stream) {
  Call call("cuMemcpyDtoHAsync_v2");
  if (const Result result = call.begin_in_context()) return result;
  if (bytes == 0) return kSuccess;
  if (!to) return kInvalidValue;
  Side source;
  if (const Result result = find_memory(call, from, bytes, source)) return result;
  count(call.world().statistics.counts.down, bytes);
  return push_copy(call, stream, "a copy down", {{nullptr, number_of(to)}, source, bytes});
}

SOFTWARE_CUDA_CALL cuMemcpyDtoDAsync_v2(DeviceAddress to, DeviceAddress from, size_t bytes, StreamHandle stream) {
  Call call("cuMemcpyDtoDAsync_v2");
  if (const Result result = call.begin_in_context()) return result;
  if (bytes == 0) return kSuccess;
  Side target;
  Side source;
  if (const Result result = find_memory(call, to, bytes, target)) return result;
  if (const Result result = find_memory(call, from, bytes, source)) return result;
  if (to < from + bytes && from < to + bytes) return call.misuse(kInvalidValue, "source and destination overlap");
  count(call.world().statistics.counts.on_device, bytes);
  return push_copy(call, stream, "a copy on the device", {target, source, bytes});
}

SOFTWARE_CUDA_CALL cuMemsetD8Async(DeviceAddress to, unsigned char value, size_t bytes, StreamHandle handle) {
  Call call("cuMemsetD8Async");
  if (const Result result = call.begin_in_context()) return result;
  if (bytes == 0) return kSuccess;
  Side target;
  if (const Result result = find_memory(call, to, bytes, target)) return result;
  std::shared_ptr<Stream> stream;
  if (const Result result = call.find_stream(handle, stream)) return result;
  if (stream->context != &call.context()) return call.misuse(kInvalidContext, "a stream of another device than the current context's");
  count(call.world().statistics.counts.sets, bytes);
  Operation operation;
  operation.what = "a memset";
  operation.ranges = {{to, to + bytes}};
  operation.step = [target, value, bytes]() -> Step {
    std::byte* memory = target.at(0, bytes);
    if (!memory) return {true, kIllegalAddress, "a memset of memory that was freed before it ran"};
    std::memset(memory, value, bytes);
    return {};
  };
  call.push(*stream, std::move(operation));
  return kSuccess;
}
