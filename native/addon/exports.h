// What module.cc exports, one function per group of src/native/addon.ts.
#pragma once

#include <napi.h>

#include "addon/environment.h"

namespace manyscale::addon {

void export_operations(Napi::Env env, Napi::Object exports);  // plan, checkPlan, findGrid, findTokenLayout, split, pool
void export_devices(Napi::Env env, Napi::Object exports);     // driverInfo
void export_sessions(Napi::Env env, Napi::Object exports);    // runtimeInfo, loadSession

// Adds a function whose C++ exceptions become JavaScript ones.
template <typename Body>
void export_function(Napi::Env env, Napi::Object object, const char* name, Body body) {
  object.Set(name, Napi::Function::New(
                       env, [body](const Napi::CallbackInfo& info) -> Napi::Value { return guarded(info.Env(), [&] { return body(info); }); }, name));
}

}  // namespace manyscale::addon
