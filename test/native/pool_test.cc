// pool: the reference against an independent merge-then-average, and every implementation against the reference.
#include "ops/pool/pool.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <thread>

#include "core/checked.h"
#include "core/error.h"
#include "core/half.h"
#include "core/isa.h"
#include "device/cpu/cpu_backend.h"
#include "half_values.h"
#include "seed.h"

using namespace manyscale;
using namespace manyscale::pool;

namespace {

struct TestScale {
  int64_t rows, columns;
  Size grid;
  int64_t channels;
};

struct Case {
  int64_t batch = 1;
  int64_t prefix = 0;
  int64_t output_index = 0;
  std::vector<TestScale> scales;
  Layout input = Layout::kTokens;
  Layout output = Layout::kTokens;
};

std::string describe(const Case& c) {
  std::string text = "batch " + std::to_string(c.batch) + ", prefix " + std::to_string(c.prefix) + ", output index " + std::to_string(c.output_index) +
                     (c.input == Layout::kTokens ? ", tokens" : ", maps") + (c.output == Layout::kTokens ? " to tokens" : " to maps");
  for (const TestScale& s : c.scales) {
    text += "; " + std::to_string(s.rows) + " x " + std::to_string(s.columns) + " tiles of " + to_string(s.grid) + " x " + std::to_string(s.channels);
  }
  return text;
}

Params params_of(const Case& c, bool joined = false, OutputType type = OutputType::kFloat32) {
  Plan plan;
  plan.output_index = c.output_index;
  std::vector<ScaleFeatures> features;
  for (const TestScale& s : c.scales) {
    Scale scale;
    scale.rows = s.rows;
    scale.columns = s.columns;
    plan.scales.push_back(scale);
    features.push_back({s.grid, s.channels});
  }
  return make_params(plan, c.batch, features, joined, {c.input, c.output, type, Blend::kLinear, c.prefix, false});
}

// Memory of exactly the size that is asked for, so that AddressSanitizer sees a read or write beyond it.
struct Floats {
  explicit Floats(int64_t n, float value = std::numeric_limits<float>::quiet_NaN()) : size(n), data(new float[static_cast<size_t>(n)]) {
    std::fill_n(data.get(), n, value);
  }
  int64_t size;
  std::unique_ptr<float[]> data;
};

// Tiles stand in any order in any of a few buffers with NaN between them: a value read from a gap shows in the result.
std::vector<Floats> scatter(Params& params, std::mt19937& random) {
  std::uniform_real_distribution<float> value(-1, 1);
  std::uniform_int_distribution<int64_t> gap(0, 9);
  std::vector<int64_t> elements;  // of each tile, after the dropped tokens
  for (size_t s = 0; s < params.scales.size(); s++) {
    const ScaleParams& scale = params.scales[s];
    const int64_t tile = params.tile_elements(s) - params.dropped * scale.channels;
    elements.insert(elements.end(), static_cast<size_t>(scale.rows * scale.columns * params.batch), tile);
  }
  REQUIRE(elements.size() == params.tiles.size());
  std::vector<size_t> order(elements.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::shuffle(order.begin(), order.end(), random);
  std::vector<int64_t> ends(std::uniform_int_distribution<size_t>(1, 6)(random), 0);
  for (const size_t tile : order) {
    const size_t buffer = std::uniform_int_distribution<size_t>(0, ends.size() - 1)(random);
    params.tiles[tile] = {static_cast<int64_t>(buffer), ends[buffer] + gap(random)};
    ends[buffer] = params.tiles[tile].offset + elements[tile];
  }
  std::vector<Floats> sources;
  for (const int64_t end : ends) sources.emplace_back(end);
  for (size_t tile = 0; tile < elements.size(); tile++) {
    float* const data = sources[static_cast<size_t>(params.tiles[tile].buffer)].data.get() + params.tiles[tile].offset;
    std::generate_n(data, elements[tile], [&] { return value(random); });
  }
  return sources;
}

std::vector<const float*> pointers(const std::vector<Floats>& sources) {
  std::vector<const float*> result;
  for (const Floats& source : sources) result.push_back(source.data.get());
  return result;
}

std::vector<Buffer> buffers(const std::vector<Floats>& sources) {
  std::vector<Buffer> result;
  for (const Floats& source : sources) result.push_back(host_buffer(source.data.get()));
  return result;
}

Floats reference(const Params& params, const std::vector<Floats>& sources) {
  Floats out(params.output_elements());
  run_reference(params, pointers(sources), out.data.get());
  return out;
}

// Same values in the same order of additions: implementations have nothing to differ in.
int64_t differing(const float* a, const float* b, int64_t count) {
  int64_t n = 0;
  for (int64_t i = 0; i < count; i++) n += !(a[i] == b[i]);
  return n;
}

int64_t differing(const uint16_t* a, const uint16_t* b, int64_t count) {
  int64_t n = 0;
  for (int64_t i = 0; i < count; i++) n += a[i] != b[i] && ((a[i] | b[i]) & 0x7fff) != 0;
  return n;
}

// The scale that makes element `index` of the output.
size_t scale_of(const Params& params, int64_t index) {
  const int64_t cells = params.prefix + params.grid.height * params.grid.width;
  const int64_t channel = (params.output == Layout::kTokens ? index : index / cells) % params.channels;
  size_t scale = 0;
  while (channel >= params.scales[scale].channel_offset + params.scales[scale].channels) scale++;
  return scale;
}

// Into memory of exactly the right size; between guards; scale by scale, where each must keep off the others' channels.
// `mark` is a value that no result has.
template <typename Element>
void check_runs(const Params& params, const std::vector<Floats>& sources, const Element* expected, Element mark, std::mt19937& random) {
  const int64_t count = params.output_elements();
  const std::unique_ptr<Element[]> exact(new Element[static_cast<size_t>(count)]);
  REQUIRE(params.output_bytes() == count * static_cast<int64_t>(sizeof(Element)));
  std::fill_n(exact.get(), count, mark);
  run(params, cpu::cpu_backend(), buffers(sources), host_buffer(exact.get()));
  CHECK(differing(exact.get(), expected, count) == 0);

  constexpr int64_t kGuard = 64;
  std::vector<Element> guarded(static_cast<size_t>(count + 2 * kGuard), mark);
  run(params, cpu::cpu_backend(), buffers(sources), host_buffer(guarded.data()).at(kGuard * sizeof(Element)));
  CHECK(std::equal(exact.get(), exact.get() + count, guarded.begin() + kGuard));
  CHECK(std::count(guarded.begin(), guarded.begin() + kGuard, mark) == kGuard);
  CHECK(std::count(guarded.end() - kGuard, guarded.end(), mark) == kGuard);

  std::vector<size_t> order(params.scales.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::shuffle(order.begin(), order.end(), random);
  const std::unique_ptr<Element[]> out(new Element[static_cast<size_t>(count)]);
  std::vector<bool> done(order.size(), false);
  std::fill_n(out.get(), count, mark);
  for (const size_t scale : order) {
    run(params.only(scale), cpu::cpu_backend(), buffers(sources), host_buffer(out.get()));
    done[scale] = true;
    int64_t wrong = 0;
    for (int64_t i = 0; i < count; i++) wrong += out[static_cast<size_t>(i)] != (done[scale_of(params, i)] ? exact[static_cast<size_t>(i)] : mark);
    CHECK(wrong == 0);
  }
}

void check_against_reference(Params params, const std::vector<Floats>& sources, std::mt19937& random) {
  const Floats expected = reference(params, sources);
  check_runs(params, sources, expected.data.get(), -12345.5F, random);

  params.output_type = OutputType::kFloat16;
  std::vector<uint16_t> halves(static_cast<size_t>(expected.size));
  std::transform(expected.data.get(), expected.data.get() + expected.size, halves.begin(), to_half);
  std::vector<uint16_t> by_reference(halves.size());
  run_reference(params, pointers(sources), by_reference.data());
  CHECK(by_reference == halves);
  check_runs(params, sources, halves.data(), uint16_t{0x7eef}, random);  // a NaN
}

// In double, the way a person would write it: put the tiles of a scale together, then average from an integral image.
std::vector<double> merge_then_average(const Params& params, const std::vector<Floats>& sources) {
  std::vector<double> out(static_cast<size_t>(params.output_elements()));
  const int64_t cells = params.grid.height * params.grid.width;
  for (int64_t image = 0; image < params.batch; image++) {
    int64_t joined = 0;
    for (size_t s = 0; s < params.scales.size(); s++) {
      const ScaleParams& scale = params.scales[s];
      const int64_t height = scale.rows * scale.grid.height;
      const int64_t width = scale.columns * scale.grid.width;
      const auto tile_at = [&](int64_t row, int64_t column) {
        const TileSource& source = params.tiles[static_cast<size_t>(scale.first_tile + (row * scale.columns + column) * params.batch + image)];
        return sources[static_cast<size_t>(source.buffer)].data.get() + source.offset;
      };
      for (int64_t c = 0; c < scale.channels; c++, joined++) {
        std::vector<double> integral(static_cast<size_t>((height + 1) * (width + 1)), 0.0);
        const auto at = [&](int64_t y, int64_t x) -> double& { return integral[static_cast<size_t>(y * (width + 1) + x)]; };
        for (int64_t row = 0; row < scale.rows; row++) {
          for (int64_t column = 0; column < scale.columns; column++) {
            for (int64_t y = 0; y < scale.grid.height; y++) {
              for (int64_t x = 0; x < scale.grid.width; x++) {
                const int64_t place = y * scale.grid.width + x;
                at(row * scale.grid.height + y + 1, column * scale.grid.width + x + 1) = tile_at(
                    row,
                    column)[params.input == Layout::kTokens ? (params.prefix + place) * scale.channels + c : c * scale.grid.height * scale.grid.width + place];
              }
            }
          }
        }
        for (int64_t y = 1; y <= height; y++) {
          for (int64_t x = 1; x <= width; x++) at(y, x) += at(y - 1, x) + at(y, x - 1) - at(y - 1, x - 1);
        }
        for (int64_t i = 0; i < params.grid.height; i++) {
          for (int64_t j = 0; j < params.grid.width; j++) {
            const auto begin = [](int64_t index, int64_t in, int64_t n) {
              return static_cast<int64_t>(std::floor(static_cast<double>(index * in) / static_cast<double>(n)));
            };
            const auto end = [](int64_t index, int64_t in, int64_t n) {
              return static_cast<int64_t>(std::ceil(static_cast<double>((index + 1) * in) / static_cast<double>(n)));
            };
            const int64_t top = begin(i, height, params.grid.height), bottom = end(i, height, params.grid.height);
            const int64_t left = begin(j, width, params.grid.width), right = end(j, width, params.grid.width);
            const double sum = at(bottom, right) - at(top, right) - at(bottom, left) + at(top, left);
            const int64_t cell = i * params.grid.width + j;
            const int64_t index = params.output == Layout::kTokens ? (image * (params.prefix + cells) + params.prefix + cell) * params.channels + joined
                                                                   : (image * params.channels + joined) * cells + cell;
            out[static_cast<size_t>(index)] = sum / static_cast<double>((bottom - top) * (right - left));
          }
        }
        for (int64_t token = 0; token < params.prefix; token++) {
          double sum = 0;
          for (int64_t row = 0; row < scale.rows; row++) {
            for (int64_t column = 0; column < scale.columns; column++) sum += tile_at(row, column)[token * scale.channels + c];
          }
          out[static_cast<size_t>((image * (params.prefix + cells) + token) * params.channels + joined)] =
              sum / static_cast<double>(scale.rows * scale.columns);
        }
      }
    }
  }
  return out;
}

// float32 sums of up to a few thousand values within -1 .. 1.
constexpr double kTolerance = 1e-5;

void check_case(const Case& c, std::mt19937& random) {
  CAPTURE(describe(c));
  Params params = params_of(c);
  const std::vector<Floats> sources = scatter(params, random);
  const Floats result = reference(params, sources);
  const std::vector<double> expected = merge_then_average(params, sources);
  REQUIRE(static_cast<int64_t>(expected.size()) == result.size);
  double worst = 0;
  for (int64_t i = 0; i < result.size; i++) {
    const double error = std::abs(result.data[i] - expected[static_cast<size_t>(i)]);
    worst = std::isnan(error) ? std::numeric_limits<double>::infinity() : std::max(worst, error);
  }
  CHECK(worst < kTolerance);
  check_against_reference(params, sources, random);
}

// Every pair of layouts that is allowed with this many prefix tokens.
void check_layouts(Case c, std::mt19937& random) {
  for (const Layout input : {Layout::kTokens, Layout::kFeatureMap}) {
    for (const Layout output : {Layout::kTokens, Layout::kFeatureMap}) {
      if (c.prefix > 0 && input == Layout::kFeatureMap) continue;
      c.input = input;
      c.output = output;
      check_case(c, random);
    }
  }
}

}  // namespace

TEST_CASE("pool: the kernels in use are those of the chosen instruction set") { CHECK(std::string(kernel_isa()) == isa_name(active_isa())); }

TEST_CASE("pool: a bin average by hand") {
  // One tile of 1 x 3 cells and 2 x 1 tiles of 1 x 2 cells, one channel, into 1 x 3: the second goes up from 2 to 3 columns.
  Case c{1, 0, 0, {{1, 1, {1, 3}, 1}, {2, 1, {1, 2}, 1}}, Layout::kTokens, Layout::kTokens};
  const Params params = params_of(c);
  const float first[] = {1, 2, 3};
  const float second[] = {10, 20, 30, 60};  // the tiles below one another: columns average to 20 and 40
  float out[6] = {};
  run_reference(params, {first, second}, out);
  const float expected[] = {1, 20, 2, 30, 3, 40};
  for (int i = 0; i < 6; i++) CHECK(out[i] == expected[i]);
}

TEST_CASE("pool: shapes of real models") {
  std::mt19937 random(fresh_seed());
  check_layouts({1, 0, 0, {{1, 1, {4, 4}, 768}, {2, 2, {4, 4}, 768}, {3, 3, {4, 4}, 768}}}, random);
  check_layouts({2, 1, 0, {{1, 1, {12, 12}, 192}, {2, 2, {12, 12}, 192}}}, random);
  check_layouts({1, 0, 0, {{1, 1, {14, 14}, 88}, {2, 2, {14, 14}, 88}, {3, 3, {14, 14}, 88}}}, random);
  check_layouts({1, 0, 2, {{1, 1, {7, 7}, 24}, {2, 2, {7, 7}, 24}, {3, 3, {7, 7}, 24}}}, random);
}

TEST_CASE("pool: edges") {
  std::mt19937 random(fresh_seed());
  check_layouts({1, 0, 0, {{1, 1, {1, 1}, 1}}}, random);
  check_layouts({3, 5, 0, {{1, 1, {1, 1}, 1}, {5, 7, {1, 1}, 3}}}, random);                           // everything into one cell
  check_layouts({1, 0, 1, {{1, 1, {1, 1}, 5}, {3, 4, {2, 3}, 2}}}, random);                           // one cell to many
  check_layouts({1, 0, 0, {{1, 1, {1, 1}, 37}, {9, 11, {5, 3}, 17}}}, random);                        // a bin of more rows than one list holds
  check_layouts({1, 0, 0, {{1, 1, {1, 150}, 3}, {2, 2, {1, 150}, 3}, {3, 3, {1, 150}, 3}}}, random);  // rows longer than one step
  check_layouts({2, 0, 0, {{1, 1, {131, 1}, 2}, {1, 1, {3, 997}, 2}}}, random);
  check_layouts({1, 2, 0, {{1, 1, {13, 17}, 19}, {2, 3, {13, 17}, 19}, {3, 2, {13, 17}, 19}}}, random);
  check_layouts({1, 0, 0, {{1, 1, {24, 24}, 16}, {1, 1, {16, 16}, 16}, {5, 5, {7, 7}, 16}}}, random);
}

TEST_CASE("pool: random shapes") {
  std::mt19937 random(fresh_seed());
  const auto pick = [&](int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(random); };
  for (int i = 0; i < 150; i++) {
    Case c;
    c.batch = pick(1, 3);
    c.prefix = pick(0, 2) == 0 ? pick(1, 5) : 0;
    const int64_t scales = pick(1, 3);
    for (int64_t s = 0; s < scales; s++) c.scales.push_back({pick(1, 4), pick(1, 4), {pick(1, 9), pick(1, 9)}, pick(1, 37)});
    c.output_index = pick(0, scales - 1);
    check_layouts(c, random);
  }
}

TEST_CASE("pool: one buffer for all scales") {
  std::mt19937 random(fresh_seed());
  const Case c{2, 1, 0, {{1, 1, {3, 3}, 8}, {2, 2, {3, 3}, 8}}, Layout::kTokens, Layout::kTokens};
  const Params joined = params_of(c, true);
  const Params separate = params_of(c);
  Floats all((2 + 8) * 10 * 8);
  std::uniform_real_distribution<float> value(-1, 1);
  std::generate_n(all.data.get(), all.size, [&] { return value(random); });
  Floats a(joined.output_elements()), b(separate.output_elements());
  run(joined, cpu::cpu_backend(), {host_buffer(all.data.get())}, host_buffer(a.data.get()));
  run_reference(separate, {all.data.get(), all.data.get() + 2 * 10 * 8}, b.data.get());
  CHECK(differing(a.data.get(), b.data.get(), a.size) == 0);
}

TEST_CASE("pool: an image's features do not depend on its batch") {
  std::mt19937 random(fresh_seed());
  Case c{3, 1, 0, {{1, 1, {5, 5}, 20}, {2, 2, {5, 5}, 20}}, Layout::kTokens, Layout::kTokens};
  Params three = params_of(c);
  const std::vector<Floats> sources = scatter(three, random);
  Floats all(three.output_elements());
  run(three, cpu::cpu_backend(), buffers(sources), host_buffer(all.data.get()));
  c.batch = 1;
  for (int64_t image = 0; image < 3; image++) {
    Params one = params_of(c);
    for (size_t t = 0; t < one.tiles.size(); t++) one.tiles[t] = three.tiles[t * 3 + static_cast<size_t>(image)];
    Floats single(one.output_elements());
    run(one, cpu::cpu_backend(), buffers(sources), host_buffer(single.data.get()));
    CHECK(differing(single.data.get(), all.data.get() + image * single.size, single.size) == 0);
  }
}

TEST_CASE("pool: prefix tokens are left out of feature maps, and the rest is what it is without them") {
  Plan plan;
  Scale scale;
  scale.rows = scale.columns = 2;
  plan.scales = {scale};
  constexpr int64_t kPrefix = 2, kCells = 6, kChannels = 3, kTiles = 4;
  std::vector<float> plain(kTiles * kCells * kChannels), with(kTiles * (kPrefix + kCells) * kChannels, -1e9F);
  for (int64_t tile = 0; tile < kTiles; tile++) {
    for (int64_t i = 0; i < kCells * kChannels; i++) {
      const float value = static_cast<float>(tile * 100 + i);
      plain[static_cast<size_t>(tile * kCells * kChannels + i)] = value;
      with[static_cast<size_t>(tile * (kPrefix + kCells) * kChannels + kPrefix * kChannels + i)] = value;
    }
  }
  const auto pooled = [&](const std::vector<float>& source, int64_t prefix) {
    const Params params =
        make_params(plan, 1, {{{2, 3}, kChannels}}, false, {Layout::kTokens, Layout::kFeatureMap, OutputType::kFloat32, Blend::kLinear, prefix, false});
    CHECK(params.prefix == 0);
    CHECK(params.tile_elements(0) * kTiles == static_cast<int64_t>(source.size()));
    std::vector<float> out(static_cast<size_t>(params.output_elements()));
    run(params, cpu::cpu_backend(), {host_buffer(source.data())}, host_buffer(out.data()));
    return out;
  };
  CHECK(pooled(with, kPrefix) == pooled(plain, 0));
}

TEST_CASE("pool: prefix tokens that are dropped change nothing else") {
  std::mt19937 random(fresh_seed());
  const Case c{2, 3, 1, {{1, 1, {4, 5}, 7}, {2, 3, {4, 5}, 7}}, Layout::kTokens, Layout::kTokens};
  Params with = params_of(c);
  const std::vector<Floats> sources = scatter(with, random);
  Params without = with;
  without.prefix = 0;
  without.dropped = c.prefix;
  for (size_t tile = 0; tile < without.tiles.size(); tile++) without.tiles[tile].offset += c.prefix * 7;
  const Floats all = reference(with, sources);
  std::vector<float> rest(static_cast<size_t>(without.output_elements()));
  run(without, cpu::cpu_backend(), buffers(sources), host_buffer(rest.data()));
  const int64_t image = all.size / 2, cells = static_cast<int64_t>(rest.size()) / 2;
  for (int64_t i = 0; i < 2; i++) CHECK(differing(all.data.get() + i * image + image - cells, rest.data() + i * cells, cells) == 0);
}

namespace {

// Merged cells by the definition, in double: every tile's window, ramps over what it shares with a neighbour, divided by the sum of windows.
double blended(const Params& params, const std::vector<Floats>& sources, size_t scale, int64_t image, int64_t channel, int64_t row, int64_t column) {
  const ScaleParams& s = params.scales[scale];
  const auto window = [](const std::vector<int64_t>& starts, int64_t grid, size_t tile, int64_t cell) {
    double weight = 1;
    if (tile > 0 && starts[tile - 1] + grid > starts[tile]) {
      weight = std::min(weight, (static_cast<double>(cell) + 0.5) / static_cast<double>(starts[tile - 1] + grid - starts[tile]));
    }
    if (tile + 1 < starts.size() && starts[tile] + grid > starts[tile + 1]) {
      weight = std::min(weight, (static_cast<double>(grid - 1 - cell) + 0.5) / static_cast<double>(starts[tile] + grid - starts[tile + 1]));
    }
    return weight;
  };
  double sum = 0, weights = 0;
  for (size_t y = 0; y < s.tops.size(); y++) {
    for (size_t x = 0; x < s.lefts.size(); x++) {
      const int64_t cell_y = row - s.tops[y], cell_x = column - s.lefts[x];
      if (cell_y < 0 || cell_y >= s.grid.height || cell_x < 0 || cell_x >= s.grid.width) continue;
      const double weight = params.blend == Blend::kAverage ? 1 : window(s.tops, s.grid.height, y, cell_y) * window(s.lefts, s.grid.width, x, cell_x);
      const size_t tile =
          static_cast<size_t>(s.first_tile) + (y * static_cast<size_t>(s.columns) + x) * static_cast<size_t>(params.batch) + static_cast<size_t>(image);
      const float* const features = sources[static_cast<size_t>(params.tiles[tile].buffer)].data.get() + params.tiles[tile].offset;
      const int64_t cell = cell_y * s.grid.width + cell_x;
      const int64_t index = params.input == Layout::kTokens ? (params.prefix + cell) * s.channels + channel : channel * s.grid.height * s.grid.width + cell;
      sum += weight * static_cast<double>(features[index]);
      weights += weight;
    }
  }
  return sum / weights;
}

constexpr int64_t kCellPixels = 4;

// Tiles that overlap by at least `overlap` cells; pixels beyond `content` are zero padding.
Scale overlapping_scale(Size tiles, Size grid, int64_t overlap, std::mt19937& random) {
  const auto starts = [&](int64_t count, int64_t cells) {
    std::vector<int64_t> result{0};
    while (static_cast<int64_t>(result.size()) < count) {
      const int64_t most = std::max<int64_t>(1, cells - overlap);
      result.push_back(result.back() + kCellPixels * std::uniform_int_distribution<int64_t>(1, most)(random));
    }
    return result;
  };
  Scale scale;
  scale.rows = tiles.height;
  scale.columns = tiles.width;
  scale.tile_height = grid.height * kCellPixels;
  scale.tile_width = grid.width * kCellPixels;
  scale.tops = starts(tiles.height, grid.height);
  scale.lefts = starts(tiles.width, grid.width);
  scale.height = scale.tops.back() + scale.tile_height;
  scale.width = scale.lefts.back() + scale.tile_width;
  if (random() % 2) {
    scale.content =
        Rectangle{0, 0, std::uniform_int_distribution<int64_t>(1, scale.height)(random), std::uniform_int_distribution<int64_t>(1, scale.width)(random)};
  }
  return scale;
}

}  // namespace

TEST_CASE("pool: overlapping and padded tiles at random shapes, kernels and reference against the definition") {
  const uint32_t seed = fresh_seed();
  INFO("seed ", seed);
  std::mt19937 random(seed);
  const auto between = [&](int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(random); };
  for (int i = 0; i < 120; i++) {
    Plan plan;
    std::vector<ScaleFeatures> features;
    for (int64_t n = between(1, 3); n > 0; n--) {
      const Size grid{between(1, 9), between(1, 9)};
      plan.scales.push_back(overlapping_scale({between(1, 4), between(1, 4)}, grid, between(0, 3), random));
      features.push_back({grid, between(1, 40)});
    }
    plan.output_index = between(0, static_cast<int64_t>(plan.scales.size()) - 1);
    Options options;
    options.input = i % 2 ? Layout::kTokens : Layout::kFeatureMap;
    options.output = i % 4 < 2 ? Layout::kTokens : Layout::kFeatureMap;
    options.prefix = options.input == Layout::kTokens ? between(0, 2) : 0;
    options.blend = i % 8 == 0 ? Blend::kAverage : Blend::kLinear;
    Params params = make_params(plan, between(1, 2), features, false, options);
    const std::vector<Floats> sources = scatter(params, random);
    const Floats expected = reference(params, sources);
    Floats received(params.output_elements());
    run(params, cpu::cpu_backend(), buffers(sources), host_buffer(received.data.get()));
    double kernels = 0, definition = 0;
    for (int64_t k = 0; k < expected.size; k++)
      kernels = std::max(kernels, static_cast<double>(std::abs(expected.data[static_cast<size_t>(k)] - received.data[static_cast<size_t>(k)])));
    const int64_t tokens = params.prefix + params.grid.height * params.grid.width;
    for (int64_t image = 0; image < params.batch; image++) {
      for (size_t s = 0; s < params.scales.size(); s++) {
        const ScaleParams& scale = params.scales[s];
        for (int64_t row = 0; row < params.grid.height; row++) {
          for (int64_t column = 0; column < params.grid.width; column++) {
            const int64_t top = row * scale.merged.height / params.grid.height, left = column * scale.merged.width / params.grid.width;
            const int64_t bottom = ceil_div((row + 1) * scale.merged.height, params.grid.height);
            const int64_t right = ceil_div((column + 1) * scale.merged.width, params.grid.width);
            const int64_t channel = between(0, scale.channels - 1);
            double sum = 0;
            for (int64_t y = top; y < bottom; y++) {
              for (int64_t x = left; x < right; x++) sum += blended(params, sources, s, image, channel, y, x);
            }
            const int64_t cell = row * params.grid.width + column;
            const int64_t index = params.output == Layout::kTokens ? (image * tokens + params.prefix + cell) * params.channels + scale.channel_offset + channel
                                                                   : (image * params.channels + scale.channel_offset + channel) * tokens + cell;
            const double average = sum / static_cast<double>((bottom - top) * (right - left));
            definition = std::max(definition, std::abs(average - static_cast<double>(expected.data[static_cast<size_t>(index)])));
          }
        }
      }
    }
    // Values lie in -1 .. 1; sums of up to a few hundred float32 products round. Maps are added in another order.
    CHECK(kernels <= (options.input == Layout::kTokens ? 0 : 1e-6));
    CHECK(definition <= 2e-6);
  }
}

namespace {

// As many threads as it says, one after another.
class Pretended final : public Backend {
 public:
  explicit Pretended(int threads) : threads_(threads) {}
  DeviceKind kind() const noexcept override { return DeviceKind::kCpu; }
  int concurrency() const noexcept override { return threads_; }
  Buffer allocate(size_t bytes) override { return cpu::cpu_backend().allocate(bytes); }
  void release(Buffer buffer) noexcept override { cpu::cpu_backend().release(buffer); }
  void copy(Buffer to, Buffer from, size_t bytes, CopyDirection direction) override { cpu::cpu_backend().copy(to, from, bytes, direction); }
  void parallel_for(int64_t count, TaskBody body) override {
    for (int64_t i = 0; i < count; i++) body(i);
  }
  void launch(const Launch& launch) override { cpu::cpu_backend().launch(launch); }
  Event record() override { return cpu::cpu_backend().record(); }
  void wait(Event event) override { cpu::cpu_backend().wait(event); }

 private:
  int threads_;
};

}  // namespace

TEST_CASE("pool: the bits of overlapping tiles do not depend on the number of threads") {
  std::mt19937 random(fresh_seed());
  for (const Layout input : {Layout::kTokens, Layout::kFeatureMap}) {
    for (const int64_t cells : {20, 34, 60}) {  // bins of a few cells up to some thousand
      Plan plan;
      plan.scales.push_back(overlapping_scale({1, 1}, {20, 20}, 0, random));
      plan.scales.push_back(overlapping_scale({4, 4}, {cells, cells}, 5, random));
      Options options;
      options.input = options.output = input;
      Params params = make_params(plan, 1, {{{20, 20}, 40}, {{cells, cells}, 40}}, false, options);
      const std::vector<Floats> sources = scatter(params, random);
      Floats alone(params.output_elements()), together(params.output_elements());
      Pretended one(1), many(64);
      run(params, one, buffers(sources), host_buffer(alone.data.get()));
      run(params, many, buffers(sources), host_buffer(together.data.get()));
      CHECK(differing(alone.data.get(), together.data.get(), alone.size) == 0);
    }
  }
}

TEST_CASE("pool: tiles that happen not to overlap give the bits of those that cannot") {
  std::mt19937 random(fresh_seed());
  for (const Layout layout : {Layout::kTokens, Layout::kFeatureMap}) {
    const Case c{1, 0, 0, {{2, 3, {5, 4}, 19}}, layout, layout};
    Params plain = params_of(c);
    const std::vector<Floats> sources = scatter(plain, random);
    Params weighted = plain;
    weighted.scales[0].tops = {0, 5};
    weighted.scales[0].lefts = {0, 4, 8};
    Floats received(plain.output_elements());
    run(weighted, cpu::cpu_backend(), buffers(sources), host_buffer(received.data.get()));
    CHECK(differing(reference(plain, sources).data.get(), received.data.get(), received.size) == 0);
  }
}

TEST_CASE("pool: a sequence is the tiles one after another, without what is dropped") {
  std::mt19937 random(fresh_seed());
  Plan plan;
  for (const int64_t n : {1, 2}) {
    Scale scale;
    scale.rows = scale.columns = n;
    scale.height = scale.width = 8 * n;
    scale.tile_height = scale.tile_width = 8;
    plan.scales.push_back(scale);
  }
  Options options;
  options.prefix = 2;
  for (const bool drop : {false, true}) {
    options.drop_prefix = drop;
    const Params params = make_sequence_params(plan, {{{2, 2}, 3}}, options);
    CHECK(params.batch == 5);
    CHECK(params.output_elements() == 5 * (drop ? 4 : 6) * 3);
    std::vector<float> source(5 * 6 * 3), out(static_cast<size_t>(params.output_elements()));
    std::iota(source.begin(), source.end(), 0.0F);
    run(params, cpu::cpu_backend(), {host_buffer(source.data())}, host_buffer(out.data()));
    std::vector<float> expected;
    for (size_t i = 0; i < source.size(); i++) {
      if (!drop || i % 18 >= 6) expected.push_back(source[i]);
    }
    CHECK(out == expected);
  }
}

TEST_CASE("pool: all that can happen in a conversion to float16") {
  for (const int64_t channels : {3, 37}) {
    std::vector<float> values = telling_floats();
    while (values.size() % static_cast<size_t>(channels) != 0) values.push_back(0);
    const Case tile{1, 0, 0, {{1, 1, {1, static_cast<int64_t>(values.size()) / channels}, channels}}, Layout::kTokens, Layout::kTokens};
    for (const Layout input : {Layout::kTokens, Layout::kFeatureMap}) {
      for (const Layout output : {Layout::kTokens, Layout::kFeatureMap}) {
        Case c = tile;
        c.input = input;
        c.output = output;
        const Params to_floats = params_of(c);
        const Params to_halves = params_of(c, false, OutputType::kFloat16);
        std::vector<float> floats(values.size());
        std::vector<uint16_t> halves(values.size());
        run(to_floats, cpu::cpu_backend(), {host_buffer(values.data())}, host_buffer(floats.data()));
        run(to_halves, cpu::cpu_backend(), {host_buffer(values.data())}, host_buffer(halves.data()));
        int64_t wrong = 0;
        for (size_t i = 0; i < values.size(); i++) wrong += halves[i] != to_half(floats[i]);
        CAPTURE(describe(c));
        CHECK(wrong == 0);
      }
    }
  }
}

TEST_CASE("pool: scales can be pooled on several threads at once") {
  std::mt19937 random(fresh_seed());
  Case c{2, 2, 1, {{1, 1, {9, 9}, 33}, {2, 2, {9, 9}, 65}, {3, 3, {9, 9}, 17}}, Layout::kTokens, Layout::kTokens};
  for (const OutputType type : {OutputType::kFloat32, OutputType::kFloat16}) {
    Params params = params_of(c, false, type);
    const std::vector<Floats> sources = scatter(params, random);
    std::vector<char> whole(static_cast<size_t>(params.output_bytes())), parts(whole.size());
    run(params, cpu::cpu_backend(), buffers(sources), host_buffer(whole.data()));
    std::vector<std::thread> threads;
    for (size_t s = 0; s < params.scales.size(); s++) {
      threads.emplace_back([&, s] { run(params.only(s), cpu::cpu_backend(), buffers(sources), host_buffer(parts.data())); });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(parts == whole);
  }
}

TEST_CASE("pool: parameters that do not fit are refused") {
  Plan plan;
  Scale scale;
  scale.rows = scale.columns = 1;
  plan.scales = {scale};
  const auto code = [&](int64_t batch, Layout input, Layout output, int64_t prefix, const std::vector<ScaleFeatures>& features) {
    try {
      make_params(plan, batch, features, false, {input, output, OutputType::kFloat32, Blend::kLinear, prefix, false});
    } catch (const Error& error) {
      CHECK(std::string(error.what()).find("Expected") == 0);
      CHECK(std::string(error.what()).find("but received") != std::string::npos);
      return std::string(error_code_name(error.code()));
    }
    return std::string("none");
  };
  constexpr Layout kT = Layout::kTokens, kM = Layout::kFeatureMap;
  CHECK(code(1, kT, kT, 0, {{{2, 2}, 3}}) == "none");
  CHECK(code(0, kT, kT, 0, {{{2, 2}, 3}}) == "ERR_INVALID_ARGUMENT");
  CHECK(code(1, kT, kT, -1, {{{2, 2}, 3}}) == "ERR_INVALID_ARGUMENT");
  CHECK(code(1, kM, kM, 1, {{{2, 2}, 3}}) == "ERR_INVALID_ARGUMENT");
  CHECK(code(1, kT, kM, 1, {{{2, 2}, 3}}) == "none");  // dropped
  CHECK(code(1, kM, kT, 1, {{{2, 2}, 3}}) == "ERR_INVALID_ARGUMENT");
  CHECK(code(1, kT, kT, 0, {}) == "ERR_INVALID_ARGUMENT");
  CHECK(code(1, kT, kT, 0, {{{0, 2}, 3}}) == "ERR_INVALID_ARGUMENT");
  CHECK(code(1, kT, kT, 0, {{{2, 2}, 0}}) == "ERR_INVALID_ARGUMENT");
  CHECK(code(1, kT, kT, 0, {{{int64_t{1} << 32, int64_t{1} << 32}, 3}}) == "ERR_PLAN_TOO_LARGE");
  plan.scales = {scale, scale};
  CHECK(code(1, kT, kT, 0, {{{int64_t{1} << 40, 1}, 1}, {{int64_t{1} << 40, 1}, 1}}) == "ERR_PLAN_TOO_LARGE");  // ends of bins
  plan.scales = {scale};
  CHECK(code(int64_t{1} << 62, kT, kT, 0, {{{2, 2}, 3}}) == "ERR_PLAN_TOO_LARGE");
  CHECK(code(kMaxPlanTiles, kT, kT, 0, {{{1, 1}, 1}}) == "none");
  CHECK(code(kMaxPlanTiles + 1, kT, kT, 0, {{{1, 1}, 1}}) == "ERR_PLAN_TOO_LARGE");
  CHECK(code(1, kT, kT, std::numeric_limits<int64_t>::max(), {{{2, 2}, 3}}) == "ERR_PLAN_TOO_LARGE");
}
