// A machine that runs kernels as the PTX that nvcc makes of them: warps of 32 lanes in step, blocks with shared memory and barriers. It checks
// on the way what a GPU does not (docs/software-cuda.md), and counts what a GPU would move.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace software_cuda {

enum class FaultKind {
  kOutOfBounds,
  kMisaligned,
  kSharedRace,
  kBarrier,        // not all threads of a warp arrive, or some have ended
  kShuffle,        // from a lane that takes no part
  kUninitialised,  // shared memory that nobody wrote
  kWrittenTwice,
  kUnwritten,
  kEndless,
  kLaunch,  // a grid, a block or shared memory beyond the limits
  kTrap,
};
const char* fault_name(FaultKind kind) noexcept;

struct Fault : std::runtime_error {
  Fault(FaultKind k, const std::string& text) : std::runtime_error(text), kind(k) {}
  FaultKind kind;
};

struct Parameter {
  size_t offset = 0;
  size_t bytes = 0;
};

struct Kernel;  // ptx.h

class Module {
 public:
  // Throws std::runtime_error that names the line that cannot be read.
  static std::shared_ptr<const Module> parse(std::string_view ptx);
  ~Module();
  const Kernel* find(const std::string& name) const;
  std::vector<std::string> names() const;

 private:
  Module();
  std::map<std::string, std::unique_ptr<Kernel>> kernels_;
};

struct KernelShape {
  std::vector<Parameter> parameters;
  size_t parameter_bytes = 0;
  size_t static_shared = 0;
  size_t local_bytes = 0;  // of a thread
  int most_threads = 0;    // .maxntid; 0: not said
};
const KernelShape& shape_of(const Kernel& kernel) noexcept;

// What kernels may touch. `host` is where the machine finds the bytes.
struct Region {
  uint64_t address = 0;
  size_t bytes = 0;
  std::byte* host = nullptr;
};

struct LaunchConfig {
  uint32_t grid[3] = {1, 1, 1};
  uint32_t block[3] = {1, 1, 1};
  size_t shared_bytes = 0;  // dynamic
  std::vector<std::byte> parameters;
};

struct RunOptions {
  uint64_t instruction_limit = uint64_t{1} << 36;  // warp instructions of one launch
  int threads = 1;                                 // of the host; 1 where counts are wanted
  bool check_shared = true;
  std::vector<Region> outputs;  // each byte is to be written exactly once; host is not used
  // Counting: blocks are resident as on a GPU, and take turns.
  bool count = false;
  bool shuffled = false;  // blocks start in an order by the seed
  uint64_t seed = 1;
  size_t l2_bytes = 4 << 20;
  int resident_blocks = 16;  // of the device
};

struct Report {
  uint64_t warp_instructions = 0;
  uint64_t lane_instructions = 0;
  std::map<std::string, uint64_t> by_class;  // warp instructions: 'integer', 'float', 'conversion', 'memory', 'shared', 'control'
  uint64_t global_requests = 0;              // warp memory instructions
  uint64_t global_sectors = 0;               // of 32 bytes
  uint64_t shared_requests = 0;
  uint64_t shared_conflicts = 0;  // passes beyond the first
  uint64_t local_requests = 0;
  uint64_t dram_read = 0;  // bytes
  uint64_t dram_written = 0;
  uint64_t ideal_read = 0;  // bytes of distinct sectors
  uint64_t ideal_written = 0;
};

// Throws Fault. Regions are sorted by address and do not overlap.
Report run(const Kernel& kernel, const std::vector<Region>& memory, const LaunchConfig& launch, const RunOptions& options = {});

}  // namespace software_cuda
