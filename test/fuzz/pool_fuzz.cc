// pool: parameters of any kind are refused or averaged, and the kernels in use give the reference's bits, wherever the tiles lie,
// for all scales together and one by one, and write nothing else.
#include "ops/pool/pool.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "core/half.h"
#include "fuzzed_input.h"
#include "serial_backend.h"

using namespace manyscale;
using namespace manyscale::pool;
using manyscale::fuzz::FuzzedInput;
using manyscale::fuzz::SerialBackend;

namespace {

// What one input may take: the reference is slow, and a fuzzer wants thousands of inputs a second.
constexpr int64_t kMostElements = int64_t{1} << 15;  // of the tiles, and of the output
constexpr int64_t kMostSums = int64_t{1} << 18;      // of the reference

struct Request {
  Plan plan;
  int64_t batch = 1;
  Layout input = Layout::kTokens;
  Layout output = Layout::kTokens;
  int64_t prefix = 0;
  bool drop_prefix = false;
  std::vector<ScaleFeatures> features;
  bool joined = false;
  OutputType type = OutputType::kFloat32;
  Blend blend = Blend::kLinear;
  bool overlaps = false;
  bool sequence = false;
};

std::string describe(const Request& r) {
  std::string text = "batch " + std::to_string(r.batch) + ", prefix " + std::to_string(r.prefix) + ", output index " + std::to_string(r.plan.output_index) +
                     (r.input == Layout::kTokens ? ", tokens" : ", maps") + (r.output == Layout::kTokens ? " to tokens" : " to maps") +
                     (r.type == OutputType::kFloat16 ? " of float16" : "") + (r.sequence ? " in sequence" : "");
  const size_t outputs = std::max<size_t>(r.features.size() / r.plan.scales.size(), 1);
  for (size_t s = 0; s < r.features.size(); s++) {
    const Scale& scale = r.plan.scales[std::min(s / outputs, r.plan.scales.size() - 1)];
    text += "; " + std::to_string(scale.rows) + " x " + std::to_string(scale.columns) + " tiles of " + to_string(r.features[s].grid) + " x " +
            std::to_string(r.features[s].channels) + (scale.overlaps() ? " that overlap" : "");
    if (scale.content) text += ", content to " + to_string(Size{scale.content->top + scale.content->height, scale.content->left + scale.content->width});
  }
  return text;
}

// Tiles of cells of kCellPixels, which may overlap; content that may leave some of them to padding.
void place(FuzzedInput& input, Size grid, Scale& scale) {
  constexpr int64_t kCellPixels = 3;
  scale.tile_height = grid.height * kCellPixels;
  scale.tile_width = grid.width * kCellPixels;
  const auto starts = [&](int64_t count, int64_t cells) {
    std::vector<int64_t> result{0};
    while (static_cast<int64_t>(result.size()) < count) result.push_back(result.back() + kCellPixels * input.between(1, cells));
    return result;
  };
  const int64_t which = input.between(0, 3);
  if (which & 1) scale.tops = starts(scale.rows, grid.height);
  if (which & 2) scale.lefts = starts(scale.columns, grid.width);
  scale.height = scale.top(scale.rows - 1) + scale.tile_height;
  scale.width = scale.left(scale.columns - 1) + scale.tile_width;
  if (input.boolean()) {
    const Size size{input.between(1, 2 * scale.height), input.between(1, 2 * scale.width)};
    const bool above = input.between(0, 3) == 0;  // not where padding leaves it
    scale.content = Rectangle{above ? input.between(1 - size.height, scale.height - 1) : 0, above ? input.between(1 - size.width, scale.width - 1) : 0,
                              size.height, size.width};
    scale.padding = input.boolean() ? Padding::kZero : Padding::kBackground;
  }
  check_scale(scale);
}

Request read(FuzzedInput& input) {
  Request r;
  const bool wild = input.between(0, 7) == 7;  // sizes that only have to be refused
  const auto side = [&](int64_t ordinary) { return wild ? input.size(ordinary) : input.between(1, ordinary); };
  r.batch = side(3);
  r.input = input.boolean() ? Layout::kTokens : Layout::kFeatureMap;
  r.output = input.boolean() ? Layout::kTokens : Layout::kFeatureMap;
  r.type = input.boolean() ? OutputType::kFloat32 : OutputType::kFloat16;
  r.joined = input.boolean();
  r.prefix = input.boolean() ? 0 : side(5);
  r.drop_prefix = input.boolean();
  r.blend = input.boolean() ? Blend::kLinear : Blend::kAverage;
  const int64_t scales = input.between(1, 4);
  r.plan.output_index = input.between(0, scales - 1);
  const int64_t outputs = wild || input.boolean() ? 1 : input.between(1, 3);
  for (int64_t s = 0; s < scales; s++) {
    Scale scale;  // a plan's promise: rows and columns of at least 1, no more tiles than kMaxPlanTiles
    scale.rows = wild ? input.between(1, input.between(0, 7) == 7 ? 1024 : 32) : input.between(1, 5);
    scale.columns = wild ? input.between(1, input.between(0, 7) == 7 ? 1024 : 32) : input.between(1, 5);
    r.plan.scales.push_back(scale);
    const bool same = s > 0 && input.boolean();  // as a model gives, or every scale its own
    if (same) {
      r.features.push_back(r.features.back());
    } else {
      const int64_t height = side(24);
      r.features.push_back({{height, side(input.between(0, 15) == 15 ? 600 : 24)}, side(80)});
    }
    if (!wild) place(input, r.features.back().grid, r.plan.scales.back());
    r.overlaps |= r.plan.scales.back().overlaps();
    for (int64_t i = 1; i < outputs; i++) {  // cells of other sizes, which may not meet at tiles' borders
      const ScaleFeatures first = r.features[r.features.size() - static_cast<size_t>(i)];
      const int64_t divisor = input.between(1, 3);
      r.features.push_back({{std::max<int64_t>(first.grid.height / divisor, 1), std::max<int64_t>(first.grid.width / divisor, 1)}, input.between(1, 40)});
    }
  }
  r.sequence = input.between(0, 7) == 7;
  if (r.sequence) {
    r.features.resize(static_cast<size_t>(outputs));
    r.batch = 1;
    r.joined = true;
    r.overlaps = false;
  }
  if (input.between(0, 31) == 31) r.features.pop_back();
  return r;
}

// Additions that the reference does for all images. A double, since nothing bounds it yet.
double sums_of(const Params& params) {
  double sums = 0;
  for (const ScaleParams& s : params.scales) {
    // Bins overlap where sizes do not divide: by at most one cell on each side.
    const double rows = static_cast<double>(s.merged.height) + 2.0 * static_cast<double>(params.grid.height);
    const double columns = static_cast<double>(s.merged.width) + 2.0 * static_cast<double>(params.grid.width);
    sums += rows * columns * static_cast<double>(s.channels);
  }
  return sums * static_cast<double>(params.batch);
}

// Floats of one tile after the dropped tokens.
int64_t used_elements(const Params& params, size_t scale) { return params.tile_elements(scale) - params.dropped * params.scales[scale].channels; }

// Whether the dense arrangement that make_params gives is one: tiles follow one another in their buffers.
void check_dense(const Request& request, const Params& params) {
  std::vector<int64_t> ends(request.joined ? 1 : params.scales.size(), 0);
  for (size_t s = 0; s < params.scales.size(); s++) {
    const ScaleParams& scale = params.scales[s];
    for (int64_t i = 0; i < scale.rows * scale.columns * params.batch; i++) {
      const TileSource& tile = params.tiles[static_cast<size_t>(scale.first_tile + i)];
      FUZZ_CHECK(tile.buffer == (request.joined ? 0 : static_cast<int64_t>(s)), describe(request));
      int64_t& end = ends[static_cast<size_t>(tile.buffer)];
      FUZZ_CHECK(tile.offset == end + params.dropped * scale.channels, describe(request));
      end += params.tile_elements(s);
    }
  }
}

// The merged grid ends with the last cell that shows something of the image, and is what the plan foretells.
void check_merged(const Request& request, const Scale& scale, const ScaleParams& params) {
  FUZZ_CHECK(merged_grid(scale, params.grid) == params.merged, describe(request));
  const auto check = [&](int64_t merged, int64_t cells, int64_t side, int64_t tile, int64_t end) {
    const int64_t all = (side - tile) * cells / tile + cells;
    const int64_t used = scale.content && scale.padding == Padding::kZero ? std::min(end, side) : side;
    FUZZ_CHECK(merged <= all && merged * side >= used * all && (merged - 1) * side < used * all, describe(request));
  };
  if (scale.tile_height == 0) return;  // a scale that only counts its tiles
  const Rectangle content = scale.resized();
  check(params.merged.height, params.grid.height, scale.height, scale.tile_height, content.top + content.height);
  check(params.merged.width, params.grid.width, scale.width, scale.tile_width, content.left + content.width);
}

// Tiles in any order in a few buffers of exactly the right size, NaN between them: a value from a gap shows in the result.
std::vector<std::unique_ptr<float[]>> scatter(Params& params, std::minstd_rand& random) {
  std::vector<size_t> scale_of(params.tiles.size());
  for (size_t s = 0; s < params.scales.size(); s++) {
    const ScaleParams& scale = params.scales[s];
    std::fill_n(scale_of.begin() + scale.first_tile, scale.rows * scale.columns * params.batch, s);
  }
  std::vector<size_t> order(params.tiles.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::shuffle(order.begin(), order.end(), random);
  std::vector<int64_t> ends(1 + random() % 4, 0);
  for (const size_t tile : order) {
    const size_t buffer = random() % ends.size();
    params.tiles[tile] = {static_cast<int64_t>(buffer), ends[buffer] + static_cast<int64_t>(random() % 9)};
    ends[buffer] = params.tiles[tile].offset + used_elements(params, scale_of[tile]);
  }
  std::vector<std::unique_ptr<float[]>> buffers;
  for (const int64_t end : ends) {
    buffers.emplace_back(new float[static_cast<size_t>(end)]);
    std::fill_n(buffers.back().get(), end, std::numeric_limits<float>::quiet_NaN());
  }
  for (size_t tile = 0; tile < order.size(); tile++) {
    float* const data = buffers[static_cast<size_t>(params.tiles[tile].buffer)].get() + params.tiles[tile].offset;
    for (int64_t i = 0; i < used_elements(params, scale_of[tile]); i++)
      data[i] = static_cast<float>(static_cast<double>(random()) / 1073741824.0 - 1);  // -1 .. 1
  }
  return buffers;
}

float widen(uint16_t bits) {  // a zero's sign is nobody's promise; other halves differ where their bits do
  return (bits & 0x7fff) == 0 ? 0.0F : static_cast<float>(bits);
}

// Maps of overlapping tiles are added in another order than the reference's; in a half that may be one unit of the last place.
bool adds_in_order(const Request& request) { return !request.overlaps || request.input == Layout::kTokens; }
bool agrees(const Request& request, float a, float b) { return adds_in_order(request) ? a == b : std::abs(a - b) <= 1e-6F; }
bool agrees(const Request& request, uint16_t a, uint16_t b) {
  return adds_in_order(request) ? widen(a) == widen(b) : std::abs(from_half(a) - from_half(b)) <= 1e-3F;
}

// `mark` is what no result is: it shows what was not written, and what should not have been.
template <typename Element>
void compare(const Request& request, const Params& params, const std::vector<std::unique_ptr<float[]>>& data, Element mark, int threads,
             std::minstd_rand& random) {
  std::vector<const float*> pointers;
  std::vector<Buffer> sources;
  for (const auto& buffer : data) {
    pointers.push_back(buffer.get());
    sources.push_back(host_buffer(buffer.get()));
  }
  const auto count = static_cast<size_t>(params.output_elements());
  FUZZ_CHECK(static_cast<size_t>(params.output_bytes()) == count * sizeof(Element), describe(request));
  const auto fresh = [&] {
    std::unique_ptr<Element[]> memory(new Element[count]);
    std::fill_n(memory.get(), count, mark);
    return memory;
  };
  const auto expected = fresh(), received = fresh(), parts = fresh();
  run_reference(params, pointers, expected.get());
  SerialBackend backend(threads, random());
  run(params, backend, sources, host_buffer(received.get()));
  std::vector<size_t> order(params.scales.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::shuffle(order.begin(), order.end(), random);
  SerialBackend alone(1, random());
  for (const size_t scale : order) run(params.only(scale), alone, sources, host_buffer(parts.get()));
  for (size_t i = 0; i < count; i++) {
    const auto place = [&] { return " at " + std::to_string(i) + " of " + std::to_string(count) + ", " + describe(request); };
    FUZZ_CHECK(expected[i] != mark, "the reference leaves a gap" + place());
    FUZZ_CHECK(agrees(request, expected[i], received[i]), std::to_string(expected[i]) + " expected but " + std::to_string(received[i]) + " made" + place());
    FUZZ_CHECK(std::memcmp(&received[i], &parts[i], sizeof(Element)) == 0, "scales one by one on one thread differ from all together" + place());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzedInput input(data, size);
  const Request request = read(input);
  Params params;
  const Options options{request.input, request.output, request.type, request.blend, request.prefix, request.drop_prefix};
  try {
    params = request.sequence ? make_sequence_params(request.plan, request.features, options)
                              : make_params(request.plan, request.batch, request.features, request.joined, options);
  } catch (const Error& error) {
    FUZZ_CHECK_REFUSAL(error, ErrorCode::kInvalidArgument, ErrorCode::kPlanTooLarge);
    return 0;
  }
  if (request.sequence) {
    FUZZ_CHECK(params.batch == request.plan.tile_count() && params.grid == request.features.front().grid, describe(request));
  } else {
    const size_t outputs = request.features.size() / request.plan.scales.size();
    FUZZ_CHECK(params.grid == params.scales[static_cast<size_t>(request.plan.output_index) * outputs].merged, describe(request));
    for (size_t s = 0; s < params.scales.size(); s++) check_merged(request, request.plan.scales[s / outputs], params.scales[s]);
  }
  FUZZ_CHECK(params.output_elements() >= 1 && params.output_bytes() >= params.output_elements(), describe(request));
  constexpr size_t kMostTiles = 1 << 12;
  if (params.tiles.size() > kMostTiles) return 0;
  check_dense(request, params);

  int64_t elements = 0;
  for (size_t s = 0; s < params.scales.size(); s++) {
    const ScaleParams& scale = params.scales[s];
    elements += std::min(kMostElements + 1, scale.rows * scale.columns * params.batch * params.tile_elements(s));
  }
  if (elements > kMostElements || params.output_elements() > kMostElements || sums_of(params) > kMostSums) return 0;
  const auto threads = static_cast<int>(input.between(1, 64));
  std::minstd_rand random(input.seed());
  const auto sources = scatter(params, random);
  if (params.output_type == OutputType::kFloat32) {
    compare(request, params, sources, -12345.5F, threads, random);
  } else {
    compare(request, params, sources, uint16_t{0x7eef}, threads, random);  // a NaN
  }
  return 0;
}
