// The tile engine with a real model: images at once, cancelled, disposed; results equal one another and nothing hangs.
// Run under ASan and TSan too (CONTRIBUTING.md): that is where races and leaks show.
#include <doctest/doctest.h>

#include <atomic>
#include <cmath>
#include <functional>
#include <future>
#include <memory>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "core/half.h"
#include "engine/model.h"
#include "engine/tile_engine.h"
#include "onnx_model.h"
#include "runtime_library.h"

namespace {

using namespace manyscale;
using namespace manyscale::engine;

constexpr int64_t kTile = 96;  // vit_emoji_96: 145 tokens of 128 channels, one of them CLS

struct Outcome {
  std::optional<Error> error;
  std::vector<float> features;
  Timings timings;
};

struct Submitted {
  std::shared_ptr<Image> image;
  std::future<Outcome> outcome;
};

std::vector<uint8_t> picture(int64_t side, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<uint8_t> pixels(static_cast<size_t>(side * side * 3));
  for (uint8_t& value : pixels) value = static_cast<uint8_t>(random());
  return pixels;
}

ImageRequest request_for(int64_t side, std::vector<double> scales, size_t batch_class = 0) {
  ImageRequest request;
  request.batch_class = batch_class;
  request.split.source = {split::PixelType::kUint8, 1, 3, side, side, 0};
  PlanOptions options;
  options.scales = std::move(scales);
  options.base = options.tile = Size{kTile, kTile};
  request.split.plan = make_plan({side, side}, options);
  request.split.joined = true;
  PoolRequest pool;
  pool.plan = request.split.plan;
  pool.options.prefix = 1;
  pool.features.assign(pool.plan.scales.size(), {{12, 12}, 128});
  pool.joined = true;
  request.pool = pool_params(pool);
  return request;
}

Submitted submit(
    const std::shared_ptr<Client>& client, int64_t side, std::vector<double> scales, unsigned seed, const std::function<void()>& at_end = [] {}) {
  struct Flight {
    std::vector<uint8_t> pixels;
    std::promise<Outcome> promise;
    Outcome outcome;
  };
  const auto flight = std::make_shared<Flight>();
  flight->pixels = picture(side, seed);
  ImageRequest request = request_for(side, std::move(scales));
  request.pixels = flight->pixels.data();
  flight->outcome.features.assign(static_cast<size_t>(request.pool.output_elements()), NAN);
  request.destination = flight->outcome.features.data();
  request.done = [flight, at_end](const std::optional<Error>& error, const Timings& timings) {
    at_end();
    flight->outcome.error = error;
    flight->outcome.timings = timings;
    flight->promise.set_value(std::move(flight->outcome));
  };
  Submitted submitted;
  submitted.outcome = flight->promise.get_future();
  submitted.image = client->submit(std::move(request));
  return submitted;
}

std::shared_ptr<Client> load_vit(const EngineOptions& options = {}, const std::string& identity = "") {
  return load_model(test_runtime_path(), {std::string(MANYSCALE_SOURCE_DIR) + "/test/models/vit_emoji_96.onnx", {}, identity}, options);
}

ModelConfiguration configuration(int64_t fixed_batch = 0) { return {0, {0}, {kTile, kTile}, fixed_batch}; }

std::shared_ptr<Client> vit(const EngineOptions& options = {}, int64_t fixed_batch = 0) {
  auto client = load_vit(options);
  REQUIRE(client->engine().configure(configuration(fixed_batch), {{145, 128}}, nullptr) == 0);
  return client;
}

EngineOptions with_workers(int workers) {
  EngineOptions options;
  options.workers = workers;
  return options;
}

// What the engine makes of one image; the request's pixels live as long as this call.
Outcome run_one(const std::shared_ptr<Client>& client, ImageRequest request) {
  Outcome outcome;
  outcome.features.assign(static_cast<size_t>(request.pool.output_elements()), NAN);
  request.destination = outcome.features.data();
  std::promise<std::optional<Error>> ended;
  request.done = [&ended](const std::optional<Error>& error, const Timings&) { ended.set_value(error); };
  client->submit(std::move(request));
  outcome.error = ended.get_future().get();
  return outcome;
}

// An image that keeps its size and values, cut into tiles; `features`: what each output has for a tile.
ImageRequest plain_request(const std::vector<uint8_t>& pixels, Size image, Size tile, pool::Layout layout, const std::vector<pool::ScaleFeatures>& features) {
  ImageRequest request;
  request.pixels = pixels.data();
  request.split.source = {split::PixelType::kUint8, 1, 3, image.height, image.width, 0};
  PlanOptions options;
  options.image_sizes = {image};
  options.base = options.tile = tile;
  request.split.plan = make_plan(image, options);
  request.split.preprocess.rescale = 1;
  request.split.joined = true;
  PoolRequest pool;
  pool.plan = request.split.plan;
  pool.options.input = pool.options.output = layout;
  pool.features = features;
  pool.joined = true;
  request.pool = pool_params(pool);
  return request;
}

std::shared_ptr<Client> load_bytes(const std::string& model, const EngineOptions& options = {}) {
  return load_model(test_runtime_path(), {"", {model.begin(), model.end()}, ""}, options);
}

void dispose(const std::shared_ptr<Client>& client) {
  std::promise<void> promise;
  client->dispose([&promise] { promise.set_value(); });
  promise.get_future().wait();
}

}  // namespace

