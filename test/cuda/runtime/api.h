// The functions of the interface: those that the product uses, by its own table, so that a slot which it gains and the stand-in lacks does
// not link; and a few that it may come to use.
#pragma once

#include "state.h"

// STAND_IN_ORT(slot, name, return type, parameters)
#define STAND_IN_MORE_FUNCTIONS(STAND_IN_ORT)                                                                                    \
  STAND_IN_ORT(3, CreateEnv, OrtStatus*, (int level, const char* id, OrtEnv**))                                                  \
  STAND_IN_ORT(68, CreateMemoryInfo, OrtStatus*, (const char* name, int allocator_type, int id, int memory_type, OrtMemoryInfo**)) \
  STAND_IN_ORT(92, ReleaseEnv, void, (OrtEnv*))                                                                                  \
  STAND_IN_ORT(141, ClearBoundInputs, void, (OrtIoBinding*))                                                                     \
  STAND_IN_ORT(142, ClearBoundOutputs, void, (OrtIoBinding*))                                                                    \
  STAND_IN_ORT(261, UpdateTensorRTProviderOptionsWithValue, OrtStatus*, (OrtTensorRTProviderOptionsV2*, const char* key, void* value)) \
  STAND_IN_ORT(263, UpdateCUDAProviderOptionsWithValue, OrtStatus*, (OrtCUDAProviderOptionsV2*, const char* key, void* value))

namespace stand_in {

using manyscale::runtime::ort::Logger;

#define STAND_IN_DECLARE(slot, name, result, parameters) result name parameters;
MANYSCALE_ORT_FUNCTIONS(STAND_IN_DECLARE)
STAND_IN_MORE_FUNCTIONS(STAND_IN_DECLARE)
#undef STAND_IN_DECLARE

char* copy_text(const std::string& text);  // for AllocatorFree
std::string shape_text(const std::vector<int64_t>& dims);


}  // namespace stand_in
