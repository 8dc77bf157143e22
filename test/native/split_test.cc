// split: the reference against the golden data, and the kernels in use (MANYSCALE_FORCE_ISA) against both.
#include "ops/split/split.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <random>
#include <string>

#include "core/error.h"
#include "core/isa.h"
#include "device/cpu/cpu_backend.h"
#include "npy.h"
#include "split_tolerance.h"

using namespace manyscale;
using namespace manyscale::split;

namespace {

// In float, on the 0 .. 1 scale. Reference and kernels round float32 sums in another order than PyTorch and Pillow.
constexpr double kGoldenTolerance = 2e-6;

enum class Path { kReference, kKernels };
constexpr Path kPaths[] = {Path::kReference, Path::kKernels};
const char* path_name(Path path) { return path == Path::kReference ? "reference" : kernel_isa(); }

void make(Path path, const Params& params, const void* source, const std::vector<float*>& destinations) {
  if (path == Path::kReference) return run_reference(params, source, destinations);
  std::vector<Buffer> buffers;
  for (float* destination : destinations) buffers.push_back(host_buffer(destination));
  run(params, cpu::cpu_backend(), host_buffer(source), buffers);
}

std::vector<ResizeMode> all_modes() {
  std::vector<ResizeMode> modes;
  for (int i = 0; i < kResizeModeCount; i++) modes.push_back(static_cast<ResizeMode>(i));
  return modes;
}

// A source of exactly its size, so that the address sanitizer sees a read beyond it.
template <typename T>
std::unique_ptr<T[]> random_elements(size_t count, std::mt19937& random) {
  auto elements = std::make_unique<T[]>(count);
  if constexpr (sizeof(T) == 1) {
    // Flat areas and hard edges: extremes are where clipping and rounding go wrong.
    const bool hard = random() % 3 == 0;
    for (size_t i = 0; i < count; i++) elements[i] = static_cast<T>(hard ? (random() % 2) * 255 : random() % 256);
  } else {
    std::uniform_real_distribution<float> value(-1, 1);
    for (size_t i = 0; i < count; i++) elements[i] = value(random);
  }
  return elements;
}

constexpr uint32_t kGuard = 0x7fc0dead;  // a NaN that no computation makes

bool is_guard(float value) {
  uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  return bits == kGuard;
}

std::unique_ptr<float[]> guarded(size_t count) {
  auto values = std::make_unique<float[]>(count);
  for (size_t i = 0; i < count; i++) std::memcpy(&values[i], &kGuard, sizeof kGuard);
  return values;
}

struct Case {
  Source source;
  std::optional<Rectangle> crop;
  Preprocess preprocess;
  Plan plan;
  std::string text;
};

Plan plan_of(Size image, const std::vector<Scale>& scales) {
  Plan plan;
  plan.image = image;
  plan.scales = scales;
  return plan;
}

Scale scale_of(int64_t rows, int64_t columns, int64_t tile_height, int64_t tile_width) {
  Scale scale;
  scale.height = rows * tile_height;
  scale.width = columns * tile_width;
  scale.rows = rows;
  scale.columns = columns;
  scale.tile_height = tile_height;
  scale.tile_width = tile_width;
  return scale;
}

// Now and then tiles that overlap, content that leaves room for padding, and content that reaches beyond the scale.
void vary(Scale& scale, std::mt19937& random) {
  const auto between = [&](int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(random); };
  const auto starts = [&](int64_t count, int64_t tile) {
    std::vector<int64_t> result{0};
    while (static_cast<int64_t>(result.size()) < count) result.push_back(result.back() + between(1, tile));
    return result;
  };
  if (random() % 3 == 0) {
    scale.tops = starts(scale.rows, scale.tile_height);
    scale.lefts = starts(scale.columns, scale.tile_width);
    scale.height = scale.tops.back() + scale.tile_height;
    scale.width = scale.lefts.back() + scale.tile_width;
  }
  if (random() % 3 == 0) {
    const Size size{between(1, 2 * scale.height), between(1, 2 * scale.width)};
    scale.content = Rectangle{between(1 - size.height, scale.height - 1), between(1 - size.width, scale.width - 1), size.height, size.width};
    scale.padding = random() % 2 ? Padding::kZero : Padding::kBackground;
  }
  check_scale(scale);
}

// Runs the case on both paths with some of its tiles, in random order, in one buffer with gaps; compares what is there.
void compare(const Case& c, std::mt19937& random) {
  INFO(c.text);
  const Source& s = c.source;
  Params params = make_params(s, c.plan, c.crop, c.preprocess, make_tables(c.plan, c.crop, c.preprocess.resize));
  std::vector<TileTarget> tiles = all_tiles(params, false);
  std::shuffle(tiles.begin(), tiles.end(), random);
  if (tiles.size() > 1) tiles.resize(1 + random() % tiles.size());
  int64_t end = 0;
  for (TileTarget& tile : tiles) {
    tile.offset = end + static_cast<int64_t>(random() % 20);
    end = tile.offset + params.tile_elements(static_cast<size_t>(tile.scale));
  }
  params.tiles = tiles;
  const auto size = static_cast<size_t>(end);

  const auto bytes = s.type == PixelType::kUint8 ? random_elements<uint8_t>(static_cast<size_t>(params.source.byte_size()), random) : nullptr;
  const auto floats = s.type == PixelType::kFloat32 ? random_elements<float>(static_cast<size_t>(params.source.byte_size() / 4), random) : nullptr;
  const void* const source = bytes ? static_cast<const void*>(bytes.get()) : floats.get();
  const auto expected = guarded(size);
  const auto received = guarded(size);
  make(Path::kReference, params, source, std::vector<float*>(c.plan.scales.size(), expected.get()));
  make(Path::kKernels, params, source, std::vector<float*>(c.plan.scales.size(), received.get()));

  std::vector<double> tolerance(size, 0);
  for (const TileTarget& tile : tiles) {
    const auto scale = static_cast<size_t>(tile.scale);
    const int64_t plane = params.tile_elements(scale) / params.channels;
    for (int64_t i = 0; i < params.tile_elements(scale); i++) {
      tolerance[static_cast<size_t>(tile.offset + i)] = kernel_tolerance(params, scale, static_cast<size_t>(i / plane));
    }
  }
  for (size_t i = 0; i < size; i++) {
    if (is_guard(expected[i])) {
      if (!is_guard(received[i])) FAIL_CHECK("wrote ", received[i], " outside of its tiles at ", i, " of ", size);
    } else if (!(std::abs(static_cast<double>(expected[i]) - static_cast<double>(received[i])) <= tolerance[i])) {
      FAIL_CHECK("expected ", expected[i], " at ", i, " of ", size, " but received ", received[i], ", tolerance ", tolerance[i]);
      return;
    }
  }
}

std::string describe(const Case& c) {
  std::string text = std::string(resize_mode_name(c.preprocess.resize)) + (c.source.type == PixelType::kUint8 ? " uint8 " : " float ") +
                     std::to_string(c.source.batch) + " x " + std::to_string(c.source.channels) + " x " + std::to_string(c.source.height) + " x " +
                     std::to_string(c.source.width) + " stride " + std::to_string(c.source.row_stride);
  if (c.crop) text += " crop " + to_string(Size{c.crop->height, c.crop->width}) + " at " + std::to_string(c.crop->top) + ", " + std::to_string(c.crop->left);
  for (const Scale& scale : c.plan.scales)
    text += "; " + std::to_string(scale.rows) + " x " + std::to_string(scale.columns) + " tiles of " + to_string(scale.tile()) +
            (scale.overlaps() ? " overlapping" : "") + (scale.content ? " with content" : "");
  return text;
}

Preprocess some_preprocess(ResizeMode mode, int64_t channels, std::mt19937& random) {
  Preprocess p;
  p.resize = mode;
  p.bgr = channels == 3 && random() % 2;
  p.background = {static_cast<uint8_t>(random()), static_cast<uint8_t>(random()), static_cast<uint8_t>(random())};
  std::uniform_real_distribution<double> value(0.1, 1);
  p.mean.clear();
  p.std.clear();
  for (int64_t c = 0; c < channels; c++) {
    p.mean.push_back(value(random));
    p.std.push_back(value(random));
  }
  return p;
}

}  // namespace

