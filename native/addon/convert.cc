#include "addon/convert.h"

#include "addon/environment.h"
#include "core/checked.h"

namespace manyscale::addon {
namespace {

[[noreturn]] void refuse(Napi::Env env, const std::string& message) { throw to_javascript(env, Error(ErrorCode::kInvalidArgument, message)); }

Napi::Value get(const Napi::Object& object, const char* name) { return object.Get(name); }

[[noreturn]] void refuse_type(const Napi::Object& object, const char* expected, const char* name) {
  refuse(object.Env(), std::string("Expected ") + expected + " for " + name + " but received another type");
}

Napi::Object element(const Napi::Array& array, uint32_t index, const char* name) {
  const Napi::Value value = array.Get(index);
  if (!value.IsObject()) refuse_type(array, "objects", name);
  return value.As<Napi::Object>();
}

int64_t to_integer(Napi::Env env, double value, const char* name) {
  // 2^53: beyond it doubles skip integers, and far beyond the conversion would be undefined.
  if (!(value >= -9007199254740992.0 && value <= 9007199254740992.0))
    refuse(env, std::string("Expected an integer for ") + name + " but received " + std::to_string(value));
  return static_cast<int64_t>(value);
}

bool has(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  return !value.IsUndefined() && !value.IsNull();
}

Napi::Array strings(Napi::Env env, const std::vector<std::string>& values) {
  Napi::Array array = Napi::Array::New(env, values.size());
  for (size_t i = 0; i < values.size(); i++) array.Set(static_cast<uint32_t>(i), values[i]);
  return array;
}

}  // namespace

Napi::Object argument_object(const Napi::CallbackInfo& info, size_t index) {
  if (!info[index].IsObject()) refuse(info.Env(), "Expected an object for argument " + std::to_string(index + 1) + " but received another type");
  return info[index].As<Napi::Object>();
}

int64_t argument_integer(const Napi::CallbackInfo& info, size_t index) {
  const std::string name = "argument " + std::to_string(index + 1);
  if (!info[index].IsNumber()) refuse(info.Env(), "Expected a number for " + name + " but received another type");
  return to_integer(info.Env(), info[index].As<Napi::Number>().DoubleValue(), name.c_str());
}

int64_t get_integer(const Napi::Object& object, const char* name) { return to_integer(object.Env(), get_number(object, name), name); }

double get_number(const Napi::Object& object, const char* name) {
  const Napi::Value value = get(object, name);
  if (!value.IsNumber()) refuse_type(object, "a number", name);
  return value.As<Napi::Number>().DoubleValue();
}

bool get_boolean(const Napi::Object& object, const char* name) {
  const Napi::Value value = get(object, name);
  if (!value.IsBoolean()) refuse_type(object, "a boolean", name);
  return value.As<Napi::Boolean>().Value();
}

std::string get_string(const Napi::Object& object, const char* name) {
  const Napi::Value value = get(object, name);
  if (!value.IsString()) refuse_type(object, "a string", name);
  return value.As<Napi::String>().Utf8Value();
}

Napi::Object get_object(const Napi::Object& object, const char* name) {
  const Napi::Value value = get(object, name);
  if (!value.IsObject()) refuse_type(object, "an object", name);
  return value.As<Napi::Object>();
}

Napi::Array get_array(const Napi::Object& object, const char* name) {
  const Napi::Value value = get(object, name);
  if (!value.IsArray()) refuse_type(object, "an array", name);
  return value.As<Napi::Array>();
}

std::vector<double> to_numbers(const Napi::Array& array, const char* name) {
  std::vector<double> numbers;
  for (uint32_t i = 0; i < array.Length(); i++) {
    const Napi::Value value = array.Get(i);
    if (!value.IsNumber()) refuse_type(array, "numbers", name);
    numbers.push_back(value.As<Napi::Number>().DoubleValue());
  }
  return numbers;
}

std::vector<std::vector<int64_t>> to_lists_of_integers(const Napi::Array& array, const char* name) {
  std::vector<std::vector<int64_t>> lists;
  for (uint32_t i = 0; i < array.Length(); i++) {
    const Napi::Value value = array.Get(i);
    if (!value.IsArray()) refuse_type(array, "arrays", name);
    lists.emplace_back();
    for (const double number : to_numbers(value.As<Napi::Array>(), name)) lists.back().push_back(to_integer(array.Env(), number, name));
  }
  return lists;
}

Size to_size(const Napi::Object& object) { return {get_integer(object, "height"), get_integer(object, "width")}; }

namespace {

std::vector<int64_t> to_positions(const Napi::Object& scale, const char* name) {
  if (!has(scale, name)) return {};
  std::vector<int64_t> positions;
  for (const double value : to_numbers(get_array(scale, name), name)) positions.push_back(to_integer(scale.Env(), value, name));
  return positions;
}

Rectangle to_rectangle(const Napi::Object& object) {
  return {get_integer(object, "top"), get_integer(object, "left"), get_integer(object, "height"), get_integer(object, "width")};
}

Scale to_scale(const Napi::Object& object) {
  Scale scale;
  scale.height = get_integer(object, "height");
  scale.width = get_integer(object, "width");
  scale.rows = get_integer(object, "rows");
  scale.columns = get_integer(object, "columns");
  scale.tile_height = get_integer(object, "tileHeight");
  scale.tile_width = get_integer(object, "tileWidth");
  if (has(object, "content")) scale.content = to_rectangle(get_object(object, "content"));
  if (has(object, "padding")) scale.padding = get_string(object, "padding") == "background" ? Padding::kBackground : Padding::kZero;
  scale.tops = to_positions(object, "tops");
  scale.lefts = to_positions(object, "lefts");
  return scale;
}

std::vector<Size> to_sizes(const Napi::Object& object, const char* name) {
  std::vector<Size> sizes;
  const Napi::Array array = get_array(object, name);
  for (uint32_t i = 0; i < array.Length(); i++) sizes.push_back(to_size(element(array, i, name)));
  return sizes;
}

Uneven to_uneven(Napi::Env env, const std::string& name) {
  if (name == "refuse") return Uneven::kRefuse;
  if (name == "resize") return Uneven::kResize;
  if (name == "pad") return Uneven::kPad;
  refuse(env, "Expected 'refuse', 'resize' or 'pad' for uneven but received '" + name + "'");
}

}  // namespace

Plan to_plan(const Napi::Object& object) {
  std::vector<Scale> scales;
  const Napi::Array array = get_array(object, "scales");
  for (uint32_t i = 0; i < array.Length(); i++) scales.push_back(to_scale(element(array, i, "scales")));
  return check_plan(to_size(get_object(object, "image")), scales, get_integer(object, "outputIndex"));
}

PlanOptions to_plan_options(const Napi::Object& object) {
  PlanOptions options;
  if (has(object, "scales")) options.scales = to_numbers(get_array(object, "scales"), "scales");
  if (has(object, "imageSizes")) options.image_sizes = to_sizes(object, "imageSizes");
  if (has(object, "base")) options.base = to_size(get_object(object, "base"));
  if (has(object, "maxSplitSize")) options.max_split_size = to_size(get_object(object, "maxSplitSize"));
  if (has(object, "tile")) options.tile = to_size(get_object(object, "tile"));
  options.keep_aspect = has(object, "keepAspect") && get_boolean(object, "keepAspect");
  if (has(object, "uneven")) options.uneven = to_uneven(object.Env(), get_string(object, "uneven"));
  if (has(object, "overlap")) options.overlap = get_number(object, "overlap");
  if (has(object, "overlapUnit")) options.overlap_unit = to_size(get_object(object, "overlapUnit"));
  options.resize_output_to_index = get_integer(object, "resizeOutputToIndex");
  return options;
}

PresetOptions to_preset_options(const Napi::Object& object) {
  PresetOptions options;
  const std::string name = get_string(object, "preset");
  const auto preset = find_preset(name);
  if (!preset) refuse(object.Env(), "Expected the name of a preset for preset but received '" + name + "'");
  options.preset = *preset;
  options.tile = to_size(get_object(object, "tile"));
  if (has(object, "scales")) options.scales = to_numbers(get_array(object, "scales"), "scales");
  if (has(object, "maxTiles")) options.max_tiles = get_integer(object, "maxTiles");
  if (has(object, "resolutions")) options.resolutions = to_sizes(object, "resolutions");
  if (has(object, "resizeOutputToIndex")) options.resize_output_to_index = get_integer(object, "resizeOutputToIndex");
  return options;
}

pool::Layout to_layout(const std::string& name) {
  if (name == "bnc") return pool::Layout::kTokens;
  if (name == "bchw") return pool::Layout::kFeatureMap;
  throw Error(ErrorCode::kInvalidArgument, "Expected 'bnc' or 'bchw' for a layout but received '" + name + "'");
}

std::vector<pool::ScaleFeatures> to_tile_features(const Napi::Object& object) {
  const Napi::Array grids = get_array(object, "grids");
  const std::vector<double> channels = to_numbers(get_array(object, "channels"), "channels");
  if (grids.Length() != channels.size()) refuse(object.Env(), "Expected as many channels as grids for tile features but received another number");
  std::vector<pool::ScaleFeatures> features;
  for (uint32_t i = 0; i < grids.Length(); i++) features.push_back({to_size(element(grids, i, "grids")), to_integer(object.Env(), channels[i], "channels")});
  return features;
}

Napi::Object from_size(Napi::Env env, const Size& size) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("height", static_cast<double>(size.height));
  object.Set("width", static_cast<double>(size.width));
  return object;
}

