// The tile engine with a real model: images at once, cancelled, disposed; results equal one another and nothing hangs.
// Run under ASan and TSan too (CONTRIBUTING.md): that is where races and leaks show.
#include <doctest/doctest.h>

#include <atomic>
#include <cmath>
#include <functional>
#include <future>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "engine/model.h"
#include "engine/tile_engine.h"
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
  std::shared_ptr<TileEngine::Image> image;
  std::future<Outcome> outcome;
};

std::vector<uint8_t> picture(int64_t side, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<uint8_t> pixels(static_cast<size_t>(side * side * 3));
  for (uint8_t& value : pixels) value = static_cast<uint8_t>(random());
  return pixels;
}

Submitted submit(
    TileEngine& engine, int64_t side, std::vector<double> scales, unsigned seed, const std::function<void()>& at_end = [] {}) {
  struct Flight {
    std::vector<uint8_t> pixels;
    std::promise<Outcome> promise;
    Outcome outcome;
  };
  const auto flight = std::make_shared<Flight>();
  flight->pixels = picture(side, seed);
  TileEngine::Request request;
  request.split.source = {split::PixelType::kUint8, 1, 3, side, side, 0};
  PlanOptions options;
  options.scales = std::move(scales);
  options.base = options.tile = Size{kTile, kTile};
  request.split.plan = make_plan({side, side}, options);
  request.split.joined = true;
  request.pixels = flight->pixels.data();
  PoolRequest pool;
  pool.plan = request.split.plan;
  pool.prefix = 1;
  pool.features.assign(pool.plan.scales.size(), {{12, 12}, 128});
  pool.joined = true;
  request.pool = pool_params(pool);
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
  submitted.image = engine.submit(std::move(request));
  return submitted;
}

std::shared_ptr<TileEngine> vit(int workers = 0, int64_t fixed_batch = 0) {
  auto engine = load_model(test_runtime_path(), {std::string(MANYSCALE_SOURCE_DIR) + "/test/models/vit_emoji_96.onnx", {}}, workers);
  ModelConfiguration configuration;
  configuration.tile = {kTile, kTile};
  configuration.fixed_batch = fixed_batch;
  engine->configure(configuration);
  return engine;
}

void dispose(TileEngine& engine) {
  std::promise<void> promise;
  engine.dispose([&promise] { promise.set_value(); });
  promise.get_future().wait();
}

}  // namespace

TEST_CASE("images at once give what they give alone") {
  if (!runtime_or_skip()) return;
  const auto engine = vit();
  std::vector<Outcome> alone;
  for (unsigned seed = 0; seed < 3; seed++) alone.push_back(submit(*engine, 150 + seed, {1, 2, 3}, seed).outcome.get());
  std::vector<Submitted> together;
  for (int round = 0; round < 2; round++) {
    for (unsigned seed = 0; seed < 3; seed++) together.push_back(submit(*engine, 150 + seed, {1, 2, 3}, seed));
  }
  for (size_t i = 0; i < together.size(); i++) {
    const Outcome outcome = together[i].outcome.get();
    REQUIRE_FALSE(outcome.error);
    CHECK(outcome.features == alone[i % 3].features);
    CHECK(outcome.timings.total >= outcome.timings.queue);
    for (const float value : outcome.features) REQUIRE(std::isfinite(value));
  }
  dispose(*engine);
}

TEST_CASE("a fixed batch is filled up and gives the same features") {
  if (!runtime_or_skip()) return;
  const auto engine = vit();
  const auto fixed = vit(0, 3);  // 5 tiles: a full batch and one of two tiles
  const Outcome free_batch = submit(*engine, 200, {1, 2}, 1).outcome.get();
  const Outcome fixed_batch = submit(*fixed, 200, {1, 2}, 1).outcome.get();
  REQUIRE_FALSE(fixed_batch.error);
  CHECK(fixed_batch.features == free_batch.features);
  dispose(*engine);
  dispose(*fixed);
}

TEST_CASE("a cancelled image ends with kCancelled and the others finish") {
  if (!runtime_or_skip()) return;
  const auto engine = vit();
  for (unsigned seed = 0; seed < 8; seed++) {
    Submitted first = submit(*engine, 150, {1, 2, 4}, seed);
    Submitted second = submit(*engine, 150, {1, 2}, seed);
    std::this_thread::sleep_for(std::chrono::milliseconds(seed * 3));  // before, between and in the middle of batches
    engine->cancel(first.image);
    engine->cancel(first.image);
    const Outcome cancelled = first.outcome.get();
    if (cancelled.error) CHECK(cancelled.error->code() == ErrorCode::kCancelled);
    CHECK_FALSE(second.outcome.get().error);
  }
  dispose(*engine);
}

TEST_CASE("disposal ends what runs with kDisposed, once, and refuses what comes later") {
  if (!runtime_or_skip()) return;
  const auto engine = vit();
  std::vector<Submitted> images;
  for (unsigned seed = 0; seed < 12; seed++) images.push_back(submit(*engine, 150, {1, 2, 3}, seed));
  std::thread other([&engine] { dispose(*engine); });
  dispose(*engine);
  other.join();
  for (Submitted& image : images) {
    const Outcome outcome = image.outcome.get();
    if (outcome.error) CHECK(outcome.error->code() == ErrorCode::kDisposed);
  }
  const Outcome late = submit(*engine, 150, {1}, 1).outcome.get();
  REQUIRE(late.error);
  CHECK(late.error->code() == ErrorCode::kDisposed);
  dispose(*engine);
}

