// What ONNX Runtime computes on, and how a session is told.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

struct OrtSessionOptions;

namespace manyscale::runtime {

class Library;

namespace ort {
struct Api;
}

enum class Provider { kCpu, kCuda, kTensorRt };

const char* provider_name(Provider provider) noexcept;  // 'cpu', 'cuda', 'tensorrt'

struct ProviderChoice {
  Provider provider = Provider::kCpu;
  int device = 0;
  void* stream = nullptr;                      // a CUstream that all work is asked of; null: the provider's own
  std::map<std::string, std::string> options;  // the provider's own names and values; they go over the defaults here
  bool strict = false;                         // no node of the graph may go to the CPU's provider

  bool graphs() const;  // whether runs may be captured as CUDA graphs
  bool operator==(const ProviderChoice&) const = default;
};

// Error kModelShape for an input that lies outside the profile that `choice` gives TensorRT: it would build another engine, for
// minutes, in the middle of a run. Without a profile nothing is refused.
void check_profile(const ProviderChoice& choice, const std::string& input, const std::vector<int64_t>& dims);

// Why a provider of this library cannot be used on this machine, in the runtime's words, or '' when its libraries load. It
// says nothing about a device: a run does.
std::string why_unavailable(const ort::Api& api, Provider provider);

// Of the TensorRT that is in the process, as after its provider was found to work: '10.3.0'; '' where there is none.
std::string tensorrt_version();

// Adds the provider to a session's options. Error kDeviceUnavailable with the runtime's own reason.
void append_provider(const Library& library, OrtSessionOptions* session_options, const ProviderChoice& choice);

}  // namespace manyscale::runtime
