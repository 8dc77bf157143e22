#include "engine/table_cache.h"

#include <algorithm>

namespace manyscale::engine {

std::vector<split::ScaleTables> TableCache::get(const Plan& plan, const std::optional<Rectangle>& crop, ResizeMode mode) {
  const Size source = crop ? Size{crop->height, crop->width} : plan.image;
  {
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(entries_.begin(), entries_.end(),
                                    [&](const Entry& entry) { return entry.source == source && entry.mode == mode && entry.scales == plan.scales; });
    if (found != entries_.end()) {
      entries_.splice(entries_.begin(), entries_, found);
      return found->tables;
    }
  }
  std::list<Entry> made;  // outside the lock: others need not wait, and two that make the same do no harm
  made.push_back({source, mode, plan.scales, split::make_tables(plan, crop, mode)});
  std::vector<split::ScaleTables> tables = made.front().tables;
  const std::lock_guard lock(mutex_);
  entries_.splice(entries_.begin(), made);
  if (entries_.size() > kEntries) entries_.pop_back();
  return tables;
}

void TableCache::clear() {
  const std::lock_guard lock(mutex_);
  entries_.clear();
}

}  // namespace manyscale::engine
