// Ways of cutting that known models were trained with. docs/cutting.md describes them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "core/plan.h"

namespace manyscale {

enum class Preset {
  kLlavaS2,    // shortest edge and centre crop at the largest scale, which the others are made of
  kDynamicS2,  // squares, and last as many tiles as the image's aspect ratio asks for
  kInternVl,   // as many tiles as the aspect ratio asks for, and a thumbnail behind them if they are several
  kAnyRes,     // the whole image on one tile, then the candidate resolution that keeps most of it, on background
};

std::optional<Preset> find_preset(std::string_view name) noexcept;  // 'llava-s2', 'dynamic-s2', 'internvl', 'anyres'

struct PresetOptions {
  Preset preset = Preset::kLlavaS2;
  Size tile;                      // the model's; square
  std::vector<double> scales;     // relative to the tile: whole numbers, ascending from 1. S2 presets only; default 1, 2, 3
  int64_t max_tiles = 0;          // of the scale that follows the aspect ratio; 0: the preset's (12; kAnyRes: no limit beside the candidates)
  std::vector<Size> resolutions;  // kAnyRes: candidates in pixels, multiples of the tile; default (rows x columns) 2 x 1, 1 x 2, 2 x 2, 1 x 3, 3 x 1
  std::optional<int64_t> resize_output_to_index;  // S2 presets only; default the first scale, kDynamicS2: the last
};

// Errors as make_plan.
Plan make_preset_plan(Size image, const PresetOptions& options);

}  // namespace manyscale
