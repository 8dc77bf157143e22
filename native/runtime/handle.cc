#include "runtime/handle.h"

#include <cstdlib>
#include <string_view>

namespace manyscale::runtime::ort {
namespace {

bool has(const std::string& message, std::string_view part) { return message.find(part) != std::string::npos; }

// The runtime has no code for it: its arena says "Failed to allocate memory for requested buffer of size" and, at a limit, "Available
// memory of 1 is smaller than requested bytes of 2", the standard library "std::bad_alloc", CUDA "CUDA failure 2: out of memory".
bool says_out_of_memory(const std::string& message) {
  return has(message, "Failed to allocate memory") || has(message, "smaller than requested bytes") || has(message, "bad_alloc") ||
         has(message, "CUDA failure 2:") || has(message, "CUBLAS_STATUS_ALLOC_FAILED");
}

// Errors after which a context is dead: "CUDA failure 700: an illegal memory access was encountered".
bool says_device_failed(const std::string& message) {
  constexpr std::string_view kMark = "CUDA failure ";
  const size_t mark = message.find(kMark);
  if (mark == std::string::npos) return false;
  const int error = std::atoi(message.c_str() + mark + kMark.size());
  return error == 700 || error == 702 || error == 710 || (error >= 714 && error <= 719) || error == 999;
}

// Without what only the runtime's authors can use: the place in their sources that some messages start with, as in
// "/onnxruntime_src/a.cc:12 Provider::Get() [ONNXRuntimeError] : 1 : FAIL : Failed to load ...", and line breaks at the end.
std::string tidy(std::string message) {
  constexpr std::string_view kMark = "[ONNXRuntimeError] : ";
  if (const size_t mark = message.find(kMark); mark != std::string::npos && message.find(".cc:") < mark) {
    size_t start = mark + kMark.size();
    for (int part = 0; part < 2 && start != std::string::npos; part++) {  // the code and its name
      start = message.find(" : ", start);
      if (start != std::string::npos) start += 3;
    }
    if (start != std::string::npos) message.erase(0, start);
  }
  // CUDA's errors end with the machine and the place: "CUDA failure 2: out of memory ; GPU=0 ; hostname=a ; file=b.cc ; line=1".
  if (const size_t place = message.find("; hostname="); place != std::string::npos) message.erase(place);
  message.erase(message.find_last_not_of(" \n\r\t") + 1);
  return message.empty() ? "an error without a message" : message;
}

}  // namespace

std::string message_of(const Api& api, OrtStatus* status) {
  const Status owner(api, status);
  if (!owner) return "";
  const char* text = api.GetErrorMessage(status);
  return tidy(text ? text : "");
}

void throw_failure(ErrorCode code, const std::string& expectation, const std::string& message) {
  if (says_device_failed(message))
    code = ErrorCode::kDeviceFailed;
  else if (says_out_of_memory(message))
    code = ErrorCode::kOutOfMemory;
  throw Error(code, "Expected " + expectation + " but received from ONNX Runtime: " + message);
}

void check(const Api& api, OrtStatus* status, ErrorCode code, const std::string& expectation) {
  if (status) throw_failure(code, expectation, message_of(api, status));
}

std::string take_text(const Api& api, OrtAllocator* allocator, char* text) {
  const std::string copy = text ? text : "";
  if (text) message_of(api, api.AllocatorFree(allocator, text));
  return copy;
}

}  // namespace manyscale::runtime::ort
