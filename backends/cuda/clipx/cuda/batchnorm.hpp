// Column statistics, and BatchNorm.
#pragma once
#include "engine.hpp"

namespace clipx::detail {

template <class T>
class cuda_batchnorm : cuda_family {
 public:
  using cuda_family::cuda_family;

  void column_stats(mat<const T> x, mat<float> stats);
  void batchnorm(mat<const T> x, const batchnorm_parameters<float>& bn, mat<T> y);
  void batchnorm_relu(mat<const T> x, const batchnorm_parameters<float>& bn, const batchnorm_epilogue<T>& after, mat<T> y);
  void batchnorm_backward(const batchnorm_backward_input<T, float>& in, mat<T> dx, mat<float> dw, mat<float> db);
  void batchnorm_relu_backward(const batchnorm_backward_input<T, float>& in, mat<const T> y, mat<T> dz, mat<T> dx, mat<float> dw,
                               mat<float> db);
};

}  // namespace clipx::detail

#ifdef CLIPX_CUDA_DEFINITIONS
#include "launch.cuh"

namespace clipx::gpu {

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
/// y = (x - mean) / sqrt(var + eps) w + b, plus residual if given, then ReLU if requested; stats (2, cols): mean, biased variance.
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
/// Partial sums of dz xhat (rows 0 .. chunks - 1 of `partial`) and of dz (rows chunks ..). dz is dy; after a ReLU with output y, it
/// is dy where y > 0, else 0, and is stored.
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
/// dx = w rstd (dz - mean(dz) - xhat mean(dz xhat)); sums (2, cols) of dz xhat and of dz;
/// empty if the statistics are not those of x.
template <int N, class T>
__global__ void batchnorm_backward(mat<const T> x, mat<const float> stats, mat<const float> w, float eps, mat<const float> sums,
                                   mat<const T> dz, dim taps, mat<T> dx) {
  const auto [c, first, end] = of_chunk<N>(x.rows, taps);
  if (c >= x.cols) return;
  const auto mean = load<N>(stats.row(0) + c), rstd = deviation_inverse<N>(stats, c, eps);
  const auto scale = map([](float s, float g) { return s * g; }, rstd, load<N>(w.data + c));
  floats<N> slope{}, offset{};  // of what is subtracted from dz: (x - mean) slope + offset
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

namespace clipx::detail {

template <class T>
void cuda_batchnorm<T>::column_stats(mat<const T> x, mat<float> stats) {
  const temporary here(memory());
  const auto go = [&](auto n) {
    const gpu::strips cut(x.rows, x.cols / n(), gpu::summed);
    auto partial = memory().template take<float>(cut.chunks, x.cols);
    for (dim pass = 0; pass < 2; ++pass) {
      const float* mean = pass ? stats.row(0) : nullptr;
      run(engine_, gpu::column_partial<n(), T>, cut.grid(), cut.block, x, mean, cut.taps, partial);
      each_column(engine_, 1, x.cols, gpu::column_mean, mat<const float>(partial), cut.chunks, x.rows, stats.row(pass));
    }
  };
  by_width(x.cols, go, x, stats);
}

template <class T>
void cuda_batchnorm<T>::batchnorm(mat<const T> x, const batchnorm_parameters<float>& bn, mat<T> y) {
  batchnorm_relu(x, bn, {}, y);
}

template <class T>
void cuda_batchnorm<T>::batchnorm_relu(mat<const T> x, const batchnorm_parameters<float>& bn, const batchnorm_epilogue<T>& after,
                                       mat<T> y) {
  const auto go = [&](auto n) {
    const gpu::strips cut(x.rows, x.cols / n(), gpu::written);
    run(engine_, gpu::batchnorm<n(), T>, cut.grid(), cut.block, x, bn.stats, bn.weight, bn.bias, static_cast<float>(bn.eps),
        after.residual, after.relu, cut.taps, y);
  };
  by_width(x.cols, go, x, bn.stats, bn.weight, bn.bias, after.residual, y);
}

template <class T>
void cuda_batchnorm<T>::batchnorm_backward(const batchnorm_backward_input<T, float>& in, mat<T> dx, mat<float> dw, mat<float> db) {
  batchnorm_relu_backward(in, {}, {}, dx, dw, db);
}

template <class T>
void cuda_batchnorm<T>::batchnorm_relu_backward(const batchnorm_backward_input<T, float>& in, mat<const T> y, mat<T> dz, mat<T> dx,
                                                mat<float> dw, mat<float> db) {
  const temporary here(memory());
  const mat<const T> x = in.x, dy = in.dy;
  const auto e = static_cast<float>(in.eps);
  const auto go = [&](auto n) {
    const gpu::strips sums_of(x.rows, x.cols / n(), gpu::summed), cut(x.rows, x.cols / n(), gpu::written);
    auto partial = memory().template take<float>(2 * sums_of.chunks, x.cols), sums = memory().template take<float>(2, x.cols);
    run(engine_, gpu::batchnorm_columns<n(), T>, sums_of.grid(), sums_of.block, x, in.stats, e, y, dy, dz, sums_of.taps,
        sums_of.chunks, partial);
    each_column(engine_, 1, x.cols, gpu::add_partials, mat<const float>(partial), sums_of.chunks, sums, dw, db);
    run(engine_, gpu::batchnorm_backward<n(), T>, cut.grid(), cut.block, x, in.stats, in.weight, e,
        in.training ? mat<const float>(sums) : mat<const float>{}, dz ? mat<const T>(dz) : dy, cut.taps, dx);
  };
  by_width(x.cols, go, x, in.stats, in.weight, y, dy, dz, dx);
}

template class cuda_batchnorm<float>;
template class cuda_batchnorm<bf16>;

}  // namespace clipx::detail
#endif
