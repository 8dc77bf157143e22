// native/runtime with providers of a GPU: sessions, bound device memory, graphs, refusals and faults, on the stand-ins.
#include <dlfcn.h>
#include <doctest/doctest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/error.h"
#include "runtime/library.h"
#include "runtime/session.h"
#include "stand_in_runtime.h"
#include "test_driver.h"
#include "toy_model.h"

using driver_test::driver;
using driver_test::enter;
using driver_test::in_process;

namespace manyscale::runtime {
namespace {

using Dims = std::vector<int64_t>;

const std::string kModel =
    "stand-in model\n"
    "input tiles float32 batch 3 8 8\n"
    "output features float32 batch 5 4\n"
    "patch 4\n"
    "prefix 1\n";
constexpr int64_t kTile = 3 * 8 * 8;
constexpr int64_t kFeatures = 5 * 4;
constexpr int64_t kTiles = 3;
constexpr size_t kIn = kTiles * kTile * sizeof(float);
constexpr size_t kOut = kTiles * kFeatures * sizeof(float);

struct Counters {
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

Library& library() {
  driver();  // by its path first, so that the runtime finds it by its name
  return Library::load(STAND_IN_RUNTIME_LIBRARY);
}

const Counters& counters() {
  static const Counters* const found = [] {
    library();
    void* handle = dlopen(STAND_IN_RUNTIME_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    auto* made = new Counters;
    made->counts_of = reinterpret_cast<decltype(made->counts_of)>(dlsym(handle, "stand_in_runtime_counts"));
    made->violation = reinterpret_cast<decltype(made->violation)>(dlsym(handle, "stand_in_runtime_violation"));
    made->reset = reinterpret_cast<decltype(made->reset)>(dlsym(handle, "stand_in_runtime_reset"));
    return made;
  }();
  return *found;
}

struct Failure {
  std::string code = "none";
  std::string message;
};

Failure failure_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return {error_code_name(error.code()), error.what()};
  }
  return {};
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::unique_ptr<Session> load(const ProviderChoice& choice, const std::string& model = kModel) {
  Session::Options options;
  options.provider = choice;
  return Session::from_bytes(library(), model.data(), model.size(), options);
}

std::vector<float> make_tiles(int64_t count) {
  std::vector<float> tiles(static_cast<size_t>(count * kTile));
  for (size_t i = 0; i < tiles.size(); i++) tiles[i] = static_cast<float>(i % 97) / 97;
  return tiles;
}

std::vector<float> expected_features(const std::vector<float>& tiles) {
  const int64_t count = static_cast<int64_t>(tiles.size()) / kTile;
  std::vector<float> features(static_cast<size_t>(count * kFeatures));
  stand_in::parse_model(kModel)->run(reinterpret_cast<const std::byte*>(tiles.data()), {count, 3, 8, 8}, reinterpret_cast<std::byte*>(features.data()), false);
  return features;
}

// A stream and memory of the device, and pinned memory to copy from and to. All rules are checked when it goes.
struct Device {
  const driver_test::Driver& cuda = driver();
  void* stream = nullptr;
  uint64_t in = 0;
  uint64_t out = 0;
  float* pinned_in = nullptr;
  float* pinned_out = nullptr;

  Device() {
    enter();
    counters().reset();
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
    cuda.cuStreamSynchronize(stream);
    cuda.cuStreamDestroy_v2(stream);
    cuda.cuMemFree_v2(in);
    cuda.cuMemFree_v2(out);
    cuda.cuMemFreeHost(pinned_in);
    cuda.cuMemFreeHost(pinned_out);
    CHECK(counters().violations() == "");
    CHECK(cuda.misuses() == "");
  }

  ProviderChoice choice(Provider provider, std::map<std::string, std::string> options = {}) const { return {provider, 0, stream, std::move(options), false}; }
  DeviceMemoryRange tiles(int64_t count = kTiles) const { return {in, {count, 3, 8, 8}}; }
  std::vector<std::pair<size_t, DeviceMemoryRange>> features(int64_t count = kTiles) const { return {{0, {out, {count, 5, 4}}}}; }

