// JavaScript values to native structs and back. Types are checked as far as memory safety needs it; src/options has
// told the user before what is wrong.
#pragma once

#include <napi.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/preset.h"
#include "engine/gpus.h"
#include "engine/model.h"
#include "engine/parts.h"
#include "engine/tile_engine.h"

namespace manyscale::addon {

Napi::Object argument_object(const Napi::CallbackInfo& info, size_t index);
int64_t argument_integer(const Napi::CallbackInfo& info, size_t index);

int64_t get_integer(const Napi::Object& object, const char* name);
double get_number(const Napi::Object& object, const char* name);
bool get_boolean(const Napi::Object& object, const char* name);
std::string get_string(const Napi::Object& object, const char* name);
Napi::Object get_object(const Napi::Object& object, const char* name);
Napi::Array get_array(const Napi::Object& object, const char* name);
std::vector<double> to_numbers(const Napi::Array& array, const char* name);
std::vector<std::vector<int64_t>> to_lists_of_integers(const Napi::Array& array, const char* name);

Size to_size(const Napi::Object& object);
Plan to_plan(const Napi::Object& object);  // recomputed and checked
PlanOptions to_plan_options(const Napi::Object& object);
PresetOptions to_preset_options(const Napi::Object& object);
pool::Layout to_layout(const std::string& name);
pool::Options to_pool_options(const Napi::Object& object);                      // without the type of the output
std::vector<pool::ScaleFeatures> to_tile_features(const Napi::Object& object);  // { grids, channels }

Napi::Object from_size(Napi::Env env, const Size& size);
Napi::Object from_plan(Napi::Env env, const Plan& plan);
Napi::Object from_timings(Napi::Env env, const engine::Timings& timings);
Napi::Array from_gpus(Napi::Env env, const std::vector<engine::Gpu>& gpus);
Napi::Object from_value_info(Napi::Env env, const runtime::ValueInfo& info);
Napi::Object from_runtime(Napi::Env env, const engine::RuntimeDescription& description);

// Pixels that a native read may use until the call ends: the caller's, copied, or a value that nobody else can reach.
struct ImageArgument {
  split::Source source;
  const void* data = nullptr;
  std::shared_ptr<void> copy;  // empty when `value` is read in place
  Napi::Value value;           // to be kept alive while it is read
};
ImageArgument to_image(const Napi::Object& object);

// { image, plan, crop?, preprocess, joined? } without the pixels, which are in `image`.
engine::SplitRequest to_split_request(const Napi::Object& object, const split::Source& source);

// A fresh Float32Array, or Uint16Array for the bits of float16, and its memory; the caller keeps the array alive while native
// code fills it.
struct Result {
  void* data = nullptr;
  Napi::TypedArray array;
};
Result make_result(Napi::Env env, int64_t elements, pool::OutputType type = pool::OutputType::kFloat32);

}  // namespace manyscale::addon
