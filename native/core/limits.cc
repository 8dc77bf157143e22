#include "core/limits.h"

#include <string>

#include "core/error.h"

namespace manyscale {

void check_side(int64_t side, const char* what) {
  if (side < 1) throw Error(ErrorCode::kInvalidArgument, std::string("Expected at least 1 pixel for ") + what + " but received " + std::to_string(side));
  if (side > kMaxSide) {
    throw Error(ErrorCode::kPlanTooLarge,
                std::string("Expected at most ") + std::to_string(kMaxSide) + " pixels for " + what + " but received " + std::to_string(side));
  }
}

void check_tile_count(int64_t tiles) {
  if (tiles > kMaxPlanTiles) {
    throw Error(ErrorCode::kPlanTooLarge, "Expected at most " + std::to_string(kMaxPlanTiles) + " tiles over all scales but received " + std::to_string(tiles) +
                                              "; take larger tiles, smaller scales or fewer images");
  }
}

}  // namespace manyscale
