// Allocations that fail on demand: failing_new.cc replaces the program's operator new.
#pragma once

#include <cstdint>

// While it lives, the thread's allocations through operator new fail once so many have succeeded.
class FailingNew {
 public:
  explicit FailingNew(int64_t successes);
  FailingNew(const FailingNew&) = delete;
  FailingNew& operator=(const FailingNew&) = delete;
  ~FailingNew();
};
