// Scratch memory of the CPU kernels: a few hundred kilobytes for each thread at work, kept by the process from call to call.
#pragma once

#include <cstddef>
#include <mutex>
#include <vector>

namespace manyscale::split {

// `count` blocks for one call of run, for as many bodies at once. Error kOutOfMemory.
class ScratchLease {
 public:
  ScratchLease(size_t count, size_t bytes);
  ~ScratchLease();
  ScratchLease(const ScratchLease&) = delete;
  ScratchLease& operator=(const ScratchLease&) = delete;

  // One of the blocks while it lives; there is one for each of `count` bodies at once.
  class Block {
   public:
    explicit Block(ScratchLease& lease) noexcept;
    ~Block();
    Block(const Block&) = delete;
    Block& operator=(const Block&) = delete;
    void* data() const { return data_; }

   private:
    ScratchLease& lease_;
    void* data_;
  };

 private:
  std::mutex mutex_;
  std::vector<void*> free_;
};

}  // namespace manyscale::split
