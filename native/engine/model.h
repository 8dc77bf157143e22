// From a path to a model that is ready to run. Users of one model share it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/tile_engine.h"

namespace manyscale::engine {

struct RuntimeDescription {
  std::string path;
  std::string version;
  std::string notice;                              // what a user should know about this choice of library, or ''
  std::vector<std::string> providers;              // compiled in
  std::map<std::string, std::string> unavailable;  // why a provider cannot be used, where asked
  std::string tensorrt;                            // version of the TensorRT that is loaded, or ''
};

// Both block (files are read, libraries opened): call them on a thread of the executor. Errors as runtime::Library's and
// runtime::Session's. `probe_providers` also finds out why providers other than the CPU's do not work.
RuntimeDescription describe_runtime(const std::string& library_path, bool probe_providers);

struct ModelSource {
  std::string path;  // or:
  std::vector<char> bytes;
  std::string identity;  // what the model is, wherever it is from; '' shares with nobody
};

// Clients of one model and library share the session, and with equal options also the queue and its workers.
std::shared_ptr<Client> load_model(const std::string& library_path, const ModelSource& model, const EngineOptions& options);

}  // namespace manyscale::engine
