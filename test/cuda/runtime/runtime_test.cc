// The stand-in for libonnxruntime: its toy model, the device-resident path in a stream's order, and the rules that it keeps watch over.
#include <dlfcn.h>
#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "runtime/ort_api.h"
#include "runtime_slots.h"
#include "stand_in_runtime.h"
#include "test_driver.h"
#include "toy_model.h"

using driver_test::driver;
using driver_test::enter;
using driver_test::in_process;
using runtime_test::Api;

namespace {

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

const Library& library() {
  static const Library* const loaded = [] {
    driver();  // by its path, so that the runtime finds it by its name
    void* handle = dlopen(STAND_IN_RUNTIME_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!handle) throw std::runtime_error(dlerror());
    auto* made = new Library;
    const auto base = reinterpret_cast<const manyscale::runtime::ort::ApiBase* (*)()>(dlsym(handle, "OrtGetApiBase"))();
    made->api = std::make_unique<Api>(base->GetApi(20));
    made->counts_of = reinterpret_cast<decltype(made->counts_of)>(dlsym(handle, "stand_in_runtime_counts"));
    made->violation = reinterpret_cast<decltype(made->violation)>(dlsym(handle, "stand_in_runtime_violation"));
    made->reset = reinterpret_cast<decltype(made->reset)>(dlsym(handle, "stand_in_runtime_reset"));
    return made;
  }();
  return *loaded;
}

// '' or the runtime's words.
std::string text_of(OrtStatus* status) {
  if (!status) return "";
  const std::string text = library().api->GetErrorMessage(status);
  library().api->ReleaseStatus(status);
  return text;
}

#define REQUIRE_OK(call) REQUIRE(text_of(call) == "")

enum class On { kCpu, kCuda, kTensorRt };

OrtSession* load(On on, void* stream, std::string& reason, const std::vector<std::pair<const char*, const char*>>& options = {}, const char* model = kModel) {
  const Api& api = *library().api;
  OrtEnv* env = nullptr;
  OrtSessionOptions* session_options = nullptr;
  api.CreateEnvWithCustomLogger(nullptr, nullptr, 3, "test", &env);
  api.CreateSessionOptions(&session_options);
  std::vector<const char*> keys;
  std::vector<const char*> values;
  for (const auto& [key, value] : options) keys.push_back(key), values.push_back(value);
  const auto add = [&](auto create, auto update, auto set, auto append, auto release, auto* provider) {
    create(&provider);
    reason = text_of(update(provider, keys.data(), values.data(), keys.size()));
    if (reason.empty() && stream) reason = text_of(set(provider, "user_compute_stream", stream));
    if (reason.empty()) reason = text_of(append(session_options, provider));
    release(provider);
  };
  if (on == On::kCuda) {
    add(api.CreateCUDAProviderOptions, api.UpdateCUDAProviderOptions, api.UpdateCUDAProviderOptionsWithValue, api.SessionOptionsAppendExecutionProvider_CUDA_V2,
        api.ReleaseCUDAProviderOptions, static_cast<OrtCUDAProviderOptionsV2*>(nullptr));
  } else if (on == On::kTensorRt) {
    add(api.CreateTensorRTProviderOptions, api.UpdateTensorRTProviderOptions, api.UpdateTensorRTProviderOptionsWithValue,
        api.SessionOptionsAppendExecutionProvider_TensorRT_V2, api.ReleaseTensorRTProviderOptions, static_cast<OrtTensorRTProviderOptionsV2*>(nullptr));
  }
  OrtSession* session = nullptr;
  if (reason.empty()) reason = text_of(api.CreateSessionFromArray(env, model, std::strlen(model), session_options, &session));
  api.ReleaseSessionOptions(session_options);
  return session;
}

OrtSession* load(On on, void* stream = nullptr, const std::vector<std::pair<const char*, const char*>>& options = {}) {
  std::string reason;
  OrtSession* session = load(on, stream, reason, options);
  if (!reason.empty()) throw std::runtime_error(reason);  // also outside of a test case
  return session;
}

std::vector<float> make_tiles(int64_t count) {
  std::vector<float> tiles(static_cast<size_t>(count * kTile));
  for (size_t i = 0; i < tiles.size(); i++) tiles[i] = static_cast<float>(i % 97) / 97;
  return tiles;
}

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
std::string bind(Bound& bound, OrtSession* session, const char* label, int id, void* in, void* out, int64_t tiles) {
  const Api& api = *library().api;
  OrtMemoryInfo* memory = nullptr;
  if (std::string reason = text_of(api.CreateMemoryInfo(label, 0, id, 0, &memory)); !reason.empty()) return reason;
  const int64_t in_dims[] = {tiles, 3, 8, 8};
  const int64_t out_dims[] = {tiles, 5, 4};
  std::string reason = text_of(api.CreateTensorWithDataAsOrtValue(memory, in, static_cast<size_t>(tiles * kTile * 4), in_dims, 4, 1, &bound.input));
  if (reason.empty())
    reason = text_of(api.CreateTensorWithDataAsOrtValue(memory, out, static_cast<size_t>(tiles * kFeatures * 4), out_dims, 3, 1, &bound.output));
  api.ReleaseMemoryInfo(memory);
  if (!reason.empty()) return reason;
  api.CreateIoBinding(session, &bound.binding);
  reason = text_of(api.BindInput(bound.binding, "tiles", bound.input));
  return reason.empty() ? text_of(api.BindOutput(bound.binding, "features", bound.output)) : reason;
}

std::string run(OrtSession* session, const Bound& bound, bool synchronize, const char* graph = nullptr) {
  const Api& api = *library().api;
  OrtRunOptions* options = nullptr;
  api.CreateRunOptions(&options);
  if (!synchronize) api.AddRunConfigEntry(options, "disable_synchronize_execution_providers", "1");
  if (graph) api.AddRunConfigEntry(options, "gpu_graph_id", graph);
  const std::string reason = text_of(api.RunWithBinding(session, options, bound.binding));
  api.ReleaseRunOptions(options);
  return reason;
}

// What the model makes of the tiles, by the CPU.
std::vector<float> expected_features(const std::vector<float>& tiles) {
  const auto model = stand_in::parse_model(kModel);
  const int64_t count = static_cast<int64_t>(tiles.size()) / kTile;
  std::vector<float> features(static_cast<size_t>(count * kFeatures));
  model->run(reinterpret_cast<const std::byte*>(tiles.data()), {count, 3, 8, 8}, reinterpret_cast<std::byte*>(features.data()), false);
  return features;
}

struct Device {
  const driver_test::Driver& cuda = driver();
  void* stream = nullptr;
  uint64_t in = 0;
  uint64_t out = 0;
  float* pinned_in = nullptr;
  float* pinned_out = nullptr;
  static constexpr int64_t kTiles = 3;
  static constexpr size_t kIn = kTiles * kTile * 4;
  static constexpr size_t kOut = kTiles * kFeatures * 4;

