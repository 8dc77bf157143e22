#include "engine/batch_policy.h"

#include <algorithm>

#include "core/checked.h"

namespace manyscale::engine {
namespace {

// On the CPU batches of 2 to 4 were fastest and large ones slower (docs/architecture.md has the measurements).
constexpr int64_t kCpuMaxBatch = 4;

// Two full batches: an image of few tiles is done in one turn, so that equal images end one after another and not all at the end, and a
// large one gives way after two batches.
constexpr int64_t kBatchesPerTurn = 2;

constexpr double kLongestDelayMs = 1e12;  // more cannot be counted in nanoseconds

class CpuPolicy final : public BatchPolicy {
 public:
  explicit CpuPolicy(const BatchOverrides& overrides)
      : fixed_(std::max<int64_t>(overrides.fixed, 0)),
        max_batch_(fixed_ > 0                ? fixed_
                   : overrides.max_batch > 0 ? overrides.max_batch
                                             : kCpuMaxBatch),
        max_delay_(delay(overrides.max_delay_ms)) {}

  int64_t batch(const QueueState& state) const override {
    if (state.waited < max_delay_) return state.queued < max_batch_ ? 0 : max_batch_;  // full batches are what the tiles wait for
    if (fixed_ > 0) return std::min(state.queued, fixed_);                             // padding costs as much as tiles: spread thin they would take longer
    // What is queued spread over the workers that could take it: 14 tiles keep 14 of 64 cores at work.
    return std::clamp(ceil_div(state.queued, std::max<int64_t>(state.idle_workers, 1)), int64_t{1}, max_batch_);
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
};

}  // namespace

std::unique_ptr<BatchPolicy> make_cpu_policy(const BatchOverrides& overrides) { return std::make_unique<CpuPolicy>(overrides); }

}  // namespace manyscale::engine
