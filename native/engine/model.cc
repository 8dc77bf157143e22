#include "engine/model.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "runtime/library.h"
#include "runtime/session.h"

namespace manyscale::engine {
namespace {

// What is loaded of one model and library, for as long as somebody uses it.
struct Shared {
  std::mutex loading;  // one load at a time: the second finds what the first has made
  std::weak_ptr<runtime::Session> session;
  std::vector<std::pair<EngineOptions, std::weak_ptr<TileEngine>>> engines;
};

std::shared_ptr<Shared> find_shared(const std::string& key) {
  static auto* const mutex = new std::mutex;  // leaked, as all that outlives environments
  static auto* const all = new std::map<std::string, std::shared_ptr<Shared>>;
  const std::lock_guard lock(*mutex);
  std::erase_if(*all, [](const auto& entry) {
    const std::unique_lock unused(entry.second->loading, std::try_to_lock);
    return unused && entry.second.use_count() == 1 && entry.second->session.expired();
  });
  auto& shared = (*all)[key];
  if (!shared) shared = std::make_shared<Shared>();
  return shared;
}

std::shared_ptr<runtime::Session> load_session(runtime::Library& library, const ModelSource& model) {
  const runtime::Session::Options options;
  if (model.path.empty()) return runtime::Session::from_bytes(library, model.bytes.data(), model.bytes.size(), options);
  return runtime::Session::from_file(library, model.path, options);
}

}  // namespace

RuntimeDescription describe_runtime(const std::string& library_path, bool probe_providers) {
  const runtime::Library& library = runtime::Library::load(library_path);
  RuntimeDescription description{library.path(), library.version(), library.notice(), library.providers(), {}, {}};
  if (!probe_providers) return description;
  description.unavailable = library.unavailable_providers();
  description.tensorrt = runtime::tensorrt_version();
  return description;
}

std::shared_ptr<Client> load_model(const std::string& library_path, const ModelSource& model, const EngineOptions& options) {
  runtime::Library& library = runtime::Library::load(library_path);
  if (model.identity.empty()) return std::make_shared<TileEngine>(load_session(library, model), options)->connect();

  const std::shared_ptr<Shared> shared = find_shared(library.path() + '\n' + model.identity);
  const std::lock_guard loading(shared->loading);
  std::erase_if(shared->engines, [](const auto& engine) { return engine.second.expired(); });
  for (const auto& [known, weak] : shared->engines) {
    const auto engine = known == options ? weak.lock() : nullptr;
    if (!engine) continue;
    if (auto client = engine->connect()) return client;
  }
  std::shared_ptr<runtime::Session> session = shared->session.lock();
  if (!session) shared->session = session = load_session(library, model);
  const auto engine = std::make_shared<TileEngine>(std::move(session), options);
  shared->engines.emplace_back(options, engine);
  return engine->connect();
}

}  // namespace manyscale::engine
