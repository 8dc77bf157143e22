#include "addon/environment.h"

#include <atomic>
#include <utility>

namespace manyscale::addon {

Napi::Error to_javascript(Napi::Env env, const Error& error) {
  Napi::Error value = Napi::Error::New(env, error.what());
  value.Set("code", error_code_name(error.code()));
  return value;
}

void Environment::create(Napi::Env env) { env.SetInstanceData<Environment>(new Environment(env)); }

Environment::Environment(Napi::Env env)
    : env_(env),
      float32_array_(Napi::Persistent(env.Global().Get("Float32Array").As<Napi::Function>())),
      uint16_array_(Napi::Persistent(env.Global().Get("Uint16Array").As<Napi::Function>())) {
  const napi_status status = napi_create_threadsafe_function(
      env, nullptr, nullptr, Napi::String::New(env, "manyscale"), 0, 1, nullptr, nullptr, this,
      [](napi_env call_env, napi_value, void* context, void*) {
        if (call_env != nullptr) static_cast<Environment*>(context)->settle();
      },
      &channel_);
  if (status != napi_ok) throw Napi::Error::New(env, "Expected a completion channel for manyscale but Node refused to make one");
  napi_unref_threadsafe_function(env, channel_);
  // Hooks run last in, first out: this one before the channel's own.
  napi_add_env_cleanup_hook(
      env, [](void* self) { static_cast<Environment*>(self)->close(); }, this);
}

Napi::TypedArray Environment::new_float32_array(int64_t elements) const {
  return float32_array_.New({Napi::Number::New(env_, static_cast<double>(elements))}).As<Napi::TypedArray>();
}

Napi::TypedArray Environment::new_uint16_array(int64_t elements) const {
  return uint16_array_.New({Napi::Number::New(env_, static_cast<double>(elements))}).As<Napi::TypedArray>();
}

Napi::Value Environment::run(Call call, const std::function<std::function<void()>(Completion)>& start) {
  const Napi::Env env(env_);
  auto deferred = Napi::Promise::Deferred::New(env);
  const uint64_t id = next_id_++;
  const Completion completion(this, id);
  if (in_flight_.empty()) napi_ref_threadsafe_function(env_, channel_);  // a promise in flight keeps the process alive
  in_flight_.emplace(id, InFlight{deferred, std::move(call), {}});
  {
    const std::lock_guard lock(mutex_);
    pending_++;
  }
  try {
    in_flight_.at(id).cancel = start(completion);
  } catch (...) {  // also no thread for it: a call that never ended would keep the environment from closing
    completion(current_error());
  }

  Napi::Object job = Napi::Object::New(env);
  job.Set("promise", deferred.Promise());
  job.Set("cancel", Napi::Function::New(env, [this, id](const Napi::CallbackInfo&) {
            const auto found = in_flight_.find(id);
            if (found != in_flight_.end() && found->second.cancel) found->second.cancel();
          }));
  return job;
}

// Either the executor begins a task or a cancellation takes it away from it.
struct Environment::Task {
  std::atomic<bool> taken{false};
  std::function<void()> work;
};

Napi::Value Environment::run_task(Call call, engine::Priority priority, std::function<void()> work, std::function<void()> interrupt) {
  return run(std::move(call), [&](Completion completion) -> std::function<void()> {
    const auto task = std::make_shared<Task>();
    task->work = std::move(work);
    std::function<void()> cancel = [completion, task, interrupt] {
      if (task->taken.exchange(true)) {
        if (interrupt) interrupt();
        return;
      }
      task->work = nullptr;
      completion(Error(ErrorCode::kCancelled, "cancelled"));
    };
    engine::submit_task(
        [completion, task] {
          if (task->taken.exchange(true)) return;  // nothing of the environment may be touched: it may be gone
          std::optional<Error> error;
          try {
            task->work();
          } catch (...) {
            error = current_error();
          }
          task->work = nullptr;  // with what it holds: after the completion nothing of the call may be left
          completion(std::move(error));
        },
        priority);
    return cancel;
  });
}

void Environment::complete(std::list<Ended>& end) noexcept {
  {
    const std::lock_guard lock(mutex_);
    ended_.splice(ended_.end(), end);
  }
  // Not under the lock: this wakes the JavaScript thread, which wants it, on a thread of lower priority. The call is still pending, so that
  // the environment stays. Refused only when it is closing: nobody waits for the promise then.
  napi_call_threadsafe_function(channel_, nullptr, napi_tsfn_nonblocking);
  const std::lock_guard lock(mutex_);
  pending_--;
  idle_.notify_all();
}

void Environment::settle() {
  const Napi::Env env(env_);
  const Napi::HandleScope scope(env);
  std::list<Ended> ended;
  {
    const std::lock_guard lock(mutex_);
    ended.swap(ended_);
  }
  for (Ended& end : ended) {
    const auto found = in_flight_.find(end.id);
    InFlight call = std::move(found->second);
    in_flight_.erase(found);
    if (in_flight_.empty()) napi_unref_threadsafe_function(env_, channel_);
    settle_one(env, call, end.error);
  }
}

// Nothing is thrown here: when JavaScript can no longer run (a worker thread that is being ended) nobody waits either.
void Environment::settle_one(Napi::Env env, const InFlight& call, const std::optional<Error>& error) {
  const Napi::HandleScope scope(env);
  try {
    if (error) {
      call.deferred.Reject(to_javascript(env, *error).Value());
      return;
    }
    Napi::Value value;
    try {
      value = guarded(env, [&] { return call.call.result(env); });
    } catch (const Napi::Error& failure) {
      call.deferred.Reject(failure.Value());
      return;
    }
    call.deferred.Resolve(value);
  } catch (const Napi::Error&) {
  }
}

void Environment::cancel_all() {
  for (auto& [id, call] : in_flight_) {
    if (call.cancel) call.cancel();
  }
}

bool Environment::stop(std::chrono::milliseconds patience) {
  cancel_all();
  std::unique_lock lock(mutex_);
  return idle_.wait_for(lock, patience, [this] { return pending_ == 0; });
}

void Environment::close() {
  cancel_all();
  {
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [this] { return pending_ == 0; });
  }
  in_flight_.clear();
}

}  // namespace manyscale::addon
