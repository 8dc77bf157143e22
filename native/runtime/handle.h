// Ownership and errors of ONNX Runtime's objects.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "core/error.h"
#include "runtime/ort_api.h"

namespace manyscale::runtime::ort {

// An object of the runtime that `Release` of its table frees.
template <typename T, void (*Api::*Release)(T*)>
class Handle {
 public:
  explicit Handle(const Api& api, T* object = nullptr) : api_(&api), object_(object) {}
  Handle(Handle&& other) noexcept : api_(other.api_), object_(other.object_) { other.object_ = nullptr; }
  Handle& operator=(Handle&& other) noexcept {
    std::swap(api_, other.api_);
    std::swap(object_, other.object_);
    return *this;
  }
  ~Handle() {
    if (object_) (api_->*Release)(object_);
  }

  T* get() const noexcept { return object_; }
  T** out() noexcept { return &object_; }  // for a function that creates the object; only while empty
  explicit operator bool() const noexcept { return object_ != nullptr; }

 private:
  const Api* api_;
  T* object_;
};

using IoBinding = Handle<OrtIoBinding, &Api::ReleaseIoBinding>;
using Status = Handle<OrtStatus, &Api::ReleaseStatus>;
using MemoryInfo = Handle<OrtMemoryInfo, &Api::ReleaseMemoryInfo>;
using ModelMetadata = Handle<OrtModelMetadata, &Api::ReleaseModelMetadata>;
using RunOptions = Handle<OrtRunOptions, &Api::ReleaseRunOptions>;
using SessionHandle = Handle<OrtSession, &Api::ReleaseSession>;
using SessionOptions = Handle<OrtSessionOptions, &Api::ReleaseSessionOptions>;
using TensorInfo = Handle<OrtTensorTypeAndShapeInfo, &Api::ReleaseTensorTypeAndShapeInfo>;
using TypeInfo = Handle<OrtTypeInfo, &Api::ReleaseTypeInfo>;
using Value = Handle<OrtValue, &Api::ReleaseValue>;
using CudaOptions = Handle<OrtCUDAProviderOptionsV2, &Api::ReleaseCUDAProviderOptions>;
using TensorRtOptions = Handle<OrtTensorRTProviderOptionsV2, &Api::ReleaseTensorRTProviderOptions>;

// The message of a failure, never empty, or '' for success (null). Takes the status.
std::string message_of(const Api& api, OrtStatus* status);

// Throws kOutOfMemory or kDeviceFailed when that is what the runtime's message says, else `code`; the error's message is "Expected
// <expectation> but received from ONNX Runtime: <message>".
[[noreturn]] void throw_failure(ErrorCode code, const std::string& expectation, const std::string& message);

// throw_failure() unless the status is a success (null). Takes the status.
void check(const Api& api, OrtStatus* status, ErrorCode code, const std::string& expectation);

// Text that the runtime allocated, freed.
std::string take_text(const Api& api, OrtAllocator* allocator, char* text);

}  // namespace manyscale::runtime::ort
