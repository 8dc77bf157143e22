#include "runtime/session.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <optional>
#include <thread>
#include <utility>

#include "core/checked.h"
#include "runtime/handle.h"

namespace manyscale::runtime {
namespace {

// In the order of ONNXTensorElementDataType, which starts with "undefined".
constexpr ElementType kElementTypes[] = {ElementType::kOther,      ElementType::kFloat32, ElementType::kUint8,  ElementType::kInt8,   ElementType::kUint16,
                                         ElementType::kInt16,      ElementType::kInt32,   ElementType::kInt64,  ElementType::kString, ElementType::kBool,
                                         ElementType::kFloat16,    ElementType::kFloat64, ElementType::kUint32, ElementType::kUint64, ElementType::kComplex64,
                                         ElementType::kComplex128, ElementType::kBfloat16};

int onnx_type(ElementType type) {
  return static_cast<int>(std::find(std::begin(kElementTypes) + 1, std::end(kElementTypes), type) - std::begin(kElementTypes));
}

ElementType element_type(int onnx) { return onnx >= 0 && static_cast<size_t>(onnx) < std::size(kElementTypes) ? kElementTypes[onnx] : ElementType::kOther; }

// "[batch, 3, 224, 224]"
std::string text(const std::vector<int64_t>& dims, const std::vector<std::string>& symbols = {}) {
  std::string result = "[";
  for (size_t i = 0; i < dims.size(); i++) {
    if (i > 0) result += ", ";
    if (dims[i] >= 0)
      result += std::to_string(dims[i]);
    else
      result += i < symbols.size() && !symbols[i].empty() ? symbols[i] : "any";
  }
  return result + "]";
}

[[noreturn]] void throw_shape(const char* what, const ValueInfo& value, const std::string& expected, const std::string& received) {
  throw Error(ErrorCode::kModelShape, "Expected " + expected + " for the model's " + what + " '" + value.name + "' but received " + received);
}

// Whether `dims` agree with what the model declares; a dynamic dimension takes any, and a model may declare no shape at all.
bool agrees(const ValueInfo& declared, const std::vector<int64_t>& dims, size_t from = 0) {
  if (declared.dims.empty()) return true;
  if (declared.dims.size() != dims.size()) return false;
  for (size_t i = from; i < dims.size(); i++) {
    if (declared.dims[i] >= 0 && declared.dims[i] != dims[i]) return false;
  }
  return true;
}

int64_t product(const std::vector<int64_t>& dims) {
  int64_t count = 1;
  for (const int64_t dim : dims) {
    if (dim < 1) throw Error(ErrorCode::kInvalidArgument, "Expected dimensions of at least 1 for a batch but received " + text(dims));
    count = checked_product("a batch", count, dim);
  }
  return count;
}

ValueInfo describe(const ort::Api& api, const OrtTensorTypeAndShapeInfo* info) {
  const auto check = [&api](OrtStatus* status) { ort::check(api, status, ErrorCode::kModelLoad, "a type and a shape of a tensor"); };
  ValueInfo value;
  int type = 0;
  check(api.GetTensorElementType(info, &type));
  value.type = element_type(type);
  size_t rank = 0;
  check(api.GetDimensionsCount(info, &rank));
  value.dims.resize(rank);
  std::vector<const char*> symbols(rank, nullptr);
  if (rank > 0) {
    check(api.GetDimensions(info, value.dims.data(), rank));
    check(api.GetSymbolicDimensions(info, symbols.data(), rank));
  }
  for (size_t i = 0; i < rank; i++) {
    if (value.dims[i] < 0) value.dims[i] = -1;
    value.symbols.emplace_back(symbols[i] ? symbols[i] : "");
  }
  return value;
}

}  // namespace

void RunControl::cancel() noexcept {
  const std::lock_guard lock(mutex_);
  cancelled_.store(true, std::memory_order_release);
  for (const Active& run : active_) ort::Status(*run.api, run.api->RunOptionsSetTerminate(run.options));
}

// Makes a run known to its control for as long as it lasts.
class ActiveRun {
 public:
  ActiveRun(RunControl* control, const ort::Api& api, OrtRunOptions* options) : control_(control), options_(options) {
    if (!control_) return;
    const std::lock_guard lock(control_->mutex_);
    throw_if_cancelled(control_);
    control_->active_.push_back({&api, options_});
  }
  ~ActiveRun() {
    if (!control_) return;
    const std::lock_guard lock(control_->mutex_);
    std::erase_if(control_->active_, [this](const auto& run) { return run.options == options_; });
  }
  ActiveRun(const ActiveRun&) = delete;
  ActiveRun& operator=(const ActiveRun&) = delete;

