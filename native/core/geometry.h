// Plain geometry shared by everything.
#pragma once

#include <cstdint>
#include <string>

namespace manyscale {

struct Size {
  int64_t height = 0;
  int64_t width = 0;

  friend bool operator==(const Size& a, const Size& b) { return a.height == b.height && a.width == b.width; }
  friend bool operator!=(const Size& a, const Size& b) { return !(a == b); }
};

inline std::string to_string(const Size& size) { return std::to_string(size.height) + " x " + std::to_string(size.width); }

// A part of an image, in pixels.
struct Rectangle {
  int64_t top = 0;
  int64_t left = 0;
  int64_t height = 0;
  int64_t width = 0;

  friend bool operator==(const Rectangle&, const Rectangle&) = default;
};

}  // namespace manyscale
