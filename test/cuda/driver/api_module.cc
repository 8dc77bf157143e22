// Modules, functions and launches.
#include <algorithm>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <thread>

#include "device_limits.h"
#include "image.h"
#include "world.h"

using namespace software_cuda;  // NOLINT: the file is the interface's

namespace {

constexpr int kDefaultShared = 49152;
constexpr int kRegistersOfMultiprocessor = 65536;
constexpr int kWarp = 32;
constexpr int kUnknownRegisters = 32;  // of a kernel that comes as PTX alone
// CU_LAUNCH_PARAM_BUFFER_POINTER, CU_LAUNCH_PARAM_BUFFER_SIZE
constexpr uint64_t kBufferPointer = 1;
constexpr uint64_t kBufferSize = 2;

// Registers are given to warps in units of 256.
int registers_of_block(int registers, int threads) {
  constexpr int kUnit = 256;
  return (threads + kWarp - 1) / kWarp * ((registers * kWarp + kUnit - 1) / kUnit * kUnit);
}

int most_threads(const Function& function) {
  int threads = std::min(1024, function.facts->most_threads);
  while (threads > kWarp && registers_of_block(function.registers, threads) > kRegistersOfMultiprocessor) threads -= kWarp;
  return threads;
}

// False when what was given does not make up all parameters.
bool gather(const KernelFacts& facts, void** parameters, void** extra, std::vector<std::byte>& bytes) {
  bytes.assign(facts.parameters_end, std::byte{0});
  if (parameters) {
    for (size_t i = 0; i < facts.parameter_bytes.size(); i++) {
      if (!parameters[i]) return false;
      std::memcpy(bytes.data() + facts.parameter_offsets[i], parameters[i], facts.parameter_bytes[i]);
    }
    return true;
  }
  if (!extra) return facts.parameter_bytes.empty();
  const void* buffer = nullptr;
  size_t size = 0;
  for (size_t i = 0; extra[i]; i += 2) {
    const auto key = reinterpret_cast<uint64_t>(extra[i]);
    if (key == kBufferPointer)
      buffer = extra[i + 1];
    else if (key == kBufferSize)
      size = *static_cast<size_t*>(extra[i + 1]);
    else
      return false;
  }
  if (!buffer || size < facts.parameters_end) return false;
  std::memcpy(bytes.data(), buffer, facts.parameters_end);
  return true;
}

// The allocations that addresses among the arguments lie in. Addresses in device memory are not seen.
std::vector<Range> allocations_in(const Context& context, const std::vector<std::byte>& parameters) {
  std::vector<Range> ranges;
  for (size_t at = 0; at + 8 <= parameters.size(); at += 8) {
    uint64_t word = 0;
    std::memcpy(&word, parameters.data() + at, 8);
    const Range found = context.memory->allocation_of(word);
    if (found.begin < found.end) ranges.push_back(found);
  }
  return ranges;
}

Result check_launch(Call& call, const Function& function, const LaunchDescription& launch) {
  constexpr uint32_t kMostGrid[] = {2147483647, 65535, 65535};
  constexpr uint32_t kMostBlock[] = {1024, 1024, 64};
  for (int i = 0; i < 3; i++) {
    if (launch.grid[i] == 0 || launch.grid[i] > kMostGrid[i] || launch.block[i] == 0 || launch.block[i] > kMostBlock[i])
      return call.misuse(kInvalidValue, function.name + ": a grid or block with a dimension of 0 or beyond the device's limits");
  }
  const uint64_t threads = uint64_t{launch.block[0]} * launch.block[1] * launch.block[2];
  if (threads > 1024) return call.misuse(kInvalidValue, function.name + ": " + std::to_string(threads) + " threads in a block");
  if (threads > static_cast<uint64_t>(most_threads(function))) {
    return call.misuse(kLaunchOutOfResources, function.name + ": " + std::to_string(threads) + " threads in a block of at most " +
                                                  std::to_string(most_threads(function)) + " (" + std::to_string(function.registers) + " registers)");
  }
  const int64_t shared = int64_t{function.facts->static_shared} + launch.shared_bytes;
  const int64_t allowed = std::max(kDefaultShared, function.facts->static_shared + function.dynamic_shared);
  if (shared > allowed) {
    return call.misuse(kInvalidValue, function.name + ": " + std::to_string(shared) + " bytes of shared memory, but " + std::to_string(allowed) +
                                          " are allowed without CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES");
  }
  return kSuccess;
}

// Runs on the stand-in's thread, without its mutex.
Step execute(World& world, const Function& function, const LaunchDescription& launch, uint64_t nth) {
  const Settings& settings = world.settings;
  if (settings.slow.asked) std::this_thread::sleep_for(std::chrono::milliseconds(settings.slow.first >= 0 ? settings.slow.first : 20));
  if (settings.kernel_fault.asked && nth == static_cast<uint64_t>(std::max<int64_t>(1, settings.kernel_fault.first))) {
    const Result fault = settings.kernel_fault.second > 0 ? static_cast<Result>(settings.kernel_fault.second) : kIllegalAddress;
    return {true, fault, function.name + ": a fault that was asked for"};
  }
  const LaunchOutcome outcome = function.code->run(function.name, *function.context->memory, launch, settings);
  const std::lock_guard lock(world.mutex);
  world.statistics.counts.kernels_run++;
  KernelCounts& counts = world.statistics.kernels[function.name];
  counts.run++;
  for (const auto& [name, value] : outcome.traffic) counts.traffic[name] += value;
  return {true, outcome.fault, outcome.text};
}

}  // namespace

