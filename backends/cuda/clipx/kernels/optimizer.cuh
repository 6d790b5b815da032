// The optimiser on flat spans.
#pragma once
#include "loss.cuh"

namespace clipx::gpu {

/// partial[b] = the squares that block b sums: every gridDim.x-th run of blockDim.x values, in an order of its own.
template <class T>
__global__ void squares(const T* x, dim n, float* partial) {
  CLIPX_SHARED(float[33], shared);
  float sum = 0;
  for (dim i = static_cast<dim>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += static_cast<dim>(gridDim.x) * blockDim.x)
    sum = fmaf(value(x[i]), value(x[i]), sum);
  sum = block_sum(sum, shared);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

/// Numbers of one AdamW step: rest = 1 - beta, wide = 1 / sqrt(1 - beta2^count), keep = 1 - lr decay.
struct adamw_numbers {
  float b1, b2, rest1, rest2, rate, wide, eps, keep, max_norm;
};
/// squares (may be null): the squared norm of all gradients, on the device. copy may be null.
template <class T>
__global__ void adamw(adamw_numbers k, const float* squares, const T* grad, dim n, float* p, float* m, float* v, T* copy) {
  const dim i = static_cast<dim>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const float clip = squares && k.max_norm > 0 ? fminf(1.0f, k.max_norm / (sqrtf(*squares) + 1e-6f)) : 1.0f;
  const float g = clip * value(grad[i]);
  const float m1 = fmaf(k.b1, m[i], k.rest1 * g), v1 = fmaf(k.b2, v[i], k.rest2 * g * g);
  const float p1 = fmaf(p[i], k.keep, -k.rate * m1 / fmaf(sqrtf(v1), k.wide, k.eps));
  m[i] = m1, v[i] = v1, p[i] = p1;
  if (copy) copy[i] = stored<T>(p1);
}

}  // namespace clipx::gpu
