// What ONNX Runtime computes on, and how a session is told.
#pragma once

#include <map>
#include <string>

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

// Why a provider of this library cannot be used on this machine, in the runtime's words, or '' when its libraries load. It
// says nothing about a device: a run does.
std::string why_unavailable(const ort::Api& api, Provider provider);

// Adds the provider to a session's options. Error kDeviceUnavailable with the runtime's own reason.
void append_provider(const Library& library, OrtSessionOptions* session_options, const ProviderChoice& choice);

}  // namespace manyscale::runtime
