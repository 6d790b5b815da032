// What is summed down the columns: sums of rows, column statistics, BatchNorm. A block sums a chunk of rows, a tile of them at a
// time, and a second kernel adds the chunks, both in an order that depends on the shape alone.
#pragma once
#include "elementwise.cuh"

namespace clipx::gpu {

/// How a matrix of rows of packs is cut: blocks side by side, and at most `most` chunks of `taps` rows one below the other.
struct strips {
  dim3 block;
  unsigned across;
  dim taps, chunks;
  strips(dim rows, dim packs, dim most) : block(pack_block(rows, packs)), across(blocks_for(packs, block.x)) {
    taps = std::max<dim>(4 * block.y, (rows + most - 1) / most);
    chunks = std::max<dim>(1, (rows + taps - 1) / taps);
  }
  dim3 grid(dim planes = 1) const { return {across, static_cast<unsigned>(chunks), static_cast<unsigned>(planes)}; }
};
inline constexpr dim summed = 512, written = 32768;  // `most`: of partial sums, which are added; of what is only written
/// The calling thread's part of chunk blockIdx.y: columns col .. col + N - 1 of rows first, first + blockDim.y, ... before end.
struct part {
  dim col, first, end;
};
template <int N>
__device__ part of_chunk(dim rows, dim taps) {
  const dim begin = blockIdx.y * taps, end = begin + taps;
  return {(static_cast<dim>(blockIdx.x) * blockDim.x + threadIdx.x) * N, begin + threadIdx.y, end < rows ? end : rows};
}

/// to[c] = the sum of v over the block's threads of column c, in the order of their rows. All threads take part; `held` is a pack
/// for each of them.
template <int N>
__device__ void sum_down(const floats<N>& v, floats<N>* held, dim cols, float* to) {
  const unsigned thread = threadIdx.y * blockDim.x + threadIdx.x, width = blockDim.x * N;
  const dim left = static_cast<dim>(blockIdx.x) * width;
  __syncthreads();
  held[thread] = v;
  __syncthreads();
  for (unsigned t = thread; t < width && left + t < cols; t += blockDim.x * blockDim.y) {
    float sum = 0;
    for (unsigned y = 0; y < blockDim.y; ++y) sum += held[y * blockDim.x + t / N].at[t % N];
    to[left + t] = sum;
  }
}

/// The second kernels: blocks of 32 columns by `groups`.
inline constexpr unsigned groups = 16;
inline dim3 totals(dim cols, dim rows = 1) { return {blocks_for(cols, 32), static_cast<unsigned>(rows)}; }
__device__ inline dim total_column() { return static_cast<dim>(blockIdx.x) * 32 + threadIdx.x; }
/// The sum of `count` rows first, first + step, ... of x's column total_column(), in every thread of that column: each group
/// takes every 16th of them, and the groups are added in their order. All threads take part; `held` is 32 * groups floats.
__device__ inline float total_down(mat<const float> x, dim first, dim step, dim count, float* held) {
  const dim c = total_column();
  float sum = 0;
  if (c < x.cols)
    for (dim k = threadIdx.y; k < count; k += groups) sum += x.row(first + k * step)[c];
  __syncthreads();
  held[threadIdx.y * 32 + threadIdx.x] = sum;
  __syncthreads();
  sum = 0;
  for (unsigned g = 0; g < groups; ++g) sum += held[g * 32 + threadIdx.x];
  return sum;
}

/// partial[(chunk, p)] = the sum of x's rows p, p + period, ... of one chunk of them.
template <int N, class T>
__global__ void sum_rows_partial(mat<const T> x, dim period, dim taps, mat<float> partial) {
  CLIPX_SHARED(floats<N>[pack_threads], held);
  const dim p = blockIdx.z;
  const auto [c, first, end] = of_chunk<N>((x.rows - p + period - 1) / period, taps);
  floats<N> sum{};
  if (c < x.cols)
    for (dim k = first; k < end; k += blockDim.y) sum = sum + load<N>(x.row(p + k * period) + c);
  sum_down(sum, held, x.cols, partial.row(blockIdx.y * period + p));
}
/// y[p] += the sum over chunks.
template <class T>
__global__ void sum_rows_total(mat<const float> partial, dim chunks, mat<T> y) {
  CLIPX_SHARED(float[32 * groups], held);
  const dim c = total_column(), p = blockIdx.y;
  const float sum = total_down(partial, p, y.rows, chunks, held);
  if (threadIdx.y == 0 && c < y.cols) y.row(p)[c] = stored<T>(value(y.row(p)[c]) + sum);
}
/// dw += the first half of the partial sums, db += the second; both to `sums` (2, cols) too where it is given.
__global__ void add_partials(mat<const float> partial, dim chunks, mat<float> sums, mat<float> dw, mat<float> db) {
  CLIPX_SHARED(float[32 * groups], held);
  const dim c = total_column();
  const float w = total_down(partial, 0, 1, chunks, held), b = total_down(partial, chunks, 1, chunks, held);
  if (threadIdx.y != 0 || c >= dw.cols) return;
  dw.data[c] += w, db.data[c] += b;
  if (sums.data) sums.row(0)[c] = w, sums.row(1)[c] = b;
}

/// Sums of x (first pass) or of (x - mean)^2 over a chunk of rows.
template <int N, class T>
__global__ void column_partial(mat<const T> x, const float* mean, dim taps, mat<float> partial) {
  CLIPX_SHARED(floats<N>[pack_threads], held);
  const auto [c, first, end] = of_chunk<N>(x.rows, taps);
  floats<N> sum{};
  if (c < x.cols) {
    const auto m = mean ? load<N>(mean + c) : floats<N>{};
    for (dim r = first; r < end; r += blockDim.y) {
      const auto v = load<N>(x.row(r) + c);
      sum = mean ? map([](float s, float a, float b) { return fmaf(a - b, a - b, s); }, sum, v, m) : sum + v;
    }
  }
  sum_down(sum, held, x.cols, partial.row(blockIdx.y));
}
__global__ void column_mean(mat<const float> partial, dim chunks, dim rows, float* out) {
  CLIPX_SHARED(float[32 * groups], held);
  const dim c = total_column();
  const float sum = total_down(partial, 0, 1, chunks, held);
  if (threadIdx.y == 0 && c < partial.cols) out[c] = sum / static_cast<float>(rows);
}

template <int N>
__device__ floats<N> deviation_inverse(mat<const float> stats, dim c, float eps) {
  return map([=](float v) { return 1.0f / sqrtf(v + eps); }, load<N>(stats.row(1) + c));
}
/// y = (x - mean) / sqrt(var + eps) w + b, + residual where given, then ReLU where asked; stats (2, cols): mean, biased variance.
template <int N, class T>
__global__ void batchnorm(mat<const T> x, mat<const float> stats, mat<const float> w, mat<const float> b, float eps,
                          mat<const T> residual, bool relu, dim taps, mat<T> y) {
  const auto [c, first, end] = of_chunk<N>(x.rows, taps);
  if (c >= x.cols) return;
  const auto mean = load<N>(stats.row(0) + c), shift = load<N>(b.data + c);
  const auto scale = map([](float s, float g) { return s * g; }, deviation_inverse<N>(stats, c, eps), load<N>(w.data + c));
  for (dim r = first; r < end; r += blockDim.y) {
    auto v = map([](float a, float m, float s, float t) { return fmaf(a - m, s, t); }, load<N>(x.row(r) + c), mean, scale, shift);
    if (residual.data) v = v + load<N>(residual.row(r) + c);
    if (relu) v = map([](float a) { return activate(activation::relu, a); }, v);
    store(y.row(r) + c, v);
  }
}
/// Partial sums of dz xhat (rows 0 .. chunks - 1 of `partial`) and of dz (rows chunks ..). dz is dy, or behind a ReLU that gave y
/// it is dy where y > 0, and then it is stored.
template <int N, class T>
__global__ void batchnorm_columns(mat<const T> x, mat<const float> stats, float eps, mat<const T> y, mat<const T> dy, mat<T> dz,
                                  dim taps, dim chunks, mat<float> partial) {
  CLIPX_SHARED(floats<N>[pack_threads], held);
  const auto [c, first, end] = of_chunk<N>(x.rows, taps);
  floats<N> dot{}, all{};
  if (c < x.cols) {
    const auto mean = load<N>(stats.row(0) + c), rstd = deviation_inverse<N>(stats, c, eps);
    for (dim r = first; r < end; r += blockDim.y) {
      auto g = load<N>(dy.row(r) + c);
      if (y.data) {
        g = map([](float a, float out) { return out > 0 ? a : 0.0f; }, g, load<N>(y.row(r) + c));
        store(dz.row(r) + c, g);
      }
      dot = map([](float s, float a, float v, float m, float d) { return fmaf(a, (v - m) * d, s); }, dot, g, load<N>(x.row(r) + c),
                mean, rstd);
      all = all + g;
    }
  }
  sum_down(dot, held, x.cols, partial.row(blockIdx.y));
  sum_down(all, held, x.cols, partial.row(chunks + blockIdx.y));
}
/// dx = w rstd (dz - mean(dz) - xhat mean(dz xhat)); sums (2, cols) of dz xhat and of dz, empty where the statistics are not x's.
template <int N, class T>
__global__ void batchnorm_backward(mat<const T> x, mat<const float> stats, mat<const float> w, float eps, mat<const float> sums,
                                   mat<const T> dz, dim taps, mat<T> dx) {
  const auto [c, first, end] = of_chunk<N>(x.rows, taps);
  if (c >= x.cols) return;
  const auto mean = load<N>(stats.row(0) + c), rstd = deviation_inverse<N>(stats, c, eps);
  const auto scale = map([](float s, float g) { return s * g; }, rstd, load<N>(w.data + c));
  floats<N> slope{}, offset{};  // of what is taken from dz: (x - mean) slope + offset
  if (sums.data) {
    const float n = static_cast<float>(x.rows);
    slope = map([=](float dot, float d) { return dot / n * d; }, load<N>(sums.row(0) + c), rstd);
    offset = map([=](float all) { return all / n; }, load<N>(sums.row(1) + c));
  }
  for (dim r = first; r < end; r += blockDim.y) {
    const auto taken =
        map([](float v, float m, float a, float b) { return fmaf(v - m, a, b); }, load<N>(x.row(r) + c), mean, slope, offset);
    store(dx.row(r) + c, map([](float g, float t, float s) { return s * (g - t); }, load<N>(dz.row(r) + c), taken, scale));
  }
}

}  // namespace clipx::gpu
