// Average pooling over pictures of rows, a pixel a row.
#if defined(CLIPX_POOL_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef CLIPX_POOL_INL_H
#undef CLIPX_POOL_INL_H
#else
#define CLIPX_POOL_INL_H
#endif

#include <algorithm>

#include "simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace clipx::simd::HWY_NAMESPACE {

/// The kernel clipped to the picture, and the pooled picture's size.
struct pooling {
  dim kh, kw, oh, ow;
  explicit pooling(const window& w)
      : kh(std::min(w.kernel, w.height)), kw(std::min(w.kernel, w.width)), oh(w.height / kh), ow(w.width / kw) {}
};

template <class T>
void avgpool(mat<const T> x, const window& w, dim first, mat<T> y) {
  const pooling p(w);
  const auto share = set(1.0f / static_cast<float>(p.kh * p.kw));
  for (dim r = 0; r < y.rows; ++r) {
    const dim place = first + r, picture = place / (p.oh * p.ow), oy = place / p.ow % p.oh, ox = place % p.ow;
    const dim corner = (picture * w.height + oy * p.kh) * w.width + ox * p.kw;
    along(w.channels, [&](auto at) CLIPX_LANES {
      auto total = zero();
      for (dim ky = 0; ky < p.kh; ++ky)
        for (dim kx = 0; kx < p.kw; ++kx) total = total + at.get(x.row(corner + ky * w.width + kx));
      at.put(total * share, y.row(r));
    });
  }
}

template <class T>
void avgpool_backward(mat<const T> dy, const window& w, dim first, mat<T> dx) {
  const pooling p(w);
  const auto share = set(1.0f / static_cast<float>(p.kh * p.kw));
  for (dim r = 0; r < dx.rows; ++r) {
    const dim place = first + r, picture = place / (w.height * w.width), iy = place / w.width % w.height, ix = place % w.width;
    const dim oy = iy / p.kh, ox = ix / p.kw;
    if (oy >= p.oh || ox >= p.ow) {  // a remainder that no window covers
      along(w.channels, [&](auto at) CLIPX_LANES { at.put(zero(), dx.row(r)); });
      continue;
    }
    const T* from = dy.row((picture * p.oh + oy) * p.ow + ox);
    along(w.channels, [&](auto at) CLIPX_LANES { at.put(at.get(from) * share, dx.row(r)); });
  }
}

}  // namespace clipx::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
