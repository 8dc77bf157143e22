// The one error type of the native code. It is thrown inside the native code only: the addon turns it into a
// JavaScript error with the same code and message, nothing crosses the language boundary as a C++ exception.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace manyscale {

// Stable codes, in the spelling that JavaScript sees (src/errors.ts has the same list).
enum class ErrorCode {
  kInvalidArgument,
  kImageTooLarge,
  kPlanTooLarge,
  kModelLoad,
  kModelShape,
  kModelRun,
  kRuntimeUnavailable,
  kDeviceUnavailable,
  kDeviceFailed,
  kOutOfMemory,
  kDisposed,
  kCancelled,  // never shown to a user: the caller answers with its signal's own reason
};

const char* error_code_name(ErrorCode code) noexcept;

class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

// A number as messages show it: six digits.
std::string number_text(double value);

// The exception that is being handled, as an Error. To be called in a catch block, where C++ ends and a caller is to be told.
Error current_error();

}  // namespace manyscale
