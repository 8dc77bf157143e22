#include "engine/budget.h"

#include <algorithm>
#include <string>
#include <utility>

#include "core/checked.h"
#include "device/cpu/memory.h"

namespace manyscale::engine {
namespace {

constexpr int64_t kShareOfMemory = 4;  // one part of so many

// 1.5 MB, 2.0 GB: rounded up what is needed and down what is allowed, so that the two never look alike.
enum class Round { kUp, kDown };
std::string megabytes(int64_t bytes, Round round) {
  const bool large = bytes >= 1'000'000'000;
  const int64_t tenth = large ? 100'000'000 : 100'000;
  const int64_t tenths = round == Round::kUp ? ceil_div(bytes, tenth) : bytes / tenth;
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + (large ? " GB" : " MB");
}

}  // namespace

// Guarded by the budget's mutex until it is answered.
class Budget::Request {
  friend class Budget;
  int64_t bytes = 0;
  Done done;
  std::shared_ptr<Ticket> ticket = std::make_shared<Ticket>();  // made ahead: granting it cannot fail
  std::optional<Error> error;
  bool waits = true;
  Requests::iterator place;  // in `waiting_`, while it waits
};

Budget::Budget(int64_t max_bytes) : max_bytes_(std::max<int64_t>(max_bytes, 1)), cancelled_(ErrorCode::kCancelled, "cancelled") {}

const std::shared_ptr<Budget>& Budget::common() {
  static const auto* const budget = new std::shared_ptr<Budget>(std::make_shared<Budget>(cpu::usable_memory() / kShareOfMemory));
  return *budget;
}

Budget::Ticket::~Ticket() {
  if (budget_) budget_->give_back(bytes_);
}

std::shared_ptr<Budget::Ticket> Budget::try_reserve(int64_t bytes) {
  check(bytes);
  auto ticket = std::make_shared<Ticket>();
  const std::lock_guard lock(mutex_);
  if (!waiting_.empty() || !has_room(bytes)) return nullptr;
  grant(*ticket, bytes);
  return ticket;
}

std::shared_ptr<Budget::Request> Budget::reserve(int64_t bytes, Done done) {
  check(bytes);
  const auto request = std::make_shared<Request>();
  request->bytes = bytes;
  request->done = std::move(done);
  Requests one{request};
  request->place = one.begin();
  Requests answered;
  {
    const std::lock_guard lock(mutex_);
    waiting_.splice(waiting_.end(), one);
    admit(answered);
  }
  answer(answered);
  return request;
}

void Budget::cancel(const std::shared_ptr<Request>& request) {
  Requests answered;
  {
    const std::lock_guard lock(mutex_);
    if (!request->waits) return;
    request->waits = false;
    request->error = cancelled_;
    answered.splice(answered.end(), waiting_, request->place);
    admit(answered);  // it may have been what the others waited behind
  }
  answer(answered);
}

Budget::State Budget::state() const {
  const std::lock_guard lock(mutex_);
  return {bytes_, images_, static_cast<int64_t>(waiting_.size()), max_bytes_};
}

void Budget::check(int64_t bytes) const {
  if (bytes < 0) throw Error(ErrorCode::kInvalidArgument, "Expected zero or more bytes for an image but received " + std::to_string(bytes));
  if (bytes <= max_bytes_) return;
  throw Error(ErrorCode::kImageTooLarge, "Expected at most " + megabytes(max_bytes_, Round::kDown) +
                                             " (maxBytes) for an image in work but received one that needs " + megabytes(bytes, Round::kUp) +
                                             "; raise maxBytes, or use smaller scales or a smaller image");
}

bool Budget::has_room(int64_t bytes) const { return bytes <= max_bytes_ - bytes_; }

void Budget::grant(Ticket& ticket, int64_t bytes) {
  ticket.budget_ = shared_from_this();
  ticket.bytes_ = bytes;
  bytes_ += bytes;
  images_++;
}

// Whoever waits longest, as long as there is room: moved to `answered`.
void Budget::admit(Requests& answered) {
  while (!waiting_.empty() && has_room(waiting_.front()->bytes)) {
    Request& request = *waiting_.front();
    grant(*request.ticket, request.bytes);
    request.waits = false;
    answered.splice(answered.end(), waiting_, waiting_.begin());
  }
}

void Budget::give_back(int64_t bytes) noexcept {
  Requests answered;
  {
    const std::lock_guard lock(mutex_);
    bytes_ -= bytes;
    images_--;
    admit(answered);
  }
  answer(answered);
}

// Tells them, outside the lock. A callback that drops its ticket lets in others: these are told by the loop that called it, so that the
// stack stays flat however many wait.
void Budget::answer(Requests& answered) noexcept {
  thread_local Requests* telling = nullptr;
  if (telling) {
    telling->splice(telling->end(), answered);
    return;
  }
  telling = &answered;
  while (!answered.empty()) {
    const std::shared_ptr<Request> request = std::move(answered.front());
    answered.pop_front();
    const Done done = std::exchange(request->done, nullptr);
    auto ticket = std::exchange(request->ticket, nullptr);
    if (request->error) ticket.reset();
    done(std::move(request->error), std::move(ticket));
  }
  telling = nullptr;
}

}  // namespace manyscale::engine
