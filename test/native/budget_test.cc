// The bound on memory in flight: never beyond it, first come first served, and nothing is lost by cancelling or by failed allocations.
#include "engine/budget.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <memory>
#include <new>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "device/cpu/executor.h"
#include "device/cpu/memory.h"
#include "failing_new.h"

using manyscale::Error;
using manyscale::ErrorCode;
using manyscale::engine::Budget;

namespace {

using Ticket = std::shared_ptr<Budget::Ticket>;

struct Answer {
  int calls = 0;
  std::optional<Error> error;
  Ticket ticket;
};

Budget::Done into(Answer& answer) {
  return [&answer](std::optional<Error> error, Ticket ticket) {
    answer.calls++;
    answer.error = std::move(error);
    answer.ticket = std::move(ticket);
  };
}

}  // namespace

TEST_CASE("budget: a ticket's bytes come back when it is destroyed") {
  const auto budget = std::make_shared<Budget>(100);
  Ticket a = budget->try_reserve(60);
  REQUIRE(a);
  CHECK(a->bytes() == 60);
  CHECK_FALSE(budget->try_reserve(41));
  Ticket b = budget->try_reserve(40);
  REQUIRE(b);
  CHECK(budget->state().bytes == 100);
  CHECK(budget->state().images == 2);
  a.reset();
  CHECK(budget->state().bytes == 40);
  b.reset();
  CHECK(budget->state().bytes == 0);
  CHECK(budget->state().images == 0);
  CHECK(budget->try_reserve(100));
}

TEST_CASE("budget: a request that fits is answered before reserve() returns") {
  const auto budget = std::make_shared<Budget>(100);
  Answer answer;
  budget->reserve(100, into(answer));
  CHECK(answer.calls == 1);
  CHECK_FALSE(answer.error);
  REQUIRE(answer.ticket);
  CHECK(answer.ticket->bytes() == 100);
}

TEST_CASE("budget: first come, first served: a small request does not overtake a large one") {
  const auto budget = std::make_shared<Budget>(100);
  Ticket first = budget->try_reserve(50);
  Answer large;
  Answer small;
  budget->reserve(60, into(large));
  budget->reserve(10, into(small));
  CHECK(budget->state().waiting == 2);
  CHECK_FALSE(budget->try_reserve(10));
  CHECK(small.calls == 0);
  first.reset();
  CHECK(large.calls == 1);
  CHECK(small.calls == 1);
  CHECK(budget->state().bytes == 70);
  CHECK(budget->state().waiting == 0);
}

TEST_CASE("budget: cancelling the first that waits lets the next ones in") {
  const auto budget = std::make_shared<Budget>(100);
  const Ticket holder = budget->try_reserve(50);
  Answer large;
  Answer small;
  Answer smaller;
  const auto request = budget->reserve(60, into(large));
  budget->reserve(30, into(small));
  budget->reserve(20, into(smaller));
  budget->cancel(request);
  budget->cancel(request);  // does nothing
  CHECK(large.calls == 1);
  REQUIRE(large.error);
  CHECK(large.error->code() == ErrorCode::kCancelled);
  CHECK_FALSE(large.ticket);
  CHECK(small.ticket);
  CHECK(smaller.ticket);
  CHECK(budget->state().bytes == 100);
}

TEST_CASE("budget: cancelling one in the middle leaves the order of the others; one that was answered stays answered") {
  const auto budget = std::make_shared<Budget>(100);
  Ticket holder = budget->try_reserve(100);
  std::vector<Answer> answers(3);
  std::vector<std::shared_ptr<Budget::Request>> requests;
  for (Answer& answer : answers) requests.push_back(budget->reserve(80, into(answer)));
  budget->cancel(requests[1]);
  CHECK(answers[1].error);
  CHECK(answers[0].calls == 0);
  holder.reset();
  CHECK(answers[0].ticket);
  CHECK(answers[2].calls == 0);
  budget->cancel(requests[0]);
  CHECK(answers[0].calls == 1);
  CHECK(answers[0].ticket);
  answers[0].ticket.reset();
  CHECK(answers[2].ticket);
}

TEST_CASE("budget: an image that alone exceeds it is refused with both sizes") {
  const auto message = [](int64_t allowed, int64_t needed) -> std::string {
    const auto budget = std::make_shared<Budget>(allowed);
    int called = 0;
    std::string text;
    try {
      budget->reserve(needed, [&](std::optional<Error>, const Ticket&) { called++; });
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::kImageTooLarge);
      text = error.what();
    }
    CHECK(called == 0);
    CHECK_THROWS_AS(budget->try_reserve(needed), Error);
    CHECK(budget->state().waiting == 0);
    return text;
  };
  CHECK(
      message(512'000'000, 2'340'000'001) ==
      "Expected at most 512.0 MB (maxBytes) for an image in work but received one that needs 2.4 GB; raise maxBytes, or use smaller scales or a smaller image");
  // They never look alike: what is needed is rounded up and what is allowed down.
  const std::string close = message(1'500'000'000, 1'500'000'001);
  CHECK(close.find("1.5 GB") != std::string::npos);
  CHECK(close.find("1.6 GB") != std::string::npos);
}

