// Portable vectors for the kernels that are compiled once per instruction set (cmake/simd.cmake). Included only by
// ops/*/cpu.cc: all of it has internal linkage, so that no copy compiled for a newer processor can replace an older one's.
// The width comes from what the file is compiled for; arithmetic is the compilers' vector extension.
#pragma once

#include <stdint.h>
#include <string.h>

#include "core/half.h"

#if defined(__SSE2__)
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12's own headers leave a pass-through operand unset on purpose and warn about it (GCC bug 105593).
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#else
#include <immintrin.h>
#endif
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#define MANYSCALE_INLINE inline __attribute__((always_inline))
#if defined(__clang__)
#define MANYSCALE_UNROLL _Pragma("unroll")
#else
#define MANYSCALE_UNROLL _Pragma("GCC unroll 16")
#endif

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
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
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
typedef uint8_t Bytes16 __attribute__((vector_size(16)));
typedef uint16_t Shorts8 __attribute__((vector_size(16)));

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

// kLanes bytes from any address.
MANYSCALE_INLINE Ints load_bytes(const uint8_t* from) {
#if MANYSCALE_LANES == 16
  return reinterpret_cast<Ints>(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
#elif MANYSCALE_LANES == 8
  return reinterpret_cast<Ints>(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
#else
  uint32_t four;
  memcpy(&four, from, sizeof four);
#if defined(__SSE2__)
  const __m128i bytes = _mm_unpacklo_epi8(_mm_cvtsi32_si128(static_cast<int>(four)), _mm_setzero_si128());
  return reinterpret_cast<Ints>(_mm_unpacklo_epi16(bytes, _mm_setzero_si128()));
#elif defined(__ARM_NEON)
  return reinterpret_cast<Ints>(vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(four)))));
#else
  return Ints{from[0], from[1], from[2], from[3]};
#endif
#endif
}
MANYSCALE_INLINE Floats to_floats(Ints v) { return __builtin_convertvector(v, Floats); }

// Every fourth lane, spread over its group of four.
MANYSCALE_INLINE Ints spread_fourth(Ints v) {
#if MANYSCALE_LANES == 16
  return reinterpret_cast<Ints>(_mm512_shuffle_epi32(reinterpret_cast<__m512i>(v), static_cast<_MM_PERM_ENUM>(0xff)));
#elif MANYSCALE_LANES == 8
  return reinterpret_cast<Ints>(_mm256_shuffle_epi32(reinterpret_cast<__m256i>(v), 0xff));
#else
  return MANYSCALE_SHUFFLE(Ints, v, v, 3, 3, 3, 3);
#endif
}

// Of two vectors of 16 bytes: a[0], b[0], a[1], b[1] ... from the lower and from the upper halves.
MANYSCALE_INLINE Bytes16 zip_low(Bytes16 a, Bytes16 b) { return MANYSCALE_SHUFFLE(Bytes16, a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23); }
MANYSCALE_INLINE Bytes16 zip_high(Bytes16 a, Bytes16 b) {
  return MANYSCALE_SHUFFLE(Bytes16, a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}

// Lanes as pairs of 16-bit integers: a.low * b.low + a.high * b.high.
MANYSCALE_INLINE Ints multiply_pairs(Ints a, Ints b) {
#if MANYSCALE_LANES == 16
  return reinterpret_cast<Ints>(_mm512_madd_epi16(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#elif MANYSCALE_LANES == 8
  return reinterpret_cast<Ints>(_mm256_madd_epi16(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#elif defined(__SSE2__)
  return reinterpret_cast<Ints>(_mm_madd_epi16(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
#elif defined(__ARM_NEON)
  const int16x8_t x = vreinterpretq_s16_s32(reinterpret_cast<int32x4_t>(a)), y = vreinterpretq_s16_s32(reinterpret_cast<int32x4_t>(b));
  return reinterpret_cast<Ints>(vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(y)), vmull_high_s16(x, y)));
#else
  return ((a << 16) >> 16) * ((b << 16) >> 16) + (a >> 16) * (b >> 16);
#endif
}

// kLanes floats as binary16 to any address: to_half's bits, NaN included.
MANYSCALE_INLINE void store_halves(uint16_t* to, Floats v) {
#if MANYSCALE_LANES == 16
  store(to, _mm512_cvtps_ph(reinterpret_cast<__m512>(v), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
#elif MANYSCALE_LANES == 8
  store(to, _mm256_cvtps_ph(reinterpret_cast<__m256>(v), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
#elif defined(__ARM_NEON)
  store(to, vcvt_f16_f32(v));
#else
  for (int i = 0; i < kLanes; i++) to[i] = to_half(v[i]);
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

#if MANYSCALE_LANES >= 8
// 8 x 8 elements of 32 bits, in place.
MANYSCALE_INLINE void transpose8(__m256 (&v)[8]) {
  __m256 q[8];
  MANYSCALE_UNROLL
  for (int g = 0; g < 8; g += 4) {
    const __m256 a = v[g], b = v[g + 1];
    const __m256 c = v[g + 2], d = v[g + 3];
    const __m256d ab_low = _mm256_castps_pd(_mm256_unpacklo_ps(a, b)), ab_high = _mm256_castps_pd(_mm256_unpackhi_ps(a, b));
    const __m256d cd_low = _mm256_castps_pd(_mm256_unpacklo_ps(c, d)), cd_high = _mm256_castps_pd(_mm256_unpackhi_ps(c, d));
    q[g] = _mm256_castpd_ps(_mm256_unpacklo_pd(ab_low, cd_low));
    q[g + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(ab_low, cd_low));
    q[g + 2] = _mm256_castpd_ps(_mm256_unpacklo_pd(ab_high, cd_high));
    q[g + 3] = _mm256_castpd_ps(_mm256_unpackhi_pd(ab_high, cd_high));
  }
  MANYSCALE_UNROLL
  for (int j = 0; j < 4; j++) {
    v[j] = _mm256_permute2f128_ps(q[j], q[j + 4], 0x20);
    v[j + 4] = _mm256_permute2f128_ps(q[j], q[j + 4], 0x31);
  }
}
#endif

// kLanes x kLanes elements of 32 bits, in place.
MANYSCALE_INLINE void transpose(Floats (&v)[kLanes]) {
#if MANYSCALE_LANES == 16
  __m512 q[16];
  MANYSCALE_UNROLL
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
  MANYSCALE_UNROLL
  for (int j = 0; j < 4; j++) {  // 4 x 4 of the lanes
    const __m512 even_01 = _mm512_shuffle_f32x4(q[j], q[j + 4], 0x88), odd_01 = _mm512_shuffle_f32x4(q[j], q[j + 4], 0xdd);
    const __m512 even_23 = _mm512_shuffle_f32x4(q[j + 8], q[j + 12], 0x88), odd_23 = _mm512_shuffle_f32x4(q[j + 8], q[j + 12], 0xdd);
    v[j] = reinterpret_cast<Floats>(_mm512_shuffle_f32x4(even_01, even_23, 0x88));
    v[j + 4] = reinterpret_cast<Floats>(_mm512_shuffle_f32x4(odd_01, odd_23, 0x88));
    v[j + 8] = reinterpret_cast<Floats>(_mm512_shuffle_f32x4(even_01, even_23, 0xdd));
    v[j + 12] = reinterpret_cast<Floats>(_mm512_shuffle_f32x4(odd_01, odd_23, 0xdd));
  }
#elif MANYSCALE_LANES == 8
  transpose8(reinterpret_cast<__m256(&)[8]>(v));
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