  // Tiles up, `run`, features down, in the stream's order, without a wait in between.
  std::vector<float> through(const std::vector<float>& values, const std::function<void()>& run) const {
    const size_t count = values.size() / kTile;
    std::memcpy(pinned_in, values.data(), values.size() * sizeof(float));
    REQUIRE(cuda.cuMemcpyHtoDAsync_v2(in, pinned_in, values.size() * sizeof(float), stream) == 0);
    run();
    REQUIRE(cuda.cuMemcpyDtoHAsync_v2(pinned_out, out, count * kFeatures * sizeof(float), stream) == 0);
    REQUIRE(cuda.cuStreamSynchronize(stream) == 0);
    return {pinned_out, pinned_out + count * kFeatures};
  }
};

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "manyscale-XXXXXX").string();
    REQUIRE(mkdtemp(pattern.data()));
    path_ = pattern;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

}  // namespace

TEST_CASE_FIXTURE(Device, "provider: bound device memory runs in our stream's order, without a copy through the host or a wait") {
  const auto session = load(choice(Provider::kCuda));
  CHECK(session->provider().provider == Provider::kCuda);
  const auto all = session->bind(0, tiles(), features());
  const auto one = session->bind(0, tiles(1), features(1));
  for (uint64_t seed = 1; seed <= 10; seed++) {
    cuda.set_seed(seed);
    const std::vector<float> three = make_tiles(kTiles);
    const std::vector<float> single(three.begin() + kTile, three.begin() + 2 * kTile);
    CHECK(through(three, [&] { session->run(*all, nullptr); }) == expected_features(three));
    CHECK(through(single, [&] { session->run(*one, nullptr); }) == expected_features(single));
  }
  CHECK(counters().counts().device_runs == 20);
  CHECK(counters().counts().host_copies == 0);
  CHECK(cuda.counts().synchronizations == 20);  // the test's own
}

TEST_CASE_FIXTURE(Device, "provider: host memory works too, and then the run waits") {
  const auto session = load(choice(Provider::kCuda));
  const std::vector<float> values = make_tiles(2);
  std::vector<float> result(2 * kFeatures);
  session->run(0, values.data(), {2, 3, 8, 8}, {{0, result.data(), {2, 5, 4}}}, nullptr);
  CHECK(result == expected_features(values));
  CHECK(session->probe(0, values.data(), {1, 3, 8, 8}, {0}, nullptr).at(0).dims == Dims{1, 5, 4});
}

TEST_CASE_FIXTURE(Device, "provider: graphs are captured when asked for, replayed on that thread, and left out elsewhere") {
  const auto session = load(choice(Provider::kCuda, {{"enable_cuda_graph", "1"}}));
  const auto all = session->bind(0, tiles(), features(), 1);
  const auto one = session->bind(0, tiles(1), features(1), 2);
  const auto without = session->bind(0, tiles(), features());
  const std::vector<float> three = make_tiles(kTiles);
  const std::vector<float> single(three.begin(), three.begin() + kTile);
  CHECK(through(three, [&] { session->run(*all, nullptr); }) == expected_features(three));  // not captured yet
  session->capture(*all, nullptr);
  session->capture(*one, nullptr);
  for (int i = 0; i < 3; i++) {
    CHECK(through(three, [&] { session->run(*all, nullptr); }) == expected_features(three));
    CHECK(through(single, [&] { session->run(*one, nullptr); }) == expected_features(single));
    CHECK(through(three, [&] { session->run(*without, nullptr); }) == expected_features(three));
    CHECK(through(three, [&] { std::thread([&] { session->run(*all, nullptr); }).join(); }) == expected_features(three));
  }
  // Memory of the host would be captured under the default id.
  std::vector<float> result(kFeatures);
  session->run(0, single.data(), {1, 3, 8, 8}, {{0, result.data(), {1, 5, 4}}}, nullptr);
  session->run(0, three.data(), {1, 3, 8, 8}, {{0, result.data(), {1, 5, 4}}}, nullptr);
  CHECK(failure_of([&] { session->capture(*without, nullptr); }).code == "ERR_INVALID_ARGUMENT");
  CHECK(failure_of([&] { load(choice(Provider::kCuda))->bind(0, tiles(), features(), 1); }).code == "ERR_INVALID_ARGUMENT");
}

TEST_CASE_FIXTURE(Device, "provider: what cannot be bound is refused before anything runs") {
  const auto session = load(choice(Provider::kCuda));
  const auto code_of = [&](const DeviceMemoryRange& from, const std::vector<std::pair<size_t, DeviceMemoryRange>>& to) {
    return failure_of([&] { session->bind(0, from, to); }).code;
  };
  CHECK(code_of({in, {kTiles, 3, 8, 9}}, features()) == "ERR_MODEL_SHAPE");
  CHECK(code_of(tiles(), {{0, {out, {kTiles, 5, 5}}}}) == "ERR_MODEL_SHAPE");
  CHECK(code_of(tiles(), {{1, {out, {kTiles, 5, 4}}}}) == "ERR_INVALID_ARGUMENT");
  CHECK(code_of(tiles(), {{0, {out, {kTiles, 5, 4}}}, {0, {out, {kTiles, 5, 4}}}}) == "ERR_INVALID_ARGUMENT");
  CHECK(code_of({0, {kTiles, 3, 8, 8}}, features()) == "ERR_INVALID_ARGUMENT");
  CHECK(code_of(tiles(), {{0, {0, {kTiles, 5, 4}}}}) == "ERR_INVALID_ARGUMENT");
  const auto on_cpu = load({});
  CHECK(contains(failure_of([&] { on_cpu->bind(0, tiles(), features()); }).message, "on the CPU"));
  CHECK(counters().counts().runs == 0);
}

TEST_CASE_FIXTURE(Device, "provider: a bound run can be cancelled before it starts, and the next one works") {
  const auto session = load(choice(Provider::kCuda));
  const auto all = session->bind(0, tiles(), features());
  RunControl control;
  control.cancel();
  CHECK(failure_of([&] { session->run(*all, &control); }).code == "ERR_CANCELLED");
  const std::vector<float> three = make_tiles(kTiles);
  RunControl other;
  CHECK(through(three, [&] { session->run(*all, &other); }) == expected_features(three));
}

TEST_CASE_FIXTURE(Device, "provider: models of bfloat16 run in device memory") {
  const auto session =
      load(choice(Provider::kCuda), "stand-in model\ninput tiles bfloat16 batch 3 8 8\noutput features bfloat16 batch 5 4\npatch 4\nprefix 1\n");
  const auto bound = session->bind(0, tiles(), features());
  CHECK(session->inputs().at(0).type == ElementType::kBfloat16);
  session->run(*bound, nullptr);
  CHECK(cuda.cuStreamSynchronize(stream) == 0);
  CHECK(counters().counts().device_runs == 1);
}

TEST_CASE_FIXTURE(Device, "provider: TensorRT takes its engine from the cache, and a shape outside of the profile never reaches it") {
  const TemporaryFolder folder;
  const auto chosen = choice(Provider::kTensorRt, {{"trt_engine_cache_enable", "1"},
                                                   {"trt_engine_cache_path", folder.path()},
                                                   {"trt_profile_min_shapes", "tiles:1x3x8x8"},
                                                   {"trt_profile_opt_shapes", "tiles:2x3x8x8"},
                                                   {"trt_profile_max_shapes", "tiles:2x3x8x8"}});
  { load(chosen); }
  CHECK(counters().counts().engine_builds == 1);
  const auto session = load(chosen);
  CHECK(counters().counts().engine_builds == 1);
  CHECK(counters().counts().engine_loads == 1);
  const auto two = session->bind(0, tiles(2), features(2));
  const std::vector<float> values = make_tiles(2);
  CHECK(through(values, [&] { session->run(*two, nullptr); }) == expected_features(values));
  const Failure failure = failure_of([&] { session->bind(0, tiles(3), features(3)); });
  CHECK(failure.code == "ERR_MODEL_SHAPE");
  CHECK(contains(failure.message, "from 1x3x8x8 to 2x3x8x8"));
  const std::vector<float> three = make_tiles(3);
  std::vector<float> result(3 * kFeatures);
  CHECK(failure_of([&] { session->run(0, three.data(), {3, 3, 8, 8}, {{0, result.data(), {3, 5, 4}}}, nullptr); }).code == "ERR_MODEL_SHAPE");
  CHECK(counters().counts().engine_rebuilds == 0);
}

CUDA_SCENARIO(missing_cuda) {
  const auto reasons = library().unavailable_providers();
  EXPECT(reasons.size() == 1 && contains(reasons.at("cuda"), "libcublasLt.so.13: cannot open shared object file"));
  const Failure failure = failure_of([] { load({Provider::kCuda, 0, nullptr, {}, false}); });
  EXPECT(failure.code == "ERR_DEVICE_UNAVAILABLE");
  EXPECT(contains(failure.message, "libcublasLt.so.13: cannot open shared object file"));
  EXPECT(load({})->provider().provider == Provider::kCpu);
  return "";
}

CUDA_SCENARIO(missing_tensorrt) {
  const Failure failure = failure_of([] { load({Provider::kTensorRt, 0, nullptr, {}, false}); });
  EXPECT(failure.code == "ERR_DEVICE_UNAVAILABLE");
  EXPECT(contains(failure.message, "'tensorrt'") && contains(failure.message, "libnvinfer.so.10"));
  load({Provider::kCuda, 0, nullptr, {}, false});
  return "";
}

CUDA_SCENARIO(session_fails) {
  const Failure failure = failure_of([] { load({Provider::kCuda, 0, nullptr, {}, false}); });
  EXPECT(failure.code == "ERR_DEVICE_UNAVAILABLE");
  EXPECT(contains(failure.message, "CUDA driver version is insufficient"));
  EXPECT(load({})->provider().provider == Provider::kCpu);
  return "";
}

CUDA_SCENARIO(old_runtime) {
  const Failure failure = failure_of([] { load({Provider::kCuda, 0, nullptr, {{"enable_cuda_graph", "1"}}, false}); });
  EXPECT(failure.code == "ERR_DEVICE_UNAVAILABLE");
  EXPECT(contains(failure.message, "1.18") && contains(failure.message, "1.17.3"));
  load({Provider::kCuda, 0, nullptr, {}, false});
  return "";
}

// A session, device memory and one tile; the rest ends with the process.
struct Tile {
  void* stream = nullptr;
  uint64_t memory = 0;
  std::unique_ptr<Session> session;
  std::unique_ptr<Session::Binding> binding;

