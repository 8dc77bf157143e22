// How many tiles a worker takes at once. One replaceable part: each kind of provider has its own policy.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

namespace manyscale::engine {

// Of the class of images whose turn it is.
struct QueueState {
  int64_t queued = 0;                  // tiles that nobody has taken
  int64_t idle_workers = 1;            // that could take some, the asking one included
  std::chrono::nanoseconds waited{0};  // by its oldest image
};

class BatchPolicy {
 public:
  virtual ~BatchPolicy() = default;
  // Tiles to take now, at most `queued`; 0: wait for more, at most until max_delay().
  virtual int64_t batch(const QueueState& state) = 0;
  // A batch of so many tiles took this long on its worker: a policy may learn from it.
  virtual void ran(int64_t tiles, std::chrono::nanoseconds took) = 0;
  virtual int64_t max_batch() const = 0;                   // tiles
  virtual int64_t quantum() const = 0;                     // tiles of an image's turn (TileQueue)
  virtual std::chrono::nanoseconds max_delay() const = 0;  // that a batch may wait to become fuller
};

// What a user sets.
struct BatchOverrides {
  int64_t max_batch = 0;     // 0: the policy's own
  double max_delay_ms = -1;  // negative: the policy's own
  int64_t fixed = 0;         // every batch is padded to so many rows, and max_batch counts no more; 0: none is
};

std::unique_ptr<BatchPolicy> make_cpu_policy(const BatchOverrides& overrides);

}  // namespace manyscale::engine