TEST_CASE("split: the kernels are those of the instruction set in use") {
  CHECK(std::string(kernel_isa()) == isa_name(active_isa()));
  if (const char* forced = std::getenv("MANYSCALE_FORCE_ISA")) CHECK(std::string(kernel_isa()) == forced);
}

TEST_CASE("split: golden data of PyTorch and Pillow") {
  const std::filesystem::path folder = std::filesystem::path(MANYSCALE_SOURCE_DIR) / "test/golden/resize";
  int cases = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const npy::Array input = npy::read((entry.path() / "input.npy").string());
    const auto bytes = input.as<uint8_t>();
    const Size image{input.shape[0], input.shape[1]};
    for (ResizeMode mode : all_modes()) {
      for (PixelType type : {PixelType::kUint8, PixelType::kFloat32}) {
        // Pillow's bytes and floats are two results; PyTorch's one holds for both, on the 0 .. 1 scale.
        const bool to_bytes = is_pillow(mode) && type == PixelType::kUint8;
        const char* const suffix = is_pillow(mode) && type == PixelType::kFloat32 ? "-float32.npy" : ".npy";
        const npy::Array output = npy::read((entry.path() / (resize_mode_name(mode) + std::string(suffix))).string());
        const int64_t height = output.shape[0], width = output.shape[1];
        const Plan plan = plan_of(image, {scale_of(1, 1, height, width)});
        const auto area = static_cast<size_t>(height * width);
        const auto wanted_bytes = to_bytes ? output.as<uint8_t>() : std::vector<uint8_t>();
        const auto wanted_floats = to_bytes ? std::vector<float>() : output.as<float>();
        Preprocess preprocess;
        preprocess.resize = mode;
        preprocess.rescale = to_bytes || type == PixelType::kFloat32 ? 1 : 1.0 / 255;
        Params params = make_params({type, 1, 3, image.height, image.width, 0}, plan, std::nullopt, preprocess, make_tables(plan, std::nullopt, mode));
        params.tiles = all_tiles(params, false);
        std::vector<float> floats(bytes.size());
        for (size_t i = 0; i < floats.size(); i++) floats[i % 3 * (floats.size() / 3) + i / 3] = static_cast<float>(bytes[i]) / 255.0F;
        for (Path path : kPaths) {
          INFO(entry.path().filename().string(), " ", resize_mode_name(mode), " ", path_name(path), type == PixelType::kUint8 ? " uint8" : " float");
          std::vector<float> result(area * 3);
          make(path, params, type == PixelType::kUint8 ? static_cast<const void*>(bytes.data()) : floats.data(), {result.data()});
          double worst = 0;
          for (size_t i = 0; i < area; i++) {
            for (size_t c = 0; c < 3; c++) {
              const double expected = to_bytes ? wanted_bytes[i * 3 + c] : static_cast<double>(wanted_floats[i * 3 + c]);
              worst = std::max(worst, std::abs(expected - static_cast<double>(result[c * area + i])));
            }
          }
          CHECK(worst <= (to_bytes ? 0 : kGoldenTolerance));
          cases++;
        }
      }
    }
  }
  CHECK(cases >= 9 * 9 * 2 * 2);
}