namespace {

Napi::Object from_rectangle(Napi::Env env, const Rectangle& rectangle) {
  Napi::Object object = from_size(env, {rectangle.height, rectangle.width});
  object.Set("top", static_cast<double>(rectangle.top));
  object.Set("left", static_cast<double>(rectangle.left));
  return object;
}

Napi::Array from_positions(Napi::Env env, const std::vector<int64_t>& positions) {
  Napi::Array array = Napi::Array::New(env, positions.size());
  for (size_t i = 0; i < positions.size(); i++) array.Set(static_cast<uint32_t>(i), static_cast<double>(positions[i]));
  return array;
}

// Without what an ordinary scale has not.
Napi::Object from_scale(Napi::Env env, const Scale& scale) {
  Napi::Object value = from_size(env, scale.size());
  value.Set("rows", static_cast<double>(scale.rows));
  value.Set("columns", static_cast<double>(scale.columns));
  value.Set("tileHeight", static_cast<double>(scale.tile_height));
  value.Set("tileWidth", static_cast<double>(scale.tile_width));
  if (scale.content) value.Set("content", from_rectangle(env, *scale.content));
  if (!scale.covers()) value.Set("padding", scale.padding == Padding::kBackground ? "background" : "zero");
  if (!scale.tops.empty()) value.Set("tops", from_positions(env, scale.tops));
  if (!scale.lefts.empty()) value.Set("lefts", from_positions(env, scale.lefts));
  return value;
}

}  // namespace

