// LayerNorm, BatchNorm, unit rows, softmax; the optimiser.
#if defined(CLIPX_NORM_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef CLIPX_NORM_INL_H
#undef CLIPX_NORM_INL_H
#else
#define CLIPX_NORM_INL_H
#endif

#include <limits>

#include "elementwise-inl.h"

HWY_BEFORE_NAMESPACE();
namespace clipx::simd::HWY_NAMESPACE {

/// The sum of get(place) along a row of n; the four partial sums hide the adder's latency and are part of the fixed order.
template <class F>
HWY_INLINE float row_sum(dim n, F&& get) {
  auto s0 = zero(), s1 = zero(), s2 = zero(), s3 = zero();
  dim i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    s0 = s0 + get(whole{i}), s1 = s1 + get(whole{i + lanes});
    s2 = s2 + get(whole{i + 2 * lanes}), s3 = s3 + get(whole{i + 3 * lanes});
  }
  for (; i + lanes <= n; i += lanes) s0 = s0 + get(whole{i});
  if (i < n) s1 = s1 + part{i, n - i}.keep(get(part{i, n - i}));
  return sum((s0 + s1) + (s2 + s3));
}

/// y = (x - mean) / sqrt(var + eps) w + b for one row, in two passes over x.
template <class T>
HWY_INLINE void normalize_row(const T* x, const float* w, const float* b, dim n, float eps, T* y, float* stats) {
  const float mean = row_sum(n, [&](auto at) CLIPX_LANES { return at.get(x); }) / static_cast<float>(n);
  const auto m = set(mean);
  const float squares = row_sum(n, [&](auto at) CLIPX_LANES {
    const auto v = at.get(x) - m;
    return v * v;
  });
  const float rstd = 1.0f / std::sqrt(squares / static_cast<float>(n) + eps);
  const auto s = set(rstd);
  along(n, [&](auto at) CLIPX_LANES { at.put(hn::MulAdd((at.get(x) - m) * s, at.get(w), at.get(b)), y); });
  if (stats) stats[0] = mean, stats[1] = rstd;
}

template <class T>
void layernorm(mat<const T> x, mat<const float> w, mat<const float> b, float eps, mat<T> y, mat<float> stats) {
  for (dim r = 0; r < x.rows; ++r) normalize_row(x.row(r), w.data, b.data, x.cols, eps, y.row(r), stats ? stats.row(r) : nullptr);
}

template <class T>
void add_layernorm(mat<const T> x, mat<const T> branch, mat<const float> w, mat<const float> b, float eps, mat<T> sum, mat<T> y,
                   mat<float> stats) {
  for (dim r = 0; r < x.rows; ++r) {
    along(x.cols, [&](auto at) CLIPX_LANES { at.put(at.get(x.row(r)) + at.get(branch.row(r)), sum.row(r)); });
    normalize_row<T>(sum.row(r), w.data, b.data, x.cols, eps, y.row(r), stats ? stats.row(r) : nullptr);
  }
}

/// g = dy w, xhat = (x - mean) rstd: dx = rstd (g - mean g - xhat mean(g xhat)), + residual where given.
template <class T>
void layernorm_backward(mat<const T> x, mat<const float> w, mat<const float> stats, mat<const T> dy, mat<const T> residual,
                        mat<T> dx) {
  const float n = static_cast<float>(x.cols);
  for (dim r = 0; r < x.rows; ++r) {
    const T *from = x.row(r), *grad = dy.row(r);
    const auto mean = set(stats.row(r)[0]), rstd = set(stats.row(r)[1]);
    const auto g = [&](auto at) CLIPX_LANES { return at.get(grad) * at.get(w.data); };
    const auto xhat = [&](auto at) CLIPX_LANES { return (at.get(from) - mean) * rstd; };
    const auto all = set(row_sum(x.cols, g) / n);
    const auto dot = set(row_sum(x.cols, [&](auto at) CLIPX_LANES { return g(at) * xhat(at); }) / n);
    const auto result = [&](auto at) CLIPX_LANES { return rstd * (g(at) - all - xhat(at) * dot); };
    if (residual) along(x.cols, [&](auto at) CLIPX_LANES { at.put(result(at) + at.get(residual.row(r)), dx.row(r)); });
    else along(x.cols, [&](auto at) CLIPX_LANES { at.put(result(at), dx.row(r)); });
  }
}

