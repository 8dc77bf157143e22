// What runs: warps of a block, and what they share.
#pragma once

#include <cstdint>
#include <vector>

#include "machine/l2.h"
#include "machine/ptx.h"

namespace software_cuda {

constexpr int kLanes = 32;
constexpr uint64_t kSharedWindow = uint64_t{1} << 56;  // generic addresses of shared memory
constexpr uint64_t kLocalWindow = uint64_t{1} << 57;

// Of a launch, for all blocks.
struct Context {
  const Kernel& kernel;
  const std::vector<Region>& memory;
  const LaunchConfig& launch;
  const RunOptions& options;
  size_t shared_bytes;
  std::vector<std::vector<uint8_t>> written;  // of options.outputs, a byte each
};

// Who touched a byte of shared memory since the last barrier.
struct SharedByte {
  uint32_t write_epoch = 0;  // 0: nobody yet
  uint32_t read_epoch = 0;
  int16_t writer = -1;  // warp
  int16_t reader = -1;  // warp; -2: several
};

struct Path {
  int pc;
  int reconvergence;
  uint32_t mask;
};

struct Warp {
  int index = 0;
  uint32_t alive = 0;
  bool waits = false;               // at a barrier
  std::vector<uint64_t> registers;  // [register][lane]
  std::vector<std::byte> local;     // [lane][bytes]
  std::vector<Path> paths;
};

class Block {
 public:
  Block(Context& context, const uint32_t (&at)[3], Report& report, L2* l2);
  // Each warp goes on for so many instructions, to a barrier or its end. False: all have ended.
  bool turn(uint64_t instructions);

 private:
  friend class Lanes;
  void step(Warp& warp);
  void diverge(Warp& warp, const Instruction& instruction, uint32_t taken);
  void end(Warp& warp, uint32_t lanes);
  void compute(Warp& warp, const Instruction& instruction, uint32_t mask);
  void access(Warp& warp, const Instruction& instruction, uint32_t mask);
  void exchange(Warp& warp, const Instruction& instruction, uint32_t mask);  // shuffles and votes
  void atomic(Warp& warp, const Instruction& instruction, uint32_t mask);
  std::byte* global(const Instruction& instruction, const Warp& warp, int lane, uint64_t address, size_t bytes, bool writes);
  std::byte* shared(const Instruction& instruction, const Warp& warp, int lane, uint64_t offset, size_t bytes, bool writes);
  std::byte* local(const Instruction& instruction, Warp& warp, int lane, uint64_t offset, size_t bytes);
  void count_global(const uint64_t* addresses, uint32_t mask, bool writes);
  void count_shared(const uint64_t* offsets, uint32_t mask, size_t bytes);
  [[noreturn]] void fault(FaultKind kind, const Instruction& instruction, const Warp& warp, int lane, const std::string& text) const;

  Context& context_;
  Report& report_;
  L2* const l2_;
  uint32_t at_[3];
  std::vector<Warp> warps_;
  std::vector<std::byte> shared_;
  std::vector<SharedByte> tracked_;
  uint32_t epoch_ = 1;
  size_t last_region_ = 0;
  uint64_t classes_[6] = {};

 public:
  ~Block();
};

}  // namespace software_cuda
