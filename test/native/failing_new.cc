#include "failing_new.h"

#include <cstddef>
#include <cstdlib>
#include <new>

namespace {

constexpr int64_t kNever = -1;
thread_local int64_t successes_left = kNever;

void* allocate(size_t bytes, size_t alignment) {
  if (successes_left == 0) throw std::bad_alloc();
  if (successes_left != kNever) successes_left--;
  void* data = nullptr;
  if (posix_memalign(&data, alignment < sizeof(void*) ? sizeof(void*) : alignment, bytes > 0 ? bytes : 1) != 0) throw std::bad_alloc();
  return data;
}

}  // namespace

FailingNew::FailingNew(int64_t successes) { successes_left = successes; }
FailingNew::~FailingNew() { successes_left = kNever; }

// The library's other forms (arrays, nothrow) call these.
void* operator new(size_t bytes) { return allocate(bytes, __STDCPP_DEFAULT_NEW_ALIGNMENT__); }
void* operator new(size_t bytes, std::align_val_t alignment) { return allocate(bytes, static_cast<size_t>(alignment)); }
void operator delete(void* data) noexcept { std::free(data); }
void operator delete(void* data, size_t) noexcept { std::free(data); }
void operator delete(void* data, std::align_val_t) noexcept { std::free(data); }
void operator delete(void* data, size_t, std::align_val_t) noexcept { std::free(data); }
