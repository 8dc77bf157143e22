#include "core/preset.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "core/checked.h"
#include "core/tile_ratio.h"

namespace manyscale {
namespace {

constexpr std::pair<const char*, Preset> kNames[] = {
    {"llava-s2", Preset::kLlavaS2}, {"dynamic-s2", Preset::kDynamicS2}, {"internvl", Preset::kInternVl}, {"anyres", Preset::kAnyRes}};
constexpr int64_t kMostTiles = 12;  // as NVILA and InternVL have it by default

[[noreturn]] void refuse(const std::string& message) { throw Error(ErrorCode::kInvalidArgument, message); }

Scale tiled(int64_t rows, int64_t columns, int64_t tile) {
  Scale scale;
  scale.height = checked_product("a scale's height", rows, tile);
  scale.width = checked_product("a scale's width", columns, tile);
  scale.rows = rows;
  scale.columns = columns;
  scale.tile_height = tile;
  scale.tile_width = tile;
  return scale;
}

// Scales as multiples of the tile.
std::vector<int64_t> multiples(const std::vector<double>& scales) {
  if (scales.empty()) return {1, 2, 3};
  std::vector<int64_t> result;
  for (const double scale : scales) {
    const bool works = scale >= 1 && scale == std::floor(scale) && scale <= static_cast<double>(kMaxSide);
    if (!works || (result.empty() ? scale != 1 : scale <= static_cast<double>(result.back()))) {
      refuse("Expected whole numbers that ascend from 1 for scales of a preset but received " + number_text(scale) +
             (result.empty() ? " first" : " after " + std::to_string(result.back())));
    }
    result.push_back(static_cast<int64_t>(scale));
  }
  return result;
}

std::vector<Scale> squares(const std::vector<int64_t>& multiples, int64_t tile) {
  std::vector<Scale> scales;
  for (const int64_t n : multiples) scales.push_back(tiled(n, n, tile));
  return scales;
}

// CLIP's processor: the shortest edge is made `side`, the other as long as it then is (rounded down), and the middle is taken.
Scale centre_crop(Size image, int64_t side) {
  const int64_t shortest = std::min(image.height, image.width);
  const auto resized = [&](int64_t pixels) { return checked_product("a resized image", pixels, side) / shortest; };
  const Size size{resized(image.height), resized(image.width)};
  Scale scale = tiled(1, 1, side);
  if (size != scale.size()) scale.content = Rectangle{-((size.height - side) / 2), -((size.width - side) / 2), size.height, size.width};
  check_scale(scale);
  return scale;
}

Plan llava_s2(Size image, const PresetOptions& options) {
  const int64_t tile = options.tile.height;
  const std::vector<int64_t> sides = multiples(options.scales);
  Scale via = centre_crop(image, checked_product("a scale's side", sides.back(), tile));
  Plan plan = make_plan_of(image, squares(sides, tile), options.resize_output_to_index.value_or(0));
  plan.via = std::move(via);
  return plan;
}

Plan dynamic_s2(Size image, const PresetOptions& options) {
  const int64_t tile = options.tile.height;
  const std::vector<int64_t> sides = multiples(options.scales);
  const int64_t least = checked_product("a scale's tiles", sides.back(), sides.back());
  if (least > kMostRatioTiles) {
    refuse("Expected a last scale of at most " + std::to_string(kMostRatioTiles) + " tiles as a square for scales of 'dynamic-s2' but received " +
           std::to_string(sides.back()) + " (" + std::to_string(least) + " tiles)");
  }
  const int64_t most = options.max_tiles > 0 ? options.max_tiles : std::max(kMostTiles, least);
  if (least > most) {
    refuse("Expected at least " + std::to_string(least) + " (the tiles of the last scale as a square) for maxTiles but received " + std::to_string(most));
  }
  std::vector<Scale> scales = squares(sides, tile);
  const Size ratio = choose_tile_ratio(image, tile_ratios(least, most), tile);
  scales.back() = tiled(ratio.height, ratio.width, tile);
  return make_plan_of(image, std::move(scales), options.resize_output_to_index.value_or(-1));
}

Plan internvl(Size image, const PresetOptions& options) {
  const int64_t tile = options.tile.height;
  const int64_t most = options.max_tiles > 0 ? options.max_tiles : kMostTiles;
  const Size ratio = choose_tile_ratio(image, tile_ratios(1, most), tile);
  std::vector<Scale> scales{tiled(ratio.height, ratio.width, tile)};
  if (scales.front().tile_count() > 1) scales.push_back(tiled(1, 1, tile));
  return make_plan_of(image, std::move(scales), 0);
}

std::vector<Size> candidates(const PresetOptions& options) {
  const int64_t tile = options.tile.height;
  std::vector<Size> tiles;
  for (const Size& size : options.resolutions) {
    check_side(size.height, "the height of every resolution");
    check_side(size.width, "the width of every resolution");
    if (size.height % tile != 0 || size.width % tile != 0) {
      refuse("Expected multiples of the tile (" + std::to_string(tile) + ") for the resolutions of 'anyres' but received " + to_string(size));
    }
    tiles.push_back({size.height / tile, size.width / tile});
  }
  if (tiles.empty()) tiles = {{2, 1}, {1, 2}, {2, 2}, {1, 3}, {3, 1}};  // LLaVA's order: it decides ties
  if (options.max_tiles > 0) {
    std::erase_if(tiles, [&](const Size& size) { return size.height * size.width > options.max_tiles; });
    if (tiles.empty()) refuse("Expected a maxTiles that some resolution of 'anyres' has but received " + std::to_string(options.max_tiles));
  }
  return tiles;
}

// Of the image's pixels, how many a resolution keeps, and how many of its own it wastes. Truncation as in Python's int().
Size best_resolution(Size image, const std::vector<Size>& tiles, int64_t tile) {
  const auto height = static_cast<double>(image.height);
  const auto width = static_cast<double>(image.width);
  Size best;
  int64_t most = -1;
  int64_t least_waste = 0;
  for (const Size& candidate : tiles) {
    const int64_t h = candidate.height * tile;
    const int64_t w = candidate.width * tile;
    const double scale = std::min(static_cast<double>(w) / width, static_cast<double>(h) / height);
    const auto down = static_cast<int64_t>(width * scale) * static_cast<int64_t>(height * scale);
    const int64_t effective = std::min(down, image.height * image.width);
    const int64_t waste = h * w - effective;
    if (effective > most || (effective == most && waste < least_waste)) {
      best = candidate;
      most = effective;
      least_waste = waste;
    }
  }
  return best;
}

Plan anyres(Size image, const PresetOptions& options) {
  const int64_t tile = options.tile.height;
  const Size tiles = best_resolution(image, candidates(options), tile);
  Scale scale = tiled(tiles.height, tiles.width, tile);
  const double by_height = static_cast<double>(scale.height) / static_cast<double>(image.height);
  const double by_width = static_cast<double>(scale.width) / static_cast<double>(image.width);
  Size size = scale.size();
  if (by_width < by_height) {
    size.height = std::min(static_cast<int64_t>(std::ceil(static_cast<double>(image.height) * by_width)), scale.height);
  } else {
    size.width = std::min(static_cast<int64_t>(std::ceil(static_cast<double>(image.width) * by_height)), scale.width);
  }
  if (size != scale.size()) {
    scale.content = Rectangle{(scale.height - size.height) / 2, (scale.width - size.width) / 2, size.height, size.width};
    scale.padding = Padding::kBackground;
  }
  return make_plan_of(image, {tiled(1, 1, tile), std::move(scale)}, 0);
}

}  // namespace

std::optional<Preset> find_preset(std::string_view name) noexcept {
  for (const auto& [known, preset] : kNames) {
    if (name == known) return preset;
  }
  return std::nullopt;
}

Plan make_preset_plan(Size image, const PresetOptions& options) {
  check_side(image.height, "the image's height");
  check_side(image.width, "the image's width");
  check_side(options.tile.height, "the tile's height");
  check_side(options.tile.width, "the tile's width");
  if (options.tile.height != options.tile.width) {
    refuse("Expected a model with square tiles for a preset but received one of " + to_string(options.tile) + "; take fit 'keep' for this model");
  }
  if (options.max_tiles < 0) refuse("Expected at least 1 for maxTiles but received " + std::to_string(options.max_tiles));
  switch (options.preset) {
    case Preset::kLlavaS2: return llava_s2(image, options);
    case Preset::kDynamicS2: return dynamic_s2(image, options);
    case Preset::kInternVl: return internvl(image, options);
    case Preset::kAnyRes: return anyres(image, options);
  }
  refuse("Expected a known preset but received another");
}

}  // namespace manyscale
