#include "engine/tile_engine.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <new>
#include <utility>

#include "core/checked.h"
#include "device/cpu/cpu_backend.h"
#include "device/cpu/executor.h"
#include "ops/pool/pool.h"
#include "ops/split/split.h"

namespace manyscale::engine {
namespace {

using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point start) { return std::chrono::duration<double, std::milli>(Clock::now() - start).count(); }

constexpr int64_t kChannels = 3;  // split makes three channels from every uint8 image

// A buffer of the CPU that gives itself back.
class Scratch {
 public:
  Scratch() = default;
  explicit Scratch(size_t bytes) : buffer_(cpu::cpu_backend().allocate(bytes)) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  Scratch(Scratch&& other) noexcept : buffer_(std::exchange(other.buffer_, {})) {}
  Scratch& operator=(Scratch&& other) noexcept {
    std::swap(buffer_, other.buffer_);
    return *this;
  }
  ~Scratch() {
    if (buffer_.handle) cpu::cpu_backend().release(buffer_);
  }
  Buffer buffer() const { return buffer_; }

 private:
  Buffer buffer_;
};

}  // namespace

// Guarded by the engine's mutex, apart from what prepare() makes: that is written once, before any batch is taken.
class TileEngine::Image {
 public:
  Image(Request&& r, int64_t tile_count) : request(std::move(r)), tiles(tile_count) {}

  // Axis tables, targets and the features' buffer: made on a worker, since none of it is cheap for large images.
  void prepare() {
    const SplitRequest& split_request = request.split;
    split_params = split::make_params(split_request.source, split_request.plan, split_request.crop, split_request.preprocess,
                                      split::make_tables(split_request.plan, split_request.crop, split_request.preprocess.resize));
    targets = split::all_tiles(split_params, /*joined=*/true);
    tile_features = request.pool.tile_elements(0);
    features = Scratch(static_cast<size_t>(checked_product("an image's tile features", tiles, tile_features, int64_t{sizeof(float)})));
  }

  // The model's output for `batch` tiles.
  std::vector<int64_t> output_dims(int64_t batch) const {
    const pool::ScaleParams& scale = request.pool.scales[0];
    if (request.pool.input == pool::Layout::kFeatureMap) return {batch, scale.channels, scale.grid.height, scale.grid.width};
    return {batch, request.pool.dropped + request.pool.prefix + scale.grid.height * scale.grid.width, scale.channels};
  }

  Request request;
  const int64_t tiles;
  split::Params split_params;  // without tiles: each batch names its own
  std::vector<split::TileTarget> targets;
  int64_t tile_features = 0;  // floats that the model gives for a tile
  Scratch features;

  bool prepared = false;
  int64_t next = 0;                            // first tile that nobody has taken
  int64_t done = 0;                            // tiles whose features are there
  int active = 0;                              // workers that prepare, run or pool this image
  std::optional<Error> error;                  // once set, no batch is taken any more
  std::vector<runtime::RunControl*> controls;  // of the batches that run

  const Clock::time_point submitted = Clock::now();
  Timings timings;
};

TileEngine::TileEngine(std::unique_ptr<runtime::Session> session, int workers)
    : session_(std::move(session)), worker_limit_(workers > 0 ? std::min(workers, executor_threads()) : executor_threads()) {}

TileEngine::~TileEngine() {
  for (const Input& input : inputs_) cpu::cpu_backend().release(input.buffer);
}

void TileEngine::configure(const ModelConfiguration& configuration) {
  const std::lock_guard lock(mutex_);
  configuration_ = configuration;
  BatchOverrides overrides;
  overrides.max_batch = configuration.max_batch;
  overrides.fixed = configuration.fixed_batch;
  policy_ = make_cpu_policy(overrides);
}

std::vector<int64_t> TileEngine::input_dims(int64_t batch) const { return {batch, kChannels, configuration_.tile.height, configuration_.tile.width}; }

std::vector<runtime::ValueInfo> TileEngine::probe(const ModelConfiguration& configuration, const std::vector<size_t>& outputs, runtime::RunControl* control) {
  std::unique_lock lock(mutex_);
  if (disposed_) throw Error(ErrorCode::kDisposed, "Expected a live model for a probe but received one that was disposed");
  running_++;
  lock.unlock();
  std::vector<runtime::ValueInfo> found;
  std::optional<Error> error;
  try {
    const int64_t batch = std::max<int64_t>(configuration.fixed_batch, 1);
    const Size tile = configuration.tile;
    const int64_t bytes = checked_product("a tile batch's bytes", batch, kChannels, tile.height, tile.width, int64_t{sizeof(float)});
    const Scratch zeros(static_cast<size_t>(bytes));
    std::memset(host_pointer<void>(zeros.buffer()), 0, static_cast<size_t>(bytes));
    found = session_->probe(configuration.input, host_pointer<float>(zeros.buffer()), {batch, kChannels, tile.height, tile.width}, outputs, control);
  } catch (...) {
    error = current_error();
  }
  lock.lock();
  running_--;
  free_if_idle(lock);
  if (error) throw *error;
  return found;
}

