#include "runtime/handle.h"

#include <string_view>

namespace manyscale::runtime::ort {
namespace {

// The runtime has no code for it: its arena says "Failed to allocate memory for requested buffer of size", the standard
// library "std::bad_alloc".
bool says_out_of_memory(const std::string& message) {
  return message.find("Failed to allocate memory") != std::string::npos || message.find("bad_alloc") != std::string::npos;
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
  throw Error(says_out_of_memory(message) ? ErrorCode::kOutOfMemory : code, "Expected " + expectation + " but received from ONNX Runtime: " + message);
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
