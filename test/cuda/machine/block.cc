// How warps go on: branches, barriers, ends, and what lanes tell each other.
#include <algorithm>
#include <bit>

#include "machine/warp.h"

namespace software_cuda {

Block::Block(Context& context, const uint32_t (&at)[3], Report& report, L2* l2) : context_(context), report_(report), l2_(l2), at_{at[0], at[1], at[2]} {
  const uint32_t(&size)[3] = context.launch.block;
  const uint32_t threads = size[0] * size[1] * size[2];
  shared_.resize(context.shared_bytes);
  if (context.options.check_shared) tracked_.resize(context.shared_bytes);
  for (uint32_t first = 0; first < threads; first += kLanes) {
    Warp warp;
    warp.index = static_cast<int>(first / kLanes);
    const uint32_t lanes = std::min<uint32_t>(kLanes, threads - first);
    warp.alive = lanes == kLanes ? ~0U : (1U << lanes) - 1;
    warp.registers.resize(static_cast<size_t>(context.kernel.registers) * kLanes);
    warp.local.resize(context.kernel.shape.local_bytes * kLanes);
    warp.paths.push_back({0, static_cast<int>(context.kernel.code.size()), warp.alive});
    for (uint32_t lane = 0; lane < kLanes; lane++) {
      const uint32_t thread = first + lane;
      const uint32_t special[kSpecialCount] = {thread % size[0],
                                               thread / size[0] % size[1],
                                               thread / size[0] / size[1],
                                               size[0],
                                               size[1],
                                               size[2],
                                               at[0],
                                               at[1],
                                               at[2],
                                               context.launch.grid[0],
                                               context.launch.grid[1],
                                               context.launch.grid[2],
                                               lane,
                                               static_cast<uint32_t>(warp.index)};
      for (size_t s = 0; s < kSpecialCount; s++) warp.registers[s * kLanes + lane] = special[s];
    }
    warps_.push_back(std::move(warp));
  }
}

Block::~Block() {
  for (size_t c = 0; c < std::size(kClasses); c++) report_.by_class[kClasses[c]] += classes_[c];
}

void Block::fault(FaultKind kind, const Instruction& i, const Warp& warp, int lane, const std::string& text) const {
  const uint32_t(&size)[3] = context_.launch.block;
  const uint32_t thread = static_cast<uint32_t>(warp.index * kLanes + lane);
  const auto three = [](uint32_t x, uint32_t y, uint32_t z) { return std::to_string(x) + ", " + std::to_string(y) + ", " + std::to_string(z); };
  const auto number = static_cast<size_t>(&i - context_.kernel.code.data());
  throw Fault(kind, context_.kernel.name + ", block (" + three(at_[0], at_[1], at_[2]) + "), thread (" +
                        three(thread % size[0], thread / size[0] % size[1], thread / size[0] / size[1]) + "): " + fault_name(kind) + ": " + text + "; line " +
                        std::to_string(i.line) + ": " + context_.kernel.lines[number]);
}

bool Block::turn(uint64_t instructions) {
  bool any = false;
  for (Warp& warp : warps_) {
    for (uint64_t n = 0; n < instructions && warp.alive && !warp.waits; n++) step(warp);
    any = any || warp.alive;
  }
  if (!any) return false;
  const bool all_wait = std::all_of(warps_.begin(), warps_.end(), [](const Warp& warp) { return warp.waits || !warp.alive; });
  if (all_wait) {
    for (Warp& warp : warps_) {
      if (!warp.alive) fault(FaultKind::kBarrier, context_.kernel.code.back(), warp, 0, "a thread ended while others of its block wait at a barrier");
      warp.waits = false;
    }
    epoch_++;
  }
  return true;
}

void Block::end(Warp& warp, uint32_t lanes) {
  warp.alive &= ~lanes;
  for (Path& path : warp.paths) path.mask &= ~lanes;
}

// Some lanes of the path go to the branch's target, the others on; they meet where all their ways do.
void Block::diverge(Warp& warp, const Instruction& i, uint32_t taken) {
  const Path now = warp.paths.back();
  const uint32_t others = now.mask & ~taken;
  const int here = static_cast<int>(&i - context_.kernel.code.data());
  if (others == 0) {
    warp.paths.back().pc = i.target;
  } else if (taken == 0) {
    warp.paths.back().pc = here + 1;
  } else {
    warp.paths.back().pc = i.reconvergence;
    warp.paths.push_back({here + 1, i.reconvergence, others});
    warp.paths.push_back({i.target, i.reconvergence, taken});
  }
}

void Block::step(Warp& warp) {
  while (!warp.paths.empty() && (warp.paths.back().mask == 0 || (warp.paths.size() > 1 && warp.paths.back().pc == warp.paths.back().reconvergence)))
    warp.paths.pop_back();
  if (warp.paths.empty()) {
    warp.alive = 0;
    return;
  }
  Path& path = warp.paths.back();
  const Instruction& i = context_.kernel.code[static_cast<size_t>(path.pc)];
  uint32_t mask = path.mask;
  if (i.guard >= 0) {
    uint32_t yes = 0;
    const uint64_t* const guard = warp.registers.data() + i.guard * kLanes;
    for (int lane = 0; lane < kLanes; lane++) yes |= static_cast<uint32_t>((guard[lane] != 0) != i.guard_negated) << lane;
    mask &= yes;
  }
  if (++report_.warp_instructions > context_.options.instruction_limit) fault(FaultKind::kEndless, i, warp, 0, "more instructions than the limit");
  report_.lane_instructions += static_cast<uint64_t>(std::popcount(mask));
  classes_[i.kind]++;
  switch (i.op) {
    case Op::kBranch: diverge(warp, i, mask); return;
    case Op::kExit:
      path.pc++;  // before the path may go
      end(warp, mask);
      return;
    case Op::kTrap:
      if (mask) fault(FaultKind::kTrap, i, warp, std::countr_zero(mask), "the kernel's own");
      break;
    case Op::kNop: break;
    case Op::kBar:
      if (i.mode == 1) break;  // of the warp, whose lanes are in step
      if (mask != warp.alive) fault(FaultKind::kBarrier, i, warp, std::countr_zero(warp.alive & ~mask), "a barrier that only some threads of a warp arrive at");
      path.pc++;
      warp.waits = true;
      return;
    case Op::kLoad:
    case Op::kStore:
      if (mask) access(warp, i, mask);
      break;
    case Op::kAtom:
      if (mask) atomic(warp, i, mask);
      break;
    case Op::kShfl:
    case Op::kVote:
    case Op::kActiveMask:
      if (mask) exchange(warp, i, mask);
      break;
    default:
      if (mask) compute(warp, i, mask);
      break;
  }
  warp.paths.back().pc++;
}

void Block::exchange(Warp& warp, const Instruction& i, uint32_t mask) {
  uint64_t* const registers = warp.registers.data();
  const auto in = [&](size_t operand, int lane) { return i.in[operand].reg >= 0 ? registers[i.in[operand].reg * kLanes + lane] : i.in[operand].value; };
  uint64_t results[kLanes] = {};
  bool valid[kLanes] = {};
  if (i.op == Op::kActiveMask) {
    std::fill(std::begin(results), std::end(results), mask);
  } else if (i.op == Op::kVote) {
    uint32_t ballot = 0;
    for (int lane = 0; lane < kLanes; lane++) {
      if (mask >> lane & 1 && (in(0, lane) != 0) != (i.in[0].reg >= 0 && i.in[0].value != 0)) ballot |= 1U << lane;
    }
    const uint64_t value = i.mode == 0 ? ballot == mask : i.mode == 1 ? ballot != 0 : i.mode == 2 ? ballot == 0 || ballot == mask : ballot;
    std::fill(std::begin(results), std::end(results), value);
  } else {
    for (int lane = 0; lane < kLanes; lane++) {
      if (!(mask >> lane & 1)) continue;
      const auto b = static_cast<int>(in(1, lane) & 31);
      const uint64_t c = in(2, lane);
      const int clamp = static_cast<int>(c & 31), segment = static_cast<int>(c >> 8 & 31);
      const int low = lane & segment, high = (lane & segment) | (clamp & ~segment);
      int from = lane;
      if (i.mode == 0)
        from = lane - b, valid[lane] = from >= high;
      else if (i.mode == 1)
        from = lane + b, valid[lane] = from <= high;
      else if (i.mode == 2)
        from = lane ^ b, valid[lane] = from <= high;
      else
        from = low | (b & ~segment), valid[lane] = from <= high;
      if (!valid[lane]) from = lane;
      if (!(mask >> from & 1)) fault(FaultKind::kShuffle, i, warp, lane, "the value of lane " + std::to_string(from) + ", which takes no part");
      results[lane] = in(0, from);
    }
  }
  for (int lane = 0; lane < kLanes; lane++) {
    if (!(mask >> lane & 1)) continue;
    if (i.to[0] >= 0) registers[i.to[0] * kLanes + lane] = results[lane];
    if (i.to.size() > 1 && i.to[1] >= 0) registers[i.to[1] * kLanes + lane] = valid[lane];
  }
}

}  // namespace software_cuda
