// The stand-in for libonnxruntime fails as it is told to.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "runtime_fixture.h"

using namespace runtime_test;  // NOLINT
using driver_test::driver;
using driver_test::enter;
using driver_test::in_process;

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
  const Options options{{"trt_engine_cache_enable", "1"},
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
