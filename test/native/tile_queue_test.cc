// The tile queue: fairness in tiles, not in time; every tile once and in order, whatever is pushed, taken and removed.
#include "engine/tile_queue.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <deque>
#include <new>
#include <random>
#include <vector>

#include "failing_new.h"

using manyscale::engine::QueuedImage;
using manyscale::engine::TileQueue;
using manyscale::engine::TileRun;

namespace {

constexpr int64_t kQuantum = 8;
constexpr int64_t kBatch = 4;

QueuedImage image_of(int64_t tiles, size_t batch_class = 0) {
  QueuedImage image;
  image.tiles = tiles;
  image.batch_class = batch_class;
  return image;
}

int64_t total(const std::vector<TileRun>& runs) {
  int64_t tiles = 0;
  for (const TileRun& run : runs) tiles += run.count;
  return tiles;
}

// Takes batches until all tiles of `image` are taken; how many tiles that were, of all images.
int64_t tiles_until_done(TileQueue& queue, const QueuedImage& image) {
  int64_t taken = 0;
  while (image.next < image.tiles) taken += total(queue.take(kBatch));
  return taken;
}

}  // namespace

TEST_CASE("tile queue: one image's tiles come in order, and it leaves when they are taken") {
  TileQueue queue(kQuantum);
  CHECK(queue.empty());
  QueuedImage image = image_of(11);
  queue.push(image);
  CHECK_FALSE(queue.empty());
  int64_t next = 0;
  for (const int64_t expected : {4, 4, 3}) {
    CHECK(queue.tiles() == 11 - next);
    const std::vector<TileRun> runs = queue.take(kBatch);
    REQUIRE(runs.size() == 1);
    CHECK(runs[0].image == &image);
    CHECK(runs[0].first == next);
    CHECK(runs[0].count == expected);
    next += expected;
  }
  CHECK(queue.empty());
  CHECK(queue.take(kBatch).empty());
  image.tiles = 12;  // it left, so it can be pushed again
  queue.push(image);
  CHECK(queue.tiles() == 1);
}

TEST_CASE("tile queue: runs of one image that adjoin are one, past the end of its turn too") {
  TileQueue queue(kQuantum);
  QueuedImage image = image_of(100);
  queue.push(image);
  const std::vector<TileRun> runs = queue.take(50);
  REQUIRE(runs.size() == 1);
  CHECK(runs[0].count == 50);
  CHECK(image.deficit == 7 * kQuantum - 50);  // in the middle of its seventh turn
}

TEST_CASE("tile queue: a batch is filled from the next images, and a turn goes on in the next batch") {
  TileQueue queue(kQuantum);
  QueuedImage small = image_of(3);
  QueuedImage large = image_of(20);
  QueuedImage last = image_of(20);
  for (QueuedImage* image : {&small, &large, &last}) queue.push(*image);
  const std::vector<TileRun> first = queue.take(kBatch);
  REQUIRE(first.size() == 2);
  CHECK(first[0].image == &small);
  CHECK(first[0].count == 3);
  CHECK(first[1].image == &large);
  CHECK(first[1].count == 1);
  CHECK(queue.take(7)[0].image == &large);  // the other seven tiles of its turn
  const std::vector<TileRun> other = queue.take(1);
  CHECK(other[0].image == &last);
}

TEST_CASE("tile queue: an image of 5 tiles is not held up by one of 100") {
  for (int64_t lead = 0; lead < 3 * kQuantum; lead++) {
    CAPTURE(lead);
    TileQueue queue(kQuantum);
    QueuedImage large = image_of(100);
    queue.push(large);
    queue.take(lead);
    QueuedImage small = image_of(5);
    queue.push(small);
    CHECK(tiles_until_done(queue, small) <= kQuantum + small.tiles + kBatch);
  }
}

TEST_CASE("tile queue: an image of 5 tiles waits for one turn of each image before it") {
  constexpr int64_t kLarge = 7;
  TileQueue queue(kQuantum);
  std::vector<QueuedImage> large(kLarge, image_of(100));
  for (QueuedImage& image : large) queue.push(image);
  QueuedImage small = image_of(5);
  queue.push(small);
  CHECK(tiles_until_done(queue, small) <= kLarge * kQuantum + small.tiles + kBatch);
}

