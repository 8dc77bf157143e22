// No memory for one allocation, wherever in the engine it is: the image ends with kOutOfMemory or as if nothing had been, and
// the next one works.
#include <doctest/doctest.h>

#include <cmath>
#include <future>
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "engine/model.h"
#include "engine/tile_engine.h"
#include "failing_new.h"
#include "runtime_library.h"

namespace {

using namespace manyscale;
using namespace manyscale::engine;

constexpr int64_t kTile = 96;  // vit_emoji_96: 145 tokens of 128 channels, one of them CLS
constexpr int64_t kSide = 120;

std::future<std::optional<Error>> submit(Client& client, const std::vector<uint8_t>& pixels, std::vector<float>& features) {
  ImageRequest request;
  request.split.source = {split::PixelType::kUint8, 1, 3, kSide, kSide, 0};
  PlanOptions options;
  options.scales = {1, 2};
  options.base = options.tile = Size{kTile, kTile};
  request.split.plan = make_plan({kSide, kSide}, options);
  request.split.joined = true;
  request.pixels = pixels.data();
  PoolRequest pool;
  pool.plan = request.split.plan;
  pool.options.prefix = 1;
  pool.features.assign(2, {{12, 12}, 128});
  pool.joined = true;
  request.pool = pool_params(pool);
  features.assign(static_cast<size_t>(request.pool.output_elements()), NAN);
  request.destination = features.data();
  auto promise = std::make_shared<std::promise<std::optional<Error>>>();
  auto future = promise->get_future();
  request.done = [promise](const std::optional<Error>& error, const Timings&) { promise->set_value(error); };
  client.submit(std::move(request));
  return future;
}

struct Vit {
  std::shared_ptr<Client> client = load_model(test_runtime_path(), {std::string(MANYSCALE_SOURCE_DIR) + "/test/models/vit_emoji_96.onnx", {}, ""}, {});
  std::vector<uint8_t> pixels = std::vector<uint8_t>(kSide * kSide * 3);
  std::vector<float> expected;

  Vit() {
    REQUIRE(client->engine().configure({0, {0}, {kTile, kTile}}, {{145, 128}}, nullptr) == 0);
    std::mt19937 random(1);
    for (uint8_t& value : pixels) value = static_cast<uint8_t>(random());
    REQUIRE_FALSE(submit(*client, pixels, expected).get());
  }
  void check_and_dispose() {
    std::vector<float> after;
    REQUIRE_FALSE(submit(*client, pixels, after).get());
    CHECK(after == expected);
    dispose();
  }
  void dispose() {
    std::promise<void> disposed;
    client->dispose([&disposed] { disposed.set_value(); });
    disposed.get_future().wait();
  }
};

}  // namespace

TEST_CASE("an allocation that fails anywhere in the engine ends that image at most") {
  if (!runtime_or_skip()) return;
  Vit vit;
  const auto& [client, pixels, expected] = vit;

  int64_t refused = 0;
  bool reached_the_end = false;
  for (int64_t n = 0; n < 5000 && !reached_the_end; n++) {
    CAPTURE(n);
    if (n % 16 == 0) client->engine().shrink();  // so that buffers and tables are made anew
    std::vector<float> first;
    std::vector<float> second;
    std::optional<Error> first_error;
    std::optional<Error> second_error;
    {
      const FailingExecutorNew failing(n);
      auto first_end = submit(*client, pixels, first);
      auto second_end = submit(*client, pixels, second);
      first_error = first_end.get();
      second_error = second_end.get();
      reached_the_end = !failing.has_failed();
    }
    for (const auto& error : {first_error, second_error}) {
      if (error) CHECK(error->code() == ErrorCode::kOutOfMemory);
      refused += error.has_value();
    }
    if (!first_error) REQUIRE(first == expected);
    if (!second_error) REQUIRE(second == expected);
  }
  CHECK(reached_the_end);
  CHECK(refused > 10);
  vit.check_and_dispose();
}

TEST_CASE("when every allocation fails all images end, and so does a disposal") {
  if (!runtime_or_skip()) return;
  for (int64_t n = 0; n < 400; n += 1 + n / 8) {
    CAPTURE(n);
    Vit vit;
    std::vector<std::vector<float>> features(6);
    std::vector<std::optional<Error>> errors;
    {
      std::vector<std::future<std::optional<Error>>> ends;
      const FailingExecutorNew failing(n, FailingExecutorNew::Failures::kAll);
      for (auto& each : features) ends.push_back(submit(*vit.client, vit.pixels, each));
      for (auto& end : ends) errors.push_back(end.get());
      if (n % 2) vit.dispose();
    }
    for (size_t i = 0; i < features.size(); i++) {
      if (errors[i])
        CHECK(errors[i]->code() == ErrorCode::kOutOfMemory);
      else
        CHECK(features[i] == vit.expected);
    }
    if (n % 2 == 0) vit.check_and_dispose();
  }
}
