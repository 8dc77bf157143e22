// split against memcpy: one uint8 RGB image to three scales, float32, normalised; every mode, one and all threads, every
// instruction set (each in a process of its own, or the one that MANYSCALE_FORCE_ISA names).
//
//   split_bench [--json] [--quick]     --quick: the first case only
//
// Medians of interleaved rounds, warm buffers. memcpy is one thread copying (bytes read + bytes written) / 2, so that it
// moves as many bytes.
#include <spawn.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/isa.h"
#include "device/cpu/cpu_backend.h"
#include "ops/split/split.h"

extern char** environ;

namespace {

using namespace manyscale;

// The CPU with one thread: the caller's.
class OneThread final : public Backend {
 public:
  DeviceKind kind() const noexcept override { return DeviceKind::kCpu; }
  int concurrency() const noexcept override { return 1; }
  Buffer allocate(size_t bytes) override { return cpu::cpu_backend().allocate(bytes); }
  void release(Buffer buffer) noexcept override { cpu::cpu_backend().release(buffer); }
  void copy(Buffer to, Buffer from, size_t bytes, CopyDirection direction) override { cpu::cpu_backend().copy(to, from, bytes, direction); }
  void parallel_for(int64_t count, TaskBody body) override {
    for (int64_t i = 0; i < count; i++) body(i);
  }
  void launch(const Launch& launch) override { cpu::cpu_backend().launch(launch); }
  Event record() override { return cpu::cpu_backend().record(); }
  void wait(Event event) override { cpu::cpu_backend().wait(event); }
};

template <typename Body>
double milliseconds(Body body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

struct Case {
  const char* name;
  Size image;
  std::vector<Scale> scales;
  int rounds;
};

Scale scale_of(int64_t rows, int64_t columns) { return {rows * 224, columns * 224, rows, columns, 224, 224}; }

// Scales of 224, 448 and 672 whose tiles overlap by at least a quarter.
std::vector<Scale> overlapping_scales() {
  PlanOptions options;
  options.tile = Size{224, 224};
  options.overlap = 56;
  options.overlap_unit = Size{14, 14};
  options.image_sizes = {{224, 224}, {448, 448}, {672, 672}};
  return make_plan({224, 224}, options).scales;
}

void run_case(const Case& c, bool json, bool& first_row) {
  const Plan plan = make_plan_of(c.image, c.scales, 0);
  const split::Source source{split::PixelType::kUint8, 1, 3, c.image.height, c.image.width, 0};
  std::vector<uint8_t> pixels(static_cast<size_t>(source.byte_size()));
  std::mt19937 random(1);
  for (uint8_t& pixel : pixels) pixel = static_cast<uint8_t>(random());

  std::vector<split::Params> modes;
  for (int i = 0; i < kResizeModeCount; i++) {
    split::Preprocess preprocess;
    preprocess.mean = {0.485, 0.456, 0.406};
    preprocess.std = {0.229, 0.224, 0.225};
    preprocess.resize = static_cast<ResizeMode>(i);
    modes.push_back(split::make_params(source, plan, std::nullopt, preprocess, split::make_tables(plan, std::nullopt, preprocess.resize)));
    modes.back().tiles = split::all_tiles(modes.back(), true);
  }
  std::vector<float> tiles(static_cast<size_t>(plan.tile_count() * modes[0].tile_elements(0)));
  const std::vector<Buffer> destinations(plan.scales.size(), host_buffer(tiles.data()));
  const size_t moved = (pixels.size() + tiles.size() * sizeof(float)) / 2;
  std::vector<char> from(moved, 1), to(moved, 2);

  OneThread one;
  Backend* const backends[] = {&one, &cpu::cpu_backend()};
  std::vector<double> copies;
  std::vector<double> times[2][kResizeModeCount];
  for (int round = -1; round < c.rounds; round++) {  // the first warms up
    for (size_t mode = 0; mode < modes.size(); mode++) {
      // volatile: a copy that nobody reads must still be made
      const double copy = milliseconds([&] {
        std::memcpy(to.data(), from.data(), moved);
        *static_cast<volatile char*>(to.data());
      });
      if (round >= 0) copies.push_back(copy);
      for (int b = 0; b < 2; b++) {
        const double time = milliseconds([&] { split::run(modes[mode], *backends[b], host_buffer(pixels.data()), destinations); });
        if (round >= 0) times[b][mode].push_back(time);
      }
    }
  }
  const double copy = median(copies);
  const int threads = backends[1]->concurrency();
  if (!json)
    std::printf("\n%s, %s: memcpy %.2f ms\n%-26s %14s %9s %12s %9s\n", c.name, split::kernel_isa(), copy, "mode", "1 thread, ms", "x memcpy",
                (std::to_string(threads) + " threads, ms").c_str(), "x memcpy");
  for (size_t mode = 0; mode < modes.size(); mode++) {
    const double alone = median(times[0][mode]), together = median(times[1][mode]);
    const char* const name = resize_mode_name(modes[mode].resize);
    if (json) {
      std::printf(
          "%s  {\"case\": \"%s\", \"isa\": \"%s\", \"mode\": \"%s\", \"memcpyMs\": %.4f, \"oneThreadMs\": %.4f, \"threads\": %d, \"threadsMs\": %.4f, "
          "\"ratio\": %.3f}",
          first_row ? "" : ",\n", c.name, split::kernel_isa(), name, copy, alone, threads, together, together / copy);
      first_row = false;
    } else {
      std::printf("%-26s %14.2f %9.2f %12.2f %9.2f\n", name, alone, alone / copy, together, together / copy);
    }
  }
  std::fflush(stdout);
}

// This program again, for one instruction set.
int run_isa(Isa isa, char** arguments) {
  setenv("MANYSCALE_FORCE_ISA", isa_name(isa), 1);
  pid_t child = 0;
  int status = 1;
  if (posix_spawn(&child, "/proc/self/exe", nullptr, nullptr, arguments, environ) != 0 || waitpid(child, &status, 0) != child) return 1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

}  // namespace

int main(int count, char** arguments) {
  bool json = false, quick = false;
  for (int i = 1; i < count; i++) {
    json = json || std::strcmp(arguments[i], "--json") == 0;
    quick = quick || std::strcmp(arguments[i], "--quick") == 0;
  }
  const bool child = std::getenv("MANYSCALE_FORCE_ISA") != nullptr;
  if (!child) {
    if (json) std::printf("[\n"), std::fflush(stdout);
    const std::vector<Isa>& isas = available_isas();
    for (auto isa = isas.rbegin(); isa != isas.rend(); ++isa) {
      if (const int failed = run_isa(*isa, arguments)) return failed;
      if (json) std::printf(isa + 1 == isas.rend() ? "\n" : ",\n"), std::fflush(stdout);
    }
    if (json) std::printf("]\n");
    return 0;
  }
  bool first_row = true;
  run_case({"1344 x 1344 to 224, 448, 672", {1344, 1344}, {scale_of(1, 1), scale_of(2, 2), scale_of(3, 3)}, 15}, json, first_row);
  run_case({"1344 x 1344 to 224, 448, 672, overlap 1/4", {1344, 1344}, overlapping_scales(), 15}, json, first_row);
  if (!quick) run_case({"5000 x 3000 to 224, 448, 672", {3000, 5000}, {scale_of(1, 1), scale_of(2, 2), scale_of(3, 3)}, 5}, json, first_row);
  return 0;
}
