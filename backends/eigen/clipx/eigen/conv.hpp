// Windows over images: patches, the adjoint, depthwise convolution, average pooling.
#pragma once
#include "family.hpp"

namespace clipx::detail::reference {

template <class T>
class eigen_conv {
 public:
  void im2col(mat<const T> x, const window& w, mat<T> cols);
  void col2im(mat<const T> cols, const window& w, mat<T> x);
  void depthwise_conv(mat<const T> x, const window& w, mat<const T> weight, mat<const T> bias, mat<T> y);
  void depthwise_conv_backward(mat<const T> x, const window& w, mat<const T> weight, mat<const T> dy, mat<T> dx, mat<T> dweight);
  void avgpool(mat<const T> x, const window& w, mat<T> y);
  void avgpool_backward(mat<const T> dy, const window& w, mat<T> dx);
};

}  // namespace clipx::detail::reference

#ifdef CLIPX_EIGEN_DEFINITIONS
namespace clipx::detail::reference {

template <class T>
void clear(mat<T> y) {
  for (dim r = 0; r < y.rows; ++r) std::fill_n(y.row(r), y.cols, T(0));
}
/// Calls f(output row, input row or -1 for padding, patch offset ky * width + kx) for every tap of every window.
template <class F>
void each_tap(const window& w, dim images, F&& f) {
  const dim oh = w.out_height(), ow = w.out_width();
  for (dim n = 0; n < images; ++n)
    for (dim y = 0; y < oh; ++y)
      for (dim x = 0; x < ow; ++x)
        for (dim ky = 0; ky < w.kernel; ++ky)
          for (dim kx = 0; kx < w.kernel_width(); ++kx) {
            const dim iy = y * w.stride + ky - w.pad, ix = x * w.stride_width() + kx - w.pad;
            const bool inside = iy >= 0 && iy < w.height && ix >= 0 && ix < w.width;
            f(n * w.out_rows() + w.lead + y * ow + x, inside ? (n * w.height + iy) * w.width + ix : -1, ky * w.kernel_width() + kx);
          }
}

/// Average pooling: calls f(output row, input row, pixels that the window sees) for every pixel that a window sees.
template <class F>
void each_pooled(const window& w, dim images, F&& f) {
  const auto seen = [&](dim out, dim size) {  // from and to, of the image's rows or columns
    const dim from = out * w.stride - w.pad;
    return std::pair{std::max<dim>(from, 0), std::min(from + w.kernel, size)};
  };
  const dim oh = w.out_height(), ow = w.out_width();
  for (dim n = 0; n < images; ++n)
    for (dim y = 0; y < oh; ++y)
      for (dim x = 0; x < ow; ++x) {
        const auto [top, bottom] = seen(y, w.height);
        const auto [left, right] = seen(x, w.width);
        for (dim iy = top; iy < bottom; ++iy)
          for (dim ix = left; ix < right; ++ix)
            f((n * oh + y) * ow + x, (n * w.height + iy) * w.width + ix, (bottom - top) * (right - left));
      }
}

template <class T>
void eigen_conv<T>::im2col(mat<const T> x, const window& w, mat<T> cols) {
  const dim kk = w.kernel * w.kernel_width();
  each_tap(w, x.rows / (w.height * w.width), [&](dim out, dim in, dim tap) {
    for (dim c = 0; c < w.channels; ++c) cols.row(out)[c * kk + tap] = in < 0 ? T(0) : x.row(in)[c];
  });
}

template <class T>
void eigen_conv<T>::col2im(mat<const T> cols, const window& w, mat<T> x) {
  clear(x);
  const dim kk = w.kernel * w.kernel_width();
  each_tap(w, x.rows / (w.height * w.width), [&](dim out, dim in, dim tap) {
    for (dim c = 0; c < w.channels && in >= 0; ++c) x.row(in)[c] += cols.row(out)[c * kk + tap];
  });
}

template <class T>
void eigen_conv<T>::depthwise_conv(mat<const T> x, const window& w, mat<const T> weight, mat<const T> bias, mat<T> y) {
  for (dim r = 0; r < y.rows; ++r)
    for (dim c = 0; c < y.cols; ++c) y.row(r)[c] = bias ? bias.data[c] : T(0);
  each_tap(w, x.rows / (w.height * w.width), [&](dim out, dim in, dim tap) {
    for (dim c = 0; c < w.channels && in >= 0; ++c) y.row(out)[c] += weight.row(c)[tap] * x.row(in)[c];
  });
}

template <class T>
void eigen_conv<T>::depthwise_conv_backward(mat<const T> x, const window& w, mat<const T> weight, mat<const T> dy, mat<T> dx,
                                            mat<T> dweight) {
  if (dx) clear(dx);
  each_tap(w, x.rows / (w.height * w.width), [&](dim out, dim in, dim tap) {
    for (dim c = 0; c < w.channels && in >= 0; ++c) {
      dweight.row(c)[tap] += dy.row(out)[c] * x.row(in)[c];
      if (dx) dx.row(in)[c] += dy.row(out)[c] * weight.row(c)[tap];
    }
  });
}

template <class T>
void eigen_conv<T>::avgpool(mat<const T> x, const window& w, mat<T> y) {
  clear(y);
  each_pooled(w, x.rows / (w.height * w.width), [&](dim out, dim in, dim taps) {
    for (dim c = 0; c < w.channels; ++c) y.row(out)[c] += x.row(in)[c] / T(static_cast<double>(taps));
  });
}

template <class T>
void eigen_conv<T>::avgpool_backward(mat<const T> dy, const window& w, mat<T> dx) {
  clear(dx);
  each_pooled(w, dx.rows / (w.height * w.width), [&](dim out, dim in, dim taps) {
    for (dim c = 0; c < w.channels; ++c) dx.row(in)[c] += dy.row(out)[c] / T(static_cast<double>(taps));
  });
}

#ifdef CLIPX_EIGEN_SCALAR
template class eigen_conv<CLIPX_EIGEN_SCALAR>;
#endif

}  // namespace clipx::detail::reference
#endif
