// Runs: on the CPU at once, on a device's provider in the order of the stream that the caller gave. The rules of the device-resident path
// are checked here.
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <thread>

#include "api.h"

namespace stand_in {
namespace {

std::string entry(const std::map<std::string, std::string>& entries, const char* key) {
  const auto found = entries.find(key);
  return found == entries.end() ? "" : found->second;
}

// One run as a stream will execute it. Addresses are followed then, not when it is asked for.
struct Job {
  std::shared_ptr<const ToyModel> model;
  std::shared_ptr<std::atomic<int>> pending;
  OrtValue input;
  OrtValue output;
  int64_t slow_ms = 0;
  bool wrong = false;

  static std::byte* memory_of(const OrtValue& value) {
    return value.on_device() ? static_cast<std::byte*>(driver().host_view(value.address(), value.bytes)) : value.data;
  }
  void execute() const {
    std::this_thread::sleep_for(std::chrono::milliseconds(slow_ms));
    const std::byte* from = memory_of(input);
    std::byte* to = memory_of(output);
    if (!from || !to)
      record_violation("memory that was bound had been freed when the stream came to the run");
    else
      model->run(from, input.dims, to, wrong);
  }
};

void run_job(void* data, int dropped) {
  const std::unique_ptr<Job> job(static_cast<Job*>(data));
  if (!dropped) job->execute();
  job->pending->fetch_sub(1);
  const std::lock_guard lock(state().mutex);
  state().counts.pending--;
}

OrtStatus* device_error(int code) {
  return error(kRuntimeException, "CUDA failure " + std::to_string(code) + ": " +
                                      (code == 700 ? "an illegal memory access was encountered" : "unspecified launch failure") + " ; expr=stand-in");
}

OrtStatus* check_shape(const char* what, const Value& declared, const OrtValue& value, const std::vector<int64_t>& expected) {
  std::string text;
  if (value.type != declared.type)
    text.append("Unexpected ")
        .append(what)
        .append(" data type. Actual: ")
        .append(std::to_string(value.type))
        .append(" , expected: ")
        .append(std::to_string(declared.type));
  else if (value.dims != expected)
    text.append("Got invalid dimensions for ")
        .append(what)
        .append(": ")
        .append(declared.name)
        .append(" Got: ")
        .append(shape_text(value.dims))
        .append(" Expected: ")
        .append(shape_text(expected));
  if (!text.empty()) return error(kInvalidArgument, text);
  return nullptr;
}

OrtStatus* check_shapes(const ToyModel& model, const OrtValue& input, const OrtValue& output) {
  std::vector<int64_t> expected = model.input.dims;
  for (size_t i = 0; i < expected.size() && i < input.dims.size(); i++) {
    if (expected[i] < 0) expected[i] = input.dims[i];
  }
  if (OrtStatus* wrong = check_shape("input", model.input, input, expected)) return wrong;
  return check_shape("output", model.output, output, model.output_dims(input.dims));
}

// TensorRT builds its engine anew for a shape outside of min and max of the profile.
bool outside_profile(const ProviderOptions& options, const OrtValue& input) {
  const auto batch_of = [&options](const char* key, long long& batch) {
    const std::string text = entry(options.entries, key);
    const size_t colon = text.rfind(':');
    return colon != std::string::npos && std::sscanf(text.c_str() + colon + 1, "%lld", &batch) == 1;
  };
  long long least = 0;
  long long most = 0;
  if (!batch_of("trt_profile_min_shapes", least) || !batch_of("trt_profile_max_shapes", most)) return false;
  return input.dims[0] < least || input.dims[0] > most;
}

// A CUDA graph belongs to one set of addresses and one thread: it is captured at the first run with its id and replayed from then on.
OrtStatus* check_graph(OrtSession& session, const OrtRunOptions* options, const OrtValue& input, const OrtValue& output) {
  const char* const key = session.provider == Provider::kCuda ? "enable_cuda_graph" : "trt_cuda_graph_enable";
  const std::string enabled = entry(session.options.entries, key);
  if (enabled != "1" && enabled != "True") return nullptr;
  const std::string given = options ? entry(options->entries, "gpu_graph_id") : "";
  const std::string id = given.empty() ? std::string("0") : given;
  if (id == "-1") return nullptr;
  const Graph captured{std::this_thread::get_id(), input.address(), output.address(), input.dims};
  const std::lock_guard lock(session.mutex);
  const auto [graph, first] = session.graphs.emplace(id, captured);
  if (first || graph->second == captured) return nullptr;
  if (graph->second.thread != captured.thread) return violation("gpu_graph_id " + id + " was captured on another thread: this one has no such graph");
  return violation("gpu_graph_id " + id + " was captured with other addresses or shapes: it would replay those");
}

// What a device's run must keep to, apart from its memory's labels, which were checked when the tensors were made.
OrtStatus* check_device_run(OrtSession& session, const OrtRunOptions* options, const OrtValue& input, const OrtValue& output) {
  const bool synchronizes = !options || entry(options->entries, "disable_synchronize_execution_providers") != "1";
  const bool resident = input.on_device() && output.on_device();
  void* const stream = session.options.stream;
  if (stream && !driver().stream_alive(stream)) return violation("the session's user_compute_stream was destroyed");
  if (resident && !stream) return violation("a run on device memory without a user_compute_stream: nothing orders it after the tiles");
  if (resident && synchronizes)
    return violation("a run on device memory without disable_synchronize_execution_providers=1: the provider would wait for its stream");
  if (!resident && !synchronizes) return violation("a run with host memory with disable_synchronize_execution_providers=1: its outputs may be read too early");
  for (const OrtValue* value : {&input, &output}) {
    if (value->on_device() && value->memory.id != session.device)
      return violation("memory of device " + std::to_string(value->memory.id) + " in a run on device " + std::to_string(session.device));
  }
  return check_graph(session, options, input, output);
}

OrtStatus* run_on_cpu(const OrtSession& session, const OrtRunOptions* options, const OrtValue& input, OrtValue& output, int64_t slow_ms) {
  if (input.on_device() || output.on_device())
    return violation("memory labelled Cuda in a run on the CPU: a real runtime would take the address for one of the host");
  for (int64_t waited = 0; waited < slow_ms; waited++) {
    if (options && options->terminate) return error(kFail, "Exiting due to terminate flag being set to true.");
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  session.model->run(input.data, input.dims, output.data, false);
  return nullptr;
}

OrtStatus* run_on_device(OrtSession& session, const OrtRunOptions* options, const OrtValue& input, OrtValue& output, const Faults& faults, bool kills) {
  if (OrtStatus* failed = check_device_run(session, options, input, output)) return failed;
  const bool resident = input.on_device() && output.on_device();
  {
    const std::lock_guard lock(state().mutex);
    state().counts.host_copies += (input.on_device() ? 0 : 1) + (output.on_device() ? 0 : 1);
    state().counts.device_runs += resident;
    state().counts.pending++;
    if (session.provider == Provider::kTensorRt && outside_profile(session.options, input)) state().counts.engine_rebuilds++;
  }
  session.pending->fetch_add(1);
  auto job = std::make_unique<Job>(Job{session.model, session.pending, input, output, faults.slow_ms, faults.runs_wrong});
  if (!input.owned.empty()) job->input.data = job->input.owned.data();
  void* const stream = session.options.stream;
  if (!stream) {  // the provider's own, which it waits for
    run_job(job.release(), 0);
    return nullptr;
  }
  if (kills) driver().enqueue_fault(stream, 700);
  Job* const asked = job.release();
  if (const int code = driver().enqueue_host(stream, run_job, asked)) {
    run_job(asked, 1);
    return device_error(code);
  }
  if (resident) return nullptr;
  const int code = driver().synchronize(stream);
  return code ? device_error(code) : nullptr;
}

class OneAtATime {
 public:
  explicit OneAtATime(OrtSession& session) : session_(session), alone_(session.running.fetch_add(1) == 0) {}
  ~OneAtATime() { session_.running.fetch_sub(1); }
  OneAtATime(const OneAtATime&) = delete;
  OneAtATime& operator=(const OneAtATime&) = delete;
  bool alone() const { return alone_; }

 private:
  OrtSession& session_;
  bool alone_;
};

OrtStatus* count_failure(OrtStatus* status) {
  if (!status) return nullptr;
  const std::lock_guard lock(state().mutex);
  state().counts.failed_runs++;
  return status;
}

}  // namespace

OrtStatus* run(OrtSession& session, const OrtRunOptions* options, const OrtValue& input, OrtValue& output) {
  const OneAtATime entered(session);
  if (session.provider != Provider::kCpu && !entered.alone()) return violation("two runs at once on a session of a device");
  Faults faults;
  uint64_t nth = 0;
  {
    const std::lock_guard lock(state().mutex);
    nth = ++state().counts.runs;
    faults = state().faults;
  }
  if (options && options->terminate) return count_failure(error(kFail, "Exiting due to terminate flag being set to true."));
  if (OrtStatus* wrong = check_shapes(*session.model, input, output)) return count_failure(wrong);
  if (faults.fail_run > 0 && nth >= faults.fail_run && nth < faults.fail_run + faults.fail_runs)
    return count_failure(
        error(kFail, "Non-zero status code returned while running Conv node. Name:'/embed' Status Message: asked to fail at run " + std::to_string(nth)));
  if (faults.out_of_memory)
    return count_failure(error(kFail,
                               "Non-zero status code returned while running Conv node. Name:'/embed' Status Message: Failed to allocate memory for requested "
                               "buffer of size 123456789"));
  if (session.provider == Provider::kCpu) return count_failure(run_on_cpu(session, options, input, output, faults.slow_ms));
  return count_failure(run_on_device(session, options, input, output, faults, nth == faults.device_fault));
}

OrtStatus* RunWithBinding(OrtSession* session, const OrtRunOptions* options, const OrtIoBinding* binding) {
  if (binding->session != session) return violation("a binding of another session");
  const auto input = binding->inputs.find(session->model->input.name);
  const auto output = binding->outputs.find(session->model->output.name);
  if (input == binding->inputs.end()) return error(kInvalidArgument, "Missing Input: " + session->model->input.name);
  if (output == binding->outputs.end()) return error(kInvalidArgument, "At least one output should be requested.");
  OrtValue into = output->second;
  return run(*session, options, input->second, into);
}

OrtStatus* Run(OrtSession* session, const OrtRunOptions* options, const char* const* input_names, const OrtValue* const* inputs, size_t input_count,
               const char* const* output_names, size_t output_count, OrtValue** outputs) {
  const ToyModel& model = *session->model;
  if (input_count != 1 || model.input.name != input_names[0]) return error(kInvalidArgument, "Invalid Feed Input Name");
  if (output_count != 1 || model.output.name != output_names[0]) return error(kInvalidArgument, "Invalid Output Name");
  if (inputs[0]->dims.size() != 4) return error(kInvalidArgument, "Invalid rank for input: " + model.input.name);
  const bool ours = !outputs[0];
  if (ours) {
    const std::vector<int64_t> dims = model.output_dims(inputs[0]->dims);
    size_t bytes = element_bytes(model.output.type);
    for (const int64_t dim : dims) bytes *= static_cast<size_t>(dim);
    auto made = std::make_unique<OrtValue>();
    made->memory = {"Cpu", 0};
    made->dims = dims;
    made->type = model.output.type;
    made->owned.resize(bytes);
    made->data = made->owned.data();
    made->bytes = bytes;
    outputs[0] = made.release();
    const std::lock_guard lock(state().mutex);
    state().counts.live_values++;
  }
  OrtStatus* failed = nullptr;
  {
    OrtValue view;  // of the memory, without a copy of what is owned
    view.memory = outputs[0]->memory;
    view.data = outputs[0]->data;
    view.bytes = outputs[0]->bytes;
    view.dims = outputs[0]->dims;
    view.type = outputs[0]->type;
    failed = run(*session, options, *inputs[0], view);
  }
  if (failed && ours) {
    ReleaseValue(outputs[0]);
    outputs[0] = nullptr;
  }
  return failed;
}

}  // namespace stand_in
