// Floats that tell one conversion to binary16 from another.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

// What the 16 bits mean, from the definition of the format.
inline float half_value(uint16_t half) {
  const int exponent = half >> 10 & 31;
  const int mantissa = half & 1023;
  float value = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -24) : std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25);
  if (exponent == 31) value = mantissa == 0 ? std::numeric_limits<float>::infinity() : std::numeric_limits<float>::quiet_NaN();
  return (half & 0x8000) != 0 ? -value : value;
}

// Every half but NaN; halfway to the next, and the floats beside that; floats beyond the range of halves; and NaN.
inline std::vector<float> telling_floats() {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  std::vector<float> values;
  for (const float sign : {1.0F, -1.0F}) {
    for (uint16_t half = 0; half <= 0x7c00; half++) {
      values.push_back(sign * half_value(half));
      // Beyond the largest half stands what would be the next, 65536.
      const float next = half < 0x7bff ? half_value(static_cast<uint16_t>(half + 1)) : 65536.0F;
      const float middle = half < 0x7c00 ? (half_value(half) + next) / 2 : 1e6F;
      for (const float value : {middle, std::nextafter(middle, 0.0F), std::nextafter(middle, kInfinity)}) values.push_back(sign * value);
    }
    for (const float value : {std::numeric_limits<float>::denorm_min(), std::numeric_limits<float>::min(), std::numeric_limits<float>::max()}) {
      values.push_back(sign * value);
    }
    values.push_back(std::copysign(std::numeric_limits<float>::quiet_NaN(), sign));
  }
  return values;
}
