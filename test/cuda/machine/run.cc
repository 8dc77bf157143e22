// A launch: blocks, one after another on the host's threads or resident side by side as on a GPU.
#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <numeric>
#include <random>
#include <thread>

#include "machine/warp.h"

namespace software_cuda {

const char* fault_name(FaultKind kind) noexcept {
  switch (kind) {
    case FaultKind::kOutOfBounds: return "out of bounds";
    case FaultKind::kMisaligned: return "misaligned";
    case FaultKind::kSharedRace: return "race in shared memory";
    case FaultKind::kBarrier: return "barrier";
    case FaultKind::kShuffle: return "shuffle";
    case FaultKind::kUninitialised: return "uninitialised";
    case FaultKind::kWrittenTwice: return "written twice";
    case FaultKind::kUnwritten: return "unwritten";
    case FaultKind::kEndless: return "endless";
    case FaultKind::kLaunch: return "launch";
    case FaultKind::kTrap: return "trap";
  }
  return "";
}

namespace {

constexpr uint64_t kTurn = 64;  // instructions of a warp before another block's turn

void check(const Kernel& kernel, const LaunchConfig& launch, size_t shared) {
  const auto refuse = [&](const std::string& text) { throw Fault(FaultKind::kLaunch, kernel.name + ": launch: " + text); };
  const uint64_t threads = uint64_t{launch.block[0]} * launch.block[1] * launch.block[2];
  const uint64_t most = kernel.shape.most_threads > 0 ? static_cast<uint64_t>(kernel.shape.most_threads) : 1024;
  if (threads == 0 || threads > most) refuse("a block of " + std::to_string(threads) + " threads, where " + std::to_string(most) + " may be");
  if (launch.grid[0] == 0 || launch.grid[1] == 0 || launch.grid[2] == 0) refuse("a grid of no blocks");
  if (launch.grid[0] > 0x7fffffffU || launch.grid[1] > 65535 || launch.grid[2] > 65535) refuse("a grid beyond 2147483647 x 65535 x 65535");
  if (launch.parameters.size() != kernel.shape.parameter_bytes)
    refuse(std::to_string(launch.parameters.size()) + " bytes of parameters, where " + std::to_string(kernel.shape.parameter_bytes) + " are declared");
  if (shared > 227 * 1024) refuse(std::to_string(shared) + " bytes of shared memory");
}

class Blocks {
 public:
  explicit Blocks(const LaunchConfig& launch, const RunOptions& options) : grid_(launch.grid) {
    order_.resize(size_t{grid_[0]} * grid_[1] * grid_[2]);
    std::iota(order_.begin(), order_.end(), size_t{0});
    if (options.shuffled) std::shuffle(order_.begin(), order_.end(), std::mt19937_64(options.seed));
  }
  bool next(uint32_t (&at)[3]) {
    const size_t position = next_.fetch_add(1);
    if (position >= order_.size()) return false;
    const size_t block = order_[position];
    at[0] = static_cast<uint32_t>(block % grid_[0]);
    at[1] = static_cast<uint32_t>(block / grid_[0] % grid_[1]);
    at[2] = static_cast<uint32_t>(block / grid_[0] / grid_[1]);
    return true;
  }

 private:
  const uint32_t (&grid_)[3];
  std::vector<size_t> order_;
  std::atomic<size_t> next_{0};
};

void run_resident(Context& context, Blocks& blocks, Report& report) {
  L2 l2(context.options.l2_bytes);
  std::vector<std::unique_ptr<Block>> resident;
  uint32_t at[3];
  for (bool more = true; more || !resident.empty();) {
    while (more && resident.size() < static_cast<size_t>(context.options.resident_blocks)) {
      more = blocks.next(at);
      if (more) resident.push_back(std::make_unique<Block>(context, at, report, &l2));
    }
    for (auto& block : resident) {
      if (!block->turn(kTurn)) block.reset();
    }
    std::erase(resident, nullptr);
  }
  l2.finish(report);
}

void run_alone(Context& context, Blocks& blocks, Report& report, const std::atomic<bool>& stop) {
  uint32_t at[3];
  while (!stop && blocks.next(at)) {
    Block block(context, at, report, nullptr);
    while (block.turn(UINT64_MAX)) {
    }
  }
}

void add(Report& all, const Report& part) {
  all.warp_instructions += part.warp_instructions;
  all.lane_instructions += part.lane_instructions;
  for (const auto& [name, count] : part.by_class) all.by_class[name] += count;
}

}  // namespace

Report run(const Kernel& kernel, const std::vector<Region>& memory, const LaunchConfig& launch, const RunOptions& options) {
  const size_t shared = launch.shared_bytes == 0 ? kernel.shape.static_shared : (kernel.shape.static_shared + 15) / 16 * 16 + launch.shared_bytes;
  check(kernel, launch, shared);
  Context context{kernel, memory, launch, options, shared, {}};
  for (const Region& output : options.outputs) context.written.emplace_back(output.bytes, uint8_t{0});
  Blocks blocks(launch, options);
  Report report;
  if (options.count) {
    run_resident(context, blocks, report);
  } else {
    std::atomic<bool> stop{false};
    std::exception_ptr first;
    std::mutex mutex;
    const auto work = [&] {
      Report part;
      try {
        run_alone(context, blocks, part, stop);
      } catch (...) {
        stop = true;
        const std::lock_guard lock(mutex);
        if (!first) first = std::current_exception();
      }
      const std::lock_guard lock(mutex);
      add(report, part);
    };
    std::vector<std::thread> threads;
    for (int t = 1; t < options.threads; t++) threads.emplace_back(work);
    work();
    for (std::thread& thread : threads) thread.join();
    if (first) std::rethrow_exception(first);
  }
  for (size_t o = 0; o < context.written.size(); o++) {
    const auto missing = std::find(context.written[o].begin(), context.written[o].end(), uint8_t{0});
    if (missing != context.written[o].end())
      throw Fault(FaultKind::kUnwritten,
                  kernel.name + ": unwritten: byte " + std::to_string(missing - context.written[o].begin()) + " of output " + std::to_string(o));
  }
  return report;
}

}  // namespace software_cuda
