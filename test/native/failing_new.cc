#include "failing_new.h"

#include <pthread.h>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>

namespace {

constexpr int64_t kNever = -1;
thread_local int64_t successes_left = kNever;
std::atomic<int64_t> executor_successes_left{kNever};
std::atomic<bool> all_fail{false};

bool is_executor_thread() {
  char name[16] = {};
  return pthread_getname_np(pthread_self(), name, sizeof name) == 0 && std::strcmp(name, "manyscale") == 0;
}

bool fails_on_executor() {
  const int64_t left = executor_successes_left.load();
  if ((left <= kNever && !all_fail) || !is_executor_thread()) return false;
  const int64_t before = executor_successes_left.fetch_sub(1);
  return all_fail ? before <= 0 : before == 0;
}

void* allocate(size_t bytes, size_t alignment) {
  if (successes_left == 0 || fails_on_executor()) throw std::bad_alloc();
  if (successes_left != kNever) successes_left--;
  void* data = nullptr;
  if (posix_memalign(&data, alignment < sizeof(void*) ? sizeof(void*) : alignment, bytes > 0 ? bytes : 1) != 0) throw std::bad_alloc();
  return data;
}

}  // namespace

FailingNew::FailingNew(int64_t successes) { successes_left = successes; }
FailingNew::~FailingNew() { successes_left = kNever; }

FailingExecutorNew::FailingExecutorNew(int64_t successes, Failures failures) {
  executor_successes_left = successes;
  all_fail = failures == Failures::kAll;
}
FailingExecutorNew::~FailingExecutorNew() {
  all_fail = false;
  executor_successes_left = kNever;
}
bool FailingExecutorNew::has_failed() const { return executor_successes_left.load() <= kNever; }

void* operator new(size_t bytes) { return allocate(bytes, __STDCPP_DEFAULT_NEW_ALIGNMENT__); }
void* operator new(size_t bytes, std::align_val_t alignment) { return allocate(bytes, static_cast<size_t>(alignment)); }
// AddressSanitizer's own forms, which would be in their place, do not call those above. (Those of arrays do not need to.)
void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  try {
    return operator new(bytes);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void* operator new(size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  try {
    return operator new(bytes, alignment);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void operator delete(void* data) noexcept { std::free(data); }
void operator delete(void* data, size_t) noexcept { std::free(data); }
void operator delete(void* data, std::align_val_t) noexcept { std::free(data); }
void operator delete(void* data, size_t, std::align_val_t) noexcept { std::free(data); }

// The C++ library allocates through its own operators (private_new.map) what code here frees through these: the same memory underneath.
extern "C" __attribute__((visibility("default"))) const char* __asan_default_options();
extern "C" const char* __asan_default_options() { return "alloc_dealloc_mismatch=0"; }
