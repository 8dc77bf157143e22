// The executor: every index once, from any thread, nested, and under many callers; tasks by priority and not too early.
#include "device/cpu/executor.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "device/cpu/cpu_backend.h"
#include "failing_new.h"

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

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

// Keeps the executor's threads away from tasks: all of them, or all but one, which then runs them one after another.
class Held {
 public:
  explicit Held(int free_threads = 0) : holders_(Executor::instance().thread_count()), left_(holders_) {
    for (int i = 0; i < holders_; i++) {
      Executor::instance().submit(
          [this, released = i < free_threads ? &some_ : &all_] {
            arrived_++;
            while (!*released) std::this_thread::sleep_for(milliseconds(1));
            left_.one_less();
          },
          Priority::kPool);
    }
    while (arrived_ < holders_) std::this_thread::yield();
  }
  ~Held() {
    some_ = all_ = true;
    left_.wait();
  }
  void release_one() { some_ = true; }

 private:
  const int holders_;
  std::atomic<int> arrived_{0};
  std::atomic<bool> some_{false};
  std::atomic<bool> all_{false};
  Countdown left_;
};

// Runs what `submit_all` submits on one thread; in which order, by the names that it gave.
class Order {
 public:
  void submit(Priority priority, const std::string& name) {
    left_.left++;
    Executor::instance().submit(task(name), priority);
  }
  void submit_after(nanoseconds delay, Priority priority, const std::string& name) {
    left_.left++;
    Executor::instance().submit_after(delay, task(name), priority);
  }
  std::string wait() {
    left_.wait();
    const std::lock_guard lock(mutex_);
    return order_;
  }
  void add(const std::string& name) {
    const std::lock_guard lock(mutex_);
    order_ += name;
  }

 private:
  std::function<void()> task(const std::string& name) {
    return [this, name] {
      add(name);
      left_.one_less();
    };
  }

  Countdown left_{0};
  std::mutex mutex_;
  std::string order_;
};

}  // namespace

TEST_CASE("executor: pool goes before model and model before split, each in order of submission") {
  Order order;
  Held held(1);
  for (const char* number : {"1", "2", "3"}) {
    order.submit(Priority::kSplit, std::string("s") + number);
    order.submit(Priority::kModel, std::string("m") + number);
    order.submit(Priority::kPool, std::string("p") + number);
  }
  held.release_one();
  CHECK(order.wait() == "p1p2p3m1m2m3s1s2s3");
}

TEST_CASE("executor: a task that enough others went past has its turn") {
  constexpr int kPatience = Executor::kPatience;
  Order order;
  Held held(1);
  for (int i = 0; i < 2; i++) order.submit(Priority::kSplit, "s");
  for (int i = 0; i < 2; i++) order.submit(Priority::kModel, "m");
  for (int i = 0; i < 3 * kPatience; i++) order.submit(Priority::kPool, "p");
  held.release_one();
  const std::string finishing(kPatience, 'p');
  // Each waits for so many of the pool's, and split for the model's that went by too.
  CHECK(order.wait() == finishing + "sm" + std::string(kPatience - 1, 'p') + "sp" + "m" + std::string(kPatience, 'p'));
}

TEST_CASE("executor: nothing starves under a stream of higher priority that does not end") {
  std::atomic<bool> stop{false};
  std::atomic<int> streaming{0};
  std::function<void()> again = [&] {
    if (stop) {
      streaming--;
    } else {
      Executor::instance().submit(again, Priority::kPool);
    }
  };
  // More of them than threads: there is always one to go first.
  for (int i = 0; i < 2 * Executor::instance().thread_count(); i++) {
    streaming++;
    Executor::instance().submit(again, Priority::kPool);
  }
  Order order;
  for (int i = 0; i < 5; i++) order.submit(Priority::kSplit, "s");
  for (int i = 0; i < 5; i++) order.submit(Priority::kModel, "m");
  CHECK(order.wait().size() == 10);
  stop = true;
  while (streaming > 0) std::this_thread::yield();
}

TEST_CASE("executor: a loop that runs is helped before any task begins") {
  if (Executor::instance().thread_count() < 2) return;
  Order order;
  Held held(1);
  for (int i = 0; i < 3; i++) order.submit(Priority::kPool, "p");
  std::atomic<int> running{0};
  std::thread caller([&] {
    const std::thread::id self = std::this_thread::get_id();
    // Each body waits for the other: the second needs the one free thread.
    Executor::instance().parallel_for(2, [&](int64_t) {
      if (++running == 1) held.release_one();
      while (running < 2) std::this_thread::yield();
      if (std::this_thread::get_id() != self) order.add("loop ");
    });
  });
  caller.join();
  CHECK(order.wait() == "loop ppp");
}

