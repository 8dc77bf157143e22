#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>

#include "core/error.h"
#include "core/isa.h"

namespace {
constexpr int kSkipped = 77;  // what ctest counts as skipped (SKIP_RETURN_CODE)
}

int main(int argc, char** argv) {
  try {
    manyscale::active_isa();
  } catch (const manyscale::Error& error) {
    std::printf("skipped: %s\n", error.what());  // a processor without the instruction set that MANYSCALE_FORCE_ISA names
    return kSkipped;
  }
  doctest::Context context(argc, argv);
  return context.run();
}
