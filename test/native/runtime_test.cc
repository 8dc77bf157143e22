// ONNX Runtime as the engine uses it: loading, inspection, runs, cancellation and failures.
#include <dlfcn.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <link.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/half.h"
#include "onnx_model.h"
#include "runtime/handle.h"
#include "runtime/library.h"
#include "runtime/provider.h"
#include "runtime/session.h"
#include "runtime_library.h"

extern char** environ;

namespace manyscale::runtime {
namespace {

namespace fs = std::filesystem;
using Dims = std::vector<int64_t>;
using Clock = std::chrono::steady_clock;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

const std::string kSource = MANYSCALE_SOURCE_DIR;
const std::string kConvolutional = kSource + "/models/mobilenetv3_coco_backbone_224.onnx";
const std::string kTransformer = kSource + "/test/models/vit_emoji_96.onnx";

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// Null: skip the test.
Library* library() { return runtime_or_skip() ? &Library::load(test_runtime_path()) : nullptr; }

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

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (fs::temp_directory_path() / "manyscale-XXXXXX").string();
    REQUIRE(mkdtemp(pattern.data()));
    path_ = pattern;
  }
  ~TemporaryFolder() { fs::remove_all(path_); }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  fs::path path_;
};

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_file(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

int64_t product(const Dims& dims) {
  int64_t n = 1;
  for (int64_t dim : dims) n *= dim;
  return n;
}

// Values that differ from tile to tile, the same on every machine.
std::vector<float> pattern(int64_t count, float amplitude) {
  std::vector<float> values(static_cast<size_t>(count));
  uint32_t state = 12345;
  for (float& value : values) {
    state = state * 1664525U + 1013904223U;
    value = static_cast<float>(state >> 8) / static_cast<float>(1U << 24) * amplitude;
  }
  return values;
}

// Output memory with a band on each side that nothing may write to.
class Guarded {
 public:
  explicit Guarded(int64_t count) : values_(static_cast<size_t>(count) + 2 * kBand, kMark) {}
  float* data() { return values_.data() + kBand; }
  std::vector<float> values() const { return {values_.begin() + kBand, values_.end() - kBand}; }
  bool intact() const {
    return std::all_of(values_.begin(), values_.begin() + kBand, [](float v) { return v == kMark; }) &&
           std::all_of(values_.end() - kBand, values_.end(), [](float v) { return v == kMark; });
  }

 private:
  static constexpr int64_t kBand = 64;
  static constexpr float kMark = -12345.5F;
  std::vector<float> values_;
};

std::vector<float> run(Session& session, size_t output, const std::vector<float>& data, const Dims& dims, const Dims& out_dims, RunControl* control = nullptr) {
  Guarded out(product(out_dims));
  session.run(0, data.data(), dims, {{output, out.data(), out_dims}}, control);
  CHECK(out.intact());
  return out.values();
}

std::unique_ptr<Session> session_of(Library& lib, const std::string& bytes) { return Session::from_bytes(lib, bytes.data(), bytes.size(), {}); }

// What is written to the process's stdout and stderr meanwhile.
std::string printed_by(const std::function<void()>& action) {
  const TemporaryFolder folder;
  const std::string path = folder / "printed";
  std::fflush(nullptr);
  const int file = open(path.c_str(), O_CREAT | O_RDWR, 0600);
  const int out = dup(1);
  const int err = dup(2);
  dup2(file, 1);
  dup2(file, 2);
  action();
  std::fflush(nullptr);
  dup2(out, 1);
  dup2(err, 2);
  for (const int each : {file, out, err}) close(each);
  return read_file(path);
}

// The path of a library that is not ONNX Runtime.
std::string math_library() {
  void* handle = dlopen("libm.so.6", RTLD_NOW);
  REQUIRE(handle);
  link_map* map = nullptr;
  REQUIRE(dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0);
  return map->l_name;
}

int64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  int64_t size = 0;
  int64_t resident = 0;
  file >> size >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

}  // namespace

TEST_CASE("runtime: what is not an ONNX Runtime library is refused with the path, the reason and the remedy") {
  const TemporaryFolder folder;
  write_file(folder / "text", "not a library");
  const std::string math = math_library();
  const std::string whole = read_file(math);
  write_file(folder / "truncated.so", whole.substr(0, whole.size() / 2));  // the dynamic loader would end the process
  write_file(folder / "header.so", whole.substr(0, 100));
  std::string foreign = whole;
  foreign[18] = EM_MIPS;  // e_machine
  foreign[19] = 0;
  write_file(folder / "foreign.so", foreign);
  const std::string missing = folder / "libonnxruntime.so.1";
  const std::vector<std::pair<std::string, std::string>> cases = {{missing, "No such file"},
                                                                  {folder / "text", "not a 64-bit shared library"},
                                                                  {folder / ".", "not a 64-bit shared library"},
                                                                  {folder / "truncated.so", "cut short"},
                                                                  {folder / "header.so", "cut short"},
                                                                  {folder / "foreign.so", "another processor"},
                                                                  {math, "without OrtGetApiBase"},
                                                                  {"libonnxruntime.so.1", "not absolute"},
                                                                  {"", "not absolute"}};
  for (const auto& [path, reason] : cases) {
    const Failure failure = failure_of([&path = path] { Library::load(path); });
    CAPTURE(failure.message);
    CHECK(failure.code == "ERR_RUNTIME_UNAVAILABLE");
    CHECK(contains(failure.message, "'" + path + "'"));
    CHECK(contains(failure.message, reason));
    CHECK(contains(failure.message, "leave it out to use onnxruntime-node's"));
  }
}