  static void throw_if_cancelled(const RunControl* control) {
    if (control && control->cancelled()) throw Error(ErrorCode::kCancelled, "Expected a run to its end but received a request to cancel it");
  }

 private:
  RunControl* control_;
  OrtRunOptions* options_;
};

// What differs from run to run.
struct RunSettings {
  bool waits = true;            // for the device at its end
  std::optional<int> graph_id;  // to capture or replay
};

// Device memory as the runtime knows it.
struct Session::Binding::State {
  ort::IoBinding binding;
  std::vector<ort::Value> values;  // of the memory that is bound
  std::optional<int> graph_id;
  std::optional<std::thread::id> captured_by;
};

struct Session::State {
  State(Library& owner, const ProviderChoice& choice) : library(owner), api(owner.api()), provider(choice), session(api), cpu(api), device(api) {}

  Library& library;
  const ort::Api& api;
  const ProviderChoice provider;
  ort::SessionHandle session;
  ort::MemoryInfo cpu;
  ort::MemoryInfo device;  // empty on the CPU
  std::vector<ValueInfo> inputs;
  std::vector<ValueInfo> outputs;
  std::map<std::string, std::string> metadata;
  std::string producer;
  std::string graph_name;
  std::atomic<bool> shrink{false};

  template <typename Create>
  static std::unique_ptr<Session> load(Library& library, const Options& options, const std::string& what, Create create);
  void inspect();
  void inspect_metadata(OrtAllocator* allocator);

