// Instructions that only registers take part in.
#include <algorithm>
#include <bit>
#include <cmath>

#include "machine/values.h"
#include "machine/warp.h"

namespace software_cuda {
namespace {

bool compares(Compare compare, bool unordered, double a, double b) {
  const bool nan = std::isnan(a) || std::isnan(b);
  if (compare == Compare::kNum) return !nan;
  if (compare == Compare::kNan) return nan;
  if (nan) return unordered;
  switch (compare) {
    case Compare::kEq: return a == b;
    case Compare::kNe: return a != b;
    case Compare::kLt: return a < b;
    case Compare::kLe: return a <= b;
    case Compare::kGt: return a > b;
    default: return a >= b;
  }
}

template <typename T>
bool compares(Compare compare, T a, T b) {
  switch (compare) {
    case Compare::kEq: return a == b;
    case Compare::kNe: return a != b;
    case Compare::kLt: return a < b;
    case Compare::kLe: return a <= b;
    case Compare::kGt: return a > b;
    default: return a >= b;
  }
}

bool compare_bits(const Instruction& i, uint64_t a, uint64_t b) {
  if (is_float(i.from)) return compares(i.compare, i.unordered, to_double(i.from, a), to_double(i.from, b));
  if (is_signed(i.from)) return compares(i.compare, static_cast<int64_t>(widen(i.from, a)), static_cast<int64_t>(widen(i.from, b)));
  return compares(i.compare, widen(i.from, a), widen(i.from, b));
}

uint64_t convert(const Instruction& i, uint64_t bits) {
  const Type to = i.type, from = i.from;
  if (is_float(from)) {
    double value = to_double(from, bits);
    if (is_float(to)) {
      if (i.round_integral) value = rounded(i.round, value);
      if (i.saturate) value = std::isnan(value) ? 0 : std::clamp(value, 0.0, 1.0);
      if (to == Type::kF32 && from == Type::kF64 && i.round == Round::kZero) {
        float near = static_cast<float>(value);
        if (std::fabs(static_cast<double>(near)) > std::fabs(value)) near = std::nextafter(near, 0.0F);
        return std::bit_cast<uint32_t>(near);
      }
      return from_double(to, value);
    }
    if (std::isnan(value)) return 0;
    value = rounded(i.round, value);
    const int width = bytes_of(to) * 8;
    if (is_signed(to)) {
      const double limit = std::ldexp(1.0, width - 1);
      if (value >= limit) return narrow(to, (uint64_t{1} << (width - 1)) - 1);
      if (value < -limit) return narrow(to, ~uint64_t{0} << (width - 1));
      return narrow(to, static_cast<uint64_t>(static_cast<int64_t>(value)));
    }
    if (value <= 0) return 0;
    if (value >= std::ldexp(1.0, width)) return narrow(to, ~uint64_t{0});
    return narrow(to, static_cast<uint64_t>(value));
  }
  const uint64_t wide = widen(from, bits);
  if (is_float(to)) {
    if (to == Type::kF32) return std::bit_cast<uint32_t>(is_signed(from) ? static_cast<float>(static_cast<int64_t>(wide)) : static_cast<float>(wide));
    return from_double(to, is_signed(from) ? static_cast<double>(static_cast<int64_t>(wide)) : static_cast<double>(wide));
  }
  if (i.saturate) {
    const int width = bytes_of(to) * 8;
    const int64_t low = is_signed(to) ? (width == 64 ? INT64_MIN : -(int64_t{1} << (width - 1))) : 0;
    const uint64_t high = is_signed(to) ? (uint64_t{1} << (width - 1)) - 1 : width == 64 ? UINT64_MAX : (uint64_t{1} << width) - 1;
    if (is_signed(from)) {
      const auto value = static_cast<int64_t>(wide);
      if (value < low) return narrow(to, static_cast<uint64_t>(low));
      return narrow(to, value > 0 && static_cast<uint64_t>(value) > high ? high : wide);
    }
    return narrow(to, std::min(wide, high));
  }
  return narrow(to, wide);
}

uint64_t multiply(const Instruction& i, uint64_t a, uint64_t b) {
  const uint64_t x = widen(i.type, a), y = widen(i.type, b);
  const int width = bytes_of(i.type) * 8;
  if (i.half == Half::kWide) return width == 32 ? x * y : narrow(Type::kU32, x * y);
  if (i.half == Half::kHigh) {
    if (width < 64) return narrow(i.type, is_signed(i.type) ? static_cast<uint64_t>(static_cast<int64_t>(x * y) >> width) : x * y >> width);
    if (is_signed(i.type)) return static_cast<uint64_t>(static_cast<__int128>(static_cast<int64_t>(x)) * static_cast<int64_t>(y) >> 64);
    return static_cast<uint64_t>(static_cast<unsigned __int128>(x) * y >> 64);
  }
  return narrow(i.type, x * y);
}

uint64_t float_operation(const Instruction& i, uint64_t a, uint64_t b, uint64_t c) {
  const Type type = i.type;
  if (type == Type::kF16x2 || type == Type::kBf16x2) {
    Instruction half = i;
    half.type = type == Type::kF16x2 ? Type::kF16 : Type::kBf16;
    const uint64_t low = float_operation(half, a & 0xffff, b & 0xffff, c & 0xffff);
    return low | float_operation(half, a >> 16 & 0xffff, b >> 16 & 0xffff, c >> 16 & 0xffff) << 16;
  }
  const auto result = [&]() -> uint64_t {
    if (type == Type::kF32) {  // in float: results of double would be rounded twice
      const float x = std::bit_cast<float>(static_cast<uint32_t>(a)), y = std::bit_cast<float>(static_cast<uint32_t>(b)),
                  z = std::bit_cast<float>(static_cast<uint32_t>(c));
      float value = 0;
      switch (i.op) {
        case Op::kAdd: value = x + y; break;
        case Op::kSub: value = x - y; break;
        case Op::kMul: value = x * y; break;
        case Op::kMad: value = std::fma(x, y, z); break;
        case Op::kDiv: value = x / y; break;
        case Op::kSqrt: value = std::sqrt(x); break;
        case Op::kRcp: value = 1 / x; break;
        default: break;
      }
      if (i.saturate) value = std::isnan(value) ? 0 : std::clamp(value, 0.0F, 1.0F);
      return std::bit_cast<uint32_t>(value);
    }
    const double x = to_double(type, a), y = to_double(type, b), z = to_double(type, c);
    double value = 0;
    switch (i.op) {
      case Op::kAdd: value = x + y; break;
      case Op::kSub: value = x - y; break;
      case Op::kMul: value = x * y; break;
      case Op::kMad: value = std::fma(x, y, z); break;
      case Op::kDiv: value = x / y; break;
      case Op::kSqrt: value = std::sqrt(x); break;
      case Op::kRcp: value = 1 / x; break;
      default: break;
    }
    return from_double(type, value);
  };
  switch (i.op) {
    case Op::kNeg: return a ^ uint64_t { 1 } << (bytes_of(type) * 8 - 1);
    case Op::kAbs: return a & ((uint64_t{1} << (bytes_of(type) * 8 - 1)) - 1);
    case Op::kMin:
    case Op::kMax: {
      const double x = to_double(type, a), y = to_double(type, b);
      if (std::isnan(x) || std::isnan(y)) return i.is_nan ? from_double(type, std::numeric_limits<double>::quiet_NaN()) : std::isnan(x) ? b : a;
      if (x == y) return (std::signbit(x) == (i.op == Op::kMin)) ? a : b;
      return (x < y) == (i.op == Op::kMin) ? a : b;
    }
    default: return result();
  }
}

uint64_t integer_operation(const Instruction& i, uint64_t a, uint64_t b, uint64_t c, uint64_t d) {
  const Type type = i.type;
  const auto sa = static_cast<int64_t>(widen(type, a)), sb = static_cast<int64_t>(widen(type, b));
  const uint64_t ua = widen(type, a), ub = widen(type, b);
  const auto width = static_cast<uint64_t>(bytes_of(type)) * 8;
  const bool sign = is_signed(type);
  switch (i.op) {
    case Op::kAdd:
      if (i.saturate) return narrow(type, static_cast<uint64_t>(std::clamp<int64_t>(sa + sb, INT32_MIN, INT32_MAX)));
      return narrow(type, a + b);
    case Op::kSub:
      if (i.saturate) return narrow(type, static_cast<uint64_t>(std::clamp<int64_t>(sa - sb, INT32_MIN, INT32_MAX)));
      return narrow(type, a - b);
    case Op::kMul: return multiply(i, a, b);
    case Op::kMad: {
      const uint64_t product = multiply(i, a, b);
      const Type wide = i.half == Half::kWide && width == 32 ? Type::kU64 : i.half == Half::kWide ? Type::kU32 : type;
      return narrow(wide, product + c);
    }
    case Op::kDiv:
      if (ub == 0) return narrow(type, ~uint64_t{0});
      return narrow(type, sign ? (sb == -1 ? 0 - ua : static_cast<uint64_t>(sa / sb)) : ua / ub);
    case Op::kRem:
      if (ub == 0) return a;
      return narrow(type, sign ? (sb == -1 ? 0 : static_cast<uint64_t>(sa % sb)) : ua % ub);
    case Op::kMin: return narrow(type, sign ? static_cast<uint64_t>(std::min(sa, sb)) : std::min(ua, ub));
    case Op::kMax: return narrow(type, sign ? static_cast<uint64_t>(std::max(sa, sb)) : std::max(ua, ub));
    case Op::kNeg: return narrow(type, 0 - a);
    case Op::kAbs: return narrow(type, sa < 0 ? 0 - ua : ua);
    case Op::kSad: return narrow(type, c + (sign ? static_cast<uint64_t>(sa > sb ? sa - sb : sb - sa) : ua > ub ? ua - ub : ub - ua));
    case Op::kShl: {
      const uint64_t by = b & 0xffffffff;
      return by >= width ? 0 : narrow(type, a << by);
    }
    case Op::kShr: {
      const uint64_t by = std::min<uint64_t>(b & 0xffffffff, width);
      if (sign) return narrow(type, static_cast<uint64_t>(sa >> std::min<uint64_t>(by, 63)));
      return by >= width ? 0 : narrow(type, ua >> by);
    }
    case Op::kBfe: {
      const uint64_t start = b & 0xff, length = c & 0xff;
      if (length == 0) return 0;
      const uint64_t last = std::min(start + length - 1, width - 1);
      const uint64_t fill = sign && (ua >> last & 1) ? ~uint64_t{0} : 0;
      if (start >= width) return narrow(type, fill);
      const uint64_t kept = last - start + 1;
      const uint64_t mask = kept >= 64 ? ~uint64_t{0} : (uint64_t{1} << kept) - 1;
      return narrow(type, (ua >> start & mask) | (fill & ~mask));
    }
    case Op::kBfi: {
      const uint64_t start = c & 0xff, length = d & 0xff;
      if (start >= width || length == 0) return b;
      const uint64_t kept = std::min(length, width - start);
      const uint64_t mask = (kept >= 64 ? ~uint64_t{0} : (uint64_t{1} << kept) - 1) << start;
      return narrow(type, (b & ~mask) | (a << start & mask));
    }
    case Op::kPopc: return static_cast<uint64_t>(std::popcount(ua));
    case Op::kClz: return static_cast<uint64_t>(std::countl_zero(ua)) - (64 - width);
    case Op::kBrev: {
      uint64_t out = 0;
      for (uint64_t bit = 0; bit < width; bit++) out |= (ua >> bit & 1) << (width - 1 - bit);
      return out;
    }
    default: return 0;
  }
}

uint64_t permute(uint64_t a, uint64_t b, uint64_t selector) {
  const uint64_t bytes = (b << 32) | (a & 0xffffffff);
  uint64_t out = 0;
  for (int k = 0; k < 4; k++) {
    const uint64_t pick = selector >> (4 * k);
    uint64_t byte = bytes >> (8 * (pick & 7)) & 0xff;
    if (pick & 8) byte = byte & 0x80 ? 0xff : 0;
    out |= byte << (8 * k);
  }
  return out;
}

uint64_t funnel(const Instruction& i, uint64_t a, uint64_t b, uint64_t c) {
  const uint64_t both = (b << 32) | (a & 0xffffffff);
  const uint64_t by = i.wrap ? c & 31 : std::min<uint64_t>(c & 0xffffffff, 32);
  return (i.left ? both << by >> 32 : both >> by) & 0xffffffff;
}

uint64_t logic3(uint8_t table, uint64_t a, uint64_t b, uint64_t c) {
  uint64_t out = 0;
  for (int k = 0; k < 8; k++) {
    if (table >> k & 1) out |= (k & 4 ? a : ~a) & (k & 2 ? b : ~b) & (k & 1 ? c : ~c);
  }
  return out & 0xffffffff;
}

uint64_t dot4(const Instruction& i, uint64_t a, uint64_t b, uint64_t c) {
  int64_t sum = static_cast<int32_t>(c);
  for (int k = 0; k < 4; k++) {
    const auto x = static_cast<uint8_t>(a >> (8 * k)), y = static_cast<uint8_t>(b >> (8 * k));
    sum += (is_signed(i.type) ? int64_t{static_cast<int8_t>(x)} : int64_t{x}) * (is_signed(i.from) ? int64_t{static_cast<int8_t>(y)} : int64_t{y});
  }
  return static_cast<uint32_t>(sum);
}

}  // namespace

void Block::compute(Warp& warp, const Instruction& i, uint32_t mask) {
  uint64_t* const registers = warp.registers.data();
  const auto in = [&](size_t operand, int lane) -> uint64_t {
    if (operand >= i.in.size()) return 0;
    const Operand& from = i.in[operand];
    return from.reg >= 0 ? registers[from.reg * kLanes + lane] : from.value;
  };
  const auto predicate = [&](size_t operand, int lane) {
    const Operand& from = i.in[operand];
    return from.reg >= 0 ? (registers[from.reg * kLanes + lane] != 0) != (from.value != 0) : from.value != 0;
  };
  const auto each = [&](auto value) {
    if (i.to.empty() || i.to[0] < 0) return;
    uint64_t* const to = registers + i.to[0] * kLanes;
    for (int lane = 0; lane < kLanes; lane++) {
      if (mask >> lane & 1) to[lane] = value(lane);
    }
  };
  switch (i.op) {
    case Op::kMov: each([&](int lane) { return i.type == Type::kPred ? uint64_t{predicate(0, lane)} : narrow(i.type, in(0, lane)); }); return;
    case Op::kPack:
      each([&](int lane) {
        const int bits = bytes_of(i.type) * 8 / static_cast<int>(i.in.size());
        uint64_t value = 0;
        for (size_t k = 0; k < i.in.size(); k++) value |= (in(k, lane) & ((uint64_t{1} << bits) - 1)) << (static_cast<int>(k) * bits);
        return value;
      });
      return;
    case Op::kUnpack: {
      const int bits = bytes_of(i.type) * 8 / static_cast<int>(i.to.size());
      for (int lane = 0; lane < kLanes; lane++) {
        if (!(mask >> lane & 1)) continue;
        const uint64_t value = in(0, lane);
        for (size_t k = 0; k < i.to.size(); k++) {
          if (i.to[k] >= 0) registers[i.to[k] * kLanes + lane] = value >> (static_cast<int>(k) * bits) & ((uint64_t{1} << bits) - 1);
        }
      }
      return;
    }
    case Op::kConvert:
      if (i.type == Type::kF16x2 || i.type == Type::kBf16x2) {
        const Type half = i.type == Type::kF16x2 ? Type::kF16 : Type::kBf16;
        each([&](int lane) { return from_double(half, to_double(i.from, in(0, lane))) << 16 | from_double(half, to_double(i.from, in(1, lane))); });
      } else {
        each([&](int lane) { return convert(i, in(0, lane)); });
      }
      return;
    case Op::kConvertAddress:
      // The words: cvta[.to].space; a variable's address in a space is its offset there.
      each([&](int lane) {
        const uint64_t address = in(0, lane);
        if (i.space == Space::kShared) return address ^ kSharedWindow;
        if (i.space == Space::kLocal) return address ^ kLocalWindow;
        return address;
      });
      return;
    case Op::kAnd:
    case Op::kOr:
    case Op::kXor:
    case Op::kNot:
      each([&](int lane) -> uint64_t {
        if (i.type == Type::kPred) {
          const bool a = predicate(0, lane), b = i.op != Op::kNot && predicate(1, lane);
          return i.op == Op::kAnd ? a && b : i.op == Op::kOr ? a || b : i.op == Op::kXor ? a != b : !a;
        }
        const uint64_t a = in(0, lane), b = in(1, lane);
        return narrow(i.type, i.op == Op::kAnd ? a & b : i.op == Op::kOr ? a | b : i.op == Op::kXor ? a ^ b : ~a);
      });
      return;
    case Op::kPrmt: each([&](int lane) { return permute(in(0, lane), in(1, lane), in(2, lane)); }); return;
    case Op::kShf: each([&](int lane) { return funnel(i, in(0, lane), in(1, lane), in(2, lane)); }); return;
    case Op::kLop3: each([&](int lane) { return logic3(static_cast<uint8_t>(in(3, lane)), in(0, lane), in(1, lane), in(2, lane)); }); return;
    case Op::kDp4a: each([&](int lane) { return dot4(i, in(0, lane), in(1, lane), in(2, lane)); }); return;
    case Op::kSelp: each([&](int lane) { return narrow(i.type, predicate(2, lane) ? in(0, lane) : in(1, lane)); }); return;
    case Op::kSet:
      each([&](int lane) -> uint64_t {
        return !compare_bits(i, in(0, lane), in(1, lane)) ? 0 : is_float(i.type) ? from_double(i.type, 1) : narrow(i.type, ~uint64_t{0});
      });
      return;
    case Op::kSetp:
      for (int lane = 0; lane < kLanes; lane++) {
        if (!(mask >> lane & 1)) continue;
        const bool found = compare_bits(i, in(0, lane), in(1, lane));
        const bool with = i.mode != 0 && predicate(2, lane);
        const auto combined = [&](bool value) { return i.mode == 0 ? value : i.mode == 1 ? value && with : i.mode == 2 ? value || with : value != with; };
        const uint64_t yes = combined(found), no = combined(!found);
        if (i.to[0] >= 0) registers[i.to[0] * kLanes + lane] = yes;
        if (i.to.size() > 1 && i.to[1] >= 0) registers[i.to[1] * kLanes + lane] = no;
      }
      return;
    case Op::kMad:
      if (i.type == Type::kF32 && !i.saturate) {  // most of a resize
        each([&](int lane) -> uint64_t {
          const auto value = [&](size_t operand) { return std::bit_cast<float>(static_cast<uint32_t>(in(operand, lane))); };
          return std::bit_cast<uint32_t>(std::fma(value(0), value(1), value(2)));
        });
        return;
      }
      break;
    default: break;
  }
  if (is_float(i.type))
    each([&](int lane) { return float_operation(i, in(0, lane), in(1, lane), in(2, lane)); });
  else
    each([&](int lane) { return integer_operation(i, in(0, lane), in(1, lane), in(2, lane), in(3, lane)); });
}

}  // namespace software_cuda
