// Portable vectors for the kernels that are compiled once per instruction set (cmake/simd.cmake). Included only by
// ops/*/cpu.cc: all of it has internal linkage, so that no copy compiled for a newer processor can replace an older one's.
// The width comes from what the file is compiled for; arithmetic is the compilers' vector extension.
#pragma once

#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#define MANYSCALE_INLINE static inline __attribute__((always_inline))

#if defined(__clang__) || __GNUC__ >= 12
#define MANYSCALE_SHUFFLE(mask_type, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define MANYSCALE_SHUFFLE(mask_type, a, b, ...) __builtin_shuffle(a, b, mask_type{__VA_ARGS__})
#endif

namespace manyscale::simd {
namespace {

// What this file was really compiled for, whatever the build meant.
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define MANYSCALE_LANES 16
constexpr const char* kIsaName = "avx512";
#elif defined(__AVX2__) && defined(__FMA__)
#define MANYSCALE_LANES 8
constexpr const char* kIsaName = "avx2";
#elif defined(__ARM_NEON)
#define MANYSCALE_LANES 4
constexpr const char* kIsaName = "neon";
#else
#define MANYSCALE_LANES 4
constexpr const char* kIsaName = "baseline";
#endif

constexpr int kLanes = MANYSCALE_LANES;

typedef float Floats __attribute__((vector_size(kLanes * 4)));
typedef int32_t Ints __attribute__((vector_size(kLanes * 4)));
typedef uint8_t Bytes __attribute__((vector_size(kLanes)));

// From and to any address. Vector is named at the call: load<Floats>(p).
template <typename Vector>
MANYSCALE_INLINE Vector load(const void* from) {
  Vector v;
  memcpy(&v, from, sizeof v);
  return v;
}
template <typename Vector>
MANYSCALE_INLINE void store(void* to, Vector v) {
  memcpy(to, &v, sizeof v);
}

MANYSCALE_INLINE Floats broadcast(float value) { return Floats{} + value; }
MANYSCALE_INLINE Ints broadcast(int32_t value) { return Ints{} + value; }

// a * b + c, fused where the processor can.
MANYSCALE_INLINE Floats multiply_add(Floats a, Floats b, Floats c) {
#if MANYSCALE_LANES == 16
  return reinterpret_cast<Floats>(_mm512_fmadd_ps(reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b), reinterpret_cast<__m512>(c)));
#elif MANYSCALE_LANES == 8
  return reinterpret_cast<Floats>(_mm256_fmadd_ps(reinterpret_cast<__m256>(a), reinterpret_cast<__m256>(b), reinterpret_cast<__m256>(c)));
#elif defined(__ARM_NEON)
  return vfmaq_f32(c, a, b);
#else
  return a * b + c;
#endif
}

// The first `count` floats of v, 0 <= count <= kLanes, to any address.
MANYSCALE_INLINE void store_first(float* to, Floats v, int count) {
  if (count == kLanes) {
    store(to, v);
  } else {
#if MANYSCALE_LANES == 16
    _mm512_mask_storeu_ps(to, static_cast<__mmask16>((1U << count) - 1), reinterpret_cast<__m512>(v));
#else
    float values[kLanes];
    store(values, v);
    for (int i = 0; i < count; i++) to[i] = values[i];
#endif
  }
}

// v[i] becomes column i of what v's rows were: kLanes x kLanes 32-bit elements.
MANYSCALE_INLINE void transpose(Floats (&v)[kLanes]) {
#if MANYSCALE_LANES == 16
  __m512 q[16];
  for (int g = 0; g < 16; g += 4) {  // 4 x 4 inside each 128-bit lane
    const __m512 a = reinterpret_cast<__m512>(v[g]), b = reinterpret_cast<__m512>(v[g + 1]);
    const __m512 c = reinterpret_cast<__m512>(v[g + 2]), d = reinterpret_cast<__m512>(v[g + 3]);
    const __m512d ab_low = _mm512_castps_pd(_mm512_unpacklo_ps(a, b)), ab_high = _mm512_castps_pd(_mm512_unpackhi_ps(a, b));
    const __m512d cd_low = _mm512_castps_pd(_mm512_unpacklo_ps(c, d)), cd_high = _mm512_castps_pd(_mm512_unpackhi_ps(c, d));
    q[g] = _mm512_castpd_ps(_mm512_unpacklo_pd(ab_low, cd_low));
    q[g + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(ab_low, cd_low));
    q[g + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(ab_high, cd_high));
    q[g + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(ab_high, cd_high));
  }
  for (int j = 0; j < 4; j++) {  // 4 x 4 of the lanes
    const __m512 even_01 = _mm512_shuffle_f32x4(q[j], q[j + 4], 0x88), odd_01 = _mm512_shuffle_f32x4(q[j], q[j + 4], 0xdd);
    const __m512 even_23 = _mm512_shuffle_f32x4(q[j + 8], q[j + 12], 0x88), odd_23 = _mm512_shuffle_f32x4(q[j + 8], q[j + 12], 0xdd);
    v[j] = reinterpret_cast<Floats>(_mm512_shuffle_f32x4(even_01, even_23, 0x88));
    v[j + 4] = reinterpret_cast<Floats>(_mm512_shuffle_f32x4(odd_01, odd_23, 0x88));
    v[j + 8] = reinterpret_cast<Floats>(_mm512_shuffle_f32x4(even_01, even_23, 0xdd));
    v[j + 12] = reinterpret_cast<Floats>(_mm512_shuffle_f32x4(odd_01, odd_23, 0xdd));
  }
#elif MANYSCALE_LANES == 8
  __m256 q[8];
  for (int g = 0; g < 8; g += 4) {
    const __m256 a = reinterpret_cast<__m256>(v[g]), b = reinterpret_cast<__m256>(v[g + 1]);
    const __m256 c = reinterpret_cast<__m256>(v[g + 2]), d = reinterpret_cast<__m256>(v[g + 3]);
    const __m256d ab_low = _mm256_castps_pd(_mm256_unpacklo_ps(a, b)), ab_high = _mm256_castps_pd(_mm256_unpackhi_ps(a, b));
    const __m256d cd_low = _mm256_castps_pd(_mm256_unpacklo_ps(c, d)), cd_high = _mm256_castps_pd(_mm256_unpackhi_ps(c, d));
    q[g] = _mm256_castpd_ps(_mm256_unpacklo_pd(ab_low, cd_low));
    q[g + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(ab_low, cd_low));
    q[g + 2] = _mm256_castpd_ps(_mm256_unpacklo_pd(ab_high, cd_high));
    q[g + 3] = _mm256_castpd_ps(_mm256_unpackhi_pd(ab_high, cd_high));
  }
  for (int j = 0; j < 4; j++) {
    v[j] = reinterpret_cast<Floats>(_mm256_permute2f128_ps(q[j], q[j + 4], 0x20));
    v[j + 4] = reinterpret_cast<Floats>(_mm256_permute2f128_ps(q[j], q[j + 4], 0x31));
  }
#else
  const Floats ab_low = MANYSCALE_SHUFFLE(Ints, v[0], v[1], 0, 4, 1, 5), ab_high = MANYSCALE_SHUFFLE(Ints, v[0], v[1], 2, 6, 3, 7);
  const Floats cd_low = MANYSCALE_SHUFFLE(Ints, v[2], v[3], 0, 4, 1, 5), cd_high = MANYSCALE_SHUFFLE(Ints, v[2], v[3], 2, 6, 3, 7);
  v[0] = MANYSCALE_SHUFFLE(Ints, ab_low, cd_low, 0, 1, 4, 5);
  v[1] = MANYSCALE_SHUFFLE(Ints, ab_low, cd_low, 2, 3, 6, 7);
  v[2] = MANYSCALE_SHUFFLE(Ints, ab_high, cd_high, 0, 1, 4, 5);
  v[3] = MANYSCALE_SHUFFLE(Ints, ab_high, cd_high, 2, 3, 6, 7);
#endif
}

}  // namespace
}  // namespace manyscale::simd
