// The parts on their own, for callers that bring their own model or scheduling: one image in, all tiles out; all tile
// features in, multi-scale features out. These block: call them on a thread of the executor.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "device/cpu/executor.h"
#include "ops/pool/params.h"
#include "ops/split/params.h"

namespace manyscale::engine {

struct SplitRequest {
  split::Source source;
  Plan plan;
  std::optional<Rectangle> crop;
  split::Preprocess preprocess;
  bool joined = false;  // all scales in one buffer, in order, instead of one buffer per scale
};

// Floats of each destination buffer; Error kInvalidArgument when `joined` scales differ in tile shape, kPlanTooLarge.
std::vector<int64_t> split_elements(const SplitRequest& request);

// Makes every tile of every scale.
void split_all(const SplitRequest& request, const void* pixels, const std::vector<float*>& destinations);

struct PoolRequest {
  Plan plan;
  int64_t batch = 1;
  std::vector<pool::ScaleFeatures> features;  // per scale
  bool joined = false;                        // one source buffer for all scales
  bool sequence = false;                      // tiles one after another instead of merged; of one image, joined
  pool::Options options;
};

pool::Params pool_params(const PoolRequest& request);
Size merged_grid(const Scale& scale, Size grid);  // as pool::merged_grid

// Floats that each source buffer must have: one per scale or, joined, one in all.
std::vector<int64_t> pool_source_elements(const pool::Params& params, bool joined);

void pool_all(const pool::Params& params, const std::vector<const float*>& sources, float* destination);

// Which instruction sets the kernels in use were compiled for, as they themselves say.
const char* split_kernel_isa();
const char* pool_kernel_isa();

using cpu::Priority;
// Runs `task` on a thread of the process's executor; it must not throw.
void submit_task(std::function<void()> task, Priority priority);
int executor_threads();

// A copy in memory that is used again, 64-byte aligned.
std::shared_ptr<void> copy_of(const void* data, size_t bytes);

// Gives memory that was freed, and what copies keep for the next one, back to the system; takes milliseconds.
void return_free_memory() noexcept;

}  // namespace manyscale::engine
