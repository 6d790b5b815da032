// Attention over row ranges, and softmax alone. The kernels are in attention_tiles.cuh (any head width), attention_mma.cuh (bf16 on
// tensor cores) and attention_one.cuh (one query per sequence).
#pragma once
#include "engine.hpp"

namespace clipx::detail {

template <class T>
class cuda_attention : cuda_family {
 public:
  using cuda_family::cuda_family;

  void softmax(mat<float> x, bool causal);
  void softmax_backward(mat<const float> p, mat<float> dp);
  void attention(const attention_input<T>& in, dim heads, mat<T> y, mat<float> lse);
  void attention_backward(const attention_input<T>& in, dim heads, mat<const T> y, mat<const float> lse, mat<const T> dy,
                          const attention_gradients<T>& gradients);
};

}  // namespace clipx::detail

#ifdef CLIPX_CUDA_DEFINITIONS
#include <cmath>

#include "attention_mma.cuh"
#include "attention_one.cuh"
#include "launch.cuh"

namespace clipx::gpu {

/// Softmax of rows, in place; causal: row i sees columns <= i, the rest becomes 0.
__global__ void softmax(mat<float> x, bool causal) {
  CLIPX_SHARED(float[33], partial);
  const dim r = blockIdx.x, n = causal && r + 1 < x.cols ? r + 1 : x.cols;
  float* row = x.row(r);
  float top = -INFINITY, total = 0;
  for (dim c = threadIdx.x; c < n; c += blockDim.x) top = fmaxf(top, row[c]);
  top = block_max(top, partial);
  for (dim c = threadIdx.x; c < n; c += blockDim.x) total += row[c] = expf(row[c] - top);
  total = block_sum(total, partial);
  for (dim c = threadIdx.x; c < x.cols; c += blockDim.x) row[c] = c < n ? row[c] / total : 0.0f;
}
/// dp <- p (dp - sum p dp).
__global__ void softmax_backward(mat<const float> p, mat<float> dp) {
  CLIPX_SHARED(float[33], partial);
  const dim r = blockIdx.x;
  float dot = 0;
  for (dim c = threadIdx.x; c < p.cols; c += blockDim.x) dot += p.row(r)[c] * dp.row(r)[c];
  dot = block_sum(dot, partial);
  for (dim c = threadIdx.x; c < p.cols; c += blockDim.x) dp.row(r)[c] = p.row(r)[c] * (dp.row(r)[c] - dot);
}

}  // namespace clipx::gpu

namespace clipx::detail {

/// Calls body(number of a head's columns per block, whether the head may have more), both integral constants. In bf16, only heads
/// that are too wide for tensor cores come here.
template <class T, class F>
void for_head_width(dim d, F&& body) {
  if constexpr (std::is_same_v<T, bf16>) body(std::integral_constant<int, 128>(), std::true_type());
  else if (d <= 32) body(std::integral_constant<int, 32>(), std::false_type());
  else if (d <= 64) body(std::integral_constant<int, 64>(), std::false_type());
  else if (d <= 96) body(std::integral_constant<int, 96>(), std::false_type());
  else if (d <= 128) body(std::integral_constant<int, 128>(), std::false_type());
  else body(std::integral_constant<int, 128>(), std::true_type());
}
/// A head's rows in the form that kernels take.
template <class T>
gpu::head_rows<T> head_rows(mat<const T> x, const row_ranges& r, dim d) {
  return {x, r.first, gpu::vectorizable<16 / sizeof(T)>(d, x.col_range(0, d))};
}
/// Attention's grid: the rows of the longest sequence, `rows` per block, and the columns of a head, `width` per block.
struct attention_grid {
  dim blocks_each;
  dim3 grid;
  attention_grid(const row_ranges& r, int rows, dim heads, dim d, int width)
      : blocks_each((r.longest + rows - 1) / rows),
        grid(static_cast<unsigned>(r.count * blocks_each), static_cast<unsigned>(heads), gpu::blocks_for(d, width)) {}
};

template <class T>
void cuda_attention<T>::softmax(mat<float> x, bool causal) {
  each_row(engine_, x.rows, gpu::softmax, x, causal);
}

template <class T>
void cuda_attention<T>::softmax_backward(mat<const float> p, mat<float> dp) {
  each_row(engine_, p.rows, gpu::softmax_backward, p, dp);
}

template <class T>
void cuda_attention<T>::attention(const attention_input<T>& in, dim heads, mat<T> y, mat<float> lse) {
  const auto &queries = in.queries, &keys = in.keys;
  const dim d = in.q.cols / heads;
  const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(d)));
  const auto rows_of = [&](mat<const T> x, const row_ranges& r) { return head_rows(x, r, d); };
  const auto hq = rows_of(in.q, queries), hk = rows_of(in.k, keys), hv = rows_of(in.v, keys);
  if (const auto bytes = gpu::one_bytes(keys.longest, d, false);
      queries.longest == 1 && !in.causal && bytes <= gpu::one_most_bytes) {
    const auto go = [&](auto n) {
      run_shared(engine_, gpu::attention_one<n(), T>, static_cast<unsigned>(queries.count * heads), gpu::one_threads, bytes, hq, hk,
                 hv, heads, d, scale, y, lse);
    };
    return by_width(d, go, in.k.col_range(0, d), in.v.col_range(0, d));
  }
  if constexpr (std::is_same_v<T, bf16>)
    if (d <= max_mma_width) return attention_by_mma(engine_, hq, hk, hv, queries, keys, d, in.causal, y, lse);
  for_head_width<T>(d, [&](auto width, auto sliced) {
    constexpr int rows = gpu::forward_rows;
    const attention_grid g(queries, rows, heads, d, width());
    run_shared(engine_, gpu::attention<T, rows, width(), sliced()>, g.grid, 2 * rows, sizeof(gpu::panels<rows, width(), 1>), hq, hk,
               hv, g.blocks_each, d, scale, in.causal, y, lse);
  });
}

