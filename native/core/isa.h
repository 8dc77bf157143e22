// Which instruction set the SIMD kernels use: chosen once per process from the processor, or forced by MANYSCALE_FORCE_ISA.
#pragma once

#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

namespace manyscale {

enum class Isa { kBaseline, kAvx2, kAvx512, kNeon };

const char* isa_name(Isa isa) noexcept;  // 'baseline', 'avx2', 'avx512', 'neon'

// What this binary has and this processor runs, slowest first.
const std::vector<Isa>& available_isas();

// The fastest of them or the forced one. Error kInvalidArgument when MANYSCALE_FORCE_ISA names one that cannot run here.
Isa active_isa();

// F(namespace of the kernels, Isa), slowest first, for each instruction set that cmake/simd.cmake compiles ops/*/cpu.cc for.
#if defined(__aarch64__)
#define MANYSCALE_EACH_ISA(F) F(neon, Isa::kNeon)
#elif defined(__x86_64__)
#define MANYSCALE_EACH_ISA(F) F(baseline, Isa::kBaseline) F(avx2, Isa::kAvx2) F(avx512, Isa::kAvx512)
#else
#define MANYSCALE_EACH_ISA(F) F(baseline, Isa::kBaseline)
#endif

template <typename Kernels>
const Kernels& choose_kernels(std::initializer_list<std::pair<Isa, const Kernels*>> tables) {
  const Isa active = active_isa();
  const Kernels* chosen = tables.begin()->second;
  for (const auto& [isa, kernels] : tables) {
    if (isa == active) chosen = kernels;
  }
  return *chosen;
}

// In the namespace of an operation: its table (kernels.h) for active_isa().
#define MANYSCALE_KERNELS_OF(name, isa) {isa, &name::kKernels},
#define MANYSCALE_ACTIVE_KERNELS() ::manyscale::choose_kernels<Kernels>({MANYSCALE_EACH_ISA(MANYSCALE_KERNELS_OF)})

}  // namespace manyscale
