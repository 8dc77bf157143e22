#include "engine/tile_engine.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <new>
#include <utility>

#include "core/checked.h"
#include "device/cpu/cpu_backend.h"
#include "device/cpu/executor.h"
#include "device/cpu/memory.h"
#include "engine/batch_probe.h"

namespace manyscale::engine {
namespace {

using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point start) { return std::chrono::duration<double, std::milli>(Clock::now() - start).count(); }

// Made ahead: disposal cannot fail. Leaked: nothing is destroyed at exit.
const Error& kDisposedError = *new Error(ErrorCode::kDisposed, "Expected a live extractor but received one that was disposed; load another");

std::shared_ptr<Image> image_of(const TileRun& run) { return static_cast<Image*>(run.image)->shared_from_this(); }

// What a batch of empty tiles gives at the configuration's outputs.
std::vector<runtime::ValueInfo> run_zeros(runtime::Session& session, const ModelConfiguration& configuration, int64_t rows, BufferPool& buffers,
                                          runtime::RunControl* control) {
  const BatchInput input(session, configuration);
  const auto bytes = static_cast<size_t>(input.bytes(rows));
  const BufferPool::Lease zeros = buffers.take(bytes);
  std::memset(host_pointer<void>(zeros.buffer()), 0, bytes);
  return session.probe(configuration.input, host_pointer<void>(zeros.buffer()), input.dims(rows), configuration.outputs, control);
}

}  // namespace

// A batch that runs. Its control ends it early once nobody wants any of its tiles.
struct TileEngine::Batch {
  explicit Batch(std::span<const TileRun> r) : runs(r.begin(), r.end()) {
    for (const TileRun& run : runs) images.push_back(image_of(run));
  }
  int64_t tiles() const {
    int64_t count = 0;
    for (const TileRun& run : runs) count += run.count;
    return count;
  }
  bool wanted() const {
    return std::any_of(images.begin(), images.end(), [](const auto& image) { return !image->error; });
  }

  const std::vector<TileRun> runs;
  std::vector<std::shared_ptr<Image>> images;  // of the runs, in their order; an image may stand there twice
  runtime::RunControl control;
};

// Between construction and the end of the scope, which must hold the lock, the session stays.
struct TileEngine::Busy {
  Busy(TileEngine& e, std::unique_lock<std::mutex>& l) : engine(e), lock(l) { engine.busy_++; }
  ~Busy() {
    engine.busy_--;
    engine.free_if_idle(lock);
  }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;
  TileEngine& engine;
  std::unique_lock<std::mutex>& lock;
};

// ---------------------------------------------------------------------------------------------------- clients

Client::~Client() { engine_->leave(*this); }
std::shared_ptr<Image> Client::submit(ImageRequest request) { return engine_->submit(shared_from_this(), std::move(request)); }
void Client::cancel(const std::shared_ptr<Image>& image) { engine_->cancel(image); }
void Client::dispose(std::function<void()> done) { dispose(Callbacks(1, std::move(done))); }
void Client::dispose(Callbacks done) noexcept { engine_->dispose(*this, std::move(done)); }

TileEngine::TileEngine(std::shared_ptr<runtime::Session> session, const EngineOptions& options)
    : session_(std::move(session)),
      options_(options),
      worker_limit_(options.workers > 0 ? std::min(options.workers, executor_threads()) : executor_threads()),
      buffers_(cpu::cpu_backend()),
      queue_(make_cpu_policy({options.max_batch, options.max_delay_ms, 0})->quantum()) {
  batches_.reserve(static_cast<size_t>(worker_limit_) + 1);  // noting a batch cannot fail then
}

std::shared_ptr<Client> TileEngine::connect() {
  auto client = std::make_shared<Client>(shared_from_this());
  const std::lock_guard lock(mutex_);
  if (closed_) {
    client->connected_ = false;
    return nullptr;
  }
  clients_++;
  return client;
}

// No images are in flight: each holds its client.
void TileEngine::leave(Client& client) {
  std::unique_lock lock(mutex_);
  if (!std::exchange(client.connected_, false)) return;
  if (--clients_ == 0) closed_ = true;
  free_if_idle(lock);
}