  Tile() {
    enter();
    driver().cuStreamCreate(&stream, software_cuda::kStreamNonBlocking);
    driver().cuMemAlloc_v2(&memory, 4096);
    session = load({Provider::kCuda, 0, stream, {}, false});
    binding = session->bind(0, {memory, {1, 3, 8, 8}}, {{0, {memory + 2048, {1, 5, 4}}}});
  }
  std::string code() {
    return failure_of([this] { session->run(*binding, nullptr); }).code;
  }
};

CUDA_SCENARIO(device_fault) {
  static auto& tile = *new Tile;  // nothing of a dead context is freed
  EXPECT(tile.code() == "none");
  EXPECT(driver().cuStreamSynchronize(tile.stream) == 0);
  tile.code();  // the run that kills it is asked for asynchronously
  EXPECT(driver().cuStreamSynchronize(tile.stream) == 700);
  EXPECT(tile.code() == "ERR_DEVICE_FAILED");
  return "";
}

CUDA_SCENARIO(out_of_memory) {
  Tile tile;
  EXPECT(tile.code() == "ERR_OUT_OF_MEMORY");
  return "";
}

CUDA_SCENARIO(run_fails) {
  Tile tile;
  EXPECT(tile.code() == "none");
  EXPECT(tile.code() == "ERR_MODEL_RUN");
  EXPECT(tile.code() == "none");
  driver().cuStreamSynchronize(tile.stream);
  return "";
}

CUDA_SCENARIO(wrong_stream) {
  enter(1);
  void* stream = nullptr;
  driver().cuStreamCreate(&stream, software_cuda::kStreamNonBlocking);
  EXPECT(failure_of([&] { load({Provider::kCuda, 0, stream, {}, false}); }).code == "ERR_DEVICE_UNAVAILABLE");
  load({Provider::kCuda, 1, stream, {}, false});
  return "";
}

TEST_CASE("provider: each fault of a provider is an error of its own, with the provider's words") {
  CHECK(in_process("missing_cuda", {{"STAND_IN_RUNTIME", "missing-provider:cuda"}}) == "");
  CHECK(in_process("missing_tensorrt", {{"STAND_IN_RUNTIME", "missing-provider:tensorrt"}}) == "");
  CHECK(in_process("session_fails", {{"STAND_IN_RUNTIME", "provider-fails:cuda"}}) == "");
  CHECK(in_process("old_runtime", {{"STAND_IN_RUNTIME_VERSION", "1.17.3"}}) == "");
  CHECK(in_process("device_fault", {{"STAND_IN_RUNTIME", "device-fault:2"}}) == "");
  CHECK(in_process("out_of_memory", {{"STAND_IN_RUNTIME", "out-of-memory"}}) == "");
  CHECK(in_process("run_fails", {{"STAND_IN_RUNTIME", "fail-run:2"}}) == "");
  CHECK(in_process("wrong_stream", {{"SOFTWARE_CUDA_DEVICES", "2"}}) == "");
}

}  // namespace manyscale::runtime