SOFTWARE_CUDA_CALL cuModuleLoadData(ModuleHandle* handle, const void* data) {
  Call call("cuModuleLoadData");
  if (const Result result = call.begin_in_context()) return result;
  if (!handle || !data) return kInvalidValue;
  World& world = call.world();
  Image image = read_image(data, world.settings.major * 10 + world.settings.minor, world.settings.driver_version);
  if (image.result != kSuccess) {
    world.statistics.failures.push_back("cuModuleLoadData: " + image.reason);
    return image.result;
  }
  auto module = std::make_shared<LoadedModule>();
  module->context = &call.context();
  module->registers = std::move(image.registers);
  try {
    module->code = Code::parse(image.ptx);
  } catch (const std::exception& error) {
    return call.misuse(kInvalidPtx, error.what());
  }
  *handle = reinterpret_cast<ModuleHandle>(world.modules.add(std::move(module)));
  world.statistics.counts.live_modules++;
  return kSuccess;
}

SOFTWARE_CUDA_CALL cuModuleUnload(ModuleHandle handle) {
  Call call("cuModuleUnload");
  if (const Result result = call.begin_in_context()) return result;
  World& world = call.world();
  std::shared_ptr<LoadedModule> module;
  if (const Result result = call.find(world.modules, handle, module)) return result;
  for (const auto& [name, function] : module->functions) world.functions.remove(function);
  world.modules.remove(handle);
  world.statistics.counts.live_modules--;
  return kSuccess;
}

SOFTWARE_CUDA_CALL cuModuleGetFunction(FunctionHandle* handle, ModuleHandle module_handle, const char* name) {
  Call call("cuModuleGetFunction");
  if (const Result result = call.begin_in_context()) return result;
  if (!handle || !name) return kInvalidValue;
  World& world = call.world();
  std::shared_ptr<LoadedModule> module;
  if (const Result result = call.find(world.modules, module_handle, module)) return result;
  const KernelFacts* facts = module->code->find(name);
  if (!facts) return kNotFound;
  uint64_t& known = module->functions[name];
  if (known == 0) {
    auto function = std::make_shared<Function>();
    function->context = module->context;
    function->code = module->code;
    function->facts = facts;
    function->name = name;
    const auto registers = module->registers.find(name);
    function->registers = registers == module->registers.end() ? kUnknownRegisters : registers->second;
    known = world.functions.add(std::move(function));
  }
  *handle = reinterpret_cast<FunctionHandle>(known);
  return kSuccess;
}

