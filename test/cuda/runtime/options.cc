// Options of sessions and runs, and the providers.
#include <cstring>

#include "api.h"

namespace stand_in {
namespace {

constexpr const char* kProviders[] = {"TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"};

// Loading the provider's library is what fails first on a machine without what it needs.
OrtStatus* load_provider(Provider provider) {
  const char* file = provider == Provider::kCuda ? "libonnxruntime_providers_cuda.so" : "libonnxruntime_providers_tensorrt.so";
  const char* lacks = provider == Provider::kCuda ? "libcublasLt.so.13" : "libnvinfer.so.10";
  bool missing = false;
  {
    const std::lock_guard lock(state().mutex);
    missing = state().faults.missing_providers.contains(provider_word(provider));
  }
  if (missing) {
    return error(kFail,
                 std::string("Failed to load library ./") + file + " with error: " + lacks + ": cannot open shared object file: No such file or directory");
  }
  if (!driver().reason.empty()) return error(kFail, std::string("Failed to load library ./") + file + " with error: " + driver().reason);
  return nullptr;
}

OrtStatus* update(ProviderOptions& options, Provider provider, const char* const* keys, const char* const* values, size_t count) {
  if (OrtStatus* failed = load_provider(provider)) return failed;
  options = {};  // as the real one: what an update does not name goes back to its default, the stream too
  for (size_t i = 0; i < count; i++) options.entries[keys[i]] = values[i];
  return nullptr;
}

OrtStatus* update_with_value(ProviderOptions& options, const char* key, void* value) {
  if (std::strcmp(key, "user_compute_stream") != 0) return error(kInvalidArgument, std::string("Unknown provider option: ") + key);
  if (value && driver().stream_alive && !driver().stream_alive(value)) return violation("user_compute_stream is no live stream");
  options.stream = value;
  return nullptr;
}

OrtStatus* append(OrtSessionOptions* session, Provider provider, const ProviderOptions& options) {
  if (OrtStatus* failed = load_provider(provider)) {
    ReleaseStatus(failed);  // as the real one, without the reason
    return error(kProviderFail, std::string("Failed to find provider shared library for ") + provider_word(provider));
  }
  session->providers.emplace_back(provider, options);
  return nullptr;
}

}  // namespace

OrtStatus* CreateSessionOptions(OrtSessionOptions** out) {
  *out = new OrtSessionOptions;
  return nullptr;
}
OrtStatus* SetSessionLogSeverityLevel(OrtSessionOptions*, int) { return nullptr; }
OrtStatus* SetSessionGraphOptimizationLevel(OrtSessionOptions*, int) { return nullptr; }
OrtStatus* SetIntraOpNumThreads(OrtSessionOptions*, int) { return nullptr; }
OrtStatus* SetInterOpNumThreads(OrtSessionOptions*, int) { return nullptr; }
OrtStatus* AddSessionConfigEntry(OrtSessionOptions* options, const char* key, const char* value) {
  options->entries[key] = value;
  return nullptr;
}
void ReleaseSessionOptions(OrtSessionOptions* options) { delete options; }

OrtStatus* CreateRunOptions(OrtRunOptions** out) {
  *out = new OrtRunOptions;
  return nullptr;
}
OrtStatus* RunOptionsSetRunLogSeverityLevel(OrtRunOptions*, int) { return nullptr; }
OrtStatus* RunOptionsSetTerminate(OrtRunOptions* options) {
  options->terminate = true;
  return nullptr;
}
OrtStatus* AddRunConfigEntry(OrtRunOptions* options, const char* key, const char* value) {
  options->entries[key] = value;
  return nullptr;
}
void ReleaseRunOptions(OrtRunOptions* options) { delete options; }

OrtStatus* GetAvailableProviders(char*** names, int* count) {
  *count = static_cast<int>(std::size(kProviders));
  *names = new char*[std::size(kProviders)];
  for (size_t i = 0; i < std::size(kProviders); i++) (*names)[i] = copy_text(kProviders[i]);
  return nullptr;
}
OrtStatus* ReleaseAvailableProviders(char** names, int count) {
  for (int i = 0; i < count; i++) AllocatorFree(nullptr, names[i]);
  delete[] names;
  return nullptr;
}

OrtStatus* CreateCUDAProviderOptions(OrtCUDAProviderOptionsV2** out) {
  *out = new OrtCUDAProviderOptionsV2;
  return nullptr;
}
OrtStatus* UpdateCUDAProviderOptions(OrtCUDAProviderOptionsV2* options, const char* const* keys, const char* const* values, size_t count) {
  return update(*options, Provider::kCuda, keys, values, count);
}
OrtStatus* UpdateCUDAProviderOptionsWithValue(OrtCUDAProviderOptionsV2* options, const char* key, void* value) {
  return update_with_value(*options, key, value);
}
OrtStatus* SessionOptionsAppendExecutionProvider_CUDA_V2(OrtSessionOptions* session, const OrtCUDAProviderOptionsV2* options) {
  return append(session, Provider::kCuda, *options);
}
void ReleaseCUDAProviderOptions(OrtCUDAProviderOptionsV2* options) { delete options; }

OrtStatus* CreateTensorRTProviderOptions(OrtTensorRTProviderOptionsV2** out) {
  *out = new OrtTensorRTProviderOptionsV2;
  return nullptr;
}
OrtStatus* UpdateTensorRTProviderOptions(OrtTensorRTProviderOptionsV2* options, const char* const* keys, const char* const* values, size_t count) {
  return update(*options, Provider::kTensorRt, keys, values, count);
}
OrtStatus* UpdateTensorRTProviderOptionsWithValue(OrtTensorRTProviderOptionsV2* options, const char* key, void* value) {
  return update_with_value(*options, key, value);
}
OrtStatus* SessionOptionsAppendExecutionProvider_TensorRT_V2(OrtSessionOptions* session, const OrtTensorRTProviderOptionsV2* options) {
  return append(session, Provider::kTensorRt, *options);
}
void ReleaseTensorRTProviderOptions(OrtTensorRTProviderOptionsV2* options) { delete options; }

}  // namespace stand_in
