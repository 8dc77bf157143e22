// How far split's kernels may be from its reference.
#pragma once

#include <cmath>
#include <cstdint>

#include "ops/split/params.h"

namespace manyscale::split {

// As a share of the values' range; sums of many taps round more often.
inline double kernel_tolerance(int64_t taps) { return 1e-6 + 1e-7 * std::sqrt(static_cast<double>(taps)); }

// Of one written channel of one scale, for bytes or floats within -1 .. 1.
inline double kernel_tolerance(const Params& params, size_t scale, size_t channel) {
  const double top = params.source.type == PixelType::kUint8 ? 255 : 1;
  const double range = top * std::abs(static_cast<double>(params.multiply[channel]));
  // A multiply-add rounds once where it is fused and twice where it is not.
  const double normalise = (range + std::abs(static_cast<double>(params.add[channel]))) * 1.2e-7;
  if (params.fixed_point()) return normalise;
  return normalise + range * kernel_tolerance(params.scales[scale].x->taps + params.scales[scale].y->taps);
}

}  // namespace manyscale::split
