// The part of CUDA's driver interface that is used here, written by hand: the library is opened at run time, and neither a toolkit nor its
// headers are needed to build. Names are the library's own, with the _v2 that cuda.h hides behind macros. Source: cuda.h, CUDA 11.8 to 13.0.
#pragma once

#include <cstddef>
#include <cstdint>

namespace manyscale::cuda {

using DeviceHandle = int;
using DeviceAddress = uint64_t;
using ContextHandle = struct CUctx_st*;
using ModuleHandle = struct CUmod_st*;
using FunctionHandle = struct CUfunc_st*;
using StreamHandle = struct CUstream_st*;
using EventHandle = struct CUevent_st*;

struct Uuid {
  unsigned char bytes[16];
};

// CUresult
inline constexpr int kSuccess = 0;
inline constexpr int kErrorOutOfMemory = 2;
inline constexpr int kErrorNoDevice = 100;
inline constexpr int kErrorInvalidImage = 200;
inline constexpr int kErrorNoBinaryForGpu = 209;
inline constexpr int kErrorInvalidPtx = 218;
inline constexpr int kErrorUnsupportedPtxVersion = 222;
inline constexpr int kErrorNotFound = 500;
inline constexpr int kErrorNotReady = 600;
// CUdevice_attribute
inline constexpr int kMultiprocessorCount = 16;
inline constexpr int kIntegrated = 18;
inline constexpr int kL2CacheSize = 38;
inline constexpr int kComputeCapabilityMajor = 75;
inline constexpr int kComputeCapabilityMinor = 76;
// CUfunction_attribute
inline constexpr int kFunctionMaxDynamicSharedBytes = 8;
// Flags of memory, streams and events
inline constexpr unsigned kHostAllocPortable = 1;
inline constexpr unsigned kStreamNonBlocking = 1;
inline constexpr unsigned kEventBlockingSync = 1;
inline constexpr unsigned kEventDisableTiming = 2;
// Of cuLaunchKernel's `extra`
inline void* const kLaunchParametersEnd = nullptr;
inline void* const kLaunchParametersPointer = reinterpret_cast<void*>(1);
inline void* const kLaunchParametersSize = reinterpret_cast<void*>(2);

// MANYSCALE_CUDA_CALL(name, parameters): all return a CUresult.
#define MANYSCALE_CUDA_FUNCTIONS(MANYSCALE_CUDA_CALL)                                                                                                  \
  MANYSCALE_CUDA_CALL(cuInit, (unsigned flags))                                                                                                        \
  MANYSCALE_CUDA_CALL(cuDriverGetVersion, (int* version))                                                                                              \
  MANYSCALE_CUDA_CALL(cuGetErrorName, (int error, const char** name))                                                                                  \
  MANYSCALE_CUDA_CALL(cuGetErrorString, (int error, const char** text))                                                                                \
  MANYSCALE_CUDA_CALL(cuDeviceGetCount, (int* count))                                                                                                  \
  MANYSCALE_CUDA_CALL(cuDeviceGet, (DeviceHandle * device, int ordinal))                                                                               \
  MANYSCALE_CUDA_CALL(cuDeviceGetName, (char* name, int bytes, DeviceHandle device))                                                                   \
  MANYSCALE_CUDA_CALL(cuDeviceGetAttribute, (int* value, int attribute, DeviceHandle device))                                                          \
  MANYSCALE_CUDA_CALL(cuDeviceTotalMem_v2, (size_t * bytes, DeviceHandle device))                                                                      \
  MANYSCALE_CUDA_CALL(cuDeviceGetUuid, (Uuid * uuid, DeviceHandle device))                                                                             \
  MANYSCALE_CUDA_CALL(cuDevicePrimaryCtxRetain, (ContextHandle * context, DeviceHandle device))                                                        \
  MANYSCALE_CUDA_CALL(cuDevicePrimaryCtxRelease_v2, (DeviceHandle device))                                                                             \
  MANYSCALE_CUDA_CALL(cuCtxSetCurrent, (ContextHandle context))                                                                                        \
  MANYSCALE_CUDA_CALL(cuCtxGetCurrent, (ContextHandle * context))                                                                                      \
  MANYSCALE_CUDA_CALL(cuModuleLoadData, (ModuleHandle * module, const void* image))                                                                    \
  MANYSCALE_CUDA_CALL(cuModuleUnload, (ModuleHandle module))                                                                                           \
  MANYSCALE_CUDA_CALL(cuModuleGetFunction, (FunctionHandle * function, ModuleHandle module, const char* name))                                         \
  MANYSCALE_CUDA_CALL(cuFuncSetAttribute, (FunctionHandle function, int attribute, int value))                                                         \
  MANYSCALE_CUDA_CALL(cuMemAlloc_v2, (DeviceAddress * address, size_t bytes))                                                                          \
  MANYSCALE_CUDA_CALL(cuMemFree_v2, (DeviceAddress address))                                                                                           \
  MANYSCALE_CUDA_CALL(cuMemGetInfo_v2, (size_t * free, size_t * total))                                                                                \
  MANYSCALE_CUDA_CALL(cuMemHostAlloc, (void** data, size_t bytes, unsigned flags))                                                                     \
  MANYSCALE_CUDA_CALL(cuMemFreeHost, (void* data))                                                                                                     \
  MANYSCALE_CUDA_CALL(cuMemcpyHtoDAsync_v2, (DeviceAddress to, const void* from, size_t bytes, StreamHandle stream))                                   \
  MANYSCALE_CUDA_CALL(cuMemcpyDtoHAsync_v2, (void* to, DeviceAddress from, size_t bytes, StreamHandle stream))                                         \
  MANYSCALE_CUDA_CALL(cuMemcpyDtoDAsync_v2, (DeviceAddress to, DeviceAddress from, size_t bytes, StreamHandle stream))                                 \
  MANYSCALE_CUDA_CALL(cuStreamCreate, (StreamHandle * stream, unsigned flags))                                                                         \
  MANYSCALE_CUDA_CALL(cuStreamDestroy_v2, (StreamHandle stream))                                                                                       \
  MANYSCALE_CUDA_CALL(cuStreamSynchronize, (StreamHandle stream))                                                                                      \
  MANYSCALE_CUDA_CALL(cuStreamWaitEvent, (StreamHandle stream, EventHandle event, unsigned flags))                                                     \
  MANYSCALE_CUDA_CALL(cuEventCreate, (EventHandle * event, unsigned flags))                                                                            \
  MANYSCALE_CUDA_CALL(cuEventDestroy_v2, (EventHandle event))                                                                                          \
  MANYSCALE_CUDA_CALL(cuEventRecord, (EventHandle event, StreamHandle stream))                                                                         \
  MANYSCALE_CUDA_CALL(cuEventQuery, (EventHandle event))                                                                                               \
  MANYSCALE_CUDA_CALL(cuEventSynchronize, (EventHandle event))                                                                                         \
  MANYSCALE_CUDA_CALL(cuLaunchKernel, (FunctionHandle function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y, \
                                       unsigned block_z, unsigned shared_bytes, StreamHandle stream, void** parameters, void** extra))

struct DriverApi {
#define MANYSCALE_CUDA_MEMBER(name, parameters) int(*name) parameters = nullptr;
  MANYSCALE_CUDA_FUNCTIONS(MANYSCALE_CUDA_MEMBER)
#undef MANYSCALE_CUDA_MEMBER
};

}  // namespace manyscale::cuda
