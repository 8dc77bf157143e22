// The part of CUDA's driver interface that the stand-in offers, written by hand: no toolkit is needed to build it. api_test.cc compares the
// numbers with cuda.h where one is installed. Names of calls are the library's own, with the _v2 that cuda.h hides behind macros.
#pragma once

#include <cstddef>
#include <cstdint>

namespace software_cuda {

enum Result : int {
  kSuccess = 0,
  kInvalidValue = 1,
  kOutOfMemory = 2,
  kNotInitialized = 3,
  kNoDevice = 100,
  kInvalidDevice = 101,
  kInvalidImage = 200,
  kInvalidContext = 201,
  kNoBinaryForGpu = 209,
  kInvalidPtx = 218,
  kUnsupportedPtxVersion = 222,
  kInvalidHandle = 400,
  kNotFound = 500,
  kNotReady = 600,
  kIllegalAddress = 700,
  kLaunchOutOfResources = 701,
  kMisalignedAddress = 716,
  kLaunchFailed = 719,
  kNotSupported = 801,
  kUnknown = 999,
};

enum DeviceAttribute : int {
  kMaxThreadsPerBlock = 1,
  kMaxBlockDimX = 2,
  kMaxBlockDimY = 3,
  kMaxBlockDimZ = 4,
  kMaxGridDimX = 5,
  kMaxGridDimY = 6,
  kMaxGridDimZ = 7,
  kMaxSharedMemoryPerBlock = 8,
  kTotalConstantMemory = 9,
  kWarpSize = 10,
  kMaxRegistersPerBlock = 12,
  kClockRate = 13,
  kMultiprocessorCount = 16,
  kIntegrated = 18,
  kCanMapHostMemory = 19,
  kComputeMode = 20,
  kConcurrentKernels = 31,
  kEccEnabled = 32,
  kPciBusId = 33,
  kPciDeviceId = 34,
  kMemoryClockRate = 36,
  kGlobalMemoryBusWidth = 37,
  kL2CacheSize = 38,
  kMaxThreadsPerMultiprocessor = 39,
  kAsyncEngineCount = 40,
  kUnifiedAddressing = 41,
  kPciDomainId = 50,
  kComputeCapabilityMajor = 75,
  kComputeCapabilityMinor = 76,
  kStreamPrioritiesSupported = 78,
  kMaxSharedMemoryPerMultiprocessor = 81,
  kMaxRegistersPerMultiprocessor = 82,
  kManagedMemory = 83,
  kPageableMemoryAccess = 88,
  kMaxSharedMemoryPerBlockOptin = 97,
  kMaxBlocksPerMultiprocessor = 106,
  kReservedSharedMemoryPerBlock = 111,
};

enum FunctionAttribute : int {
  kFunctionMaxThreadsPerBlock = 0,
  kFunctionSharedBytes = 1,
  kFunctionConstantBytes = 2,
  kFunctionLocalBytes = 3,
  kFunctionRegisters = 4,
  kFunctionPtxVersion = 5,
  kFunctionBinaryVersion = 6,
  kFunctionMaxDynamicSharedBytes = 8,
  kFunctionSharedCarveout = 9,
};

inline constexpr unsigned kStreamNonBlocking = 1;
inline constexpr unsigned kEventBlockingSync = 1;
inline constexpr unsigned kEventDisableTiming = 2;
inline constexpr unsigned kEventInterprocess = 4;

struct Uuid {
  unsigned char bytes[16];
};

// Handles are numbers for the stand-in, never addresses: what follows them crashes.
using DeviceOrdinal = int;
using DeviceAddress = uint64_t;
using Handle = void*;
using ContextHandle = Handle;
using ModuleHandle = Handle;
using FunctionHandle = Handle;
using StreamHandle = Handle;
using EventHandle = Handle;

}  // namespace software_cuda

#define SOFTWARE_CUDA_CALL extern "C" __attribute__((visibility("default"))) int

