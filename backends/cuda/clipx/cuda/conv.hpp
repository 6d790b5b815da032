// Windows over images, one row per pixel: patches, their adjoint, average pooling. One thread per pack of the result.
#pragma once
#include "engine.hpp"

namespace clipx::detail {

template <class T>
class cuda_conv : cuda_family {
 public:
  using cuda_family::cuda_family;

  void im2col(mat<const T> x, const window& w, mat<T> cols);
  void col2im(mat<const T> cols, const window& w, mat<T> x);
  void avgpool(mat<const T> x, const window& w, mat<T> y);
  void avgpool_backward(mat<const T> dy, const window& w, mat<T> dx);
};

}  // namespace clipx::detail

#ifdef CLIPX_CUDA_DEFINITIONS
#include "launch.cuh"

namespace clipx::gpu {

/// A window as kernels take it: in 32 bits, for which division is much faster.
struct frame {
  int height, width, kernel, kernel_width, stride, stride_width, pad, lead, out_height, out_width, out_rows;
  explicit frame(const window& w)
      : height(static_cast<int>(w.height)),
        width(static_cast<int>(w.width)),
        kernel(static_cast<int>(w.kernel)),
        kernel_width(static_cast<int>(w.kernel_width())),
        stride(static_cast<int>(w.stride)),
        stride_width(static_cast<int>(w.stride_width())),
        pad(static_cast<int>(w.pad)),
        lead(static_cast<int>(w.lead)),
        out_height(static_cast<int>(w.out_height())),
        out_width(static_cast<int>(w.out_width())),
        out_rows(static_cast<int>(w.out_rows())) {}
};

/// The columns of a patch are (channel, ky, kx); `lead` rows before each image are not touched. cols has images * out_rows rows.
/// Adjacent threads write adjacent columns; what they read is in kernel^2 pixels, of which the cache keeps the rest.
template <int N, class T>
__global__ void im2col(mat<const T> x, frame w, mat<T> cols) {
  const auto [r, c] = here<N>();
  if (r >= cols.rows || c >= cols.cols) return;
  const int row = static_cast<int>(r), col = static_cast<int>(c), taps = w.kernel * w.kernel_width;
  const int img = row / w.out_rows, at = row % w.out_rows - w.lead;
  if (at < 0) return;
  const int top = at / w.out_width * w.stride - w.pad, left = at % w.out_width * w.stride_width - w.pad;
  int channel = col / taps, ky = col % taps / w.kernel_width, kx = col % taps % w.kernel_width;
  pack<T, N> out;
#pragma unroll
  for (int i = 0; i < N; ++i) {
    const int iy = top + ky, ix = left + kx;
    const bool inside = iy >= 0 && iy < w.height && ix >= 0 && ix < w.width;
    out.at[i] = inside ? x.row((img * w.height + iy) * w.width + ix)[channel] : stored<T>(0.0f);
    if (++kx == w.kernel_width) {
      kx = 0;
      if (++ky == w.kernel) {
        ky = 0;
        ++channel;
      }
    }
  }
  store(cols.row(r) + c, out);
}

/// x (pixels, channels) = for every pixel, the sum of the patch elements taken from it, in the order of the taps.
template <class T>
__global__ void col2im(mat<const T> cols, frame w, mat<T> x) {
  const auto [r, c] = here<1>();
  if (r >= x.rows || c >= x.cols) return;
  const int row = static_cast<int>(r), taps = w.kernel * w.kernel_width;
  const int img = row / (w.height * w.width), iy = row / w.width % w.height, ix = row % w.width;
  float sum = 0;
  for (int ky = 0; ky < w.kernel; ++ky)
    for (int kx = 0; kx < w.kernel_width; ++kx) {
      const int y = iy + w.pad - ky, xx = ix + w.pad - kx;  // of the window's corner, times the stride
      const int oy = y / w.stride, ox = xx / w.stride_width;
      if (y < 0 || xx < 0 || oy * w.stride != y || ox * w.stride_width != xx || oy >= w.out_height || ox >= w.out_width) continue;
      sum += value(cols.row(img * w.out_rows + w.lead + oy * w.out_width + ox)[c * taps + ky * w.kernel_width + kx]);
    }
  x.row(r)[c] = stored<T>(sum);
}

/// Rows or columns from .. to - 1 of an image.
struct span {
  int from, to;
};
/// Those of `size` that the window at position `out` sees.
__device__ inline span seen(const frame& w, int out, int size) {
  const int from = out * w.stride - w.pad;
  return {from < 0 ? 0 : from, from + w.kernel < size ? from + w.kernel : size};
}
/// The positions, of `outs`, of the windows that see row or column `in`.
__device__ inline span seeing(const frame& w, int in, int outs) {
  const int last = in + w.pad, before = last - w.kernel, end = last / w.stride + 1;
  return {before < 0 ? 0 : before / w.stride + 1, end < outs ? end : outs};
}
/// The mean of the pixels that a window sees.
template <int N, class T>
__global__ void avgpool(mat<const T> x, frame w, mat<T> y) {
  const auto [r, c] = here<N>();
  if (r >= y.rows || c >= y.cols) return;
  const int row = static_cast<int>(r), each = w.out_height * w.out_width, corner = row / each * w.height * w.width;
  const span v = seen(w, row % each / w.out_width, w.height), h = seen(w, row % w.out_width, w.width);
  floats<N> sum{};
  for (int iy = v.from; iy < v.to; ++iy)
    for (int ix = h.from; ix < h.to; ++ix) sum = sum + load<N>(x.row(corner + iy * w.width + ix) + c);
  const float size = static_cast<float>((v.to - v.from) * (h.to - h.from));
  store(y.row(r) + c, map([=](float s) { return s / size; }, sum));
}
/// A pixel that no window sees gets 0.
template <int N, class T>
__global__ void avgpool_backward(mat<const T> dy, frame w, mat<T> dx) {
  const auto [r, c] = here<N>();
  if (r >= dx.rows || c >= dx.cols) return;
  const int row = static_cast<int>(r), each = w.height * w.width, corner = row / each * w.out_height * w.out_width;
  const span v = seeing(w, row % each / w.width, w.out_height), h = seeing(w, row % w.width, w.out_width);
  floats<N> sum{};
  for (int oy = v.from; oy < v.to; ++oy)
    for (int ox = h.from; ox < h.to; ++ox) {
      const span rows = seen(w, oy, w.height), cols = seen(w, ox, w.width);
      const float size = static_cast<float>((rows.to - rows.from) * (cols.to - cols.from));
      sum = map([=](float s, float g) { return s + g / size; }, sum, load<N>(dy.row(corner + oy * w.out_width + ox) + c));
    }
  store(dx.row(r) + c, sum);
}

}  // namespace clipx::gpu

