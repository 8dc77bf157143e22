// From a path to a model that is ready to run.
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
};

// Both block (files are read, libraries opened): call them on a thread of the executor. Errors as runtime::Library's and
// runtime::Session's. `probe_providers` also finds out why providers other than the CPU's do not work.
RuntimeDescription describe_runtime(const std::string& library_path, bool probe_providers);

struct ModelSource {
  std::string path;  // or:
  std::vector<char> bytes;
};

// `workers` as TileEngine's.
std::shared_ptr<TileEngine> load_model(const std::string& library_path, const ModelSource& model, int workers);

}  // namespace manyscale::engine
