// IEEE 754 binary16. Internal linkage and no C++ library, since the kernels include it (core/simd.h).
#pragma once

#include <stdint.h>
#include <string.h>

namespace manyscale {

// The bits of the binary16 nearest to `value`, ties to even; from 65520 on infinity. NaN stays NaN, quiet, with its sign and
// the upper bits of its payload, which is what x86 and Arm processors give.
static inline uint16_t to_half(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  const uint32_t magnitude = bits & 0x7fffffffU;
  uint32_t half;
  if (magnitude >= 0x47800000U) {  // 65536 and more, infinity, NaN
    half = magnitude > 0x7f800000U ? 0x7e00U | ((magnitude >> 13) & 0x3ffU) : 0x7c00U;
  } else if (magnitude < 0x38800000U) {
    // Below 2^-14 halves are the multiples of 2^-24, as floats are from 0.5 on: the addition rounds, and what it adds to the bits counts them.
    float sum;
    memcpy(&sum, &magnitude, sizeof sum);
    sum += 0.5F;
    memcpy(&half, &sum, sizeof half);
    half -= 0x3f000000U;
  } else {
    // 13 bits go: half a unit of the last place that stays, or just less where it is even, carries into it when it must, and on into the exponent.
    half = (magnitude - (112U << 23) + 0xfffU + ((magnitude >> 13) & 1U)) >> 13;
  }
  return static_cast<uint16_t>((bits >> 16 & 0x8000U) | half);
}

}  // namespace manyscale
