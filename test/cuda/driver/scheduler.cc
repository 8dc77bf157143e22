#include "scheduler.h"

#include <algorithm>
#include <thread>
#include <utility>

namespace software_cuda {
namespace {

constexpr size_t kMostNudges = 64;
// Microseconds in which nothing runs although nobody waits.
constexpr int kShortestPatience = 1000;
constexpr int kLongestPatience = 8000;

}  // namespace

Scheduler::Scheduler(std::mutex& mutex, uint64_t seed, bool late, std::function<void(Context&, Result, const std::string&)> failed)
    : mutex_(mutex), failed_(std::move(failed)), random_(seed), late_(late) {
  redraw_patience();
}

QueuePtr Scheduler::add(Context* context) {
  if (!started_) {
    started_ = true;
    std::thread([this] { run(); }).detach();  // lives as long as the process, as a driver's threads do
  }
  auto queue = std::make_shared<Queue>();
  queue->context = context;
  queue->priority = random_();
  queues_.push_back(queue);
  return queue;
}

void Scheduler::remove(const QueuePtr& queue) {
  queue->removed = true;
  sweep();
}

void Scheduler::sweep() {
  std::erase_if(queues_, [](const QueuePtr& queue) { return queue->removed && queue->operations.empty(); });
}

MarkPtr Scheduler::push(const QueuePtr& queue, Operation operation) {
  std::erase_if(operation.after, [](const MarkPtr& mark) { return !mark || mark->reached; });
  operation.mark = std::make_shared<Mark>();
  operation.mark->queue = queue;
  operation.mark->number = queue->next++;
  queue->last = operation.mark;
  queue->operations.push_back(std::move(operation));
  work_.notify_one();
  return queue->last;
}

void Scheduler::wait(std::unique_lock<std::mutex>& lock, const MarkPtr& mark) {
  if (!mark || mark->reached) return;
  if (awaited_.empty()) eager_ = random_() % 2 == 0;
  const auto entry = awaited_.insert(mark);
  work_.notify_one();
  reached_.wait(lock, [&mark] { return mark->reached; });
  awaited_.erase(entry);
}

void Scheduler::nudge(const MarkPtr& mark) {
  if (!mark || mark->reached || nudges_.size() >= kMostNudges) return;
  nudges_.push_back(mark);
  work_.notify_one();
}

void Scheduler::drain(std::unique_lock<std::mutex>& lock, Context& context) {
  std::vector<MarkPtr> marks;
  for (const QueuePtr& queue : queues_) {
    if (queue->context == &context) marks.push_back(queue->last);
  }
  for (const MarkPtr& mark : marks) wait(lock, mark);
}

void Scheduler::abandon(std::unique_lock<std::mutex>& lock, Context& context) {
  std::vector<std::function<void()>> drops;
  for (const QueuePtr& queue : queues_) {
    if (queue->context != &context) continue;
    for (Operation& operation : queue->operations) {
      operation.mark->reached = true;
      if (operation.drop) drops.push_back(std::move(operation.drop));
    }
    queue->operations.clear();
  }
  sweep();
  lock.unlock();
  for (const auto& drop : drops) drop();
  lock.lock();
  reached_.notify_all();
}

std::string Scheduler::pending_on(Range range) const {
  for (const QueuePtr& queue : queues_) {
    for (const Operation& operation : queue->operations) {
      for (const Range& each : operation.ranges) {
        if (each.begin < range.end && range.begin < each.end) return operation.what;
      }
    }
  }
  return "";
}

uint64_t Scheduler::pending() const {
  uint64_t count = 0;
  for (const QueuePtr& queue : queues_) count += queue->operations.size();
  return count;
}

void Scheduler::set_seed(uint64_t seed) {
  random_.seed(seed);
  for (const QueuePtr& queue : queues_) queue->priority = random_();
  redraw_patience();
}

void Scheduler::redraw_patience() { patience_ = std::chrono::microseconds(kShortestPatience + random_() % (kLongestPatience - kShortestPatience)); }

bool Scheduler::ready(const Queue& queue) const {
  if (queue.operations.empty()) return false;
  const auto& after = queue.operations.front().after;
  return std::all_of(after.begin(), after.end(), [](const MarkPtr& mark) { return mark->reached; });
}

void Scheduler::need(const MarkPtr& mark) {
  const QueuePtr queue = mark->reached ? nullptr : mark->queue.lock();
  if (!queue || queue->needed >= mark->number) return;
  const uint64_t known = std::exchange(queue->needed, mark->number);
  for (const Operation& operation : queue->operations) {
    if (operation.mark->number > mark->number) break;
    if (operation.mark->number <= known) continue;
    for (const MarkPtr& each : operation.after) need(each);
  }
}

QueuePtr Scheduler::choose() {
  for (const QueuePtr& queue : queues_) queue->needed = 0;
  while (!nudges_.empty() && nudges_.front()->reached) nudges_.pop_front();
  bool only_needed = asked();
  if (!awaited_.empty()) {
    if (random_() % 8 == 0) eager_ = !eager_;
    only_needed = !eager_;
    for (const MarkPtr& mark : awaited_) need(mark);
  } else if (!nudges_.empty()) {
    need(nudges_.front());
  }
  QueuePtr best;
  for (const QueuePtr& queue : queues_) {
    if (!ready(*queue) || (only_needed && queue->operations.front().mark->number > queue->needed)) continue;
    if (!best || queue->priority > best->priority) best = queue;
  }
  if (best && random_() % 6 == 0) best->priority = random_();
  return best;
}

void Scheduler::finish(Queue& queue) {
  queue.operations.front().mark->reached = true;
  queue.operations.pop_front();
  if (queue.removed) sweep();
  reached_.notify_all();
}

void Scheduler::execute(std::unique_lock<std::mutex>& lock, const QueuePtr& queue) {
  Operation& operation = queue->operations.front();  // stays where it is while others are pushed behind it
  Step result;
  if (operation.step) {
    lock.unlock();
    result = operation.step();
    lock.lock();
  }
  if (result.fault != kSuccess) {
    failed_(*queue->context, result.fault, result.text);
    abandon(lock, *queue->context);
  } else if (result.finished) {
    finish(*queue);
  }
}

void Scheduler::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    if (std::all_of(queues_.begin(), queues_.end(), [this](const QueuePtr& queue) { return !ready(*queue); })) {
      redraw_patience();
      work_.wait(lock);
      continue;
    }
    if (late_ && !asked()) {
      // Nobody waits: a while goes by in which the host may spoil what it should have left alone.
      if (work_.wait_for(lock, patience_, [this] { return asked(); })) continue;
      // Once begun, much often runs in one go.
      redraw_patience();
      if (random_() % 2 == 0) patience_ = {};
    }
    if (const QueuePtr queue = choose()) {
      execute(lock, queue);
      if (awaited_.empty() && !nudges_.empty()) nudges_.pop_front();
    } else {
      work_.wait(lock);  // what is waited for is not ready: it cannot be, without an operation that is still to come
    }
  }
}

}  // namespace software_cuda