TEST_CASE("images at once give what they give alone") {
  if (!runtime_or_skip()) return;
  const auto client = vit();
  CHECK(client->engine().batching(0).invariant);
  std::vector<Outcome> alone;
  for (unsigned seed = 0; seed < 3; seed++) alone.push_back(submit(client, 150 + seed, {1, 2, 3}, seed).outcome.get());
  std::vector<Submitted> together;
  for (int round = 0; round < 2; round++) {
    for (unsigned seed = 0; seed < 3; seed++) together.push_back(submit(client, 150 + seed, {1, 2, 3}, seed));
  }
  for (size_t i = 0; i < together.size(); i++) {
    const Outcome outcome = together[i].outcome.get();
    REQUIRE_FALSE(outcome.error);
    CHECK(outcome.features == alone[i % 3].features);
    CHECK(outcome.timings.total >= outcome.timings.queue);
    for (const float value : outcome.features) REQUIRE(std::isfinite(value));
  }
  dispose(client);
}

TEST_CASE("a batch has tiles of several images, and each image gets its own") {
  if (!runtime_or_skip()) return;
  EngineOptions options = with_workers(1);
  options.max_batch = 4;
  const auto client = vit(options);
  std::vector<Outcome> alone;
  for (unsigned seed = 0; seed < 9; seed++) alone.push_back(submit(client, 100 + seed, {1}, seed).outcome.get());
  const EngineStats before = client->engine().stats();
  Submitted large = submit(client, 150, {3}, 1);  // keeps the worker at work while the others arrive
  std::vector<Submitted> small;
  for (unsigned seed = 0; seed < 9; seed++) small.push_back(submit(client, 100 + seed, {1}, seed));
  for (unsigned seed = 0; seed < 9; seed++) {
    const Outcome outcome = small[seed].outcome.get();
    REQUIRE_FALSE(outcome.error);
    CHECK(outcome.features == alone[seed].features);
  }
  CHECK_FALSE(large.outcome.get().error);
  const EngineStats after = client->engine().stats();
  CHECK(after.tiles_done - before.tiles_done == 18);
  CHECK(after.rows_done == after.tiles_done);
  CHECK(after.batches_done - before.batches_done <= 8);  // 18 / 4, and a few that began before all had arrived
  CHECK(after.tiles_queued == 0);
  CHECK(after.tiles_running == 0);
  dispose(client);
}

TEST_CASE("an image of few tiles is not held up by one of many: latency in tiles") {
  if (!runtime_or_skip()) return;
  const auto client = vit(with_workers(1));
  Submitted large = submit(client, 300, {10}, 1);  // 100 tiles
  int64_t done_at_end = 0;
  Submitted small = submit(client, 100, {1, 2}, 2, [&] { done_at_end = client->engine().stats().tiles_done; });  // 5 tiles
  CHECK_FALSE(small.outcome.get().error);
  // Two batches may be taken before it arrives; then a turn of 8 tiles of the large one, its own 5, and the rest of that batch.
  CHECK(done_at_end <= 8 + 8 + 5 + 4);
  CHECK_FALSE(large.outcome.get().error);
  dispose(client);
}

