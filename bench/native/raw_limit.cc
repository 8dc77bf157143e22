// The raw limit of a model on this machine: tiles that lie ready through one session, by native threads that do nothing else.
// bench/engine.mjs starts it and measures it in turn with the engine.
//
//   raw_limit LIBRARY MODEL INPUT OUTPUT HEIGHT WIDTH THREADS TILES
//
// LIBRARY: a libonnxruntime; INPUT, OUTPUT: names; TILES: how many lie ready (float32 [TILES, 3, HEIGHT, WIDTH]). The session is the
// engine's own kind (runtime::Session, one thread inside each run), the threads have the engine's priority. Prints a line when ready;
// then for each line "BATCH COUNT" on stdin runs COUNT tiles (at most TILES) in batches of BATCH and prints a line of JSON. Its threads
// sleep in between. Ends with stdin.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <memory>
#include <mutex>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "runtime/library.h"
#include "runtime/session.h"

namespace {

using namespace manyscale;

constexpr int kNice = 10;  // the executor's: other work on the machine takes as much from both

size_t index_of(const std::vector<runtime::ValueInfo>& values, const std::string& name) {
  const auto found = std::find_if(values.begin(), values.end(), [&](const runtime::ValueInfo& value) { return value.name == name; });
  if (found == values.end()) throw std::runtime_error("the model has no '" + name + "'");
  return static_cast<size_t>(found - values.begin());
}

// Seconds of processor time of all threads so far.
double processor_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& time) { return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6; };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

struct Limit {
  std::unique_ptr<runtime::Session> session;
  size_t input = 0;
  size_t output = 0;
  std::vector<int64_t> in_dims;   // of one tile
  std::vector<int64_t> out_dims;  // of one tile's features
  std::vector<float> tiles;
  std::vector<float> features;

  // A round: guarded by `mutex`, but for `next`.
  std::mutex mutex;
  std::condition_variable changed;
  int64_t round = 0;
  int64_t batch = 0;
  int64_t count = 0;
  int working = 0;
  std::atomic<int64_t> next{0};
  std::string error;

  static int64_t elements(const std::vector<int64_t>& dims) {
    int64_t product = 1;
    for (const int64_t dim : dims) product *= dim;
    return product;
  }

  void run_batches() {
    for (int64_t first = next.fetch_add(batch); first < count; first = next.fetch_add(batch)) {
      std::vector<int64_t> in = in_dims, out = out_dims;
      in[0] = out[0] = std::min(batch, count - first);
      session->run(input, tiles.data() + first * elements(in_dims), in, {{output, features.data() + first * elements(out_dims), out}}, nullptr);
    }
  }

  void work() {
    setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kNice);
    std::unique_lock lock(mutex);
    for (int64_t seen = 0;; seen = round) {
      changed.wait(lock, [&] { return round != seen; });
      lock.unlock();
      std::string failure;
      try {
        run_batches();
      } catch (const std::exception& caught) {
        failure = caught.what();
      }
      lock.lock();
      if (!failure.empty()) error = failure;
      if (--working == 0) changed.notify_all();
    }
  }

  // Returns seconds by the clock.
  double run(int64_t batch_size, int64_t tile_count, int threads) {
    std::unique_lock lock(mutex);
    batch = batch_size;
    count = tile_count;
    next = 0;
    working = threads;
    const auto start = std::chrono::steady_clock::now();
    round++;
    changed.notify_all();
    changed.wait(lock, [&] { return working == 0; });
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (!error.empty()) throw std::runtime_error(error);
    return seconds;
  }
};

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 9) throw std::runtime_error("usage: raw_limit LIBRARY MODEL INPUT OUTPUT HEIGHT WIDTH THREADS TILES");
  const int64_t height = std::atoll(argv[5]), width = std::atoll(argv[6]), tiles = std::atoll(argv[8]);
  const int threads = std::atoi(argv[7]);
  runtime::Library& library = runtime::Library::load(argv[1]);
  Limit& limit = *new Limit;  // its threads run to the end of the process
  limit.session = runtime::Session::from_file(library, argv[2], {});
  limit.input = index_of(limit.session->inputs(), argv[3]);
  limit.output = index_of(limit.session->outputs(), argv[4]);
  limit.in_dims = {1, 3, height, width};
  limit.tiles.resize(static_cast<size_t>(tiles * Limit::elements(limit.in_dims)));
  std::mt19937 random(1);
  for (float& value : limit.tiles) value = static_cast<float>(random()) / static_cast<float>(std::mt19937::max()) * 2 - 1;
  limit.out_dims = limit.session->probe(limit.input, limit.tiles.data(), limit.in_dims, {limit.output}, nullptr)[0].dims;
  limit.features.resize(static_cast<size_t>(tiles * Limit::elements(limit.out_dims)));
  for (int i = 0; i < threads; i++) std::thread([&limit] { limit.work(); }).detach();
  std::printf("{\"ready\": true, \"onnxruntime\": \"%s\"}\n", library.version().c_str());
  std::fflush(stdout);

  int64_t batch = 0, count = 0;
  while (std::cin >> batch >> count) {
    if (batch < 1 || count < 1 || count > tiles) throw std::runtime_error("Expected a batch and a count of 1 to TILES");
    const double before = processor_seconds();
    const double seconds = limit.run(batch, count, threads);
    std::printf("{\"seconds\": %.6f, \"processor\": %.6f}\n", seconds, processor_seconds() - before);
    std::fflush(stdout);
  }
  std::_Exit(0);  // not through the destructors of the runtime's globals while the threads sleep
} catch (const std::exception& error) {
  std::fprintf(stderr, "raw_limit: %s\n", error.what());
  std::_Exit(1);
}