// Nothing here allocates: a client that cannot be disposed would keep its environment from closing.
void TileEngine::dispose(Client& client, Callbacks done) noexcept {
  std::unique_lock lock(mutex_);
  client.on_disposed_.splice(client.on_disposed_.end(), done);
  client.disposed_ = true;
  for (;;) {  // anew each time: ending an image lets go of the lock
    const auto of_client = [&](const auto& image) { return image->client.get() == &client && !image->error; };
    const auto found = std::find_if(images_.begin(), images_.end(), of_client);
    if (found == images_.end()) break;
    end(std::shared_ptr<Image>(*found), kDisposedError, lock);
  }
  settle(client, lock);
}

// A disposed client whose last image has ended leaves, and takes the model along if it was the last.
void TileEngine::settle(Client& client, std::unique_lock<std::mutex>& lock) {
  if (!client.disposed_ || client.images_ > 0) return;
  auto callbacks = std::exchange(client.on_disposed_, {});
  if (std::exchange(client.connected_, false) && --clients_ == 0) closed_ = true;
  if (closed_) {
    on_closed_.splice(on_closed_.end(), callbacks);
    free_if_idle(lock);
    return;
  }
  lock.unlock();
  for (const auto& callback : callbacks) callback();
  lock.lock();
}

void TileEngine::free_if_idle(std::unique_lock<std::mutex>& lock) {
  if (!closed_ || busy_ > 0 || !images_.empty()) return;
  auto session = std::exchange(session_, nullptr);
  auto callbacks = std::exchange(on_closed_, {});
  if (!session && callbacks.empty()) return;
  lock.unlock();
  session.reset();  // takes milliseconds
  buffers_.trim();
  tables_.clear();
  for (const auto& callback : callbacks) callback();
  lock.lock();
}

// ---------------------------------------------------------------------------------------------------- load and idle

std::vector<runtime::ValueInfo> TileEngine::probe(const ModelConfiguration& configuration, runtime::RunControl* control) {
  std::unique_lock lock(mutex_);
  if (closed_) throw kDisposedError;
  const Busy busy(*this, lock);
  lock.unlock();
  std::vector<runtime::ValueInfo> found;
  std::optional<Error> error;
  try {
    const int64_t batch = std::max<int64_t>(configuration.fixed_batch, 1);
    found = run_zeros(*session_, configuration, batch, buffers_, control);
  } catch (...) {
    error = current_error();
  }
  lock.lock();
  if (error) throw *error;
  return found;
}

size_t TileEngine::configure(const ModelConfiguration& configuration, const std::vector<std::vector<int64_t>>& output_dims, runtime::RunControl* control) {
  const auto same = [&](const std::unique_ptr<BatchClass>& known) {
    const auto same_dims = [](const BatchOutput& output, const std::vector<int64_t>& dims) { return output.dims == dims; };
    return known->configuration == configuration && std::equal(known->outputs.begin(), known->outputs.end(), output_dims.begin(), output_dims.end(), same_dims);
  };
  std::unique_lock lock(mutex_);
  if (closed_) throw kDisposedError;
  const Busy busy(*this, lock);
  const auto find = [&] { return static_cast<size_t>(std::find_if(classes_.begin(), classes_.end(), same) - classes_.begin()); };
  if (const size_t known = find(); known < classes_.size()) return known;
  lock.unlock();
  std::unique_ptr<BatchClass> made;
  std::optional<Error> error;
  try {
    made = std::make_unique<BatchClass>(*session_, configuration, output_dims);
    probe_batching(*session_, *made, {options_.max_batch, options_.max_delay_ms, 0}, options_.deterministic, control);
  } catch (...) {
    error = current_error();
  }
  lock.lock();
  used_ = true;
  if (error) throw *error;
  if (const size_t known = find(); known < classes_.size()) return known;  // another load was faster
  classes_.push_back(std::move(made));
  return classes_.size() - 1;
}

Batching TileEngine::batching(size_t batch_class) const {
  const std::lock_guard lock(mutex_);
  return classes_.at(batch_class)->batching;
}

EngineStats TileEngine::stats() const {
  const std::lock_guard lock(mutex_);
  EngineStats stats = stats_;
  stats.tiles_queued = queue_.tiles();
  for (const auto& image : arrivals_) stats.tiles_queued += image->tiles;
  return stats;
}

