// pool against memcpy. memcpy is one thread copying (bytes read + bytes written) / 2, so that it moves as many bytes.
// Rounds are interleaved and medians compared; MANYSCALE_FORCE_ISA chooses the kernels. Usage: pool_bench [--json]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <vector>

#include "device/cpu/cpu_backend.h"
#include "ops/pool/pool.h"

using namespace manyscale;

namespace {

constexpr int kRounds = 201;
constexpr int64_t kScales = 3;  // 1, 2 and 3 times the tile: 1 + 4 + 9 tiles, with overlap 1 + 9 + 16

struct Case {
  const char* name;
  pool::Layout input;
  pool::Layout output;
  Size grid;
  int64_t channels;
  pool::OutputType type = pool::OutputType::kFloat32;
  double overlap = 0;  // of tiles, in cells
};

// Scales of 1, 2 and 3 times the tile, a pixel a cell.
Plan plan_of(const Case& c) {
  PlanOptions options;
  options.tile = c.grid;
  options.overlap = c.overlap;
  options.overlap_unit = Size{1, 1};
  for (int64_t s = 1; s <= kScales; s++) options.image_sizes.push_back({s * c.grid.height, s * c.grid.width});
  return make_plan(c.grid, options);
}

struct Result {
  double pool_us;
  double memcpy_us;
};

template <typename Work>
double microseconds(Work work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double>& times) {
  std::nth_element(times.begin(), times.begin() + static_cast<int64_t>(times.size() / 2), times.end());
  return times[times.size() / 2];
}

Result measure(const Case& c) {
  const Plan plan = plan_of(c);
  const pool::Params params = pool::make_params(plan, 1, std::vector<pool::ScaleFeatures>(kScales, {c.grid, c.channels}), true, {c.input, c.output, c.type});
  const size_t read = static_cast<size_t>(plan.tile_count() * params.tile_elements(0)) * sizeof(float);
  const size_t written = static_cast<size_t>(params.output_bytes());
  const size_t copied = (read + written) / 2;

  Backend& backend = cpu::cpu_backend();
  const Buffer source = backend.allocate(read);
  const Buffer destination = backend.allocate(written);
  const Buffer from = backend.allocate(copied);
  const Buffer to = backend.allocate(copied);
  std::fill_n(host_pointer<float>(source), read / sizeof(float), 1.0F);
  std::memset(host_pointer<char>(from), 1, copied);

  std::vector<double> pool_times;
  std::vector<double> memcpy_times;
  for (int round = 0; round < kRounds; round++) {
    memcpy_times.push_back(microseconds([&] { backend.copy(to, from, copied, CopyDirection::kOnDevice); }));
    pool_times.push_back(microseconds([&] { pool::run(params, backend, {source}, destination); }));
  }
  for (const Buffer& buffer : {source, destination, from, to}) backend.release(buffer);
  return {median(pool_times), median(memcpy_times)};
}

}  // namespace

int main(int argc, char** argv) try {
  const bool json = argc > 1 && std::string(argv[1]) == "--json";
  constexpr pool::Layout kTokens = pool::Layout::kTokens;
  constexpr pool::Layout kMaps = pool::Layout::kFeatureMap;
  constexpr pool::OutputType kHalves = pool::OutputType::kFloat16;
  const Case cases[] = {
      {"tokens 14 x 256 x 768", kTokens, kTokens, {16, 16}, 768},
      {"tokens 14 x 256 x 768, float16", kTokens, kTokens, {16, 16}, 768, kHalves},
      {"tokens 14 x 256 x 768 to maps", kTokens, kMaps, {16, 16}, 768},
      {"tokens 14 x 256 x 768 to maps, float16", kTokens, kMaps, {16, 16}, 768, kHalves},
      {"maps 14 x 88 x 14 x 14", kMaps, kMaps, {14, 14}, 88},
      {"maps 14 x 88 x 14 x 14, float16", kMaps, kMaps, {14, 14}, 88, kHalves},
      {"maps 14 x 88 x 14 x 14 to tokens", kMaps, kTokens, {14, 14}, 88},
      {"maps 14 x 88 x 14 x 14 to tokens, float16", kMaps, kTokens, {14, 14}, 88, kHalves},
      {"maps 14 x 768 x 16 x 16", kMaps, kMaps, {16, 16}, 768},
      {"maps 14 x 768 x 16 x 16, float16", kMaps, kMaps, {16, 16}, 768, kHalves},
      {"tokens 26 x 256 x 768, overlap 1/4", kTokens, kTokens, {16, 16}, 768, pool::OutputType::kFloat32, 4},
      {"maps 26 x 88 x 14 x 14, overlap 2/7", kMaps, kMaps, {14, 14}, 88, pool::OutputType::kFloat32, 4},
      {"maps 26 x 768 x 16 x 16, overlap 1/4", kMaps, kMaps, {16, 16}, 768, pool::OutputType::kFloat32, 4},
  };
  if (!json)
    std::printf("pool, %s, %d threads\n%-42s %10s %10s %8s\n", pool::kernel_isa(), cpu::cpu_backend().concurrency(), "", "pool us", "memcpy us", "times");
  std::string lines;
  for (const Case& c : cases) {
    const Result result = measure(c);
    if (!json) std::printf("%-42s %10.1f %10.1f %8.2f\n", c.name, result.pool_us, result.memcpy_us, result.pool_us / result.memcpy_us);
    char line[256];
    std::snprintf(line, sizeof line, "%s\n  {\"name\": \"%s\", \"isa\": \"%s\", \"threads\": %d, \"poolUs\": %.1f, \"memcpyUs\": %.1f, \"ratio\": %.3f}",
                  lines.empty() ? "" : ",", c.name, pool::kernel_isa(), cpu::cpu_backend().concurrency(), result.pool_us, result.memcpy_us,
                  result.pool_us / result.memcpy_us);
    lines += line;
  }
  if (json) std::printf("[%s\n]\n", lines.c_str());
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "pool_bench: %s\n", error.what());
  return 1;
}
