#include "runtime/handle.h"

namespace manyscale::runtime::ort {
namespace {

// The runtime has no code for it: its arena says "Failed to allocate memory for requested buffer of size", the standard
// library "std::bad_alloc".
bool says_out_of_memory(const std::string& message) {
  return message.find("Failed to allocate memory") != std::string::npos || message.find("bad_alloc") != std::string::npos;
}

}  // namespace

std::string message_of(const Api& api, OrtStatus* status) {
  const Status owner(api, status);
  if (!owner) return "";
  const char* text = api.GetErrorMessage(status);
  return text && *text ? text : "an error without a message";
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
