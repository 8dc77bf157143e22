// find_grid and find_token_layout with any numbers: a grid that fits the tile, or a refusal.
#include <algorithm>
#include <cstdint>
#include <string>

#include "check.h"
#include "core/grid.h"
#include "fuzzed_input.h"

using namespace manyscale;
using manyscale::fuzz::FuzzedInput;

namespace {

// Whether some patch size cuts the tile so. Only for tiles small enough to try them all.
bool is_patch_grid(Size tile, Size grid) {
  for (int64_t patch = 1; patch <= std::min(tile.height, tile.width); patch++) {
    if (Size{tile.height / patch, tile.width / patch} == grid) return true;
  }
  return false;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzedInput input(data, size);
  const bool layout = input.boolean();
  const int64_t height = input.size(1000);
  const Size tile{height, input.size(1000)};
  const int64_t patch_size = input.boolean() ? 0 : input.size(40);
  int64_t tokens = 0;
  const int64_t patch = input.between(1, 64);
  if (input.boolean() || tile.height < 1 || tile.width < 1 || __builtin_mul_overflow(tile.height / patch, tile.width / patch, &tokens)) {
    tokens = input.size(5000);
  } else {
    __builtin_add_overflow(tokens, input.between(0, 8), &tokens);  // the patches of a real model and some prefix tokens
  }
  const std::string what = std::to_string(tokens) + " tokens, patches of " + std::to_string(patch_size) + ", tile " + to_string(tile);
  try {
    const TokenLayout found = layout ? find_token_layout(tile, tokens, patch_size) : TokenLayout{0, find_grid(tile, tokens, patch_size)};
    int64_t cells = 0;
    FUZZ_CHECK(found.grid.height >= 1 && found.grid.width >= 1 && found.prefix >= 0, what);
    FUZZ_CHECK(!__builtin_mul_overflow(found.grid.height, found.grid.width, &cells) && cells + found.prefix == tokens, what + ": " + to_string(found.grid));
    if (patch_size > 0) FUZZ_CHECK((found.grid == Size{tile.height / patch_size, tile.width / patch_size}), what);
    if (patch_size <= 0 && layout && std::max(tile.height, tile.width) <= 1000) FUZZ_CHECK(is_patch_grid(tile, found.grid), what);
  } catch (const Error& error) {
    FUZZ_CHECK_REFUSAL(error, ErrorCode::kModelShape, ErrorCode::kInvalidArgument, ErrorCode::kPlanTooLarge);
  }
  return 0;
}
