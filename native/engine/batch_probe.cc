#include "engine/batch_probe.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>

#include "core/checked.h"
#include "device/cpu/cpu_backend.h"
#include "engine/budget.h"

namespace manyscale::engine {
namespace {

// What stands in a batch's rows: 0 nothing (zeros), 1 and 2 the two tiles.
using Rows = std::vector<int>;

struct Trial {
  Rows rows;
  BufferPool::Lease features;
  std::optional<Error> error;
};

class Prober {
 public:
  Prober(runtime::Session& session, const BatchClass& batch_class, runtime::RunControl* control)
      : session_(session), class_(batch_class), control_(control), tile_bytes_(static_cast<size_t>(batch_class.input.bytes(1))) {
    const split::TileFormat& format = class_.input.format;
    std::minstd_rand random(1);  // any noise will do, and the same one every time
    std::uniform_real_distribution<float> pixels = format.type == split::TileType::kUint8 ? decltype(pixels)(0, 255) : decltype(pixels)(-1, 1);
    std::vector<float> plain(static_cast<size_t>(class_.input.tile_elements()));
    noise_.resize(2 * tile_bytes_);
    for (size_t tile = 0; tile < 2; tile++) {
      for (float& value : plain) value = pixels(random);
      split::convert_tile(format, plain.data(), 1, class_.input.tile_elements(), noise_.data() + tile * tile_bytes_);
    }
  }

  // Both tiles came out the same, bit by bit, wherever they stood; nothing when a run failed.
  std::optional<bool> same_everywhere(const std::vector<Rows>& batches, bool at_once) {
    std::vector<Trial> trials;
    for (const Rows& rows : batches) trials.push_back({rows, BufferPool::Lease(), std::nullopt});
    const auto try_one = [&](int64_t i) {
      Trial& trial = trials[static_cast<size_t>(i)];
      try {
        run(trial);
      } catch (...) {
        trial.error = current_error();
      }
    };
    const auto count = static_cast<int64_t>(trials.size());
    if (at_once) cpu::cpu_backend().parallel_for(count, try_one);
    for (int64_t i = 0; !at_once && i < count; i++) try_one(i);
    for (const Trial& trial : trials) {
      if (!trial.error) continue;
      if (trial.error->code() == ErrorCode::kCancelled || trial.error->code() == ErrorCode::kOutOfMemory) throw *trial.error;
      return std::nullopt;
    }
    int64_t before = 0;  // features of a tile at earlier outputs
    for (const BatchOutput& output : class_.outputs) {
      if (!same_at(trials, before, output.elements())) return false;
      before += output.elements();
    }
    return true;
  }

 private:
  // At one output, which gives `length` floats a tile after `before` of other outputs.
  static bool same_at(const std::vector<Trial>& trials, int64_t before, int64_t length) {
    const float* first[3] = {};
    for (const Trial& trial : trials) {
      const auto rows = static_cast<int64_t>(trial.rows.size());
      const float* features = host_pointer<const float>(trial.features.buffer()) + rows * before;
      for (const int tile : trial.rows) {
        const float*& reference = first[tile];
        if (tile != 0 && !reference) reference = features;
        if (tile != 0 && std::memcmp(reference, features, static_cast<size_t>(length) * sizeof(float)) != 0) return false;
        features += length;
      }
    }
    return true;
  }

  void run(Trial& trial) {
    const auto rows = static_cast<int64_t>(trial.rows.size());
    std::vector<std::byte> tiles(static_cast<size_t>(class_.input.bytes(rows)));
    for (size_t row = 0; row < trial.rows.size(); row++) {
      if (trial.rows[row] == 0) continue;
      std::memcpy(tiles.data() + row * tile_bytes_, noise_.data() + static_cast<size_t>(trial.rows[row] - 1) * tile_bytes_, tile_bytes_);
    }
    trial.features = run_model(session_, class_, rows, tiles.data(), buffers_, control_);
  }