SOFTWARE_CUDA_CALL cuFuncGetAttribute(int* value, int attribute, FunctionHandle handle) {
  Call call("cuFuncGetAttribute");
  if (const Result result = call.begin_in_context()) return result;
  if (!value) return kInvalidValue;
  std::shared_ptr<Function> function;
  if (const Result result = call.find(call.world().functions, handle, function)) return result;
  switch (attribute) {
    case kFunctionMaxThreadsPerBlock: *value = most_threads(*function); return kSuccess;
    case kFunctionSharedBytes: *value = function->facts->static_shared; return kSuccess;
    case kFunctionConstantBytes:
    case kFunctionLocalBytes: *value = 0; return kSuccess;
    case kFunctionRegisters: *value = function->registers; return kSuccess;
    case kFunctionPtxVersion:
    case kFunctionBinaryVersion: *value = call.world().settings.major * 10 + call.world().settings.minor; return kSuccess;
    case kFunctionMaxDynamicSharedBytes: *value = std::max(function->dynamic_shared, kDefaultShared - function->facts->static_shared); return kSuccess;
    case kFunctionSharedCarveout: *value = -1; return kSuccess;
    default: return call.misuse(kInvalidValue, "attribute " + std::to_string(attribute) + ", which the stand-in does not know");
  }
}

SOFTWARE_CUDA_CALL cuFuncSetAttribute(FunctionHandle handle, int attribute, int value) {
  Call call("cuFuncSetAttribute");
  if (const Result result = call.begin_in_context()) return result;
  World& world = call.world();
  std::shared_ptr<Function> function;
  if (const Result result = call.find(world.functions, handle, function)) return result;
  if (attribute == kFunctionSharedCarveout) return value >= -1 && value <= 100 ? kSuccess : kInvalidValue;
  if (attribute != kFunctionMaxDynamicSharedBytes) return call.misuse(kInvalidValue, "attribute " + std::to_string(attribute) + " cannot be set");
  const int most = limits_of(world.settings.major, world.settings.minor).shared_optin - function->facts->static_shared;
  if (value < 0 || value > most) return kInvalidValue;
  function->dynamic_shared = value;
  return kSuccess;
}

SOFTWARE_CUDA_CALL cuLaunchKernel(FunctionHandle handle, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,
                                  unsigned block_z, unsigned shared_bytes, StreamHandle stream_handle, void** parameters, void** extra) {
  Call call("cuLaunchKernel");
  if (const Result result = call.begin_in_context()) return result;
  World& world = call.world();
  std::shared_ptr<Function> function;
  if (const Result result = call.find(world.functions, handle, function)) return result;
  std::shared_ptr<Stream> stream;
  if (const Result result = call.find_stream(stream_handle, stream)) return result;
  if (function->context != stream->context) return call.misuse(kInvalidHandle, "a function and a stream of different devices");
  if (function->context != &call.context()) return call.misuse(kInvalidContext, "a function of another device than the current context's");
  LaunchDescription launch{{grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared_bytes, function->registers, {}};
  if (const Result result = check_launch(call, *function, launch)) return result;
  if (!gather(*function->facts, parameters, extra, launch.parameters)) return call.misuse(kInvalidValue, function->name + ": not all parameters were given");

  world.statistics.counts.launches++;
  world.statistics.kernels[function->name].launches++;
  world.statistics.launches_by_device[function->context->device]++;
  const uint64_t nth = ++world.launches;
  Operation operation;
  operation.what = "a launch of " + function->name;
  operation.ranges = allocations_in(*function->context, launch.parameters);
  operation.step = [&world, function, launch, nth] { return execute(world, *function, launch, nth); };
  call.push(*stream, std::move(operation));
  return kSuccess;
}
