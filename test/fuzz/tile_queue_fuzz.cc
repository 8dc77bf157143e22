// TileQueue under any sequence of calls: every tile is given exactly once and in order, classes never mix, and no image waits for
// longer than its fair share of the others' turns.
#include "engine/tile_queue.h"

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "check.h"
#include "fuzzed_input.h"

using namespace manyscale;
using namespace manyscale::engine;
using manyscale::fuzz::FuzzedInput;

namespace {

constexpr size_t kMostImages = 16;
constexpr int64_t kClasses = 3;

// What the queue must be like, kept beside it in the plainest way.
struct Image : QueuedImage {
  bool queued_now = false;
  int64_t given = 0;      // tiles, since the image was made
  int64_t overtaken = 0;  // tiles that others gave since it was pushed or gave one
  int64_t left() const { return tiles - next; }
};

struct Queue {
  explicit Queue(int64_t turn) : quantum(std::max<int64_t>(turn, 1)), queue(turn) {}

  const int64_t quantum;
  int64_t largest_take = 0;
  TileQueue queue;
  std::deque<Image> images;  // which stay where they are

  void check() const {
    int64_t all = 0;
    for (int64_t c = 0; c < kClasses; c++) {
      const auto batch_class = static_cast<size_t>(c);
      int64_t tiles = 0;
      auto oldest = std::chrono::steady_clock::time_point::max();
      for (const Image& image : images) {
        if (!image.queued_now || image.batch_class != batch_class) continue;
        tiles += image.left();
        oldest = std::min(oldest, image.queued);
      }
      FUZZ_CHECK(queue.tiles_of_class(batch_class) == tiles, std::to_string(queue.tiles_of_class(batch_class)));
      FUZZ_CHECK(queue.oldest(batch_class) == oldest, "the time of the longest waiting image");
      all += tiles;
    }
    FUZZ_CHECK(queue.tiles() == all && queue.empty() == (all == 0), std::to_string(queue.tiles()));
  }

  void add(FuzzedInput& input) {
    if (images.size() >= kMostImages) return;
    Image& image = images.emplace_back();
    image.tiles = input.between(0, 60);
    image.batch_class = static_cast<size_t>(input.between(0, kClasses - 1));
    push(image);
  }

  void push(Image& image) {
    queue.push(image);
    if (!image.queued_now) image.overtaken = 0;
    image.queued_now = image.left() > 0;
  }

  void remove(Image& image) {
    queue.remove(image);
    image.queued_now = false;
  }

  void take(int64_t count) {
    if (queue.empty()) {
      FUZZ_CHECK(queue.take(count).empty(), "tiles of an empty queue");
      return;
    }
    largest_take = std::max(largest_take, count);
    const size_t batch_class = queue.next_class();
    const int64_t offered = std::min(std::max<int64_t>(count, 0), queue.tiles_of_class(batch_class));
    std::map<const QueuedImage*, int64_t> next;
    for (const Image& image : images) next[&image] = image.next;
    int64_t taken = 0;
    const std::vector<TileRun> runs = queue.take(count);
    for (const TileRun& run : runs) {
      const auto found = std::find_if(images.begin(), images.end(), [&](const Image& image) { return &image == run.image; });
      FUZZ_CHECK(found != images.end() && found->queued_now, "tiles of an image that is not in the queue");
      FUZZ_CHECK(found->batch_class == batch_class, "classes mixed");
      FUZZ_CHECK(run.count >= 1 && run.first == next[run.image] && run.first + run.count <= run.image->tiles,
                 "tiles " + std::to_string(run.first) + " + " + std::to_string(run.count) + " where " + std::to_string(next[run.image]) + " comes next");
      next[run.image] += run.count;
      found->given += run.count;
      taken += run.count;
    }
    FUZZ_CHECK(taken == offered, std::to_string(taken) + " tiles where " + std::to_string(offered) + " were to be had");
    for (Image& image : images) {
      FUZZ_CHECK(image.next == next[&image], "an image that counts otherwise than it gave");
      if (!image.queued_now) continue;
      const bool gave = std::any_of(runs.begin(), runs.end(), [&](const TileRun& run) { return run.image == &image; });
      image.overtaken = gave ? 0 : image.overtaken + taken;
      // Whoever stands before it has one turn, and each other class one batch that may go round more than once.
      FUZZ_CHECK(image.overtaken <= static_cast<int64_t>(images.size()) * quantum + (kClasses - 1) * largest_take, "an image that waits for too long");
      image.queued_now = image.left() > 0;
    }
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzedInput input(data, size);
  Queue queue(input.between(-1, 12));
  const auto some = [&]() -> Image& { return queue.images[static_cast<size_t>(input.between(0, static_cast<int64_t>(queue.images.size()) - 1))]; };
  while (!input.empty()) {
    switch (input.between(0, 7)) {
      case 0:
      case 1: queue.add(input); break;
      case 2:
        if (!queue.images.empty()) queue.push(some());  // again, also while it is there
        break;
      case 3:
        if (!queue.images.empty()) queue.remove(some());
        break;
      default: queue.take(input.boolean() ? input.between(1, 4) : input.between(-1, 100)); break;
    }
    queue.check();
  }
  while (!queue.queue.empty()) queue.take(7);
  // Of images that were not removed every tile was given once.
  for (const Image& image : queue.images) FUZZ_CHECK(image.given == image.next && image.given <= image.tiles, std::to_string(image.given));
  return 0;
}
