// An ONNX Runtime library, opened at run time: nothing links against it, so a path from the user works as well as the one
// that onnxruntime-node brings.
#pragma once

#include <map>
#include <string>
#include <vector>

struct OrtEnv;

namespace manyscale::runtime {

namespace ort {
struct Api;
}

// Loaded once per path and never unloaded. Its environment is made once, without telemetry and with a logger that says
// nothing. All members may be called from any thread.
class Library {
 public:
  // `path` is absolute. Error kRuntimeUnavailable: no such file, not a library, not ONNX Runtime, or one older than 1.17;
  // the message has the path, the loader's reason and the remedy. A failure is not remembered.
  //
  // Another copy of ONNX Runtime that somebody loaded before is used instead when it is new enough, since two copies in
  // one process get in each other's way. path() is then the copy's and notice() says so.
  static Library& load(const std::string& path);

  const std::string& path() const noexcept { return path_; }        // of the file that is in use
  const std::string& version() const noexcept { return version_; }  // '1.30.0'
  const std::string& notice() const noexcept { return notice_; }    // what a user should know about this choice of file, or ''

  // What the library was compiled with, in its order of preference: 'tensorrt', 'cuda', 'cpu' ... (the runtime's names
  // without their 'ExecutionProvider', in lower case). It says nothing about what works on this machine.
  std::vector<std::string> providers() const;

  // Why 'cuda' and 'tensorrt' cannot be used here; a provider that loads is absent. Tries to load their libraries.
  std::map<std::string, std::string> unavailable_providers() const;

  // For session.cc.
  const ort::Api& api() const noexcept { return *api_; }
  const OrtEnv* env() const noexcept { return env_; }

 private:
  Library() = default;
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  std::string path_;
  std::string version_;
  std::string notice_;
  const ort::Api* api_ = nullptr;
  OrtEnv* env_ = nullptr;
};

}  // namespace manyscale::runtime