TEST_CASE("a disposal that comes while an image's end is being told is not forgotten") {
  if (!runtime_or_skip()) return;
  const auto engine = vit();
  dispose(*engine);
  bool disposed = false;
  const Outcome late = submit(*engine, 150, {1}, 1, [&] { engine->dispose([&disposed] { disposed = true; }); }).outcome.get();
  CHECK(late.error);
  CHECK(disposed);
}

TEST_CASE("a model that answers otherwise than configured is an error of that image only") {
  if (!runtime_or_skip()) return;
  const auto engine = vit();
  ModelConfiguration wrong;
  wrong.tile = {kTile, kTile};
  wrong.output = 2;  // image_logits [n, 64]
  engine->configure(wrong);
  const Outcome refused = submit(*engine, 150, {1, 2}, 1).outcome.get();
  REQUIRE(refused.error);
  CHECK(refused.error->code() == ErrorCode::kModelShape);
  wrong.output = 0;
  engine->configure(wrong);
  CHECK_FALSE(submit(*engine, 150, {1, 2}, 1).outcome.get().error);
  dispose(*engine);
}

TEST_CASE("a batch that no buffer can hold is an error every time, and leaves nothing behind") {
  if (!runtime_or_skip()) return;
  const auto engine = vit();
  ModelConfiguration greedy;
  greedy.tile = {kTile, kTile};
  greedy.fixed_batch = int64_t{1} << 60;
  engine->configure(greedy);
  for (unsigned round = 0; round < 4; round++) {
    const Outcome refused = submit(*engine, 150, {1, 2}, round).outcome.get();
    REQUIRE(refused.error);
    CHECK(refused.error->code() == ErrorCode::kPlanTooLarge);
  }
  dispose(*engine);
}

TEST_CASE("a batch limit beyond any image's tiles takes no more memory than the tiles") {
  if (!runtime_or_skip()) return;
  const auto engine = vit(1);
  const Outcome small = submit(*engine, 150, {1}, 1).outcome.get();  // leaves a buffer for one tile behind
  ModelConfiguration generous;
  generous.tile = {kTile, kTile};
  generous.max_batch = int64_t{1} << 60;
  engine->configure(generous);
  CHECK_FALSE(submit(*engine, 150, {1, 2, 3}, 1).outcome.get().error);
  CHECK(submit(*engine, 150, {1}, 1).outcome.get().features == small.features);
  dispose(*engine);
}

TEST_CASE("tiles that the model does not take are refused, not written behind its input") {
  if (!runtime_or_skip()) return;
  const auto engine = vit();
  ModelConfiguration smaller;
  smaller.tile = {kTile / 2, kTile / 2};
  engine->configure(smaller);
  const Outcome refused = submit(*engine, 150, {1, 2}, 1).outcome.get();
  REQUIRE(refused.error);
  CHECK(refused.error->code() == ErrorCode::kInvalidArgument);
  dispose(*engine);
}

// What callers on several threads can do to one model at once; each round ends with a disposal in the middle of it.
TEST_CASE("images, cancellations, probes and a disposal at random from several threads all end, each once") {
  if (!runtime_or_skip()) return;
  const unsigned seed = std::random_device()();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 6; round++) {
    const auto engine = vit(1 + round % 3, round % 2 ? 2 : 0);
    std::atomic<int> wrong{0};
    std::vector<std::thread> callers;
    for (int caller = 0; caller < 3; caller++) {
      callers.emplace_back([&engine, &wrong, caller_seed = random()] {
        std::mt19937 dice(caller_seed);
        std::vector<Submitted> images;
        for (int i = 0; i < 8; i++) {
          images.push_back(submit(*engine, 100 + dice() % 60, dice() % 2 ? std::vector<double>{1, 2} : std::vector<double>{2, 1}, dice()));
          if (dice() % 2) engine->cancel(images[dice() % images.size()].image);
          if (dice() % 4 == 0) {
            try {
              wrong += engine->probe({0, 0, {kTile, kTile}, 0, 0}, {0}, nullptr).size() != 1;
            } catch (const Error& error) {
              wrong += error.code() != ErrorCode::kDisposed;
            }
          }
        }
        for (Submitted& image : images) {
          const Outcome outcome = image.outcome.get();
          if (outcome.error) wrong += outcome.error->code() != ErrorCode::kCancelled && outcome.error->code() != ErrorCode::kDisposed;
        }
      });
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 200));
    dispose(*engine);
    for (auto& caller : callers) caller.join();
    CHECK(wrong == 0);
  }
}

TEST_CASE("impossible requests arrive as errors") {
  if (!runtime_or_skip()) return;
  const auto engine = vit();
  Submitted image = submit(*engine, 150, {1}, 1);
  CHECK_FALSE(image.outcome.get().error);
  // A crop outside the image is found while the image is prepared.
  TileEngine::Request request;
  const std::vector<uint8_t> pixels = picture(150, 1);
  request.split.source = {split::PixelType::kUint8, 1, 3, 150, 150, 0};
  PlanOptions options;
  options.scales = {1};
  options.base = options.tile = Size{kTile, kTile};
  request.split.plan = make_plan({150, 150}, options);
  request.split.joined = true;
  request.split.crop = Rectangle{100, 0, 100, 100};
  request.pixels = pixels.data();
  PoolRequest pool;
  pool.plan = request.split.plan;
  pool.prefix = 1;
  pool.features = {{{12, 12}, 128}};
  request.pool = pool_params(pool);
  std::vector<float> destination(static_cast<size_t>(request.pool.output_elements()));
  request.destination = destination.data();
  std::promise<ErrorCode> code;
  request.done = [&code](const std::optional<Error>& error, const Timings&) { code.set_value(error ? error->code() : ErrorCode::kModelRun); };
  engine->submit(std::move(request));
  CHECK(code.get_future().get() == ErrorCode::kInvalidArgument);
  dispose(*engine);
}