void TileEngine::shrink(runtime::RunControl* control) {
  std::unique_lock lock(mutex_);
  if (closed_ || !images_.empty() || classes_.empty() || !std::exchange(used_, false)) return;
  const Busy busy(*this, lock);
  const BatchClass& tiles = *classes_.front();
  lock.unlock();
  try {  // the arena is shrunk by a run, at its end
    const int64_t rows = tiles.batching.fixed ? tiles.batching.size : 1;
    session_->shrink_memory();
    run_zeros(*session_, tiles.configuration, rows, buffers_, control);
  } catch (...) {  // then the memory stays until the next time; nobody waits for it
  }
  tables_.clear();
  buffers_.trim();
  cpu::return_free_memory();
  lock.lock();
}

// ---------------------------------------------------------------------------------------------------- images

std::shared_ptr<Image> TileEngine::submit(const std::shared_ptr<Client>& client, ImageRequest request) {
  const auto image = std::make_shared<Image>(std::move(request), client);
  std::unique_lock lock(mutex_);
  images_.push_back(image);
  client->images_++;
  used_ = true;
  if (client->disposed_) {
    end(image, kDisposedError, lock);
    return image;
  }
  try {
    check(image->request);
    arrivals_.push_back(image);
    start_workers();
  } catch (...) {
    end(image, current_error(), lock);
  }
  return image;
}

void TileEngine::check(const ImageRequest& request) const {
  if (request.batch_class >= classes_.size()) throw Error(ErrorCode::kInvalidArgument, "Expected a configured model for an image but received one that is not");
  const BatchClass& tiles = *classes_[request.batch_class];
  const auto fits = [&](const Scale& scale) { return scale.tile() == tiles.configuration.tile; };
  const std::vector<Scale>& scales = request.split.plan.scales;
  const split::Source& source = request.split.source;
  const bool is_image = source.type == split::PixelType::kUint8 || (source.batch == 1 && source.channels == kImageChannels);
  if (!is_image || !std::all_of(scales.begin(), scales.end(), fits)) {
    throw Error(ErrorCode::kInvalidArgument, "Expected one image of three channels and a plan whose tiles are the model's (" +
                                                 to_string(tiles.configuration.tile) + ") but received others; make the plan with the model's tile size");
  }
  const size_t parts = request.groups() * tiles.outputs.size();
  if (request.pool.scales.size() != parts) {
    throw Error(ErrorCode::kInvalidArgument, "Expected " + std::to_string(parts) + " parts, of the model's " + std::to_string(tiles.outputs.size()) +
                                                 " outputs, for pooling but received " + std::to_string(request.pool.scales.size()));
  }
  for (size_t s = 0; s < request.pool.scales.size(); s++) {
    const int64_t given = tiles.outputs[s % tiles.outputs.size()].elements();
    if (request.pool.tile_elements(s) == given) continue;
    throw Error(ErrorCode::kModelShape,
                "Expected " + std::to_string(request.pool.tile_elements(s)) + " numbers for a tile's features but the model gives " + std::to_string(given));
  }
}

void TileEngine::cancel(const std::shared_ptr<Image>& image) {
  std::unique_lock lock(mutex_);
  end(image, Error(ErrorCode::kCancelled, "cancelled"), lock);
}

// The image gets no further batch; the first reason counts. It retires when nothing works on it any more.
void TileEngine::end(const std::shared_ptr<Image>& image, const Error& error, std::unique_lock<std::mutex>& lock) {
  if (image->error || std::find(images_.begin(), images_.end(), image) == images_.end()) return;
  image->error = error;
  std::erase(arrivals_, image);
  queue_.remove(*image);
  for (Batch* batch : batches_) {
    if (!batch->wanted()) batch->control.cancel();
  }
  if (image->active == 0) retire(image, lock);
}

// One of those that worked on the image is done with it.
void TileEngine::let_go(const std::shared_ptr<Image>& image, std::unique_lock<std::mutex>& lock) {
  image->active--;
  if (image->active == 0 && (image->error || image->scales_left == 0)) retire(image, lock);
}

