// The optimizer on flat spans, (1, n).
#pragma once
#include "engine.hpp"

namespace clipx::detail {

template <class T>
class cuda_optimizer : cuda_family {
 public:
  using cuda_family::cuda_family;

  void sum_squares(mat<const T> x, mat<float> y);
  template <wider_float<T> A>
  void sum_squares(mat<const std::type_identity_t<A>> x, mat<A> y);
  void adamw(const adamw_step& s, mat<const float> squares, mat<const T> grad, mat<float> p, mat<float> m, mat<float> v,
             mat<T> copy);
  void adamw(const adamw_step& s, mat<const float> squares, mat<const float> grad, mat<float> p, mat<float> m, mat<float> v);
  /// y -= weight (y - x), on (1, n).
  void lerp(double weight, mat<const float> x, mat<float> y);
};

}  // namespace clipx::detail

#ifdef CLIPX_CUDA_DEFINITIONS
#include <algorithm>
#include <cmath>

#include "launch.cuh"

namespace clipx::gpu {

/// partial[b] = the sum of squares of block b: every gridDim.x-th run of blockDim.x values, in a fixed order.
template <class T>
__global__ void squares(const T* x, dim n, float* partial) {
  CLIPX_SHARED(float[33], shared);
  float sum = 0;
  for (dim i = static_cast<dim>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += static_cast<dim>(gridDim.x) * blockDim.x)
    sum = fmaf(value(x[i]), value(x[i]), sum);
  sum = block_sum(sum, shared);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

/// Constants of one AdamW step: one_minus_beta = 1 - beta, step_size = lr / (1 - beta1^count), v_scale = 1 / sqrt(1 - beta2^count),
/// p_scale = 1 - lr decay.
struct adamw_constants {
  float beta1, beta2, one_minus_beta1, one_minus_beta2, step_size, v_scale, eps, p_scale, max_norm;
};
/// squares (may be null): the squared norm of all gradients, on the device. copy may be null.
template <class T>
__global__ void adamw(adamw_constants k, const float* squares, const T* grad, dim n, float* p, float* m, float* v, T* copy) {
  const dim i = static_cast<dim>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const float clip = squares && k.max_norm > 0 ? fminf(1.0f, k.max_norm / (sqrtf(*squares) + 1e-6f)) : 1.0f;
  const float g = clip * value(grad[i]);
  const float m1 = fmaf(k.beta1, m[i], k.one_minus_beta1 * g), v1 = fmaf(k.beta2, v[i], k.one_minus_beta2 * g * g);
  const float p1 = fmaf(p[i], k.p_scale, -k.step_size * m1 / fmaf(sqrtf(v1), k.v_scale, k.eps));
  m[i] = m1;
  v[i] = v1;
  p[i] = p1;
  if (copy) copy[i] = stored<T>(p1);
}
/// y - weight (y - x), or x + (1 - weight) (y - x) where that is closer: exact where x is y, and for weights of 0 and 1.
template <int N>
__global__ void lerp(float weight, mat<const float> x, mat<float> y) {
  const auto [r, c] = here<N>();
  if (r >= y.rows || c >= y.cols) return;
  float* to = y.row(r) + c;
  const auto between = [=](float a, float b) { return weight <= 0.5F ? fmaf(-weight, b - a, b) : fmaf(1 - weight, b - a, a); };
  store(to, map(between, load<N>(x.row(r) + c), load<N>(to)));
}

}  // namespace clipx::gpu

namespace clipx::detail {

template <class E>
void sum_squares_of(cuda_engine& e, arena& memory, mat<const E> x, mat<float> y) {
  const temporary here(memory);
  const unsigned blocks = std::min(1024u, gpu::blocks_for(x.cols, gpu::row_threads));
  auto partial = memory.take<float>(1, blocks);
  run(e, gpu::squares<E>, dim3(blocks), gpu::row_threads, x.data, x.cols, partial.data);
  each_row(e, 1, gpu::add_total, static_cast<const float*>(partial.data), static_cast<dim>(blocks), y.data);
}
inline gpu::adamw_constants constants_of(const adamw_step& s) {
  const auto f = [](double v) { return static_cast<float>(v); };
  const double n = static_cast<double>(s.count);
  return {.beta1 = f(s.beta1),
          .beta2 = f(s.beta2),
          .one_minus_beta1 = f(1 - s.beta1),
          .one_minus_beta2 = f(1 - s.beta2),
          .step_size = f(s.lr / (1 - std::pow(s.beta1, n))),
          .v_scale = f(1 / std::sqrt(1 - std::pow(s.beta2, n))),
          .eps = f(s.eps),
          .p_scale = f(1 - s.lr * s.decay),
          .max_norm = f(s.max_norm)};
}

template <class T>
void cuda_optimizer<T>::sum_squares(mat<const T> x, mat<float> y) {
  sum_squares_of(engine_, memory(), x, y);
}
template <class T>
template <wider_float<T> A>
void cuda_optimizer<T>::sum_squares(mat<const std::type_identity_t<A>> x, mat<A> y) {
  sum_squares_of(engine_, memory(), x, y);
}
template <class T>
void cuda_optimizer<T>::adamw(const adamw_step& s, mat<const float> squares, mat<const T> grad, mat<float> p, mat<float> m,
                              mat<float> v, mat<T> copy) {
  run(engine_, gpu::adamw<T>, dim3(gpu::blocks_for(p.cols, gpu::row_threads)), gpu::row_threads, constants_of(s), squares.data,
      grad.data, p.cols, p.data, m.data, v.data, copy.data);
}

template <class T>
void cuda_optimizer<T>::adamw(const adamw_step& s, mat<const float> squares, mat<const float> grad, mat<float> p, mat<float> m,
                              mat<float> v) {
  run(engine_, gpu::adamw<float>, dim3(gpu::blocks_for(p.cols, gpu::row_threads)), gpu::row_threads, constants_of(s), squares.data,
      grad.data, p.cols, p.data, m.data, v.data, static_cast<float*>(nullptr));
}

template <class T>
void cuda_optimizer<T>::lerp(double weight, mat<const float> x, mat<float> y) {
  each_pack(
      engine_, y.rows, y.cols, [](auto n) { return gpu::lerp<n()>; }, static_cast<float>(weight), x, y);
}

template void cuda_optimizer<bf16>::sum_squares(mat<const float>, mat<float>);

template class cuda_optimizer<float>;
template class cuda_optimizer<bf16>;

}  // namespace clipx::detail
#endif
