#include "code.h"

#include <algorithm>

#include "device_memory.h"
#include "machine/machine.h"
#include "settings.h"

namespace software_cuda {
namespace {

Result result_of(FaultKind kind) {
  switch (kind) {
    case FaultKind::kOutOfBounds: return kIllegalAddress;
    case FaultKind::kMisaligned: return kMisalignedAddress;
    case FaultKind::kLaunch: return kInvalidValue;
    default: return kLaunchFailed;
  }
}

class MachineCode final : public Code {
 public:
  explicit MachineCode(const std::string& ptx) : module_(Module::parse(ptx)) {
    for (const std::string& name : module_->names()) {
      const KernelShape& shape = shape_of(*module_->find(name));
      KernelFacts& facts = facts_[name];
      for (const Parameter& parameter : shape.parameters) {
        facts.parameter_offsets.push_back(parameter.offset);
        facts.parameter_bytes.push_back(parameter.bytes);
      }
      facts.parameters_end = shape.parameter_bytes;
      facts.static_shared = static_cast<int>(shape.static_shared);
      if (shape.most_threads > 0) facts.most_threads = shape.most_threads;
    }
  }

  const KernelFacts* find(const std::string& kernel) const override {
    const auto found = facts_.find(kernel);
    return found == facts_.end() ? nullptr : &found->second;
  }

  LaunchOutcome run(const std::string& kernel, DeviceMemory& memory, const LaunchDescription& launch, const Settings& settings) const override {
    std::vector<Region> regions;
    for (const auto& [address, bytes] : memory.allocations()) regions.push_back({address, bytes, memory.host_view(address, bytes)});
    LaunchConfig config;
    std::copy(std::begin(launch.grid), std::end(launch.grid), config.grid);
    std::copy(std::begin(launch.block), std::end(launch.block), config.block);
    config.shared_bytes = launch.shared_bytes;
    config.parameters = launch.parameters;
    RunOptions options;
    options.threads = std::max(1, settings.threads);
    options.count = settings.count;
    options.l2_bytes = static_cast<size_t>(settings.l2_bytes);
    LaunchOutcome outcome;
    try {
      const Report report = software_cuda::run(*module_->find(kernel), regions, config, options);
      if (settings.count) {
        outcome.traffic = {{"warpInstructions", report.warp_instructions},
                           {"laneInstructions", report.lane_instructions},
                           {"globalRequests", report.global_requests},
                           {"globalSectors", report.global_sectors},
                           {"sharedRequests", report.shared_requests},
                           {"sharedConflicts", report.shared_conflicts},
                           {"dramRead", report.dram_read},
                           {"dramWritten", report.dram_written},
                           {"idealRead", report.ideal_read},
                           {"idealWritten", report.ideal_written}};
      }
    } catch (const Fault& fault) {
      outcome.fault = result_of(fault.kind);
      outcome.text = fault.what();
    }
    return outcome;
  }

 private:
  std::shared_ptr<const Module> module_;
  std::map<std::string, KernelFacts> facts_;
};

}  // namespace

std::shared_ptr<const Code> Code::parse(const std::string& ptx) { return std::make_shared<MachineCode>(ptx); }

}  // namespace software_cuda
