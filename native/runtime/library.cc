#include "runtime/library.h"

#include <dlfcn.h>
#include <link.h>
#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <string_view>
#include <utility>

#include "runtime/handle.h"
#include "runtime/library_file.h"
#include "runtime/provider.h"

namespace manyscale::runtime {
namespace {

constexpr const char* kEntry = "OrtGetApiBase";
constexpr const char* kNoEntry = "a library without OrtGetApiBase";

// One file in the process, under whatever paths it was asked for.
struct Runtime {
  std::string version;
  std::unique_ptr<ort::Api> api;
  OrtEnv* env = nullptr;
};

struct Registry {
  std::mutex mutex;
  std::map<std::string, Library*> libraries;           // by the path that was asked for
  std::map<void*, std::unique_ptr<Runtime>> runtimes;  // by the dynamic loader's handle
};

Registry& registry() {
  static Registry& instance = *new Registry;  // leaked: the runtime may be in use while the process ends
  return instance;
}

[[noreturn]] void throw_unavailable(const std::string& path, const std::string& reason) {
  throw Error(ErrorCode::kRuntimeUnavailable,
              "Expected an ONNX Runtime library (1." + std::to_string(ort::kOldestMinor) + " or newer) for '" + path + "' but received: " + reason +
                  "; give the absolute path of a libonnxruntime.so.1 (1.17 or newer) as runtimeLibrary, or leave it out to use onnxruntime-node's");
}

bool same_file(const std::string& a, const std::string& b) {
  struct stat first, second;
  return stat(a.c_str(), &first) == 0 && stat(b.c_str(), &second) == 0 && first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

// The copies of ONNX Runtime that are in the process already, whoever loaded them.
std::vector<std::string> resident_paths() {
  std::vector<std::string> paths;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* result) {
        const std::string_view path = info->dlpi_name;
        if (path.substr(path.rfind('/') + 1).starts_with("libonnxruntime.so")) static_cast<std::vector<std::string>*>(result)->emplace_back(path);
        return 0;
      },
      &paths);
  return paths;
}

void no_log(void*, int, const char*, const char*, const char*, const char*) {}

// The runtime of a loaded library; on failure null and the reason.
Runtime* open_runtime(void* handle, std::string& reason) {
  auto& runtimes = registry().runtimes;
  if (const auto known = runtimes.find(handle); known != runtimes.end()) return known->second.get();
  const auto entry = reinterpret_cast<const ort::ApiBase* (*)()>(dlsym(handle, kEntry));
  if (!entry) {
    reason = kNoEntry;
    return nullptr;
  }
  const ort::ApiBase* base = entry();
  auto runtime = std::make_unique<Runtime>();
  runtime->version = base->GetVersionString();
  int major = 0;
  int minor = 0;
  if (std::sscanf(runtime->version.c_str(), "%d.%d", &major, &minor) != 2 || major != 1 || minor < ort::kOldestMinor) {
    reason = "version " + runtime->version;
    return nullptr;
  }
  const int version = std::min(minor, ort::kNewestMinor);
  const void* table = base->GetApi(static_cast<uint32_t>(version));
  if (!table) {
    reason = "version " + runtime->version + " without version " + std::to_string(version) + " of its interface";
    return nullptr;
  }
  runtime->api = std::make_unique<ort::Api>(table);
  // An environment belongs to all of the process: if another part of it made one before, that one's logger stays.
  reason = ort::message_of(*runtime->api, runtime->api->CreateEnvWithCustomLogger(no_log, nullptr, ort::kLogError, "manyscale", &runtime->env));
  if (!reason.empty()) return nullptr;
  return (runtimes[handle] = std::move(runtime)).get();
}

std::string loader_error() {
  const char* error = dlerror();
  return error ? error : "an unknown error of the dynamic loader";
}

struct Choice {
  Runtime* runtime = nullptr;
  std::string file;
  std::string notice;
};

// Another copy that is in the process and can be used, if there is one. Without one, `runtime` is null and `notice` may still
// have something to say.
Choice choose_resident(const std::string& path) {
  Choice choice;
  const std::vector<std::string> residents = resident_paths();
  if (residents.empty() || std::any_of(residents.begin(), residents.end(), [&path](const std::string& resident) { return same_file(resident, path); }))
    return choice;
  if (!file_contains(path, kEntry)) throw_unavailable(path, kNoEntry);  // a wrong path is told even when another copy serves
  for (const std::string& resident : residents) {
    std::string reason;
    void* handle = dlopen(resident.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
    choice.runtime = handle ? open_runtime(handle, reason) : nullptr;
    if (choice.runtime) {
      choice.file = resident;
      choice.notice = "ONNX Runtime " + choice.runtime->version + " from '" + resident + "' was in the process already and is used instead of '" + path + "'";
      return choice;
    }
    choice.notice = "ONNX Runtime from '" + resident + "' was in the process already and cannot be used (" + (handle ? reason : loader_error()) + "): '" +
                    path + "' is loaded beside it";
  }
  return choice;
}

// Since 1.29 official builds start telemetry with the first environment; only this variable stops all of it. It is set
// natively because a worker thread's process.env never reaches C.
void switch_telemetry_off() {
  constexpr const char* kVariable = "ORT_DISABLE_TELEMETRY";
  const char* value = std::getenv(kVariable);
  if (!value || std::strcmp(value, "1") != 0) setenv(kVariable, "1", 1);
}

std::string short_name(std::string_view name) {
  constexpr std::string_view kSuffix = "ExecutionProvider";
  if (name.ends_with(kSuffix)) name.remove_suffix(kSuffix.size());
  std::string lower(name);
  for (char& letter : lower) letter = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
  return lower;
}

}  // namespace

Library& Library::load(const std::string& path) {
  if (path.empty() || path.front() != '/') throw_unavailable(path, "a path that is not absolute");
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  if (const auto known = all.libraries.find(path); known != all.libraries.end()) return *known->second;

  if (const std::string reason = why_not_loadable(path); !reason.empty()) throw_unavailable(path, reason);
  switch_telemetry_off();
  Choice choice = choose_resident(path);
  if (!choice.runtime) {
    void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!handle) throw_unavailable(path, loader_error());
    std::string reason;
    choice.runtime = open_runtime(handle, reason);
    if (!choice.runtime) throw_unavailable(path, reason);
    choice.file = path;
  }

  std::unique_ptr<Library> library(new Library);
  library->path_ = std::move(choice.file);
  library->version_ = choice.runtime->version;
  library->notice_ = std::move(choice.notice);
  library->api_ = choice.runtime->api.get();
  library->env_ = choice.runtime->env;
  return *(all.libraries[path] = library.release());
}

std::vector<std::string> Library::providers() const {
  char** names = nullptr;
  int count = 0;
  ort::check(*api_, api_->GetAvailableProviders(&names, &count), ErrorCode::kRuntimeUnavailable, "a list of providers");
  std::vector<std::string> result;
  for (int i = 0; i < count; i++) result.push_back(short_name(names[i]));
  ort::message_of(*api_, api_->ReleaseAvailableProviders(names, count));
  return result;
}

std::map<std::string, std::string> Library::unavailable_providers() const {
  std::map<std::string, std::string> reasons;
  for (const Provider provider : {Provider::kCuda, Provider::kTensorRt}) {
    if (std::string reason = why_unavailable(*api_, provider); !reason.empty()) reasons[provider_name(provider)] = std::move(reason);
  }
  return reasons;
}

}  // namespace manyscale::runtime
