#include "device_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <new>

namespace software_cuda {
namespace {

constexpr size_t kAlignment = 256;
constexpr size_t kRoom = size_t{64} << 30;  // of addresses: they are not used twice as long as they last
constexpr int kNewPoison = 0xCD;

}  // namespace

struct DeviceMemory::State {
  mutable std::mutex mutex;
  std::byte* view = nullptr;  // where the process may touch it
  uint64_t first = 0;         // where it may not: what programs are given
  size_t next = 0;
  size_t capacity = 0;
  size_t used = 0;
  int file = -1;
  std::map<uint64_t, size_t> live;
};

DeviceMemory::DeviceMemory(size_t capacity) : state_(new State) {
  State& state = *state_;
  state.capacity = capacity;
  state.file = memfd_create("software-cuda", MFD_CLOEXEC);
  if (state.file < 0 || ftruncate(state.file, static_cast<off_t>(kRoom)) != 0) throw std::bad_alloc();
  void* view = mmap(nullptr, kRoom, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, state.file, 0);
  void* addresses = mmap(nullptr, kRoom, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (view == MAP_FAILED || addresses == MAP_FAILED) throw std::bad_alloc();
  state.view = static_cast<std::byte*>(view);
  state.first = reinterpret_cast<uint64_t>(addresses);
}

DeviceMemory::~DeviceMemory() {
  munmap(state_->view, kRoom);
  munmap(reinterpret_cast<void*>(state_->first), kRoom);
  close(state_->file);
}

uint64_t DeviceMemory::allocate(size_t bytes) {
  State& state = *state_;
  const std::lock_guard lock(state.mutex);
  const size_t room = (bytes + 2 * kAlignment - 1) / kAlignment * kAlignment;  // with a gap behind it
  if (bytes > state.capacity - state.used || room > kRoom - state.next) return 0;
  const uint64_t address = state.first + state.next;
  std::memset(state.view + state.next, kNewPoison, bytes);
  state.next += room;
  state.used += bytes;
  state.live[address] = bytes;
  return address;
}

void DeviceMemory::release(uint64_t address) {
  State& state = *state_;
  const std::lock_guard lock(state.mutex);
  const auto found = state.live.find(address);
  if (found == state.live.end()) return;
  // Whole pages go back to the system; nobody is given their addresses again.
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t begin = (address - state.first + page - 1) / page * page;
  const size_t end = (address - state.first + found->second) / page * page;
  if (begin < end) madvise(state.view + begin, end - begin, MADV_REMOVE);
  state.used -= found->second;
  state.live.erase(found);
}

uint64_t DeviceMemory::size_of(uint64_t address) const {
  const std::lock_guard lock(state_->mutex);
  const auto found = state_->live.find(address);
  return found == state_->live.end() ? 0 : found->second;
}

Range DeviceMemory::allocation_of(uint64_t address) const {
  const std::lock_guard lock(state_->mutex);
  auto found = state_->live.upper_bound(address);
  if (found == state_->live.begin()) return {0, 0};
  --found;
  return address < found->first + found->second ? Range{found->first, found->first + found->second} : Range{0, 0};
}

bool DeviceMemory::contains(uint64_t address, size_t bytes) const {
  const Range range = allocation_of(address);
  return range.begin < range.end && bytes <= range.end - address;
}

std::byte* DeviceMemory::host_view(uint64_t address, size_t bytes) const {
  return contains(address, bytes) ? state_->view + (address - state_->first) : nullptr;
}

std::map<uint64_t, size_t> DeviceMemory::allocations() const {
  const std::lock_guard lock(state_->mutex);
  return state_->live;
}

size_t DeviceMemory::used() const {
  const std::lock_guard lock(state_->mutex);
  return state_->used;
}

}  // namespace software_cuda
