// GPUs, as JavaScript sees them.
#include "engine/gpus.h"

#include <memory>

#include "addon/convert.h"
#include "addon/environment.h"
#include "addon/exports.h"

namespace manyscale::addon {
namespace {

Napi::Value driver_info(const Napi::CallbackInfo& info) {
  const auto description = std::make_shared<engine::GpuDescription>();
  Environment::Call call;
  call.result = [description](Napi::Env env) -> Napi::Value {
    Napi::Object object = Napi::Object::New(env);
    object.Set("version", description->version);
    object.Set("path", description->path);
    object.Set("reason", description->reason);
    object.Set("devices", from_gpus(env, description->gpus));
    return object;
  };
  return Environment::of(info.Env()).run_task(std::move(call), engine::Priority::kModel, [description] { *description = engine::describe_gpus(); });
}

}  // namespace

void export_devices(Napi::Env env, Napi::Object exports) { export_function(env, exports, "driverInfo", driver_info); }

}  // namespace manyscale::addon