TEST_CASE("tile queue: equal images progress within a quantum of one another") {
  TileQueue queue(kQuantum);
  std::vector<QueuedImage> images(9, image_of(100));
  for (QueuedImage& image : images) queue.push(image);
  while (!queue.empty()) {
    queue.take(kBatch);
    const auto [least, most] = std::minmax_element(images.begin(), images.end(), [](const auto& a, const auto& b) { return a.next < b.next; });
    REQUIRE(most->next - least->next <= kQuantum);
  }
}

TEST_CASE("tile queue: no image starves under a stream of new ones") {
  TileQueue queue(kQuantum);
  QueuedImage large = image_of(100);
  queue.push(large);
  std::deque<QueuedImage> stream;  // as many new tiles as are taken: the queue never runs empty
  int64_t batches = 0;
  for (; large.next < large.tiles; batches++) {
    queue.take(kBatch);
    queue.push(stream.emplace_back(image_of(kBatch)));
    REQUIRE(batches < 1000);
  }
  // Thirteen turns of two batches; each round has the two images more that came in the turn before.
  CHECK(batches <= 13 * 14 + 2);
  while (!queue.empty()) queue.take(kBatch);
  CHECK(std::all_of(stream.begin(), stream.end(), [](const QueuedImage& image) { return image.next == image.tiles; }));
}

TEST_CASE("tile queue: classes do not mix, and keep their places and the rest of their turns") {
  TileQueue queue(kQuantum);
  QueuedImage a = image_of(10, 1);
  QueuedImage b = image_of(10, 2);
  QueuedImage c = image_of(3, 1);
  for (QueuedImage* image : {&a, &b, &c}) queue.push(*image);
  CHECK(queue.next_class() == 1);
  CHECK(queue.tiles_of_class(1) == 13);
  CHECK(queue.tiles_of_class(2) == 10);
  CHECK(queue.tiles_of_class(3) == 0);
  CHECK(queue.oldest(1) == a.queued);
  CHECK(queue.oldest(2) == b.queued);
  CHECK(queue.oldest(3) == std::chrono::steady_clock::time_point::max());

  std::vector<TileRun> runs = queue.take(10);  // a's turn of 8, then two of c: b is passed over
  REQUIRE(runs.size() == 2);
  CHECK(runs[0].image == &a);
  CHECK(runs[0].count == 8);
  CHECK(runs[1].image == &c);
  CHECK(runs[1].count == 2);
  CHECK(queue.next_class() == 2);
  runs = queue.take(3);
  REQUIRE(runs.size() == 1);
  CHECK(runs[0].image == &b);
  CHECK(b.deficit == 5);
  CHECK(queue.next_class() == 2);  // its turn goes on
  runs = queue.take(100);          // all of its class, not more
  REQUIRE(runs.size() == 1);
  CHECK(runs[0].count == 7);
  runs = queue.take(100);
  REQUIRE(runs.size() == 2);
  CHECK(runs[0].image == &c);
  CHECK(runs[1].image == &a);
  CHECK(queue.empty());
}

TEST_CASE("tile queue: what is removed gives no tile, wherever it stands") {
  for (size_t removed = 0; removed < 4; removed++) {
    CAPTURE(removed);
    TileQueue queue(kQuantum);
    std::vector<QueuedImage> images(4, image_of(10));
    for (QueuedImage& image : images) queue.push(image);
    queue.take(3);
    const int64_t taken = images[removed].next;
    queue.remove(images[removed]);
    queue.remove(images[removed]);  // does nothing
    CHECK(queue.tiles() == 40 - 3 - (10 - taken));
    while (!queue.empty()) queue.take(kBatch);
    for (size_t i = 0; i < images.size(); i++) CHECK(images[i].next == (i == removed ? taken : 10));
    queue.push(images[removed]);
    CHECK(queue.tiles() == 10 - taken);
  }
}

TEST_CASE("tile queue: pushing twice, or without a tile, changes nothing; nothing is taken for a count below one") {
  TileQueue queue(0);  // a turn of at least one tile
  QueuedImage none = image_of(0);
  queue.push(none);
  CHECK(queue.empty());
  QueuedImage image = image_of(2);
  queue.push(image);
  queue.push(image);
  CHECK(queue.tiles() == 2);
  CHECK(queue.take(0).empty());
  CHECK(queue.take(INT64_MIN).empty());
  CHECK(total(queue.take(INT64_MAX)) == 2);
}

