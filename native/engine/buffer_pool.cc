#include "engine/buffer_pool.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "core/error.h"

namespace manyscale::engine {

BufferPool::BufferPool(Backend& backend) : backend_(backend) {}
BufferPool::~BufferPool() { trim(); }

BufferPool::Lease::Lease(Lease&& other) noexcept : pool_(std::exchange(other.pool_, nullptr)), block_(std::move(other.block_)) {}

BufferPool::Lease& BufferPool::Lease::operator=(Lease&& other) noexcept {
  if (this == &other) return *this;
  give_back();
  pool_ = std::exchange(other.pool_, nullptr);
  block_.swap(other.block_);
  return *this;
}

BufferPool::Lease::~Lease() { give_back(); }
Buffer BufferPool::Lease::buffer() const { return block_.front().buffer; }
size_t BufferPool::Lease::bytes() const noexcept { return block_.empty() ? 0 : block_.front().bytes; }

void BufferPool::Lease::give_back() noexcept {
  if (pool_) std::exchange(pool_, nullptr)->give_back(block_);
}

BufferPool::Lease BufferPool::take(size_t bytes) {
  Lease lease;
  {
    const std::lock_guard lock(mutex_);
    // The smallest that fits, and of equals the last one used: it is the likeliest to be in a cache.
    auto found = free_.end();
    for (auto block = free_.begin(); block != free_.end(); ++block) {
      const bool fits = block->bytes >= bytes && block->bytes - bytes <= bytes;
      if (fits && (found == free_.end() || block->bytes < found->bytes)) found = block;
    }
    if (found != free_.end()) {
      lease.block_.splice(lease.block_.end(), free_, found);
      free_bytes_ -= lease.bytes();
      lend(lease);
      return lease;
    }
  }
  // Allocating takes long where the system has to find pages: outside the lock.
  lease.block_ = allocate(bytes);
  const std::lock_guard lock(mutex_);
  allocations_++;
  lend(lease);
  return lease;
}

void BufferPool::lend(Lease& lease) noexcept {
  lease.pool_ = this;
  used_bytes_ += lease.bytes();
  most_used_ = std::max(most_used_, used_bytes_);
}

std::list<BufferPool::Block> BufferPool::allocate(size_t bytes) {
  const auto attempt = [&] {
    std::list<Block> block(1);
    block.front() = {backend_.allocate(bytes), bytes};
    return block;
  };
  try {
    return attempt();
  } catch (...) {
    const Error error = current_error();
    if (error.code() != ErrorCode::kOutOfMemory) throw error;
  }
  trim();  // what is free, but of the wrong size
  try {
    return attempt();
  } catch (...) {
    throw current_error();
  }
}

void BufferPool::trim() noexcept {
  std::list<Block> blocks;
  {
    const std::lock_guard lock(mutex_);
    blocks.swap(free_);
    free_bytes_ = 0;
    most_used_ = used_bytes_;
  }
  release(blocks);
}

BufferPool::State BufferPool::state() const {
  const std::lock_guard lock(mutex_);
  return {free_bytes_, used_bytes_, allocations_};
}

void BufferPool::give_back(std::list<Block>& block) noexcept {
  std::list<Block> surplus;
  {
    const std::lock_guard lock(mutex_);
    used_bytes_ -= block.front().bytes;
    free_bytes_ += block.front().bytes;
    free_.splice(free_.begin(), block);
    while (free_bytes_ > most_used_) {
      free_bytes_ -= free_.back().bytes;
      surplus.splice(surplus.end(), free_, std::prev(free_.end()));
    }
  }
  release(surplus);
}

void BufferPool::release(std::list<Block>& blocks) noexcept {
  for (const Block& block : blocks) backend_.release(block.buffer);
}

}  // namespace manyscale::engine
