// The interface's functions as a program calls them: those of the product's table, and the few that the stand-in offers beyond it.
#pragma once

#include "more_slots.h"
#include "runtime/ort_api.h"

namespace runtime_test {

using manyscale::runtime::ort::Logger;

struct AllSlots {
#define RUNTIME_TEST_MEMBER(slot, name, result, parameters) result(*name) parameters = nullptr;
  STAND_IN_MORE_FUNCTIONS(RUNTIME_TEST_MEMBER)
#undef RUNTIME_TEST_MEMBER
};

struct Api : manyscale::runtime::ort::Api, AllSlots {
  using AllSlots::CreateMemoryInfo;
  using AllSlots::UpdateCUDAProviderOptionsWithValue;
  using AllSlots::UpdateTensorRTProviderOptionsWithValue;

  explicit Api(const void* table) : manyscale::runtime::ort::Api(table) {
    const auto slots = static_cast<void* const*>(table);
#define RUNTIME_TEST_READ(slot, name, result, parameters) AllSlots::name = reinterpret_cast<decltype(AllSlots::name)>(slots[slot]);
    STAND_IN_MORE_FUNCTIONS(RUNTIME_TEST_READ)
#undef RUNTIME_TEST_READ
  }
};

}  // namespace runtime_test
