#include "engine/tile_queue.h"

#include <algorithm>

namespace manyscale::engine {

TileQueue::TileQueue(int64_t quantum) : quantum_(std::max<int64_t>(quantum, 1)) { round_.before = round_.after = &round_; }

void TileQueue::push(QueuedImage& image) noexcept {
  if (image.after || image.next >= image.tiles) return;
  image.queued = std::chrono::steady_clock::now();
  image.deficit = 0;
  link_last(image);
  tiles_ += image.tiles - image.next;
}

void TileQueue::remove(QueuedImage& image) noexcept {
  if (!image.after) return;
  unlink(image);
  tiles_ -= image.tiles - image.next;
}

bool TileQueue::empty() const noexcept { return tiles_ == 0; }
int64_t TileQueue::tiles() const noexcept { return tiles_; }
size_t TileQueue::next_class() const noexcept { return round_.after->batch_class; }

int64_t TileQueue::tiles_of_class(size_t batch_class) const noexcept {
  int64_t tiles = 0;
  for (const QueuedImage* image = round_.after; image != &round_; image = image->after) {
    if (image->batch_class == batch_class) tiles += image->tiles - image->next;
  }
  return tiles;
}

std::chrono::steady_clock::time_point TileQueue::oldest(size_t batch_class) const noexcept {
  auto oldest = std::chrono::steady_clock::time_point::max();
  for (const QueuedImage* image = round_.after; image != &round_; image = image->after) {
    if (image->batch_class == batch_class) oldest = std::min(oldest, image->queued);
  }
  return oldest;
}

std::vector<TileRun> TileQueue::take(int64_t count) {
  std::vector<TileRun> runs;
  int64_t wanted = std::min(count, tiles_);
  if (wanted <= 0) return runs;
  runs.reserve(static_cast<size_t>(wanted));  // at most one per tile: nothing below can fail
  const size_t batch_class = next_class();
  // One walk: whoever has had its turn goes to the end, where it is met again if the batch is not full by then.
  for (QueuedImage* image = round_.after; wanted > 0 && image != &round_;) {
    QueuedImage& giver = *image;
    image = giver.after;
    if (giver.batch_class != batch_class) continue;
    if (giver.deficit == 0) giver.deficit = quantum_;
    const int64_t given = std::min({wanted, giver.deficit, giver.tiles - giver.next});
    if (!runs.empty() && runs.back().image == &giver) {
      runs.back().count += given;
    } else {
      runs.push_back({&giver, giver.next, given});
    }
    giver.next += given;
    giver.deficit -= given;
    tiles_ -= given;
    wanted -= given;
    if (giver.next < giver.tiles && giver.deficit > 0) break;  // the batch is full; the rest of its turn is the next batch's
    unlink(giver);
    if (giver.next < giver.tiles) {
      link_last(giver);
      if (image == &round_) image = &giver;
    }
  }
  return runs;
}

void TileQueue::link_last(QueuedImage& image) noexcept {
  image.before = round_.before;
  image.after = &round_;
  image.before->after = &image;
  round_.before = &image;
}

void TileQueue::unlink(QueuedImage& image) noexcept {
  image.before->after = image.after;
  image.after->before = image.before;
  image.before = image.after = nullptr;
}

}  // namespace manyscale::engine
