// Models: loading, probing, extracting. A session is a plain object whose methods hold the engine: there is no native handle
// that JavaScript could pass to the wrong function.
#include <algorithm>
#include <atomic>
#include <memory>
#include <utility>

#include "addon/convert.h"
#include "addon/environment.h"
#include "addon/exports.h"
#include "engine/budget.h"
#include "engine/model.h"

namespace manyscale::addon {
namespace {

// What the methods of one session share.
struct Session {
  std::shared_ptr<engine::Client> client;
  std::shared_ptr<engine::Budget> budget;
  std::atomic<size_t> batch_class{SIZE_MAX};  // none before configure()

  engine::TileEngine& engine() const { return client->engine(); }
};
using SessionPointer = std::shared_ptr<Session>;

// Indices are checked where they are used, by the engine.
size_t to_index(double value) { return value >= 0 && value < INT32_MAX ? static_cast<size_t>(value) : SIZE_MAX; }

split::TileLayout to_tile_layout(const std::string& name) {
  if (name == "nchw") return split::TileLayout::kNchw;
  if (name == "nhwc") return split::TileLayout::kNhwc;
  throw Error(ErrorCode::kInvalidArgument, "Expected 'nchw' or 'nhwc' for a layout of tiles but received '" + name + "'");
}

engine::ModelConfiguration to_configuration(const Napi::Object& object) {
  engine::ModelConfiguration configuration;
  configuration.input = to_index(get_number(object, "input"));
  for (const double output : to_numbers(get_array(object, "outputs"), "outputs")) configuration.outputs.push_back(to_index(output));
  configuration.tile = to_size(get_object(object, "tile"));
  configuration.fixed_batch = get_integer(object, "fixedBatch");
  configuration.layout = to_tile_layout(get_string(object, "layout"));
  return configuration;
}

Napi::Value probe(const SessionPointer& session, const Napi::CallbackInfo& info) {
  const engine::ModelConfiguration configuration = to_configuration(argument_object(info, 0));
  const auto found = std::make_shared<std::vector<runtime::ValueInfo>>();
  const auto control = std::make_shared<runtime::RunControl>();
  Environment::Call call;
  call.result = [found](Napi::Env env) -> Napi::Value {
    Napi::Array values = Napi::Array::New(env, found->size());
    for (size_t i = 0; i < found->size(); i++) values.Set(static_cast<uint32_t>(i), from_value_info(env, (*found)[i]));
    return values;
  };
  return Environment::of(info.Env())
      .run_task(
          std::move(call), engine::Priority::kModel,
          [session, configuration, found, control] { *found = session->engine().probe(configuration, control.get()); }, [control] { control->cancel(); });
}

Napi::Value configure(const SessionPointer& session, const Napi::CallbackInfo& info) {
  const engine::ModelConfiguration configuration = to_configuration(argument_object(info, 0));
  const std::vector<std::vector<int64_t>> output_dims = to_lists_of_integers(argument_object(info, 1).As<Napi::Array>(), "outputDims");
  const auto control = std::make_shared<runtime::RunControl>();
  Environment::Call call;
  call.result = [session](Napi::Env env) -> Napi::Value {
    const engine::Batching batching = session->engine().batching(session->batch_class);
    Napi::Object value = Napi::Object::New(env);
    value.Set("invariant", batching.invariant);
    value.Set("size", static_cast<double>(batching.size));
    value.Set("fixed", batching.fixed);
    value.Set("workers", session->engine().workers());
    return value;
  };
  return Environment::of(info.Env())
      .run_task(
          std::move(call), engine::Priority::kModel,
          [session, configuration, output_dims, control] { session->batch_class = session->engine().configure(configuration, output_dims, control.get()); },
          [control] { control->cancel(); });
}

Napi::Object make_ticket(Napi::Env env, std::shared_ptr<engine::Budget::Ticket> ticket) {
  const auto held = std::make_shared<std::shared_ptr<engine::Budget::Ticket>>(std::move(ticket));
  Napi::Object object = Napi::Object::New(env);
  export_function(env, object, "release", [held](const Napi::CallbackInfo& info) {
    held->reset();
    return info.Env().Undefined();
  });
  return object;
}

Napi::Value try_reserve(const SessionPointer& session, const Napi::CallbackInfo& info) {
  auto ticket = session->budget->try_reserve(argument_integer(info, 0));
  if (!ticket) return info.Env().Undefined();
  return make_ticket(info.Env(), std::move(ticket));
}

Napi::Value reserve(const SessionPointer& session, const Napi::CallbackInfo& info) {
  const int64_t bytes = argument_integer(info, 0);
  const auto granted = std::make_shared<std::shared_ptr<engine::Budget::Ticket>>();
  Environment::Call call;
  call.result = [granted](Napi::Env env) -> Napi::Value { return make_ticket(env, std::move(*granted)); };
  return Environment::of(info.Env()).run(std::move(call), [&](Environment::Completion completion) -> std::function<void()> {
    const auto budget = session->budget;
    // What cancels it is made first: once the budget has the request nothing may fail, or the call would end twice.
    const auto request = std::make_shared<std::shared_ptr<engine::Budget::Request>>();
    std::function<void()> cancel = [budget, request] { budget->cancel(*request); };
    *request = budget->reserve(bytes, [completion, granted](std::optional<Error> error, std::shared_ptr<engine::Budget::Ticket> ticket) {
      *granted = std::move(ticket);
      completion(std::move(error));
    });
    return cancel;
  });
}

pool::OutputType to_output_type(const std::string& name) {
  if (name == "float32") return pool::OutputType::kFloat32;
  if (name == "float16") return pool::OutputType::kFloat16;
  throw Error(ErrorCode::kInvalidArgument, "Expected 'float32' or 'float16' for dtype but received '" + name + "'");
}

Napi::Value extract(const SessionPointer& session, const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Napi::Object object = argument_object(info, 0);
  const ImageArgument image = to_image(get_object(object, "image"));

  engine::ImageRequest request;
  request.batch_class = session->batch_class;
  request.split = to_split_request(object, image.source);
  request.split.joined = true;
  request.pixels = image.data;
  engine::PoolRequest pool;
  pool.plan = request.split.plan;
  pool.options = to_pool_options(object);
  pool.sequence = get_boolean(object, "sequence");
  const std::vector<pool::ScaleFeatures> outputs = to_tile_features(object);
  const size_t repeats = pool.sequence ? 1 : pool.plan.scales.size();
  for (size_t s = 0; s < repeats; s++) pool.features.insert(pool.features.end(), outputs.begin(), outputs.end());
  pool.joined = true;
  pool.options.type = to_output_type(get_string(object, "dtype"));
  request.sequence = pool.sequence;
  request.pool = engine::pool_params(pool);
  const Result result = make_result(env, request.pool.output_elements(), pool.options.type);
  request.destination = result.data;

  const auto array = std::make_shared<Napi::Reference<Napi::TypedArray>>(Napi::Persistent(result.array));
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
    // What cancels it is made first: once the engine has the image nothing may fail, or the call would end twice.
    const auto in_flight = std::make_shared<std::shared_ptr<engine::Image>>();
    std::function<void()> cancel = [client = session->client, in_flight] { client->cancel(*in_flight); };
    *in_flight = session->client->submit(std::move(request));
    return cancel;
  });
}