TEST_CASE("a fixed batch is filled up and gives the same features") {
  if (!runtime_or_skip()) return;
  const auto client = vit();
  const auto fixed = vit({}, 3);  // 5 tiles: a full batch and one of two tiles
  EngineOptions options;
  options.deterministic = true;
  const auto padded = vit(options);
  CHECK(fixed->engine().batching(0).size == 3);
  CHECK(fixed->engine().batching(0).fixed);
  CHECK(padded->engine().batching(0).fixed);
  CHECK(padded->engine().batching(0).invariant);
  const Outcome free_batch = submit(client, 200, {1, 2}, 1).outcome.get();
  for (const auto& other : {fixed, padded}) {
    const Outcome outcome = submit(other, 200, {1, 2}, 1).outcome.get();
    REQUIRE_FALSE(outcome.error);
    CHECK(outcome.features == free_batch.features);
    const EngineStats stats = other->engine().stats();
    CHECK(stats.rows_done == stats.batches_done * other->engine().batching(0).size);
    CHECK(stats.tiles_done == 5);
    dispose(other);
  }
  dispose(client);
}

TEST_CASE("tiles wait for others to share a batch with, but no longer than they may") {
  if (!runtime_or_skip()) return;
  EngineOptions options = with_workers(1);
  options.max_delay_ms = 150;
  const auto client = vit(options);
  const auto start = std::chrono::steady_clock::now();
  Submitted first = submit(client, 100, {1}, 1);
  CHECK_FALSE(first.outcome.get().error);
  CHECK(std::chrono::steady_clock::now() - start >= std::chrono::milliseconds(150));  // alone to the end
  const EngineStats before = client->engine().stats();
  std::vector<Submitted> images;
  for (unsigned seed = 0; seed < 4; seed++) images.push_back(submit(client, 100, {1}, seed));
  for (Submitted& image : images) CHECK_FALSE(image.outcome.get().error);
  CHECK(client->engine().stats().batches_done - before.batches_done == 1);
  dispose(client);
}

TEST_CASE("a cancelled image ends with kCancelled and the others finish") {
  if (!runtime_or_skip()) return;
  const auto client = vit();
  const Outcome expected = submit(client, 150, {1, 2}, 3).outcome.get();
  for (unsigned round = 0; round < 8; round++) {
    Submitted first = submit(client, 150, {1, 2, 4}, round);
    Submitted second = submit(client, 150, {1, 2}, 3);
    std::this_thread::sleep_for(std::chrono::milliseconds(round * 3));  // before, between and in the middle of batches
    client->cancel(first.image);
    client->cancel(first.image);
    const Outcome cancelled = first.outcome.get();
    if (cancelled.error) CHECK(cancelled.error->code() == ErrorCode::kCancelled);
    const Outcome other = second.outcome.get();
    REQUIRE_FALSE(other.error);
    CHECK(other.features == expected.features);
  }
  const EngineStats stats = client->engine().stats();
  CHECK(stats.tiles_queued == 0);
  dispose(client);
}

TEST_CASE("disposal ends what runs with kDisposed, once, and refuses what comes later") {
  if (!runtime_or_skip()) return;
  const auto client = vit();
  std::vector<Submitted> images;
  for (unsigned seed = 0; seed < 12; seed++) images.push_back(submit(client, 150, {1, 2, 3}, seed));
  std::thread other([&client] { dispose(client); });
  dispose(client);
  other.join();
  for (Submitted& image : images) {
    const Outcome outcome = image.outcome.get();
    if (outcome.error) CHECK(outcome.error->code() == ErrorCode::kDisposed);
  }
  const Outcome late = submit(client, 150, {1}, 1).outcome.get();
  REQUIRE(late.error);
  CHECK(late.error->code() == ErrorCode::kDisposed);
  CHECK_THROWS_AS(client->engine().probe(configuration(), nullptr), Error);
  CHECK_THROWS_AS(client->engine().configure(configuration(), {{145, 128}}, nullptr), Error);
  client->engine().shrink();
  dispose(client);
}

TEST_CASE("a disposal that comes while an image's end is being told is not forgotten") {
  if (!runtime_or_skip()) return;
  const auto client = vit();
  dispose(client);
  bool disposed = false;
  const Outcome late = submit(client, 150, {1}, 1, [&] { client->dispose([&disposed] { disposed = true; }); }).outcome.get();
  CHECK(late.error);
  CHECK(disposed);
}

