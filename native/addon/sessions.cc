// Models: loading, probing, extracting. A session is a plain object whose methods hold the engine: there is no native handle
// that JavaScript could pass to the wrong function.
#include <memory>
#include <utility>

#include "addon/convert.h"
#include "addon/environment.h"
#include "addon/exports.h"

namespace manyscale::addon {
namespace {

using EnginePointer = std::shared_ptr<engine::TileEngine>;

engine::ModelConfiguration to_configuration(const Napi::Object& object) {
  engine::ModelConfiguration configuration;
  configuration.input = static_cast<size_t>(get_integer(object, "input"));
  configuration.output = static_cast<size_t>(get_integer(object, "output"));
  configuration.tile = to_size(get_object(object, "tile"));
  configuration.fixed_batch = get_integer(object, "fixedBatch");
  configuration.max_batch = get_integer(object, "maxBatch");
  return configuration;
}

void check_index(size_t index, size_t count, const char* what) {
  if (index >= count)
    throw Error(ErrorCode::kInvalidArgument,
                std::string("Expected an index below ") + std::to_string(count) + " for " + what + " but received " + std::to_string(index));
}

Napi::Value probe(const EnginePointer& engine, const std::shared_ptr<const std::pair<size_t, size_t>>& counts, const Napi::CallbackInfo& info) {
  const engine::ModelConfiguration configuration = to_configuration(argument_object(info, 0));
  check_index(configuration.input, counts->first, "a model's input");
  std::vector<size_t> outputs;
  const Napi::Array array = argument_object(info, 1).As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); i++) {
    outputs.push_back(array.Get(i).As<Napi::Number>().Uint32Value());
    check_index(outputs.back(), counts->second, "a model's output");
  }
  const auto found = std::make_shared<std::vector<runtime::ValueInfo>>();
  Environment::Call call;
  call.result = [found](Napi::Env env) -> Napi::Value {
    Napi::Array values = Napi::Array::New(env, found->size());
    for (size_t i = 0; i < found->size(); i++) values.Set(static_cast<uint32_t>(i), from_value_info(env, (*found)[i]));
    return values;
  };
  return Environment::of(info.Env()).run_task(std::move(call), engine::Priority::kModel, [engine, configuration, outputs, found] {
    *found = engine->probe(configuration, outputs, nullptr);
  });
}

Napi::Value extract(const EnginePointer& engine, const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Napi::Object object = argument_object(info, 0);
  const ImageArgument image = to_image(get_object(object, "image"));

  engine::TileEngine::Request request;
  request.split = to_split_request(object, image.source);
  request.split.joined = true;
  request.pixels = image.data;
  engine::PoolRequest pool;
  pool.plan = request.split.plan;
  pool.input = to_layout(get_string(object, "layout"));
  pool.output = to_layout(get_string(object, "outputLayout"));
  pool.prefix = get_integer(object, "numPrefixTokens");
  pool.features.assign(pool.plan.scales.size(), {to_size(get_object(object, "grid")), get_integer(object, "channels")});
  pool.joined = true;
  request.pool = engine::pool_params(pool);
  const Result result = make_result(env, request.pool.output_elements());
  request.destination = result.data;

  const auto array = std::make_shared<Napi::Reference<Napi::Float32Array>>(Napi::Persistent(result.array));
  const auto timings = std::make_shared<engine::Timings>();
  Environment::Call call;
  call.keep.push_back(Napi::Persistent(image.value));
  call.result = [array, timings](Napi::Env result_env) -> Napi::Value {
    Napi::Object value = Napi::Object::New(result_env);
    value.Set("data", array->Value());
    value.Set("timings", from_timings(result_env, *timings));
    return value;
  };
  return Environment::of(env).run(std::move(call), [&](Environment::Completion completion) -> std::function<void()> {
    request.done = [completion, timings, copy = image.copy](const std::optional<Error>& error, const engine::Timings& measured) {
      *timings = measured;
      completion(error);
    };
    const auto in_flight = engine->submit(std::move(request));
    return [engine, in_flight] { engine->cancel(in_flight); };
  });
}

Napi::Value dispose(const EnginePointer& engine, const Napi::CallbackInfo& info) {
  Environment::Call call;
  call.result = [](Napi::Env env) -> Napi::Value { return env.Undefined(); };
  const Napi::Value job = Environment::of(info.Env()).run(std::move(call), [&](Environment::Completion completion) -> std::function<void()> {
    // Freeing a model takes milliseconds: not on the JavaScript thread.
    engine::submit_task([engine, completion] { engine->dispose([completion] { completion(std::nullopt); }); }, engine::Priority::kModel);
    return [] {};
  });
  return job.As<Napi::Object>().Get("promise");
}

