// What was asked of the stand-in, for tests. Guarded by the stand-in's one mutex.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>

#include "software_cuda.h"

namespace software_cuda {

struct Settings;

struct KernelCounts {
  uint64_t launches = 0;
  uint64_t run = 0;
  std::map<std::string, uint64_t> traffic;  // with SOFTWARE_CUDA_COUNT=1: sums over the launches
};

class Statistics {
 public:
  SoftwareCudaCounts counts{};
  std::map<std::string, KernelCounts> kernels;
  std::map<int, uint64_t> launches_by_device;
  std::map<std::string, uint64_t> calls;          // by the call's name
  std::map<std::string, uint64_t> after_failure;  // by the call's name
  std::deque<std::string> failures;               // of contexts: what killed them

  // Against the driver's rules, or against what makes a program correct; told to tests, not to the caller.
  void misuse(const std::string& text);
  const std::deque<std::string>& misuses() const { return misuses_; }
  void reset();
  void allocated(uint64_t bytes);
  void released(uint64_t bytes);
  std::string json(const Settings& settings) const;

 private:
  std::deque<std::string> misuses_;  // the first ones
};

}  // namespace software_cuda