Napi::Object from_plan(Napi::Env env, const Plan& plan) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("image", from_size(env, plan.image));
  Napi::Array scales = Napi::Array::New(env, plan.scales.size());
  for (size_t i = 0; i < plan.scales.size(); i++) scales.Set(static_cast<uint32_t>(i), from_scale(env, plan.scales[i]));
  object.Set("scales", scales);
  object.Set("outputIndex", static_cast<double>(plan.output_index));
  if (plan.via) object.Set("via", from_scale(env, *plan.via));
  return object;
}

Napi::Object from_timings(Napi::Env env, const engine::Timings& timings) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("queue", timings.queue);
  object.Set("split", timings.split);
  object.Set("model", timings.model);
  object.Set("pool", timings.pool);
  object.Set("total", timings.total);
  return object;
}

Napi::Object from_value_info(Napi::Env env, const runtime::ValueInfo& info) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("name", info.name);
  object.Set("type", runtime::element_type_name(info.type));
  Napi::Array dims = Napi::Array::New(env, info.dims.size());
  for (size_t i = 0; i < info.dims.size(); i++) dims.Set(static_cast<uint32_t>(i), static_cast<double>(info.dims[i]));
  object.Set("dims", dims);
  object.Set("symbols", strings(env, info.symbols));
  return object;
}

Napi::Array from_gpus(Napi::Env env, const std::vector<engine::Gpu>& gpus) {
  Napi::Array array = Napi::Array::New(env, gpus.size());
  for (size_t i = 0; i < gpus.size(); i++) {
    Napi::Object gpu = Napi::Object::New(env);
    gpu.Set("ordinal", gpus[i].ordinal);
    gpu.Set("name", gpus[i].name);
    gpu.Set("computeCapability", gpus[i].compute_capability);
    gpu.Set("memory", static_cast<double>(gpus[i].memory));
    gpu.Set("integrated", gpus[i].integrated);
    array.Set(static_cast<uint32_t>(i), gpu);
  }
  return array;
}

Napi::Object from_runtime(Napi::Env env, const engine::RuntimeDescription& description) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("path", description.path);
  object.Set("version", description.version);
  object.Set("notice", description.notice);
  object.Set("providers", strings(env, description.providers));
  Napi::Object unavailable = Napi::Object::New(env);
  for (const auto& [provider, reason] : description.unavailable) unavailable.Set(provider, reason);
  object.Set("unavailable", unavailable);
  object.Set("tensorrt", description.tensorrt);
  return object;
}

