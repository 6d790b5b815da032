// Images as rows, one per pixel: patches and average pooling.
#ifndef CLIPX_CPU_IMAGES_HPP
#define CLIPX_CPU_IMAGES_HPP
#include "family.hpp"

namespace clipx::detail {

template <class T>
class cpu_images : cpu_family<T> {
 public:
  using cpu_family<T>::cpu_family;

  /// The columns of a patch are (channel, ky, kx); `lead` rows before each image are not touched.
  void im2col(mat<const T> x, const window& w, mat<T> cols);
  void col2im(mat<const T> cols, const window& w, mat<T> x);
  /// Mean of the pixels that each window sees, which is clipped to the image on each side.
  void avgpool(mat<const T> x, const window& w, mat<T> y);
  void avgpool_backward(mat<const T> dy, const window& w, mat<T> dx);
};
CLIPX_CPU_DECLARED(cpu_images);

}  // namespace clipx::detail
#endif

#ifdef CLIPX_CPU_KERNELS
HWY_BEFORE_NAMESPACE();
namespace clipx::simd::HWY_NAMESPACE {

/// Rows or columns from .. to - 1 of an image.
struct span {
  dim from, to;
};
/// Those of `size` that the window at position `out` sees.
inline span seen(const window& w, dim out, dim size) {
  const dim from = out * w.stride - w.pad;
  return {std::max<dim>(from, 0), std::min(from + w.kernel, size)};
}
/// The positions, of `outs`, of the windows that see row or column `in`.
inline span seeing(const window& w, dim in, dim outs) {
  const dim last = in + w.pad, before = last - w.kernel;  // before the first pixel of a window that ends at `in`
  return {before < 0 ? 0 : before / w.stride + 1, std::min(last / w.stride + 1, outs)};
}

template <class T>
void avgpool(mat<const T> x, const window& w, dim first, mat<T> y) {
  const dim oh = w.out_height(), ow = w.out_width();
  for (dim r = 0; r < y.rows; ++r) {
    const dim place = first + r, corner = place / (oh * ow) * w.height * w.width;
    const span v = seen(w, place / ow % oh, w.height), h = seen(w, place % ow, w.width);
    const auto scale = set(1.0f / static_cast<float>((v.to - v.from) * (h.to - h.from)));
    along(w.channels, [&](auto at) CLIPX_LANES {
      auto total = zero();
      for (dim iy = v.from; iy < v.to; ++iy)
        for (dim ix = h.from; ix < h.to; ++ix) total = total + at.get(x.row(corner + iy * w.width + ix));
      at.put(total * scale, y.row(r));
    });
  }
}

/// A pixel that no window sees gets 0.
template <class T>
void avgpool_backward(mat<const T> dy, const window& w, dim first, mat<T> dx) {
  const dim oh = w.out_height(), ow = w.out_width();
  for (dim r = 0; r < dx.rows; ++r) {
    const dim place = first + r, corner = place / (w.height * w.width) * oh * ow;
    const span v = seeing(w, place / w.width % w.height, oh), h = seeing(w, place % w.width, ow);
    along(w.channels, [&](auto at) CLIPX_LANES {
      auto total = zero();
      for (dim oy = v.from; oy < v.to; ++oy)
        for (dim ox = h.from; ox < h.to; ++ox) {
          const span rows = seen(w, oy, w.height), cols = seen(w, ox, w.width);
          const auto scale = set(1.0f / static_cast<float>((rows.to - rows.from) * (cols.to - cols.from)));
          total = hn::MulAdd(at.get(dy.row(corner + oy * ow + ox)), scale, total);
        }
      at.put(total, dx.row(r));
    });
  }
}

}  // namespace clipx::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#ifdef CLIPX_CPU_MEMBERS
namespace clipx::detail {

template <class T>
void cpu_images<T>::im2col(mat<const T> x, const window& w, mat<T> cols) {
  const dim oh = w.out_height(), ow = w.out_width(), images = x.rows / (w.height * w.width);
  const dim across = w.kernel_width(), taps = w.kernel * across;
  simd::parallel_ranges(this->threads_, images * oh * ow, w.patch(), 1, [&](dim first, dim n) {
    for (dim place = first; place < first + n; ++place) {
      const dim image = place / (oh * ow), top = place / ow % oh * w.stride - w.pad, left = place % ow * w.stride_width() - w.pad;
      T* to = cols.row(image * w.out_rows() + w.lead + place % (oh * ow));
      for (dim tap = 0; tap < taps; ++tap) {
        const dim iy = top + tap / across, ix = left + tap % across;
        const bool inside = iy >= 0 && iy < w.height && ix >= 0 && ix < w.width;
        const T* from = inside ? x.row((image * w.height + iy) * w.width + ix) : nullptr;
        for (dim c = 0; c < w.channels; ++c) to[c * taps + tap] = from ? from[c] : T(0.0f);
      }
    }
  });
}
template <class T>
void cpu_images<T>::col2im(mat<const T> cols, const window& w, mat<T> x) {
  const dim oh = w.out_height(), ow = w.out_width(), across = w.kernel_width(), step = w.stride_width(), taps = w.kernel * across;
  simd::parallel_ranges(this->threads_, x.rows, w.patch(), 1, [&](dim first, dim n) {
    float* totals = simd::scratch(w.channels);
    for (dim r = first; r < first + n; ++r) {
      const dim image = r / (w.height * w.width), iy = r / w.width % w.height, ix = r % w.width;
      std::fill_n(totals, w.channels, 0.0f);
      for (dim tap = 0; tap < taps; ++tap) {  // the window, if any, that sees this pixel through this tap
        const dim ty = iy + w.pad - tap / across, tx = ix + w.pad - tap % across;
        if (ty < 0 || tx < 0 || ty % w.stride || tx % step || ty / w.stride >= oh || tx / step >= ow) continue;
        const T* from = cols.row(image * w.out_rows() + w.lead + ty / w.stride * ow + tx / step) + tap;
        for (dim c = 0; c < w.channels; ++c) totals[c] += static_cast<float>(from[c * taps]);
      }
      for (dim c = 0; c < w.channels; ++c) x.row(r)[c] = T(totals[c]);
    }
  });
}
template <class T>
void cpu_images<T>::avgpool(mat<const T> x, const window& w, mat<T> y) {
  simd::parallel_ranges(this->threads_, y.rows, w.channels * (x.rows / std::max<dim>(y.rows, 1)), 1, [&](dim first, dim n) {
    CLIPX_KERNEL(avgpool<T>)(x, w, first, y.row_range(first, n));
  });
}
template <class T>
void cpu_images<T>::avgpool_backward(mat<const T> dy, const window& w, mat<T> dx) {
  simd::parallel_ranges(this->threads_, dx.rows, w.channels, 1, [&](dim first, dim n) {
    CLIPX_KERNEL(avgpool_backward<T>)(dy, w, first, dx.row_range(first, n));
  });
}

CLIPX_CPU_DEFINED(cpu_images);

}  // namespace clipx::detail
#endif
