// Turns the bytes of a fuzzer's input into the fields of a request. What is missing at the end reads as zeros, so that every
// input means something and short ones mean small requests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

namespace manyscale::fuzz {

class FuzzedInput {
 public:
  FuzzedInput(const uint8_t* data, size_t size) : data_(data), size_(size) {}

  bool empty() const { return at_ >= size_; }

  // Any value of a plain type, as it stands in the bytes.
  template <typename T>
  T raw() {
    T value{};
    const size_t count = size_ - at_ < sizeof value ? size_ - at_ : sizeof value;
    if (count > 0) std::memcpy(&value, data_ + at_, count);
    at_ += count;
    return value;
  }

  bool boolean() { return raw<uint8_t>() & 1; }

  // low .. high, both included, from as few bytes as such a range needs.
  int64_t between(int64_t low, int64_t high) {
    const uint64_t span = static_cast<uint64_t>(high) - static_cast<uint64_t>(low);
    const uint64_t value = span <= 0xff ? raw<uint8_t>() : span <= 0xffff ? raw<uint16_t>() : span <= 0xffffffff ? raw<uint32_t>() : raw<uint64_t>();
    return static_cast<int64_t>(static_cast<uint64_t>(low) + (span == std::numeric_limits<uint64_t>::max() ? value : value % (span + 1)));
  }

  template <typename T, size_t N>
  T pick(const T (&values)[N]) {
    return values[static_cast<size_t>(between(0, N - 1))];
  }

  // A size as callers give them: mostly ordinary, else at an edge or anything at all.
  int64_t size(int64_t ordinary) {
    static constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
    static constexpr int64_t kEdges[] = {0,
                                         1,
                                         -1,
                                         255,
                                         int64_t{1} << 15,
                                         (int64_t{1} << 20) + 1,
                                         (int64_t{1} << 24) - 1,
                                         int64_t{1} << 24,
                                         (int64_t{1} << 24) + 1,
                                         int64_t{1} << 30,
                                         (int64_t{1} << 31) - 1,
                                         int64_t{1} << 31,
                                         int64_t{1} << 32,
                                         int64_t{1} << 53,
                                         int64_t{1} << 62,
                                         kMax - 1,
                                         kMax,
                                         -kMax - 1};
    switch (between(0, 7)) {
      case 0: return pick(kEdges);
      case 1: return raw<int64_t>();
      default: return between(1, ordinary);
    }
  }

  // A number as callers give them: mostly a few halves or tenths, else at an edge or any bits.
  double number() {
    static constexpr double kEdges[] = {0.0,
                                        -0.0,
                                        -1.0,
                                        std::numeric_limits<double>::infinity(),
                                        -std::numeric_limits<double>::infinity(),
                                        std::numeric_limits<double>::quiet_NaN(),
                                        std::numeric_limits<double>::denorm_min(),
                                        std::numeric_limits<double>::min(),
                                        std::numeric_limits<double>::max(),
                                        std::numeric_limits<double>::epsilon(),
                                        1e-40,
                                        3.5e38,
                                        1e300,
                                        -1e300,
                                        1.0 / 255,
                                        16777216.5};
    switch (between(0, 7)) {
      case 0: return pick(kEdges);
      case 1: return raw<double>();
      case 2: return static_cast<double>(raw<uint8_t>()) / 10;
      default: return static_cast<double>(between(1, 12)) / 2;
    }
  }

  // Bits for what the input need not spell out (pixels, orders): the rest of the input as a seed.
  uint32_t seed() {
    uint32_t value = 2166136261U;
    for (; at_ < size_; at_++) value = (value ^ data_[at_]) * 16777619U;
    return value;
  }

 private:
  const uint8_t* data_;
  size_t size_;
  size_t at_ = 0;
};

}  // namespace manyscale::fuzz
