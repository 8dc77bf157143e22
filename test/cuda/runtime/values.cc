// Environment, status, memory, tensors, type information and bindings.
#include <cstdlib>
#include <cstring>

#include "api.h"

namespace stand_in {
namespace {

template <typename T>
void count_made(uint64_t StandInRuntimeCounts::*live, T** out, T* made) {
  const std::lock_guard lock(state().mutex);
  state().counts.*live += 1;
  *out = made;
}

void count_gone(uint64_t StandInRuntimeCounts::*live) {
  const std::lock_guard lock(state().mutex);
  state().counts.*live -= 1;
}

// A tensor's label must say where it lies. A real runtime believes the label, and reads or writes wild memory.
OrtStatus* check_label(const OrtMemoryInfo& memory, uint64_t address, size_t bytes) {
  const auto device_of = driver().address_device;
  const int device = device_of ? device_of(address, bytes) : -1;
  if (memory.name == "Cpu") {
    if (device_of && device_of(address, 1) >= 0) return violation("memory of device " + std::to_string(device_of(address, 1)) + " is labelled Cpu");
    return nullptr;
  }
  if (device < 0) return violation("memory labelled " + memory.name + " is not in one live allocation of a device (" + std::to_string(bytes) + " bytes)");
  if (device != memory.id)
    return violation("memory of device " + std::to_string(device) + " is labelled " + memory.name + " with device id " + std::to_string(memory.id));
  return nullptr;
}

OrtStatus* bind(std::map<std::string, OrtValue>& to, const Value& declared, const char* name, const OrtValue* value) {
  if (declared.name != name) return error(kInvalidArgument, std::string("Failed to find NodeArg with name: ") + name);
  to[name] = *value;
  return nullptr;
}

}  // namespace

char* copy_text(const std::string& text) {
  auto* copy = static_cast<char*>(std::malloc(text.size() + 1));
  std::memcpy(copy, text.c_str(), text.size() + 1);
  return copy;
}

std::string shape_text(const std::vector<int64_t>& dims) {
  std::string text = "{";
  for (const int64_t dim : dims) {
    if (text.size() > 1) text += ',';
    text += std::to_string(dim);
  }
  text += '}';
  return text;
}

const char* GetErrorMessage(const OrtStatus* status) { return status->message.c_str(); }
void ReleaseStatus(OrtStatus* status) { delete status; }

OrtStatus* CreateEnvWithCustomLogger(Logger, void*, int level, const char* id, OrtEnv** out) { return CreateEnv(level, id, out); }
OrtStatus* CreateEnv(int, const char*, OrtEnv** out) {
  static OrtEnv env;
  *out = &env;
  return nullptr;
}
void ReleaseEnv(OrtEnv*) {}

OrtStatus* GetAllocatorWithDefaultOptions(OrtAllocator** out) {
  static OrtAllocator allocator;
  *out = &allocator;
  return nullptr;
}
OrtStatus* AllocatorFree(OrtAllocator*, void* data) {
  std::free(data);
  return nullptr;
}

OrtStatus* CreateCpuMemoryInfo(int allocator_type, int memory_type, OrtMemoryInfo** out) {
  return CreateMemoryInfo("Cpu", allocator_type, 0, memory_type, out);
}
OrtStatus* CreateMemoryInfo(const char* name, int, int id, int, OrtMemoryInfo** out) {
  const std::string label = name;
  if (label != "Cpu" && label != "Cuda" && label != "CudaPinned") return error(kInvalidArgument, "Specified device is not supported. Name: " + label);
  *out = new OrtMemoryInfo{label, id};
  return nullptr;
}
void ReleaseMemoryInfo(OrtMemoryInfo* memory) { delete memory; }

OrtStatus* CreateTensorWithDataAsOrtValue(const OrtMemoryInfo* memory, void* data, size_t bytes, const int64_t* dims, size_t rank, int type, OrtValue** out) {
  size_t needed = element_bytes(type);
  if (needed == 0) return error(kNotImplemented, "element type " + std::to_string(type) + " is not offered by the stand-in");
  for (size_t i = 0; i < rank; i++) needed *= static_cast<size_t>(dims[i]);
  if (needed > bytes) return error(kInvalidArgument, "not enough space: expected " + std::to_string(needed) + ", got " + std::to_string(bytes));
  if (OrtStatus* wrong = check_label(*memory, reinterpret_cast<uint64_t>(data), needed)) return wrong;
  auto* value = new OrtValue;
  value->memory = *memory;
  value->data = static_cast<std::byte*>(data);
  value->bytes = needed;
  value->dims.assign(dims, dims + rank);
  value->type = type;
  count_made(&StandInRuntimeCounts::live_values, out, value);
  return nullptr;
}
OrtStatus* IsTensor(const OrtValue*, int* out) {
  *out = 1;
  return nullptr;
}
OrtStatus* GetTensorMutableData(OrtValue* value, void** out) {
  *out = value->data;
  return nullptr;
}
OrtStatus* GetTensorTypeAndShape(const OrtValue* value, OrtTensorTypeAndShapeInfo** out) {
  *out = new OrtTensorTypeAndShapeInfo{{"", value->type, value->dims, std::vector<std::string>(value->dims.size())}};
  return nullptr;
}
void ReleaseValue(OrtValue* value) {
  if (!value) return;
  count_gone(&StandInRuntimeCounts::live_values);
  delete value;
}

OrtStatus* CastTypeInfoToTensorInfo(const OrtTypeInfo* type, const OrtTensorTypeAndShapeInfo** out) {
  *out = &type->tensor;
  return nullptr;
}
OrtStatus* GetOnnxTypeFromTypeInfo(const OrtTypeInfo*, int* out) {
  *out = manyscale::runtime::ort::kTensor;
  return nullptr;
}
OrtStatus* GetTensorElementType(const OrtTensorTypeAndShapeInfo* info, int* out) {
  *out = info->value.type;
  return nullptr;
}
OrtStatus* GetDimensionsCount(const OrtTensorTypeAndShapeInfo* info, size_t* out) {
  *out = info->value.dims.size();
  return nullptr;
}
OrtStatus* GetDimensions(const OrtTensorTypeAndShapeInfo* info, int64_t* dims, size_t rank) {
  for (size_t i = 0; i < rank; i++) dims[i] = info->value.dims[i];
  return nullptr;
}
OrtStatus* GetSymbolicDimensions(const OrtTensorTypeAndShapeInfo* info, const char** symbols, size_t rank) {
  for (size_t i = 0; i < rank; i++) symbols[i] = info->value.symbols[i].c_str();
  return nullptr;
}
void ReleaseTypeInfo(OrtTypeInfo* info) { delete info; }
void ReleaseTensorTypeAndShapeInfo(OrtTensorTypeAndShapeInfo* info) { delete info; }

OrtStatus* CreateIoBinding(OrtSession* session, OrtIoBinding** out) {
  auto* binding = new OrtIoBinding;
  binding->session = session;
  count_made(&StandInRuntimeCounts::live_bindings, out, binding);
  return nullptr;
}
OrtStatus* BindInput(OrtIoBinding* binding, const char* name, const OrtValue* value) {
  if (OrtStatus* failed = bind(binding->inputs, binding->session->model->input, name, value)) return failed;
  OrtValue& bound = binding->inputs[name];
  if (bound.on_device() || binding->session->provider == Provider::kCpu) return nullptr;
  // A session of a device copies the input when it is bound, not when it runs.
  bound.owned.assign(bound.data, bound.data + bound.bytes);
  bound.data = bound.owned.data();
  return nullptr;
}
OrtStatus* BindOutput(OrtIoBinding* binding, const char* name, const OrtValue* value) {
  return bind(binding->outputs, binding->session->model->output, name, value);
}
void ClearBoundInputs(OrtIoBinding* binding) { binding->inputs.clear(); }
void ClearBoundOutputs(OrtIoBinding* binding) { binding->outputs.clear(); }
void ReleaseIoBinding(OrtIoBinding* binding) {
  if (!binding) return;
  count_gone(&StandInRuntimeCounts::live_bindings);
  delete binding;
}

}  // namespace stand_in
