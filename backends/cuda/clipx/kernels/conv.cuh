// Windows over pictures of rows, a pixel a row: patches, their adjoint, average pooling. One thread an element of the result.
#pragma once
#include "elementwise.cuh"

namespace clipx::gpu {

/// Columns of a patch are (channel, ky, kx); `lead` rows before each picture are left alone. cols has pictures * out_rows() rows.
template <class T>
__global__ void im2col(mat<const T> x, window w, mat<T> cols) {
  const auto [r, c] = element();
  if (r >= cols.rows || c >= cols.cols) return;
  const dim picture = r / w.out_rows(), at = r % w.out_rows() - w.lead;
  if (at < 0) return;
  const dim taps = w.kernel * w.kernel, channel = c / taps, ky = c % taps / w.kernel, kx = c % w.kernel;
  const dim iy = at / w.out_width() * w.stride + ky - w.pad, ix = at % w.out_width() * w.stride + kx - w.pad;
  const bool inside = iy >= 0 && iy < w.height && ix >= 0 && ix < w.width;
  cols.row(r)[c] = inside ? x.row((picture * w.height + iy) * w.width + ix)[channel] : stored<T>(0.0f);
}

/// x (pixels, channels) = the sum, for every pixel, of the patch elements that were taken from it, in the order of the taps.
template <class T>
__global__ void col2im(mat<const T> cols, window w, mat<T> x) {
  const auto [r, c] = element();
  if (r >= x.rows || c >= x.cols) return;
  const dim picture = r / (w.height * w.width), iy = r / w.width % w.height, ix = r % w.width, taps = w.kernel * w.kernel;
  float sum = 0;
  for (dim ky = 0; ky < w.kernel; ++ky)
    for (dim kx = 0; kx < w.kernel; ++kx) {
      const dim y = iy + w.pad - ky, xx = ix + w.pad - kx;  // of the window's corner, times the stride
      if (y < 0 || xx < 0 || y % w.stride || xx % w.stride || y / w.stride >= w.out_height() || xx / w.stride >= w.out_width())
        continue;
      const dim row = picture * w.out_rows() + w.lead + y / w.stride * w.out_width() + xx / w.stride;
      sum += value(cols.row(row)[c * taps + ky * w.kernel + kx]);
    }
  x.row(r)[c] = stored<T>(sum);
}

/// The pooling kernel clipped to the picture, and the pooled picture's size.
struct pooling {
  dim kh, kw, oh, ow;
  explicit pooling(const window& w)
      : kh(std::min(w.kernel, w.height)), kw(std::min(w.kernel, w.width)), oh(w.height / kh), ow(w.width / kw) {}
};
template <class T>
__global__ void avgpool(mat<const T> x, window w, pooling p, mat<T> y) {
  const auto [r, c] = element();
  if (r >= y.rows || c >= y.cols) return;
  const dim picture = r / (p.oh * p.ow), oy = r / p.ow % p.oh, ox = r % p.ow;
  float sum = 0;
  for (dim ky = 0; ky < p.kh; ++ky)
    for (dim kx = 0; kx < p.kw; ++kx) sum += value(x.row((picture * w.height + oy * p.kh + ky) * w.width + ox * p.kw + kx)[c]);
  y.row(r)[c] = stored<T>(sum / static_cast<float>(p.kh * p.kw));
}
/// A remainder that no window covers gets 0.
template <class T>
__global__ void avgpool_backward(mat<const T> dy, window w, pooling p, mat<T> dx) {
  const auto [r, c] = element();
  if (r >= dx.rows || c >= dx.cols) return;
  const dim picture = r / (w.height * w.width), oy = r / w.width % w.height / p.kh, ox = r % w.width / p.kw;
  const bool covered = oy < p.oh && ox < p.ow;
  dx.row(r)[c] = stored<T>(covered ? value(dy.row((picture * p.oh + oy) * p.ow + ox)[c]) / static_cast<float>(p.kh * p.kw) : 0.0f);
}

}  // namespace clipx::gpu