  Device() {
    library();
    enter();
    library().reset();
    cuda.reset();
    void* data = nullptr;
    REQUIRE(cuda.cuStreamCreate(&stream, software_cuda::kStreamNonBlocking) == 0);
    REQUIRE(cuda.cuMemAlloc_v2(&in, kIn) == 0);
    REQUIRE(cuda.cuMemAlloc_v2(&out, kOut) == 0);
    REQUIRE(cuda.cuMemHostAlloc(&data, kIn, 0) == 0);
    pinned_in = static_cast<float*>(data);
    REQUIRE(cuda.cuMemHostAlloc(&data, kOut, 0) == 0);
    pinned_out = static_cast<float*>(data);
  }
  ~Device() {
    if (cuda.stream_alive(stream)) {
      cuda.cuStreamSynchronize(stream);
      cuda.cuStreamDestroy_v2(stream);
    }
    if (in) cuda.cuMemFree_v2(in);
    cuda.cuMemFree_v2(out);
    cuda.cuMemFreeHost(pinned_in);
    cuda.cuMemFreeHost(pinned_out);
  }
  static void* address(uint64_t at) { return reinterpret_cast<void*>(at); }
};

}  // namespace

TEST_CASE("a model says what goes in and what comes out") {
  const Api& api = *library().api;
  OrtSession* session = load(On::kCpu);
  size_t count = 0;
  REQUIRE_OK(api.SessionGetInputCount(session, &count));
  CHECK(count == 1);
  OrtTypeInfo* type = nullptr;
  REQUIRE_OK(api.SessionGetInputTypeInfo(session, 0, &type));
  const OrtTensorTypeAndShapeInfo* info = nullptr;
  REQUIRE_OK(api.CastTypeInfoToTensorInfo(type, &info));
  int64_t dims[4] = {};
  const char* symbols[4] = {};
  REQUIRE_OK(api.GetDimensions(info, dims, 4));
  REQUIRE_OK(api.GetSymbolicDimensions(info, symbols, 4));
  CHECK(dims[0] == -1);
  CHECK(std::string(symbols[0]) == "batch");
  CHECK(dims[3] == 8);
  api.ReleaseTypeInfo(type);
  OrtModelMetadata* metadata = nullptr;
  REQUIRE_OK(api.SessionGetModelMetadata(session, &metadata));
  OrtAllocator* allocator = nullptr;
  REQUIRE_OK(api.GetAllocatorWithDefaultOptions(&allocator));
  char* value = nullptr;
  REQUIRE_OK(api.ModelMetadataLookupCustomMetadataMap(metadata, allocator, "manyscale.mean", &value));
  CHECK(std::string(value) == "0.5,0.5,0.5");
  api.AllocatorFree(allocator, value);
  api.ReleaseModelMetadata(metadata);
  api.ReleaseSession(session);
  CHECK(stand_in::parse_model("stand-in model\nnonsense\n") == nullptr);
  CHECK(stand_in::parse_model("\x08\x07 an ONNX file") == nullptr);
}

