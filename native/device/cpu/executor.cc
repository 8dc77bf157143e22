#include "device/cpu/executor.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <iterator>
#include <list>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <system_error>
#include <thread>

namespace manyscale::cpu {
namespace {

constexpr int kNice = 10;                              // of 19
constexpr std::chrono::hours kLongestDelay{24 * 365};  // more could overflow the clock, and nobody waits so long

// A container's quota in processors (cgroup v2 cpu.max, v1 cfs_quota), or 0 when there is none.
int container_quota() {
  double quota = 0;
  double period = 0;
  std::string text;
  if (std::ifstream file("/sys/fs/cgroup/cpu.max"); file >> text >> period) {
    if (text != "max") quota = std::atof(text.c_str());
  } else {
    std::ifstream quota_file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
    std::ifstream period_file("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
    if (!(quota_file >> quota && period_file >> period)) quota = 0;
  }
  if (quota <= 0 || period <= 0) return 0;
  return std::max(1, static_cast<int>(quota / period + 0.5));
}

int usable_processors() {
  int count = static_cast<int>(std::thread::hardware_concurrency());
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) count = CPU_COUNT(&set);
  if (const int quota = container_quota()) count = std::min(count, quota);
  return std::max(count, 1);
}

// One call of parallel_for. Threads that arrive late find nothing left and never touch the body, which stands on the
// caller's stack.
struct Loop {
  Loop(int64_t n, TaskBody b) : count(n), body(b) {}
  const int64_t count;
  const TaskBody body;
  std::atomic<int64_t> next{0};
  std::atomic<int64_t> done{0};

  void work() {
    for (int64_t i = next.fetch_add(1, std::memory_order_relaxed); i < count; i = next.fetch_add(1, std::memory_order_relaxed)) {
      body(i);
      if (done.fetch_add(1, std::memory_order_acq_rel) + 1 == count) done.notify_all();
    }
  }
  void wait() {
    for (int64_t seen = done.load(std::memory_order_acquire); seen != count; seen = done.load(std::memory_order_acquire)) done.wait(seen);
  }
};

}  // namespace

struct Executor::State {
  using Clock = std::chrono::steady_clock;
  struct Task {
    std::function<void()> run;
    Priority priority;
    Clock::time_point due{};
  };
  // Tasks move from list to list as they are: only submitting one allocates, so that a thread that takes one cannot fail.
  using Tasks = std::list<Task>;
  static constexpr size_t kPriorities = 3;

  std::mutex mutex;
  std::condition_variable wake;
  std::deque<std::shared_ptr<Loop>> loops;  // parts of running operations go before new work
  std::array<Tasks, kPriorities> ready;
  std::array<int, kPriorities> passed{};                 // tasks of higher priorities that went past the first in `ready`
  Tasks delayed;                                         // earliest first
  Clock::time_point watched = Clock::time_point::max();  // when the thread that sleeps for `delayed` wakes; max: none does
  int threads = 0;

  void submit(Tasks task) {
    {
      const std::lock_guard lock(mutex);
      enqueue(task);
    }
    wake.notify_one();
  }

  void submit_later(Tasks task) {
    {
      const std::lock_guard lock(mutex);
      // Behind those of the same time, and found from the end: delays are mostly alike.
      auto place = delayed.end();
      while (place != delayed.begin() && std::prev(place)->due > task.front().due) --place;
      delayed.splice(place, task);
      if (delayed.front().due >= watched) return;
    }
    wake.notify_one();  // to sleep until then, if it sleeps: a thread that is at work looks at the time before it does
  }

  void run() {
    std::unique_lock lock(mutex);
    for (;;) {
      enqueue_due();
      if (!loops.empty()) {
        const auto loop = std::move(loops.front());
        loops.pop_front();
        leave(lock);
        loop->work();
      } else if (Tasks task = next(); !task.empty()) {
        leave(lock);
        task.front().run();
      } else {
        sleep(lock);
        continue;
      }
      lock.lock();
    }
  }

