#pragma once

#include <doctest/doctest.h>

#include <cstdint>
#include <cstdlib>
#include <random>

// The seed of a random test: another one each time, and printed, unless MANYSCALE_TEST_SEED gives it.
inline uint32_t fresh_seed() {
  const char* given = std::getenv("MANYSCALE_TEST_SEED");
  const uint32_t seed = given ? static_cast<uint32_t>(std::strtoul(given, nullptr, 10)) : std::random_device{}();
  MESSAGE("seed " << seed << " (MANYSCALE_TEST_SEED repeats it)");
  return seed;
}
