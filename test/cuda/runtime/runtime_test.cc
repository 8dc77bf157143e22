// The stand-in for libonnxruntime: its toy model, the device-resident path in a stream's order, and the rules that it keeps watch over.
#include <cstring>
#include <string>
#include <vector>

#include "runtime_fixture.h"
#include "toy_model.h"

using namespace runtime_test;  // NOLINT
using driver_test::driver;
using driver_test::enter;

namespace {

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