TEST_CASE("clients of one model share it, and one's end is not the other's") {
  if (!runtime_or_skip()) return;
  const auto first = load_vit({}, "vit");
  const auto second = load_vit({}, "vit");
  const auto other_options = load_vit(with_workers(1), "vit");
  const auto other_model = load_vit({}, "another");
  CHECK(&first->engine() == &second->engine());
  CHECK(&first->engine() != &other_options->engine());
  CHECK(&first->engine().session() == &other_options->engine().session());
  CHECK(&first->engine().session() != &other_model->engine().session());
  for (const auto& client : {first, second, other_options}) CHECK(client->engine().configure(configuration(), {{145, 128}}, nullptr) == 0);

  Submitted ended = submit(first, 150, {1, 2, 4}, 1);
  Submitted kept = submit(second, 150, {1, 2}, 2);
  dispose(first);
  const Outcome outcome = ended.outcome.get();
  if (outcome.error) CHECK(outcome.error->code() == ErrorCode::kDisposed);
  CHECK_FALSE(kept.outcome.get().error);
  dispose(second);
  CHECK_FALSE(submit(other_options, 150, {1}, 3).outcome.get().error);
  dispose(other_options);
  dispose(other_model);

  const auto again = load_vit({}, "vit");
  CHECK(again->engine().configure(configuration(), {{145, 128}}, nullptr) == 0);
  CHECK_FALSE(submit(again, 150, {1}, 3).outcome.get().error);
  // Forgotten, not disposed: the model goes with its last client.
}

TEST_CASE("tiles of several classes share the workers, not the batches") {
  if (!runtime_or_skip()) return;
  const auto client = vit();
  CHECK(client->engine().configure(configuration(3), {{145, 128}}, nullptr) == 1);  // the same model in batches of 3
  CHECK(client->engine().configure(configuration(), {{145, 128}}, nullptr) == 0);
  const Outcome expected = submit(client, 150, {1, 2}, 1).outcome.get();
  std::vector<std::promise<std::vector<float>>> promises(6);
  std::vector<uint8_t> pixels = picture(150, 1);
  std::vector<std::vector<float>> results(promises.size());
  for (size_t i = 0; i < promises.size(); i++) {
    ImageRequest request = request_for(150, {1, 2}, i % 2);
    request.pixels = pixels.data();
    results[i].resize(static_cast<size_t>(request.pool.output_elements()));
    request.destination = results[i].data();
    request.done = [&, i](const std::optional<Error>& error, const Timings&) { promises[i].set_value(error ? std::vector<float>{} : results[i]); };
    client->submit(std::move(request));
  }
  for (auto& promise : promises) CHECK(promise.get_future().get() == expected.features);
  dispose(client);
}

TEST_CASE("a model that answers otherwise than configured is an error of that image only") {
  if (!runtime_or_skip()) return;
  const auto client = load_vit();
  CHECK(client->engine().configure({0, {2}, {kTile, kTile}}, {{64}}, nullptr) == 0);  // image_logits [n, 64]: other features than the request's
  CHECK(client->engine().configure(configuration(), {{128, 145}}, nullptr) == 1);     // as many numbers in another shape
  CHECK(client->engine().configure(configuration(), {{145, 128}}, nullptr) == 2);
  for (size_t batch_class = 0; batch_class < 4; batch_class++) {
    ImageRequest request = request_for(150, {1, 2}, batch_class);
    const std::vector<uint8_t> pixels = picture(150, 1);
    request.pixels = pixels.data();
    std::vector<float> destination(static_cast<size_t>(request.pool.output_elements()));
    request.destination = destination.data();
    std::promise<std::optional<ErrorCode>> code;
    request.done = [&code](const std::optional<Error>& error, const Timings&) { code.set_value(error ? std::optional(error->code()) : std::nullopt); };
    client->submit(std::move(request));
    const std::optional<ErrorCode> received = code.get_future().get();
    if (batch_class < 2) CHECK(received == ErrorCode::kModelShape);
    if (batch_class == 2) CHECK_FALSE(received);
    if (batch_class == 3) CHECK(received == ErrorCode::kInvalidArgument);  // there is no such class
  }
  dispose(client);
}