  void check_input(size_t input, const std::vector<int64_t>& dims) const;
  void check_output_index(size_t output) const;
  void check_outputs(size_t input, const std::vector<OutputMemory>& results) const;
  ort::Value tensor(const ort::MemoryInfo& memory, const void* data, ElementType type, const std::vector<int64_t>& dims) const;
  ort::IoBinding bind(size_t input, const ort::Value& in_value, const std::vector<OutputMemory>& results, const ort::MemoryInfo& memory,
                      std::vector<ort::Value>& values) const;
  template <typename Invoke>
  std::string execute(RunControl* control, const RunSettings& settings, Invoke invoke);
  std::string shrinkable() const;
  void run_on_device(Binding::State& binding, std::optional<int> graph_id, RunControl* control);
  std::string run_bound(size_t input, const ort::Value& in_value, const std::vector<OutputMemory>& results, RunControl* control);
  std::vector<ort::Value> run_unbound(size_t input, const ort::Value& value, const std::vector<size_t>& wanted, RunControl* control);
  ValueInfo inspect_result(size_t output, const ort::Value& value) const;
  void copy_result(const ort::Value& value, const OutputMemory& result) const;
};

template <typename Create>
std::unique_ptr<Session> Session::State::load(Library& library, const Options& options, const std::string& what, Create create) {
  auto state = std::make_unique<State>(library, options.provider);
  const ort::Api& api = state->api;
  const auto check = [&api](OrtStatus* status) { ort::check(api, status, ErrorCode::kModelLoad, "a session's options to be accepted"); };
  ort::SessionOptions session_options(api);
  check(api.CreateSessionOptions(session_options.out()));
  check(api.SetSessionLogSeverityLevel(session_options.get(), ort::kLogFatal));  // also when the logger is somebody else's
  check(api.SetSessionGraphOptimizationLevel(session_options.get(), ort::kOptimizeAll));
  check(api.SetIntraOpNumThreads(session_options.get(), options.intra_threads));
  check(api.SetInterOpNumThreads(session_options.get(), 1));
  check(api.AddSessionConfigEntry(session_options.get(), "session.intra_op.allow_spinning", "0"));
  check(api.AddSessionConfigEntry(session_options.get(), "session.inter_op.allow_spinning", "0"));
  append_provider(library, session_options.get(), options.provider);
  if (options.provider.provider != Provider::kCpu)
    check(api.CreateMemoryInfo("Cuda", ort::kDeviceAllocator, options.provider.device, ort::kDefaultMemory, state->device.out()));
  check(api.CreateCpuMemoryInfo(ort::kDeviceAllocator, ort::kDefaultMemory, state->cpu.out()));
  const bool on_cpu = options.provider.provider == Provider::kCpu;
  ort::check(api, create(api, session_options.get(), state->session.out()), on_cpu ? ErrorCode::kModelLoad : ErrorCode::kDeviceUnavailable,
             "an ONNX model that ONNX Runtime " + library.version() + " can load" +
                 (on_cpu ? "" : std::string(" on ") + provider_name(options.provider.provider)) + " for " + what);
  state->inspect();
  return std::unique_ptr<Session>(new Session(std::move(state)));
}

void Session::State::inspect() {
  const auto check = [this](OrtStatus* status) { ort::check(api, status, ErrorCode::kModelLoad, "a model that can be inspected"); };
  OrtAllocator* allocator = nullptr;
  check(api.GetAllocatorWithDefaultOptions(&allocator));
  const auto list = [&](auto get_count, auto get_name, auto get_type, std::vector<ValueInfo>& values) {
    size_t count = 0;
    check(get_count(session.get(), &count));
    for (size_t i = 0; i < count; i++) {
      ort::TypeInfo type(api);
      check(get_type(session.get(), i, type.out()));
      int kind = 0;
      check(api.GetOnnxTypeFromTypeInfo(type.get(), &kind));
      const OrtTensorTypeAndShapeInfo* info = nullptr;  // belongs to `type`
      if (kind == ort::kTensor) check(api.CastTypeInfoToTensorInfo(type.get(), &info));
      values.push_back(info ? describe(api, info) : ValueInfo{});
      char* name = nullptr;
      check(get_name(session.get(), i, allocator, &name));
      values.back().name = ort::take_text(api, allocator, name);
    }
  };
  list(api.SessionGetInputCount, api.SessionGetInputName, api.SessionGetInputTypeInfo, inputs);
  list(api.SessionGetOutputCount, api.SessionGetOutputName, api.SessionGetOutputTypeInfo, outputs);
  inspect_metadata(allocator);
}

void Session::State::inspect_metadata(OrtAllocator* allocator) {
  const auto check = [this](OrtStatus* status) { ort::check(api, status, ErrorCode::kModelLoad, "metadata that can be read"); };
  ort::ModelMetadata model(api);
  check(api.SessionGetModelMetadata(session.get(), model.out()));
  char* value = nullptr;
  check(api.ModelMetadataGetProducerName(model.get(), allocator, &value));
  producer = ort::take_text(api, allocator, value);
  check(api.ModelMetadataGetGraphName(model.get(), allocator, &value));
  graph_name = ort::take_text(api, allocator, value);

  char** names = nullptr;
  int64_t count = 0;
  check(api.ModelMetadataGetCustomMetadataMapKeys(model.get(), allocator, &names, &count));
  std::vector<std::string> keys;
  for (int64_t i = 0; i < count; i++) keys.push_back(ort::take_text(api, allocator, names[i]));
  if (names) check(api.AllocatorFree(allocator, names));
  for (const std::string& key : keys) {
    value = nullptr;
    check(api.ModelMetadataLookupCustomMetadataMap(model.get(), allocator, key.c_str(), &value));
    metadata[key] = ort::take_text(api, allocator, value);
  }
}

void Session::State::check_input(size_t input, const std::vector<int64_t>& dims) const {
  if (input >= inputs.size()) {
    throw Error(ErrorCode::kInvalidArgument,
                "Expected an index below " + std::to_string(inputs.size()) + " for the model's input but received " + std::to_string(input));
  }
  if (input_element_bytes(inputs[input].type) == 0) throw_shape("input", inputs[input], "float32, float16 or uint8", element_type_name(inputs[input].type));
  if (!agrees(inputs[input], dims)) throw_shape("input", inputs[input], text(inputs[input].dims, inputs[input].symbols), text(dims));
  check_profile(provider, inputs[input].name, dims);
}

void Session::State::check_output_index(size_t output) const {
  if (output >= outputs.size()) {
    throw Error(ErrorCode::kInvalidArgument,
                "Expected an index below " + std::to_string(outputs.size()) + " for the model's output but received " + std::to_string(output));
  }
}

// Tells before the run what the run would tell at its end. A declared output shape is certain only beyond the batch and when
// the input's is fixed; otherwise a declaration may be wrong and the runtime goes on regardless.
void Session::State::check_outputs(size_t input, const std::vector<OutputMemory>& results) const {
  const std::vector<int64_t>& declared = inputs[input].dims;
  const bool fixed = declared.size() > 1 && std::all_of(declared.begin() + 1, declared.end(), [](int64_t dim) { return dim >= 0; });
  for (auto result = results.begin(); result != results.end(); ++result) {
    check_output_index(result->output);
    const ValueInfo& output = outputs[result->output];
    // A name is bound once: memory for it a second time would not be written.
    if (std::any_of(results.begin(), result, [&](const OutputMemory& earlier) { return earlier.output == result->output; }))
      throw Error(ErrorCode::kInvalidArgument, "Expected each of the model's outputs at most once for a run but received '" + output.name + "' twice");
    if (output_element_bytes(output.type) == 0) throw_shape("output", output, "float32 or float16", element_type_name(output.type));
    if (fixed && !agrees(output, result->dims, 1)) throw_shape("output", output, text(result->dims), text(output.dims, output.symbols));
  }
}

// Memory of ours as a tensor; an output's is written by the run, an input's is not.
ort::Value Session::State::tensor(const ort::MemoryInfo& memory, const void* data, ElementType type, const std::vector<int64_t>& dims) const {
  const int64_t bytes = checked_product("a batch", product(dims), input_element_bytes(type));
  ort::Value value(api);
  ort::check(api,
             api.CreateTensorWithDataAsOrtValue(memory.get(), const_cast<void*>(data), static_cast<size_t>(bytes), dims.data(), dims.size(), onnx_type(type),
                                                value.out()),
             ErrorCode::kModelRun, "memory that can be bound");
  return value;
}

// One run, which `invoke` starts with the options that it is given; '' or the runtime's reason.
template <typename Invoke>
std::string Session::State::execute(RunControl* control, const RunSettings& settings, Invoke invoke) {
  const auto check = [this](OrtStatus* status) { ort::check(api, status, ErrorCode::kModelRun, "a run's options to be accepted"); };
  ort::RunOptions options(api);  // new for every run: its flag to terminate cannot be trusted again once set
  check(api.CreateRunOptions(options.out()));
  check(api.RunOptionsSetRunLogSeverityLevel(options.get(), ort::kLogFatal));
  if (!settings.waits) check(api.AddRunConfigEntry(options.get(), "disable_synchronize_execution_providers", "1"));
  // -1: no graph. Left out, the session would capture whatever runs first.
  if (provider.graphs()) check(api.AddRunConfigEntry(options.get(), "gpu_graph_id", std::to_string(settings.graph_id.value_or(-1)).c_str()));
  const ActiveRun active(control, api, options.get());
  const bool shrinking = shrink.exchange(false);
  if (shrinking) check(api.AddRunConfigEntry(options.get(), "memory.enable_memory_arena_shrinkage", shrinkable().c_str()));
  const std::string reason = ort::message_of(api, invoke(options.get()));
  if (!reason.empty()) {
    if (shrinking) shrink = true;
    ActiveRun::throw_if_cancelled(control);  // the runtime has no code for it
  }
  return reason;
}

// The arenas that a run may give back. A captured graph has addresses in the device's.
std::string Session::State::shrinkable() const {
  const bool keeps_device = provider.provider == Provider::kCpu || provider.graphs();
  return keeps_device ? "cpu:0" : "cpu:0;gpu:" + std::to_string(provider.device);
}

// Memory of ours, bound; `values` must outlive the binding's runs.
ort::IoBinding Session::State::bind(size_t input, const ort::Value& in_value, const std::vector<OutputMemory>& results, const ort::MemoryInfo& memory,
                                    std::vector<ort::Value>& values) const {
  ort::IoBinding binding(api);
  ort::check(api, api.CreateIoBinding(session.get(), binding.out()), ErrorCode::kModelRun, "a binding of memory");
  ort::check(api, api.BindInput(binding.get(), inputs[input].name.c_str(), in_value.get()), ErrorCode::kModelRun, "an input that can be bound");
  for (const OutputMemory& result : results) {
    const ValueInfo& output = outputs[result.output];
    values.push_back(tensor(memory, result.data, output.type, result.dims));
    ort::check(api, api.BindOutput(binding.get(), output.name.c_str(), values.back().get()), ErrorCode::kModelRun, "an output that can be bound");
  }
  return binding;
}

// A run that reads and writes host memory of ours; '' or the runtime's reason.
std::string Session::State::run_bound(size_t input, const ort::Value& in_value, const std::vector<OutputMemory>& results, RunControl* control) {
  std::vector<ort::Value> values;
  const ort::IoBinding binding = bind(input, in_value, results, cpu, values);
  return execute(control, {}, [&](const OrtRunOptions* options) { return api.RunWithBinding(session.get(), options, binding.get()); });
}

void Session::State::run_on_device(Binding::State& binding, std::optional<int> graph_id, RunControl* control) {
  const std::string reason =
      execute(control, {false, graph_id}, [&](const OrtRunOptions* options) { return api.RunWithBinding(session.get(), options, binding.binding.get()); });
  if (!reason.empty()) ort::throw_failure(ErrorCode::kModelRun, "the model to run in device memory", reason);
}

// A run whose outputs the runtime allocates.
std::vector<ort::Value> Session::State::run_unbound(size_t input, const ort::Value& value, const std::vector<size_t>& wanted, RunControl* control) {
  std::vector<const char*> names;
  for (const size_t output : wanted) names.push_back(outputs[output].name.c_str());
  std::vector<OrtValue*> values(names.size(), nullptr);
  const char* input_name = inputs[input].name.c_str();
  const OrtValue* input_value = value.get();
  const std::string reason = execute(control, {}, [&](const OrtRunOptions* options) {
    return api.Run(session.get(), options, &input_name, &input_value, 1, names.data(), names.size(), values.data());
  });
  std::vector<ort::Value> owners;
  for (OrtValue* result : values) owners.emplace_back(api, result);
  if (!reason.empty()) ort::throw_failure(ErrorCode::kModelRun, "the model to run", reason);
  return owners;
}

ValueInfo Session::State::inspect_result(size_t output, const ort::Value& value) const {
  const auto check = [this](OrtStatus* status) { ort::check(api, status, ErrorCode::kModelRun, "an output that can be inspected"); };
  int is_tensor = 0;
  check(api.IsTensor(value.get(), &is_tensor));
  ValueInfo result;
  if (is_tensor) {
    ort::TensorInfo info(api);
    check(api.GetTensorTypeAndShape(value.get(), info.out()));
    result = describe(api, info.get());
  }
  result.name = outputs[output].name;
  return result;
}

void Session::State::copy_result(const ort::Value& value, const OutputMemory& result) const {
  const ValueInfo real = inspect_result(result.output, value);
  const ElementType type = outputs[result.output].type;
  if (real.dims != result.dims) throw_shape("output", real, text(result.dims), text(real.dims));
  if (real.type != type) throw_shape("output", real, element_type_name(type), element_type_name(real.type));
  void* data = nullptr;
  ort::check(api, api.GetTensorMutableData(value.get(), &data), ErrorCode::kModelRun, "an output that can be read");
  std::memcpy(result.data, data, static_cast<size_t>(product(result.dims) * output_element_bytes(type)));
}

Session::Session(std::unique_ptr<State> state) : state_(std::move(state)) {}
Session::~Session() = default;

Session::Binding::Binding(std::unique_ptr<State> state) : state_(std::move(state)) {}
Session::Binding::~Binding() = default;

std::unique_ptr<Session> Session::from_file(Library& library, const std::string& path, const Options& options) {
  return State::load(library, options, "'" + path + "'", [&](const ort::Api& api, const OrtSessionOptions* session_options, OrtSession** session) {
    return api.CreateSession(library.env(), path.c_str(), session_options, session);
  });
}

std::unique_ptr<Session> Session::from_bytes(Library& library, const void* data, size_t bytes, const Options& options) {
  return State::load(library, options, std::to_string(bytes) + " bytes",
                     [&](const ort::Api& api, const OrtSessionOptions* session_options, OrtSession** session) {
                       return api.CreateSessionFromArray(library.env(), data, bytes, session_options, session);
                     });
}

const Library& Session::library() const noexcept { return state_->library; }
const std::vector<ValueInfo>& Session::inputs() const noexcept { return state_->inputs; }
const std::vector<ValueInfo>& Session::outputs() const noexcept { return state_->outputs; }
const std::map<std::string, std::string>& Session::metadata() const noexcept { return state_->metadata; }
const std::string& Session::producer() const noexcept { return state_->producer; }
const std::string& Session::graph_name() const noexcept { return state_->graph_name; }
const ProviderChoice& Session::provider() const noexcept { return state_->provider; }

void Session::run(size_t input, const void* data, const std::vector<int64_t>& dims, const std::vector<OutputMemory>& results, RunControl* control) {
  State& state = *state_;
  state.check_input(input, dims);
  state.check_outputs(input, results);
  const ort::Value in_value = state.tensor(state.cpu, data, state.inputs[input].type, dims);
  const bool may_be_bound =
      std::all_of(results.begin(), results.end(), [&](const OutputMemory& result) { return agrees(state.outputs[result.output], result.dims); });
  if (may_be_bound && state.run_bound(input, in_value, results, control).empty()) return;
  // The runtime refuses to bind an output that contradicts the model's declaration even when the declaration is wrong, and
  // only its words, which change from version to version, tell an output of another shape from any other failure. A run
  // without buffers of ours settles both; it throws when the failure was another one.
  std::vector<size_t> wanted;
  for (const OutputMemory& result : results) wanted.push_back(result.output);
  const std::vector<ort::Value> values = state.run_unbound(input, in_value, wanted, control);
  for (size_t i = 0; i < results.size(); i++) state.copy_result(values[i], results[i]);
}

std::unique_ptr<Session::Binding> Session::bind(size_t input, const DeviceMemoryRange& in, const std::vector<std::pair<size_t, DeviceMemoryRange>>& outputs,
                                                std::optional<int> graph_id) {
  const State& state = *state_;
  if (!state.device) {
    throw Error(ErrorCode::kInvalidArgument,
                "Expected a session on a GPU for memory of a device but received one on the CPU, which would take the addresses for its own");
  }
  if (graph_id && !state.provider.graphs())
    throw Error(ErrorCode::kInvalidArgument, "Expected a session with CUDA graphs for a graph's id but received one without");
  state.check_input(input, in.dims);
  std::vector<OutputMemory> results;
  for (const auto& [output, range] : outputs) results.push_back({output, reinterpret_cast<void*>(range.address), range.dims});
  state.check_outputs(input, results);
  if (in.address == 0 || std::any_of(results.begin(), results.end(), [](const OutputMemory& result) { return !result.data; }))
    throw Error(ErrorCode::kInvalidArgument, "Expected addresses in a device's memory to bind but received 0");

  auto binding = std::make_unique<Binding::State>(Binding::State{ort::IoBinding(state.api), {}, graph_id, {}});
  ort::Value in_value = state.tensor(state.device, reinterpret_cast<const void*>(in.address), state.inputs[input].type, in.dims);
  binding->binding = state.bind(input, in_value, results, state.device, binding->values);
  binding->values.push_back(std::move(in_value));
  return std::unique_ptr<Binding>(new Binding(std::move(binding)));
}

void Session::run(Binding& binding, RunControl* control) {
  Binding::State& bound = *binding.state_;
  // On another thread the runtime would capture anew, which allocations anywhere in the process could break.
  const bool replays = bound.captured_by == std::this_thread::get_id();
  state_->run_on_device(bound, replays ? bound.graph_id : std::nullopt, control);
}

void Session::capture(Binding& binding, RunControl* control) {
  static auto* const mutex = new std::mutex;  // leaked, as all that outlives environments
  Binding::State& bound = *binding.state_;
  if (!bound.graph_id) throw Error(ErrorCode::kInvalidArgument, "Expected a binding with a graph's id to capture but received one without");
  const std::lock_guard one_at_a_time(*mutex);
  state_->run_on_device(bound, bound.graph_id, control);
  bound.captured_by = std::this_thread::get_id();
}

std::vector<ValueInfo> Session::probe(size_t input, const void* data, const std::vector<int64_t>& dims, const std::vector<size_t>& outputs,
                                      RunControl* control) {
  State& state = *state_;
  state.check_input(input, dims);
  for (const size_t output : outputs) state.check_output_index(output);
  const std::vector<ort::Value> values = state.run_unbound(input, state.tensor(state.cpu, data, state.inputs[input].type, dims), outputs, control);
  std::vector<ValueInfo> results;
  for (size_t i = 0; i < outputs.size(); i++) results.push_back(state.inspect_result(outputs[i], values[i]));
  return results;
}

void Session::shrink_memory() noexcept { state_->shrink = true; }

}  // namespace manyscale::runtime
