#include "engine/batch_policy.h"

#include <algorithm>
#include <array>
#include <limits>

#include "core/checked.h"

namespace manyscale::engine {
namespace {

// On the CPU batches of 1 to 4 were fastest and larger ones slower (docs/architecture.md has the measurements).
constexpr int64_t kCpuMaxBatch = 4;

// Two full batches: an image of few tiles is done in one turn, so that equal images end one after another and not all at the end, and a
// large one gives way after two batches.
constexpr int64_t kBatchesPerTurn = 2;

constexpr double kLongestDelayMs = 1e12;  // more cannot be counted in nanoseconds

// Which of a few sizes takes the least time for a tile. That differs by model, by processor and by what its neighbours leave of the
// caches, by up to a tenth, and changes while work goes on: so one batch in eight tries a size anew.
class FastestBatch {
 public:
  int64_t choose(int64_t most) {
    if (++choices_ % kTryEvery == 0) {
      const int64_t size = kSizes[tries_++ % kSizes.size()];
      if (size <= most) return size;
    }
    int64_t best = most;
    double least = std::numeric_limits<double>::infinity();
    for (size_t i = 0; i < kSizes.size(); i++) {
      if (kSizes[i] > most || nanoseconds_[i] == 0 || nanoseconds_[i] >= least) continue;
      least = nanoseconds_[i];
      best = kSizes[i];
    }
    return best;
  }

  void ran(int64_t tiles, double nanoseconds) {
    for (size_t i = 0; i < kSizes.size(); i++) {
      if (kSizes[i] != tiles) continue;
      const double of_one = nanoseconds / static_cast<double>(tiles);
      nanoseconds_[i] = nanoseconds_[i] == 0 ? of_one : nanoseconds_[i] + kWeight * (of_one - nanoseconds_[i]);
    }
  }

 private:
  static constexpr std::array<int64_t, 3> kSizes{1, 2, kCpuMaxBatch};
  static constexpr uint64_t kTryEvery = 8;
  static constexpr double kWeight = 0.25;  // of the last measurement
  std::array<double, 3> nanoseconds_{};    // of one tile; 0: not known yet
  uint64_t choices_ = 0;
  uint64_t tries_ = 0;
};

class CpuPolicy final : public BatchPolicy {
 public:
  explicit CpuPolicy(const BatchOverrides& overrides)
      : fixed_(std::max<int64_t>(overrides.fixed, 0)),
        max_batch_(fixed_ > 0                ? fixed_
                   : overrides.max_batch > 0 ? overrides.max_batch
                                             : kCpuMaxBatch),
        max_delay_(delay(overrides.max_delay_ms)),
        learns_(fixed_ == 0 && overrides.max_batch <= 0 && max_delay_.count() == 0) {}

  int64_t batch(const QueueState& state) override {
    if (state.waited < max_delay_) return state.queued < max_batch_ ? 0 : max_batch_;  // full batches are what the tiles wait for
    if (fixed_ > 0) return std::min(state.queued, fixed_);                             // padding costs as much as tiles: spread thin they would take longer
    // What is queued spread over the workers that could take it: 14 tiles keep 14 of 64 cores at work.
    const int64_t share = std::clamp(ceil_div(state.queued, std::max<int64_t>(state.idle_workers, 1)), int64_t{1}, max_batch_);
    return learns_ ? fastest_.choose(share) : share;
  }
  void ran(int64_t tiles, std::chrono::nanoseconds took) override {
    if (learns_) fastest_.ran(tiles, static_cast<double>(took.count()));
  }
  int64_t max_batch() const override { return max_batch_; }
  int64_t quantum() const override { return kBatchesPerTurn * max_batch_; }
  std::chrono::nanoseconds max_delay() const override { return max_delay_; }

 private:
  static std::chrono::nanoseconds delay(double ms) {
    if (!(ms > 0)) return std::chrono::nanoseconds(0);  // by itself it never waits: a core at work beats a fuller batch
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double, std::milli>(std::min(ms, kLongestDelayMs)));
  }

  const int64_t fixed_;
  const int64_t max_batch_;
  const std::chrono::nanoseconds max_delay_;
  const bool learns_;  // a user who sets sizes or delays gets them
  FastestBatch fastest_;
};

}  // namespace

std::unique_ptr<BatchPolicy> make_cpu_policy(const BatchOverrides& overrides) { return std::make_unique<CpuPolicy>(overrides); }

}  // namespace manyscale::engine
