// Which instruction set the SIMD kernels use: chosen once per process from the processor, or forced by MANYSCALE_FORCE_ISA.
#pragma once

#include <string>
#include <vector>

namespace manyscale {

enum class Isa { kBaseline, kAvx2, kAvx512, kNeon };

const char* isa_name(Isa isa) noexcept;  // 'baseline', 'avx2', 'avx512', 'neon'

// What this binary has and this processor runs, slowest first.
const std::vector<Isa>& available_isas();

// The fastest of them or the forced one. Error kInvalidArgument when MANYSCALE_FORCE_ISA names one that cannot run here.
Isa active_isa();

}  // namespace manyscale
