// The executor: every index once, from any thread, nested, and under many callers.
#include "device/cpu/executor.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "device/cpu/cpu_backend.h"

using manyscale::cpu::Executor;
using manyscale::cpu::Priority;

namespace {

// Plain counters: a body that ran twice, or is still running on return, is also a race that ThreadSanitizer sees.
bool every_index_once(int64_t count) {
  std::vector<int> runs(static_cast<size_t>(count), 0);
  Executor::instance().parallel_for(count, [&](int64_t i) { runs[static_cast<size_t>(i)]++; });
  return std::all_of(runs.begin(), runs.end(), [](int n) { return n == 1; });
}

// Nothing is touched after the last one_less, so it may stand on a stack that is left then.
struct Countdown {
  explicit Countdown(int n) : left(n) {}
  void one_less() { left.fetch_sub(1, std::memory_order_release); }
  void wait() const {
    while (left.load(std::memory_order_acquire) > 0) std::this_thread::yield();
  }
  std::atomic<int> left;
};

}  // namespace

TEST_CASE("executor: it has a thread") {
  CHECK(Executor::instance().thread_count() >= 1);
  CHECK(manyscale::cpu::cpu_backend().concurrency() == Executor::instance().thread_count());
}

TEST_CASE("executor: every index once") {
  for (const int64_t count : {1, 2, 3, 7, 64, 1000, 100000}) {
    CAPTURE(count);
    CHECK(every_index_once(count));
  }
}

TEST_CASE("executor: nothing for a count of zero or less") {
  for (const int64_t count : {int64_t{0}, int64_t{-1}, INT64_MIN}) {
    bool ran = false;
    Executor::instance().parallel_for(count, [&](int64_t) { ran = true; });
    CHECK_FALSE(ran);
  }
}

TEST_CASE("executor: short loops one after another") {
  int64_t wrong = 0;
  for (int i = 0; i < 20000; i++) wrong += !every_index_once(2);
  CHECK(wrong == 0);
}

TEST_CASE("executor: other threads help") {
  if (Executor::instance().thread_count() < 2) return;
  // Each body waits until two run at once: with one thread alone this would not end.
  std::atomic<int> running{0};
  Executor::instance().parallel_for(2, [&](int64_t) {
    running++;
    while (running < 2) std::this_thread::yield();
  });
  CHECK(running == 2);
}

TEST_CASE("executor: submitted tasks run once each, on threads of the executor") {
  constexpr int kTasks = 2000;
  std::vector<int> runs(kTasks, 0);
  std::atomic<int> here{0};
  Countdown left(kTasks);
  const std::thread::id caller = std::this_thread::get_id();
  for (int& run : runs) {
    Executor::instance().submit(
        [&] {
          run++;
          here += std::this_thread::get_id() == caller;
          left.one_less();
        },
        Priority::kModel);
  }
  left.wait();
  CHECK(here == 0);
  CHECK(std::all_of(runs.begin(), runs.end(), [](int n) { return n == 1; }));
}

TEST_CASE("executor: loops inside tasks, inside loops") {
  constexpr int kTasks = 100;
  std::atomic<int> wrong{0};
  Countdown left(kTasks);
  for (int task = 0; task < kTasks; task++) {
    Executor::instance().submit(
        [&] {
          Executor::instance().parallel_for(9, [&](int64_t i) { wrong += !every_index_once(i + 1); });
          left.one_less();
        },
        Priority::kModel);
  }
  left.wait();
  CHECK(wrong == 0);
}

TEST_CASE("executor: many callers from threads of their own, beside tasks") {
  constexpr int kCallers = 12;
  std::atomic<int> wrong{0};
  Countdown left(kCallers * 20);
  std::vector<std::thread> callers;
  for (int c = 0; c < kCallers; c++) {
    callers.emplace_back([&, c] {
      for (int i = 0; i < 200; i++) {
        if (i % 10 == 0) {
          Executor::instance().submit(
              [&] {
                wrong += !every_index_once(17);
                left.one_less();
              },
              Priority::kModel);
        }
        wrong += !every_index_once((i * 7 + c) % 40);
      }
    });
  }
  for (auto& caller : callers) caller.join();
  left.wait();
  CHECK(wrong == 0);
}