TEST_CASE("split: kernels equal the reference at odd shapes") {
  const unsigned seed = std::random_device{}();
  INFO("seed ", seed);
  std::mt19937 random(seed);
  const auto between = [&](int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(random); };
  const int64_t sides[] = {1, 2, 3, 5, 7, 11, 13, 16, 17, 31, 32, 33, 47, 61, 64, 67, 97, 101, 127, 131};
  const auto side = [&] { return sides[random() % std::size(sides)]; };
  for (PixelType type : {PixelType::kUint8, PixelType::kFloat32}) {
    for (ResizeMode mode : all_modes()) {
      for (int i = 0; i < 24; i++) {
        Case c;
        c.source.type = type;
        c.source.height = side();
        c.source.width = side();
        if (type == PixelType::kUint8) {
          c.source.channels = i % 3 == 0 ? 3 : i % 3 == 1 ? 1 : 4;
          c.source.row_stride = c.source.width * c.source.channels + (random() % 2 ? between(1, 40) : 0);
        } else {
          c.source.batch = between(1, 5);
          c.source.channels = between(1, 5);
        }
        if (random() % 2) {
          const int64_t height = between(1, c.source.height), width = between(1, c.source.width);
          c.crop = Rectangle{between(0, c.source.height - height), between(0, c.source.width - width), height, width};
        }
        c.preprocess = some_preprocess(mode, type == PixelType::kUint8 ? 3 : c.source.channels, random);
        std::vector<Scale> scales;
        for (int64_t n = between(1, 3); n > 0; n--) scales.push_back(scale_of(between(1, 3), between(1, 3), between(1, 50), between(1, 50)));
        for (Scale& scale : scales) vary(scale, random);
        // Sizes that stay, on one axis or both, are copies.
        if (random() % 4 == 0)
          scales.push_back(scale_of(1, 1, c.crop ? c.crop->height : c.source.height, random() % 2 ? between(1, 50) : c.crop ? c.crop->width : c.source.width));
        c.plan = plan_of({c.source.height, c.source.width}, scales);
        c.text = describe(c);
        compare(c, random);
      }
    }
  }
}