// SOFTWARE_CUDA(name, parameters): every call of the driver that the library exports.
#define SOFTWARE_CUDA_FUNCTIONS(SOFTWARE_CUDA)                                                                                                                \
  SOFTWARE_CUDA(cuInit, (unsigned flags))                                                                                                                     \
  SOFTWARE_CUDA(cuDriverGetVersion, (int* version))                                                                                                           \
  SOFTWARE_CUDA(cuGetErrorName, (int error, const char** name))                                                                                               \
  SOFTWARE_CUDA(cuGetErrorString, (int error, const char** text))                                                                                             \
  SOFTWARE_CUDA(cuDeviceGetCount, (int* count))                                                                                                               \
  SOFTWARE_CUDA(cuDeviceGet, (software_cuda::DeviceOrdinal * device, int ordinal))                                                                            \
  SOFTWARE_CUDA(cuDeviceGetName, (char* name, int bytes, software_cuda::DeviceOrdinal device))                                                                \
  SOFTWARE_CUDA(cuDeviceGetAttribute, (int* value, int attribute, software_cuda::DeviceOrdinal device))                                                       \
  SOFTWARE_CUDA(cuDeviceTotalMem_v2, (size_t * bytes, software_cuda::DeviceOrdinal device))                                                                   \
  SOFTWARE_CUDA(cuDeviceGetUuid, (software_cuda::Uuid * uuid, software_cuda::DeviceOrdinal device))                                                           \
  SOFTWARE_CUDA(cuDeviceGetUuid_v2, (software_cuda::Uuid * uuid, software_cuda::DeviceOrdinal device))                                                        \
  SOFTWARE_CUDA(cuDevicePrimaryCtxRetain, (software_cuda::ContextHandle * context, software_cuda::DeviceOrdinal device))                                      \
  SOFTWARE_CUDA(cuDevicePrimaryCtxRelease_v2, (software_cuda::DeviceOrdinal device))                                                                          \
  SOFTWARE_CUDA(cuCtxSetCurrent, (software_cuda::ContextHandle context))                                                                                      \
  SOFTWARE_CUDA(cuCtxGetCurrent, (software_cuda::ContextHandle * context))                                                                                    \
  SOFTWARE_CUDA(cuModuleLoadData, (software_cuda::ModuleHandle * module, const void* image))                                                                  \
  SOFTWARE_CUDA(cuModuleUnload, (software_cuda::ModuleHandle module))                                                                                         \
  SOFTWARE_CUDA(cuModuleGetFunction, (software_cuda::FunctionHandle * function, software_cuda::ModuleHandle module, const char* name))                        \
  SOFTWARE_CUDA(cuFuncGetAttribute, (int* value, int attribute, software_cuda::FunctionHandle function))                                                      \
  SOFTWARE_CUDA(cuFuncSetAttribute, (software_cuda::FunctionHandle function, int attribute, int value))                                                       \
  SOFTWARE_CUDA(cuMemAlloc_v2, (software_cuda::DeviceAddress * address, size_t bytes))                                                                        \
  SOFTWARE_CUDA(cuMemFree_v2, (software_cuda::DeviceAddress address))                                                                                         \
  SOFTWARE_CUDA(cuMemGetInfo_v2, (size_t * free, size_t * total))                                                                                             \
  SOFTWARE_CUDA(cuMemHostAlloc, (void** data, size_t bytes, unsigned flags))                                                                                  \
  SOFTWARE_CUDA(cuMemFreeHost, (void* data))                                                                                                                  \
  SOFTWARE_CUDA(cuMemcpyHtoDAsync_v2, (software_cuda::DeviceAddress to, const void* from, size_t bytes, software_cuda::StreamHandle stream))                  \
  SOFTWARE_CUDA(cuMemcpyDtoHAsync_v2, (void* to, software_cuda::DeviceAddress from, size_t bytes, software_cuda::StreamHandle stream))                        \
  SOFTWARE_CUDA(cuMemcpyDtoDAsync_v2, (software_cuda::DeviceAddress to, software_cuda::DeviceAddress from, size_t bytes, software_cuda::StreamHandle stream)) \
  SOFTWARE_CUDA(cuMemsetD8Async, (software_cuda::DeviceAddress to, unsigned char value, size_t bytes, software_cuda::StreamHandle stream))                    \
  SOFTWARE_CUDA(cuStreamCreate, (software_cuda::StreamHandle * stream, unsigned flags))                                                                       \
  SOFTWARE_CUDA(cuStreamDestroy_v2, (software_cuda::StreamHandle stream))                                                                                     \
  SOFTWARE_CUDA(cuStreamSynchronize, (software_cuda::StreamHandle stream))                                                                                    \
  SOFTWARE_CUDA(cuStreamWaitEvent, (software_cuda::StreamHandle stream, software_cuda::EventHandle event, unsigned flags))                                    \
  SOFTWARE_CUDA(cuStreamQuery, (software_cuda::StreamHandle stream))                                                                                          \
  SOFTWARE_CUDA(cuEventCreate, (software_cuda::EventHandle * event, unsigned flags))                                                                          \
  SOFTWARE_CUDA(cuEventDestroy_v2, (software_cuda::EventHandle event))                                                                                        \
  SOFTWARE_CUDA(cuEventRecord, (software_cuda::EventHandle event, software_cuda::StreamHandle stream))                                                        \
  SOFTWARE_CUDA(cuEventQuery, (software_cuda::EventHandle event))                                                                                             \
  SOFTWARE_CUDA(cuEventSynchronize, (software_cuda::EventHandle event))                                                                                       \
  SOFTWARE_CUDA(cuLaunchKernel,                                                                                                                               \
                (software_cuda::FunctionHandle function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,               \
                 unsigned block_z, unsigned shared_bytes, software_cuda::StreamHandle stream, void** parameters, void** extra))

#ifndef SOFTWARE_CUDA_NUMBERS_ONLY  // api_test.cc, beside cuda.h's own declarations
#define SOFTWARE_CUDA_DECLARE(name, parameters) SOFTWARE_CUDA_CALL name parameters;
SOFTWARE_CUDA_FUNCTIONS(SOFTWARE_CUDA_DECLARE)
#undef SOFTWARE_CUDA_DECLARE
#endif