TEST_CASE("batches that no buffer can hold are refused, and limits beyond any image's tiles are harmless") {
  if (!runtime_or_skip()) return;
  const auto client = load_vit();
  for (int round = 0; round < 2; round++) {
    try {
      client->engine().configure(configuration(int64_t{1} << 60), {{145, 128}}, nullptr);
      FAIL("expected a refusal");
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::kPlanTooLarge);
    }
  }
  EngineOptions options = with_workers(1);
  options.max_batch = int64_t{1} << 60;
  const auto generous = vit(options);
  const auto plain = vit();
  CHECK(submit(generous, 150, {1, 2, 3}, 1).outcome.get().features == submit(plain, 150, {1, 2, 3}, 1).outcome.get().features);
  for (const auto& each : {client, generous, plain}) dispose(each);
}

TEST_CASE("tiles that the model does not take are refused, not written behind its input") {
  if (!runtime_or_skip()) return;
  const auto client = vit();
  ImageRequest request = request_for(150, {1});
  request.split.plan.scales[0].tile_height *= 2;
  std::promise<std::optional<ErrorCode>> code;
  request.done = [&code](const std::optional<Error>& error, const Timings&) { code.set_value(error ? std::optional(error->code()) : std::nullopt); };
  client->submit(std::move(request));
  CHECK(code.get_future().get() == ErrorCode::kInvalidArgument);
  dispose(client);
}

TEST_CASE("memory that is kept for the next image is given back when idle") {
  if (!runtime_or_skip()) return;
  const auto client = vit();
  const std::vector<float> before = submit(client, 150, {1, 2, 3}, 1).outcome.get().features;
  Submitted running = submit(client, 150, {1, 2, 3}, 1);
  client->engine().shrink();  // not while an image is in flight
  CHECK(running.outcome.get().features == before);
  client->engine().shrink();
  client->engine().shrink();
  CHECK(submit(client, 150, {1, 2, 3}, 1).outcome.get().features == before);
  std::thread shrinking([&client] { client->engine().shrink(); });
  CHECK(submit(client, 150, {1, 2, 3}, 1).outcome.get().features == before);
  shrinking.join();
  dispose(client);
}

// What callers on several threads can do to one model at once; each round ends with a disposal in the middle of it.
TEST_CASE("images, cancellations, probes and a disposal at random from several threads all end, each once") {
  if (!runtime_or_skip()) return;
  const unsigned seed = std::random_device()();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 6; round++) {
    EngineOptions options = with_workers(1 + round % 3);
    if (round == 4) options.max_delay_ms = 5;
    const auto load = [&] {
      auto client = load_vit(options, "stress");
      REQUIRE(client->engine().configure(configuration(round % 2 ? 2 : 0), {{145, 128}}, nullptr) == 0);
      return client;
    };
    const auto client = load();
    const auto neighbour = load();
    std::atomic<int> wrong{0};
    std::vector<std::thread> callers;
    for (int caller = 0; caller < 3; caller++) {
      callers.emplace_back([&, caller_seed = random()] {
        std::mt19937 dice(caller_seed);
        std::vector<Submitted> images;
        for (int i = 0; i < 8; i++) {
          images.push_back(submit(client, 100 + dice() % 60, dice() % 2 ? std::vector<double>{1, 2} : std::vector<double>{2, 1}, dice()));
          if (dice() % 2) client->cancel(images[dice() % images.size()].image);
          if (dice() % 4 == 0) {
            try {
              wrong += client->engine().probe(configuration(), nullptr).size() != 1;
            } catch (const Error& error) {
              wrong += error.code() != ErrorCode::kDisposed;
            }
          }
          if (dice() % 8 == 0) client->engine().shrink();
        }
        for (Submitted& image : images) {
          const Outcome outcome = image.outcome.get();
          if (outcome.error) wrong += outcome.error->code() != ErrorCode::kCancelled && outcome.error->code() != ErrorCode::kDisposed;
        }
      });
    }
    Submitted kept = submit(neighbour, 150, {1, 2}, 1);
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 200));
    dispose(client);
    CHECK_FALSE(kept.outcome.get().error);
    for (auto& caller : callers) caller.join();
    CHECK(wrong == 0);
    dispose(neighbour);
  }
}

TEST_CASE("impossible requests arrive as errors") {
  if (!runtime_or_skip()) return;
  const auto client = vit();
  CHECK_FALSE(submit(client, 150, {1}, 1).outcome.get().error);
  // A crop outside the image is found while the image is prepared.
  ImageRequest request = request_for(150, {1});
  const std::vector<uint8_t> pixels = picture(150, 1);
  request.split.crop = Rectangle{100, 0, 100, 100};
  request.pixels = pixels.data();
  std::vector<float> destination(static_cast<size_t>(request.pool.output_elements()));
  request.destination = destination.data();
  std::promise<ErrorCode> code;
  request.done = [&code](const std::optional<Error>& error, const Timings&) { code.set_value(error ? error->code() : ErrorCode::kModelRun); };
  client->submit(std::move(request));
  CHECK(code.get_future().get() == ErrorCode::kInvalidArgument);
  dispose(client);
}

