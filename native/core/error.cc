#include "core/error.h"

#include <exception>
#include <new>
#include <sstream>

namespace manyscale {
namespace {

// Made ahead: where memory has run out, a message may find none either. Leaked: nothing is destroyed at exit.
const Error& kOutOfMemory =
    *new Error(ErrorCode::kOutOfMemory, "Expected enough memory for the call but received an allocation failure; use smaller scales or fewer images at once");

}  // namespace

const char* error_code_name(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::kInvalidArgument: return "ERR_INVALID_ARGUMENT";
    case ErrorCode::kImageTooLarge: return "ERR_IMAGE_TOO_LARGE";
    case ErrorCode::kPlanTooLarge: return "ERR_PLAN_TOO_LARGE";
    case ErrorCode::kModelLoad: return "ERR_MODEL_LOAD";
    case ErrorCode::kModelShape: return "ERR_MODEL_SHAPE";
    case ErrorCode::kModelRun: return "ERR_MODEL_RUN";
    case ErrorCode::kRuntimeUnavailable: return "ERR_RUNTIME_UNAVAILABLE";
    case ErrorCode::kDeviceUnavailable: return "ERR_DEVICE_UNAVAILABLE";
    case ErrorCode::kDeviceFailed: return "ERR_DEVICE_FAILED";
    case ErrorCode::kOutOfMemory: return "ERR_OUT_OF_MEMORY";
    case ErrorCode::kDisposed: return "ERR_DISPOSED";
    case ErrorCode::kCancelled: return "ERR_CANCELLED";
  }
  return "ERR_INVALID_ARGUMENT";
}

std::string number_text(double value) {
  std::ostringstream text;
  text << value;
  return text.str();
}

Error current_error() {
  try {
    throw;
  } catch (const Error& error) {
    return error;
  } catch (const std::bad_alloc&) {
    return kOutOfMemory;
  } catch (const std::length_error&) {  // more elements than any container can have
    return kOutOfMemory;
  } catch (const std::exception& error) {  // of the system: no thread could be started
    try {
      return Error(ErrorCode::kDeviceFailed, std::string("Expected the call to succeed but received an unexpected failure: ") + error.what());
    } catch (const std::bad_alloc&) {
      return kOutOfMemory;
    }
  }
}

}  // namespace manyscale
