#include "runtime_fixture.h"

#include <dlfcn.h>

#include <cstring>
#include <stdexcept>

#include "toy_model.h"

namespace runtime_test {

const Library& library() {
  static const Library* const loaded = [] {
    driver_test::driver();  // by its path, so that the runtime finds it by its name
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

std::string text_of(OrtStatus* status) {
  if (!status) return "";
  const std::string text = library().api->GetErrorMessage(status);
  library().api->ReleaseStatus(status);
  return text;
}

OrtSession* load(On on, void* stream, std::string& reason, const Options& options, const char* model) {
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

OrtSession* load(On on, void* stream, const Options& options) {
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

std::string run(OrtSession* session, const Bound& bound, bool synchronize, const char* graph) {
  const Api& api = *library().api;
  OrtRunOptions* options = nullptr;
  api.CreateRunOptions(&options);
  if (!synchronize) api.AddRunConfigEntry(options, "disable_synchronize_execution_providers", "1");
  if (graph) api.AddRunConfigEntry(options, "gpu_graph_id", graph);
  const std::string reason = text_of(api.RunWithBinding(session, options, bound.binding));
  api.ReleaseRunOptions(options);
  return reason;
}

std::vector<float> expected_features(const std::vector<float>& tiles) {
  const auto model = stand_in::parse_model(kModel);
  const int64_t count = static_cast<int64_t>(tiles.size()) / kTile;
  std::vector<float> features(static_cast<size_t>(count * kFeatures));
  model->run(reinterpret_cast<const std::byte*>(tiles.data()), {count, 3, 8, 8}, reinterpret_cast<std::byte*>(features.data()), false);
  return features;
}

std::string run_on_host_memory(OrtSession* session) {
  std::vector<float> tiles = make_tiles(1);
  std::vector<float> features(kFeatures);
  Bound bound;
  const std::string reason = bind(bound, session, "Cpu", 0, tiles.data(), features.data(), 1);
  return reason.empty() ? run(session, bound, true) : reason;
}

}  // namespace runtime_test
