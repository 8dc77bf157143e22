#include "core/isa.h"

#include <cstdlib>

#include "core/error.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace manyscale {
namespace {

#if defined(__x86_64__)
// Asked of the processor itself: not every compiler's __builtin_cpu_supports knows the name. That the system saves the
// registers comes with avx2.
bool has_f16c() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}
#endif

std::vector<Isa> detect() {
#if defined(__aarch64__)
  return {Isa::kNeon};
#else
  std::vector<Isa> isas{Isa::kBaseline};
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c()) {
    isas.push_back(Isa::kAvx2);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
      isas.push_back(Isa::kAvx512);
    }
  }
#endif
  return isas;
#endif
}

}  // namespace

const char* isa_name(Isa isa) noexcept {
  switch (isa) {
    case Isa::kBaseline: return "baseline";
    case Isa::kAvx2: return "avx2";
    case Isa::kAvx512: return "avx512";
    case Isa::kNeon: return "neon";
  }
  return "baseline";
}

const std::vector<Isa>& available_isas() {
  static const std::vector<Isa>* const isas = new std::vector<Isa>(detect());  // leaked: nothing is destroyed at exit
  return *isas;
}

Isa active_isa() {
  // Read once: getenv must not race with a later setenv of the host program.
  static const std::string* const forced = [] {
    const char* value = std::getenv("MANYSCALE_FORCE_ISA");
    return new std::string(value ? value : "");
  }();
  if (forced->empty()) return available_isas().back();
  std::string names;
  for (Isa isa : available_isas()) {
    if (*forced == isa_name(isa)) return isa;
    names += (names.empty() ? "" : ", ") + std::string(isa_name(isa));
  }
  throw Error(ErrorCode::kInvalidArgument,
              "Expected one of " + names + " for MANYSCALE_FORCE_ISA (what this processor and this build have) but received " + *forced);
}

}  // namespace manyscale