std::shared_ptr<TileEngine::Image> TileEngine::submit(Request request) {
  const int64_t tiles = request.split.plan.tile_count();
  auto image = std::make_shared<Image>(std::move(request), tiles);
  std::unique_lock lock(mutex_);
  images_.push_back(image);
  if (disposed_) {
    end(image, ErrorCode::kDisposed, "Expected a live extractor but received one that was disposed", lock);
  } else {
    try {
      queue_.push_back(image);
      start_workers(lock);
    } catch (...) {
      const Error error = current_error();
      end(image, error.code(), error.what(), lock);
    }
  }
  return image;
}

void TileEngine::cancel(const std::shared_ptr<Image>& image) {
  std::unique_lock lock(mutex_);
  end(image, ErrorCode::kCancelled, "cancelled", lock);
}

void TileEngine::dispose(std::function<void()> done) {
  std::unique_lock lock(mutex_);
  disposed_ = true;
  on_disposed_.push_back(std::move(done));
  const auto images = images_;
  for (const auto& image : images) end(image, ErrorCode::kDisposed, "Expected a live extractor but received one that was disposed while it worked", lock);
  free_if_idle(lock);
}

// As many workers as there is work for, or fewer if no more can be had; throws if there is none at all. A worker is a task on
// the executor that takes one batch and then queues up again, so that other operations get their turn.
void TileEngine::start_workers(std::unique_lock<std::mutex>&) {
  int64_t tiles = 0;
  for (const auto& image : queue_) tiles += image->tiles - image->next;
  while (workers_ < worker_limit_ && workers_ - running_ < tiles) {
    try {
      cpu::Executor::instance().submit([self = shared_from_this()] { self->work(); }, Priority::kModel);
    } catch (...) {
      if (workers_ == 0) throw;
      return;
    }
    workers_++;
  }
}

void TileEngine::work() {
  while (take_turn()) {
    try {
      cpu::Executor::instance().submit([self = shared_from_this()] { self->work(); }, Priority::kModel);
      return;
    } catch (const std::bad_alloc&) {  // no memory to queue up with: the next turn is now
    }
  }
}

// Prepares one image or runs one batch; false: nothing is left, and the worker has gone.
bool TileEngine::take_turn() {
  std::unique_lock lock(mutex_);
  if (queue_.empty()) {
    workers_--;
    return false;
  }
  const std::shared_ptr<Image> image = queue_.front();
  running_++;
  image->active++;
  if (image->prepared) {
    run_next_batch(image, lock);
  } else {
    prepare(image, lock);
  }
  running_--;
  image->active--;
  if (image->active == 0 && (image->error || image->done == image->tiles)) retire(image, lock);
  free_if_idle(lock);
  if (!queue_.empty()) return true;
  workers_--;
  return false;
}

// The first image of the queue: out of it while it is prepared, and then in its place again.
void TileEngine::prepare(const std::shared_ptr<Image>& image, std::unique_lock<std::mutex>& lock) {
  queue_.pop_front();
  image->timings.queue = milliseconds_since(image->submitted);
  lock.unlock();
  std::optional<Error> error;
  try {
    check(image->request);
    image->prepare();
  } catch (...) {
    error = current_error();
  }
  lock.lock();
  image->prepared = true;
  if (error) return end(image, error->code(), error->what(), lock);
  if (image->error) return;  // cancelled meanwhile
  queue_.push_front(image);
  start_workers(lock);
}

// The first image of the queue: its next tiles, and after its last ones the pooling.
void TileEngine::run_next_batch(const std::shared_ptr<Image>& image, std::unique_lock<std::mutex>& lock) {
  int64_t queued = 0;
  for (const auto& waiting : queue_) queued += waiting->tiles - waiting->next;
  const int64_t idle = worker_limit_ - running_ + 1;
  const int64_t first = image->next;
  const int64_t count = std::min(policy_->batch({queued, idle, {}}), image->tiles - first);
  image->next += count;
  if (image->next == image->tiles) queue_.pop_front();
  runtime::RunControl control;
  std::optional<Error> error;
  // Not an Input with handle 0: GCC 12 then reads a stale handle after take_input() has thrown.
  std::optional<Input> input;
  try {
    image->controls.push_back(&control);
    input = take_input(configuration_.fixed_batch > 0 ? configuration_.fixed_batch : count);
    lock.unlock();
    run_batch(*image, first, count, input->buffer, control);
  } catch (...) {
    error = current_error();
  }
  if (!lock.owns_lock()) lock.lock();
  if (input) inputs_.push_back(*input);
  std::erase(image->controls, &control);
  if (error) end(image, error->code(), error->what(), lock);
  image->done += count;
  if (!image->error && image->done == image->tiles) pool_image(image, lock);
}

void TileEngine::pool_image(const std::shared_ptr<Image>& image, std::unique_lock<std::mutex>& lock) {
  lock.unlock();
  const Clock::time_point start = Clock::now();
  std::optional<Error> error;
  try {
    pool_all(image->request.pool, {host_pointer<const float>(image->features.buffer())}, image->request.destination);
  } catch (...) {
    error = current_error();
  }
  const double pooled = milliseconds_since(start);
  lock.lock();
  image->timings.pool = pooled;
  if (error) end(image, error->code(), error->what(), lock);
}

