// Sessions: loading a model for a provider, and what a model says about itself.
#include <sys/stat.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <thread>

#include "api.h"

namespace stand_in {
namespace {

std::string entry(const ProviderOptions& options, const char* key, const char* otherwise = "") {
  const auto found = options.entries.find(key);
  return found == options.entries.end() ? otherwise : found->second;
}

// TensorRT builds an engine for minutes unless its cache has one: here a file in the folder that the options name.
void prepare_engine(const ProviderOptions& options) {
  std::string file;
  if (entry(options, "trt_engine_cache_enable") == "1" || entry(options, "trt_engine_cache_enable") == "True") {
    const std::string folder = entry(options, "trt_engine_cache_path", ".");
    const std::string prefix = entry(options, "trt_engine_cache_prefix", "TensorrtExecutionProvider_TRTKernel_graph_stand_in_0_0");
    file = folder + "/" + prefix + (entry(options, "trt_fp16_enable") == "1" ? "_fp16" : "") + "_sm90.engine";
  }
  struct stat known;
  const bool cached = !file.empty() && stat(file.c_str(), &known) == 0;
  int64_t wait_ms = 0;
  {
    const std::lock_guard lock(state().mutex);
    (cached ? state().counts.engine_loads : state().counts.engine_builds) += 1;
    wait_ms = cached ? 0 : state().faults.slow_build_ms;
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(wait_ms));
  if (!cached && !file.empty()) std::ofstream(file) << "stand-in engine\n";
}

OrtStatus* prepare_provider(OrtSession& session) {
  bool fails = false;
  {
    const std::lock_guard lock(state().mutex);
    fails = state().faults.failing_providers.contains(provider_word(session.provider));
  }
  if (fails) {
    return error(kProviderFail,
                 "CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version ; GPU=-1 ; expr=cudaSetDevice(info_.device_id);");
  }
  session.device = std::atoi(entry(session.options, "device_id", "0").c_str());
  if (session.options.stream) {
    if (!driver().stream_alive(session.options.stream)) return violation("user_compute_stream is no live stream");
    const int device = driver().stream_device(session.options.stream);
    if (device != session.device)
      return violation("device_id is " + std::to_string(session.device) + ", but user_compute_stream is of device " + std::to_string(device));
  }
  if (session.provider == Provider::kTensorRt) prepare_engine(session.options);
  return nullptr;
}

OrtStatus* load(const std::string& bytes, const std::string& what, const OrtSessionOptions* options, OrtSession** out) {
  bool fail = false;
  {
    const std::lock_guard lock(state().mutex);
    fail = state().faults.fail_load;
  }
  auto session = std::make_unique<OrtSession>();
  session->model = fail ? nullptr : parse_model(bytes);
  if (!session->model) return error(kInvalidProtobuf, what + "Protobuf parsing failed.");
  if (!options->providers.empty()) {
    session->provider = options->providers.front().first;
    session->options = options->providers.front().second;
    if (OrtStatus* failed = prepare_provider(*session)) return failed;
  }
  const std::lock_guard lock(state().mutex);
  state().counts.sessions++;
  state().counts.live_sessions++;
  *out = session.release();
  return nullptr;
}

OrtStatus* type_of(const Value& value, size_t index, OrtTypeInfo** out) {
  if (index != 0) return error(kInvalidArgument, "out of index");
  *out = new OrtTypeInfo{{value}};
  return nullptr;
}

OrtStatus* name_of(const Value& value, size_t index, char** out) {
  if (index != 0) return error(kInvalidArgument, "out of index");
  *out = copy_text(value.name);
  return nullptr;
}

OrtStatus* one(size_t* out) {
  *out = 1;
  return nullptr;
}

}  // namespace

OrtStatus* CreateSession(const OrtEnv*, const char* path, const OrtSessionOptions* options, OrtSession** out) {
  std::ifstream file(path, std::ios::binary);
  const std::string what = std::string("Load model from ") + path + " failed:";
  if (!file) return error(kNoSuchFile, what + "Load model " + path + " failed. File doesn't exist");
  const std::string bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  return load(bytes, what, options, out);
}
OrtStatus* CreateSessionFromArray(const OrtEnv*, const void* data, size_t bytes, const OrtSessionOptions* options, OrtSession** out) {
  return load(std::string(static_cast<const char*>(data), bytes), "ModelProto does not have a graph: ", options, out);
}
void ReleaseSession(OrtSession* session) {
  if (!session) return;
  if (const int pending = session->pending->load())
    record_violation("a session was released while " + std::to_string(pending) + " of its runs were pending on the stream");
  if (session->running.load() != 0) record_violation("a session was released during a run");
  {
    const std::lock_guard lock(state().mutex);
    state().counts.live_sessions--;
  }
  delete session;
}

OrtStatus* SessionGetInputCount(const OrtSession*, size_t* out) { return one(out); }
OrtStatus* SessionGetOutputCount(const OrtSession*, size_t* out) { return one(out); }
OrtStatus* SessionGetInputTypeInfo(const OrtSession* session, size_t index, OrtTypeInfo** out) { return type_of(session->model->input, index, out); }
OrtStatus* SessionGetOutputTypeInfo(const OrtSession* session, size_t index, OrtTypeInfo** out) { return type_of(session->model->output, index, out); }
OrtStatus* SessionGetInputName(const OrtSession* session, size_t index, OrtAllocator*, char** out) { return name_of(session->model->input, index, out); }
OrtStatus* SessionGetOutputName(const OrtSession* session, size_t index, OrtAllocator*, char** out) { return name_of(session->model->output, index, out); }

OrtStatus* SessionGetModelMetadata(const OrtSession* session, OrtModelMetadata** out) {
  *out = new OrtModelMetadata{session->model};
  return nullptr;
}
OrtStatus* ModelMetadataGetProducerName(const OrtModelMetadata*, OrtAllocator*, char** out) {
  *out = copy_text("stand-in");
  return nullptr;
}
OrtStatus* ModelMetadataGetGraphName(const OrtModelMetadata*, OrtAllocator*, char** out) {
  *out = copy_text("toy");
  return nullptr;
}
OrtStatus* ModelMetadataGetCustomMetadataMapKeys(const OrtModelMetadata* metadata, OrtAllocator*, char*** keys, int64_t* count) {
  *count = static_cast<int64_t>(metadata->model->metadata.size());
  *keys = nullptr;
  if (*count == 0) return nullptr;
  *keys = static_cast<char**>(std::malloc(metadata->model->metadata.size() * sizeof(char*)));
  char** next = *keys;
  for (const auto& [key, value] : metadata->model->metadata) *next++ = copy_text(key);
  return nullptr;
}
OrtStatus* ModelMetadataLookupCustomMetadataMap(const OrtModelMetadata* metadata, OrtAllocator*, const char* key, char** out) {
  const auto found = metadata->model->metadata.find(key);
  *out = found == metadata->model->metadata.end() ? nullptr : copy_text(found->second);
  return nullptr;
}
void ReleaseModelMetadata(OrtModelMetadata* metadata) { delete metadata; }

}  // namespace stand_in
