// Size arithmetic that cannot wrap around: every product of sizes that come from outside goes through here.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>

#include "core/error.h"

namespace manyscale {

// The product of sizes, or Error kPlanTooLarge that says what was being computed.
template <typename... Rest>
int64_t checked_product(const char* what, int64_t first, Rest... rest) {
  int64_t product = first;
  auto multiply = [&](int64_t factor) {
    if (__builtin_mul_overflow(product, factor, &product)) {
      throw Error(ErrorCode::kPlanTooLarge, std::string("Expected ") + what + " that fits in 64 bits but received sizes whose product does not");
    }
  };
  (multiply(static_cast<int64_t>(rest)), ...);
  return product;
}

inline int64_t checked_sum(const char* what, int64_t a, int64_t b) {
  int64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) {
    throw Error(ErrorCode::kPlanTooLarge, std::string("Expected ") + what + " that fits in 64 bits but received sizes whose sum does not");
  }
  return sum;
}

// a >= 0, b > 0; no sum that could overflow.
constexpr int64_t ceil_div(int64_t a, int64_t b) { return a / b + (a % b != 0); }

}  // namespace manyscale
