// pool on a device with kernels: what is to lie in its memory, and one launch for all images, scales and outputs. Pure: no device is needed.
#pragma once

#include <cstddef>
#include <vector>

#include "core/backend.h"
#include "ops/pool/params.h"

namespace manyscale::pool {

// Of tile features in device memory.
enum class FeatureType { kFloat32, kFloat16, kBfloat16 };

struct LaunchPart {
  const Params* params = nullptr;  // checked; TileSource::buffer is 0, its offset in elements of `type`
  FeatureType type = FeatureType::kFloat32;
  size_t features = 0;  // bytes from the start of the features that offsets count from
  size_t output = 0;    // bytes from the start of the destination where this image's output lies
};

class PoolLaunch {
 public:
  // Error kPlanTooLarge for more than one launch can have.
  explicit PoolLaunch(const std::vector<LaunchPart>& parts);

  size_t table_bytes() const { return tables_.size(); }  // that lie in device memory during the launch, aligned to 256 bytes
  void write_tables(std::byte* to) const;
  Launch at(Buffer features, Buffer tables, Buffer destination) const;

 private:
  std::vector<std::byte> tables_;
  uint32_t blocks_ = 0;
  int32_t parts_ = 0;
};

}  // namespace manyscale::pool