void TileEngine::retire(const std::shared_ptr<Image>& image, std::unique_lock<std::mutex>& lock) {
  const auto position = std::find(images_.begin(), images_.end(), image);
  if (position == images_.end()) return;
  images_.erase(position);
  image->timings.total = milliseconds_since(image->submitted);
  auto client = std::exchange(image->client, nullptr);
  const Busy busy(*this, lock);  // the model is not freed under a callback that has not returned
  lock.unlock();
  image->release_features();
  std::exchange(image->request.done, nullptr)(image->error, image->timings);
  lock.lock();
  client->images_--;
  settle(*client, lock);
  lock.unlock();
  client.reset();  // the last one leaves, for which it takes the lock
  lock.lock();
}

// ---------------------------------------------------------------------------------------------------- workers

// As many workers as there is work for, or fewer if no more can be had; throws if there is none at all. A worker is a task on
// the executor that takes one turn and then queues up again, so that other operations get theirs.
void TileEngine::start_workers() {
  const int64_t wanted = queue_.tiles() + static_cast<int64_t>(arrivals_.size());
  while (workers_ < worker_limit_ && workers_ - working_ < wanted) {
    try {
      submit_task([self = shared_from_this()] { self->work(); }, cpu::Priority::kModel);
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
      submit_task([self = shared_from_this()] { self->work(); }, cpu::Priority::kModel);
      return;
    } catch (const std::bad_alloc&) {  // no memory to queue up with: the next turn is now
    }
  }
}

// Prepares an image or runs a batch; false: there is nothing to do now, and the worker has gone.
bool TileEngine::take_turn() {
  std::unique_lock lock(mutex_);
  const Busy busy(*this, lock);
  working_++;
  bool more = true;
  if (!arrivals_.empty()) {
    prepare(lock);
  } else {
    more = !queue_.empty() && run_next_batch(lock);
  }
  working_--;
  if (more && (!arrivals_.empty() || !queue_.empty())) return true;
  workers_--;
  return false;
}

void TileEngine::prepare(std::unique_lock<std::mutex>& lock) {
  const std::shared_ptr<Image> image = arrivals_.front();
  arrivals_.pop_front();
  image->active++;
  lock.unlock();
  std::optional<Error> error;
  try {
    image->prepare(tables_);
  } catch (...) {
    error = current_error();
  }
  lock.lock();
  try {
    if (error) throw *error;
    if (!image->error) {  // not cancelled meanwhile
      queue_.push(*image);
      start_workers();
    }
  } catch (...) {
    end(image, current_error(), lock);
  }
  let_go(image, lock);
}

// False: tiles wait for others to share a batch with.
bool TileEngine::run_next_batch(std::unique_lock<std::mutex>& lock) {
  const size_t batch_class = queue_.next_class();
  BatchPolicy& policy = *classes_[batch_class]->policy;
  const std::chrono::nanoseconds waited = Clock::now() - queue_.oldest(batch_class);
  const int64_t count = policy.batch({queue_.tiles_of_class(batch_class), worker_limit_ - working_ + 1, waited});
  if (count == 0 && wake_after(policy.max_delay() - waited)) return false;
  std::vector<TileRun> runs;
  try {
    runs = queue_.take(std::max<int64_t>(count, 1));
  } catch (...) {  // no memory for the list, and nothing is taken: then the image whose turn it is ends
    const Error error = current_error();
    const auto waiting = std::find_if(images_.begin(), images_.end(), [&](const auto& image) { return image->batch_class == batch_class && image->before; });
    end(std::shared_ptr<Image>(*waiting), error, lock);
    return true;
  }
  run(runs, lock);
  return true;
}