TEST_CASE("a model that takes bytes with channels last gets the image's own, in batches of any size") {
  if (!runtime_or_skip()) return;
  using namespace onnx;
  const std::vector<std::string> dims{"n", "4", "6", "3"};
  const std::string pixels_out =
      model({cast("x", "y", kFloat), cast("x", "z", kFloat16)}, {}, tensor_type(kUint8, dims), tensor_type(kFloat, dims), tensor_type(kFloat16, dims));
  const Size tile{4, 6};
  std::vector<uint8_t> pixels(12 * 18 * 3);
  for (size_t i = 0; i < pixels.size(); i++) pixels[i] = static_cast<uint8_t>(i * 7);
  for (const int64_t fixed : {0, 2}) {
    const auto client = load_bytes(pixels_out);
    const ModelConfiguration configured{0, {1, 0}, tile, fixed, split::TileLayout::kNhwc};
    const std::vector<runtime::ValueInfo> probed = client->engine().probe(configured, nullptr);
    CHECK(probed[0].type == runtime::ElementType::kFloat16);
    CHECK(probed[1].dims == std::vector<int64_t>{std::max<int64_t>(fixed, 1), 4, 6, 3});
    REQUIRE(client->engine().configure(configured, {{4, 6, 3}, {4, 6, 3}}, nullptr) == 0);
    CHECK(client->engine().batching(0).invariant);
    client->engine().shrink();
    const Outcome outcome = run_one(client, plain_request(pixels, {12, 18}, tile, pool::Layout::kTokens, {{tile, 3}, {tile, 3}}));
    REQUIRE_FALSE(outcome.error);
    std::vector<float> expected;  // every pixel of both outputs; halves hold bytes exactly
    for (size_t i = 0; i < pixels.size(); i += 3) {
      for (int output = 0; output < 2; output++)
        expected.insert(expected.end(), pixels.begin() + static_cast<ptrdiff_t>(i), pixels.begin() + static_cast<ptrdiff_t>(i) + 3);
    }
    CHECK(outcome.features == expected);

    // Tiles one after another: the parts of both outputs too.
    ImageRequest sequence = plain_request(pixels, {12, 18}, tile, pool::Layout::kTokens, {{tile, 3}, {tile, 3}});
    PoolRequest pool;
    pool.plan = sequence.split.plan;
    pool.features = {{tile, 3}, {tile, 3}};
    pool.joined = pool.sequence = sequence.sequence = true;
    sequence.pool = pool_params(pool);
    const Outcome tiles = run_one(client, std::move(sequence));
    REQUIRE_FALSE(tiles.error);
    std::vector<float> one_after_another;
    for (size_t t = 0; t < 9; t++) {
      for (size_t y = t / 3 * 4; y < t / 3 * 4 + 4; y++) {
        const auto row = expected.begin() + static_cast<ptrdiff_t>((y * 18 + t % 3 * 6) * 6);
        one_after_another.insert(one_after_another.end(), row, row + 6 * 6);
      }
    }
    CHECK(tiles.features == one_after_another);
    dispose(client);
  }
}

TEST_CASE("a float16 model gets its tiles rounded once") {
  if (!runtime_or_skip()) return;
  using namespace onnx;
  const std::string type = tensor_type(kFloat16, {"n", "3", "5", "4"});
  const auto client = load_bytes(model({node("Identity", {"x"}, "y")}, {}, type, type));
  const Size tile{5, 4};
  REQUIRE(client->engine().configure({0, {0}, tile}, {{3, 5, 4}}, nullptr) == 0);
  const std::vector<uint8_t> pixels = picture(10, 1);  // 10 x 10; the first 5 x 8 of it are used
  ImageRequest request = plain_request(pixels, {5, 8}, tile, pool::Layout::kFeatureMap, {{tile, 3}});
  request.split.preprocess.rescale = 1.0 / 255;
  const Outcome outcome = run_one(client, std::move(request));
  REQUIRE_FALSE(outcome.error);
  std::vector<float> expected;
  for (size_t c = 0; c < 3; c++) {
    for (size_t i = 0; i < 40; i++) expected.push_back(from_half(to_half(static_cast<float>(pixels[i * 3 + c]) * static_cast<float>(1.0 / 255))));
  }
  CHECK(outcome.features == expected);
  dispose(client);
}

