// Element by element: copies, sums, activations, column sums.
#if defined(CLIPX_ELEMENTWISE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef CLIPX_ELEMENTWISE_INL_H
#undef CLIPX_ELEMENTWISE_INL_H
#else
#define CLIPX_ELEMENTWISE_INL_H
#endif

#include <algorithm>

#include "simd-inl.h"
#include "simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace clipx::simd::HWY_NAMESPACE {

/// y = x, from any storage to any.
template <class X, class Y>
void convert(mat<const X> x, mat<Y> y) {
  for (dim r = 0; r < y.rows; ++r) along(y.cols, [&](auto at) CLIPX_LANES { at.put(at.get(x.row(r)), y.row(r)); });
}

template <class T>
void add(float alpha, mat<const T> x, float beta, mat<T> y) {
  const auto a = set(alpha), b = set(beta);
  for (dim r = 0; r < y.rows; ++r) {
    const T* from = x.row(r);
    T* to = y.row(r);
    if (beta == 0) along(y.cols, [&](auto at) CLIPX_LANES { at.put(a * at.get(from), to); });
    else if (beta == 1 && alpha == 1) along(y.cols, [&](auto at) CLIPX_LANES { at.put(at.get(from) + at.get(to), to); });
    else along(y.cols, [&](auto at) CLIPX_LANES { at.put(hn::MulAdd(a, at.get(from), b * at.get(to)), to); });
  }
}

template <class T>
void add_rows(mat<const T> x, dim first, mat<T> y) {
  for (dim r = 0; r < y.rows; ++r) {
    const T* from = x.row((first + r) % x.rows);
    T* to = y.row(r);
    along(y.cols, [&](auto at) CLIPX_LANES { at.put(at.get(from) + at.get(to), to); });
  }
}

/// totals[c] = the sum of get(place, r) over r = first, first + step, ... < rows, for all `cols` columns; by blocks of 64 rows, so
/// that long sums keep their accuracy and a block stays in the cache.
inline constexpr dim block_rows = 64;
template <class F>
HWY_INLINE void column_sums(dim first, dim step, dim rows, dim cols, float* totals, F&& get) {
  std::fill_n(totals, cols, 0.0f);
  for (dim begin = first; begin < rows; begin += block_rows * step) {
    const dim end = std::min(rows, begin + block_rows * step);
    along(cols, [&](auto at) CLIPX_LANES {
      auto block = zero();
      for (dim r = begin; r < end; r += step) block = block + get(at, r);
      at.put(at.get(totals) + block, totals);
    });
  }
}

template <class T>
void add_totals(const float* totals, dim cols, T* y) {
  along(cols, [&](auto at) CLIPX_LANES { at.put(at.get(y) + at.get(totals), y); });
}

template <class T>
void sum_rows(mat<const T> x, mat<T> y) {
  float* totals = scratch(y.cols);
  for (dim p = 0; p < y.rows; ++p) {
    column_sums(p, y.rows, x.rows, y.cols, totals, [&](auto at, dim r) CLIPX_LANES { return at.get(x.row(r)); });
    add_totals(totals, y.cols, y.row(p));
  }
}

template <class T>
void sum_listed(mat<const T> x, const std::int32_t* rows, dim n, T* y) {
  float* totals = scratch(x.cols);
  column_sums(0, 1, n, x.cols, totals, [&](auto at, dim i) CLIPX_LANES { return at.get(x.row(rows[i])); });
  add_totals(totals, x.cols, y);
}

template <class T>
void unary(activation f, mat<const T> x, mat<T> y) {
  with(f, [&](auto fn) CLIPX_LANES {
    for (dim r = 0; r < y.rows; ++r) along(y.cols, [&](auto at) CLIPX_LANES { at.put(fn.value(at.get(x.row(r))), y.row(r)); });
  });
}

template <class T>
void unary_backward(activation f, mat<const T> x, mat<const T> dy, mat<T> dx) {
  with(f, [&](auto fn) CLIPX_LANES {
    for (dim r = 0; r < dx.rows; ++r)
      along(dx.cols, [&](auto at) CLIPX_LANES { at.put(fn.slope(at.get(x.row(r))) * at.get(dy.row(r)), dx.row(r)); });
  });
}

template <class X, class T>
void bias_act(mat<const X> x, const T* bias, const activation* f, mat<const T> residual, mat<T> y, mat<T> pre) {
  const auto rows = [&](auto fn) CLIPX_LANES {
    for (dim r = 0; r < y.rows; ++r)
      along(y.cols, [&](auto at) CLIPX_LANES {
        auto u = at.get(x.row(r));
        if (bias) u = u + at.get(bias);
        if (pre) at.put(u, pre.row(r));
        u = fn.value(u);
        if (residual) u = u + at.get(residual.row(r));
        at.put(u, y.row(r));
      });
  };
  if (f) with(*f, rows);
  else rows(identity());
}

}  // namespace clipx::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
