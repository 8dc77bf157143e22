// The axis tables of the plans that were used last: images of one shape share them. Thread-safe.
#pragma once

#include <list>
#include <mutex>
#include <optional>
#include <vector>

#include "ops/split/params.h"

namespace manyscale::engine {

class TableCache {
 public:
  std::vector<split::ScaleTables> get(const Plan& plan, const std::optional<Rectangle>& crop, ResizeMode mode);
  void clear();

 private:
  struct Entry {  // everything that the tables depend on
    Size source;  // of the crop
    ResizeMode mode;
    std::vector<Scale> scales;
    std::vector<split::ScaleTables> tables;
  };
  static constexpr size_t kEntries = 16;  // shapes in use at once; each is a few hundred kilobytes for large images
  std::mutex mutex_;
  std::list<Entry> entries_;  // the one that was used last comes first
};

}  // namespace manyscale::engine
