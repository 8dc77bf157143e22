// What the addon keeps for one JavaScript environment (the main thread or one worker thread): calls in flight and the
// channel on which their ends reach the JavaScript thread. Nothing is shared between environments.
#pragma once

#include <napi.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "core/error.h"
#include "engine/parts.h"

namespace manyscale::addon {

// An Error as the JavaScript error that src/native/addon.ts describes: { message, code }.
Napi::Error to_javascript(Napi::Env env, const Error& error);

// Runs `body` and turns whatever C++ exception it ends with into a JavaScript one: node-addon-api ends the process at any other.
template <typename Body>
auto guarded(Napi::Env env, Body body) -> decltype(body()) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    throw to_javascript(env, current_error());
  }
}

class Environment {
 public:
  static void create(Napi::Env env);  // at module load, once per environment
  static Environment& of(Napi::Env env) { return *env.GetInstanceData<Environment>(); }

  struct Ended {
    uint64_t id;
    std::optional<Error> error;
  };

  // Tells the environment, from any thread and once, that native code has let go of everything that belongs to the call.
  class Completion {
   public:
    void operator()(std::optional<Error> error) const noexcept {
      end_->front().error = std::move(error);
      environment_->complete(*end_);
    }

   private:
    friend class Environment;
    Completion(Environment* environment, uint64_t id) : environment_(environment), end_(std::make_shared<std::list<Ended>>(1, Ended{id, std::nullopt})) {}
    Environment* environment_;
    std::shared_ptr<std::list<Ended>> end_;  // made ahead: telling the end allocates nothing, so it cannot fail
  };

  struct Call {
    // On the JavaScript thread after success: the value that the promise gets.
    std::function<Napi::Value(Napi::Env)> result;
    // Values that native code reads or writes while the call lasts.
    std::vector<Napi::Reference<Napi::Value>> keep;
  };
  // Starts a call: `start` is given the completion and returns what cancels the call. Returns { promise, cancel }.
  Napi::Value run(Call call, const std::function<std::function<void()>(Completion)>& start);

  // The common case: `work` runs on a thread of the executor. A cancelled call that has not begun ends at once: it waits no longer
  // behind other environments' work, and its memory is free.
  // `interrupt`, if there is one, asks a task that has begun for an early end, from the JavaScript thread.
  Napi::Value run_task(Call call, engine::Priority priority, std::function<void()> work, std::function<void()> interrupt = nullptr);

  // Asks every call for an early end and waits for them, at most this long: false when some are still at work. For the end of the
  // process: process.exit() destroys ONNX Runtime's globals without waiting for threads that are inside it.
  bool stop(std::chrono::milliseconds patience);

  // new Float32Array(elements), new Uint16Array(elements). Through JavaScript's own constructors, which throw when there is not
  // enough memory: napi_create_arraybuffer ends the process then.
  Napi::TypedArray new_float32_array(int64_t elements) const;
  Napi::TypedArray new_uint16_array(int64_t elements) const;

  ~Environment() = default;

 private:
  struct InFlight {
    Napi::Promise::Deferred deferred;
    Call call;
    std::function<void()> cancel;
  };
  struct Task;

  explicit Environment(Napi::Env env);
  void complete(std::list<Ended>& end) noexcept;
  void settle();  // on the JavaScript thread: everything that ended since the last time
  static void settle_one(Napi::Env env, const InFlight& call, const std::optional<Error>& error);
  void cancel_all();
  void close();  // the environment ends: cancel everything and wait for it

  napi_env env_;
  Napi::FunctionReference float32_array_;
  Napi::FunctionReference uint16_array_;
  napi_threadsafe_function channel_ = nullptr;  // unreferenced while nothing is in flight, so that the process can end
  uint64_t next_id_ = 1;
  std::unordered_map<uint64_t, InFlight> in_flight_;  // JavaScript thread only

  std::mutex mutex_;
  std::condition_variable idle_;
  int64_t pending_ = 0;  // calls that native code still works on
  std::list<Ended> ended_;
};

}  // namespace manyscale::addon
