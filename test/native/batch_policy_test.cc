// How many tiles a worker takes, on the CPU.
#include "engine/batch_policy.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cmath>
#include <limits>

using manyscale::engine::BatchOverrides;
using manyscale::engine::make_cpu_policy;
using manyscale::engine::QueueState;
using std::chrono::milliseconds;

namespace {

BatchOverrides overrides(int64_t max_batch, double max_delay_ms = -1, int64_t fixed = 0) {
  BatchOverrides result;
  result.max_batch = max_batch;
  result.max_delay_ms = max_delay_ms;
  result.fixed = fixed;
  return result;
}

QueueState state(int64_t queued, int64_t idle_workers, std::chrono::nanoseconds waited = milliseconds(0)) { return {queued, idle_workers, waited}; }

}  // namespace

TEST_CASE("batch policy: the CPU's own") {
  const auto policy = make_cpu_policy({});
  CHECK(policy->max_batch() == 4);
  CHECK(policy->quantum() == 8);
  CHECK(policy->max_delay() == milliseconds(0));
  CHECK(policy->batch(state(1, 1)) == 1);
  CHECK(policy->batch(state(14, 1)) == 4);
  CHECK(policy->batch(state(14, 4)) == 4);
  CHECK(policy->batch(state(14, 5)) == 3);
  CHECK(policy->batch(state(14, 64)) == 1);  // spread over all cores that can take one
  CHECK(policy->batch(state(7, 2)) == 4);
  CHECK(policy->batch(state(7, 0)) == 4);  // whoever asks is idle, whatever is counted
  CHECK(make_cpu_policy({})->batch(state(std::numeric_limits<int64_t>::max(), 2)) == 4);
}

TEST_CASE("batch policy: the CPU's own learns which size is fastest, and goes on looking") {
  const auto policy = make_cpu_policy({});
  double of_one[5] = {0, 30, 20, 25, 25};  // milliseconds of a tile in batches of 1 to 4
  const auto serve = [&](int64_t queued, int64_t idle) {
    const int64_t size = policy->batch(state(queued, idle));
    policy->ran(size,
                std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double, std::milli>(of_one[size] * static_cast<double>(size))));
    return size;
  };
  for (int i = 0; i < 32; i++) serve(100, 2);  // every size has been tried
  int chosen[5] = {};
  for (int i = 0; i < 80; i++) chosen[serve(100, 2)]++;
  CHECK(chosen[2] >= 70);
  CHECK(chosen[1] > 0);  // as it may have become better
  CHECK(chosen[4] > 0);
  for (int i = 0; i < 40; i++) CHECK(serve(2, 2) == 1);  // never more than everybody's share
  of_one[4] = 10;
  for (int i = 0; i < 100; i++) serve(100, 2);
  int later[5] = {};
  for (int i = 0; i < 80; i++) later[serve(100, 2)]++;
  CHECK(later[4] >= 70);

  for (const auto& set : {make_cpu_policy(overrides(4)), make_cpu_policy(overrides(0, -1, 4))}) {
    for (int i = 0; i < 40; i++) {
      set->ran(1, milliseconds(1));
      CHECK(set->batch(state(100, 2)) == 4);  // what the user set stays
    }
  }
}

TEST_CASE("batch policy: a larger or smaller batch is the user's choice") {
  const auto policy = make_cpu_policy(overrides(16));
  CHECK(policy->max_batch() == 16);
  CHECK(policy->quantum() == 32);
  CHECK(policy->batch(state(100, 2)) == 16);
  CHECK(make_cpu_policy(overrides(1))->batch(state(100, 1)) == 1);
  CHECK(make_cpu_policy(overrides(-3))->max_batch() == 4);
}

TEST_CASE("batch policy: with a delay a batch waits to become full, and no longer") {
  const auto policy = make_cpu_policy(overrides(4, 2.5));
  CHECK(policy->max_delay() == std::chrono::microseconds(2500));
  CHECK(policy->batch(state(3, 1)) == 0);
  CHECK(policy->batch(state(3, 1, milliseconds(2))) == 0);
  CHECK(policy->batch(state(3, 1, milliseconds(3))) == 3);
  CHECK(policy->batch(state(3, 3, milliseconds(3))) == 1);
  CHECK(policy->batch(state(4, 1)) == 4);
}

TEST_CASE("batch policy: no delay is none, however it is said; one beyond counting is a very long one") {
  CHECK(make_cpu_policy(overrides(0, 0))->batch(state(1, 1)) == 1);
  CHECK(make_cpu_policy(overrides(0, std::nan("")))->max_delay() == milliseconds(0));
  CHECK(make_cpu_policy(overrides(0, 1e300))->max_delay() > std::chrono::hours(1));
}

TEST_CASE("batch policy: a padded batch is filled as far as it goes, however many workers are idle") {
  const auto policy = make_cpu_policy(overrides(2, -1, 8));
  CHECK(policy->max_batch() == 8);
  CHECK(policy->quantum() == 16);
  CHECK(policy->batch(state(14, 64)) == 8);
  CHECK(policy->batch(state(6, 64)) == 6);
  CHECK(make_cpu_policy(overrides(0, 1, 8))->batch(state(6, 64)) == 0);
}
