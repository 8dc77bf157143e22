// What the stand-in for libonnxruntime exports besides OrtGetApiBase, for tests in the process (found with dlsym).
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {

struct StandInRuntimeCounts {
  uint64_t runs;         // all
  uint64_t device_runs;  // on a stream, with everything bound in device memory
  uint64_t failed_runs;
  uint64_t host_copies;  // tensors that a provider of a device had to copy from or to host memory
  uint64_t sessions;     // all that were made
  uint64_t live_sessions;
  uint64_t live_bindings;
  uint64_t live_values;
  uint64_t pending;          // runs that a stream has still to execute
  uint64_t engine_builds;    // of TensorRT, without a cached engine
  uint64_t engine_loads;     // from a cache
  uint64_t engine_rebuilds;  // a shape outside of the profile
  uint64_t violations;
};

// size: sizeof(StandInRuntimeCounts).
void stand_in_runtime_counts(StandInRuntimeCounts* counts, size_t size);
// The text of a violation by its number, null behind the last one. Valid until stand_in_runtime_reset.
const char* stand_in_runtime_violation(size_t index);
// Forgets counts and violations, and reads the environment again.
void stand_in_runtime_reset();
// The report as JSON, to a file; 0 when written.
int stand_in_runtime_write_report(const char* path);
}
