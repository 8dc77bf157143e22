#include "runtime/provider.h"

#include <cstdio>
#include <utility>
#include <vector>

#include "runtime/handle.h"
#include "runtime/library.h"

namespace manyscale::runtime {
namespace {

using OptionMap = std::map<std::string, std::string>;

constexpr const char* kStreamKey = "user_compute_stream";
constexpr const char* kGraphKey = "enable_cuda_graph";
constexpr int kMinorWithTf32AndGraphIds = 18;

// One provider's functions of the runtime.
struct CudaFunctions {
  using Options = ort::CudaOptions;
  static constexpr auto create = &ort::Api::CreateCUDAProviderOptions;
  static constexpr auto update = &ort::Api::UpdateCUDAProviderOptions;
  static constexpr auto update_with_value = &ort::Api::UpdateCUDAProviderOptionsWithValue;
  static constexpr auto append = &ort::Api::SessionOptionsAppendExecutionProvider_CUDA_V2;
};
struct TensorRtFunctions {
  using Options = ort::TensorRtOptions;
  static constexpr auto create = &ort::Api::CreateTensorRTProviderOptions;
  static constexpr auto update = &ort::Api::UpdateTensorRTProviderOptions;
  static constexpr auto update_with_value = &ort::Api::UpdateTensorRTProviderOptionsWithValue;
  static constexpr auto append = &ort::Api::SessionOptionsAppendExecutionProvider_TensorRT_V2;
};

// Appends a provider to a session's options; '' or the reason. Updating the options without a key comes first: that loads the
// provider's library and says why it does not load, which appending would leave out.
template <typename Functions>
std::string append(const ort::Api& api, OrtSessionOptions* session, const OptionMap& options, void* stream) {
  const auto failed = [&api](OrtStatus* status, std::string& reason) { return !(reason = ort::message_of(api, status)).empty(); };
  std::string reason;
  typename Functions::Options provider(api);
  if (failed((api.*Functions::create)(provider.out()), reason)) return reason;
  if (failed((api.*Functions::update)(provider.get(), nullptr, nullptr, 0), reason)) return reason;
  if (!options.empty()) {
    std::vector<const char*> keys;
    std::vector<const char*> values;
    for (const auto& [key, value] : options) {
      keys.push_back(key.c_str());
      values.push_back(value.c_str());
    }
    // All at once: an update sets what it does not name back to the runtime's defaults, the stream too, which therefore comes last.
    if (failed((api.*Functions::update)(provider.get(), keys.data(), values.data(), keys.size()), reason)) return reason;
  }
  if (stream && failed((api.*Functions::update_with_value)(provider.get(), kStreamKey, stream), reason)) return reason;
  return ort::message_of(api, (api.*Functions::append)(session, provider.get()));
}

int minor_of(const Library& library) {
  int minor = 0;
  return std::sscanf(library.version().c_str(), "%*d.%d", &minor) == 1 ? minor : 0;
}

// Results as near to the CPU's as they can be, the same from run to run, and memory by what is asked for.
OptionMap cuda_options(const Library& library, int device, const OptionMap& given) {
  OptionMap options = given;
  options["device_id"] = std::to_string(device);
  if (minor_of(library) >= kMinorWithTf32AndGraphIds) options.try_emplace("use_tf32", "0");
  options.try_emplace("cudnn_conv_algo_search", "HEURISTIC");
  options.try_emplace("arena_extend_strategy", "kSameAsRequested");
  options.try_emplace("do_copy_in_default_stream", "1");  // the runtime's own copies then follow our stream's order
  return options;
}

OptionMap tensorrt_options(int device, const OptionMap& given) {
  OptionMap options = given;
  options["device_id"] = std::to_string(device);
  return options;
}

void check_given(const Library& library, const ProviderChoice& choice) {
  for (const char* key : {"device_id", kStreamKey, "has_user_compute_stream"}) {
    if (!choice.options.contains(key)) continue;
    throw Error(ErrorCode::kInvalidArgument, std::string("Expected provider options without '") + key + "' but received it; it follows from the device");
  }
  if (choice.graphs() && minor_of(library) < kMinorWithTf32AndGraphIds) {
    throw Error(ErrorCode::kDeviceUnavailable, "Expected ONNX Runtime 1." + std::to_string(kMinorWithTf32AndGraphIds) +
                                                   " or newer for CUDA graphs but received " + library.version() + "; leave graphs out or use a newer one");
  }
}

}  // namespace

const char* provider_name(Provider provider) noexcept {
  switch (provider) {
    case Provider::kCuda: return "cuda";
    case Provider::kTensorRt: return "tensorrt";
    case Provider::kCpu: break;
  }
  return "cpu";
}

bool ProviderChoice::graphs() const {
  if (provider != Provider::kCuda) return false;
  const auto option = options.find(kGraphKey);
  return option != options.end() && option->second == "1";
}

std::string why_unavailable(const ort::Api& api, Provider provider) {
  if (provider == Provider::kCpu) return "";
  ort::SessionOptions session(api);
  if (const std::string reason = ort::message_of(api, api.CreateSessionOptions(session.out())); !reason.empty()) return reason;
  return provider == Provider::kCuda ? append<CudaFunctions>(api, session.get(), {}, nullptr) : append<TensorRtFunctions>(api, session.get(), {}, nullptr);
}

void append_provider(const Library& library, OrtSessionOptions* session_options, const ProviderChoice& choice) {
  if (choice.provider == Provider::kCpu) return;
  const ort::Api& api = library.api();
  check_given(library, choice);
  const auto check = [&](const std::string& reason, Provider provider) {
    if (reason.empty()) return;
    ort::throw_failure(ErrorCode::kDeviceUnavailable,
                       std::string("the provider '") + provider_name(provider) + "' of ONNX Runtime " + library.version() + " ('" + library.path() + "')",
                       reason);
  };
  const bool tensorrt = choice.provider == Provider::kTensorRt;
  if (tensorrt) check(append<TensorRtFunctions>(api, session_options, tensorrt_options(choice.device, choice.options), choice.stream), Provider::kTensorRt);
  // Beside TensorRT it takes the nodes that TensorRT leaves over.
  const OptionMap given = tensorrt ? OptionMap{} : choice.options;
  check(append<CudaFunctions>(api, session_options, cuda_options(library, choice.device, given), choice.stream), Provider::kCuda);
  if (!choice.strict) return;
  ort::check(api, api.AddSessionConfigEntry(session_options, "session.disable_cpu_ep_fallback", "1"), ErrorCode::kDeviceUnavailable,
             "a session that leaves nothing to the CPU");
}

}  // namespace manyscale::runtime
