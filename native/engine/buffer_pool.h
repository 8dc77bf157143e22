// Memory of a device that is used again: once warm, images and batches cost no allocation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <mutex>

#include "core/backend.h"

namespace manyscale::engine {

// Thread-safe. It keeps no more free bytes than were in use at once since the last trim, whatever the mix of sizes: what nobody has asked
// for longest goes first.
class BufferPool {
  struct Block {
    Buffer buffer;
    size_t bytes;
  };

 public:
  explicit BufferPool(Backend& backend);
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;
  ~BufferPool();  // no lease may be left

  // A buffer that goes back to the pool when the lease is destroyed. An empty one has none.
  class Lease {
   public:
    Lease() = default;
    Lease(Lease&& other) noexcept;
    Lease& operator=(Lease&& other) noexcept;
    ~Lease();
    explicit operator bool() const noexcept { return pool_ != nullptr; }
    Buffer buffer() const;          // not of an empty lease
    size_t bytes() const noexcept;  // that it has room for: what was asked for or more

   private:
    friend class BufferPool;
    void give_back() noexcept;
    BufferPool* pool_ = nullptr;
    std::list<Block> block_;  // one or none; a list, so that giving back allocates nothing
  };

  // A free buffer of at least `bytes` and at most twice as many, else a new one; its contents are whatever was there. Error kOutOfMemory
  // when there is none to be had even after a trim.
  Lease take(size_t bytes);

  void trim() noexcept;  // frees what is free

  struct State {
    size_t free_bytes = 0;
    size_t used_bytes = 0;
    int64_t allocations = 0;  // of the device, ever
  };
  State state() const;

 private:
  std::list<Block> allocate(size_t bytes);
  void lend(Lease& lease) noexcept;
  void give_back(std::list<Block>& block) noexcept;
  void release(std::list<Block>& blocks) noexcept;

  Backend& backend_;
  mutable std::mutex mutex_;
  std::list<Block> free_;  // last given back first
  size_t free_bytes_ = 0;
  size_t used_bytes_ = 0;
  size_t most_used_ = 0;  // bytes at once, since the last trim
  int64_t allocations_ = 0;
};

}  // namespace manyscale::engine