/// f(place, first row, end) by blocks of rows, so few that they stay in the first cache while the columns go by.
template <class F>
HWY_INLINE void by_columns(dim rows, dim cols, F&& f) {
  constexpr dim few = 16;
  for (dim r = 0; r < rows; r += few) along(cols, [&](auto at) CLIPX_LANES { f(at, r, std::min(rows, r + few)); });
}

template <class T>
void layernorm_columns(mat<const T> x, mat<const float> stats, mat<const T> dy, mat<float> sums) {
  std::fill_n(sums.data, sums.size(), 0.0f);
  by_columns(x.rows, x.cols, [&](auto at, dim r, dim end) CLIPX_LANES {
    auto dot = zero(), all = zero();
    for (; r < end; ++r) {
      const auto g = at.get(dy.row(r));
      dot = dot + g * ((at.get(x.row(r)) - set(stats.row(r)[0])) * set(stats.row(r)[1]));
      all = all + g;
    }
    at.put(at.get(sums.row(0)) + dot, sums.row(0)), at.put(at.get(sums.row(1)) + all, sums.row(1));
  });
}

template <class T>
void column_stats(mat<const T> x, mat<float> stats) {
  const auto n = set(static_cast<float>(x.rows));
  float *mean = stats.row(0), *var = stats.row(1);
  const auto divide = [&](float* v) CLIPX_LANES { along(x.cols, [&](auto at) CLIPX_LANES { at.put(at.get(v) / n, v); }); };
  column_sums(0, 1, x.rows, x.cols, mean, [&](auto at, dim r) CLIPX_LANES { return at.get(x.row(r)); });
  divide(mean);
  column_sums(0, 1, x.rows, x.cols, var, [&](auto at, dim r) CLIPX_LANES {
    const auto v = at.get(x.row(r)) - at.get(mean);
    return v * v;
  });
  divide(var);
}

template <class At>
HWY_INLINE vf column_rstd(At at, mat<const float> stats, float eps) {
  return set(1.0f) / hn::Sqrt(at.get(stats.row(1)) + set(eps));
}

template <class T>
void batchnorm(mat<const T> x, mat<const float> stats, mat<const float> w, mat<const float> b, float eps, mat<const T> residual,
               bool rectified, mat<T> y) {
  by_columns(x.rows, x.cols, [&](auto at, dim r, dim end) CLIPX_LANES {
    const auto mean = at.get(stats.row(0)), scale = column_rstd(at, stats, eps) * at.get(w.data), shift = at.get(b.data);
    for (; r < end; ++r) {
      auto v = hn::MulAdd(at.get(x.row(r)) - mean, scale, shift);
      if (residual) v = v + at.get(residual.row(r));
      at.put(rectified ? relu::value(v) : v, y.row(r));
    }
  });
}

/// dy through the ReLU that gave y, where there was one.
template <class At, class T>
HWY_INLINE vf before_relu(At at, dim r, mat<const T> y, mat<const T> dy) {
  const auto g = at.get(dy.row(r));
  return y ? hn::IfThenElseZero(at.get(y.row(r)) > zero(), g) : g;
}

/// sums (2, cols) of dz xhat and of dz, the gradient before the ReLU, which dz receives where it is not empty.
template <class T>
void batchnorm_columns(mat<const T> x, mat<const float> stats, float eps, mat<const T> y, mat<const T> dy, mat<T> dz,
                       mat<float> sums) {
  std::fill_n(sums.data, sums.size(), 0.0f);
  by_columns(x.rows, x.cols, [&](auto at, dim r, dim end) CLIPX_LANES {
    const auto mean = at.get(stats.row(0));
    auto dot = zero(), all = zero();
    for (; r < end; ++r) {
      const auto g = before_relu(at, r, y, dy);
      if (dz) at.put(g, dz.row(r));
      dot = dot + g * (at.get(x.row(r)) - mean), all = all + g;
    }
    at.put(hn::MulAdd(dot, column_rstd(at, stats, eps), at.get(sums.row(0))), sums.row(0));
    at.put(at.get(sums.row(1)) + all, sums.row(1));
  });
}

/// means (2, cols) of dz xhat and of dz, where the statistics are the batch's own; else empty.
template <class T>
void batchnorm_backward(mat<const T> x, mat<const float> stats, mat<const float> w, float eps, mat<const float> means,
                        mat<const T> y, mat<const T> dy, mat<T> dx) {
  by_columns(x.rows, x.cols, [&](auto at, dim r, dim end) CLIPX_LANES {
    const auto mean = at.get(stats.row(0)), rstd = column_rstd(at, stats, eps), scale = at.get(w.data) * rstd;
    const auto dot = means ? at.get(means.row(0)) : zero(), all = means ? at.get(means.row(1)) : zero();
    for (; r < end; ++r) {
      const auto xhat = (at.get(x.row(r)) - mean) * rstd;
      at.put(scale * (before_relu(at, r, y, dy) - all - xhat * dot), dx.row(r));
    }
  });
}

