// The library's only entry: the table of functions by their slots.
#include <array>
#include <cstdint>
#include <cstdio>
#include <mutex>
#include <utility>

#include "api.h"

namespace stand_in {
namespace {

constexpr size_t kSlots = 400;

// A slot that the stand-in does not offer. Whatever its parameters are, its result is a status or is not looked at.
template <size_t kSlot>
OrtStatus* not_offered() {
  return violation("slot " + std::to_string(kSlot) + " of the interface is not offered by the stand-in for libonnxruntime");
}

template <size_t... kIndex>
std::array<void*, kSlots> make_table(std::index_sequence<kIndex...>) {
  std::array<void*, kSlots> table{reinterpret_cast<void*>(&not_offered<kIndex>)...};
#define STAND_IN_FILL(slot, name, result, parameters) table[slot] = reinterpret_cast<void*>(&name);
  MANYSCALE_ORT_FUNCTIONS(STAND_IN_FILL)
  STAND_IN_MORE_FUNCTIONS(STAND_IN_FILL)
#undef STAND_IN_FILL
  return table;
}

const char* get_version() {
  const std::lock_guard lock(state().mutex);
  return state().faults.version.c_str();
}

const void* get_api(uint32_t version) {
  unsigned major = 0;
  unsigned minor = 0;
  std::sscanf(get_version(), "%u.%u", &major, &minor);
  if (version == 0 || version > minor) return nullptr;
  static const std::array<void*, kSlots>& table = *new std::array<void*, kSlots>(make_table(std::make_index_sequence<kSlots>()));
  return table.data();
}

}  // namespace
}  // namespace stand_in

extern "C" __attribute__((visibility("default"))) const manyscale::runtime::ort::ApiBase* OrtGetApiBase() {
  static std::once_flag once;
  std::call_once(once, [] {
    stand_in::Faults faults;
    stand_in::read_faults(faults);
    const std::lock_guard lock(stand_in::state().mutex);
    stand_in::state().faults = faults;
  });
  static const manyscale::runtime::ort::ApiBase base{stand_in::get_api, stand_in::get_version};
  return &base;
}