TEST_CASE("budget: fewer than no bytes are refused") { CHECK_THROWS_AS(std::make_shared<Budget>(100)->try_reserve(-1), Error); }

TEST_CASE("budget: many that wait and drop their tickets at once take no stack each") {
  const auto budget = std::make_shared<Budget>(100);
  constexpr int kWaiting = 200'000;
  Ticket holder = budget->try_reserve(100);
  int answered = 0;
  for (int i = 0; i < kWaiting; i++) {
    budget->reserve(100, [&answered](const std::optional<Error>&, Ticket) { answered++; });
  }
  holder.reset();
  CHECK(answered == kWaiting);
  CHECK(budget->state().bytes == 0);
}

TEST_CASE("budget: a callback may reserve and cancel: the lock is not held") {
  const auto budget = std::make_shared<Budget>(100);
  Answer inner;
  Answer other;
  Ticket holder = budget->try_reserve(100);
  std::shared_ptr<Budget::Request> request;
  Ticket kept;
  budget->reserve(50, [&](const std::optional<Error>&, Ticket ticket) {
    kept = std::move(ticket);
    budget->cancel(request);
    budget->reserve(50, into(inner));
  });
  request = budget->reserve(80, into(other));
  holder.reset();
  CHECK(kept);
  CHECK(other.error);
  CHECK(inner.ticket);
}

TEST_CASE("budget: it lives as long as its tickets and its waiting requests") {
  Answer answer;
  Ticket ticket;
  std::weak_ptr<Budget> weak;
  {
    const auto budget = std::make_shared<Budget>(100);
    weak = budget;
    ticket = budget->try_reserve(100);
    budget->reserve(100, into(answer));
  }
  ticket.reset();
  REQUIRE(answer.ticket);
  CHECK_FALSE(weak.expired());
  answer.ticket.reset();
  CHECK(weak.expired());
}

TEST_CASE("budget: where memory runs out nothing is reserved and nobody waits") {
  const auto budget = std::make_shared<Budget>(100);
  const Ticket holder = budget->try_reserve(50);
  int failures = 0;
  for (const bool fits : {true, false}) {
    for (int64_t successes = 0;; successes++) {
      Answer answer;
      Budget::Done done = into(answer);
      std::shared_ptr<Budget::Request> request;
      try {
        const FailingNew failing(successes);
        request = budget->reserve(fits ? 50 : 60, std::move(done));
      } catch (const std::bad_alloc&) {
        failures++;
        CHECK(answer.calls == 0);
        CHECK(budget->state().bytes == 50);
        CHECK(budget->state().waiting == 0);
        continue;
      }
      CHECK(answer.calls == (fits ? 1 : 0));
      budget->cancel(request);
      CHECK(answer.calls == 1);
      break;
    }
    if (fits) CHECK(budget->state().bytes == 50);  // the answer and its ticket are gone
  }
  CHECK(failures >= 2);
}

TEST_CASE("budget: the process's own") {
  const Budget::State state = Budget::common()->state();
  CHECK(Budget::common() == Budget::common());
  CHECK(state.max_bytes == manyscale::cpu::usable_memory() / 4);
}

TEST_CASE("budget: many threads reserve, give back and cancel") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  constexpr int64_t kMaxBytes = 1000;
  constexpr int kThreads = 6;
  constexpr int kRounds = 3000;
  const auto budget = std::make_shared<Budget>(kMaxBytes);
  std::atomic<int64_t> bytes{0};
  std::atomic<int64_t> wrong{0};
  std::atomic<int64_t> answers{0};
  std::atomic<int64_t> requests{0};
  std::atomic<int64_t> granted{0};
  // Counted off before the bytes go back, so that the sum is never more than what is reserved. Not a thread's own: a request that waits
  // may be answered when the thread that made it has ended.
  const auto drop = [&](Ticket ticket) { bytes -= ticket->bytes(); };
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; t++) {
    threads.emplace_back([&, thread_seed = seed + static_cast<unsigned>(t)] {
      std::mt19937 dice(thread_seed);
      for (int round = 0; round < kRounds; round++) {
        const int64_t size = dice() % 8 == 0 ? kMaxBytes : dice() % 300;
        auto done = [&, size, calls = std::make_shared<std::atomic<int>>(0)](const std::optional<Error>& error, Ticket ticket) {
          wrong += calls->fetch_add(1) != 0 || error.has_value() == (ticket != nullptr);
          answers++;
          if (error) return;
          granted++;
          wrong += ticket->bytes() != size;
          wrong += bytes.fetch_add(size) + size > kMaxBytes;
          std::this_thread::yield();
          drop(std::move(ticket));
        };
        if (dice() % 4 == 0) {
          if (Ticket ticket = budget->try_reserve(size)) {
            requests++;
            done({}, std::move(ticket));
          }
          continue;
        }
        requests++;
        const auto request = budget->reserve(size, std::move(done));
        if (dice() % 3 == 0) budget->cancel(request);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(answers == requests);
  CHECK(granted > 0);
  CHECK(budget->state().bytes == 0);
  CHECK(budget->state().images == 0);
  CHECK(budget->state().waiting == 0);
}