TEST_CASE("every output depends on its own patch alone, and on all of it") {
  const std::vector<float> tiles = make_tiles(2);
  const std::vector<float> features = expected_features(tiles);
  for (const size_t changed : {size_t{0}, size_t{3 * 8 + 3}, size_t{kTile + 64 + 4 * 8 + 5}}) {
    std::vector<float> other = tiles;
    other[changed] += 1;
    const std::vector<float> moved = expected_features(other);
    const size_t tile = changed / kTile;
    const size_t pixel = changed % 64;
    const size_t cell = pixel / 8 / 4 * 2 + pixel % 8 / 4;
    for (size_t i = 0; i < moved.size(); i++) {
      const bool prefix = i / kFeatures == tile && i % kFeatures / 4 == 0;
      const bool own = i / kFeatures == tile && i % kFeatures / 4 == 1 + cell;
      if (!prefix && !own) CHECK(moved[i] == features[i]);
    }
    bool any = false;
    for (size_t channel = 0; channel < 4; channel++) any = any || moved[(tile * 5 + 1 + cell) * 4 + channel] != features[(tile * 5 + 1 + cell) * 4 + channel];
    CHECK(any);
  }
}

TEST_CASE("tokens and maps, float16 and bfloat16 agree") {
  const char* kMap = "stand-in model\ninput tiles float16 batch 3 8 8\noutput features bfloat16 batch 4 2 2\npatch 4\n";
  const auto map = stand_in::parse_model(kMap);
  REQUIRE(map);
  CHECK(map->output_dims({2, 3, 8, 8}) == std::vector<int64_t>{2, 4, 2, 2});
  const std::vector<uint16_t> ones(2 * kTile, 0x3C00);
  std::vector<uint16_t> out(2 * 4 * 4);
  map->run(reinterpret_cast<const std::byte*>(ones.data()), {2, 3, 8, 8}, reinterpret_cast<std::byte*>(out.data()), false);
  const std::vector<float> tokens = expected_features(std::vector<float>(2 * kTile, 1.0F));
  for (size_t tile = 0; tile < 2; tile++) {
    for (size_t channel = 0; channel < 4; channel++) {
      for (size_t cell = 0; cell < 4; cell++) {
        const uint32_t bits = uint32_t{out[(tile * 4 + channel) * 4 + cell]} << 16;
        float value;
        std::memcpy(&value, &bits, 4);
        CHECK(value == doctest::Approx(tokens[(tile * 5 + 1 + cell) * 4 + channel]).epsilon(0.01));
      }
    }
  }
}

