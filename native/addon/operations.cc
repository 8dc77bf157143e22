// The plan and the parts on their own.
#include <memory>
#include <utility>

#include "addon/convert.h"
#include "addon/environment.h"
#include "addon/exports.h"
#include "core/checked.h"
#include "core/grid.h"

namespace manyscale::addon {
namespace {

Napi::Value plan(const Napi::CallbackInfo& info) {
  return from_plan(info.Env(), make_plan(to_size(argument_object(info, 0)), to_plan_options(argument_object(info, 1))));
}

Napi::Value preset_plan(const Napi::CallbackInfo& info) {
  return from_plan(info.Env(), make_preset_plan(to_size(argument_object(info, 0)), to_preset_options(argument_object(info, 1))));
}

Napi::Value check_plan(const Napi::CallbackInfo& info) {
  to_plan(argument_object(info, 0));
  return info.Env().Undefined();
}

Napi::Value merged_grids(const Napi::CallbackInfo& info) {
  const Plan plan = to_plan(argument_object(info, 0));
  const Size grid = to_size(argument_object(info, 1));
  Napi::Array grids = Napi::Array::New(info.Env(), plan.scales.size());
  for (size_t i = 0; i < plan.scales.size(); i++) grids.Set(static_cast<uint32_t>(i), from_size(info.Env(), engine::merged_grid(plan.scales[i], grid)));
  return grids;
}

Napi::Value find_grid(const Napi::CallbackInfo& info) {
  return from_size(info.Env(), manyscale::find_grid(to_size(argument_object(info, 0)), argument_integer(info, 1), argument_integer(info, 2)));
}

Napi::Value find_token_layout(const Napi::CallbackInfo& info) {
  const TokenLayout layout = manyscale::find_token_layout(to_size(argument_object(info, 0)), argument_integer(info, 1), argument_integer(info, 2));
  Napi::Object object = Napi::Object::New(info.Env());
  object.Set("numPrefixTokens", static_cast<double>(layout.prefix));
  object.Set("grid", from_size(info.Env(), layout.grid));
  return object;
}

Napi::Value split(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Napi::Object object = argument_object(info, 0);
  const ImageArgument image = to_image(get_object(object, "image"));
  engine::SplitRequest request = to_split_request(object, image.source);
  request.joined = get_boolean(object, "joined");

  Environment::Call call;
  call.keep.push_back(Napi::Persistent(image.value));
  std::vector<float*> destinations;
  std::vector<std::shared_ptr<Napi::Reference<Napi::TypedArray>>> arrays;
  for (const int64_t elements : engine::split_elements(request)) {
    const Result result = make_result(env, elements);
    destinations.push_back(static_cast<float*>(result.data));
    arrays.push_back(std::make_shared<Napi::Reference<Napi::TypedArray>>(Napi::Persistent(result.array)));
  }
  call.result = [arrays](Napi::Env result_env) -> Napi::Value {
    Napi::Array batches = Napi::Array::New(result_env, arrays.size());
    for (size_t i = 0; i < arrays.size(); i++) batches.Set(static_cast<uint32_t>(i), arrays[i]->Value());
    return batches;
  };
  return Environment::of(env).run_task(
      std::move(call), engine::Priority::kSplit,
      [request = std::move(request), destinations, data = image.data, copy = image.copy] { engine::split_all(request, data, destinations); });
}

Napi::Value pool(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Napi::Object object = argument_object(info, 0);
  engine::PoolRequest request;
  request.plan = to_plan(get_object(object, "plan"));
  request.batch = get_integer(object, "batch");
  request.options = to_pool_options(object);
  request.features = to_tile_features(object);
  const Napi::Array features = get_array(object, "features");
  request.sequence = get_boolean(object, "sequence");
  request.joined = request.sequence || (features.Length() == 1 && request.plan.scales.size() > 1);
  const auto params = std::make_shared<const pool::Params>(engine::pool_params(request));

  const std::vector<int64_t> elements = engine::pool_source_elements(*params, request.joined);
  if (features.Length() != elements.size()) {
    throw Error(ErrorCode::kInvalidArgument,
                "Expected " + std::to_string(elements.size()) + " buffers of tile features but received " + std::to_string(features.Length()));
  }
  std::vector<std::shared_ptr<void>> copies;  // the caller may reuse its buffers as soon as this returns
  std::vector<const float*> sources;
  for (uint32_t i = 0; i < features.Length(); i++) {
    const Napi::Value value = features.Get(i);
    if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_float32_array) {
      throw Error(ErrorCode::kInvalidArgument, "Expected a Float32Array for tile features but received another type");
    }
    const size_t bytes = static_cast<size_t>(elements[i]) * sizeof(float);
    if (value.As<Napi::TypedArray>().ByteLength() != bytes) {
      throw Error(ErrorCode::kInvalidArgument, "Expected " + std::to_string(elements[i]) + " numbers for the tile features of a scale but received " +
                                                   std::to_string(value.As<Napi::TypedArray>().ByteLength() / sizeof(float)));
    }
    void* data = nullptr;
    napi_get_typedarray_info(env, value, nullptr, nullptr, &data, nullptr, nullptr);
    copies.push_back(engine::copy_of(data, bytes));
    sources.push_back(static_cast<const float*>(copies.back().get()));
  }

  const Result result = make_result(env, params->output_elements());
  const auto array = std::make_shared<Napi::Reference<Napi::TypedArray>>(Napi::Persistent(result.array));
  Environment::Call call;
  call.result = [array](Napi::Env) -> Napi::Value { return array->Value(); };
  return Environment::of(env).run_task(std::move(call), engine::Priority::kPool, [params, copies, sources, destination = result.data] {
    engine::pool_all(*params, sources, static_cast<float*>(destination));
  });
}

}  // namespace

void export_operations(Napi::Env env, Napi::Object exports) {
  export_function(env, exports, "plan", plan);
  export_function(env, exports, "presetPlan", preset_plan);
  export_function(env, exports, "checkPlan", check_plan);
  export_function(env, exports, "mergedGrids", merged_grids);
  export_function(env, exports, "findGrid", find_grid);
  export_function(env, exports, "findTokenLayout", find_token_layout);
  export_function(env, exports, "split", split);
  export_function(env, exports, "pool", pool);
}

}  // namespace manyscale::addon