TEST_CASE("tile queue: where memory runs out nothing is taken") {
  TileQueue queue(kQuantum);
  QueuedImage image = image_of(10);
  queue.push(image);
  {
    const FailingNew failing(0);
    CHECK_THROWS_AS(queue.take(kBatch), std::bad_alloc);
  }
  CHECK(image.next == 0);
  CHECK(queue.tiles() == 10);
  CHECK(total(queue.take(kBatch)) == 4);
}

namespace {

// Deficit round-robin as its definition reads: a list of images, one tile at a time.
struct Model {
  struct Entry {
    size_t image;
    int64_t deficit;
  };
  int64_t quantum;
  std::deque<Entry> round;

  // Which image each tile of the batch is of.
  std::vector<size_t> take(int64_t count, std::vector<int64_t>& left, const std::vector<QueuedImage>& images) {
    std::vector<size_t> tiles;
    if (round.empty()) return tiles;
    const size_t batch_class = images[round.front().image].batch_class;
    const auto mine = [&](const Entry& entry) { return images[entry.image].batch_class == batch_class; };
    size_t place = 0;
    while (static_cast<int64_t>(tiles.size()) < count) {
      while (place < round.size() && !mine(round[place])) place++;
      if (place == round.size()) break;  // whoever had a turn stands behind: there is none left
      Entry& entry = round[place];
      if (entry.deficit == 0) entry.deficit = quantum;
      tiles.push_back(entry.image);
      entry.deficit--;
      left[entry.image]--;
      if (left[entry.image] > 0 && entry.deficit > 0) continue;
      const Entry gone = entry;
      round.erase(round.begin() + static_cast<int64_t>(place));
      if (left[gone.image] > 0) round.push_back({gone.image, 0});
    }
    return tiles;
  }
};

}  // namespace

TEST_CASE("tile queue: random pushes, takes and removals agree with the definition") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 dice(seed);
  const auto roll = [&](int64_t least, int64_t most) { return std::uniform_int_distribution<int64_t>(least, most)(dice); };
  for (int round = 0; round < 300; round++) {
    const int64_t quantum = roll(1, 12);
    TileQueue queue(quantum);
    Model model{quantum, {}};
    std::vector<QueuedImage> images;
    std::vector<int64_t> left;
    for (int i = 0; i < 20; i++) images.push_back(image_of(roll(1, 40), static_cast<size_t>(roll(0, 2))));
    for (const QueuedImage& image : images) left.push_back(image.tiles);
    std::vector<bool> removed(images.size(), false);
    size_t pushed = 0;
    while (pushed < images.size() || !queue.empty()) {
      const int64_t what = roll(0, 9);
      if (what < 3 && pushed < images.size()) {
        queue.push(images[pushed]);
        model.round.push_back({pushed, 0});
        pushed++;
      } else if (what == 3 && pushed > 0) {
        const auto gone = static_cast<size_t>(roll(0, static_cast<int64_t>(pushed) - 1));
        queue.remove(images[gone]);
        removed[gone] = true;
        std::erase_if(model.round, [&](const Model::Entry& entry) { return entry.image == gone; });
      } else {
        std::vector<int64_t> before;
        for (const QueuedImage& image : images) before.push_back(image.next);
        const int64_t count = roll(1, 20);
        const std::vector<TileRun> runs = queue.take(count);
        std::vector<size_t> tiles;
        for (size_t r = 0; r < runs.size(); r++) {
          const auto index = static_cast<size_t>(static_cast<QueuedImage*>(runs[r].image) - images.data());
          REQUIRE(runs[r].first == before[index]);  // in order, none left out and none twice
          REQUIRE(runs[r].count > 0);
          if (r > 0) REQUIRE(runs[r].image != runs[r - 1].image);
          before[index] += runs[r].count;
          tiles.insert(tiles.end(), static_cast<size_t>(runs[r].count), index);
        }
        REQUIRE(tiles == model.take(count, left, images));
      }
      int64_t queued = 0;
      for (const Model::Entry& entry : model.round) queued += left[entry.image];
      REQUIRE(queue.tiles() == queued);
      REQUIRE(queue.empty() == model.round.empty());
      if (!queue.empty()) REQUIRE(queue.next_class() == images[model.round.front().image].batch_class);
    }
    for (size_t i = 0; i < images.size(); i++) REQUIRE((removed[i] || images[i].next == images[i].tiles));
  }
}
