// Depthwise convolutions over images, one row per pixel. The weights are first transposed to (taps, channels), in float.
#pragma once
#include "engine.hpp"

namespace clipx::detail {

template <class T>
class cuda_depthwise : cuda_family {
 public:
  using cuda_family::cuda_family;

  void depthwise_conv(mat<const T> x, const window& w, mat<const T> weight, mat<const T> bias, mat<T> y);
  void depthwise_conv_backward(mat<const T> x, const window& w, mat<const T> weight, mat<const T> dy, mat<T> dx, mat<T> dweight);
};

}  // namespace clipx::detail

#ifdef CLIPX_CUDA_DEFINITIONS
#include "conv.hpp"
#include "launch.cuh"

namespace clipx::gpu {

/// taps (k k, C) = weight (C, k k) transposed, in reverse order of the taps if `flipped`.
template <class T>
__global__ void transpose_taps(mat<const T> weight, bool flipped, mat<float> taps) {
  const auto [t, c] = here<1>();
  if (t < taps.rows && c < taps.cols) taps.row(t)[c] = value(weight.row(c)[flipped ? taps.rows - 1 - t : t]);
}

/// A thread computes N channels of `side_by_side` adjacent pixels of y. With stride 1 and a kernel of K, every pixel of x is loaded
/// once for all of them; K = 0: any kernel and stride.
inline constexpr int side_by_side = 4;
template <int N, int K, class T>
__global__ void depthwise(mat<const T> x, frame w, mat<const float> taps, mat<const T> bias, mat<T> y) {
  const auto [r, c] = here<N>();
  const int pieces = (w.out_width + side_by_side - 1) / side_by_side, piece = static_cast<int>(r);  // of the rows of y
  const int img = piece / pieces / w.out_height, oy = piece / pieces % w.out_height, ox = piece % pieces * side_by_side;
  if (c >= y.cols || static_cast<dim>(img) * w.out_height * w.out_width >= y.rows) return;
  floats<N> sum[side_by_side];
#pragma unroll
  for (int i = 0; i < side_by_side; ++i) sum[i] = bias.data ? load<N>(bias.data + c) : floats<N>{};
  const auto add = [](float v, float t, float s) { return fmaf(v, t, s); };
  const int left = ox * w.stride - w.pad;
  for (int ky = 0; ky < w.kernel; ++ky) {
    const int iy = oy * w.stride + ky - w.pad;
    if (iy < 0 || iy >= w.height) continue;
    const int row = (img * w.height + iy) * w.width;
    if constexpr (K > 0) {
      floats<N> tap[K];
#pragma unroll
      for (int kx = 0; kx < K; ++kx) tap[kx] = load<N>(taps.row(ky * K + kx) + c);
#pragma unroll
      for (int j = 0; j < side_by_side + K - 1; ++j) {
        const int ix = left + j;
        if (ix < 0 || ix >= w.width) continue;
        const auto v = load<N>(x.row(row + ix) + c);
#pragma unroll
        for (int i = 0; i < side_by_side; ++i)
          if (j - i >= 0 && j - i < K) sum[i] = map(add, v, tap[j - i], sum[i]);
      }
    } else {
      for (int kx = 0; kx < w.kernel; ++kx) {
        const auto tap = load<N>(taps.row(ky * w.kernel + kx) + c);
#pragma unroll
        for (int i = 0; i < side_by_side; ++i) {
          const int ix = left + i * w.stride + kx;
          if (ix >= 0 && ix < w.width) sum[i] = map(add, load<N>(x.row(row + ix) + c), tap, sum[i]);
        }
      }
    }
  }
#pragma unroll
  for (int i = 0; i < side_by_side; ++i)
    if (ox + i < w.out_width) store(y.row((img * w.out_height + oy) * w.out_width + ox + i) + c, sum[i]);
}

/// dx = for every pixel, the sum over the windows that saw it, in the order of the taps; for strides above 1.
template <int N, class T>
__global__ void depthwise_data(mat<const T> dy, frame w, mat<const float> taps, mat<T> dx) {
  const auto [r, c] = here<N>();
  if (r >= dx.rows || c >= dx.cols) return;
  const int row = static_cast<int>(r), img = row / (w.height * w.width), iy = row / w.width % w.height, ix = row % w.width;
  floats<N> sum{};
  for (int ky = 0; ky < w.kernel; ++ky)
    for (int kx = 0; kx < w.kernel; ++kx) {
      const int y = iy + w.pad - ky, xx = ix + w.pad - kx;  // of the window's corner, times the stride
      const int oy = y / w.stride, ox = xx / w.stride;
      if (y < 0 || xx < 0 || oy * w.stride != y || ox * w.stride != xx || oy >= w.out_height || ox >= w.out_width) continue;
      sum = map([](float g, float t, float s) { return fmaf(g, t, s); },
                load<N>(dy.row((img * w.out_height + oy) * w.out_width + ox) + c), load<N>(taps.row(ky * w.kernel + kx) + c), sum);
    }
  store(dx.row(r) + c, sum);
}

/// For taps first .. first + K - 1 of the window, first = K blockIdx.z, all in one row of it: partial[(chunk, tap)] = the sum of dy
/// times the pixels seen, over a chunk of the rows of y's images.
template <int N, int K, class T>
__global__ void depthwise_weights(mat<const T> x, frame w, mat<const T> dy, dim images, dim chunk_rows, mat<float> partial) {
  CLIPX_SHARED(floats<N>[pack_threads], held);
  const auto [c, first, end] = of_chunk<N>(images * w.out_height, chunk_rows);
  const int tap = static_cast<int>(blockIdx.z) * K, ky = tap / w.kernel, kx = tap % w.kernel;
  floats<N> sum[K];
#pragma unroll
  for (int k = 0; k < K; ++k) sum[k] = floats<N>{};
  if (c < x.cols)
    for (dim r = first; r < end; r += blockDim.y) {
      const int row = static_cast<int>(r), img = row / w.out_height, iy = row % w.out_height * w.stride + ky - w.pad;
      if (iy < 0 || iy >= w.height) continue;
      for (int ox = 0; ox < w.out_width; ++ox) {
        const auto g = load<N>(dy.row(row * w.out_width + ox) + c);
#pragma unroll
        for (int k = 0; k < K; ++k) {
          const int ix = ox * w.stride + kx + k - w.pad;
          if (ix < 0 || ix >= w.width) continue;
          sum[k] = map([](float a, float v, float s) { return fmaf(a, v, s); }, g,
                       load<N>(x.row((img * w.height + iy) * w.width + ix) + c), sum[k]);
        }
      }
    }
#pragma unroll
  for (int k = 0; k < K; ++k)
    sum_down(sum[k], held, x.cols, partial.row(static_cast<dim>(blockIdx.y) * w.kernel * w.kernel + tap + k));
}
/// dweight[c][tap] += the sum over chunks, for tap blockIdx.y.
template <class T>
__global__ void depthwise_weights_total(mat<const float> partial, dim chunks, mat<T> dweight) {
  CLIPX_SHARED(float[32 * groups], held);
  const dim c = total_column(), tap = blockIdx.y;
  const float sum = total_down(partial, tap, dweight.cols, chunks, held);
  if (threadIdx.y == 0 && c < dweight.rows) dweight.row(c)[tap] = stored<T>(value(dweight.row(c)[tap]) + sum);
}

}  // namespace clipx::gpu

