// The addon's entry.
#include "addon/environment.h"
#include "addon/exports.h"
#include "core/isa.h"
#include "engine/parts.h"

namespace manyscale::addon {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr const char* kSanitizers = "address";
#elif defined(__SANITIZE_THREAD__)
constexpr const char* kSanitizers = "thread";
#else
constexpr const char* kSanitizers = "";
#endif

#if defined(__x86_64__)
constexpr const char* kArchitecture = "x64";
#elif defined(__aarch64__)
constexpr const char* kArchitecture = "arm64";
#else
constexpr const char* kArchitecture = "other";
#endif

#if defined(__clang__)
constexpr const char* kCompiler = "clang " __clang_version__;
#else
constexpr const char* kCompiler = "gcc " __VERSION__;
#endif

Napi::Value build_info(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Object object = Napi::Object::New(env);
  object.Set("version", MANYSCALE_VERSION);
  object.Set("compiler", kCompiler);
  object.Set("architecture", kArchitecture);
  Napi::Array isas = Napi::Array::New(env);
  for (const Isa isa : available_isas()) isas.Set(isas.Length(), isa_name(isa));
  object.Set("isas", isas);
  object.Set("threads", engine::executor_threads());
  object.Set("cuda", false);
  object.Set("sanitizers", kSanitizers);
  return object;
}

Napi::Value kernels(const Napi::CallbackInfo& info) {
  Napi::Object object = Napi::Object::New(info.Env());
  object.Set("split", engine::split_kernel_isa());
  object.Set("pool", engine::pool_kernel_isa());
  return object;
}

Napi::Value stop(const Napi::CallbackInfo& info) {
  const int64_t patience = info[0].IsNumber() ? info[0].As<Napi::Number>().Int64Value() : 0;
  return Napi::Boolean::New(info.Env(), Environment::of(info.Env()).stop(std::chrono::milliseconds(patience)));
}

// Frees an ArrayBuffer's memory now instead of when it is collected.
Napi::Value discard(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (info[0].IsArrayBuffer()) napi_detach_arraybuffer(env, info[0]);
  return env.Undefined();
}

Napi::Value return_free_memory(const Napi::CallbackInfo& info) {
  Environment::Call call;
  call.result = [](Napi::Env env) -> Napi::Value { return env.Undefined(); };
  return Environment::of(info.Env()).run_task(std::move(call), engine::Priority::kSplit, engine::return_free_memory);
}

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  Environment::create(env);
  export_function(env, exports, "buildInfo", build_info);
  export_function(env, exports, "kernels", kernels);
  export_function(env, exports, "stop", stop);
  export_function(env, exports, "discard", discard);
  export_function(env, exports, "returnFreeMemory", return_free_memory);
  export_operations(env, exports);
  export_devices(env, exports);
  export_sessions(env, exports);
  return exports;
}

NODE_API_MODULE(manyscale, initialise)

}  // namespace
}  // namespace manyscale::addon
