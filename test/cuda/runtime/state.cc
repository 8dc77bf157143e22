#include "state.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>

namespace stand_in {
namespace {

constexpr size_t kMostViolations = 100;

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char letter : text) {
    if (letter == '"' || letter == '\\') result += '\\';
    result += static_cast<unsigned char>(letter) < 0x20 ? ' ' : letter;
  }
  return result + '"';
}

}  // namespace

std::string report() {
  const StandInRuntimeCounts& counts = state().counts;
  std::string text = "{\"version\": 1";
  const auto number = [&text](const char* name, uint64_t value) { text += std::string(", \"") + name + "\": " + std::to_string(value); };
  number("runs", counts.runs);
  number("deviceRuns", counts.device_runs);
  number("failedRuns", counts.failed_runs);
  number("hostCopies", counts.host_copies);
  number("sessions", counts.sessions);
  number("liveSessions", counts.live_sessions);
  number("liveBindings", counts.live_bindings);
  number("liveValues", counts.live_values);
  number("pending", counts.pending);
  number("engineBuilds", counts.engine_builds);
  number("engineLoads", counts.engine_loads);
  number("engineRebuilds", counts.engine_rebuilds);
  number("violationCount", counts.violations);
  text += ", \"violations\": [";
  for (size_t i = 0; i < state().violations.size(); i++) text += (i > 0 ? ", " : "") + quoted(state().violations[i]);
  return text + "]}\n";
}

namespace {

void write_report_at_exit() {
  const std::string path = environment("STAND_IN_RUNTIME_REPORT");
  if (!path.empty()) stand_in_runtime_write_report(path.c_str());
}

template <typename Function>
void find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
}

}  // namespace

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

void read_faults(Faults& faults) {
  faults = {};
  if (const std::string version = environment("STAND_IN_RUNTIME_VERSION"); !version.empty()) faults.version = version;
  for (const std::string& fault : split(environment("STAND_IN_RUNTIME"), ',')) {
    const std::vector<std::string> parts = split(fault, ':');
    const std::string argument = parts.size() > 1 ? parts[1] : "";
    const auto number = [&parts](size_t index, uint64_t otherwise) {
      return parts.size() > index ? std::strtoull(parts[index].c_str(), nullptr, 10) : otherwise;
    };
    if (parts.empty()) continue;
    if (parts[0] == "fail-run") {
      faults.fail_run = number(1, 1);
      faults.fail_runs = number(2, 1);
    } else if (parts[0] == "device-fault") {
      faults.device_fault = number(1, 1);
    } else if (parts[0] == "fail-load") {
      faults.fail_load = true;
    } else if (parts[0] == "out-of-memory") {
      faults.out_of_memory = true;
    } else if (parts[0] == "provider-runs-wrong") {
      faults.runs_wrong = true;
    } else if (parts[0] == "missing-provider") {
      faults.missing_providers.insert(argument);
    } else if (parts[0] == "provider-fails") {
      faults.failing_providers.insert(argument);
    } else if (parts[0] == "slow") {
      faults.slow_ms = static_cast<int64_t>(number(1, 20));
    } else if (parts[0] == "slow-build") {
      faults.slow_build_ms = static_cast<int64_t>(number(1, 500));
    } else {
      record_violation("STAND_IN_RUNTIME=" + fault + " cannot be read");
    }
  }
}

State& state() {
  static State* const made = [] {
    auto* fresh = new State;  // leaked: streams may still run while the process ends
    std::atexit(write_report_at_exit);
    return fresh;
  }();
  return *made;
}

OrtStatus* error(int code, const std::string& message) { return new OrtStatus{code, message}; }

void record_violation(const std::string& message) {
  const std::lock_guard lock(state().mutex);
  state().counts.violations++;
  if (state().violations.size() < kMostViolations) state().violations.push_back(message);
}

OrtStatus* violation(const std::string& message) {
  record_violation(message);
  return error(kInvalidArgument, "stand-in: " + message);
}

const Driver& driver() {
  static const Driver* const found = [] {
    auto* result = new Driver;
    void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
      const char* reason = dlerror();
      result->reason = reason ? reason : "no libcuda.so.1";
      return result;
    }
    find(library, "software_cuda_enqueue_host", result->enqueue_host);
    find(library, "software_cuda_enqueue_fault", result->enqueue_fault);
    find(library, "software_cuda_synchronize", result->synchronize);
    find(library, "software_cuda_host_view", result->host_view);
    find(library, "software_cuda_stream_alive", result->stream_alive);
    find(library, "software_cuda_stream_device", result->stream_device);
    find(library, "software_cuda_address_device", result->address_device);
    if (!result->enqueue_host) result->reason = "a libcuda.so.1 that is not the stand-in";
    return result;
  }();
  return *found;
}

const char* provider_word(Provider provider) { return provider == Provider::kCuda ? "cuda" : provider == Provider::kTensorRt ? "tensorrt" : "cpu"; }

}  // namespace stand_in

using stand_in::state;

#define STAND_IN_EXPORT extern "C" __attribute__((visibility("default")))

STAND_IN_EXPORT void stand_in_runtime_counts(StandInRuntimeCounts* counts, size_t size) {
  const std::lock_guard lock(state().mutex);
  std::memcpy(counts, &state().counts, std::min(size, sizeof *counts));
}

STAND_IN_EXPORT const char* stand_in_runtime_violation(size_t index) {
  const std::lock_guard lock(state().mutex);
  return index < state().violations.size() ? state().violations[index].c_str() : nullptr;
}

STAND_IN_EXPORT void stand_in_runtime_reset() {
  stand_in::Faults faults;
  {
    const std::lock_guard lock(state().mutex);
    StandInRuntimeCounts kept{};
    kept.live_sessions = state().counts.live_sessions;
    kept.live_bindings = state().counts.live_bindings;
    kept.live_values = state().counts.live_values;
    kept.pending = state().counts.pending;
    state().counts = kept;
    state().violations.clear();
  }
  stand_in::read_faults(faults);
  const std::lock_guard lock(state().mutex);
  state().faults = faults;
}

STAND_IN_EXPORT int stand_in_runtime_write_report(const char* path) {
  std::string json;
  {
    const std::lock_guard lock(state().mutex);
    json = stand_in::report();
  }
  std::FILE* file = std::fopen(path, "wb");
  if (!file) return 1;
  const bool written = std::fwrite(json.data(), 1, json.size(), file) == json.size();
  return std::fclose(file) == 0 && written ? 0 : 1;
}