// The case above takes another way when a library is in the process already, which depends on what ran before it.
TEST_CASE("runtime: what is not a library is refused in a fresh process as well") {
  std::string self = fs::read_symlink("/proc/self/exe").string();
  std::string filter = "--test-case=runtime: what is not an ONNX Runtime library*";
  std::string quiet = "--minimal=true";
  char* arguments[] = {self.data(), filter.data(), quiet.data(), nullptr};
  pid_t child = 0;
  const int error = posix_spawn(&child, self.c_str(), nullptr, nullptr, arguments, environ);
  int status = -1;
  if (error == 0) REQUIRE(waitpid(child, &status, 0) == child);
  if (error == ENOEXEC || (error == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 127)) {
    MESSAGE("skipped: this system cannot start the program by itself (it runs in an emulator)");
    return;
  }
  REQUIRE(error == 0);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("runtime: a library is loaded once, without telemetry") {
  Library* lib = library();
  if (!lib) return;
  CHECK(lib->path() == test_runtime_path());
  CHECK(lib->notice() == "");
  CHECK(contains(lib->version(), "1."));
  CHECK(&Library::load(test_runtime_path()) == lib);
  CHECK(variable("ORT_DISABLE_TELEMETRY") == "1");
}

TEST_CASE("runtime: another path to the same file is the same library, another file gives way to the one in the process") {
  Library* lib = library();
  if (!lib) return;
  const TemporaryFolder folder;
  fs::create_symlink(test_runtime_path(), folder / "link.so");
  Library& link = Library::load(folder / "link.so");
  CHECK(link.notice() == "");
  CHECK(link.env() == lib->env());

  fs::copy_file(test_runtime_path(), folder / "copy.so");
  Library& copy = Library::load(folder / "copy.so");
  CHECK(copy.env() == lib->env());
  CHECK(fs::equivalent(copy.path(), test_runtime_path()));
  CHECK(contains(copy.notice(), folder / "copy.so"));
  CHECK(contains(copy.notice(), copy.path()));
}

TEST_CASE("runtime: providers are listed, and those that do not work have a reason") {
  Library* lib = library();
  if (!lib) return;
  const std::vector<std::string> providers = lib->providers();
  CHECK(std::count(providers.begin(), providers.end(), "cpu") == 1);
  std::map<std::string, std::string> reasons;
  CHECK(printed_by([&] { reasons = lib->unavailable_providers(); }) == "");
  CHECK(reasons.count("cpu") == 0);
  for (const auto& [name, reason] : reasons) {
    MESSAGE(name << ": " << reason);
    CHECK((name == "cuda" || name == "tensorrt"));
    CHECK(reason.size() > 10);
    CHECK_FALSE(contains(reason, ".cc:"));
    CHECK(reason.back() != '\n');
  }
  for (const char* name : {"cuda", "tensorrt"}) {
    if (std::count(providers.begin(), providers.end(), name) == 0) CHECK(reasons.count(name) == 1);
  }
}

TEST_CASE("runtime: a session on a provider that does not work is refused with the runtime's reason, and the CPU goes on working") {
  Library* lib = library();
  if (!lib) return;
  const auto reasons = lib->unavailable_providers();
  for (const Provider provider : {Provider::kCuda, Provider::kTensorRt}) {
    const auto reason = reasons.find(provider_name(provider));
    if (reason == reasons.end()) continue;  // it may work here
    for (const bool strict : {false, true}) {
      Session::Options options;
      options.provider = {provider, 0, nullptr, {}, strict};
      Failure failure;
      CHECK(printed_by([&] { failure = failure_of([&] { Session::from_file(*lib, kTransformer, options); }); }) == "");
      CHECK(failure.code == "ERR_DEVICE_UNAVAILABLE");
      CHECK(contains(failure.message, reason->second));
      CHECK(contains(failure.message, std::string("'") + provider_name(provider) + "'"));
      CHECK(contains(failure.message, lib->path()));
    }
  }
  const auto session = Session::from_file(*lib, kTransformer, {});
  CHECK(session->provider().provider == Provider::kCpu);
  CHECK(session->provider() == ProviderChoice{});
  CHECK(run(*session, 0, pattern(3 * 96 * 96, 1), {1, 3, 96, 96}, {1, 145, 128}).size() == 145 * 128);
}

TEST_CASE("runtime: provider options that follow from the device are refused") {
  Library* lib = library();
  if (!lib) return;
  for (const char* key : {"device_id", "user_compute_stream", "has_user_compute_stream"}) {
    Session::Options options;
    options.provider = {Provider::kCuda, 0, nullptr, {{key, "1"}}, false};
    const Failure failure = failure_of([&] { Session::from_file(*lib, kTransformer, options); });
    CHECK(failure.code == "ERR_INVALID_ARGUMENT");
    CHECK(contains(failure.message, key));
  }
}

TEST_CASE("runtime: graphs are the CUDA provider's, where its option says so") {
  CHECK(ProviderChoice{Provider::kCuda, 0, nullptr, {{"enable_cuda_graph", "1"}}, false}.graphs());
  CHECK_FALSE(ProviderChoice{Provider::kCuda, 0, nullptr, {{"enable_cuda_graph", "0"}}, false}.graphs());
  CHECK_FALSE(ProviderChoice{Provider::kCuda, 0, nullptr, {}, false}.graphs());
  CHECK_FALSE(ProviderChoice{Provider::kCpu, 0, nullptr, {{"enable_cuda_graph", "1"}}, false}.graphs());
}

TEST_CASE("runtime: a shape outside TensorRT's profile is refused before it builds another engine") {
  ProviderChoice choice{
      Provider::kTensorRt, 0, nullptr, {{"trt_profile_min_shapes", "other:1x2,a:b:1x3x8x8"}, {"trt_profile_max_shapes", "other:4x2,a:b:16x3x8x8"}}, false};
  for (const int64_t batch : {1, 7, 16}) CHECK(failure_of([&] { check_profile(choice, "a:b", {batch, 3, 8, 8}); }).code == "none");
  for (const Dims& dims : {Dims{17, 3, 8, 8}, Dims{0, 3, 8, 8}, Dims{1, 3, 8, 9}, Dims{1, 3, 8}}) {
    const Failure failure = failure_of([&] { check_profile(choice, "a:b", dims); });
    CHECK(failure.code == "ERR_MODEL_SHAPE");
    CHECK(contains(failure.message, "from 1x3x8x8 to 16x3x8x8"));
  }
  CHECK(failure_of([&] { check_profile(choice, "unknown", {99, 1}); }).code == "none");
  choice.provider = Provider::kCuda;
  CHECK(failure_of([&] { check_profile(choice, "a:b", {17, 3, 8, 8}); }).code == "none");
}

TEST_CASE("runtime: memory of a device is not bound to a session on the CPU, which would write to it as to its own") {
  Library* lib = library();
  if (!lib) return;
  const auto session = Session::from_file(*lib, kTransformer, {});
  Guarded in(3 * 96 * 96);
  Guarded out(145 * 128);
  const auto address = [](Guarded& memory) { return reinterpret_cast<uint64_t>(memory.data()); };
  const Failure failure = failure_of([&] {
    session->bind(0, DeviceMemoryRange{address(in), {1, 3, 96, 96}}, {{0, DeviceMemoryRange{address(out), {1, 145, 128}}}});
  });
  CHECK(failure.code == "ERR_INVALID_ARGUMENT");
  CHECK(contains(failure.message, "on the CPU"));
}

TEST_CASE("runtime: what CUDA says of memory and of a dead device has its own codes") {
  const auto code_of = [](const std::string& message) {
    return failure_of([&] { ort::throw_failure(ErrorCode::kModelRun, "the model to run", message); }).code;
  };
  CHECK(code_of("CUDA failure 2: out of memory ; GPU=0") == "ERR_OUT_OF_MEMORY");
  CHECK(code_of("CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0") == "ERR_OUT_OF_MEMORY");
  CHECK(code_of("BFCArena::AllocateRawInternal Available memory of 5 is smaller than requested bytes of 6") == "ERR_OUT_OF_MEMORY");
  CHECK(code_of("CUDA failure 700: an illegal memory access was encountered ; GPU=0") == "ERR_DEVICE_FAILED");
  CHECK(code_of("CUDA failure 719: unspecified launch failure ; GPU=0") == "ERR_DEVICE_FAILED");
  CHECK(code_of("CUDA failure 98: invalid device function ; GPU=0") == "ERR_MODEL_RUN");
  CHECK(code_of("Non-zero status code returned while running Conv node") == "ERR_MODEL_RUN");
}

TEST_CASE("runtime: a convolutional model is inspected") {
  Library* lib = library();
  if (!lib) return;
  const auto session = Session::from_file(*lib, kConvolutional, {});
  REQUIRE(session->inputs().size() == 1);
  CHECK(session->inputs()[0].name == "pixel_values");
  CHECK(session->inputs()[0].type == ElementType::kFloat32);
  CHECK(session->inputs()[0].dims == Dims{-1, 3, 224, 224});
  CHECK(session->inputs()[0].symbols == std::vector<std::string>{"batch", "", "", ""});
  REQUIRE(session->outputs().size() == 3);
  CHECK(session->outputs()[0].name == "feat_s16");
  CHECK(session->outputs()[0].dims == Dims{-1, 88, 14, 14});
  CHECK(session->outputs()[1].name == "feat_s32");
  CHECK(session->outputs()[1].dims == Dims{-1, 120, 7, 7});
  CHECK(session->outputs()[2].name == "feat_fpn_s16");
  CHECK(session->metadata().at("manyscale.rescale") == "1");
  CHECK(&session->library() == lib);
}

TEST_CASE("runtime: a transformer is inspected") {
  Library* lib = library();
  if (!lib) return;
  const auto session = Session::from_file(*lib, kTransformer, {});
  REQUIRE(session->inputs().size() == 1);
  CHECK(session->inputs()[0].dims == Dims{-1, 3, 96, 96});
  REQUIRE(session->outputs().size() == 3);
  CHECK(session->outputs()[0].name == "last_hidden_state");
  CHECK(session->outputs()[0].dims == Dims{-1, -1, -1});  // what it gives is found by a probe
  CHECK(session->metadata().count("manyscale.mean") == 1);
  CHECK(session->metadata().count("manyscale.std") == 1);

  const std::vector<float> tile = pattern(3 * 96 * 96, 1);
  const std::vector<ValueInfo> real = session->probe(0, tile.data(), {1, 3, 96, 96}, {2, 0}, nullptr);
  REQUIRE(real.size() == 2);
  CHECK(real[0].name == "image_logits");
  CHECK(real[0].dims == Dims{1, 64});
  CHECK(real[1].name == "last_hidden_state");
  CHECK(real[1].dims == Dims{1, 145, 128});
  CHECK(real[1].type == ElementType::kFloat32);
}

TEST_CASE("runtime: names, types and metadata of any model are reported") {
  Library* lib = library();
  if (!lib) return;
  const auto half = session_of(*lib, onnx::model({onnx::node("Identity", {"x"}, "y")}, {}, onnx::tensor_type(onnx::kFloat16, {"n", "3"}),
                                                 onnx::tensor_type(onnx::kFloat16, {"n", "3"})));
  CHECK(half->producer() == "runtime_test");
  CHECK(half->graph_name() == "made-by-test");
  CHECK(half->metadata() == std::map<std::string, std::string>{{"manyscale.mean", "1,2,3"}});
  CHECK(half->inputs()[0].type == ElementType::kFloat16);
  CHECK(std::string(element_type_name(half->inputs()[0].type)) == "float16");
  CHECK(half->inputs()[0].symbols == std::vector<std::string>{"n", ""});

  const std::string floats = onnx::tensor_type(onnx::kFloat, {"n"});
  const auto sequence = session_of(*lib, onnx::model({onnx::node("SequenceConstruct", {"x"}, "y")}, {}, floats, onnx::sequence_type(floats)));
  CHECK(sequence->outputs()[0].name == "y");
  CHECK(sequence->outputs()[0].type == ElementType::kOther);
  CHECK(sequence->outputs()[0].dims.empty());
  const std::vector<float> three(3);
  CHECK(sequence->probe(0, three.data(), {3}, {0}, nullptr)[0].type == ElementType::kOther);
}

TEST_CASE("runtime: a batch is read and written in place") {
  Library* lib = library();
  if (!lib) return;
  const auto session = session_of(*lib, onnx::doubling({"n", "3"}, {"n", "3"}));
  CHECK(run(*session, 0, {1, 2, 3, 4, 5, 6}, {2, 3}, {2, 3}) == std::vector<float>{2, 4, 6, 8, 10, 12});
  // Nothing to compute: the output is the input, and still arrives in the caller's memory.
  const auto copying =
      session_of(*lib, onnx::model({onnx::node("Identity", {"x"}, "y")}, {}, onnx::tensor_type(onnx::kFloat, {"n"}), onnx::tensor_type(onnx::kFloat, {"n"})));
  CHECK(run(*copying, 0, {1, 2, 3}, {3}, {3}) == std::vector<float>{1, 2, 3});
  const auto reshaping = session_of(*lib, onnx::model({onnx::node("Reshape", {"x", "s"}, "y")}, {onnx::int64_constant("s", {-1, 2})},
                                                      onnx::tensor_type(onnx::kFloat, {"n"}), onnx::tensor_type(onnx::kFloat, {"m", "2"})));
  CHECK(run(*reshaping, 0, {1, 2, 3, 4}, {4}, {2, 2}) == std::vector<float>{1, 2, 3, 4});
}

TEST_CASE("runtime: tensors have the types that the model declares, and several outputs come from one run") {
  Library* lib = library();
  if (!lib) return;
  using onnx::tensor_type;
  const auto bytes =
      session_of(*lib, onnx::model({onnx::cast("x", "y", onnx::kFloat), onnx::cast("x", "z", onnx::kFloat16)}, {}, tensor_type(onnx::kUint8, {"n", "3"}),
                                   tensor_type(onnx::kFloat, {"n", "3"}), tensor_type(onnx::kFloat16, {"n", "3"})));
  const std::vector<uint8_t> pixels{0, 1, 2, 3, 200, 255};
  Guarded floats(6);
  std::vector<uint16_t> halves(8, 0xabcd);
  bytes->run(0, pixels.data(), {2, 3}, {{1, halves.data() + 1, {2, 3}}, {0, floats.data(), {2, 3}}}, nullptr);
  CHECK(floats.values() == std::vector<float>{0, 1, 2, 3, 200, 255});
  CHECK(floats.intact());
  std::vector<uint16_t> expected{0xabcd};
  for (const uint8_t pixel : pixels) expected.push_back(to_half(pixel));
  expected.push_back(0xabcd);
  CHECK(halves == expected);
  const std::vector<ValueInfo> real = bytes->probe(0, pixels.data(), {2, 3}, {1, 0}, nullptr);
  CHECK(real[0].type == ElementType::kFloat16);
  CHECK(real[1].type == ElementType::kFloat32);

  // Where a declaration is wrong the outputs are copied instead: each to its own place.
  const auto wrong =
      session_of(*lib, onnx::model({onnx::cast("x", "y", onnx::kFloat16), onnx::node("Add", {"x", "x"}, "z")}, {}, tensor_type(onnx::kFloat, {"n", "m"}),
                                   tensor_type(onnx::kFloat16, {"n", "7"}), tensor_type(onnx::kFloat, {"n", "m"})));
  const std::vector<float> data{1, 2, 3};
  std::vector<uint16_t> y(3);
  Guarded z(3);
  wrong->run(0, data.data(), {1, 3}, {{0, y.data(), {1, 3}}, {1, z.data(), {1, 3}}}, nullptr);
  CHECK(y == std::vector<uint16_t>{to_half(1), to_half(2), to_half(3)});
  CHECK(z.values() == std::vector<float>{2, 4, 6});
  CHECK(z.intact());
}

TEST_CASE("runtime: types that tiles and features cannot have are refused before the run, and an output that is named twice") {
  Library* lib = library();
  if (!lib) return;
  const std::vector<int64_t> data(3, 1);
  std::vector<float> out(3);
  const auto of_types = [&](int from, int to) {
    return session_of(*lib, onnx::model({onnx::cast("x", "y", to)}, {}, onnx::tensor_type(from, {"n"}), onnx::tensor_type(to, {"n"})));
  };
  const auto refusal = [&](Session& session) { return failure_of([&] { session.run(0, data.data(), {3}, {{0, out.data(), {3}}}, nullptr); }); };
  const Failure input = refusal(*of_types(onnx::kInt64, onnx::kFloat));
  CHECK(input.code == "ERR_MODEL_SHAPE");
  CHECK(input.message == "Expected float32, float16 or uint8 for the model's input 'x' but received int64");
  const Failure output = refusal(*of_types(onnx::kFloat, onnx::kUint8));
  CHECK(output.code == "ERR_MODEL_SHAPE");
  CHECK(output.message == "Expected float32 or float16 for the model's output 'y' but received uint8");
  const auto session = of_types(onnx::kFloat, onnx::kFloat16);
  const Failure twice = failure_of([&] { session->run(0, data.data(), {1}, {{0, out.data(), {1}}, {0, out.data() + 1, {1}}}, nullptr); });
  CHECK(twice.code == "ERR_INVALID_ARGUMENT");
}

TEST_CASE("runtime: a tile's features are the same alone and in a batch of 3") {
  Library* lib = library();
  if (!lib) return;
  const auto session = Session::from_file(*lib, kConvolutional, {});
  const int64_t tile = 3 * 224 * 224;
  const int64_t features = 120 * 7 * 7;
  const std::vector<float> data = pattern(3 * tile, 255);
  const std::vector<float> together = run(*session, 1, data, {3, 3, 224, 224}, {3, 120, 7, 7});
  for (int64_t i = 0; i < 3; i++) {
    const std::vector<float> alone = run(*session, 1, {data.begin() + i * tile, data.begin() + (i + 1) * tile}, {1, 3, 224, 224}, {1, 120, 7, 7});
    CHECK(alone == std::vector<float>(together.begin() + i * features, together.begin() + (i + 1) * features));
  }
  CHECK(*std::max_element(together.begin(), together.end()) > *std::min_element(together.begin(), together.end()));
}

TEST_CASE("runtime: a model from bytes is the model from the file, and the bytes may go") {
  Library* lib = library();
  if (!lib) return;
  auto bytes = std::make_unique<std::string>(read_file(kTransformer));
  const auto copied = session_of(*lib, *bytes);
  std::fill(bytes->begin(), bytes->end(), '\0');
  bytes.reset();
  const std::vector<float> tile = pattern(3 * 96 * 96, 1);
  CHECK(run(*copied, 0, tile, {1, 3, 96, 96}, {1, 145, 128}) == run(*Session::from_file(*lib, kTransformer, {}), 0, tile, {1, 3, 96, 96}, {1, 145, 128}));
}

TEST_CASE("runtime: concurrent runs of one session do not disturb each other") {
  Library* lib = library();
  if (!lib) return;
  const auto session = Session::from_file(*lib, kTransformer, {});
  const Dims dims{2, 3, 96, 96};
  const Dims out_dims{2, 145, 128};
  std::vector<std::vector<float>> inputs;
  std::vector<std::vector<float>> expected;
  for (int i = 0; i < 4; i++) {
    inputs.push_back(pattern(product(dims), 1.0F + static_cast<float>(i)));
    expected.push_back(run(*session, 0, inputs.back(), dims, out_dims));
  }
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (size_t i = 0; i < 4; i++) {
    threads.emplace_back([&, i] {
      for (int k = 0; k < 5; k++) {
        RunControl control;
        Guarded out(product(out_dims));
        session->run(0, inputs[i].data(), dims, {{0, out.data(), out_dims}}, &control);
        if (out.intact() && out.values() == expected[i]) right++;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(right == 20);
}

TEST_CASE("runtime: an output of another shape than expected is an error that names both") {
  Library* lib = library();
  if (!lib) return;
  const auto check = [](Session& session, size_t output, const Dims& dims, const Dims& out_dims, const std::string& real) {
    const std::vector<float> data(static_cast<size_t>(product(dims)), 1.0F);
    Guarded out(product(out_dims));
    const Failure failure = failure_of([&] { session.run(0, data.data(), dims, {{output, out.data(), out_dims}}, nullptr); });
    CAPTURE(failure.message);
    CHECK(failure.code == "ERR_MODEL_SHAPE");
    CHECK(contains(failure.message, real));
    CHECK(contains(failure.message, "'" + session.outputs()[output].name + "'"));
    CHECK(out.intact());
  };
  const auto declared = Session::from_file(*lib, kConvolutional, {});
  check(*declared, 1, {1, 3, 224, 224}, {1, 120, 7, 8}, "[batch, 120, 7, 7]");  // known before the run
  check(*declared, 1, {1, 3, 224, 224}, {120, 7, 7}, "[batch, 120, 7, 7]");
  check(*declared, 1, {2, 3, 224, 224}, {1, 120, 7, 7}, "[2, 120, 7, 7]");  // known after it: a batch too small ...
  check(*declared, 1, {1, 3, 224, 224}, {2, 120, 7, 7}, "[1, 120, 7, 7]");  // ... and too large
  const auto undeclared = Session::from_file(*lib, kTransformer, {});
  check(*undeclared, 0, {1, 3, 96, 96}, {1, 145, 64}, "[1, 145, 128]");
  check(*undeclared, 0, {1, 3, 96, 96}, {1, 145 * 128}, "[batch, ");  // the number of dimensions is declared
  const auto dynamic = session_of(*lib, onnx::doubling({"n", "m"}, {"n", "m"}));
  check(*dynamic, 0, {2, 3}, {2, 2}, "[2, 3]");
  check(*dynamic, 0, {2, 3}, {3, 2}, "[2, 3]");
  check(*dynamic, 0, {2, 3}, {6}, "[2, 3]");
  CHECK(run(*dynamic, 0, {1, 2}, {1, 2}, {1, 2}) == std::vector<float>{2, 4});
}

TEST_CASE("runtime: an output shape that a model declares wrongly does not stop it") {
  Library* lib = library();
  if (!lib) return;
  const auto batch = session_of(*lib, onnx::doubling({"n", "3"}, {"1", "3"}));
  CHECK(run(*batch, 0, {1, 2, 3, 4, 5, 6}, {2, 3}, {2, 3}) == std::vector<float>{2, 4, 6, 8, 10, 12});
  const auto sides = session_of(*lib, onnx::doubling({"n", "m"}, {"n", "7"}));
  CHECK(run(*sides, 0, {1, 2, 3}, {1, 3}, {1, 3}) == std::vector<float>{2, 4, 6});
  const auto fixed = session_of(*lib, onnx::doubling({"n", "3"}, {"n", "7"}));
  CHECK(run(*fixed, 0, {1, 2, 3}, {1, 3}, {1, 3}) == std::vector<float>{2, 4, 6});
  const std::vector<float> three(3, 1.0F);
  std::vector<float> out(8);
  const Failure failure = failure_of([&] { sides->run(0, three.data(), {1, 3}, {{0, out.data(), {1, 8}}}, nullptr); });
  CHECK(failure.message == "Expected [1, 8] for the model's output 'y' but received [1, 3]");
  CHECK(failure.code == "ERR_MODEL_SHAPE");
}

TEST_CASE("runtime: an input of another shape, and bad indices, are refused before the run") {
  Library* lib = library();
  if (!lib) return;
  const auto session = session_of(*lib, onnx::doubling({"batch", "3"}, {"batch", "3"}));
  const std::vector<float> data(16, 1.0F);
  std::vector<float> out(16);
  const auto code = [&](size_t input, const Dims& dims, size_t output) {
    return failure_of([&] { session->run(input, data.data(), dims, {{output, out.data(), {1, 3}}}, nullptr); });
  };
  CHECK(code(0, {1, 4}, 0).code == "ERR_MODEL_SHAPE");
  CHECK(contains(code(0, {1, 4}, 0).message, "Expected [batch, 3] for the model's input 'x' but received [1, 4]"));
  CHECK(code(0, {3}, 0).code == "ERR_MODEL_SHAPE");
  CHECK(code(0, {0, 3}, 0).code == "ERR_INVALID_ARGUMENT");
  CHECK(code(0, {-1, 3}, 0).code == "ERR_INVALID_ARGUMENT");
  CHECK(code(0, {std::numeric_limits<int64_t>::max() / 2, 3}, 0).code == "ERR_PLAN_TOO_LARGE");
  CHECK(code(1, {1, 3}, 0).code == "ERR_INVALID_ARGUMENT");
  CHECK(code(0, {1, 3}, 1).code == "ERR_INVALID_ARGUMENT");
  CHECK(failure_of([&] { session->probe(0, data.data(), {1, 3}, {1}, nullptr); }).code == "ERR_INVALID_ARGUMENT");
  CHECK(failure_of([&] { session->probe(1, data.data(), {1, 3}, {0}, nullptr); }).code == "ERR_INVALID_ARGUMENT");
}

TEST_CASE("runtime: what is not a model is refused, and nothing is printed") {
  Library* lib = library();
  if (!lib) return;
  const TemporaryFolder folder;
  const std::string whole = read_file(kTransformer);
  REQUIRE(whole.size() > 1000000);
  write_file(folder / "text.onnx", "not a model");
  write_file(folder / "empty.onnx", "");
  write_file(folder / "truncated.onnx", whole.substr(0, whole.size() / 2));
  const auto check = [](const std::function<void()>& load, const std::string& part) {
    Failure failure;
    CHECK(printed_by([&] { failure = failure_of(load); }) == "");
    CAPTURE(failure.message);
    CHECK(failure.code == "ERR_MODEL_LOAD");
    CHECK(contains(failure.message, "Expected an ONNX model"));
    CHECK(contains(failure.message, part));
  };
  for (const char* name : {"missing.onnx", "text.onnx", "empty.onnx", "truncated.onnx", "."}) {
    check([&] { Session::from_file(*lib, folder / name, {}); }, folder / name);
  }
  for (const size_t size : {size_t{0}, size_t{1}, size_t{1000}, whole.size() / 2, whole.size() - 1}) {
    check([&] { Session::from_bytes(*lib, whole.data(), size, {}); }, std::to_string(size) + " bytes");
  }
  const std::string floats = onnx::tensor_type(onnx::kFloat, {"n"});
  const std::string unknown = onnx::model({onnx::node("NoSuchOperator", {"x"}, "y")}, {}, floats, floats);
  check([&] { session_of(*lib, unknown); }, "NoSuchOperator");
}

TEST_CASE("runtime: external weights lie beside the model's file") {
  Library* lib = library();
  if (!lib) return;
  const TemporaryFolder folder;
  const std::vector<float> weights{10, 20, 30};
  const std::string floats = onnx::tensor_type(onnx::kFloat, {"n", "3"});
  write_file(folder / "model.onnx", onnx::model({onnx::node("Add", {"x", "w"}, "y")}, {onnx::external_floats("w", 3, "weights.bin")}, floats, floats));
  CHECK(failure_of([&] { Session::from_file(*lib, folder / "model.onnx", {}); }).code == "ERR_MODEL_LOAD");
  write_file(folder / "weights.bin", std::string(reinterpret_cast<const char*>(weights.data()), sizeof(float) * weights.size()));
  const auto session = Session::from_file(*lib, folder / "model.onnx", {});
  CHECK(run(*session, 0, {1, 2, 3}, {1, 3}, {1, 3}) == std::vector<float>{11, 22, 33});
}

TEST_CASE("runtime: a model that fails while it runs gives the runtime's reason, prints nothing and can run again") {
  Library* lib = library();
  if (!lib) return;
  const auto session = session_of(*lib, onnx::model({onnx::node("Reshape", {"x", "s"}, "y")}, {onnx::int64_constant("s", {-1, 2})},
                                                    onnx::tensor_type(onnx::kFloat, {"n"}), onnx::tensor_type(onnx::kFloat, {"m", "2"})));
  const std::vector<float> data(4, 1.0F);
  std::vector<float> out(4);
  Failure failure;
  CHECK(printed_by([&] { failure = failure_of([&] { session->run(0, data.data(), {3}, {{0, out.data(), {1, 2}}}, nullptr); }); }) == "");
  CAPTURE(failure.message);
  CHECK(failure.code == "ERR_MODEL_RUN");
  CHECK(contains(failure.message, "Reshape"));
  CHECK(run(*session, 0, data, {4}, {2, 2}) == data);
}

TEST_CASE("runtime: a model that wants more memory than there is gives ERR_OUT_OF_MEMORY") {
  Library* lib = library();
  if (!lib) return;
  if (kSanitized) {
    MESSAGE("skipped: the sanitizer ends the process at such an allocation");
    return;
  }
  const auto session = session_of(
      *lib, onnx::model({onnx::node("Expand", {"x", "s"}, "t"), onnx::node("ReduceMax", {"t"}, "y")}, {onnx::int64_constant("s", {int64_t{1} << 46})},
                        onnx::tensor_type(onnx::kFloat, {"1"}), onnx::tensor_type(onnx::kFloat, {"1"})));
  const float one = 1;
  CHECK(failure_of([&] { session->probe(0, &one, {1}, {0}, nullptr); }).code == "ERR_OUT_OF_MEMORY");
}

TEST_CASE("runtime: a run can be cancelled before it starts and while it lasts, and the next one works") {
  Library* lib = library();
  if (!lib) return;
  const auto session = Session::from_file(*lib, kConvolutional, {});
  const Dims dims{64, 3, 224, 224};
  const Dims out_dims{64, 120, 7, 7};
  const std::vector<float> data = pattern(product(dims), 255);
  Clock::time_point start = Clock::now();
  const std::vector<float> expected = run(*session, 1, data, dims, out_dims);
  const auto whole = Clock::now() - start;

  RunControl before;
  before.cancel();
  before.cancel();
  CHECK(before.cancelled());
  CHECK(failure_of([&] { run(*session, 1, data, dims, out_dims, &before); }).code == "ERR_CANCELLED");
  CHECK(failure_of([&] { session->probe(0, data.data(), dims, {0}, &before); }).code == "ERR_CANCELLED");

  RunControl control;
  RunControl other;
  std::atomic<bool> started{false};
  Failure failure;
  Clock::time_point ended;
  std::thread thread([&] {
    std::vector<float> out(static_cast<size_t>(product(out_dims)));
    started = true;
    failure = failure_of([&] { session->run(0, data.data(), dims, {{1, out.data(), out_dims}}, &control); });
    ended = Clock::now();
  });
  while (!started) std::this_thread::yield();
  other.cancel();  // another run's
  std::this_thread::sleep_for(whole / 4);
  const Clock::time_point asked = Clock::now();
  control.cancel();
  thread.join();
  CHECK(failure.code == "ERR_CANCELLED");  // a run that came to its end would have succeeded
  MESSAGE("a batch of 64 takes " << std::chrono::duration<double, std::milli>(whole).count() << " ms; it ended "
                                 << std::chrono::duration<double, std::milli>(ended - asked).count() << " ms after it was cancelled");

  RunControl fresh;
  CHECK(run(*session, 1, data, dims, out_dims, &fresh) == expected);
}

TEST_CASE("runtime: memory that a large batch left behind goes back to the system when asked for") {
  Library* lib = library();
  if (!lib) return;
  const auto session = Session::from_file(*lib, kConvolutional, {});
  const std::vector<float> data = pattern(int64_t{32} * 3 * 224 * 224, 255);
  const std::vector<float> one(data.begin(), data.begin() + 3 * 224 * 224);
  run(*session, 1, data, {32, 3, 224, 224}, {32, 120, 7, 7});
  const std::vector<float> expected = run(*session, 1, one, {1, 3, 224, 224}, {1, 120, 7, 7});
  const int64_t before = resident_bytes();
  session->shrink_memory();
  CHECK(run(*session, 1, one, {1, 3, 224, 224}, {1, 120, 7, 7}) == expected);
  const int64_t after = resident_bytes();
  MESSAGE("resident: " << (before >> 20) << " MB before, " << (after >> 20) << " MB after");
  if (!kSanitized) CHECK(before - after > (int64_t{50} << 20));
  CHECK(run(*session, 1, one, {1, 3, 224, 224}, {1, 120, 7, 7}) == expected);
}

}  // namespace manyscale::runtime
