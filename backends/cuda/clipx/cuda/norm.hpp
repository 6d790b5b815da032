// LayerNorm and L2 normalization, one block per row. Statistics in float.
#pragma once
#include "engine.hpp"

namespace clipx::detail {

template <class T>
class cuda_norm : cuda_family {
 public:
  using cuda_family::cuda_family;

  void layernorm(mat<const T> x, mat<const float> w, mat<const float> b, double eps, mat<T> y, mat<float> stats);
  void add_layernorm(const residual_sum<T>& r, mat<const float> w, mat<const float> b, double eps, mat<T> y, mat<float> stats);
  void layernorm_backward(const layernorm_backward_input<T, float>& in, mat<T> dx, mat<float> dw, mat<float> db);
  void add_layernorm_backward(const layernorm_backward_input<T, float>& in, mat<const T> residual, mat<T> dx, mat<float> dw,
                              mat<float> db);
  void normalize(mat<const T> x, mat<float> y, mat<float> norms);
  void normalize_backward(mat<const float> y, mat<const float> norms, mat<const float> dy, mat<T> dx);
};

}  // namespace clipx::detail

#ifdef CLIPX_CUDA_DEFINITIONS
#include "launch.cuh"

namespace clipx::gpu {

/// Calls f(column) for every N columns of a row of n that belong to the calling thread. `once`: the block is as wide as the row, so
/// that the values a thread has read can stay in registers; else every pass reads them again.
template <int N, bool once, class F>
__device__ void along(dim n, F&& f) {
  for (dim c = static_cast<dim>(threadIdx.x) * N; c < n; c += static_cast<dim>(blockDim.x) * N) {
    f(c);
    if constexpr (once) break;
  }
}
template <int N>
__device__ float total(const floats<N>& v) {
  float sum = v.at[0];
#pragma unroll
  for (int i = 1; i < N; ++i) sum += v.at[i];
  return sum;
}
/// block_sum of two values at once; `partial` is 66 floats.
__device__ inline void block_sums(float& a, float& b, float* partial) {
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  a = warp_sum(a);
  b = warp_sum(b);
  __syncthreads();
  if (lane == 0) {
    partial[warp] = a;
    partial[33 + warp] = b;
  }
  __syncthreads();
  a = warp_sum(lane < warps ? partial[lane] : 0.0f);
  b = warp_sum(lane < warps ? partial[33 + lane] : 0.0f);
}

/// y = (x - mean) / sqrt(var + eps) w + b; stats (rows, 2) receives mean and 1 / deviation, may be empty. With a branch, x + branch
/// is first stored in `sum`, and the stored sum is normalized.
template <int N, bool once, class T>
__global__ void __launch_bounds__(max_row_threads) layernorm(mat<const T> x, mat<const T> branch, mat<T> sum, mat<const float> w,
                                                             mat<const float> b, float eps, mat<T> y, mat<float> stats) {
  CLIPX_SHARED(float[33], partial);
  const dim r = blockIdx.x, n = x.cols;
  floats<N> own{};  // the thread's part of the row to normalize
  const auto again = [&](dim c) {
    if constexpr (!once) own = load<N>((branch.data ? sum.row(r) : x.row(r)) + c);
  };
  float all = 0, squares = 0;
  along<N, once>(n, [&](dim c) {
    own = load<N>(x.row(r) + c);
    if (branch.data) {
      own = map([](float v) { return value(stored<T>(v)); }, own + load<N>(branch.row(r) + c));
      store(sum.row(r) + c, own);
    }
    all += total(own);
  });
  const float mean = block_sum(all, partial) / static_cast<float>(n);
  along<N, once>(n, [&](dim c) {
    again(c);
#pragma unroll
    for (int i = 0; i < N; ++i) squares = fmaf(own.at[i] - mean, own.at[i] - mean, squares);
  });
  const float rstd = 1.0f / sqrtf(block_sum(squares, partial) / static_cast<float>(n) + eps);
  along<N, once>(n, [&](dim c) {
    again(c);
    store(y.row(r) + c, map([=](float v, float gain, float shift) { return fmaf((v - mean) * rstd, gain, shift); }, own,
                            load<N>(w.data + c), load<N>(b.data + c)));
  });
  if (stats.data && threadIdx.x == 0) {
    stats.row(r)[0] = mean;
    stats.row(r)[1] = rstd;
  }
}

/// g = dy w, xhat = (x - mean) rstd: dx = rstd (g - mean g - xhat mean(g xhat)) + residual, for a chunk of `taps` rows per block.
/// The chunk's sums of dy xhat are stored in row `chunk` of `partial`, those of dy in row chunks + chunk. dx may be dy or residual.
template <int N, bool once, class T>
__global__ void __launch_bounds__(max_row_threads)
    layernorm_backward(mat<const T> x, mat<const float> w, mat<const float> stats, mat<const T> dy, mat<const T> residual, dim taps,
                       dim chunks, mat<T> dx, mat<float> partial) {
  CLIPX_SHARED(float[66], held);
  const dim n = x.cols, first = blockIdx.x * taps, end = first + taps < x.rows ? first + taps : x.rows;
  float *to_w = partial.row(blockIdx.x), *to_b = partial.row(chunks + blockIdx.x);
  floats<N> dw{}, db{};  // of the thread's columns; if it has more than N, they are in `partial`
  for (dim r = first; r < end; ++r) {
    const float mean = stats.row(r)[0], rstd = stats.row(r)[1];
    floats<N> out{}, g{}, xhat{}, rest{};
    const auto read = [&](dim c) {
      out = load<N>(dy.row(r) + c);
      g = map([](float a, float gain) { return a * gain; }, out, load<N>(w.data + c));
      xhat = map([=](float v) { return (v - mean) * rstd; }, load<N>(x.row(r) + c));
      if (residual.data) rest = load<N>(residual.row(r) + c);
    };
    float all = 0, dot = 0;
    along<N, once>(n, [&](dim c) {
      read(c);
      all += total(g);
#pragma unroll
      for (int i = 0; i < N; ++i) dot = fmaf(g.at[i], xhat.at[i], dot);
      if constexpr (!once) {
        dw = r > first ? load<N>(to_w + c) : floats<N>{};
        db = r > first ? load<N>(to_b + c) : floats<N>{};
      }
      dw = map([](float a, float h, float s) { return fmaf(a, h, s); }, out, xhat, dw);
      db = db + out;
      if constexpr (!once) {
        store(to_w + c, dw);
        store(to_b + c, db);
      }
    });
    block_sums(all, dot, held);
    all /= static_cast<float>(n);
    dot /= static_cast<float>(n);
    along<N, once>(n, [&](dim c) {
      if constexpr (!once) read(c);
      store(dx.row(r) + c,
            map([=](float a, float h, float more) { return fmaf(rstd, fmaf(-h, dot, a - all), more); }, g, xhat, rest));
    });
  }
  if constexpr (once)
    along<N, once>(n, [&](dim c) {
      store(to_w + c, dw);
      store(to_b + c, db);
    });
}

/// L2-normalized rows and their norms, at least 1e-12.
template <class T>
__global__ void normalize(mat<const T> x, mat<float> y, mat<float> norms) {
  CLIPX_SHARED(float[33], partial);
  const dim r = blockIdx.x;
  float squares = 0;
  for (dim c = threadIdx.x; c < x.cols; c += blockDim.x) squares += value(x.row(r)[c]) * value(x.row(r)[c]);
  float norm = sqrtf(block_sum(squares, partial));
  if (norm < 1e-12f) norm = 1e-12f;
  for (dim c = threadIdx.x; c < x.cols; c += blockDim.x) y.row(r)[c] = value(x.row(r)[c]) / norm;
  if (threadIdx.x == 0) norms.row(r)[0] = norm;
}
template <class T>
__global__ void normalize_backward(mat<const float> y, mat<const float> norms, mat<const float> dy, mat<T> dx) {
  CLIPX_SHARED(float[33], partial);
  const dim r = blockIdx.x;
  float dot = 0;
  for (dim c = threadIdx.x; c < y.cols; c += blockDim.x) dot += dy.row(r)[c] * y.row(r)[c];
  dot = block_sum(dot, partial);
  for (dim c = threadIdx.x; c < y.cols; c += blockDim.x)
    dx.row(r)[c] = stored<T>((dy.row(r)[c] - dot * y.row(r)[c]) / norms.row(r)[0]);
}

}  // namespace clipx::gpu