// Input buffers are sized for the configuration's tiles: larger ones would not fit.
void TileEngine::check(const Request& request) const {
  const auto fits = [this](const Scale& scale) { return scale.tile() == configuration_.tile; };
  const std::vector<Scale>& scales = request.split.plan.scales;
  if (request.split.source.type != split::PixelType::kUint8 || !std::all_of(scales.begin(), scales.end(), fits)) {
    throw Error(ErrorCode::kInvalidArgument, "Expected a uint8 image and a plan whose tiles are the model's (" + to_string(configuration_.tile) +
                                                 ") but received others; make the plan with the model's tile size");
  }
}

// Makes and runs tiles first .. first + count - 1 of the image.
void TileEngine::run_batch(Image& image, int64_t first, int64_t count, Buffer input, runtime::RunControl& control) {
  Clock::time_point start = Clock::now();
  const int64_t rows = configuration_.fixed_batch > 0 ? configuration_.fixed_batch : count;
  const int64_t tile_pixels = kChannels * configuration_.tile.height * configuration_.tile.width;
  split::Params params = image.split_params;
  params.tiles.assign(image.targets.begin() + first, image.targets.begin() + first + count);
  for (int64_t i = 0; i < count; i++) params.tiles[static_cast<size_t>(i)].offset = i * tile_pixels;
  split::run(params, cpu::cpu_backend(), host_buffer(image.request.pixels), std::vector<Buffer>(params.scales.size(), input));
  float* const tiles = host_pointer<float>(input);
  if (rows > count) std::memset(tiles + count * tile_pixels, 0, static_cast<size_t>((rows - count) * tile_pixels) * sizeof(float));
  const double split_time = milliseconds_since(start);

  start = Clock::now();
  float* const features = host_pointer<float>(image.features.buffer()) + first * image.tile_features;
  if (rows == count) {
    session_->run(configuration_.input, tiles, input_dims(rows), configuration_.output, features, image.output_dims(rows), &control);
  } else {  // a fixed batch that the image's last tiles do not fill
    const Scratch whole(static_cast<size_t>(rows * image.tile_features) * sizeof(float));
    session_->run(configuration_.input, tiles, input_dims(rows), configuration_.output, host_pointer<float>(whole.buffer()), image.output_dims(rows), &control);
    std::memcpy(features, host_pointer<float>(whole.buffer()), static_cast<size_t>(count * image.tile_features) * sizeof(float));
  }
  const double model_time = milliseconds_since(start);

  const std::lock_guard lock(mutex_);
  image.timings.split += split_time;
  image.timings.model += model_time;
}

// A free input buffer with room for so many tiles, or a new one. Called under the lock.
TileEngine::Input TileEngine::take_input(int64_t tiles) {
  if (!inputs_.empty()) {
    const Input input = inputs_.back();
    inputs_.pop_back();
    if (input.tiles >= tiles) return input;
    cpu::cpu_backend().release(input.buffer);
  }
  const int64_t bytes =
      checked_product("a tile batch's bytes", tiles, kChannels, configuration_.tile.height, configuration_.tile.width, int64_t{sizeof(float)});
  inputs_.reserve(static_cast<size_t>(worker_limit_));  // giving it back cannot fail then
  return {cpu::cpu_backend().allocate(static_cast<size_t>(bytes)), tiles};
}

// The image gets no further batch; the first reason counts. It retires when its last worker leaves it.
void TileEngine::end(const std::shared_ptr<Image>& image, ErrorCode code, const char* message, std::unique_lock<std::mutex>& lock) {
  if (image->error || std::find(images_.begin(), images_.end(), image) == images_.end()) return;
  image->error.emplace(code, message);
  std::erase(queue_, image);
  for (runtime::RunControl* control : image->controls) control->cancel();
  if (image->active == 0) retire(image, lock);
}

void TileEngine::retire(const std::shared_ptr<Image>& image, std::unique_lock<std::mutex>& lock) {
  std::erase(images_, image);
  image->features = Scratch();
  image->timings.total = milliseconds_since(image->submitted);
  const auto done = std::exchange(image->request.done, nullptr);
  running_++;  // the model is not freed under a callback that has not returned
  lock.unlock();
  done(image->error, image->timings);
  lock.lock();
  running_--;
  free_if_idle(lock);  // a disposal that came meanwhile counts on it
}

void TileEngine::free_if_idle(std::unique_lock<std::mutex>& lock) {
  if (!disposed_ || running_ > 0 || !images_.empty()) return;
  session_.reset();
  for (const Input& input : std::exchange(inputs_, {})) cpu::cpu_backend().release(input.buffer);
  const auto callbacks = std::exchange(on_disposed_, {});
  lock.unlock();
  for (const auto& done : callbacks) done();
  lock.lock();
}

}  // namespace manyscale::engine
