// The bound on memory in flight. An image gets a ticket for the most bytes that it will hold before anything of it is decoded, so that
// images that hold pixels never wait for one another. First come, first served: a small image does not overtake a large one that waits.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>

#include "core/error.h"

namespace manyscale::engine {

// Thread-safe. Made by std::make_shared: tickets keep it alive.
class Budget : public std::enable_shared_from_this<Budget> {
 public:
  explicit Budget(int64_t max_bytes);  // at least 1
  Budget(const Budget&) = delete;
  Budget& operator=(const Budget&) = delete;

  // The process's: a quarter of the memory that it may use, since the model, JavaScript and results need some too. Never destroyed.
  static const std::shared_ptr<Budget>& common();

  // The right to so many bytes; gives them back when destroyed, on any thread. Requests that fit then are answered on that thread.
  class Ticket {
   public:
    Ticket() = default;
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;
    ~Ticket();
    int64_t bytes() const noexcept { return bytes_; }

   private:
    friend class Budget;
    std::shared_ptr<Budget> budget_;  // null: not granted
    int64_t bytes_ = 0;
  };

  // Null when there is no room or others wait. Error kImageTooLarge for more than max_bytes.
  std::shared_ptr<Ticket> try_reserve(int64_t bytes);

  // Called once with a ticket or an error (kCancelled), on any thread, maybe before reserve() returns, never under the budget's lock.
  // It must not throw.
  using Done = std::function<void(std::optional<Error>, std::shared_ptr<Ticket>)>;
  class Request;
  // Error kImageTooLarge for more than max_bytes; when this throws `done` is not called.
  std::shared_ptr<Request> reserve(int64_t bytes, Done done);
  // Ends a request that waits; does nothing to one that was answered.
  void cancel(const std::shared_ptr<Request>& request);

  struct State {
    int64_t bytes = 0;    // reserved
    int64_t images = 0;   // that hold a ticket
    int64_t waiting = 0;  // requests
    int64_t max_bytes = 0;
  };
  State state() const;

 private:
  using Requests = std::list<std::shared_ptr<Request>>;
  void check(int64_t bytes) const;
  bool has_room(int64_t bytes) const;
  void grant(Ticket& ticket, int64_t bytes);
  void admit(Requests& answered);
  void give_back(int64_t bytes) noexcept;
  static void answer(Requests& answered) noexcept;

  const int64_t max_bytes_;
  const Error cancelled_;  // made ahead: a cancellation cannot fail

  mutable std::mutex mutex_;
  int64_t bytes_ = 0;
  int64_t images_ = 0;
  Requests waiting_;  // oldest first
};

}  // namespace manyscale::engine