TEST_CASE("executor: delayed tasks run in order of their times, not of submission, and never early") {
  Order order;
  std::atomic<int> early{0};
  Countdown left(3);
  const auto start = Clock::now();
  {
    Held held(1);
    for (const int delay : {40, 10, 30, 20, 10}) order.submit_after(milliseconds(delay), Priority::kModel, std::to_string(delay / 10));
    for (const int delay : {5, 25, 15}) {
      Executor::instance().submit_after(
          milliseconds(delay),
          [&early, &left, start, delay] {
            early += Clock::now() - start < milliseconds(delay);
            left.one_less();
          },
          Priority::kPool);
    }
    held.release_one();
    CHECK(order.wait() == "11234");
    left.wait();
  }
  CHECK(early == 0);
}

TEST_CASE("executor: a delayed task wakes threads that sleep, whatever came between") {
  const auto runs_after = [](milliseconds delay) {
    const auto start = Clock::now();
    Countdown left(1);
    std::atomic<bool> early{false};
    Executor::instance().submit_after(
        delay,
        [&] {
          early = Clock::now() - start < delay;
          left.one_less();
        },
        Priority::kSplit);
    std::this_thread::sleep_for(delay / 4);
    Countdown others(8);  // the thread that sleeps for the delay may be the one that wakes for these
    for (int i = 0; i < 8; i++) Executor::instance().submit([&others] { others.one_less(); }, Priority::kModel);
    others.wait();
    left.wait();
    return !early;
  };
  for (int i = 0; i < 20; i++) CHECK(runs_after(milliseconds(4)));
}

TEST_CASE("executor: a delayed task joins the end of its priority's queue") {
  Order order;
  Held held(1);
  order.submit_after(milliseconds(1), Priority::kModel, "d");
  order.submit(Priority::kModel, "m");
  order.submit(Priority::kSplit, "s");
  std::this_thread::sleep_for(milliseconds(5));
  held.release_one();
  CHECK(order.wait() == "mds");
}

TEST_CASE("executor: no delay is too long or too short") {
  Order order;
  order.submit_after(nanoseconds::min(), Priority::kModel, "a");
  CHECK(order.wait() == "a");
  order.submit_after(nanoseconds(0), Priority::kModel, "b");
  CHECK(order.wait() == "ab");
  const auto never = std::make_shared<std::atomic<bool>>(false);
  Executor::instance().submit_after(
      nanoseconds::max(), [never] { *never = true; }, Priority::kPool);
  order.submit_after(milliseconds(2), Priority::kModel, "c");
  CHECK(order.wait() == "abc");
  CHECK_FALSE(*never);
}

TEST_CASE("executor: where memory runs out a task is not submitted, and the next one is") {
  for (const bool delayed : {false, true}) {
    std::atomic<int> runs{0};
    int failures = 0;
    for (int64_t successes = 0;; successes++) {
      std::function<void()> task = [&runs] { runs++; };
      try {
        const FailingNew failing(successes);
        if (delayed) {
          Executor::instance().submit_after(milliseconds(1), std::move(task), Priority::kModel);
        } else {
          Executor::instance().submit(std::move(task), Priority::kModel);
        }
        break;
      } catch (const std::bad_alloc&) {
        failures++;
      }
    }
    CHECK(failures > 0);
    while (runs == 0) std::this_thread::yield();
    CHECK(runs == 1);
  }
}

TEST_CASE("executor: tasks of all priorities and delays from many threads, each once and none early") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  constexpr int kThreads = 6;
  constexpr int kTasks = 500;
  std::vector<int> runs(kThreads * kTasks, 0);
  std::atomic<int> early{0};
  Countdown left(kThreads * kTasks);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; t++) {
    threads.emplace_back([&, t] {
      std::mt19937 dice(seed + static_cast<unsigned>(t));
      for (int i = 0; i < kTasks; i++) {
        int& run = runs[static_cast<size_t>(t * kTasks + i)];
        const auto priority = static_cast<Priority>(dice() % 3);
        const auto delay = std::chrono::microseconds(dice() % 2 == 0 ? 0 : dice() % 5000);
        const auto due = Clock::now() + delay;
        const auto task = [&early, &left, &run, due] {
          early += Clock::now() < due;
          run++;
          left.one_less();
        };
        if (delay.count() == 0) {
          Executor::instance().submit(task, priority);
        } else {
          Executor::instance().submit_after(delay, task, priority);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  left.wait();
  CHECK(early == 0);
  CHECK(std::all_of(runs.begin(), runs.end(), [](int n) { return n == 1; }));
}