namespace clipx::detail {

template <class T>
void cuda_norm<T>::layernorm(mat<const T> x, mat<const float> w, mat<const float> b, double eps, mat<T> y, mat<float> stats) {
  add_layernorm({.x = x, .branch = {}, .sum = {}}, w, b, eps, y, stats);
}

template <class T>
void cuda_norm<T>::add_layernorm(const residual_sum<T>& r, mat<const float> w, mat<const float> b, double eps, mat<T> y,
                                 mat<float> stats) {
  const auto kernel_of = [](auto n, auto once) { return gpu::layernorm<n(), once(), T>; };
  each_vector_row(engine_, r.x.rows, r.x.cols, kernel_of, r.x, r.branch, r.sum, w, b, static_cast<float>(eps), y, stats);
}

template <class T>
void cuda_norm<T>::layernorm_backward(const layernorm_backward_input<T, float>& in, mat<T> dx, mat<float> dw, mat<float> db) {
  add_layernorm_backward(in, {}, dx, dw, db);
}

template <class T>
void cuda_norm<T>::add_layernorm_backward(const layernorm_backward_input<T, float>& in, mat<const T> residual, mat<T> dx,
                                          mat<float> dw, mat<float> db) {
  const mat<const T> x = in.x;
  if (x.rows == 0) return;
  const temporary here(memory());
  const dim taps = std::max<dim>(4, (x.rows + 1023) / 1024), chunks = (x.rows + taps - 1) / taps;
  auto partial = memory().template take<float>(2 * chunks, x.cols);
  const auto kernel_of = [](auto n, auto once) { return gpu::layernorm_backward<n(), once(), T>; };
  each_vector_row(engine_, chunks, x.cols, kernel_of, x, in.weight, in.stats, in.dy, residual, taps, chunks, dx, partial);
  each_column(engine_, 1, x.cols, gpu::add_partials, mat<const float>(partial), chunks, mat<float>{}, dw, db);
}

template <class T>
void cuda_norm<T>::normalize(mat<const T> x, mat<float> y, mat<float> norms) {
  each_row(engine_, x.rows, gpu::normalize<T>, x, y, norms);
}

template <class T>
void cuda_norm<T>::normalize_backward(mat<const float> y, mat<const float> norms, mat<const float> dy, mat<T> dx) {
  each_row(engine_, y.rows, gpu::normalize_backward<T>, y, norms, dy, dx);
}

template class cuda_norm<float>;
template class cuda_norm<bf16>;

}  // namespace clipx::detail
#endif
