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

// The float that the bits of a binary16 mean, exactly. NaN as in to_half.
static inline float from_half(uint16_t half) {
  const uint32_t magnitude = half & 0x7fffU;
  uint32_t bits;
  if (magnitude >= 0x7c00U) {  // infinity, NaN
    bits = 0x7f800000U | (magnitude & 0x3ffU) << 13 | (magnitude > 0x7c00U ? 0x400000U : 0U);
  } else if (magnitude < 0x400U) {
    // Multiples of 2^-24, which is what the last bit of floats from 0.5 on stands for.
    bits = 0x3f000000U | magnitude;
    float sum;
    memcpy(&sum, &bits, sizeof sum);
    sum -= 0.5F;
    memcpy(&bits, &sum, sizeof bits);
  } else {
    bits = (magnitude << 13) + (112U << 23);
  }
  bits |= static_cast<uint32_t>(half & 0x8000U) << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace manyscale
