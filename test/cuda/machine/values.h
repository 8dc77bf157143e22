// Bits of registers as values, and back.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "machine/ptx.h"

namespace software_cuda {

inline float bf16_to_float(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }
inline uint16_t float_to_bf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if (std::isnan(value)) return 0x7fff;
  return static_cast<uint16_t>((bits + 0x7fffU + (bits >> 16 & 1U)) >> 16);
}
inline float half_to_float(uint16_t bits) { return static_cast<float>(std::bit_cast<_Float16>(bits)); }
inline uint16_t float_to_half(double value) { return std::isnan(value) ? uint16_t{0x7fff} : std::bit_cast<uint16_t>(static_cast<_Float16>(value)); }

// A float of any type, exactly.
inline double to_double(Type type, uint64_t bits) {
  switch (type) {
    case Type::kF16: return half_to_float(static_cast<uint16_t>(bits));
    case Type::kBf16: return bf16_to_float(static_cast<uint16_t>(bits));
    case Type::kF32: return std::bit_cast<float>(static_cast<uint32_t>(bits));
    default: return std::bit_cast<double>(bits);
  }
}

// Rounded to the nearest. bf16 of a double goes by way of float: sources are no wider.
inline uint64_t from_double(Type type, double value) {
  switch (type) {
    case Type::kF16: return float_to_half(value);
    case Type::kBf16: return float_to_bf16(static_cast<float>(value));
    case Type::kF32: return std::bit_cast<uint32_t>(static_cast<float>(value));
    default: return std::bit_cast<uint64_t>(value);
  }
}

// An integer of any type, widened.
inline uint64_t widen(Type type, uint64_t bits) {
  switch (bytes_of(type)) {
    case 1: return is_signed(type) ? static_cast<uint64_t>(int64_t{static_cast<int8_t>(bits)}) : bits & 0xff;
    case 2: return is_signed(type) ? static_cast<uint64_t>(int64_t{static_cast<int16_t>(bits)}) : bits & 0xffff;
    case 4: return is_signed(type) ? static_cast<uint64_t>(int64_t{static_cast<int32_t>(bits)}) : bits & 0xffffffff;
    default: return bits;
  }
}

// As a register of that type keeps it; small integers are kept as 32 bits, as ld does.
inline uint64_t narrow(Type type, uint64_t bits) {
  switch (bytes_of(type)) {
    case 1: return is_signed(type) ? static_cast<uint32_t>(int32_t{static_cast<int8_t>(bits)}) : bits & 0xff;
    case 2: return bits & 0xffff;
    case 4: return bits & 0xffffffff;
    default: return bits;
  }
}

inline double rounded(Round round, double value) {
  switch (round) {
    case Round::kZero: return std::trunc(value);
    case Round::kDown: return std::floor(value);
    case Round::kUp: return std::ceil(value);
    default: return std::nearbyint(value);
  }
}

}  // namespace software_cuda
