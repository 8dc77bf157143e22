// Handles that are never addresses and never used twice, so that one that was destroyed is told from one that never was.
#pragma once

#include <cstdint>
#include <cstdio>
#include <map>
#include <string>

#include "cuda_api.h"

namespace software_cuda {

template <typename T>
class Handles {
 public:
  // Bit 62 makes what follows such a pointer crash.
  Handles(uint64_t kind, const char* name) : first_((uint64_t{1} << 62) | (kind << 40)), name_(name) {}

  uint64_t add(T object) {
    const uint64_t handle = first_ + ++count_ * kStep;
    live_.emplace(handle, std::move(object));
    return handle;
  }
  const T* find(uint64_t handle) const {
    const auto found = live_.find(handle);
    return found == live_.end() ? nullptr : &found->second;
  }
  const T* find(Handle handle) const { return find(reinterpret_cast<uint64_t>(handle)); }
  void remove(uint64_t handle) { live_.erase(handle); }
  void remove(Handle handle) { remove(reinterpret_cast<uint64_t>(handle)); }
  template <typename Condition>
  void remove_if(Condition condition) {
    std::erase_if(live_, [&condition](const auto& entry) { return condition(entry.second); });
  }
  size_t size() const { return live_.size(); }
  const std::map<uint64_t, T>& all() const { return live_; }

  // Of one that is not live.
  std::string describe(Handle handle) const {
    const auto value = reinterpret_cast<uint64_t>(handle);
    char hex[32];
    std::snprintf(hex, sizeof hex, "0x%llx", static_cast<unsigned long long>(value));
    const bool was = value > first_ && value <= first_ + count_ * kStep && (value - first_) % kStep == 0;
    return std::string("the ") + name_ + " " + hex + (was ? " was destroyed before" : " never was one");
  }

 private:
  static constexpr uint64_t kStep = 16;
  uint64_t first_;
  uint64_t count_ = 0;
  const char* name_;
  std::map<uint64_t, T> live_;
};

}  // namespace software_cuda