Napi::Value stats(const SessionPointer& session, const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const engine::EngineStats now = session->engine().stats();
  const engine::Budget::State budget = session->budget->state();
  const auto object = [env](std::initializer_list<std::pair<const char*, int64_t>> members) {
    Napi::Object value = Napi::Object::New(env);
    for (const auto& [name, number] : members) value.Set(name, static_cast<double>(number));
    return value;
  };
  Napi::Object value = Napi::Object::New(env);
  value.Set("tiles", object({{"queued", now.tiles_queued}, {"running", now.tiles_running}, {"done", now.tiles_done}}));
  value.Set("batches", object({{"done", now.batches_done}, {"rows", now.rows_done}}));
  value.Set("bytes", object({{"inFlight", budget.bytes}, {"limit", budget.max_bytes}, {"waiting", budget.waiting}}));
  return value;
}

Napi::Value shrink(const SessionPointer& session, const Napi::CallbackInfo& info) {
  Environment::Call call;
  call.result = [](Napi::Env env) -> Napi::Value { return env.Undefined(); };
  const auto control = std::make_shared<runtime::RunControl>();  // the process may want to end, and a padded batch takes long
  return Environment::of(info.Env())
      .run_task(
          std::move(call), engine::Priority::kSplit, [session, control] { session->engine().shrink(control.get()); }, [control] { control->cancel(); });
}