TEST_CASE("split: kernels equal the reference at extreme shapes") {
  const unsigned seed = std::random_device{}();
  INFO("seed ", seed);
  std::mt19937 random(seed);
  struct Shape {
    Size image;
    Scale scale;
  };
  const Shape shapes[] = {
      {{30000, 1}, scale_of(1, 1, 7, 3)},      {{1, 30000}, scale_of(1, 1, 3, 7)},    {{30000, 1}, scale_of(2, 1, 1009, 1)},
      {{1, 30000}, scale_of(1, 2, 1, 1009)},   {{1, 1}, scale_of(2, 3, 33, 17)},      {{2, 2}, scale_of(1, 1, 200, 300)},
      {{700, 900}, scale_of(1, 1, 3, 2)},      {{601, 1201}, scale_of(2, 2, 56, 64)}, {{1344, 1344}, scale_of(1, 1, 64, 64)},
      {{257, 4099}, scale_of(1, 5, 224, 224)},
  };
  for (PixelType type : {PixelType::kUint8, PixelType::kFloat32}) {
    for (ResizeMode mode : all_modes()) {
      for (const Shape& shape : shapes) {
        Case c;
        c.source = {type, 1, type == PixelType::kFloat32 ? 1 : random() % 3 == 0 ? 4 : random() % 2 ? 3 : 1, shape.image.height, shape.image.width, 0};
        c.preprocess = some_preprocess(mode, type == PixelType::kUint8 ? 3 : 1, random);
        c.plan = plan_of(shape.image, {shape.scale});
        c.text = describe(c);
        compare(c, random);
      }
    }
  }
}

TEST_CASE("split: a tile does not depend on the tiles that are made with it") {
  std::mt19937 random(7);
  const Plan plan = plan_of({301, 403}, {scale_of(1, 1, 56, 56), scale_of(2, 2, 56, 56), scale_of(3, 4, 56, 56)});
  const auto bytes = random_elements<uint8_t>(301 * 403 * 3, random);
  const auto floats = random_elements<float>(301 * 403 * 3, random);
  for (PixelType type : {PixelType::kUint8, PixelType::kFloat32}) {
    const void* const source = type == PixelType::kUint8 ? static_cast<const void*>(bytes.get()) : floats.get();
    for (ResizeMode mode : all_modes()) {
      INFO(resize_mode_name(mode), type == PixelType::kUint8 ? " uint8" : " float");
      Preprocess preprocess;
      preprocess.resize = mode;
      Params params = make_params({type, 1, 3, 301, 403, 0}, plan, std::nullopt, preprocess, make_tables(plan, std::nullopt, mode));
      params.tiles = all_tiles(params, true);
      const std::vector<TileTarget> tiles = params.tiles;
      const auto elements = static_cast<size_t>(params.tile_elements(0));
      std::vector<float> together(elements * tiles.size());
      make(Path::kKernels, params, source, std::vector<float*>(3, together.data()));
      std::vector<float> alone(elements);
      for (const TileTarget& tile : tiles) {
        params.tiles = {tile};
        params.tiles[0].offset = 0;
        make(Path::kKernels, params, source, std::vector<float*>(3, alone.data()));
        CHECK(std::memcmp(alone.data(), together.data() + tile.offset, elements * sizeof(float)) == 0);
      }
    }
  }
}