 private:
  void enqueue(Tasks& task) {
    Tasks& queue = ready[static_cast<size_t>(task.front().priority)];
    queue.splice(queue.end(), task, task.begin());
  }

  void enqueue_due() {
    if (delayed.empty()) return;
    const Clock::time_point now = Clock::now();
    while (!delayed.empty() && delayed.front().due <= now) {
      enqueue(delayed);
      wake.notify_one();
    }
  }

  // The first task of the highest priority, unless a lower one has waited long enough; none: an empty list.
  Tasks next() {
    size_t chosen = kPriorities;
    for (size_t p = 0; p < kPriorities; p++) {
      if (!ready[p].empty() && (chosen == kPriorities || passed[p] >= kPatience)) chosen = p;
    }
    Tasks task;
    if (chosen == kPriorities) return task;
    task.splice(task.end(), ready[chosen], ready[chosen].begin());
    passed[chosen] = 0;
    for (size_t p = chosen + 1; p < kPriorities; p++) passed[p] += !ready[p].empty();
    return task;
  }

  // A thread goes to work. If none sleeps for the delayed tasks any more, another is to.
  void leave(std::unique_lock<std::mutex>& lock) {
    const bool watch = !delayed.empty() && delayed.front().due < watched;
    lock.unlock();
    if (watch) wake.notify_one();
  }

  // Until there may be something to do. One thread at a time sleeps for the delayed tasks, the others until they are woken.
  void sleep(std::unique_lock<std::mutex>& lock) {
    if (delayed.empty() || delayed.front().due >= watched) return wake.wait(lock);
    const Clock::time_point until = watched = delayed.front().due;
    wake.wait_until(lock, until);
    if (watched == until) watched = Clock::time_point::max();
  }
};

Executor& Executor::instance() {
  static Executor* const executor = new Executor;  // leaked: its threads may run until the process ends
  return *executor;
}

Executor::Executor() : state_(new State) {
  const int wanted = usable_processors();
  for (int i = 0; i < wanted; i++) {
    try {
      std::thread thread([state = state_] {
        // Below the JavaScript thread, which must get a processor as soon as it wants one. Per thread on Linux.
        setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kNice);
        state->run();
      });
      pthread_setname_np(thread.native_handle(), "manyscale");
      thread.detach();
    } catch (const std::system_error&) {
      if (state_->threads == 0) throw;  // a process that may not start one thread cannot work; with fewer it can
      break;
    }
    state_->threads++;
  }
}

int Executor::thread_count() const noexcept { return state_->threads; }

void Executor::submit(std::function<void()> task, Priority priority) {
  State::Tasks one;
  one.push_back({std::move(task), priority});
  state_->submit(std::move(one));
}

void Executor::submit_after(std::chrono::nanoseconds delay, std::function<void()> task, Priority priority) {
  delay = std::clamp<std::chrono::nanoseconds>(delay, std::chrono::nanoseconds(0), kLongestDelay);
  State::Tasks one;
  one.push_back({std::move(task), priority, State::Clock::now() + delay});
  state_->submit_later(std::move(one));
}

void Executor::parallel_for(int64_t count, TaskBody body) {
  if (count <= 0) return;
  const int64_t helpers = std::min<int64_t>(state_->threads, count) - 1;
  if (helpers < 1) {
    for (int64_t i = 0; i < count; i++) body(i);
    return;
  }
  const auto loop = std::make_shared<Loop>(count, body);
  try {
    const std::lock_guard lock(state_->mutex);
    for (int64_t i = 0; i < helpers; i++) state_->loops.push_back(loop);
  } catch (const std::bad_alloc&) {
    // Fewer helpers, or none. Leaving now would take the body away from those that were called already.
  }
  for (int64_t i = 0; i < helpers; i++) state_->wake.notify_one();
  loop->work();
  loop->wait();
}

}  // namespace manyscale::cpu