namespace clipx::detail {

/// Calls body(integral constant) with the K of the kernels for this window.
template <class F>
void by_kernel(bool any, dim kernel, F&& body) {
  if (!any && kernel == 7) body(std::integral_constant<int, 7>());
  else if (!any && kernel == 3) body(std::integral_constant<int, 3>());
  else body(std::integral_constant<int, 0>());
}

template <class T>
void depthwise_forward(cuda_engine& e, mat<const T> x, const window& w, mat<const float> taps, mat<const T> bias, mat<T> y) {
  const dim pieces = y.rows / w.out_width() * ((w.out_width() + gpu::side_by_side - 1) / gpu::side_by_side);
  by_kernel(w.stride != 1, w.kernel, [&](auto k) {
    each_pack(
        e, pieces, y.cols, [](auto n) { return gpu::depthwise<n(), decltype(k)::value, T>; }, x, gpu::frame(w), taps, bias, y);
  });
}

template <class T>
mat<const float> transposed_taps(cuda_engine& e, arena& memory, mat<const T> weight, bool flipped) {
  auto taps = memory.take<float>(weight.cols, weight.rows);
  const dim3 block = gpu::pack_block(taps.rows, taps.cols);
  run(e, gpu::transpose_taps<T>, gpu::pack_grid(taps.rows, taps.cols, block), block, weight, flipped, taps);
  return taps;
}

template <class T>
void cuda_depthwise<T>::depthwise_conv(mat<const T> x, const window& w, mat<const T> weight, mat<const T> bias, mat<T> y) {
  if (y.size() == 0) return;
  const temporary here(memory());
  depthwise_forward<T>(engine_, x, w, transposed_taps(engine_, memory(), weight, false), bias, y);
}

template <class T>
void cuda_depthwise<T>::depthwise_conv_backward(mat<const T> x, const window& w, mat<const T> weight, mat<const T> dy, mat<T> dx,
                                                mat<T> dweight) {
  if (dy.size() == 0) return;
  const temporary here(memory());
  if (dx && w.stride == 1) {  // the same convolution with the taps in reverse order
    window back = w;
    back.height = w.out_height(), back.width = w.out_width(), back.pad = w.kernel - 1 - w.pad;
    depthwise_forward<T>(engine_, dy, back, transposed_taps(engine_, memory(), weight, true), {}, dx);
  } else if (dx) {
    const auto taps = transposed_taps(engine_, memory(), weight, false);
    each_pack(
        engine_, dx.rows, dx.cols, [](auto n) { return gpu::depthwise_data<n(), T>; }, dy, gpu::frame(w), taps, dx);
  }
  const dim images = x.rows / (w.height * w.width), taps = weight.cols;
  const auto go = [&](auto n) {
    const gpu::strips cut(images * w.out_height(), x.cols / n(), gpu::summed);
    auto partial = memory().template take<float>(cut.chunks * taps, x.cols);
    by_kernel(false,
              w.kernel % 7 == 0   ? 7
              : w.kernel % 3 == 0 ? 3
                                  : 1,
              [&](auto k) {
                constexpr int together = decltype(k)::value ? decltype(k)::value : 1;
                run(engine_, gpu::depthwise_weights<n(), together, T>, cut.grid(taps / together), cut.block, x, gpu::frame(w), dy,
                    images, cut.taps, partial);
              });
    each_column(engine_, taps, x.cols, gpu::depthwise_weights_total<T>, mat<const float>(partial), cut.chunks, dweight);
  };
  by_width(x.cols, go, x, dy);
}

template class cuda_depthwise<float>;
template class cuda_depthwise<bf16>;

}  // namespace clipx::detail
#endif