TEST_CASE("split: grey is replicated, channels are reversed, transparency is composed once") {
  const Plan plan = plan_of({1, 2}, {scale_of(1, 1, 1, 2)});
  const auto pixels = [&](int64_t channels, const std::vector<uint8_t>& bytes, bool bgr, ResizeMode mode, Path path) {
    Preprocess preprocess;
    preprocess.rescale = 1;
    preprocess.bgr = bgr;
    preprocess.background = {10, 20, 30};
    preprocess.resize = mode;
    Params params = make_params({PixelType::kUint8, 1, channels, 1, 2, 0}, plan, std::nullopt, preprocess, make_tables(plan, std::nullopt, mode));
    params.tiles = all_tiles(params, true);
    std::vector<float> result(6);
    make(path, params, bytes.data(), {result.data()});
    return result;
  };
  for (ResizeMode mode : all_modes()) {
    for (Path path : kPaths) {
      INFO(resize_mode_name(mode), " ", path_name(path));
      CHECK(pixels(1, {5, 200}, false, mode, path) == std::vector<float>{5, 200, 5, 200, 5, 200});
      CHECK(pixels(3, {1, 2, 3, 4, 5, 6}, false, mode, path) == std::vector<float>{1, 4, 2, 5, 3, 6});
      CHECK(pixels(3, {1, 2, 3, 4, 5, 6}, true, mode, path) == std::vector<float>{3, 6, 2, 5, 1, 4});
      // Transparent pixels are the background; at alpha 51 (a fifth) 10 and 200 give 8 + 40.
      CHECK(pixels(4, {1, 2, 3, 0, 200, 5, 6, 51}, false, mode, path) == std::vector<float>{10, 48, 20, 17, 30, 25});
    }
  }
}

TEST_CASE("split: every colour, ground and transparency is composed as the reference does") {
  std::vector<uint8_t> bytes;
  for (int alpha = 0; alpha < 256; alpha++) {
    for (int pixel = 0; pixel < 256; pixel++) {
      for (int c = 0; c < 3; c++) bytes.push_back(static_cast<uint8_t>(pixel));
      bytes.push_back(static_cast<uint8_t>(alpha));
    }
  }
  const Plan plan = plan_of({256, 256}, {scale_of(1, 1, 256, 256)});
  for (ResizeMode mode : {ResizeMode::kTorchBicubic, ResizeMode::kPillowBicubic}) {
    for (int ground = 0; ground < 256; ground += 3) {
      Preprocess preprocess;
      preprocess.rescale = 1;
      preprocess.resize = mode;
      preprocess.background = {static_cast<uint8_t>(ground), static_cast<uint8_t>(ground + 1), static_cast<uint8_t>(std::min(ground + 2, 255))};
      Params params = make_params({PixelType::kUint8, 1, 4, 256, 256, 0}, plan, std::nullopt, preprocess, make_tables(plan, std::nullopt, mode));
      params.tiles = all_tiles(params, true);
      std::vector<float> expected(256 * 256 * 3), received(expected.size());
      make(Path::kReference, params, bytes.data(), {expected.data()});
      make(Path::kKernels, params, bytes.data(), {received.data()});
      CHECK(expected == received);
    }
  }
}

TEST_CASE("split: no tiles are no work") {
  const Plan plan = plan_of({4, 4}, {scale_of(1, 1, 2, 2)});
  const Params params =
      make_params({PixelType::kUint8, 1, 3, 4, 4, 0}, plan, std::nullopt, {}, make_tables(plan, std::nullopt, ResizeMode::kTorchBicubicAntialias));
  const std::vector<uint8_t> bytes(48);
  const auto guards = guarded(12);
  make(Path::kKernels, params, bytes.data(), {guards.get()});
  CHECK(std::all_of(guards.get(), guards.get() + 12, is_guard));
}

TEST_CASE("split: preprocessing whose factors float32 cannot hold is refused") {
  const Plan plan = plan_of({4, 4}, {scale_of(1, 1, 2, 2)});
  const auto code = [&](double mean, double std, double rescale) {
    Preprocess preprocess;
    preprocess.mean = {mean};
    preprocess.std = {std};
    preprocess.rescale = rescale;
    try {
      make_params({PixelType::kUint8, 1, 3, 4, 4, 0}, plan, std::nullopt, preprocess, make_tables(plan, std::nullopt, preprocess.resize));
    } catch (const Error& error) {
      return std::string(error_code_name(error.code()));
    }
    return std::string("none");
  };
  CHECK(code(0.5, 0.5, 1.0 / 255) == "none");
  CHECK(code(1e38, 1, 1e38) == "none");
  CHECK(code(0, 1e-300, 1) == "ERR_INVALID_ARGUMENT");  // a factor of 1e300
  CHECK(code(1, 1e-300, 1e-300) == "ERR_INVALID_ARGUMENT");
  CHECK(code(1e300, 1, 1) == "ERR_INVALID_ARGUMENT");
  CHECK(code(0, 1e-320, 1e300) == "ERR_INVALID_ARGUMENT");  // beyond double
}
