// How many tiles a worker takes at once. One replaceable part: each kind of provider has its own policy.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/checked.h"

namespace manyscale::engine {

struct BatchPolicy {
  // On the CPU batches of 2 to 4 were fastest and large ones slower (docs/architecture.md has the measurements).
  int64_t max_batch = 4;

  // Spreads what is queued over the workers that could take it, the asking one included.
  int64_t batch(int64_t queued, int64_t idle_workers) const { return std::clamp(ceil_div(queued, std::max<int64_t>(idle_workers, 1)), int64_t{1}, max_batch); }
};

}  // namespace manyscale::engine