ImageArgument to_image(const Napi::Object& object) {
  const Napi::Env env = object.Env();
  ImageArgument image;
  split::Source& source = image.source;
  image.value = object.Get("data");
  if (!image.value.IsTypedArray()) refuse_type(object, "a typed array", "image.data");
  const auto array = image.value.As<Napi::TypedArray>();
  switch (array.TypedArrayType()) {
    case napi_uint8_array:
    case napi_uint8_clamped_array: source.type = split::PixelType::kUint8; break;
    case napi_float32_array: source.type = split::PixelType::kFloat32; break;
    default: refuse_type(object, "a Uint8Array or a Float32Array", "image.data");
  }
  source.batch = get_integer(object, "batch");
  source.channels = get_integer(object, "channels");
  source.height = get_integer(object, "height");
  source.width = get_integer(object, "width");
  source.row_stride = get_integer(object, "stride");
  split::check_source(source);

  const size_t needed = static_cast<size_t>(source.byte_size());
  if (array.ByteLength() < needed) {
    refuse(env, "Expected at least " + std::to_string(needed) + " bytes for an image of " + to_string(Size{source.height, source.width}) + " with " +
                    std::to_string(source.channels) + " channels but received " + std::to_string(array.ByteLength()));
  }
  void* data = nullptr;  // by the plain call: node-addon-api's goes through the ArrayBuffer, which a SharedArrayBuffer is not
  napi_get_typedarray_info(env, array, nullptr, nullptr, &data, nullptr, nullptr);
  if (get_boolean(object, "owned")) {
    image.data = data;
  } else {
    // A reference would keep the bytes alive but not in place: the caller may transfer or shrink the buffer while it is read.
    image.copy = engine::copy_of(data, needed);
    image.data = image.copy.get();
  }
  return image;
}

engine::SplitRequest to_split_request(const Napi::Object& object, const split::Source& source) {
  engine::SplitRequest request;
  request.source = source;
  request.plan = to_plan(get_object(object, "plan"));
  if (has(object, "crop")) request.crop = to_rectangle(get_object(object, "crop"));
  const Napi::Object preprocess = get_object(object, "preprocess");
  request.preprocess.mean = to_numbers(get_array(preprocess, "mean"), "mean");
  request.preprocess.std = to_numbers(get_array(preprocess, "std"), "std");
  request.preprocess.rescale = get_number(preprocess, "rescale");
  const std::string resize = get_string(preprocess, "resize");
  const auto mode = find_resize_mode(resize);
  if (!mode) refuse(object.Env(), "Expected the name of a resize mode for resize but received '" + resize + "'");
  request.preprocess.resize = *mode;
  request.preprocess.bgr = get_boolean(preprocess, "bgr");
  const std::vector<double> background = to_numbers(get_array(preprocess, "background"), "background");
  for (size_t i = 0; i < 3; i++) {
    const double value = i < background.size() ? background[i] : -1;
    if (!(value >= 0 && value <= 255)) refuse(object.Env(), "Expected three numbers from 0 to 255 for background but received others");
    request.preprocess.background[i] = static_cast<uint8_t>(value);
  }
  return request;
}

pool::Options to_pool_options(const Napi::Object& object) {
  pool::Options options;
  options.input = to_layout(get_string(object, "layout"));
  options.output = to_layout(get_string(object, "outputLayout"));
  options.prefix = get_integer(object, "numPrefixTokens");
  options.drop_prefix = has(object, "dropPrefixTokens") && get_boolean(object, "dropPrefixTokens");
  if (has(object, "blend")) options.blend = get_string(object, "blend") == "average" ? pool::Blend::kAverage : pool::Blend::kLinear;
  return options;
}

Result make_result(Napi::Env env, int64_t elements, pool::OutputType type) {
  const int64_t bytes = checked_product("a result's bytes", elements, pool::element_bytes(type));
  try {
    Result result;
    const Environment& environment = Environment::of(env);
    result.array = type == pool::OutputType::kFloat16 ? environment.new_uint16_array(elements) : environment.new_float32_array(elements);
    napi_get_typedarray_info(env, result.array, nullptr, nullptr, &result.data, nullptr, nullptr);
    return result;
  } catch (const Napi::Error&) {
    throw Error(ErrorCode::kOutOfMemory,
                "Expected memory for a result of " + std::to_string(bytes) + " bytes but JavaScript could not allocate it; use smaller scales");
  }
}

}  // namespace manyscale::addon
