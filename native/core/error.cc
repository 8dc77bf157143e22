#include "core/error.h"

namespace manyscale {

const char* error_code_name(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::kInvalidArgument: return "ERR_INVALID_ARGUMENT";
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

}  // namespace manyscale
