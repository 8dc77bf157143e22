#include "engine/model.h"

#include <utility>

#include "runtime/library.h"
#include "runtime/session.h"

namespace manyscale::engine {

RuntimeDescription describe_runtime(const std::string& library_path, bool probe_providers) {
  const runtime::Library& library = runtime::Library::load(library_path);
  RuntimeDescription description{library.path(), library.version(), library.notice(), library.providers(), {}};
  if (probe_providers) description.unavailable = library.unavailable_providers();
  return description;
}

std::shared_ptr<TileEngine> load_model(const std::string& library_path, const ModelSource& model, int workers) {
  runtime::Library& library = runtime::Library::load(library_path);
  const runtime::Session::Options options;
  auto session = model.path.empty() ? runtime::Session::from_bytes(library, model.bytes.data(), model.bytes.size(), options)
                                    : runtime::Session::from_file(library, model.path, options);
  return std::make_shared<TileEngine>(std::move(session), workers);
}

}  // namespace manyscale::engine
