#include "device_limits.h"

namespace software_cuda {

Limits limits_of(int major, int minor) noexcept {
  const auto limits = [](int threads, int blocks, int shared_kib, int optin_kib) { return Limits{threads, blocks, shared_kib * 1024, optin_kib * 1024}; };
  switch (major * 10 + minor) {
    case 75: return limits(1024, 16, 64, 64);
    case 80:
    case 87: return limits(2048, major * 10 + minor == 87 ? 16 : 32, 164, 163);
    case 86: return limits(1536, 16, 100, 99);
    case 89: return limits(1536, 24, 100, 99);
    case 90:
    case 100: return limits(2048, 32, 228, 227);
    case 110:
    case 120: return limits(1536, 24, major == 11 ? 228 : 100, major == 11 ? 227 : 99);
    default: return limits(1024, 16, 64, 48);
  }
}

}  // namespace software_cuda
