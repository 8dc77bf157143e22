// split: parameters of any kind are refused or made into tiles, and the kernels in use make what the reference makes, for any
// subset of the tiles, and nothing beside them.
#include "ops/split/split.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "fuzzed_input.h"
#include "serial_backend.h"
#include "split_tolerance.h"

using namespace manyscale;
using namespace manyscale::split;
using manyscale::fuzz::FuzzedInput;
using manyscale::fuzz::SerialBackend;

namespace {

// What one input may take: the reference is slow, and a fuzzer wants thousands of inputs a second.
constexpr int64_t kMostTaps = int64_t{1} << 19;   // multiplications of the reference, both passes
constexpr int64_t kMostBytes = int64_t{1} << 17;  // of the source
constexpr int64_t kMostElements = int64_t{1} << 16;

constexpr int64_t kMostVaried = 12000;  // side of a scale that overlaps, is padded or cropped

constexpr uint32_t kGuard = 0x7fc0dead;  // a NaN that no computation makes

struct Request {
  Source source;
  Plan plan;
  std::optional<Rectangle> crop;
  Preprocess preprocess;
};

std::string place_of(const Scale& s) {
  std::string text;
  for (const int64_t top : s.tops) text += (text.empty() ? " from rows " : ", ") + std::to_string(top);
  for (const int64_t left : s.lefts) text += (&left == s.lefts.data() ? " from columns " : ", ") + std::to_string(left);
  if (!s.content) return text;
  const Rectangle& r = *s.content;
  return text + " content " + to_string(Size{r.height, r.width}) + " at " + std::to_string(r.top) + ", " + std::to_string(r.left) +
         (s.padding == Padding::kZero ? " on zeros" : " on background");
}

std::string describe(const Request& r) {
  std::string text = std::string(resize_mode_name(r.preprocess.resize)) + (r.source.type == PixelType::kUint8 ? " uint8 " : " float ") +
                     std::to_string(r.source.batch) + " x " + std::to_string(r.source.channels) + " x " + to_string(Size{r.source.height, r.source.width}) +
                     " stride " + std::to_string(r.source.row_stride);
  if (r.crop) text += " crop " + to_string(Size{r.crop->height, r.crop->width}) + " at " + std::to_string(r.crop->top) + ", " + std::to_string(r.crop->left);
  for (const Scale& s : r.plan.scales)
    text += "; " + std::to_string(s.rows) + " x " + std::to_string(s.columns) + " tiles of " + to_string(s.tile()) + place_of(s);
  return text;
}

// Mostly small, now and then long and thin.
int64_t read_side(FuzzedInput& input) { return input.between(0, 15) == 15 ? input.between(1, 3000) : input.between(1, 80); }

std::vector<double> read_per_channel(FuzzedInput& input, int64_t channels) {
  std::vector<double> values(static_cast<size_t>(input.between(0, 3) == 0 ? input.between(0, 5) : input.boolean() ? 1 : std::clamp<int64_t>(channels, 0, 8)));
  for (double& value : values) value = input.number();
  return values;
}

// Tiles that overlap, content that leaves room for padding, and content that reaches beyond the scale.
void vary(FuzzedInput& input, Scale& scale) {
  const auto starts = [&](int64_t count, int64_t tile) {
    std::vector<int64_t> result{0};
    while (static_cast<int64_t>(result.size()) < count) result.push_back(result.back() + input.between(1, tile));
    return result;
  };
  if (input.boolean()) {
    scale.tops = starts(scale.rows, scale.tile_height);
    scale.height = scale.tops.back() + scale.tile_height;
  }
  if (input.boolean()) {
    scale.lefts = starts(scale.columns, scale.tile_width);
    scale.width = scale.lefts.back() + scale.tile_width;
  }
  if (input.boolean()) return;
  const Size size{input.between(1, 2 * scale.height), input.between(1, 2 * scale.width)};
  scale.content = Rectangle{input.between(1 - size.height, scale.height - 1), input.between(1 - size.width, scale.width - 1), size.height, size.width};
  scale.padding = input.boolean() ? Padding::kZero : Padding::kBackground;
}

// Error for a plan that check_plan refuses.
Request read(FuzzedInput& input) {
  Request r;
  const bool wild = input.between(0, 7) == 7;  // sizes that only have to be refused
  r.source.type = input.boolean() ? PixelType::kUint8 : PixelType::kFloat32;
  r.source.height = wild ? input.size(100) : read_side(input);
  r.source.width = wild ? input.size(100) : read_side(input);
  if (wild) {
    r.source.channels = input.size(5);
    r.source.batch = input.size(5);
    r.source.row_stride = input.size(400);
  } else if (r.source.type == PixelType::kUint8) {
    static constexpr int64_t kChannels[] = {1, 3, 4};
    r.source.channels = input.pick(kChannels);
    r.source.row_stride = input.boolean() ? 0 : r.source.width * r.source.channels + input.between(0, 40);
  } else {
    r.source.channels = input.between(1, 6);
    r.source.batch = input.between(1, 4);
  }
  if (input.boolean()) {
    if (input.between(0, 7) == 7) {
      r.crop = Rectangle{input.size(100), input.size(100), input.size(100), input.size(100)};
    } else {
      const int64_t most_rows = std::max<int64_t>(r.source.height, 1);  // sizes may be anything here
      const int64_t most_columns = std::max<int64_t>(r.source.width, 1);
      const int64_t height = input.between(1, most_rows);
      const int64_t width = input.between(1, most_columns);
      r.crop = Rectangle{input.between(0, most_rows - height), input.between(0, most_columns - width), height, width};
    }
  }
  r.preprocess.resize = static_cast<ResizeMode>(input.between(0, kResizeModeCount - 1));
  r.preprocess.bgr = input.boolean();
  for (uint8_t& value : r.preprocess.background) value = input.raw<uint8_t>();
  if (input.boolean()) {
    const int64_t channels = r.source.type == PixelType::kUint8 ? 3 : r.source.channels;
    r.preprocess.mean = read_per_channel(input, channels);
    r.preprocess.std = read_per_channel(input, channels);
    r.preprocess.rescale = input.number();
  }
  std::vector<Scale> scales(static_cast<size_t>(input.between(1, 3)));
  for (Scale& scale : scales) {
    scale.rows = input.between(1, 4);
    scale.columns = input.between(1, 4);
    // A size that stays is copied: both passes, or one.
    scale.tile_height = input.between(0, 7) == 0 ? (r.crop ? r.crop->height : r.source.height) : read_side(input);
    scale.tile_width = input.between(0, 7) == 0 ? (r.crop ? r.crop->width : r.source.width) : read_side(input);
    if (__builtin_mul_overflow(scale.rows, scale.tile_height, &scale.height) || __builtin_mul_overflow(scale.columns, scale.tile_width, &scale.width)) {
      scale = {1, 1, 1, 1, 1, 1};
    }
    const bool ordinary = scale.height >= 1 && scale.height <= kMostVaried && scale.width >= 1 && scale.width <= kMostVaried;
    if (ordinary && input.boolean()) vary(input, scale);
  }
  r.plan = check_plan({r.source.height, r.source.width}, scales, 0);
  if (input.between(0, 15) == 15) r.plan.image.height++;  // the plan of another image
  return r;
}

// Multiplications that the reference does for one tile.
int64_t taps_of(const Params& params, const ScaleTables& tables) {
  const Scale& s = tables.scale;
  const int64_t rows = std::min(tables.y->in, s.tile_height * tables.y->taps + tables.y->taps);
  return params.channels * (rows * s.tile_width * tables.x->taps + s.tile_height * s.tile_width * tables.y->taps);
}

// A source of exactly its size, so that AddressSanitizer sees a read beyond it.
std::unique_ptr<unsigned char[]> make_pixels(const Source& source, std::minstd_rand& random) {
  const auto bytes = static_cast<size_t>(source.byte_size());
  std::unique_ptr<unsigned char[]> data(new unsigned char[bytes]);
  if (source.type == PixelType::kUint8) {
    const bool hard = random() % 3 == 0;  // extremes are where clipping and rounding go wrong
    for (size_t i = 0; i < bytes; i++) data[i] = static_cast<unsigned char>(hard ? (random() % 2) * 255 : random());
    return data;
  }
  for (size_t i = 0; i < bytes; i += 4) {
    const auto value = static_cast<float>(static_cast<double>(random()) / 1073741824.0 - 1);  // -1 .. 1
    std::memcpy(data.get() + i, &value, sizeof value);
  }
  return data;
}

std::unique_ptr<float[]> guarded(int64_t count) {
  std::unique_ptr<float[]> values(new float[static_cast<size_t>(count)]);
  for (int64_t i = 0; i < count; i++) std::memcpy(&values[static_cast<size_t>(i)], &kGuard, sizeof kGuard);
  return values;
}

bool is_guard(const float& value) { return std::memcmp(&value, &kGuard, sizeof kGuard) == 0; }

// Some of the tiles in any order, with gaps between them. The elements that they span.
int64_t choose_tiles(Params& params, std::minstd_rand& random) {
  std::vector<TileTarget> tiles = all_tiles(params, false);
  std::shuffle(tiles.begin(), tiles.end(), random);
  tiles.resize(random() % (tiles.size() + 1));
  int64_t elements = 0, taps = 0;
  params.tiles.clear();
  for (TileTarget& tile : tiles) {
    const auto scale = static_cast<size_t>(tile.scale);
    taps += taps_of(params, params.scales[scale]);
    if (taps > kMostTaps || elements + params.tile_elements(scale) > kMostElements) break;
    tile.offset = elements + static_cast<int64_t>(random() % 9);
    elements = tile.offset + params.tile_elements(scale);
    params.tiles.push_back(tile);
  }
  return elements;
}

// What lies beside the resized image is the padding and nothing else.
void check_padding(const Request& request, const Params& params, const float* received) {
  for (const TileTarget& target : params.tiles) {
    const Scale& scale = params.scales[static_cast<size_t>(target.scale)].scale;
    const Rectangle content = scale.resized();
    const float* value = received + target.offset;
    for (int64_t c = 0; c < params.channels; c++) {
      for (int64_t i = 0; i < scale.tile_height * scale.tile_width; i++, value++) {
        const int64_t y = scale.top(target.row) + i / scale.tile_width - content.top;
        const int64_t x = scale.left(target.column) + i % scale.tile_width - content.left;
        if (y >= 0 && x >= 0 && y < content.height && x < content.width) continue;
        const float expected = scale.padding == Padding::kBackground ? params.ground[static_cast<size_t>(c)] : 0.0F;
        FUZZ_CHECK(*value == expected, std::to_string(*value) + " for padding of " + std::to_string(expected) + ", " + describe(request));
      }
    }
  }
}

void compare(const Request& request, const Params& params, const float* expected, const float* received, int64_t elements) {
  std::vector<double> tolerance(static_cast<size_t>(elements), -1);  // below 0: a gap
  for (const TileTarget& tile : params.tiles) {
    const auto scale = static_cast<size_t>(tile.scale);
    const int64_t plane = params.tile_elements(scale) / params.channels;
    for (int64_t i = 0; i < params.tile_elements(scale); i++)
      tolerance[static_cast<size_t>(tile.offset + i)] = kernel_tolerance(params, scale, static_cast<size_t>(i / plane));
  }
  for (int64_t i = 0; i < elements; i++) {
    const auto index = static_cast<size_t>(i);
    const auto place = [&] { return " at " + std::to_string(i) + ", " + describe(request); };
    if (tolerance[index] < 0) {
      FUZZ_CHECK(is_guard(expected[i]) && is_guard(received[i]), "written outside of the tiles" + place());
      continue;
    }
    const double difference = std::abs(static_cast<double>(expected[i]) - static_cast<double>(received[i]));
    FUZZ_CHECK(difference <= tolerance[index] || (std::isinf(expected[i]) && expected[i] == received[i]),
               std::to_string(expected[i]) + " expected but " + std::to_string(received[i]) + " made" + place());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzedInput input(data, size);
  Request request;
  Params params;
  try {
    request = read(input);
    Source source = request.source;
    check_source(source);
    if (source.byte_size() > kMostBytes) return 0;  // callers have so many bytes in memory
    if (request.source.height <= 5000 && request.source.width <= 5000) {
      params = make_params(request.source, request.plan, request.crop, request.preprocess, make_tables(request.plan, request.crop, request.preprocess.resize));
    } else {  // tables of such sizes take their time; what is refused is refused without them
      params = make_params(request.source, request.plan, request.crop, request.preprocess, {});
      return 0;
    }
  } catch (const Error& error) {
    FUZZ_CHECK_REFUSAL(error, ErrorCode::kInvalidArgument, ErrorCode::kPlanTooLarge);
    return 0;
  }
  for (const float factor : params.multiply) FUZZ_CHECK(std::isfinite(factor), describe(request));
  for (const float summand : params.add) FUZZ_CHECK(std::isfinite(summand), describe(request));

  const auto threads = static_cast<int>(input.between(1, 64));
  std::minstd_rand random(input.seed());
  const int64_t elements = choose_tiles(params, random);
  const auto pixels = make_pixels(params.source, random);
  const auto expected = guarded(elements);
  const auto received = guarded(elements);
  const size_t scales = params.scales.size();
  run_reference(params, pixels.get(), std::vector<float*>(scales, expected.get()));
  SerialBackend backend(threads, random());
  run(params, backend, host_buffer(pixels.get()), std::vector<Buffer>(scales, host_buffer(received.get())));
  compare(request, params, expected.get(), received.get(), elements);
  check_padding(request, params, received.get());
  return 0;
}
