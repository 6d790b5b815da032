// What every kernel needs: checked calls, the single launch function, shared memory, conversions, reductions over a warp and a
// block. Kernels are written for the device and run unchanged in tests/emulation (a stand-in <cuda_runtime.h> that runs a block's
// threads as fibers on the host). Hence: no <<<>>>, dynamic shared memory only through shared_memory(), warps only through the
// helpers below with all lanes present, and a portable twin for everything in PTX.
#pragma once
#include <cuda_runtime.h>

#include <algorithm>
#include <clipx/core/backend.hpp>
#include <clipx/core/bf16.hpp>
#include <clipx/core/error.hpp>
#include <cstdint>
#include <type_traits>

namespace clipx::gpu {

#ifdef CLIPX_CUDA_EMULATION
inline constexpr bool emulated = true;
#else
inline constexpr bool emulated = false;
#endif

/// Throws clipx::error with what was called, what came back and where; kind out_of_memory or device.
inline void check(cudaError_t code, const char* what, where at = where::here()) {
  if (code != cudaSuccess)
    fail(code == cudaErrorMemoryAllocation ? error_kind::out_of_memory : error_kind::device,
         cat("cuda: ", what, ": ", cudaGetErrorString(code), " (", at.file, ":", at.line, ")"), at);
}

/// A matrix product as gpu::lt takes it: c (m, n) = alpha op(a) op(b) + beta c, plus bias (1, n) if given. a and b have the same
/// type, and so have c and the bias.
struct product {
  struct operand {
    const void* data;
    dim ld;
    op form;
  };
  operand a, b;
  void* c;
  dim ldc;
  dim m, n, k;
  float alpha, beta;
  const void* bias;
  bool bf16_in, bf16_out;  // else float
};

/// The only place that launches kernels. Arguments are converted to the kernel's parameters; an empty grid launches nothing.
template <class... P, class... A>
void launch(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes, cudaStream_t stream, A&&... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  if (shared_bytes > 48 * 1024)
    check(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shared_bytes)),
          "shared memory of a kernel");
  check(cudaLaunchKernelEx(&config, kernel, static_cast<P>(arguments)...), "launching a kernel");
}

inline unsigned blocks_for(dim items, dim per_block) { return static_cast<unsigned>((items + per_block - 1) / per_block); }

/// CLIPX_SHARED(type, name) is the only way to declare a block's static shared memory; arrays as CLIPX_SHARED(float[33], name).
#ifdef CLIPX_CUDA_EMULATION
#define CLIPX_SHARED(type, name) auto& name = ::emulation::shared<type>([] {})
#else
#define CLIPX_SHARED(type, name) __shared__ std::type_identity_t<type> name
#endif

/// The block's dynamic shared memory, aligned for any vector.
template <class E>
__device__ E* shared_memory() {
#ifdef CLIPX_CUDA_EMULATION
  return static_cast<E*>(::emulation::dynamic_shared());
#else
  extern __shared__ __align__(128) unsigned char clipx_dynamic_shared[];
  return reinterpret_cast<E*>(clipx_dynamic_shared);
#endif
}

// Storage and arithmetic: everything is computed in float.
__device__ inline float value(float v) { return v; }
__device__ inline float value(bf16 v) { return __uint_as_float(static_cast<unsigned>(v.bits) << 16); }
template <class E>
__device__ E stored(float v);
template <>
__device__ inline float stored<float>(float v) {
  return v;
}
/// Rounds to nearest even; NaN stays NaN.
template <>
__device__ inline bf16 stored<bf16>(float v) {
  const unsigned u = __float_as_uint(v);
  bf16 out;
  out.bits =
      static_cast<std::uint16_t>((u & 0x7fffffffu) > 0x7f800000u ? (u >> 16) | 0x40u : (u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
  return out;
}

// Warps: every lane takes part.
inline constexpr unsigned all_lanes = 0xffffffffu;
__device__ inline float warp_sum(float v) {
  for (int step = 16; step > 0; step >>= 1) v += __shfl_xor_sync(all_lanes, v, step);
  return v;
}
__device__ inline float warp_max(float v) {
  for (int step = 16; step > 0; step >>= 1) v = fmaxf(v, __shfl_xor_sync(all_lanes, v, step));
  return v;
}

/// Sum over a block of whole warps (at most 1024 threads), the same in every thread. `partial` is 33 floats of shared memory, which
/// may be reused immediately.
__device__ inline float block_sum(float v, float* partial) {
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  v = warp_sum(v);
  __syncthreads();
  if (lane == 0) partial[warp] = v;
  __syncthreads();
  v = warp_sum(lane < warps ? partial[lane] : 0.0f);
  return v;
}
__device__ inline float block_max(float v, float* partial) {
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  v = warp_max(v);
  __syncthreads();
  if (lane == 0) partial[warp] = v;
  __syncthreads();
  v = warp_max(lane < warps ? partial[lane] : -INFINITY);
  return v;
}

}  // namespace clipx::gpu