TEST_CASE_FIXTURE(Device, "a run on device memory happens in its stream's order, when the stream comes to it") {
  OrtSession* session = load(On::kCuda, stream);
  {
    Bound bound;
    REQUIRE(bind(bound, session, "Cuda", 0, address(in), address(out), kTiles) == "");
    const std::vector<float> tiles = make_tiles(kTiles);
    for (uint64_t seed = 1; seed <= 10; seed++) {
      cuda.set_seed(seed);
      std::memcpy(pinned_in, tiles.data(), kIn);
      CHECK(cuda.cuMemcpyHtoDAsync_v2(in, pinned_in, kIn, stream) == 0);
      CHECK(run(session, bound, false) == "");
      CHECK(cuda.cuMemcpyDtoHAsync_v2(pinned_out, out, kOut, stream) == 0);
      CHECK(cuda.cuMemsetD8Async(out, 0, kOut, stream) == 0);
      CHECK(cuda.cuStreamSynchronize(stream) == 0);
      CHECK(std::memcmp(pinned_out, expected_features(tiles).data(), kOut) == 0);
    }
  }
  library().api->ReleaseSession(session);
  CHECK(library().violations() == "");
  CHECK(library().counts().device_runs == 10);
  CHECK(library().counts().host_copies == 0);
  CHECK(library().counts().pending == 0);
  CHECK(cuda.counts().host_operations == 10);
  CHECK(cuda.misuses() == "");
}

TEST_CASE_FIXTURE(Device, "a run with host memory is copied by the provider, and counted") {
  OrtSession* session = load(On::kCuda, stream);
  std::vector<float> tiles = make_tiles(kTiles);
  std::vector<float> features(kTiles * kFeatures);
  {
    Bound bound;
    REQUIRE(bind(bound, session, "Cpu", 0, tiles.data(), features.data(), kTiles) == "");
    CHECK(run(session, bound, true) == "");
    CHECK(features == expected_features(tiles));
    CHECK(library().counts().host_copies == 2);
    CHECK(run(session, bound, false).find("may be read too early") != std::string::npos);
  }
  library().api->ReleaseSession(session);
}

TEST_CASE_FIXTURE(Device, "what breaks the rules of the device-resident path is told") {
  const Api& api = *library().api;
  OrtSession* session = load(On::kCuda, stream, {{"enable_cuda_graph", "1"}});
  std::vector<float> host(kTiles * kTile);
  {
    Bound bound;
    CHECK(bind(bound, session, "Cuda", 0, host.data(), address(out), kTiles).find("is not in one live allocation of a device") != std::string::npos);
  }
  {
    Bound bound;
    CHECK(bind(bound, session, "Cpu", 0, address(in), address(out), kTiles).find("is labelled Cpu") != std::string::npos);
  }
  {
    Bound bound;
    CHECK(bind(bound, session, "Cuda", 1, address(in), address(out), kTiles).find("with device id 1") != std::string::npos);
  }
  {
    Bound bound;
    CHECK(bind(bound, session, "Cuda", 0, address(in), address(out), kTiles + 1).find("is not in one live allocation") != std::string::npos);
  }
  CHECK(library().counts().violations == 4);
  REQUIRE(cuda.cuMemsetD8Async(in, 0, kIn, stream) == 0);
  {
    Bound bound;
    Bound smaller;
    REQUIRE(bind(bound, session, "Cuda", 0, address(in), address(out), kTiles) == "");
    REQUIRE(bind(smaller, session, "Cuda", 0, address(in), address(out), 1) == "");
    CHECK(run(session, bound, true, "1").find("disable_synchronize_execution_providers") != std::string::npos);
    CHECK(run(session, bound, false, "1") == "");
    CHECK(run(session, bound, false, "1") == "");
    CHECK(run(session, smaller, false, "2") == "");
    CHECK(run(session, smaller, false, "1").find("was captured with other addresses") != std::string::npos);
    CHECK(run(session, smaller, false, "-1") == "");

    OrtSession* cpu = load(On::kCpu);
    OrtSession* own_stream = load(On::kCuda);
    Bound on_cpu;
    Bound unordered;
    REQUIRE(bind(on_cpu, cpu, "Cuda", 0, address(in), address(out), 1) == "");
    REQUIRE(bind(unordered, own_stream, "Cuda", 0, address(in), address(out), 1) == "");
    CHECK(run(cpu, on_cpu, false).find("memory labelled Cuda in a run on the CPU") != std::string::npos);
    CHECK(run(own_stream, unordered, false).find("without a user_compute_stream") != std::string::npos);
    CHECK(run(cpu, bound, false).find("another session") != std::string::npos);
    api.ReleaseSession(cpu);
    api.ReleaseSession(own_stream);
    CHECK(library().counts().violations == 9);

    // Released while its stream has still to come to a run.
    cuda.set_seed(3);
    CHECK(cuda.cuStreamSynchronize(stream) == 0);
    CHECK(run(session, bound, false, "1") == "");
    CHECK(cuda.cuMemFree_v2(in) == 0);
    in = 0;
    api.ReleaseSession(session);
  }
  CHECK(library().violations().find("of its runs were pending on the stream") != std::string::npos);
  CHECK(cuda.cuStreamSynchronize(stream) == 0);
  CHECK(library().violations().find("had been freed when the stream came to the run") != std::string::npos);
}