namespace clipx::detail {

template <class T>
void cuda_conv<T>::im2col(mat<const T> x, const window& w, mat<T> cols) {
  const auto kernel_of = [](auto n) { return gpu::im2col<n(), T>; };
  each_pack(engine_, cols.rows, cols.cols, kernel_of, x, gpu::frame(w), cols);
}

template <class T>
void cuda_conv<T>::col2im(mat<const T> cols, const window& w, mat<T> x) {
  const dim3 block = gpu::pack_block(x.rows, x.cols);
  run(engine_, gpu::col2im<T>, gpu::pack_grid(x.rows, x.cols, block), block, cols, gpu::frame(w), x);
}

template <class T>
void cuda_conv<T>::avgpool(mat<const T> x, const window& w, mat<T> y) {
  each_pack(
      engine_, y.rows, y.cols, [](auto n) { return gpu::avgpool<n(), T>; }, x, gpu::frame(w), y);
}

template <class T>
void cuda_conv<T>::avgpool_backward(mat<const T> dy, const window& w, mat<T> dx) {
  each_pack(
      engine_, dx.rows, dx.cols, [](auto n) { return gpu::avgpool_backward<n(), T>; }, dy, gpu::frame(w), dx);
}

template class cuda_conv<float>;
template class cuda_conv<bf16>;

}  // namespace clipx::detail
#endif