Napi::Value make_session(Napi::Env env, const EnginePointer& engine, const engine::RuntimeDescription& runtime) {
  const runtime::Session& session = engine->session();
  const auto values = [env](const std::vector<runtime::ValueInfo>& infos) {
    Napi::Array array = Napi::Array::New(env, infos.size());
    for (size_t i = 0; i < infos.size(); i++) array.Set(static_cast<uint32_t>(i), from_value_info(env, infos[i]));
    return array;
  };
  Napi::Object object = Napi::Object::New(env);
  object.Set("inputs", values(session.inputs()));
  object.Set("outputs", values(session.outputs()));
  Napi::Object metadata = Napi::Object::New(env);
  for (const auto& [key, value] : session.metadata()) metadata.Set(key, value);
  object.Set("metadata", metadata);
  object.Set("producer", session.producer());
  object.Set("graphName", session.graph_name());
  object.Set("runtime", from_runtime(env, runtime));

  const auto counts = std::make_shared<const std::pair<size_t, size_t>>(session.inputs().size(), session.outputs().size());
  export_function(env, object, "probe", [engine, counts](const Napi::CallbackInfo& info) { return probe(engine, counts, info); });
  export_function(env, object, "configure", [engine, counts](const Napi::CallbackInfo& info) {
    const engine::ModelConfiguration configuration = to_configuration(argument_object(info, 0));
    check_index(configuration.input, counts->first, "a model's input");
    check_index(configuration.output, counts->second, "a model's output");
    engine->configure(configuration);
    return info.Env().Undefined();
  });
  export_function(env, object, "extract", [engine](const Napi::CallbackInfo& info) { return extract(engine, info); });
  export_function(env, object, "dispose", [engine](const Napi::CallbackInfo& info) { return dispose(engine, info); });
  return object;
}

Napi::Value runtime_info(const Napi::CallbackInfo& info) {
  if (!info[0].IsString()) throw Error(ErrorCode::kInvalidArgument, "Expected a string for the runtime's path but received another type");
  const std::string path = info[0].As<Napi::String>().Utf8Value();
  const bool probe_providers = info[1].IsBoolean() && info[1].As<Napi::Boolean>().Value();
  const auto description = std::make_shared<engine::RuntimeDescription>();
  Environment::Call call;
  call.result = [description](Napi::Env env) -> Napi::Value { return from_runtime(env, *description); };
  return Environment::of(info.Env()).run_task(std::move(call), engine::Priority::kModel, [description, path, probe_providers] {
    *description = engine::describe_runtime(path, probe_providers);
  });
}

Napi::Value load_session(const Napi::CallbackInfo& info) {
  const Napi::Object object = argument_object(info, 0);
  const std::string path = get_string(object, "runtime");
  const int threads = static_cast<int>(get_integer(object, "threads"));
  engine::ModelSource source;
  const Napi::Value model = object.Get("model");
  if (model.IsString()) {
    source.path = model.As<Napi::String>().Utf8Value();
  } else if (model.IsTypedArray()) {
    void* data = nullptr;
    napi_get_typedarray_info(info.Env(), model, nullptr, nullptr, &data, nullptr, nullptr);
    const size_t bytes = model.As<Napi::TypedArray>().ByteLength();
    source.bytes.assign(static_cast<const char*>(data), static_cast<const char*>(data) + bytes);
  } else {
    throw Error(ErrorCode::kInvalidArgument, "Expected a path or bytes for a model but received another type");
  }

  struct Loaded {
    EnginePointer engine;
    engine::RuntimeDescription runtime;
  };
  const auto loaded = std::make_shared<Loaded>();
  Environment::Call call;
  call.result = [loaded](Napi::Env env) -> Napi::Value { return make_session(env, loaded->engine, loaded->runtime); };
  return Environment::of(info.Env()).run_task(std::move(call), engine::Priority::kModel, [loaded, path, source = std::move(source), threads] {
    loaded->engine = engine::load_model(path, source, threads);
    loaded->runtime = engine::describe_runtime(path, false);
  });
}

}  // namespace

void export_sessions(Napi::Env env, Napi::Object exports) {
  export_function(env, exports, "runtimeInfo", runtime_info);
  export_function(env, exports, "loadSession", load_session);
}

}  // namespace manyscale::addon
