// What a kernel's loads and stores may touch, and what is counted of them.
#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <mutex>

#include "machine/warp.h"

namespace software_cuda {

std::byte* Block::global(const Instruction& i, const Warp& warp, int lane, uint64_t address, size_t bytes, bool writes) {
  const std::vector<Region>& memory = context_.memory;
  const auto inside = [&](size_t r) { return r < memory.size() && address >= memory[r].address && address - memory[r].address + bytes <= memory[r].bytes; };
  if (!inside(last_region_)) {
    const auto after = std::upper_bound(memory.begin(), memory.end(), address, [](uint64_t a, const Region& region) { return a < region.address; });
    last_region_ = after == memory.begin() ? memory.size() : static_cast<size_t>(after - memory.begin()) - 1;
    if (!inside(last_region_)) {
      const std::string near = last_region_ < memory.size() ? ", " + std::to_string(address - memory[last_region_].address) + " bytes into memory of " +
                                                                  std::to_string(memory[last_region_].bytes)
                                                            : "";
      fault(FaultKind::kOutOfBounds, i, warp, lane, std::to_string(bytes) + " bytes at an address that is not in the device's memory" + near);
    }
  }
  if (address % bytes != 0) fault(FaultKind::kMisaligned, i, warp, lane, std::to_string(bytes) + " bytes at an address that is no multiple of it");
  if (writes) {
    for (size_t o = 0; o < context_.options.outputs.size(); o++) {
      const Region& output = context_.options.outputs[o];
      if (address < output.address || address - output.address >= output.bytes) continue;
      for (size_t b = 0; b < bytes; b++) {
        const std::atomic_ref<uint8_t> count(context_.written[o][address - output.address + b]);
        if (count.fetch_add(1, std::memory_order_relaxed) > 0)
          fault(FaultKind::kWrittenTwice, i, warp, lane,
                "byte " + std::to_string(address - output.address + b) + " of output " + std::to_string(o) + " a second time");
      }
    }
  }
  return memory[last_region_].host + (address - memory[last_region_].address);
}

std::byte* Block::shared(const Instruction& i, const Warp& warp, int lane, uint64_t offset, size_t bytes, bool writes) {
  if (offset > shared_.size() || bytes > shared_.size() - offset)
    fault(FaultKind::kOutOfBounds, i, warp, lane,
          std::to_string(bytes) + " bytes at " + std::to_string(offset) + " of " + std::to_string(shared_.size()) + " of shared memory");
  if (offset % bytes != 0) fault(FaultKind::kMisaligned, i, warp, lane, std::to_string(bytes) + " bytes at " + std::to_string(offset) + " of shared memory");
  if (context_.options.check_shared) {
    const auto me = static_cast<int16_t>(warp.index);
    for (size_t b = offset; b < offset + bytes; b++) {
      SharedByte& byte = tracked_[b];
      if (byte.write_epoch == epoch_ && byte.writer != me)
        fault(FaultKind::kSharedRace, i, warp, lane,
              "byte " + std::to_string(b) + " of shared memory, which warp " + std::to_string(byte.writer) + " wrote since the last barrier");
      if (writes) {
        if (byte.read_epoch == epoch_ && byte.reader != me)
          fault(FaultKind::kSharedRace, i, warp, lane, "byte " + std::to_string(b) + " of shared memory, which another warp has read since the last barrier");
        byte.write_epoch = epoch_;
        byte.writer = me;
      } else {
        if (byte.write_epoch == 0) fault(FaultKind::kUninitialised, i, warp, lane, "byte " + std::to_string(b) + " of shared memory, which nobody wrote");
        byte.reader = byte.read_epoch == epoch_ && byte.reader != me ? int16_t{-2} : me;
        byte.read_epoch = epoch_;
      }
    }
  }
  return shared_.data() + offset;
}

std::byte* Block::local(const Instruction& i, Warp& warp, int lane, uint64_t offset, size_t bytes) {
  const size_t all = context_.kernel.shape.local_bytes;
  if (offset > all || bytes > all - offset) fault(FaultKind::kOutOfBounds, i, warp, lane, "local memory");
  return warp.local.data() + static_cast<size_t>(lane) * all + offset;
}

void Block::count_global(const uint64_t* addresses, uint32_t mask, bool writes) {
  uint64_t sectors[kLanes];
  size_t count = 0;
  for (int lane = 0; lane < kLanes; lane++) {
    if (mask >> lane & 1) sectors[count++] = addresses[lane] / 32;  // aligned: each lane's bytes lie in one
  }
  std::sort(sectors, sectors + count);
  count = static_cast<size_t>(std::unique(sectors, sectors + count) - sectors);
  report_.global_requests++;
  report_.global_sectors += count;
  for (size_t s = 0; l2_ && s < count; s++) writes ? l2_->write(sectors[s]) : l2_->read(sectors[s]);
}

// 32 banks of 4 bytes; accesses of 8 and 16 bytes go in two and four passes over the lanes.
void Block::count_shared(const uint64_t* offsets, uint32_t mask, size_t bytes) {
  const int passes = bytes <= 4 ? 1 : static_cast<int>(bytes / 4);
  const int lanes = kLanes / passes;
  report_.shared_requests++;
  for (int pass = 0; pass < passes; pass++) {
    std::vector<uint64_t> words[32];
    size_t worst = 1;
    for (int lane = pass * lanes; lane < (pass + 1) * lanes; lane++) {
      if (!(mask >> lane & 1)) continue;
      for (uint64_t word = offsets[lane] / 4; word <= (offsets[lane] + bytes - 1) / 4; word++) {
        std::vector<uint64_t>& bank = words[word % 32];
        if (std::find(bank.begin(), bank.end(), word) == bank.end()) bank.push_back(word);
        worst = std::max(worst, bank.size());
      }
    }
    report_.shared_conflicts += worst - 1;
  }
}

void Block::access(Warp& warp, const Instruction& i, uint32_t mask) {
  const bool writes = i.op == Op::kStore;
  const auto element = static_cast<size_t>(bytes_of(i.type));
  const size_t bytes = element * i.width;
  uint64_t addresses[kLanes] = {};
  bool in_shared = i.space == Space::kShared;
  bool in_local = i.space == Space::kLocal;
  bool elsewhere = false;
  for (int lane = 0; lane < kLanes; lane++) {
    if (!(mask >> lane & 1)) continue;
    const Operand& base = i.in[0];
    uint64_t address = (base.reg >= 0 ? warp.registers[static_cast<size_t>(base.reg * kLanes + lane)] : 0) + static_cast<uint64_t>(i.offset);
    std::byte* data = nullptr;
    if (i.space == Space::kParam) {
      if (address + bytes > context_.launch.parameters.size()) fault(FaultKind::kOutOfBounds, i, warp, lane, "parameters");
      data = const_cast<std::byte*>(context_.launch.parameters.data()) + address;
      elsewhere = true;
    } else if (in_shared || (i.space == Space::kGeneric && address >= kSharedWindow && address < kLocalWindow)) {
      address &= kSharedWindow - 1;
      if (i.space == Space::kShared) address &= 0xffffffffU;
      data = shared(i, warp, lane, address, bytes, writes);
      in_shared = true;
    } else if (in_local || (i.space == Space::kGeneric && address >= kLocalWindow)) {
      data = local(i, warp, lane, address & (kSharedWindow - 1), bytes);
      in_local = true;
    } else {
      data = global(i, warp, lane, address, bytes, writes);
    }
    addresses[lane] = address;
    for (size_t w = 0; w < i.width; w++) {
      if (writes) {
        const Operand& from = i.in[w + 1];
        const uint64_t value = from.reg >= 0 ? warp.registers[static_cast<size_t>(from.reg * kLanes + lane)] : from.value;
        std::memcpy(data + w * element, &value, element);
      } else if (i.to[w] >= 0) {
        uint64_t value = 0;
        std::memcpy(&value, data + w * element, element);
        if (is_signed(i.type)) {
          if (element == 1) value = static_cast<uint32_t>(static_cast<int8_t>(value));
          if (element == 2) value = static_cast<uint32_t>(static_cast<int16_t>(value));
        }
        warp.registers[static_cast<size_t>(i.to[w] * kLanes + lane)] = value;
      }
    }
  }
  if (!context_.options.count || elsewhere) return;
  if (in_shared)
    count_shared(addresses, mask, bytes);
  else if (in_local)
    report_.local_requests++;
  else
    count_global(addresses, mask, writes);
}

void Block::atomic(Warp& warp, const Instruction& i, uint32_t mask) {
  static std::mutex mutex;
  const auto bytes = static_cast<size_t>(bytes_of(i.type));
  const auto read = [&](const Operand& operand, int lane) {
    return operand.reg >= 0 ? warp.registers[static_cast<size_t>(operand.reg * kLanes + lane)] : operand.value;
  };
  for (int lane = 0; lane < kLanes; lane++) {
    if (!(mask >> lane & 1)) continue;
    const uint64_t address = (i.in[0].reg >= 0 ? read(i.in[0], lane) : 0) + static_cast<uint64_t>(i.offset);
    const bool is_shared = i.space == Space::kShared || (i.space == Space::kGeneric && address >= kSharedWindow);
    if (is_shared && (address & 0xffffffffU) + bytes > shared_.size()) fault(FaultKind::kOutOfBounds, i, warp, lane, "shared memory");
    std::byte* const data = is_shared ? shared_.data() + (address & 0xffffffffU) : global(i, warp, lane, address, bytes, false);
    const std::lock_guard lock(mutex);
    uint64_t old = 0;
    std::memcpy(&old, data, bytes);
    const uint64_t a = read(i.in[1], lane);
    uint64_t value = a;
    const bool narrow = bytes == 4;
    const auto wide = [&](uint64_t v) { return narrow ? int64_t{static_cast<int32_t>(v)} : static_cast<int64_t>(v); };
    switch (i.mode) {
      case 0:
        if (i.type == Type::kF32)
          value = std::bit_cast<uint32_t>(std::bit_cast<float>(static_cast<uint32_t>(old)) + std::bit_cast<float>(static_cast<uint32_t>(a)));
        else
          value = old + a;
        break;
      case 1: value = is_signed(i.type) ? (wide(a) < wide(old) ? a : old) : std::min(a, old); break;
      case 2: value = is_signed(i.type) ? (wide(a) > wide(old) ? a : old) : std::max(a, old); break;
      case 3: break;
      case 4: value = old == a ? read(i.in[2], lane) : old; break;
      case 5: value = old & a; break;
      case 6: value = old | a; break;
      default: value = old ^ a; break;
    }
    std::memcpy(data, &value, bytes);
    if (!i.to.empty() && i.to[0] >= 0) warp.registers[static_cast<size_t>(i.to[0] * kLanes + lane)] = old;
  }
}

}  // namespace software_cuda
