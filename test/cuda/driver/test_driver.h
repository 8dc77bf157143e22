// The driver as a program finds it: opened at run time, every call by its name. And tests in a process of their own, for what the stand-in
// reads from the environment once.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "cuda_api.h"
#include "software_cuda.h"

namespace driver_test {

struct Driver {
#define SOFTWARE_CUDA_MEMBER(name, parameters) int(*name) parameters = nullptr;
  SOFTWARE_CUDA_FUNCTIONS(SOFTWARE_CUDA_MEMBER)
#undef SOFTWARE_CUDA_MEMBER
  decltype(&software_cuda_counts) counts_of = nullptr;
  decltype(&software_cuda_launches) launches = nullptr;
  decltype(&software_cuda_misuse) misuse = nullptr;
  decltype(&software_cuda_reset_counts) reset = nullptr;
  decltype(&software_cuda_write_report) write_report = nullptr;
  decltype(&software_cuda_host_view) host_view = nullptr;
  decltype(&software_cuda_stream_alive) stream_alive = nullptr;
  decltype(&software_cuda_stream_device) stream_device = nullptr;
  decltype(&software_cuda_address_device) address_device = nullptr;
  decltype(&software_cuda_enqueue_host) enqueue_host = nullptr;
  decltype(&software_cuda_set_seed) set_seed = nullptr;

  SoftwareCudaCounts counts() const {
    SoftwareCudaCounts result{};
    counts_of(&result, sizeof result);
    return result;
  }
  // All that were told, a line each.
  std::string misuses() const {
    std::string text;
    for (size_t i = 0; misuse(i); i++) text += std::string(misuse(i)) + "\n";
    return text;
  }
};

const Driver& driver();

// cuInit, and the context of device 0 on the calling thread.
void enter(int device = 0);

// Code of one kernel that adds 1 to the first `count` of 32-bit words; Arguments is its parameter. Plain PTX, of the version given.
struct AddOne {
  uint64_t words;
  int32_t count;
  int32_t unused = 0;
};
std::string add_one_ptx(const std::string& version = "6.3", const std::string& name = "add_one", const std::string& target = "sm_75");

struct Kernel {
  software_cuda::ModuleHandle module = nullptr;
  software_cuda::FunctionHandle function = nullptr;
};
Kernel load_add_one();
int launch_add_one(software_cuda::FunctionHandle function, uint64_t words, int count, software_cuda::StreamHandle stream);

// A body to be run in another process; it returns '' or what was wrong.
using Scenario = std::string (*)();
struct ScenarioEntry {
  ScenarioEntry(const char* name, Scenario body);
};
#define CUDA_SCENARIO(name)                                                      \
  static std::string scenario_##name();                                          \
  static const driver_test::ScenarioEntry entry_##name(#name, &scenario_##name); \
  static std::string scenario_##name()
// In a scenario: leaves it with what was wrong.
#define EXPECT(condition) \
  if (!(condition)) return std::string("Expected ") + #condition + " in line " + std::to_string(__LINE__)

using Environment = std::vector<std::pair<std::string, std::string>>;
std::string in_process(const std::string& scenario, const Environment& environment);
// For main(): runs the scenario that the arguments name and exits, or returns.
void run_scenario_if_asked(int argc, char** argv);

}  // namespace driver_test
