// What is behind the opaque types of ONNX Runtime's interface, and what the stand-in as a whole keeps.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "runtime/ort_api.h"
#include "stand_in_runtime.h"
#include "toy_model.h"

namespace stand_in {

// OrtErrorCode
enum Code : int { kFail = 1, kInvalidArgument = 2, kNoSuchFile = 3, kRuntimeException = 6, kInvalidProtobuf = 7, kNotImplemented = 9, kProviderFail = 11 };

// STAND_IN_RUNTIME: what is to go wrong; docs/software-cuda.md lists it.
struct Faults {
  uint64_t fail_run = 0;  // this run and the `fail_runs` - 1 that follow
  uint64_t fail_runs = 1;
  uint64_t device_fault = 0;  // this run kills the context
  bool fail_load = false;
  bool out_of_memory = false;               // every run
  bool runs_wrong = false;                  // numbers of a device's provider
  std::set<std::string> missing_providers;  // the library of the provider does not load
  std::set<std::string> failing_providers;  // a session with it cannot be made
  int64_t slow_ms = 0;                      // each run
  int64_t slow_build_ms = 0;                // each build of a TensorRT engine
  std::string version = "1.29.0";
};

struct State {
  std::mutex mutex;
  Faults faults;
  StandInRuntimeCounts counts{};
  std::deque<std::string> violations;
};
State& state();

std::string environment(const char* name);
void read_faults(Faults& faults);
std::string report();  // JSON; with the mutex held
OrtStatus* error(int code, const std::string& message);
// An error that is also counted: against what the program must keep to.
OrtStatus* violation(const std::string& message);
void record_violation(const std::string& message);

// The stand-in for libcuda.so.1 in the process; null members where a real one or none is there.
struct Driver {
  int (*enqueue_host)(void* stream, void (*function)(void*, int), void* data) = nullptr;
  int (*enqueue_fault)(void* stream, int error) = nullptr;
  int (*synchronize)(void* stream) = nullptr;
  void* (*host_view)(uint64_t address, size_t bytes) = nullptr;
  int (*stream_alive)(void* stream) = nullptr;
  int (*stream_device)(void* stream) = nullptr;
  int (*address_device)(uint64_t address, size_t bytes) = nullptr;
  std::string reason;  // '' when it is there
};
const Driver& driver();

enum class Provider { kCpu, kCuda, kTensorRt };
// What a CUDA graph was captured with.
struct Graph {
  std::thread::id thread;
  uint64_t input;
  uint64_t output;
  std::vector<int64_t> dims;
  bool operator==(const Graph&) const = default;
};

const char* provider_word(Provider provider);  // 'cuda'

}  // namespace stand_in

struct OrtStatus {
  int code;
  std::string message;
};
struct OrtEnv {};
struct OrtAllocator {};
struct OrtMemoryInfo {
  std::string name;
  int id = 0;
};
struct ProviderOptions {
  std::map<std::string, std::string> entries;
  void* stream = nullptr;
};
struct OrtCUDAProviderOptionsV2 : ProviderOptions {};
struct OrtTensorRTProviderOptionsV2 : ProviderOptions {};
struct OrtSessionOptions {
  std::map<std::string, std::string> entries;
  std::vector<std::pair<stand_in::Provider, ProviderOptions>> providers;  // in the order of preference
};
struct OrtRunOptions {
  std::map<std::string, std::string> entries;
  std::atomic<bool> terminate{false};
};
struct OrtTensorTypeAndShapeInfo {
  stand_in::Value value;
};
struct OrtTypeInfo {
  OrtTensorTypeAndShapeInfo tensor;
};
struct OrtModelMetadata {
  std::shared_ptr<const stand_in::ToyModel> model;
};
struct OrtValue {
  OrtMemoryInfo memory;
  std::byte* data = nullptr;
  size_t bytes = 0;
  std::vector<int64_t> dims;
  int type = 0;
  std::vector<std::byte> owned;

  bool on_device() const { return memory.name != "Cpu"; }
  uint64_t address() const { return reinterpret_cast<uint64_t>(data); }
};
struct OrtSession {
  std::shared_ptr<const stand_in::ToyModel> model;
  stand_in::Provider provider = stand_in::Provider::kCpu;
  ProviderOptions options;
  int device = 0;
  std::atomic<int> running{0};
  std::shared_ptr<std::atomic<int>> pending = std::make_shared<std::atomic<int>>(0);  // on the stream
  std::mutex mutex;
  std::map<std::string, stand_in::Graph> graphs;  // by their id
};
struct OrtIoBinding {
  OrtSession* session = nullptr;
  std::map<std::string, OrtValue> inputs;
  std::map<std::string, OrtValue> outputs;
};
