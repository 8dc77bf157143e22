// Runs images through one model: a queue of images, whose tiles workers take in batches. A worker makes exactly the tiles
// of its batch, straight into its own input buffer; the model writes their features straight into the image's; whoever
// finishes an image's last batch pools it. So tiles take workers x batch of memory, however large the image.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "core/backend.h"
#include "core/error.h"
#include "engine/batch_policy.h"
#include "engine/parts.h"
#include "runtime/session.h"

namespace manyscale::engine {

struct ModelConfiguration {
  size_t input = 0;   // index of the model's image input
  size_t output = 0;  // index of the output to take
  Size tile;
  int64_t fixed_batch = 0;  // that the model demands; 0: any
  int64_t max_batch = 0;    // 0: the policy's
};

struct Timings {  // milliseconds; split and model are summed over threads, the others are by the clock
  double queue = 0;
  double split = 0;
  double model = 0;
  double pool = 0;
  double total = 0;
};

class TileEngine : public std::enable_shared_from_this<TileEngine> {
 public:
  struct Request {
    SplitRequest split;            // every scale's tile is the model's
    const void* pixels = nullptr;  // alive until done
    pool::Params pool;             // of joined features
    float* destination = nullptr;  // pool.output_elements() floats, alive until done
    // Called once, on any thread, after which nothing of the request is touched.
    std::function<void(std::optional<Error>, const Timings&)> done;
  };
  class Image;  // one in flight

  // `workers`: how many batches may run at once; 0: one per thread of the executor.
  TileEngine(std::unique_ptr<runtime::Session> session, int workers);
  ~TileEngine();
  TileEngine(const TileEngine&) = delete;
  TileEngine& operator=(const TileEngine&) = delete;

  const runtime::Session& session() const { return *session_; }

  // What one tile of zeros gives at each of `outputs`. Blocks: call it on a thread of the executor.
  std::vector<runtime::ValueInfo> probe(const ModelConfiguration& configuration, const std::vector<size_t>& outputs, runtime::RunControl* control);

  void configure(const ModelConfiguration& configuration);  // before the first submit

  // Every refusal comes through `done`: kDisposed after dispose, kInvalidArgument for tiles that are not the configuration's.
  std::shared_ptr<Image> submit(Request request);
  void cancel(const std::shared_ptr<Image>& image);

  // Ends all images with kDisposed, and calls `done` once nothing runs any more and the model is freed. Later calls too.
  void dispose(std::function<void()> done);

 private:
  void start_workers(std::unique_lock<std::mutex>& lock);
  void work();
  bool take_turn();
  void prepare(const std::shared_ptr<Image>& image, std::unique_lock<std::mutex>& lock);
  void run_next_batch(const std::shared_ptr<Image>& image, std::unique_lock<std::mutex>& lock);
  void pool_image(const std::shared_ptr<Image>& image, std::unique_lock<std::mutex>& lock);
  void check(const Request& request) const;
  void run_batch(Image& image, int64_t first, int64_t count, Buffer input, runtime::RunControl& control);
  void end(const std::shared_ptr<Image>& image, ErrorCode code, const char* message, std::unique_lock<std::mutex>& lock);
  void retire(const std::shared_ptr<Image>& image, std::unique_lock<std::mutex>& lock);
  void free_if_idle(std::unique_lock<std::mutex>& lock);
  struct Input {  // a worker's tile batch
    Buffer buffer;
    int64_t tiles = 0;  // that it has room for
  };
  Input take_input(int64_t tiles);
  std::vector<int64_t> input_dims(int64_t batch) const;

  std::unique_ptr<runtime::Session> session_;
  ModelConfiguration configuration_;
  std::unique_ptr<BatchPolicy> policy_ = make_cpu_policy({});
  const int worker_limit_;

  std::mutex mutex_;
  std::deque<std::shared_ptr<Image>> queue_;    // images with tiles that nobody has taken yet
  std::vector<std::shared_ptr<Image>> images_;  // all in flight
  int workers_ = 0;                             // on the executor or waiting for it
  int running_ = 0;                             // in the middle of a batch or a pool
  std::vector<Input> inputs_;                   // free input buffers, at most one per worker
  bool disposed_ = false;
  std::vector<std::function<void()>> on_disposed_;
};

}  // namespace manyscale::engine