// Called and left under the lock.
void TileEngine::run(std::span<const TileRun> runs, std::unique_lock<std::mutex>& lock) {
  std::optional<Batch> made;
  try {
    made.emplace(runs);
  } catch (...) {
    const Error error = current_error();
    for (const TileRun& run : runs) image_of(run)->active++;  // an image may stand there twice: it must outlive its first end
    for (const TileRun& run : runs) end(image_of(run), error, lock);
    for (const TileRun& run : runs) let_go(image_of(run), lock);
    return;
  }
  Batch& batch = *made;
  const BatchClass& tiles = *classes_[runs.front().image->batch_class];
  const int64_t count = batch.tiles();
  const int64_t rows = tiles.batching.fixed ? tiles.batching.size : count;
  for (size_t i = 0; i < batch.runs.size(); i++) {
    batch.images[i]->active++;
    if (batch.runs[i].first == 0 && batch.images[i]->timings.queue == 0) batch.images[i]->timings.queue = milliseconds_since(batch.images[i]->submitted);
  }
  stats_.tiles_running += count;
  batches_.push_back(&batch);
  lock.unlock();
  FeatureSlab features;
  std::optional<Error> error;
  BatchTimes times;
  try {
    features = run_batch(*session_, tiles, batch.runs, buffers_, batch.control, times);
  } catch (...) {
    error = current_error();
  }
  lock.lock();
  std::erase(batches_, &batch);
  stats_.tiles_running -= count;
  for (size_t i = 0; i < batch.runs.size(); i++) {
    const double share = static_cast<double>(batch.runs[i].count) / static_cast<double>(count);
    batch.images[i]->timings.split += times.split * share;
    batch.images[i]->timings.model += times.model * share;
  }
  const bool mixed = std::any_of(batch.images.begin(), batch.images.end(), [&](const auto& image) { return image != batch.images.front(); });
  if (!error) {
    stats_.batches_done++;
    stats_.tiles_done += count;
    stats_.rows_done += rows;
    tiles.policy->ran(count, std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double, std::milli>(times.split + times.model)));
    deliver(batch, features, rows, lock);
  } else if (mixed && batch.wanted()) {
    // One image's tiles may be what the model fails on: the others are not to suffer for it.
    for (const TileRun& part : batch.runs) {
      if (!image_of(part)->error) run({&part, 1}, lock);
    }
  } else {
    for (const auto& image : batch.images) end(image, *error, lock);
  }
  features.reset();
  for (const auto& image : batch.images) let_go(image, lock);
}

void TileEngine::deliver(const Batch& batch, const FeatureSlab& features, int64_t rows, std::unique_lock<std::mutex>& lock) {
  int64_t row = 0;
  for (size_t i = 0; i < batch.runs.size(); i++) {
    const TileRun& run = batch.runs[i];
    const std::shared_ptr<Image>& image = batch.images[i];
    for (int64_t tile = run.first; tile < run.first + run.count; tile++, row++) {
      if (image->error) continue;
      try {
        if (image->store(tile, features, row, rows)) start_pooling(image, image->scale_of(tile), lock);
      } catch (...) {
        end(image, current_error(), lock);
      }
    }
  }
}

// Before other work: it frees memory and lets a caller go on.
void TileEngine::start_pooling(const std::shared_ptr<Image>& image, size_t scale, std::unique_lock<std::mutex>& lock) {
  image->active++;
  busy_++;
  try {
    submit_task([self = shared_from_this(), image, scale] { self->pool(image, scale); }, cpu::Priority::kPool);
  } catch (...) {  // no memory to queue up with: now, then
    lock.unlock();
    pool(image, scale);
    lock.lock();
  }
}

void TileEngine::pool(const std::shared_ptr<Image>& image, size_t scale) {
  const Clock::time_point start = Clock::now();
  std::optional<Error> error;
  try {
    if (const std::lock_guard lock(mutex_); image->error) throw *image->error;  // nobody wants it any more
    image->pool(scale);
  } catch (...) {
    error = current_error();
  }
  const double took = milliseconds_since(start);
  std::unique_lock lock(mutex_);
  image->timings.pool += took;
  image->scales_left--;
  if (error) end(image, *error, lock);
  let_go(image, lock);
  busy_--;
  free_if_idle(lock);
}

// False: there is no memory to plan it.
bool TileEngine::wake_after(std::chrono::nanoseconds delay) {
  if (wake_planned_) return true;
  const auto wake = [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    const std::lock_guard lock(self->mutex_);
    self->wake_planned_ = false;
    try {
      self->start_workers();
    } catch (...) {  // no memory for a worker: the next image brings one
    }
  };
  try {
    cpu::Executor::instance().submit_after(delay, wake, cpu::Priority::kModel);
  } catch (const std::bad_alloc&) {
    return false;
  }
  wake_planned_ = true;
  return true;
}

}  // namespace manyscale::engine
