// split: image + plan -> tile batch. Parameters, checked once in make_params and then trusted by every implementation.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/axis.h"
#include "core/plan.h"

namespace manyscale::split {

enum class PixelType {
  kUint8,    // one image, interleaved: [height, row_stride], 1 (grey), 3 (R, G, B) or 4 (R, G, B, A) bytes a pixel
  kFloat32,  // [batch, channels, height, width], dense
};

struct Source {
  PixelType type = PixelType::kUint8;
  int64_t batch = 1;
  int64_t channels = 3;
  int64_t height = 0;
  int64_t width = 0;
  int64_t row_stride = 0;  // bytes from a row to the next, uint8 only; 0: width * channels

  int64_t byte_size() const;  // that a buffer must have: the last row needs no padding
};

// value = (pixel * rescale - mean) / std; mean and std in the order in which channels are written, one for all or one each.
struct Preprocess {
  std::vector<double> mean{0};
  std::vector<double> std{1};
  double rescale = 1.0 / 255;
  ResizeMode resize = ResizeMode::kTorchBicubicAntialias;
  bool bgr = false;                            // write the channels in reverse order
  std::array<uint8_t, 3> background{0, 0, 0};  // R, G, B under transparent pixels
};

// One tile to make and where: `offset` is in elements (floats) from the start of its scale's destination buffer.
struct TileTarget {
  int32_t scale = 0;
  int32_t row = 0;
  int32_t column = 0;
  int32_t image = 0;
  int64_t offset = 0;
};

struct ScaleTables {
  Scale scale;
  std::shared_ptr<const AxisTable> y;  // crop.height -> the height of the scale's content; of its rows that lie in the scale
  std::shared_ptr<const AxisTable> x;  // crop.width -> its width; likewise
};

// The part of a tile that shows the resized image; the rest is padding. Rows and columns of the tile, from the first to before the last;
// both empty where the tile is all padding.
struct TilePart {
  int64_t top = 0;
  int64_t bottom = 0;
  int64_t left = 0;
  int64_t right = 0;
  int64_t y = 0;  // entries of the scale's tables at (top, left)
  int64_t x = 0;

  int64_t rows() const { return bottom - top; }
  int64_t columns() const { return right - left; }
  bool is_whole(const Scale& scale) const { return rows() == scale.tile_height && columns() == scale.tile_width; }
};
TilePart part_of_tile(const Scale& scale, int64_t row, int64_t column);

struct Params {
  Source source;   // row_stride resolved
  Rectangle crop;  // the part of the source that every scale is made of
  ResizeMode resize = ResizeMode::kTorchBicubicAntialias;
  int64_t channels = 3;  // that a tile has: 3 from uint8, the source's from float32
  bool bgr = false;
  std::array<uint8_t, 3> background{0, 0, 0};
  std::vector<float> multiply;  // [channels], in written order: value = resized * multiply + add
  std::vector<float> add;       // [channels]
  std::vector<float> ground;    // [channels], in written order: a pixel of the background, normalised
  std::vector<ScaleTables> scales;
  std::vector<TileTarget> tiles;  // any subset of the plan's tiles, in any order

  int64_t tile_elements(size_t scale) const {
    const Scale& s = scales[scale].scale;
    return channels * s.tile_height * s.tile_width;
  }
  // Whether pixels stay bytes between and after the passes, as Pillow's bytes do; all others are resized in float.
  bool fixed_point() const { return source.type == PixelType::kUint8 && is_pillow(resize); }
  // What written channel c has where there is no image.
  float padding(const Scale& scale, int64_t c) const { return scale.padding == Padding::kBackground ? ground[static_cast<size_t>(c)] : 0; }
  // The source channel of written channel c.
  int64_t source_channel(int64_t c) const {
    const int64_t planes = source.type == PixelType::kUint8 && source.channels == 1 ? 1 : channels;
    return planes == 1 ? 0 : bgr ? planes - 1 - c : c;
  }
};

// Resolves row_stride; Error kInvalidArgument or kPlanTooLarge for a source that cannot be.
void check_source(Source& source);

// The tables of a plan for one resize mode, shared by all images of that shape.
std::vector<ScaleTables> make_tables(const Plan& plan, const std::optional<Rectangle>& crop, ResizeMode mode);

// Everything but the tiles, checked; Error kInvalidArgument says what does not fit. `tables` come from make_tables with the
// same plan, crop and mode. plan.image must be the source's size.
Params make_params(const Source& source, const Plan& plan, const std::optional<Rectangle>& crop, const Preprocess& preprocess, std::vector<ScaleTables> tables);

// All tiles of all images in the order of the batch: row (row * columns + column) * batch + image of its scale. With
// `joined` the scales follow one another in one buffer (they share one tile shape), otherwise each scale has its own.
std::vector<TileTarget> all_tiles(const Params& params, bool joined);

}  // namespace manyscale::split
