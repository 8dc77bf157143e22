// Which tiles come next: deficit round-robin over images (Shreedhar and Varghese 1995). Images take turns, in each of which one gives
// up to `quantum` tiles, so that an image of 100 tiles does not hold up one of 5. Pure and not thread-safe: the engine's mutex guards it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace manyscale::engine {

// What the queue keeps of an image; the engine's image derives from it. While it is queued only the queue changes it.
struct QueuedImage {
  int64_t tiles = 0;                             // in all
  int64_t next = 0;                              // first that nobody has taken
  size_t batch_class = 0;                        // images of one class may share a batch
  std::chrono::steady_clock::time_point queued;  // when it was pushed

  // The queue's own.
  int64_t deficit = 0;            // tiles that it may still give in its turn
  QueuedImage* before = nullptr;  // in the round; null: in no queue
  QueuedImage* after = nullptr;
};

// Tiles first .. first + count - 1 of the image.
struct TileRun {
  QueuedImage* image;
  int64_t first;
  int64_t count;
};

class TileQueue {
 public:
  explicit TileQueue(int64_t quantum);   // tiles of one turn, at least 1
  TileQueue(const TileQueue&) = delete;  // images are linked to it
  TileQueue& operator=(const TileQueue&) = delete;

  // Puts it at the end of the round and notes the time. An image without tiles left, or that is in the queue already, stays as it is.
  void push(QueuedImage& image) noexcept;
  void remove(QueuedImage& image) noexcept;  // does nothing if it is not there

  bool empty() const noexcept;
  int64_t tiles() const noexcept;  // that nobody has taken, of all images

  size_t next_class() const noexcept;  // of the image whose turn it is; the queue must not be empty
  int64_t tiles_of_class(size_t batch_class) const noexcept;
  // When the longest waiting image of the class was pushed; time_point::max() if there is none.
  std::chrono::steady_clock::time_point oldest(size_t batch_class) const noexcept;

  // Up to `count` tiles of the class whose turn it is, ascending within an image; adjacent runs of one image are one. Images of other
  // classes keep their places and what is left of their turns. An image whose tiles are all taken leaves the queue. When this throws
  // (std::bad_alloc) nothing was taken.
  std::vector<TileRun> take(int64_t count);

 private:
  void link_last(QueuedImage& image) noexcept;
  void unlink(QueuedImage& image) noexcept;

  const int64_t quantum_;
  int64_t tiles_ = 0;
  QueuedImage round_;  // stands between the last image and the first
};

}  // namespace manyscale::engine
