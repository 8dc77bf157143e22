// The stand-in for libonnxruntime as its tests use it: a model, sessions, bindings.
#pragma once

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime_slots.h"
#include "stand_in_runtime.h"
#include "test_driver.h"

namespace runtime_test {

constexpr const char* kModel =
    "stand-in model\n"
    "input tiles float32 batch 3 8 8\n"
    "output features float32 batch 5 4\n"
    "patch 4\n"
    "prefix 1\n"
    "metadata manyscale.mean 0.5,0.5,0.5\n";
constexpr int64_t kTile = 3 * 8 * 8;
constexpr int64_t kFeatures = 5 * 4;

struct Library {
  std::unique_ptr<Api> api;
  decltype(&stand_in_runtime_counts) counts_of = nullptr;
  decltype(&stand_in_runtime_violation) violation = nullptr;
  decltype(&stand_in_runtime_reset) reset = nullptr;

  StandInRuntimeCounts counts() const {
    StandInRuntimeCounts result{};
    counts_of(&result, sizeof result);
    return result;
  }
  std::string violations() const {
    std::string text;
    for (size_t i = 0; violation(i); i++) text += std::string(violation(i)) + "\n";
    return text;
  }
};

const Library& library();
std::string text_of(OrtStatus* status);  // '' or the runtime's words

#define REQUIRE_OK(call) REQUIRE(text_of(call) == "")

enum class On { kCpu, kCuda, kTensorRt };

using Options = std::vector<std::pair<const char*, const char*>>;
// Null and the reason, or a session.
OrtSession* load(On on, void* stream, std::string& reason, const Options& options = {}, const char* model = kModel);
// A session; throws with the reason.
OrtSession* load(On on, void* stream = nullptr, const Options& options = {});

std::vector<float> make_tiles(int64_t count);
std::vector<float> expected_features(const std::vector<float>& tiles);  // what the model makes of them, by the CPU

struct Bound {
  OrtIoBinding* binding = nullptr;
  OrtValue* input = nullptr;
  OrtValue* output = nullptr;

  ~Bound() {
    library().api->ReleaseIoBinding(binding);
    library().api->ReleaseValue(input);
    library().api->ReleaseValue(output);
  }
};

// Binds memory with a label; '' or what the runtime says.
std::string bind(Bound& bound, OrtSession* session, const char* label, int id, void* in, void* out, int64_t tiles);
std::string run(OrtSession* session, const Bound& bound, bool synchronize, const char* graph = nullptr);
std::string run_on_host_memory(OrtSession* session);  // one tile

}  // namespace runtime_test
