// Slots of ONNX Runtime's table that the stand-in offers whether or not the product's own table (runtime/ort_api.h) has them.
#pragma once

#include "runtime/ort_api.h"

// STAND_IN_ORT(slot, name, return type, parameters)
#define STAND_IN_MORE_FUNCTIONS(STAND_IN_ORT)                                                                                          \
  STAND_IN_ORT(3, CreateEnv, OrtStatus*, (int level, const char* id, OrtEnv**))                                                        \
  STAND_IN_ORT(68, CreateMemoryInfo, OrtStatus*, (const char* name, int allocator_type, int id, int memory_type, OrtMemoryInfo**))     \
  STAND_IN_ORT(92, ReleaseEnv, void, (OrtEnv*))                                                                                        \
  STAND_IN_ORT(141, ClearBoundInputs, void, (OrtIoBinding*))                                                                           \
  STAND_IN_ORT(142, ClearBoundOutputs, void, (OrtIoBinding*))                                                                          \
  STAND_IN_ORT(261, UpdateTensorRTProviderOptionsWithValue, OrtStatus*, (OrtTensorRTProviderOptionsV2*, const char* key, void* value)) \
  STAND_IN_ORT(263, UpdateCUDAProviderOptionsWithValue, OrtStatus*, (OrtCUDAProviderOptionsV2*, const char* key, void* value))
