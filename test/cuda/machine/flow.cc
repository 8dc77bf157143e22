// Where diverged lanes meet again: the immediate post-dominator of each branch (Cooper, Harvey and Kennedy 2001, on the reversed graph).
#include <algorithm>

#include "machine/ptx.h"

namespace software_cuda {

void find_reconvergence(Kernel& kernel) {
  const int count = static_cast<int>(kernel.code.size());  // the exit is node `count`
  std::vector<std::vector<int>> next(static_cast<size_t>(count) + 1), before(static_cast<size_t>(count) + 1);
  for (int i = 0; i < count; i++) {
    const Instruction& instruction = kernel.code[static_cast<size_t>(i)];
    std::vector<int>& to = next[static_cast<size_t>(i)];
    const bool guarded = instruction.guard >= 0;
    if (instruction.op == Op::kBranch) to.push_back(instruction.target);
    if (instruction.op == Op::kExit || instruction.op == Op::kTrap) to.push_back(count);
    if ((instruction.op != Op::kBranch && instruction.op != Op::kExit && instruction.op != Op::kTrap) || guarded) to.push_back(i + 1);
    for (const int t : to) before[static_cast<size_t>(t)].push_back(i);
  }
  // Postorder of the reversed graph, from the exit.
  std::vector<int> order, number(static_cast<size_t>(count) + 1, -1), position(static_cast<size_t>(count) + 1, 0);
  std::vector<bool> seen(static_cast<size_t>(count) + 1, false);
  std::vector<int> stack{count};
  seen[static_cast<size_t>(count)] = true;
  while (!stack.empty()) {
    const auto node = static_cast<size_t>(stack.back());
    if (static_cast<size_t>(position[node]) < before[node].size()) {
      const int child = before[node][static_cast<size_t>(position[node]++)];
      if (!seen[static_cast<size_t>(child)]) {
        seen[static_cast<size_t>(child)] = true;
        stack.push_back(child);
      }
    } else {
      number[node] = static_cast<int>(order.size());
      order.push_back(stack.back());
      stack.pop_back();
    }
  }
  std::vector<int> immediate(static_cast<size_t>(count) + 1, -1);
  immediate[static_cast<size_t>(count)] = count;
  const auto meet = [&](int a, int b) {
    while (a != b) {
      while (number[static_cast<size_t>(a)] < number[static_cast<size_t>(b)]) a = immediate[static_cast<size_t>(a)];
      while (number[static_cast<size_t>(b)] < number[static_cast<size_t>(a)]) b = immediate[static_cast<size_t>(b)];
    }
    return a;
  };
  for (bool changed = true; changed;) {
    changed = false;
    for (auto node = order.rbegin() + 1; node < order.rend(); ++node) {
      int found = -1;
      for (const int t : next[static_cast<size_t>(*node)]) {
        if (immediate[static_cast<size_t>(t)] < 0) continue;
        found = found < 0 ? t : meet(found, t);
      }
      if (found != immediate[static_cast<size_t>(*node)]) {
        immediate[static_cast<size_t>(*node)] = found;
        changed = true;
      }
    }
  }
  for (int i = 0; i < count; i++) {
    const int found = immediate[static_cast<size_t>(i)];
    kernel.code[static_cast<size_t>(i)].reconvergence = found < 0 ? count : found;
  }
}

}  // namespace software_cuda
