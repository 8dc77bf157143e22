#include "machine/l2.h"

#include <algorithm>
#include <bit>

namespace software_cuda {

constexpr uint64_t kSectorBytes = 32;
constexpr uint64_t kSectorsOfLine = 4;

L2::L2(size_t bytes) : sets_(std::max<size_t>(1, bytes / (kWays * kSectorBytes * kSectorsOfLine))), lines_(sets_ * kWays) {}

L2::Line& L2::find(uint64_t sector) {
  const uint64_t tag = sector / kSectorsOfLine;
  Line* const set = &lines_[(tag * 0x9e3779b97f4a7c15ULL >> 20) % sets_ * kWays];
  Line* oldest = set;
  for (Line* line = set; line != set + kWays; line++) {
    if (line->tag == tag) {
      line->used = ++clock_;
      return *line;
    }
    if (line->used < oldest->used) oldest = line;
  }
  written_ += static_cast<uint64_t>(std::popcount(oldest->dirty)) * kSectorBytes;
  *oldest = {tag, ++clock_, 0, 0};
  return *oldest;
}

void L2::read(uint64_t sector) {
  touched_.try_emplace(sector, uint8_t{0}).first->second |= 1;
  Line& line = find(sector);
  const auto bit = static_cast<uint8_t>(1U << sector % kSectorsOfLine);
  if (!(line.valid & bit)) read_ += kSectorBytes;
  line.valid |= bit;
}

void L2::write(uint64_t sector) {
  const auto [entry, is_new] = touched_.try_emplace(sector, uint8_t{2});
  if (!is_new) entry->second |= 2;
  Line& line = find(sector);
  const auto bit = static_cast<uint8_t>(1U << sector % kSectorsOfLine);
  line.valid |= bit;
  line.dirty |= bit;
}

void L2::finish(Report& report) {
  for (const Line& line : lines_) written_ += static_cast<uint64_t>(std::popcount(line.dirty)) * kSectorBytes;
  report.dram_read = read_;
  report.dram_written = written_;
  for (const auto& [sector, how] : touched_) {
    if (how & 1) report.ideal_read += kSectorBytes;
    if (how & 2) report.ideal_written += kSectorBytes;
  }
}

}  // namespace software_cuda