Napi::Value dispose(const SessionPointer& session, const Napi::CallbackInfo& info) {
  Environment::Call call;
  call.result = [](Napi::Env env) -> Napi::Value { return env.Undefined(); };
  const Napi::Value job = Environment::of(info.Env()).run(std::move(call), [&](Environment::Completion completion) -> std::function<void()> {
    // Freeing a model takes milliseconds: not on the JavaScript thread.
    // The list is made here, where it may fail: the task cannot.
    const auto done = std::make_shared<engine::Callbacks>(1, [completion] { completion(std::nullopt); });
    engine::submit_task([client = session->client, done] { client->dispose(std::move(*done)); }, engine::Priority::kPool);
    return [] {};
  });
  return job.As<Napi::Object>().Get("promise");
}

Napi::Value make_session(Napi::Env env, const SessionPointer& shared, const engine::RuntimeDescription& runtime) {
  const runtime::Session& session = shared->engine().session();
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

  using Method = Napi::Value (*)(const SessionPointer&, const Napi::CallbackInfo&);
  const std::pair<const char*, Method> methods[] = {{"probe", probe},     {"configure", configure}, {"tryReserve", try_reserve}, {"reserve", reserve},
                                                    {"extract", extract}, {"stats", stats},         {"shrink", shrink},          {"dispose", dispose}};
  for (const auto& [name, method] : methods) {
    export_function(env, object, name, [shared, method](const Napi::CallbackInfo& info) { return method(shared, info); });
  }
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
  engine::EngineOptions options;
  options.workers = static_cast<int>(std::min<int64_t>(get_integer(object, "threads"), INT32_MAX));
  options.max_batch = get_integer(object, "maxBatch");
  options.max_delay_ms = get_number(object, "maxDelay");
  options.deterministic = get_boolean(object, "deterministic");
  const int64_t max_bytes = get_integer(object, "maxBytes");
  engine::ModelSource source;
  source.identity = get_string(object, "identity");
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
    SessionPointer session = std::make_shared<Session>();
    engine::RuntimeDescription runtime;
  };
  const auto loaded = std::make_shared<Loaded>();
  Environment::Call call;
  call.result = [loaded](Napi::Env env) -> Napi::Value { return make_session(env, loaded->session, loaded->runtime); };
  return Environment::of(info.Env()).run_task(std::move(call), engine::Priority::kModel, [loaded, path, source = std::move(source), options, max_bytes] {
    Session& session = *loaded->session;
    const std::shared_ptr<engine::Budget>& common = engine::Budget::common();
    session.budget = max_bytes > 0 ? std::make_shared<engine::Budget>(max_bytes) : common;
    session.client = engine::load_model(path, source, options);
    loaded->runtime = engine::describe_runtime(path, false);
  });
}

}  // namespace

void export_sessions(Napi::Env env, Napi::Object exports) {
  export_function(env, exports, "runtimeInfo", runtime_info);
  export_function(env, exports, "loadSession", load_session);
}

}  // namespace manyscale::addon
