// Kernels of the shape that split and pool have. samples.ptx is what nvcc makes of them: nvcc -std=c++17 -O3 -ptx -arch=compute_75 samples.cu
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>

struct ResizeArguments {
  uint64_t from, to, weights;
  int32_t in, out, taps, flags;
};
// One row of bytes to `out` floats: weights in shared memory, clamped taps.
extern "C" __global__ void __launch_bounds__(128) resize_row(const __grid_constant__ ResizeArguments a) {
  __shared__ float weights[16];
  const auto* from = reinterpret_cast<const uint8_t*>(a.from);
  for (int t = threadIdx.x; t < a.taps; t += blockDim.x) weights[t] = reinterpret_cast<const float*>(a.weights)[t];
  __syncthreads();
  const int x = blockIdx.x * blockDim.x + threadIdx.x;
  if (x >= a.out) return;
  const int first = static_cast<int>((static_cast<int64_t>(x) * a.in) / a.out) - a.taps / 2;
  float sum = 0;
  for (int t = 0; t < a.taps; t++) sum += weights[t] * static_cast<float>(from[min(max(first + t, 0), a.in - 1)]);
  reinterpret_cast<float*>(a.to)[x] = sum;
}

struct PoolArguments {
  uint64_t from, to;
  int32_t rows, groups;  // groups of 8 channels
  int32_t bfloat, flags;
};
extern "C" __global__ void pool_half(const __grid_constant__ PoolArguments a) {
  const int g = blockIdx.x * blockDim.x + threadIdx.x;
  if (g >= a.groups) return;
  float sums[8] = {};
  for (int r = 0; r < a.rows; r++) {
    const uint4 words = reinterpret_cast<const uint4*>(a.from)[static_cast<int64_t>(r) * a.groups + g];
    const uint32_t parts[4] = {words.x, words.y, words.z, words.w};
    for (int k = 0; k < 4; k++) {
      if (a.bfloat) {
        sums[2 * k] += __uint_as_float(parts[k] << 16);
        sums[2 * k + 1] += __uint_as_float(parts[k] & 0xffff0000U);
      } else {
        const float2 two = __half22float2(*reinterpret_cast<const __half2*>(&parts[k]));
        sums[2 * k] += two.x;
        sums[2 * k + 1] += two.y;
      }
    }
  }
  uint32_t out[4];
  for (int k = 0; k < 4; k++) {
    const __half2 two = __floats2half2_rn(sums[2 * k] / a.rows, sums[2 * k + 1] / a.rows);
    out[k] = *reinterpret_cast<const uint32_t*>(&two);
  }
  reinterpret_cast<uint4*>(a.to)[g] = make_uint4(out[0], out[1], out[2], out[3]);
}

struct SumArguments {
  uint64_t from, to;
  int32_t count, barrier;  // 0: the barrier is left out
};
// A block's sum: shuffles in warps, then through shared memory.
extern "C" __global__ void block_sum(const __grid_constant__ SumArguments a) {
  extern __shared__ int32_t parts[];
  int32_t sum = 0;
  for (int i = threadIdx.x; i < a.count; i += blockDim.x) sum += reinterpret_cast<const int32_t*>(a.from)[i];
  for (int by = 16; by > 0; by /= 2) sum += __shfl_xor_sync(0xffffffffU, sum, by);
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = sum;
  if (a.barrier) __syncthreads();
  if (threadIdx.x == 0) {
    int32_t all = 0;
    for (unsigned w = 0; w < blockDim.x / 32; w++) all += parts[w];
    *reinterpret_cast<int32_t*>(a.to) = all;
  }
}
