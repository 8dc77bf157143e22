// Streams as queues that run late: on a thread of the stand-in, and when somebody waits for what they do rather than when it is asked for.
// Between streams any order is taken that the events allow, by a seed. A copy is done in pieces with other streams' work in between.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "cuda_api.h"

namespace software_cuda {

struct Context;
struct Queue;

// One point of a stream: reached when all that was asked before it has been done. All members are guarded by the scheduler's mutex.
struct Mark {
  bool reached = false;
  std::weak_ptr<Queue> queue;
  uint64_t number = 0;  // in its queue
};
using MarkPtr = std::shared_ptr<Mark>;

// Bytes that a pending operation will touch, so that freeing them first is noticed.
struct Range {
  uint64_t begin;
  uint64_t end;
};

// What a step of an operation came to. A fault kills the context.
struct Step {
  bool finished = true;
  Result fault = kSuccess;
  std::string text;
};

struct Operation {
  std::string what;            // "a copy up", for messages
  std::vector<MarkPtr> after;  // of other streams
  std::function<Step()> step;  // called without the mutex until it has finished; empty: an event's record or wait
  std::function<void()> drop;  // called instead when the context has failed, without the mutex; may be empty
  std::vector<Range> ranges;
  MarkPtr mark;
};

struct Queue {
  Context* context = nullptr;
  std::deque<Operation> operations;
  bool running = false;  // the first operation is being executed
  uint64_t next = 1;
  uint64_t priority = 0;
  MarkPtr last;          // of the newest operation
  uint64_t needed = 0;   // scratch of one choice: what somebody waits for ends here
  bool removed = false;  // goes when it is empty
};
using QueuePtr = std::shared_ptr<Queue>;

class Scheduler {
 public:
  // `failed` is called with the mutex held when an operation of a context faults.
  Scheduler(std::mutex& mutex, uint64_t seed, bool late, std::function<void(Context&, Result, const std::string&)> failed);

  // All of these with the mutex held.
  QueuePtr add(Context* context);
  void remove(const QueuePtr& queue);  // what is in it still runs
  MarkPtr push(const QueuePtr& queue, Operation operation);
  void wait(std::unique_lock<std::mutex>& lock, const MarkPtr& mark);
  void nudge(const MarkPtr& mark);  // somebody has asked whether it is reached: work towards it goes on
  void drain(std::unique_lock<std::mutex>& lock, Context& context);
  // An operation that still has to touch some of the bytes, '' when there is none.
  std::string pending_on(Range range) const;
  uint64_t pending() const;
  void set_seed(uint64_t seed);

 private:
  void run();
  QueuePtr choose();
  void need(const MarkPtr& mark);
  bool ready(const Queue& queue) const;
  void execute(std::unique_lock<std::mutex>& lock, const QueuePtr& queue);
  void finish(Queue& queue);
  // Drops all that the context's streams still have to do.
  void abandon(std::unique_lock<std::mutex>& lock, Context& context);
  void sweep();
  bool asked() const { return !awaited_.empty() || !nudges_.empty(); }
  void redraw_patience();

  std::mutex& mutex_;
  std::function<void(Context&, Result, const std::string&)> failed_;
  std::condition_variable work_;
  std::condition_variable reached_;
  std::vector<QueuePtr> queues_;
  std::multiset<MarkPtr> awaited_;
  std::deque<MarkPtr> nudges_;
  std::mt19937_64 random_;
  bool late_;
  bool eager_ = false;  // while somebody waits: other streams' work is done too, not only what is needed
  std::chrono::microseconds patience_{0};
  bool started_ = false;
};

}  // namespace software_cuda
