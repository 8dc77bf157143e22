// The process's one pool of threads. Everything that computes on the CPU runs here, whichever extractor, thread of
// JavaScript or operation asked for it, so that work never oversubscribes the machine.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>

#include "core/backend.h"

namespace manyscale::cpu {

// What goes first: work that finishes an image before work that starts one, since a finished image gives its memory back.
enum class Priority { kPool, kModel, kSplit };

class Executor {
 public:
  // So many tasks of higher priorities may go past a waiting one: then it is its turn, so that nothing waits for ever. Large
  // enough that finishing does go first, and small enough that even behind long batches the wait is a matter of seconds.
  static constexpr int kPatience = 16;

  // Made at first use and never destroyed: its threads sleep when idle and end with the process.
  static Executor& instance();

  // The processors that this process may use: its affinity and its container's quota.
  int thread_count() const noexcept;

  // Runs `task` on one of the threads: higher priorities first, within one in order of submission. The task must not throw; it
  // may call parallel_for. When this throws (std::bad_alloc) the task will not run and nothing has changed.
  void submit(std::function<void()> task, Priority priority);

  // The same, no earlier than after `delay`: it joins the end of its priority's queue then.
  void submit_after(std::chrono::nanoseconds delay, std::function<void()> task, Priority priority);

  // body(0) .. body(count - 1), each once, by the calling thread and whichever threads are free; done on return. Goes before
  // all tasks: it is part of one that runs.
  void parallel_for(int64_t count, TaskBody body);

 private:
  Executor();
  struct State;
  State* state_;
};

}  // namespace manyscale::cpu
