// What the stand-in for libcuda.so.1 exports besides the driver's calls: for tests in the process (found with dlsym), and for the stand-in
// for libonnxruntime, which computes on a stream as a provider would. Memory that a device address names may be touched through
// software_cuda_host_view only by what runs on a stream, or by a test that has waited.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {

struct SoftwareCudaCopies {
  uint64_t count;
  uint64_t bytes;
};

// Counted when asked for, apart from kernels_run.
struct SoftwareCudaCounts {
  uint64_t launches;
  uint64_t kernels_run;
  SoftwareCudaCopies up;
  SoftwareCudaCopies down;
  SoftwareCudaCopies on_device;
  SoftwareCudaCopies sets;
  uint64_t host_operations;   // of software_cuda_enqueue_host
  uint64_t synchronizations;  // cuStreamSynchronize, cuEventSynchronize
  uint64_t stream_waits;      // cuStreamWaitEvent
  uint64_t queries;
  uint64_t default_stream;  // operations on the default stream
  uint64_t allocations;     // all that were made
  uint64_t live_allocations;
  uint64_t live_bytes;
  uint64_t peak_bytes;
  uint64_t pinned;
  uint64_t live_pinned;
  uint64_t live_pinned_bytes;
  uint64_t live_streams;
  uint64_t live_events;
  uint64_t live_modules;
  uint64_t pending;  // operations that have not run yet
  uint64_t failed_contexts;
  uint64_t after_failure;  // calls that found their context dead
  uint64_t misuses;
};

using SoftwareCudaHostFunction = void (*)(void* data, int dropped);  // dropped: the context failed first; only clean up

// size: sizeof(SoftwareCudaCounts); fewer are filled for an older caller.
void software_cuda_counts(SoftwareCudaCounts* counts, size_t size);
uint64_t software_cuda_launches(const char* kernel);
// The text of a misuse by its number, null behind the last one. Valid until software_cuda_reset_counts.
const char* software_cuda_misuse(size_t index);
// Forgets counts and misuses; what is live stays counted.
void software_cuda_reset_counts();
// The report as JSON, to a file; 0 when written.
int software_cuda_write_report(const char* path);
// Where the bytes at a device address lie for the process; null unless all of them are in one live allocation.
void* software_cuda_host_view(uint64_t address, size_t bytes);
int software_cuda_stream_alive(void* stream);
// The device of a stream, -1 when it is none.
int software_cuda_stream_device(void* stream);
// The device of the allocation in which all the bytes lie, -1 when there is none.
int software_cuda_address_device(uint64_t address, size_t bytes);
// Runs function(data, 0) in the stream's order; the driver's result. On an error nothing is run.
int software_cuda_enqueue_host(void* stream, SoftwareCudaHostFunction function, void* data);
// Kills the stream's context with an error such as 700 when its turn comes, as a kernel of the provider's own would.
int software_cuda_enqueue_fault(void* stream, int error);
// Waits for all of the stream, whatever the calling thread's context is.
int software_cuda_synchronize(void* stream);
// Another order of the streams from now on.
void software_cuda_set_seed(uint64_t seed);
}
