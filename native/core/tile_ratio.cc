#include "core/tile_ratio.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "core/error.h"

namespace manyscale {
namespace {

using Pair = std::pair<int64_t, int64_t>;  // columns, rows

// The hash of a tuple of two small integers: Objects/tupleobject.c since CPython 3.8 (xxHash's rounds over the items' hashes, which
// are the integers themselves).
uint64_t tuple_hash(const Pair& pair) {
  constexpr uint64_t kPrime1 = 11400714785074694791U;
  constexpr uint64_t kPrime2 = 14029467366897019727U;
  constexpr uint64_t kPrime5 = 2870177450012600261U;
  uint64_t sum = kPrime5;
  for (const int64_t item : {pair.first, pair.second}) {
    sum += static_cast<uint64_t>(item) * kPrime2;
    sum = (sum << 31) | (sum >> 33);
    sum *= kPrime1;
  }
  return sum + (2 ^ (kPrime5 ^ 3527539U));
}

// A set of pairs that keeps CPython's order (Objects/setobject.c): open addressing, runs of nine further entries, then a jump.
class PythonSet {
 public:
  void add(const Pair& pair) {
    if (!insert(table_, pair)) return;
    used_++;
    if (used_ * 5 < (table_.size() - 1) * 3) return;
    size_t size = 8;
    while (size <= used_ * 4) size *= 2;
    std::vector<Pair> larger(size, kEmpty);
    for (const Pair& entry : table_) {
      if (entry != kEmpty) insert(larger, entry);
    }
    table_ = std::move(larger);
  }
  std::vector<Pair> entries() const {
    std::vector<Pair> all;
    std::copy_if(table_.begin(), table_.end(), std::back_inserter(all), [](const Pair& entry) { return entry != kEmpty; });
    return all;
  }

 private:
  static constexpr Pair kEmpty{0, 0};
  static constexpr size_t kLinearProbes = 9;

  // False: it is there.
  static bool insert(std::vector<Pair>& table, const Pair& pair) {
    const uint64_t mask = table.size() - 1;
    uint64_t perturb = tuple_hash(pair);
    uint64_t at = perturb & mask;
    for (;;) {
      const size_t probes = at + kLinearProbes <= mask ? kLinearProbes : 0;
      for (size_t i = 0; i <= probes; i++) {
        Pair& entry = table[at + i];
        if (entry == pair) return false;
        if (entry != kEmpty) continue;
        entry = pair;
        return true;
      }
      perturb >>= 5;
      at = (at * 5 + 1 + perturb) & mask;
    }
  }

  std::vector<Pair> table_ = std::vector<Pair>(8, kEmpty);
  size_t used_ = 0;
};

}  // namespace

std::vector<Size> tile_ratios(int64_t least, int64_t most) {
  if (least < 1 || most < least || most > kMostRatioTiles) {
    throw Error(ErrorCode::kInvalidArgument, "Expected at least " + std::to_string(std::max<int64_t>(least, 1)) + " and at most " +
                                                 std::to_string(kMostRatioTiles) + " for maxTiles but received " + std::to_string(most));
  }
  PythonSet set;
  // They add all pairs up to (n, n) for every n; what was added before changes nothing.
  for (int64_t n = least; n <= most; n++) {
    for (int64_t columns = 1; columns <= n; columns++) {
      for (int64_t rows = n == least || columns == n ? 1 : n; rows <= n; rows++) {
        if (columns * rows >= least && columns * rows <= most) set.add({columns, rows});
      }
    }
  }
  std::vector<Size> ratios;
  for (const auto& [columns, rows] : set.entries()) ratios.push_back({rows, columns});
  std::stable_sort(ratios.begin(), ratios.end(), [](const Size& a, const Size& b) { return a.height * a.width < b.height * b.width; });
  return ratios;
}

Size choose_tile_ratio(Size image, const std::vector<Size>& candidates, int64_t base) {
  const double aspect = static_cast<double>(image.width) / static_cast<double>(image.height);
  const double pixels = static_cast<double>(image.width) * static_cast<double>(image.height);
  double nearest = std::numeric_limits<double>::infinity();
  Size best{1, 1};
  for (const Size& candidate : candidates) {
    const double difference = std::abs(aspect - static_cast<double>(candidate.width) / static_cast<double>(candidate.height));
    const double half = 0.5 * static_cast<double>(base) * static_cast<double>(base) * static_cast<double>(candidate.width * candidate.height);
    if (difference < nearest) {
      nearest = difference;
      best = candidate;
    } else if (difference == nearest && pixels > half) {
      best = candidate;
    }
  }
  return best;
}

}  // namespace manyscale
