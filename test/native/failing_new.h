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

// While it lives, one allocation of the executor's threads fails, or every one from then on, once so many of theirs have succeeded.
class FailingExecutorNew {
 public:
  enum class Failures { kOne, kAll };
  explicit FailingExecutorNew(int64_t successes, Failures failures = Failures::kOne);
  FailingExecutorNew(const FailingExecutorNew&) = delete;
  FailingExecutorNew& operator=(const FailingExecutorNew&) = delete;
  ~FailingExecutorNew();
  bool has_failed() const;
};