TEST_CASE_FIXTURE(Device, "a stream must be alive and the device's") {
  std::string reason;
  OrtSession* session = load(On::kCuda, stream, reason, {{"device_id", "1"}});
  CHECK(session == nullptr);
  CHECK(reason.find("user_compute_stream is of device 0") != std::string::npos);
  CHECK(load(On::kCuda, &reason, reason) == nullptr);
  CHECK(reason.find("no live stream") != std::string::npos);

  session = load(On::kCuda, stream);
  {
    Bound bound;
    REQUIRE(bind(bound, session, "Cuda", 0, address(in), address(out), kTiles) == "");
    REQUIRE(cuda.cuStreamDestroy_v2(stream) == 0);
    CHECK(run(session, bound, false).find("was destroyed") != std::string::npos);
  }
  library().api->ReleaseSession(session);
}

TEST_CASE_FIXTURE(Device, "shapes, names and slots are checked as the real one does") {
  const Api& api = *library().api;
  OrtSession* session = load(On::kCpu);
  std::vector<float> tiles(3 * 8 * 4);
  OrtMemoryInfo* memory = nullptr;
  REQUIRE_OK(api.CreateCpuMemoryInfo(0, 0, &memory));
  const int64_t dims[] = {1, 3, 8, 4};
  OrtValue* value = nullptr;
  REQUIRE_OK(api.CreateTensorWithDataAsOrtValue(memory, tiles.data(), tiles.size() * 4, dims, 4, 1, &value));
  const char* in_name = "tiles";
  const char* out_name = "features";
  OrtValue* result = nullptr;
  CHECK(text_of(api.Run(session, nullptr, &in_name, &value, 1, &out_name, 1, &result)).find("Got invalid dimensions for input: tiles") != std::string::npos);
  CHECK(result == nullptr);
  out_name = "other";
  CHECK(text_of(api.Run(session, nullptr, &in_name, &value, 1, &out_name, 1, &result)) == "Invalid Output Name");
  api.ReleaseValue(value);
  api.ReleaseMemoryInfo(memory);
  api.ReleaseSession(session);
  std::string reason;
  CHECK(load(On::kCpu, nullptr, reason, {}, "nonsense") == nullptr);
  CHECK(reason.find("Protobuf parsing failed") != std::string::npos);
}

namespace {

std::string run_on_host_memory(OrtSession* session) {
  std::vector<float> tiles = make_tiles(1);
  std::vector<float> features(kFeatures);
  Bound bound;
  const std::string reason = bind(bound, session, "Cpu", 0, tiles.data(), features.data(), 1);
  return reason.empty() ? run(session, bound, true) : reason;
}

}  // namespace

CUDA_SCENARIO(seventh_run_fails) {
  OrtSession* session = load(On::kCpu);
  for (int i = 1; i <= 8; i++) {
    const std::string reason = run_on_host_memory(session);
    EXPECT((i == 7) == (reason.find("asked to fail at run 7") != std::string::npos));
    EXPECT(i == 7 || reason.empty());
  }
  EXPECT(library().counts().failed_runs == 1);
  return "";
}

CUDA_SCENARIO(load_fails) {
  std::string reason;
  EXPECT(load(On::kCpu, nullptr, reason) == nullptr);
  EXPECT(reason.find("Protobuf parsing failed") != std::string::npos);
  return "";
}

CUDA_SCENARIO(provider_missing) {
  std::string reason;
  EXPECT(load(On::kCuda, nullptr, reason) == nullptr);
  EXPECT(reason.find("libcublasLt.so.13: cannot open shared object file") != std::string::npos);
  EXPECT(load(On::kTensorRt, nullptr, reason) != nullptr);
  return "";
}

CUDA_SCENARIO(provider_fails) {
  std::string reason;
  EXPECT(load(On::kTensorRt, nullptr, reason) == nullptr);
  EXPECT(reason.find("CUDA failure 35") != std::string::npos);
  return "";
}

