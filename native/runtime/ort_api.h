// ONNX Runtime's C interface, as much of it as is used here. The runtime offers one table of function pointers that only
// ever grows at its end, so a function is its slot and its signature, and no header of any one version is needed.
// Source: struct OrtApi in include/onnxruntime/core/session/onnxruntime_c_api.h.
#pragma once

#include <cstddef>
#include <cstdint>

struct OrtAllocator;
struct OrtCUDAProviderOptionsV2;
struct OrtEnv;
struct OrtIoBinding;
struct OrtMemoryInfo;
struct OrtModelMetadata;
struct OrtRunOptions;
struct OrtSession;
struct OrtSessionOptions;
struct OrtStatus;
struct OrtTensorRTProviderOptionsV2;
struct OrtTensorTypeAndShapeInfo;
struct OrtTypeInfo;
struct OrtValue;

namespace manyscale::runtime::ort {

using Logger = void (*)(void* parameter, int severity, const char* category, const char* id, const char* location, const char* message);

inline constexpr int kOldestMinor = 17;  // ONNX Runtime 1.17
inline constexpr int kNewestMinor = 29;  // the newest table that the slots below were checked against
inline constexpr int kLastSlot = 273;    // of the 1.17 table: what stands below is in every version that is accepted

// OrtLoggingLevel
inline constexpr int kLogError = 3;
inline constexpr int kLogFatal = 4;
// GraphOptimizationLevel
inline constexpr int kOptimizeAll = 99;
// ONNXType
inline constexpr int kTensor = 1;
// OrtAllocatorType, OrtMemType
inline constexpr int kDeviceAllocator = 0;
inline constexpr int kDefaultMemory = 0;

// MANYSCALE_ORT(slot, name, return type, parameters)
#define MANYSCALE_ORT_FUNCTIONS(MANYSCALE_ORT)                                                                                                               \
  MANYSCALE_ORT(2, GetErrorMessage, const char*, (const OrtStatus*))                                                                                         \
  MANYSCALE_ORT(4, CreateEnvWithCustomLogger, OrtStatus*, (Logger, void* parameter, int level, const char* id, OrtEnv**))                                    \
  MANYSCALE_ORT(7, CreateSession, OrtStatus*, (const OrtEnv*, const char* path, const OrtSessionOptions*, OrtSession**))                                     \
  MANYSCALE_ORT(8, CreateSessionFromArray, OrtStatus*, (const OrtEnv*, const void* data, size_t bytes, const OrtSessionOptions*, OrtSession**))              \
  MANYSCALE_ORT(9, Run, OrtStatus*,                                                                                                                          \
                (OrtSession*, const OrtRunOptions*, const char* const* input_names, const OrtValue* const* inputs, size_t input_count,                       \
                 const char* const* output_names, size_t output_count, OrtValue** outputs))                                                                  \
  MANYSCALE_ORT(10, CreateSessionOptions, OrtStatus*, (OrtSessionOptions**))                                                                                 \
  MANYSCALE_ORT(22, SetSessionLogSeverityLevel, OrtStatus*, (OrtSessionOptions*, int level))                                                                 \
  MANYSCALE_ORT(23, SetSessionGraphOptimizationLevel, OrtStatus*, (OrtSessionOptions*, int level))                                                           \
  MANYSCALE_ORT(24, SetIntraOpNumThreads, OrtStatus*, (OrtSessionOptions*, int))                                                                             \
  MANYSCALE_ORT(25, SetInterOpNumThreads, OrtStatus*, (OrtSessionOptions*, int))                                                                             \
  MANYSCALE_ORT(30, SessionGetInputCount, OrtStatus*, (const OrtSession*, size_t*))                                                                          \
  MANYSCALE_ORT(31, SessionGetOutputCount, OrtStatus*, (const OrtSession*, size_t*))                                                                         \
  MANYSCALE_ORT(33, SessionGetInputTypeInfo, OrtStatus*, (const OrtSession*, size_t index, OrtTypeInfo**))                                                   \
  MANYSCALE_ORT(34, SessionGetOutputTypeInfo, OrtStatus*, (const OrtSession*, size_t index, OrtTypeInfo**))                                                  \
  MANYSCALE_ORT(36, SessionGetInputName, OrtStatus*, (const OrtSession*, size_t index, OrtAllocator*, char**))                                               \
  MANYSCALE_ORT(37, SessionGetOutputName, OrtStatus*, (const OrtSession*, size_t index, OrtAllocator*, char**))                                              \
  MANYSCALE_ORT(39, CreateRunOptions, OrtStatus*, (OrtRunOptions**))                                                                                         \
  MANYSCALE_ORT(41, RunOptionsSetRunLogSeverityLevel, OrtStatus*, (OrtRunOptions*, int level))                                                               \
  MANYSCALE_ORT(46, RunOptionsSetTerminate, OrtStatus*, (OrtRunOptions*))                                                                                    \
  MANYSCALE_ORT(49, CreateTensorWithDataAsOrtValue, OrtStatus*,                                                                                              \
                (const OrtMemoryInfo*, void* data, size_t bytes, const int64_t* dims, size_t rank, int type, OrtValue**))                                    \
  MANYSCALE_ORT(50, IsTensor, OrtStatus*, (const OrtValue*, int*))                                                                                           \
  MANYSCALE_ORT(51, GetTensorMutableData, OrtStatus*, (OrtValue*, void**))                                                                                   \
  MANYSCALE_ORT(55, CastTypeInfoToTensorInfo, OrtStatus*, (const OrtTypeInfo*, const OrtTensorTypeAndShapeInfo**))                                           \
  MANYSCALE_ORT(56, GetOnnxTypeFromTypeInfo, OrtStatus*, (const OrtTypeInfo*, int*))                                                                         \
  MANYSCALE_ORT(60, GetTensorElementType, OrtStatus*, (const OrtTensorTypeAndShapeInfo*, int*))                                                              \
  MANYSCALE_ORT(61, GetDimensionsCount, OrtStatus*, (const OrtTensorTypeAndShapeInfo*, size_t*))                                                             \
  MANYSCALE_ORT(62, GetDimensions, OrtStatus*, (const OrtTensorTypeAndShapeInfo*, int64_t*, size_t rank))                                                    \
  MANYSCALE_ORT(63, GetSymbolicDimensions, OrtStatus*, (const OrtTensorTypeAndShapeInfo*, const char**, size_t rank))                                        \
  MANYSCALE_ORT(65, GetTensorTypeAndShape, OrtStatus*, (const OrtValue*, OrtTensorTypeAndShapeInfo**))                                                       \
  MANYSCALE_ORT(68, CreateMemoryInfo, OrtStatus*, (const char* name, int allocator_type, int device, int memory_type, OrtMemoryInfo**))                      \
  MANYSCALE_ORT(69, CreateCpuMemoryInfo, OrtStatus*, (int allocator_type, int memory_type, OrtMemoryInfo**))                                                 \
  MANYSCALE_ORT(76, AllocatorFree, OrtStatus*, (OrtAllocator*, void*))                                                                                       \
  MANYSCALE_ORT(78, GetAllocatorWithDefaultOptions, OrtStatus*, (OrtAllocator**))                                                                            \
  MANYSCALE_ORT(93, ReleaseStatus, void, (OrtStatus*))                                                                                                       \
  MANYSCALE_ORT(94, ReleaseMemoryInfo, void, (OrtMemoryInfo*))                                                                                               \
  MANYSCALE_ORT(95, ReleaseSession, void, (OrtSession*))                                                                                                     \
  MANYSCALE_ORT(96, ReleaseValue, void, (OrtValue*))                                                                                                         \
  MANYSCALE_ORT(97, ReleaseRunOptions, void, (OrtRunOptions*))                                                                                               \
  MANYSCALE_ORT(98, ReleaseTypeInfo, void, (OrtTypeInfo*))                                                                                                   \
  MANYSCALE_ORT(99, ReleaseTensorTypeAndShapeInfo, void, (OrtTensorTypeAndShapeInfo*))                                                                       \
  MANYSCALE_ORT(100, ReleaseSessionOptions, void, (OrtSessionOptions*))                                                                                      \
  MANYSCALE_ORT(111, SessionGetModelMetadata, OrtStatus*, (const OrtSession*, OrtModelMetadata**))                                                           \
  MANYSCALE_ORT(112, ModelMetadataGetProducerName, OrtStatus*, (const OrtModelMetadata*, OrtAllocator*, char**))                                             \
  MANYSCALE_ORT(113, ModelMetadataGetGraphName, OrtStatus*, (const OrtModelMetadata*, OrtAllocator*, char**))                                                \
  MANYSCALE_ORT(116, ModelMetadataLookupCustomMetadataMap, OrtStatus*, (const OrtModelMetadata*, OrtAllocator*, const char* key, char**))                    \
  MANYSCALE_ORT(118, ReleaseModelMetadata, void, (OrtModelMetadata*))                                                                                        \
  MANYSCALE_ORT(123, ModelMetadataGetCustomMetadataMapKeys, OrtStatus*, (const OrtModelMetadata*, OrtAllocator*, char***, int64_t* count))                   \
  MANYSCALE_ORT(125, GetAvailableProviders, OrtStatus*, (char***, int* count))                                                                               \
  MANYSCALE_ORT(126, ReleaseAvailableProviders, OrtStatus*, (char**, int count))                                                                             \
  MANYSCALE_ORT(130, AddSessionConfigEntry, OrtStatus*, (OrtSessionOptions*, const char* key, const char* value))                                            \
  MANYSCALE_ORT(133, RunWithBinding, OrtStatus*, (OrtSession*, const OrtRunOptions*, const OrtIoBinding*))                                                   \
  MANYSCALE_ORT(134, CreateIoBinding, OrtStatus*, (OrtSession*, OrtIoBinding**))                                                                             \
  MANYSCALE_ORT(135, ReleaseIoBinding, void, (OrtIoBinding*))                                                                                                \
  MANYSCALE_ORT(136, BindInput, OrtStatus*, (OrtIoBinding*, const char* name, const OrtValue*))                                                              \
  MANYSCALE_ORT(137, BindOutput, OrtStatus*, (OrtIoBinding*, const char* name, const OrtValue*))                                                             \
  MANYSCALE_ORT(165, AddRunConfigEntry, OrtStatus*, (OrtRunOptions*, const char* key, const char* value))                                                    \
  MANYSCALE_ORT(170, SessionOptionsAppendExecutionProvider_TensorRT_V2, OrtStatus*, (OrtSessionOptions*, const OrtTensorRTProviderOptionsV2*))               \
  MANYSCALE_ORT(171, CreateTensorRTProviderOptions, OrtStatus*, (OrtTensorRTProviderOptionsV2**))                                                            \
  MANYSCALE_ORT(172, UpdateTensorRTProviderOptions, OrtStatus*, (OrtTensorRTProviderOptionsV2*, const char* const* keys, const char* const* values, size_t)) \
  MANYSCALE_ORT(174, ReleaseTensorRTProviderOptions, void, (OrtTensorRTProviderOptionsV2*))                                                                  \
  MANYSCALE_ORT(204, SessionOptionsAppendExecutionProvider_CUDA_V2, OrtStatus*, (OrtSessionOptions*, const OrtCUDAProviderOptionsV2*))                       \
  MANYSCALE_ORT(205, CreateCUDAProviderOptions, OrtStatus*, (OrtCUDAProviderOptionsV2**))                                                                    \
  MANYSCALE_ORT(206, UpdateCUDAProviderOptions, OrtStatus*, (OrtCUDAProviderOptionsV2*, const char* const* keys, const char* const* values, size_t))         \
  MANYSCALE_ORT(208, ReleaseCUDAProviderOptions, void, (OrtCUDAProviderOptionsV2*))                                                                          \
  MANYSCALE_ORT(261, UpdateTensorRTProviderOptionsWithValue, OrtStatus*, (OrtTensorRTProviderOptionsV2*, const char* key, void* value))                      \
  MANYSCALE_ORT(263, UpdateCUDAProviderOptionsWithValue, OrtStatus*, (OrtCUDAProviderOptionsV2*, const char* key, void* value))

struct Api {
#define MANYSCALE_ORT_MEMBER(slot, name, result, parameters) \
  result(*name) parameters = nullptr;                        \
  static_assert(slot <= kLastSlot);
  MANYSCALE_ORT_FUNCTIONS(MANYSCALE_ORT_MEMBER)
#undef MANYSCALE_ORT_MEMBER

  // `table` is what GetApi() returned.
  explicit Api(const void* table) {
    const auto slots = static_cast<void* const*>(table);
#define MANYSCALE_ORT_READ(slot, name, result, parameters) name = reinterpret_cast<decltype(name)>(slots[slot]);
    MANYSCALE_ORT_FUNCTIONS(MANYSCALE_ORT_READ)
#undef MANYSCALE_ORT_READ
  }
};

// What OrtGetApiBase(), the library's only entry, returns.
struct ApiBase {
  const void* (*GetApi)(uint32_t version);  // null for a version that the library does not have
  const char* (*GetVersionString)();
};

}  // namespace manyscale::runtime::ort
