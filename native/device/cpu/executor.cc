#include "device/cpu/executor.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <system_error>
#include <thread>

namespace manyscale::cpu {
namespace {

constexpr int kNice = 10;  // of 19

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
  std::mutex mutex;
  std::condition_variable wake;
  std::deque<std::shared_ptr<Loop>> loops;  // parts of running operations go before new work
  std::deque<std::function<void()>> tasks;
  int threads = 0;

  void run() {
    std::unique_lock lock(mutex);
    for (;;) {
      wake.wait(lock, [this] { return !loops.empty() || !tasks.empty(); });
      if (!loops.empty()) {
        const auto loop = std::move(loops.front());
        loops.pop_front();
        lock.unlock();
        loop->work();
      } else {
        const auto task = std::move(tasks.front());
        tasks.pop_front();
        lock.unlock();
        task();
      }
      lock.lock();
    }
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

void Executor::submit(std::function<void()> task) {
  {
    const std::lock_guard lock(state_->mutex);
    state_->tasks.push_back(std::move(task));
  }
  state_->wake.notify_one();
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
