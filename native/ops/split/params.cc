#include "ops/split/params.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <tuple>
#include <utility>

#include "core/checked.h"

namespace manyscale::split {
namespace {

[[noreturn]] void refuse(const std::string& message) { throw Error(ErrorCode::kInvalidArgument, message); }

Rectangle check_crop(Size image, const std::optional<Rectangle>& crop) {
  if (!crop) return {0, 0, image.height, image.width};
  const Rectangle& r = *crop;
  if (r.top < 0 || r.left < 0 || r.height < 1 || r.width < 1 || r.height > image.height - r.top || r.width > image.width - r.left) {
    refuse("Expected a crop inside the image of " + to_string(image) + " but received " + to_string(Size{r.height, r.width}) + " at row " +
           std::to_string(r.top) + ", column " + std::to_string(r.left));
  }
  return r;
}

double per_channel(const std::vector<double>& values, int64_t channel) { return values.size() == 1 ? values[0] : values[static_cast<size_t>(channel)]; }

void check_per_channel(const std::vector<double>& values, int64_t channels, const char* what) {
  if (values.size() != 1 && static_cast<int64_t>(values.size()) != channels) {
    refuse(std::string("Expected 1 or ") + std::to_string(channels) + " numbers for " + what + " but received " + std::to_string(values.size()));
  }
  for (double value : values) {
    if (!std::isfinite(value)) refuse(std::string("Expected finite numbers for ") + what + " but received " + std::to_string(value));
  }
}

// Of a side of the resized image, which begins at `start` of the scale's: the pixels begin .. end - 1 that lie in the scale.
struct Visible {
  int64_t begin;
  int64_t end;
  Visible(int64_t start, int64_t length, int64_t side) : begin(std::max<int64_t>(-start, 0)), end(std::min(length, side - start)) {}
};

}  // namespace

int64_t Source::byte_size() const {
  if (type == PixelType::kFloat32) return batch * channels * height * width * 4;
  const int64_t row = width * channels;
  return (height - 1) * (row_stride ? row_stride : row) + row;
}

void check_source(Source& source) {
  if (source.height < 1 || source.width < 1) refuse("Expected an image of at least 1 x 1 pixels but received " + to_string(Size{source.height, source.width}));
  if (source.type == PixelType::kFloat32) {
    if (source.batch < 1 || source.channels < 1)
      refuse("Expected at least 1 image and 1 channel for a float tensor but received " + std::to_string(source.batch) + " and " +
             std::to_string(source.channels));
    checked_product("an image's bytes", source.batch, source.channels, source.height, source.width, 4);
    return;
  }
  if (source.batch != 1) refuse("Expected one uint8 image but received " + std::to_string(source.batch));
  if (source.channels != 1 && source.channels != 3 && source.channels != 4)
    refuse("Expected 1, 3 or 4 channels for a uint8 image but received " + std::to_string(source.channels));
  const int64_t row = checked_product("an image's row", source.width, source.channels);
  if (source.row_stride == 0) source.row_stride = row;
  if (source.row_stride < row)
    refuse("Expected a stride of at least " + std::to_string(row) + " bytes (width * channels) for a uint8 image but received " +
           std::to_string(source.row_stride));
  checked_product("an image's bytes", source.height, source.row_stride);
}

std::vector<ScaleTables> make_tables(const Plan& plan, const std::optional<Rectangle>& crop, ResizeMode mode) {
  const Rectangle part = check_crop(plan.image, crop);
  std::map<std::tuple<int64_t, int64_t, int64_t, int64_t>, std::shared_ptr<const AxisTable>> made;  // square images need each table once
  const auto table = [&](int64_t in, int64_t out, const Visible& seen) {
    auto& entry = made[{in, out, seen.begin, seen.end}];
    if (!entry) entry = std::make_shared<const AxisTable>(make_axis_table(mode, in, out, seen.begin, seen.end));
    return entry;
  };
  std::vector<ScaleTables> tables;
  for (const Scale& scale : plan.scales) {
    const Rectangle content = scale.resized();
    const Visible rows(content.top, content.height, scale.height);
    const Visible columns(content.left, content.width, scale.width);
    tables.push_back({scale, table(part.height, content.height, rows), table(part.width, content.width, columns)});
  }
  return tables;
}

TilePart part_of_tile(const Scale& scale, int64_t row, int64_t column) {
  const Rectangle content = scale.resized();
  const int64_t top = scale.top(row) - content.top;  // of the tile, in the resized image
  const int64_t left = scale.left(column) - content.left;
  TilePart part;
  part.top = std::clamp<int64_t>(-top, 0, scale.tile_height);
  part.left = std::clamp<int64_t>(-left, 0, scale.tile_width);
  part.bottom = std::clamp<int64_t>(content.height - top, part.top, scale.tile_height);
  part.right = std::clamp<int64_t>(content.width - left, part.left, scale.tile_width);
  if (part.rows() == 0 || part.columns() == 0) return {};
  part.y = top + part.top - Visible(content.top, content.height, scale.height).begin;
  part.x = left + part.left - Visible(content.left, content.width, scale.width).begin;
  return part;
}

Params make_params(const Source& source, const Plan& plan, const std::optional<Rectangle>& crop, const Preprocess& preprocess,
                   std::vector<ScaleTables> tables) {
  Params params;
  params.source = source;
  check_source(params.source);
  if (plan.image != Size{source.height, source.width}) {
    refuse("Expected an image of the plan's size (" + to_string(plan.image) + ") but received " + to_string(Size{source.height, source.width}));
  }
  params.crop = check_crop(plan.image, crop);
  params.resize = preprocess.resize;
  params.channels = source.type == PixelType::kUint8 ? 3 : source.channels;
  params.bgr = preprocess.bgr;
  if (params.bgr && params.channels != 3) refuse("Expected 3 channels for channelOrder 'bgr' but received " + std::to_string(params.channels));
  params.background = preprocess.background;
  check_per_channel(preprocess.mean, params.channels, "mean");
  check_per_channel(preprocess.std, params.channels, "std");
  if (!std::isfinite(preprocess.rescale)) refuse("Expected a finite number for rescale but received " + std::to_string(preprocess.rescale));
  for (int64_t c = 0; c < params.channels; c++) {
    const double deviation = per_channel(preprocess.std, c);
    if (deviation == 0) refuse("Expected numbers other than 0 for std but received 0");
    const auto multiply = static_cast<float>(preprocess.rescale / deviation);
    const auto add = static_cast<float>(-per_channel(preprocess.mean, c) / deviation);
    if (!std::isfinite(multiply) || !std::isfinite(add)) {
      refuse("Expected a rescale / std and a mean / std within the range of float32 but received a rescale of " + number_text(preprocess.rescale) +
             ", a mean of " + number_text(per_channel(preprocess.mean, c)) + " and a std of " + number_text(deviation));
    }
    params.multiply.push_back(multiply);
    params.add.push_back(add);
    // Float tensors have no background: black, as a pixel of 0.
    const size_t colour = static_cast<size_t>(params.bgr ? params.channels - 1 - c : c);
    const float ground = source.type == PixelType::kUint8 ? static_cast<float>(params.background[colour]) : 0.0F;
    params.ground.push_back(ground * multiply + add);
  }
  params.scales = std::move(tables);
  for (size_t s = 0; s < params.scales.size(); s++) {
    const Scale& scale = params.scales[s].scale;
    checked_product("a tile's bytes", params.channels, scale.tile_height, scale.tile_width, 4);
  }
  return params;
}

std::vector<TileTarget> all_tiles(const Params& params, bool joined) {
  std::vector<TileTarget> tiles;
  int64_t base = 0;
  for (size_t s = 0; s < params.scales.size(); s++) {
    const Scale& scale = params.scales[s].scale;
    const int64_t elements = params.tile_elements(s);
    const int64_t rows_in_batch = checked_product("a tile batch", scale.tile_count(), params.source.batch);
    checked_product("a tile batch's bytes", rows_in_batch, elements, 4);
    const int64_t end = checked_sum("a tile batch", base, rows_in_batch * elements);
    check_tile_count(checked_sum("a tile batch", static_cast<int64_t>(tiles.size()), rows_in_batch));
    for (int64_t row = 0; row < scale.rows; row++) {
      for (int64_t column = 0; column < scale.columns; column++) {
        for (int64_t image = 0; image < params.source.batch; image++) {
          const int64_t index = (row * scale.columns + column) * params.source.batch + image;
          tiles.push_back(
              {static_cast<int32_t>(s), static_cast<int32_t>(row), static_cast<int32_t>(column), static_cast<int32_t>(image), base + index * elements});
        }
      }
    }
    if (joined) base = end;
  }
  return tiles;
}

}  // namespace manyscale::split
