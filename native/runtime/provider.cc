#include "runtime/provider.h"

#include <dlfcn.h>
#include <link.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string_view>
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

// Of "a:1x3x224x224,b:1x4" what stands for `input`, or ''. Names may have colons, shapes and commas have no part in them.
std::string profile_of(const OptionMap& options, const char* key, const std::string& input) {
  const auto option = options.find(key);
  std::stringstream entries(option == options.end() ? "" : option->second);
  for (std::string entry; std::getline(entries, entry, ',');) {
    if (const size_t colon = entry.rfind(':'); colon != std::string::npos && entry.substr(0, colon) == input) return entry.substr(colon + 1);
  }
  return "";
}

// "1x3x224x224"
std::vector<int64_t> numbers(const std::string& shape) {
  std::vector<int64_t> result;
  std::stringstream parts(shape);
  for (std::string part; std::getline(parts, part, 'x');) result.push_back(std::strtoll(part.c_str(), nullptr, 10));
  return result;
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

void check_profile(const ProviderChoice& choice, const std::string& input, const std::vector<int64_t>& dims) {
  if (choice.provider != Provider::kTensorRt) return;
  const std::string least = profile_of(choice.options, "trt_profile_min_shapes", input);
  const std::string most = profile_of(choice.options, "trt_profile_max_shapes", input);
  const std::vector<int64_t> from = numbers(least);
  const std::vector<int64_t> to = numbers(most);
  if (from.empty() || to.empty()) return;
  bool inside = from.size() == dims.size() && to.size() == dims.size();
  for (size_t i = 0; inside && i < dims.size(); i++) inside = from[i] <= dims[i] && dims[i] <= to[i];
  if (inside) return;
  std::string received;
  for (const int64_t dim : dims) {
    if (!received.empty()) received += 'x';
    received += std::to_string(dim);
  }
  throw Error(ErrorCode::kModelShape, "Expected a shape from " + least + " to " + most + ", the profile of the TensorRT engine, for the model's input '" +
                                          input + "' but received " + received);
}

std::string why_unavailable(const ort::Api& api, Provider provider) {
  if (provider == Provider::kCpu) return "";
  ort::SessionOptions session(api);
  if (const std::string reason = ort::message_of(api, api.CreateSessionOptions(session.out())); !reason.empty()) return reason;
  return provider == Provider::kCuda ? append<CudaFunctions>(api, session.get(), {}, nullptr) : append<TensorRtFunctions>(api, session.get(), {}, nullptr);
}

std::string tensorrt_version() {
  std::string path;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* result) {
        const std::string_view name = info->dlpi_name;
        if (!name.substr(name.rfind('/') + 1).starts_with("libnvinfer.so")) return 0;
        *static_cast<std::string*>(result) = name;
        return 1;
      },
      &path);
  void* handle = path.empty() ? nullptr : dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
  if (!handle) return "";
  const auto version_of = reinterpret_cast<int32_t (*)()>(dlsym(handle, "getInferLibVersion"));
  const int32_t version = version_of ? version_of() : 0;
  dlclose(handle);  // which only counts
  if (version <= 0) return "";
  // 8601 is 8.6.1; since 10 there is a digit more: 100300 is 10.3.0.
  const int32_t major_unit = version < 10000 ? 1000 : 10000;
  return std::to_string(version / major_unit) + '.' + std::to_string(version % major_unit / 100) + '.' + std::to_string(version % 100);
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