CUDA_SCENARIO(numbers_are_wrong) {
  enter();
  const auto& cuda = driver();
  void* stream = nullptr;
  EXPECT(cuda.cuStreamCreate(&stream, 1) == 0);
  OrtSession* session = load(On::kCuda, stream);
  std::vector<float> tiles = make_tiles(1);
  std::vector<float> features(kFeatures);
  Bound bound;
  EXPECT(bind(bound, session, "Cpu", 0, tiles.data(), features.data(), 1) == "");
  EXPECT(run(session, bound, true) == "");
  EXPECT(features != expected_features(tiles));
  return "";
}

CUDA_SCENARIO(run_kills_the_context) {
  enter();
  const auto& cuda = driver();
  void* stream = nullptr;
  EXPECT(cuda.cuStreamCreate(&stream, 1) == 0);
  OrtSession* session = load(On::kCuda, stream);
  std::vector<float> tiles = make_tiles(1);
  std::vector<float> features(kFeatures);
  Bound bound;
  EXPECT(bind(bound, session, "Cpu", 0, tiles.data(), features.data(), 1) == "");
  EXPECT(run(session, bound, true) == "");
  EXPECT(run(session, bound, true).find("CUDA failure 700") != std::string::npos);
  EXPECT(cuda.cuStreamSynchronize(stream) == 700);
  EXPECT(library().counts().pending == 0);
  return "";
}

CUDA_SCENARIO(two_at_once) {
  enter();
  const auto& cuda = driver();
  void* stream = nullptr;
  EXPECT(cuda.cuStreamCreate(&stream, 1) == 0);
  OrtSession* session = load(On::kCuda, stream);
  std::thread other([session] { run_on_host_memory(session); });
  while (library().counts().runs == 0) std::this_thread::yield();
  const std::string reason = run_on_host_memory(session);
  other.join();
  EXPECT(reason.find("two runs at once") != std::string::npos);
  EXPECT(run_on_host_memory(session) == "");
  return "";
}

CUDA_SCENARIO(engine_cache) {
  enter();
  const std::string folder = std::getenv("ENGINE_FOLDER");
  const std::vector<std::pair<const char*, const char*>> options{{"trt_engine_cache_enable", "1"},
                                                                 {"trt_engine_cache_path", folder.c_str()},
                                                                 {"trt_profile_min_shapes", "tiles:1x3x8x8"},
                                                                 {"trt_profile_max_shapes", "tiles:2x3x8x8"}};
  load(On::kTensorRt, nullptr, options);
  EXPECT(library().counts().engine_builds == 1);
  OrtSession* session = load(On::kTensorRt, nullptr, options);
  EXPECT(library().counts().engine_builds == 1);
  EXPECT(library().counts().engine_loads == 1);
  EXPECT(run_on_host_memory(session) == "");
  EXPECT(library().counts().engine_rebuilds == 0);
  std::vector<float> tiles = make_tiles(3);
  std::vector<float> features(3 * kFeatures);
  Bound bound;
  EXPECT(bind(bound, session, "Cpu", 0, tiles.data(), features.data(), 3) == "");
  EXPECT(run(session, bound, true) == "");
  EXPECT(library().counts().engine_rebuilds == 1);
  return "";
}

TEST_CASE("the runtime fails as it is told to") {
  CHECK(in_process("seventh_run_fails", {{"STAND_IN_RUNTIME", "fail-run:7"}}) == "");
  CHECK(in_process("load_fails", {{"STAND_IN_RUNTIME", "fail-load"}}) == "");
  CHECK(in_process("provider_missing", {{"STAND_IN_RUNTIME", "missing-provider:cuda"}}) == "");
  CHECK(in_process("provider_fails", {{"STAND_IN_RUNTIME", "provider-fails:tensorrt"}}) == "");
  CHECK(in_process("numbers_are_wrong", {{"STAND_IN_RUNTIME", "provider-runs-wrong"}}) == "");
  CHECK(in_process("two_at_once", {{"STAND_IN_RUNTIME", "slow:300"}}) == "");
  CHECK(in_process("run_kills_the_context", {{"STAND_IN_RUNTIME", "device-fault:2"}}) == "");
}

TEST_CASE("a TensorRT engine is built once and found in its cache") {
  char folder[] = "/tmp/stand_in_engines_XXXXXX";
  REQUIRE(mkdtemp(folder));
  CHECK(in_process("engine_cache", {{"ENGINE_FOLDER", folder}}) == "");
  std::remove((std::string(folder) + "/TensorrtExecutionProvider_TRTKernel_graph_stand_in_0_0_sm90.engine").c_str());
  CHECK(rmdir(folder) == 0);
}
