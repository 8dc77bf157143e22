// The process's one pool of threads. Everything that computes on the CPU runs here, whichever extractor, thread of
// JavaScript or operation asked for it, so that work never oversubscribes the machine.
#pragma once

#include <cstdint>
#include <functional>

#include "core/backend.h"

namespace manyscale::cpu {

class Executor {
 public:
  // Made at first use and never destroyed: its threads sleep when idle and end with the process.
  static Executor& instance();

  // The processors that this process may use: its affinity and its container's quota.
  int thread_count() const noexcept;

  // Runs `task` on one of the threads, in order of submission. The task must not throw; it may call parallel_for.
  void submit(std::function<void()> task);

  // body(0) .. body(count - 1), each once, by the calling thread and whichever threads are free; done on return.
  void parallel_for(int64_t count, TaskBody body);

 private:
  Executor();
  struct State;
  State* state_;
};

}  // namespace manyscale::cpu