TEST_CASE("outputs of different grids are joined on the grid of the first, and are what each gives alone") {
  if (!runtime_or_skip()) return;
  const auto load = [](std::vector<size_t> outputs, const std::vector<std::vector<int64_t>>& dims) {
    auto client = load_model(test_runtime_path(), {std::string(MANYSCALE_SOURCE_DIR) + "/models/mobilenetv3_coco_backbone_224.onnx", {}, "mobilenet"}, {});
    return std::make_pair(client, client->engine().configure({0, std::move(outputs), {224, 224}}, dims, nullptr));
  };
  const std::vector<int64_t> fine{88, 14, 14}, coarse{120, 7, 7};
  const pool::ScaleFeatures fine_tile{{14, 14}, 88}, coarse_tile{{7, 7}, 120};
  const std::vector<uint8_t> pixels = picture(448, 1);
  const auto features = [&](const std::pair<std::shared_ptr<Client>, size_t>& model, const std::vector<pool::ScaleFeatures>& tiles) {
    ImageRequest request = plain_request(pixels, {448, 448}, {224, 224}, pool::Layout::kFeatureMap, tiles);
    request.batch_class = model.second;
    Outcome outcome = run_one(model.first, std::move(request));
    REQUIRE_FALSE(outcome.error);
    return outcome.features;
  };
  const auto first = load({0}, {fine}), second = load({1}, {coarse}), both = load({0, 1}, {fine, coarse});
  CHECK(std::set<size_t>{first.second, second.second, both.second}.size() == 3);
  std::vector<float> expected = features(first, {fine_tile});
  const std::vector<float> coarse_map = features(second, {coarse_tile});
  for (size_t c = 0; c < 120; c++) {
    for (size_t y = 0; y < 28; y++) {
      for (size_t x = 0; x < 28; x++) expected.push_back(coarse_map[(c * 14 + y / 2) * 14 + x / 2]);  // the average of the one cell below it
    }
  }
  CHECK(features(both, {fine_tile, coarse_tile}) == expected);

  ImageRequest swapped = plain_request(pixels, {448, 448}, {224, 224}, pool::Layout::kFeatureMap, {coarse_tile, fine_tile});
  swapped.batch_class = both.second;
  CHECK(run_one(both.first, std::move(swapped)).error->code() == ErrorCode::kModelShape);
  ImageRequest fewer = plain_request(pixels, {448, 448}, {224, 224}, pool::Layout::kFeatureMap, {fine_tile});
  fewer.batch_class = both.second;
  CHECK(run_one(both.first, std::move(fewer)).error->code() == ErrorCode::kInvalidArgument);
  for (const auto& each : {first, second, both}) dispose(each.first);
}

TEST_CASE("configurations that a model cannot have are refused") {
  if (!runtime_or_skip()) return;
  const auto client = load_vit();
  const auto code = [&](const ModelConfiguration& configured, const std::vector<std::vector<int64_t>>& dims) -> std::optional<ErrorCode> {
    try {
      client->engine().configure(configured, dims, nullptr);
      return std::nullopt;
    } catch (const Error& error) {
      return error.code();
    }
  };
  const Size tile{kTile, kTile};
  CHECK(code({0, {}, tile}, {}) == ErrorCode::kInvalidArgument);
  CHECK(code({0, {0, 2}, tile}, {{145, 128}}) == ErrorCode::kInvalidArgument);
  CHECK(code({0, {99}, tile}, {{145, 128}}) == ErrorCode::kInvalidArgument);
  CHECK(code({SIZE_MAX, {0}, tile}, {{145, 128}}) == ErrorCode::kInvalidArgument);
  const std::string numbers = onnx::tensor_type(onnx::kInt64, {"n", "3", "4", "4"});
  const auto whole = load_bytes(onnx::model({onnx::node("Identity", {"x"}, "y")}, {}, numbers, numbers));
  CHECK_THROWS_AS(whole->engine().probe({0, {0}, {4, 4}}, nullptr), Error);
  dispose(whole);
  dispose(client);
}