  runtime::Session& session_;
  const BatchClass& class_;
  runtime::RunControl* const control_;
  BufferPool buffers_{cpu::cpu_backend()};
  const size_t tile_bytes_;
  std::vector<std::byte> noise_;
};

// b, a, b, a ...: with both tiles first alone, each is then tried at places of both parities in batches of all sizes.
Rows alternating(int64_t size) {
  Rows rows(static_cast<size_t>(size));
  for (size_t i = 0; i < rows.size(); i++) rows[i] = i % 2 ? 1 : 2;
  return rows;
}

// Batches of 2 and 3 tell products of one row from others, and odd from even; beyond that the largest one stands for all. Of a
// slow model it stands for that of 3 as well: loading it is to take no more than a few tiles.
std::vector<Rows> free_batches(int64_t largest, bool is_slow) {
  std::vector<Rows> batches{{1}, {2}};
  for (const int64_t size : is_slow ? std::set<int64_t>{2, largest} : std::set<int64_t>{2, 3, largest}) {
    if (size <= largest) batches.push_back(alternating(size));
  }
  return batches;
}

// A tile first among nothing, and last among other tiles.
std::vector<Rows> padded_batches(int64_t size) {
  Rows first(static_cast<size_t>(size));
  Rows last = alternating(size);
  first.front() = 1;
  last.back() = 1;
  return {first, last};
}

// Noise need not be that many tiles for a caller who allows enormous batches.
constexpr int64_t kLargestTrial = 16;
constexpr std::chrono::milliseconds kSlowTile{200};

// Batches of one size are never smaller: one that takes as much memory as all images may would end the process.
void check_memory(const BatchClass& batch_class) {
  const int64_t features = checked_product("a tile's memory", batch_class.tile_features(), int64_t{sizeof(float)});
  const int64_t tile = checked_sum("a tile's memory", batch_class.input.bytes(1), features);
  const int64_t bytes = checked_product("a tile batch's bytes", batch_class.batching.size, tile);
  const int64_t most = Budget::common()->state().max_bytes;
  if (bytes > most) {
    throw Error(ErrorCode::kPlanTooLarge, "Expected batches of at most " + std::to_string(most) + " bytes but received " +
                                              std::to_string(batch_class.batching.size) + " tiles of " + std::to_string(bytes) +
                                              " bytes together; set a smaller maxBatch, or export the model with a smaller batch");
  }
}

}  // namespace

void probe_batching(runtime::Session& session, BatchClass& batch_class, BatchOverrides overrides, bool deterministic, runtime::RunControl* control) {
  Prober prober(session, batch_class, control);
  const auto settle = [&](bool invariant) {
    batch_class.policy = make_cpu_policy(overrides);
    batch_class.batching = {invariant, batch_class.policy->max_batch(), overrides.fixed > 0};
  };
  overrides.fixed = batch_class.configuration.fixed_batch;
  if (overrides.fixed == 0 && deterministic) overrides.fixed = make_cpu_policy(overrides)->max_batch();
  settle(false);
  const int64_t size = batch_class.batching.size;
  if (overrides.fixed > 0) {
    check_memory(batch_class);
    const bool invariant = size == 1 || prober.same_everywhere(padded_batches(size), /*at_once=*/false).value_or(false);
    // Even batches of one size let a tile see its neighbours (a range over the batch, say): only alone it does not.
    if (!invariant && deterministic && batch_class.configuration.fixed_batch == 0) {
      overrides.fixed = 1;
      return settle(true);
    }
    return settle(invariant);
  }
  if (size == 1) return settle(true);
  const auto start = std::chrono::steady_clock::now();
  const bool alone = prober.same_everywhere({{1}}, /*at_once=*/false).has_value();
  const bool is_slow = std::chrono::steady_clock::now() - start > kSlowTile;
  const std::optional<bool> invariant = prober.same_everywhere(free_batches(std::min(size, kLargestTrial), is_slow), /*at_once=*/true);
  if (invariant) return settle(*invariant);
  // A model that has a batch of 1 written into it although it declares any works one tile at a time.
  if (alone) overrides.max_batch = 1;
  settle(alone);
}

}  // namespace manyscale::engine
