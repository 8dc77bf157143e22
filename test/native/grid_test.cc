// From numbers of tokens to grids and prefix tokens.
#include "core/grid.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <map>
#include <string>

#include "core/error.h"
#include "core/plan.h"

using namespace manyscale;

namespace {

std::string refusal(Size tile, int64_t cells, int64_t patch_size = 0) {
  try {
    find_grid(tile, cells, patch_size);
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::kModelShape);
    return error.what();
  }
  return "";
}

bool layout_is(Size tile, int64_t tokens, int64_t patch_size, int64_t prefix, Size grid) {
  const TokenLayout layout = find_token_layout(tile, tokens, patch_size);
  return layout.prefix == prefix && layout.grid == grid;
}

}  // namespace

TEST_CASE("grid: square and non-square tiles") {
  CHECK(find_grid({224, 224}, 256, 0) == Size{16, 16});
  CHECK(find_grid({224, 224}, 196, 0) == Size{14, 14});
  CHECK(find_grid({96, 96}, 144, 0) == Size{12, 12});
  CHECK(find_grid({224, 448}, 16 * 32, 0) == Size{16, 32});
  CHECK(find_grid({448, 224}, 16 * 32, 0) == Size{32, 16});
  CHECK(find_grid({320, 480}, 20 * 30, 0) == Size{20, 30});
  CHECK(find_grid({1, 30000}, 30000, 0) == Size{1, 30000});
  CHECK(find_grid({7, 7}, 1, 0) == Size{1, 1});
}

TEST_CASE("grid: what patches leave over at the edge is ignored") {
  CHECK(find_grid({384, 384}, 27 * 27, 0) == Size{27, 27});  // patches of 14 leave 6 pixels
  CHECK(find_grid({384, 384}, 27 * 27, 14) == Size{27, 27});
  CHECK(find_grid({100, 150}, 7 * 10, 0) == Size{7, 10});  // not the tile's exact aspect ratio
  CHECK(find_grid({100, 150}, 7 * 10, 14) == Size{7, 10});
}

TEST_CASE("grid: what does not fit is refused") {
  CHECK(refusal({224, 224}, 255).find("patchSize") != std::string::npos);
  CHECK(refusal({224, 224}, 0) != "");
  CHECK(refusal({224, 224}, -256) != "");
  CHECK(refusal({224, 448}, 256) != "");
  CHECK(refusal({224, 224}, 256, 16).find("Expected 196 tokens") != std::string::npos);
  CHECK(refusal({224, 224}, 256, 300) != "");
  CHECK(refusal({224, 224}, 0, 300) != "");
  CHECK(refusal({224, 224}, std::numeric_limits<int64_t>::max()) != "");
  CHECK(refusal({224, 224}, 256, 14) == "");
}

TEST_CASE("grid: patches of one size give one grid") {
  // Larger patches never give more rows or more columns, so two grids of one tile cannot have equally many cells.
  for (int64_t height = 1; height <= 48; height++) {
    for (int64_t width = 1; width <= 48; width++) {
      std::map<int64_t, Size> grids;
      for (int64_t patch = 1; patch <= std::min(height, width); patch++) {
        const Size grid{height / patch, width / patch};
        const int64_t cells = grid.height * grid.width;
        if (grids.emplace(cells, grid).first->second != grid) FAIL("two grids of " << cells << " cells for " << to_string(Size{height, width}));
        if (find_grid({height, width}, cells, 0) != grid) FAIL("not " << to_string(grid) << " for " << to_string(Size{height, width}));
      }
    }
  }
}

TEST_CASE("grid: prefix tokens are what the largest grid leaves") {
  CHECK(layout_is({96, 96}, 145, 0, 1, {12, 12}));
  CHECK(layout_is({224, 224}, 257, 0, 1, {16, 16}));
  CHECK(layout_is({224, 224}, 261, 0, 5, {16, 16}));
  CHECK(layout_is({224, 224}, 256, 0, 0, {16, 16}));
  CHECK(layout_is({224, 224}, 50, 0, 1, {7, 7}));
  CHECK(layout_is({224, 224}, 197, 0, 1, {14, 14}));
  CHECK(layout_is({384, 384}, 730, 0, 1, {27, 27}));
  CHECK(layout_is({518, 518}, 1374, 0, 5, {37, 37}));
  CHECK(layout_is({224, 448}, 16 * 32 + 1, 0, 1, {16, 32}));
  CHECK(layout_is({224, 224}, 1, 0, 0, {1, 1}));
  // With the patch size given, any number of prefix tokens.
  CHECK(layout_is({224, 224}, 49 + 100, 32, 100, {7, 7}));
}

TEST_CASE("grid: token counts without a grid are refused") {
  const auto refused = [](Size tile, int64_t tokens, int64_t patch_size) {
    try {
      find_token_layout(tile, tokens, patch_size);
    } catch (const Error& error) {
      return error.code() == ErrorCode::kModelShape;
    }
    return false;
  };
  CHECK(refused({224, 224}, 0, 0));
  CHECK(refused({224, 224}, -5, 0));
  CHECK(refused({224, 224}, 100, 16));   // fewer than the patches
  CHECK(refused({224, 224}, 100, 300));  // no patch fits
  CHECK(refused({1, 2}, 1, 0));          // 1 x 2 is the only grid
}

TEST_CASE("grid: tiles without sense or beyond the limits are refused, and the largest take no time") {
  const auto code = [](Size tile, int64_t cells) {
    std::string codes;
    for (const bool layout : {false, true}) {
      try {
        if (layout) {
          find_token_layout(tile, cells, 0);
        } else {
          find_grid(tile, cells, 0);
        }
        codes += "none ";
      } catch (const Error& error) {
        codes += std::string(error_code_name(error.code())) + " ";
      }
    }
    return codes;
  };
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  CHECK(code({0, 5}, 1) == "ERR_INVALID_ARGUMENT ERR_INVALID_ARGUMENT ");
  CHECK(code({5, -1}, 1) == "ERR_INVALID_ARGUMENT ERR_INVALID_ARGUMENT ");
  CHECK(code({kMaxSide, kMaxSide + 1}, 1) == "ERR_PLAN_TOO_LARGE ERR_PLAN_TOO_LARGE ");
  CHECK(code({kMost, kMost}, kMost) == "ERR_PLAN_TOO_LARGE ERR_PLAN_TOO_LARGE ");
  CHECK(code({kMaxSide, 1}, kMost) == "ERR_MODEL_SHAPE none ");  // the layout takes all but one column as prefix tokens
  CHECK(code({kMaxSide - 1, kMaxSide}, kMost) == "ERR_MODEL_SHAPE none ");
  CHECK(code({kMaxSide, kMaxSide}, kMaxSide * kMaxSide) == "none none ");
}
