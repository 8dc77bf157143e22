#include "ops/split/scratch.h"

#include <new>
#include <string>

#include "core/error.h"

namespace manyscale::split {
namespace {

constexpr std::align_val_t kAlignment{64};

// Blocks that no call uses at the moment. All of a process have one size: that of the instruction set in use.
struct Reserve {
  std::mutex mutex;
  std::vector<void*> blocks;
};

Reserve& reserve() {
  static Reserve* const reserve = new Reserve;  // leaked: nothing is destroyed at exit
  return *reserve;
}

}  // namespace

ScratchLease::ScratchLease(size_t count, size_t bytes) {
  Reserve& kept = reserve();
  const std::lock_guard lock(kept.mutex);
  free_.reserve(count);
  kept.blocks.reserve(kept.blocks.size() + count);
  while (free_.size() < count) {
    void* block = nullptr;
    if (!kept.blocks.empty()) {
      block = kept.blocks.back();
      kept.blocks.pop_back();
    } else {
      block = ::operator new(bytes, kAlignment, std::nothrow);
    }
    if (!block) {
      for (void* taken : free_) kept.blocks.push_back(taken);
      throw Error(ErrorCode::kOutOfMemory,
                  "Expected " + std::to_string(bytes) + " bytes of memory for a thread's scratch but received none; make fewer images at once");
    }
    free_.push_back(block);
  }
}

ScratchLease::~ScratchLease() {
  Reserve& kept = reserve();
  const std::lock_guard lock(kept.mutex);
  for (void* block : free_) {
    try {
      kept.blocks.push_back(block);
    } catch (const std::bad_alloc&) {
      ::operator delete(block, kAlignment);
    }
  }
}

ScratchLease::Block::Block(ScratchLease& lease) noexcept : lease_(lease) {
  const std::lock_guard lock(lease.mutex_);
  data_ = lease.free_.back();
  lease.free_.pop_back();
}

ScratchLease::Block::~Block() {
  const std::lock_guard lock(lease_.mutex_);
  lease_.free_.push_back(data_);
}

}  // namespace manyscale::split