template <class T>
void cuda_attention<T>::attention_backward(const attention_input<T>& in, dim heads, mat<const T> /*y*/, mat<const float> lse,
                                           mat<const T> dy, const attention_gradients<T>& gradients) {
  const auto &queries = in.queries, &keys = in.keys;
  const mat<T> dq = gradients.q, dk = gradients.k, dv = gradients.v;
  const dim d = in.q.cols / heads;
  const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(d)));
  const auto rows_of = [&](mat<const T> x, const row_ranges& r) { return head_rows(x, r, d); };
  const auto hq = rows_of(in.q, queries), hk = rows_of(in.k, keys), hv = rows_of(in.v, keys), hdy = rows_of(dy, queries);
  if (const auto bytes = gpu::one_bytes(keys.longest, d, true);
      queries.longest == 1 && !in.causal && bytes <= gpu::one_most_bytes) {
    const auto go = [&](auto n) {
      run_shared(engine_, gpu::attention_one_backward<n(), T>, static_cast<unsigned>(queries.count * heads), gpu::one_threads,
                 bytes, hq, hk, hv, hdy, heads, d, scale, lse, dq, dk, dv);
    };
    return by_width(d, go, in.k.col_range(0, d), in.v.col_range(0, d), dk.col_range(0, d), dv.col_range(0, d));
  }
  const temporary here(memory());
  auto delta = memory().template take<float>(in.q.rows, heads);
  if constexpr (std::is_same_v<T, bf16>)
    if (d <= max_mma_width)
      return attention_backward_by_mma(engine_, hq, hk, hv, hdy, queries, keys, d, in.causal, lse, delta, dq, dk, dv);
  for_head_width<T>(d, [&](auto width, auto sliced) {
    constexpr int rows = gpu::backward_rows(width());
    constexpr auto bytes = sizeof(gpu::panels<rows, width(), 2>);
    const attention_grid of_queries(queries, rows, heads, d, width()), of_keys(keys, rows, heads, d, width());
    run_shared(engine_, gpu::attention_dq<T, rows, width(), sliced()>, of_queries.grid, 2 * rows, bytes, hq, hk, hv, hdy,
               of_queries.blocks_each, d, scale, in.causal, lse, delta, dq);
    run_shared(engine_, gpu::attention_dkv<T, rows, width(), sliced()>, of_keys.grid, 2 * rows, bytes, hq, hk, hv, hdy,
               of_keys.blocks_each, d, scale, in.causal, lse, mat<const float>(delta), dk, dv);
  });
}

template class cuda_attention<float>;
template class cuda_attention<bf16>;

}  // namespace clipx::detail
#endif