template <class T>
void normalize(mat<const T> x, mat<float> y, mat<float> lengths) {
  for (dim r = 0; r < x.rows; ++r) {
    const float squares = row_sum(x.cols, [&](auto at) CLIPX_LANES { return at.get(x.row(r)) * at.get(x.row(r)); });
    float length = std::sqrt(squares);
    if (length < 1e-12f) length = 1e-12f;
    const auto l = set(length);
    along(x.cols, [&](auto at) CLIPX_LANES { at.put(at.get(x.row(r)) / l, y.row(r)); });
    lengths.row(r)[0] = length;
  }
}

template <class T>
void normalize_backward(mat<const float> y, mat<const float> lengths, mat<const float> dy, mat<T> dx) {
  for (dim r = 0; r < y.rows; ++r) {
    const auto dot = set(row_sum(y.cols, [&](auto at) CLIPX_LANES { return at.get(dy.row(r)) * at.get(y.row(r)); }));
    const auto l = set(lengths.row(r)[0]);
    along(y.cols, [&](auto at) CLIPX_LANES { at.put((at.get(dy.row(r)) - dot * at.get(y.row(r))) / l, dx.row(r)); });
  }
}

/// The largest of get(place) along a row of n; lanes beyond the row are as low as can be.
template <class F>
HWY_INLINE float row_top(dim n, F&& get) {
  const auto lowest = set(-std::numeric_limits<float>::infinity());
  auto m = lowest;
  dim i = 0;
  for (; i + lanes <= n; i += lanes) m = hn::Max(m, get(whole{i}));
  if (i < n) m = hn::Max(m, hn::IfThenElse(hn::FirstN(df(), static_cast<std::size_t>(n - i)), get(part{i, n - i}), lowest));
  return top(m);
}

inline void softmax(mat<float> x, bool causal, dim first) {
  for (dim r = 0; r < x.rows; ++r) {
    float* row = x.row(r);
    const dim n = causal && first + r + 1 < x.cols ? first + r + 1 : x.cols;
    const auto m = set(row_top(n, [&](auto at) CLIPX_LANES { return at.get(row); }));
    const float total = row_sum(n, [&](auto at) CLIPX_LANES {
      const auto e = exp_down(at.get(row) - m);
      at.put(e, row);
      return e;
    });
    const auto t = set(total);
    along(n, [&](auto at) CLIPX_LANES { at.put(at.get(row) / t, row); });
    for (dim c = n; c < x.cols; ++c) row[c] = 0;
  }
}

inline void softmax_backward(mat<const float> p, mat<float> dp) {
  for (dim r = 0; r < p.rows; ++r) {
    const auto dot = set(row_sum(p.cols, [&](auto at) CLIPX_LANES { return at.get(p.row(r)) * at.get(dp.row(r)); }));
    along(p.cols, [&](auto at) CLIPX_LANES { at.put(at.get(p.row(r)) * (at.get(dp.row(r)) - dot), dp.row(r)); });
  }
}

/// X: the gradient's storage. copy (may be empty) receives the parameters as X.
template <class X>
void adamw(const simd::adamw_numbers& k, mat<const X> grad, mat<float> p, mat<float> m, mat<float> v, mat<X> copy) {
  const auto b1 = set(k.b1), b2 = set(k.b2), rest1 = set(k.rest1), rest2 = set(k.rest2);
  along(p.cols, [&](auto at) CLIPX_LANES {
    const auto g = set(k.clip) * at.get(grad.data);
    const auto m1 = hn::MulAdd(b1, at.get(m.data), rest1 * g), v1 = hn::MulAdd(b2, at.get(v.data), rest2 * g * g);
    const auto step = set(k.rate) * m1 / hn::MulAdd(hn::Sqrt(v1), set(k.wide), set(k.eps));
    const auto p1 = hn::MulSub(at.get(p.data), set(k.keep), step);
    at.put(m1, m.data), at.put(v1, v.data), at.put(p1, p.data);
    if (copy) at.put(p1, copy.data);
  });
}
template <class T>
float sum_squares(const T* x, dim n) {
  return row_sum(n, [&](auto at) CLIPX_LANES { return at.get(x) * at.get(x); });
}

}  // namespace clipx::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
