#include "test_driver.h"

#include <dlfcn.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <stdexcept>

extern char** environ;

namespace driver_test {
namespace {

constexpr const char* kFlag = "--scenario";

std::map<std::string, Scenario>& scenarios() {
  static std::map<std::string, Scenario> all;
  return all;
}

template <typename Function>
void find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  if (!function) throw std::runtime_error(std::string("the stand-in does not export ") + name);
}

void require(int result, const char* what) {
  if (result != 0) throw std::runtime_error(std::string(what) + " gave error " + std::to_string(result));
}

}  // namespace

const Driver& driver() {
  static const Driver* const loaded = [] {
    void* library = dlopen(SOFTWARE_CUDA_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library) throw std::runtime_error(dlerror());
    auto* made = new Driver;
#define SOFTWARE_CUDA_FIND(name, parameters) find(library, #name, made->name);
    SOFTWARE_CUDA_FUNCTIONS(SOFTWARE_CUDA_FIND)
#undef SOFTWARE_CUDA_FIND
    find(library, "software_cuda_counts", made->counts_of);
    find(library, "software_cuda_launches", made->launches);
    find(library, "software_cuda_misuse", made->misuse);
    find(library, "software_cuda_reset_counts", made->reset);
    find(library, "software_cuda_write_report", made->write_report);
    find(library, "software_cuda_host_view", made->host_view);
    find(library, "software_cuda_stream_alive", made->stream_alive);
    find(library, "software_cuda_stream_device", made->stream_device);
    find(library, "software_cuda_address_device", made->address_device);
    find(library, "software_cuda_enqueue_host", made->enqueue_host);
    find(library, "software_cuda_set_seed", made->set_seed);
    return made;
  }();
  return *loaded;
}

void enter(int device) {
  const Driver& cuda = driver();
  require(cuda.cuInit(0), "cuInit");
  software_cuda::ContextHandle context = nullptr;
  require(cuda.cuDevicePrimaryCtxRetain(&context, device), "cuDevicePrimaryCtxRetain");
  require(cuda.cuCtxSetCurrent(context), "cuCtxSetCurrent");
}

std::string add_one_ptx(const std::string& version, const std::string& name, const std::string& target) {
  const std::string parameter = name + "_param_0";
  return ".version " + version + "\n.target " + target + "\n.address_size 64\n\n.visible .entry " + name + "(\n\t.param .align 8 .b8 " + parameter +
         "[16]\n)\n{\n"
         "\t.reg .pred \t%p<2>;\n\t.reg .b32 \t%r<8>;\n\t.reg .b64 \t%rd<5>;\n\n"
         "\tld.param.u32 \t%r2, [" +
         parameter + "+8];\n\tld.param.u64 \t%rd1, [" + parameter +
         "];\n"
         "\tmov.u32 \t%r3, %ctaid.x;\n\tmov.u32 \t%r4, %ntid.x;\n\tmov.u32 \t%r5, %tid.x;\n"
         "\tmad.lo.s32 \t%r1, %r3, %r4, %r5;\n\tsetp.ge.s32 \t%p1, %r1, %r2;\n\t@%p1 bra \t$L__BB0_2;\n\n"
         "\tcvta.to.global.u64 \t%rd2, %rd1;\n\tmul.wide.s32 \t%rd3, %r1, 4;\n\tadd.s64 \t%rd4, %rd2, %rd3;\n"
         "\tld.global.u32 \t%r6, [%rd4];\n\tadd.s32 \t%r7, %r6, 1;\n\tst.global.u32 \t[%rd4], %r7;\n\n"
         "$L__BB0_2:\n\tret;\n\n}\n";
}

Kernel load_add_one() {
  Kernel kernel;
  require(driver().cuModuleLoadData(&kernel.module, add_one_ptx().c_str()), "cuModuleLoadData");
  require(driver().cuModuleGetFunction(&kernel.function, kernel.module, "add_one"), "cuModuleGetFunction");
  return kernel;
}

int launch_add_one(software_cuda::FunctionHandle function, uint64_t words, int count, software_cuda::StreamHandle stream) {
  constexpr unsigned kBlock = 64;
  AddOne arguments{words, count};
  void* parameters[] = {&arguments};
  return driver().cuLaunchKernel(function, (static_cast<unsigned>(count) + kBlock - 1) / kBlock, 1, 1, kBlock, 1, 1, 0, stream, parameters, nullptr);
}

ScenarioEntry::ScenarioEntry(const char* name, Scenario body) { scenarios()[name] = body; }

std::string in_process(const std::string& scenario, const Environment& environment) {
  int ends[2];
  if (pipe(ends) != 0) return "no pipe";
  std::vector<std::string> variables;
  for (char** each = environ; *each; each++) variables.emplace_back(*each);
  for (const auto& [name, value] : environment) {
    std::erase_if(variables, [&prefix = name](const std::string& each) { return each.starts_with(prefix + "="); });
    variables.push_back(name + "=" + value);
  }
  // Scenarios end in the middle of things, with models open: what they leave is no leak.
  variables.emplace_back("ASAN_OPTIONS=detect_leaks=0");
  std::vector<char*> pointers;
  for (std::string& each : variables) pointers.push_back(each.data());
  pointers.push_back(nullptr);
  std::string arguments[] = {"/proc/self/exe", kFlag, scenario};
  char* argv[] = {arguments[0].data(), arguments[1].data(), arguments[2].data(), nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_addclose(&actions, ends[0]);
  pid_t child = 0;
  const int failed = posix_spawn(&child, "/proc/self/exe", &actions, nullptr, argv, pointers.data());
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  std::string text;
  char buffer[512];
  for (ssize_t got = 0; !failed && (got = read(ends[0], buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<size_t>(got));
  close(ends[0]);
  if (failed) return "no process";
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && text.empty()) return "";
  return scenario + " ended with status " + std::to_string(status) + ": " + text;
}

void run_scenario_if_asked(int argc, char** argv) {
  if (argc < 3 || std::strcmp(argv[1], kFlag) != 0) return;
  std::string text;
  try {
    const auto found = scenarios().find(argv[2]);
    text = found == scenarios().end() ? "no scenario of that name" : found->second();
  } catch (const std::exception& error) {
    text = error.what();
  }
  std::fputs(text.c_str(), stdout);
  std::exit(text.empty() ? 0 : 1);
}

}  // namespace driver_test
