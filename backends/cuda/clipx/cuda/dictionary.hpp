// A softmax over a dictionary, one tile of its columns at a time, and mixtures of its probabilities.
#pragma once
#include "engine.hpp"
#include "loss.hpp"

namespace clipx::detail {

template <class T>
class cuda_dictionary : cuda_family {
 public:
  using cuda_family::cuda_family;

  void softmax_tile(mat<const float> logits, mat<float> rows);
  void softmax_tile_backward(mat<const float> logits, mat<const float> rows, mat<const float> weights, mat<float> dlogits);
  void pick(mat<const float> x, mat<const std::int32_t> ids, mat<float> y);
  void add_picked(mat<const float> y, mat<const std::int32_t> ids, mat<float> x);
  void mixture_loss(const mixture_input<float>& in, const mixture_output<float>& out);
};

}  // namespace clipx::detail

#ifdef CLIPX_CUDA_DEFINITIONS
#include "launch.cuh"

namespace clipx::gpu {

/// Merges the largest logit of row blockIdx.x and the sum of exp(logit - largest) into so_far (N, 2).
__global__ void softmax_rows(mat<const float> logits, mat<float> so_far) {
  CLIPX_SHARED(float[33], partial);
  const dim i = blockIdx.x;
  const float* row = logits.row(i);
  float top = -INFINITY, total = 0;
  for (dim k = threadIdx.x; k < logits.cols; k += blockDim.x) top = fmaxf(top, row[k]);
  top = block_max(top, partial);
  for (dim k = threadIdx.x; k < logits.cols; k += blockDim.x) total += expf(row[k] - top);
  total = block_sum(total, partial);
  if (threadIdx.x == 0) join(top, total, so_far.row(i));
}
/// dlogits = weight exp(logit - largest) / sum; it may be the logits.
__global__ void softmax_rows_backward(mat<const float> logits, mat<const float> rows, mat<const float> weights,
                                      mat<float> dlogits) {
  const dim i = blockIdx.x;
  const float top = rows.row(i)[0], factor = weights.row(i)[0] / rows.row(i)[1];
  for (dim j = threadIdx.x; j < logits.cols; j += blockDim.x) dlogits.row(i)[j] = factor * expf(logits.row(i)[j] - top);
}
__global__ void pick(mat<const float> x, mat<const std::int32_t> ids, mat<float> y) {
  const dim e = static_cast<dim>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (e < y.cols) y.data[e] = x.row(ids.row(0)[e])[ids.row(1)[e]];
}
/// The places are distinct, so no two threads add to the same one.
__global__ void add_picked(mat<const float> y, mat<const std::int32_t> ids, mat<float> x) {
  const dim e = static_cast<dim>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (e < y.cols) x.row(ids.row(0)[e])[ids.row(1)[e]] += y.data[e];
}
__device__ inline float exponent(const mixture_input<float>& in, dim t) {
  return in.log_weights.data[t] + in.logits.data[in.entries.data[t]];
}
/// log p of a mixture of a few terms, one thread each.
__global__ void mixture_log_p(mixture_input<float> in, mat<float> log_p) {
  const dim g = static_cast<dim>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (g >= log_p.cols) return;
  const dim first = in.first_of_mixture.data[g], end = in.first_of_mixture.data[g + 1];
  float top = exponent(in, first), sum = 0;
  for (dim t = first + 1; t < end; ++t) top = fmaxf(top, exponent(in, t));
  for (dim t = first; t < end; ++t) sum += expf(exponent(in, t) - top);
  log_p.data[g] = top + logf(sum);
}
/// The loss, computed by one block.
__global__ void mixture_total(mixture_input<float> in, mat<const float> log_p, float* loss) {
  CLIPX_SHARED(float[33], partial);
  float total = 0;
  for (dim i = threadIdx.x; i < in.counts.rows; i += blockDim.x)
    total += in.counts.row(i)[0] * (in.sums.row(i)[0] + logf(in.sums.row(i)[1]));
  for (dim g = threadIdx.x; g < log_p.cols; g += blockDim.x) total -= log_p.data[g];
  total = block_sum(total, partial);
  if (threadIdx.x == 0) *loss = static_cast<float>(in.scale) * total;
}
/// Minus the responsibilities of a logit's terms, one thread each.
__global__ void mixture_gradient(mixture_input<float> in, mat<const float> log_p, mat<float> dlogits) {
  const dim e = static_cast<dim>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (e >= dlogits.cols) return;
  float sum = 0;
  for (dim k = in.first_of_entry.data[e]; k < in.first_of_entry.data[e + 1]; ++k) {
    const dim t = in.terms_by_entry.data[k];
    sum += expf(exponent(in, t) - log_p.data[in.mixtures.data[t]]);
  }
  dlogits.data[e] = -static_cast<float>(in.scale) * sum;
}

}  // namespace clipx::gpu

namespace clipx::detail {

/// One thread for each of n elements.
template <class... P, class... A>
void each_one(cuda_engine& e, dim n, void (*kernel)(P...), A&&... arguments) {
  if (n > 0) run(e, kernel, dim3(gpu::blocks_for(n, gpu::row_threads)), gpu::row_threads, std::forward<A>(arguments)...);
}

template <class T>
void cuda_dictionary<T>::softmax_tile(mat<const float> logits, mat<float> rows) {
  each_row(engine_, logits.rows, gpu::softmax_rows, logits, rows);
}

template <class T>
void cuda_dictionary<T>::softmax_tile_backward(mat<const float> logits, mat<const float> rows, mat<const float> weights,
                                               mat<float> dlogits) {
  each_row(engine_, logits.rows, gpu::softmax_rows_backward, logits, rows, weights, dlogits);
}

template <class T>
void cuda_dictionary<T>::pick(mat<const float> x, mat<const std::int32_t> ids, mat<float> y) {
  each_one(engine_, y.cols, gpu::pick, x, ids, y);
}

template <class T>
void cuda_dictionary<T>::add_picked(mat<const float> y, mat<const std::int32_t> ids, mat<float> x) {
  each_one(engine_, y.cols, gpu::add_picked, y, ids, x);
}

template <class T>
void cuda_dictionary<T>::mixture_loss(const mixture_input<float>& in, const mixture_output<float>& out) {
  each_one(engine_, out.log_p.cols, gpu::mixture_log_p, in, out.log_p);
  each_row(engine_, 1, gpu::mixture_total, in, out.log_p, out.loss.data);
  each_one(engine_, out.dlogits.cols, gpu::mixture_gradient, in, out.log_p, out.dlogits);
}

template class cuda_dictionary<float>;
template class cuda_dictionary<bf16>;

}  // namespace clipx::detail
#endif
