// A GPU's second-level cache, modelled: lines of 128 bytes in sectors of 32, sets of 16 ways, the line that was not used for longest goes first.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "machine/machine.h"

namespace software_cuda {

class L2 {
 public:
  explicit L2(size_t bytes);
  void read(uint64_t sector);   // address / 32
  void write(uint64_t sector);  // whole or in part
  void finish(Report& report);  // writes back what is left

 private:
  struct Line {
    uint64_t tag = UINT64_MAX;
    uint64_t used = 0;
    uint8_t valid = 0;  // a bit per sector
    uint8_t dirty = 0;
  };
  Line& find(uint64_t sector);

  static constexpr size_t kWays = 16;
  const size_t sets_;
  std::vector<Line> lines_;
  uint64_t clock_ = 0;
  uint64_t read_ = 0, written_ = 0;
  std::unordered_map<uint64_t, uint8_t> touched_;  // by sector: 1 read first, 2 written
};

}  // namespace software_cuda
