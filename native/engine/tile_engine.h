// Runs images through one model. Tiles of all images in flight wait in one queue; a worker takes a batch of them, across
// images and scales, makes exactly those tiles, and runs the model; each scale is pooled as soon as its last tile is done.
// So tiles take workers x batch of memory, whatever is queued.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "core/error.h"
#include "engine/batch.h"
#include "engine/buffer_pool.h"
#include "engine/image.h"
#include "engine/table_cache.h"
#include "engine/tile_queue.h"
#include "runtime/session.h"

namespace manyscale::engine {

struct EngineOptions {
  int workers = 0;           // batches that may run at once; 0: one per thread of the executor
  int64_t max_batch = 0;     // 0: the policy's
  double max_delay_ms = -1;  // that tiles may wait for others; -1: the policy's
  bool deterministic = false;

  friend bool operator==(const EngineOptions& a, const EngineOptions& b) {
    return a.workers == b.workers && a.max_batch == b.max_batch && a.max_delay_ms == b.max_delay_ms && a.deterministic == b.deterministic;
  }
};

struct EngineStats {
  int64_t tiles_queued = 0;
  int64_t tiles_running = 0;
  int64_t tiles_done = 0;
  int64_t batches_done = 0;
  int64_t rows_done = 0;  // that those batches had: more than tiles where they are padded
};

class TileEngine;
using Callbacks = std::list<std::function<void()>>;  // a list: handing them on allocates nothing

// One user of an engine: an Extractor. Its images end with it.
class Client : public std::enable_shared_from_this<Client> {
 public:
  explicit Client(std::shared_ptr<TileEngine> engine) : engine_(std::move(engine)) {}
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  TileEngine& engine() const { return *engine_; }

  // Every refusal comes through `done`: kDisposed after dispose, kInvalidArgument for tiles that are not the class's.
  std::shared_ptr<Image> submit(ImageRequest request);
  void cancel(const std::shared_ptr<Image>& image);

  // Ends its images with kDisposed, and calls `done` once nothing of it runs any more and, if no other client is left, the
  // model is freed. Later calls too.
  void dispose(std::function<void()> done);
  void dispose(Callbacks done) noexcept;  // the same for callers that may not fail: their list is made ahead

 private:
  friend class TileEngine;
  const std::shared_ptr<TileEngine> engine_;
  // Guarded by the engine's mutex.
  int64_t images_ = 0;  // in flight
  bool disposed_ = false;
  bool connected_ = true;  // counts as one of the engine's clients
  Callbacks on_disposed_;
};

class TileEngine : public std::enable_shared_from_this<TileEngine> {
 public:
  TileEngine(std::shared_ptr<runtime::Session> session, const EngineOptions& options);
  TileEngine(const TileEngine&) = delete;
  TileEngine& operator=(const TileEngine&) = delete;

  // Null when the last client has left: the model is gone then.
  std::shared_ptr<Client> connect();

  const runtime::Session& session() const { return *session_; }  // while a client is connected
  int workers() const { return worker_limit_; }

  // What one tile of zeros gives at each of the configuration's outputs. Blocks, as configure: call them on a thread of the
  // executor. Both throw kDisposed without clients.
  std::vector<runtime::ValueInfo> probe(const ModelConfiguration& configuration, runtime::RunControl* control);

  // Makes a class of tiles, or finds the one that is there. `output_dims`: of each output, for one tile, as probed, without
  // the batch.
  size_t configure(const ModelConfiguration& configuration, const std::vector<std::vector<int64_t>>& output_dims, runtime::RunControl* control);
  Batching batching(size_t batch_class) const;

  EngineStats stats() const;

  // Gives back the memory that is kept for the next image, unless images are in flight. Blocks as long as one batch of the
  // smallest size takes, or until `control` is cancelled.
  void shrink(runtime::RunControl* control = nullptr);

 private:
  friend class Client;
  struct Batch;
  struct Busy;  // keeps the session while something uses it

  std::shared_ptr<Image> submit(const std::shared_ptr<Client>& client, ImageRequest request);
  void cancel(const std::shared_ptr<Image>& image);
  void dispose(Client& client, Callbacks done) noexcept;
  void leave(Client& client);

  void start_workers();
  void work();
  bool take_turn();
  void prepare(std::unique_lock<std::mutex>& lock);
  bool run_next_batch(std::unique_lock<std::mutex>& lock);
  void run(std::span<const TileRun> runs, std::unique_lock<std::mutex>& lock);
  void deliver(const Batch& batch, const FeatureSlab& features, int64_t rows, std::unique_lock<std::mutex>& lock);
  void start_pooling(const std::shared_ptr<Image>& image, size_t scale, std::unique_lock<std::mutex>& lock);
  void pool(const std::shared_ptr<Image>& image, size_t scale);
  bool wake_after(std::chrono::nanoseconds delay);
  void check(const ImageRequest& request) const;
  void end(const std::shared_ptr<Image>& image, const Error& error, std::unique_lock<std::mutex>& lock);
  void let_go(const std::shared_ptr<Image>& image, std::unique_lock<std::mutex>& lock);
  void retire(const std::shared_ptr<Image>& image, std::unique_lock<std::mutex>& lock);
  void settle(Client& client, std::unique_lock<std::mutex>& lock);
  void free_if_idle(std::unique_lock<std::mutex>& lock);

  std::shared_ptr<runtime::Session> session_;
  const EngineOptions options_;
  const int worker_limit_;
  BufferPool buffers_;
  TableCache tables_;

  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<BatchClass>> classes_;
  std::deque<std::shared_ptr<Image>> arrivals_;  // not prepared yet
  TileQueue queue_;                              // prepared, with tiles that nobody has taken
  std::vector<std::shared_ptr<Image>> images_;   // all in flight
  std::vector<Batch*> batches_;                  // that run
  int workers_ = 0;                              // on the executor or waiting for it
  int working_ = 0;                              // of those: in the middle of a turn
  int busy_ = 0;                                 // turns, poolings, probes and callbacks: what needs the session or may call in
  bool wake_planned_ = false;
  int clients_ = 0;
  bool closed_ = false;  // no client is left
  bool used_ = false;    // since the last shrink
  Callbacks on_closed_;
  EngineStats stats_;
};

}  // namespace manyscale::engine
