// LayerNorm, BatchNorm, L2 normalization of rows.
#ifndef CLIPX_CPU_NORM_HPP
#define CLIPX_CPU_NORM_HPP
#include "family.hpp"

namespace clipx::detail {

template <class T>
class cpu_norm : cpu_family<T> {
 public:
  using cpu_family<T>::cpu_family;

  /// y = LayerNorm(x). stats (rows, 2): mean and 1 / deviation; may be empty.
  void layernorm(mat<const T> x, mat<const float> weight, mat<const float> bias, double eps, mat<T> y, mat<float> stats);
  /// dx, which may be dy, is overwritten; dweight and dbias accumulate.
  void layernorm_backward(const layernorm_backward_input<T, float>& in, mat<T> dx, mat<float> dweight, mat<float> dbias) {
    add_layernorm_backward(in, {}, dx, dweight, dbias);
  }
  /// sum = x + branch (may be x), y = LayerNorm(sum), computed from the sum as stored.
  void add_layernorm(const residual_sum<T>& r, mat<const float> weight, mat<const float> bias, double eps, mat<T> y,
                     mat<float> stats);
  /// dx = the LayerNorm's gradient, plus residual if given; it may be dy or residual.
  void add_layernorm_backward(const layernorm_backward_input<T, float>& in, mat<const T> residual, mat<T> dx, mat<float> dweight,
                              mat<float> dbias);

  /// stats (2, cols): mean and biased variance of every column.
  void column_stats(mat<const T> x, mat<float> stats);
  void batchnorm(mat<const T> x, const batchnorm_parameters<float>& bn, mat<T> y) { batchnorm_relu(x, bn, {}, y); }
  void batchnorm_backward(const batchnorm_backward_input<T, float>& in, mat<T> dx, mat<float> dweight, mat<float> dbias) {
    batchnorm_relu_backward(in, {}, dx, dx, dweight, dbias);
  }
  void batchnorm_relu(mat<const T> x, const batchnorm_parameters<float>& bn, const batchnorm_epilogue<T>& after, mat<T> y);
  /// y: the output of the ReLU; empty: no ReLU. dz receives the gradient before it and may be dy, or dx if it is not needed.
  void batchnorm_relu_backward(const batchnorm_backward_input<T, float>& in, mat<const T> y, mat<T> dz, mat<T> dx,
                               mat<float> dweight, mat<float> dbias);

  /// L2-normalized rows and their norms (rows, 1), at least 1e-12.
  void normalize(mat<const T> x, mat<float> y, mat<float> norms);
  void normalize_backward(mat<const float> y, mat<const float> norms, mat<const float> dy, mat<T> dx);
};
CLIPX_CPU_DECLARED(cpu_norm);

}  // namespace clipx::detail
#endif

#ifdef CLIPX_CPU_KERNELS
HWY_BEFORE_NAMESPACE();
namespace clipx::simd::HWY_NAMESPACE {

/// y = (x - mean) / sqrt(var + eps) w + b for one row, in two passes over x.
template <class T>
HWY_INLINE void normalize_row(const T* x, const float* w, const float* b, dim n, float eps, T* y, float* stats) {
  const float mean = row_sum(n, [&](auto at, vf s) CLIPX_LANES { return s + at.get(x); }) / static_cast<float>(n);
  const auto m = set(mean);
  const float squares = row_sum(n, [&](auto at, vf s) CLIPX_LANES {
    const auto v = at.get(x) - m;
    return hn::MulAdd(v, v, s);
  });
  const float rstd = 1.0f / std::sqrt(squares / static_cast<float>(n) + eps);
  const auto s = set(rstd);
  along(n, [&](auto at) CLIPX_LANES { at.put(hn::MulAdd((at.get(x) - m) * s, at.get(w), at.get(b)), y); });
  if (!stats) return;
  stats[0] = mean;
  stats[1] = rstd;
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

/// g = dy w, xhat = (x - mean) rstd: dx = rstd (g - mean g - xhat mean(g xhat)), plus residual if given.
template <class T>
void layernorm_backward(mat<const T> x, mat<const float> w, mat<const float> stats, mat<const T> dy, mat<const T> residual,
                        mat<T> dx) {
  const float n = static_cast<float>(x.cols);
  for (dim r = 0; r < x.rows; ++r) {
    const T *from = x.row(r), *grad = dy.row(r);
    const auto mean = set(stats.row(r)[0]), rstd = set(stats.row(r)[1]);
    const auto xhat = [&](auto at) CLIPX_LANES { return (at.get(from) - mean) * rstd; };
    const auto all =
        set(row_sum(x.cols, [&](auto at, vf s) CLIPX_LANES { return hn::MulAdd(at.get(grad), at.get(w.data), s); }) / n);
    const auto dot =
        set(row_sum(x.cols, [&](auto at, vf s) CLIPX_LANES { return hn::MulAdd(at.get(grad) * at.get(w.data), xhat(at), s); }) / n);
    const auto rest = [&](auto at)
                          CLIPX_LANES { return hn::NegMulAdd(xhat(at), dot, hn::MulSub(at.get(grad), at.get(w.data), all)); };
    if (residual)
      along(x.cols, [&](auto at) CLIPX_LANES { at.put(hn::MulAdd(rstd, rest(at), at.get(residual.row(r))), dx.row(r)); });
    else along(x.cols, [&](auto at) CLIPX_LANES { at.put(rstd * rest(at), dx.row(r)); });
  }
}

template <class T>
void layernorm_columns(mat<const T> x, mat<const float> stats, mat<const T> dy, mat<float> sums) {
  std::fill_n(sums.data, sums.size(), 0.0f);
  by_columns(x.rows, x.cols, [&](auto at, dim r, dim end) CLIPX_LANES {
    auto dot = zero(), all = zero();
    for (; r < end; ++r) {
      const auto g = at.get(dy.row(r));
      dot = hn::MulAdd(g, (at.get(x.row(r)) - set(stats.row(r)[0])) * set(stats.row(r)[1]), dot);
      all = all + g;
    }
    at.put(at.get(sums.row(0)) + dot, sums.row(0));
    at.put(at.get(sums.row(1)) + all, sums.row(1));
  });
}

template <class T>
void column_stats(mat<const T> x, mat<float> stats) {
  const auto n = set(static_cast<float>(x.rows));
  float *mean = stats.row(0), *var = stats.row(1);
  const auto divide = [&](float* v) CLIPX_LANES { along(x.cols, [&](auto at) CLIPX_LANES { at.put(at.get(v) / n, v); }); };
  column_sums(0, 1, x.rows, x.cols, mean, [&](auto at, dim r, vf s) CLIPX_LANES { return s + at.get(x.row(r)); });
  divide(mean);
  column_sums(0, 1, x.rows, x.cols, var, [&](auto at, dim r, vf s) CLIPX_LANES {
    const auto v = at.get(x.row(r)) - at.get(mean);
    return hn::MulAdd(v, v, s);
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

/// dy through the ReLU that produced y, if there was one.
template <class At, class T>
HWY_INLINE vf before_relu(At at, dim r, mat<const T> y, mat<const T> dy) {
  const auto g = at.get(dy.row(r));
  return y ? hn::IfThenElseZero(at.get(y.row(r)) > zero(), g) : g;
}

/// sums (2, cols) of dz xhat and of dz, the gradient before the ReLU, which is stored in dz unless dz is empty.
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
      dot = hn::MulAdd(g, at.get(x.row(r)) - mean, dot);
      all = all + g;
    }
    at.put(hn::MulAdd(dot, column_rstd(at, stats, eps), at.get(sums.row(0))), sums.row(0));
    at.put(at.get(sums.row(1)) + all, sums.row(1));
  });
}

/// means (2, cols) of dz xhat and of dz if the statistics are the batch's own; else empty.
template <class T>
void batchnorm_backward(mat<const T> x, mat<const float> stats, mat<const float> w, float eps, mat<const float> means,
                        mat<const T> y, mat<const T> dy, mat<T> dx) {
  by_columns(x.rows, x.cols, [&](auto at, dim r, dim end) CLIPX_LANES {
    const auto mean = at.get(stats.row(0)), rstd = column_rstd(at, stats, eps), scale = at.get(w.data) * rstd;
    const auto dot = means ? at.get(means.row(0)) : zero(), all = means ? at.get(means.row(1)) : zero();
    for (; r < end; ++r) {
      const auto xhat = (at.get(x.row(r)) - mean) * rstd;
      at.put(scale * hn::NegMulAdd(xhat, dot, before_relu(at, r, y, dy) - all), dx.row(r));
    }
  });
}

template <class T>
void normalize(mat<const T> x, mat<float> y, mat<float> norms) {
  for (dim r = 0; r < x.rows; ++r) {
    const float squares =
        row_sum(x.cols, [&](auto at, vf s) CLIPX_LANES { return hn::MulAdd(at.get(x.row(r)), at.get(x.row(r)), s); });
    float norm = std::sqrt(squares);
    if (norm < 1e-12f) norm = 1e-12f;
    const auto l = set(norm);
    along(x.cols, [&](auto at) CLIPX_LANES { at.put(at.get(x.row(r)) / l, y.row(r)); });
    norms.row(r)[0] = norm;
  }
}

template <class T>
void normalize_backward(mat<const float> y, mat<const float> norms, mat<const float> dy, mat<T> dx) {
  for (dim r = 0; r < y.rows; ++r) {
    const auto dot =
        set(row_sum(y.cols, [&](auto at, vf s) CLIPX_LANES { return hn::MulAdd(at.get(dy.row(r)), at.get(y.row(r)), s); }));
    const auto l = set(norms.row(r)[0]);
    along(y.cols, [&](auto at) CLIPX_LANES { at.put(hn::NegMulAdd(dot, at.get(y.row(r)), at.get(dy.row(r))) / l, dx.row(r)); });
  }
}

}  // namespace clipx::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#ifdef CLIPX_CPU_MEMBERS
namespace clipx::detail {

template <class T>
void cpu_norm<T>::layernorm(mat<const T> x, mat<const float> weight, mat<const float> bias, double eps, mat<T> y,
                            mat<float> stats) {
  const auto rows = [&](mat<const T> from, mat<T> to, mat<float> s) {
    CLIPX_KERNEL(layernorm<T>)(from, weight, bias, static_cast<float>(eps), to, s);
  };
  simd::parallel_rows(this->threads_, x.rows, x.cols, rows, x, y, stats);
}

template <class T>
void cpu_norm<T>::add_layernorm(const residual_sum<T>& r, mat<const float> weight, mat<const float> bias, double eps, mat<T> y,
                                mat<float> stats) {
  const auto rows = [&](mat<const T> a, mat<const T> b, mat<T> total, mat<T> to, mat<float> s) {
    CLIPX_KERNEL(add_layernorm<T>)(a, b, weight, bias, static_cast<float>(eps), total, to, s);
  };
  simd::parallel_rows(this->threads_, r.x.rows, r.x.cols, rows, r.x, r.branch, r.sum, y, stats);
}

template <class T>
void cpu_norm<T>::add_layernorm_backward(const layernorm_backward_input<T, float>& in, mat<const T> residual, mat<T> dx,
                                         mat<float> dweight, mat<float> dbias) {
  const mat<const T> x = in.x;
  const auto sums = simd::column_pieces(this->threads_, x.rows, x.cols, [&](dim first, dim n, mat<float> piece) {
    CLIPX_KERNEL(layernorm_columns<T>)(x.row_range(first, n), in.stats.row_range(first, n), in.dy.row_range(first, n), piece);
  });  // before dx is written, which may be dy
  for (dim c = 0; c < x.cols; ++c) {
    dweight.data[c] += sums.row(0)[c];
    dbias.data[c] += sums.row(1)[c];
  }
  const auto rows = [&](mat<const T> from, mat<const float> s, mat<const T> grad, mat<const T> more, mat<T> to) {
    CLIPX_KERNEL(layernorm_backward<T>)(from, in.weight, s, grad, more, to);
  };
  simd::parallel_rows(this->threads_, x.rows, x.cols, rows, x, in.stats, in.dy, residual, dx);
}

template <class T>
void cpu_norm<T>::column_stats(mat<const T> x, mat<float> stats) {
  const dim height = simd::piece_rows(x.cols), pieces = (x.rows + height - 1) / height;
  const mat<float> parts(simd::shared_floats(pieces * 2 * x.cols), pieces * 2, x.cols);  // mean and variance of each piece
  const auto rows_of = [&](dim p) { return std::min(height, x.rows - p * height); };
  simd::parallel_ranges(this->threads_, pieces, height * x.cols, 1, [&](dim first, dim n) {
    for (dim p = first; p < first + n; ++p)
      CLIPX_KERNEL(column_stats<T>)(x.row_range(p * height, rows_of(p)), parts.row_range(2 * p, 2));
  });
  // The mean of all rows is the mean of the pieces' means; the variance is the mean
  // of the pieces' variances plus that of their means.
  for (dim c = 0; c < x.cols; ++c) {
    double mean = 0, squares = 0;
    for (dim p = 0; p < pieces; ++p) mean += static_cast<double>(rows_of(p)) * static_cast<double>(parts.row(2 * p)[c]);
    mean /= static_cast<double>(x.rows);
    for (dim p = 0; p < pieces; ++p) {
      const double away = static_cast<double>(parts.row(2 * p)[c]) - mean;
      squares += static_cast<double>(rows_of(p)) * (static_cast<double>(parts.row(2 * p + 1)[c]) + away * away);
    }
    stats.row(0)[c] = static_cast<float>(mean);
    stats.row(1)[c] = static_cast<float>(squares / static_cast<double>(x.rows));
  }
}

template <class T>
void cpu_norm<T>::batchnorm_relu(mat<const T> x, const batchnorm_parameters<float>& bn, const batchnorm_epilogue<T>& after,
                                 mat<T> y) {
  const auto rows = [&](mat<const T> from, mat<const T> more, mat<T> to) {
    CLIPX_KERNEL(batchnorm<T>)(from, bn.stats, bn.weight, bn.bias, static_cast<float>(bn.eps), more, after.relu, to);
  };
  simd::parallel_rows(this->threads_, x.rows, x.cols, rows, x, after.residual, y);
}

template <class T>
void cpu_norm<T>::batchnorm_relu_backward(const batchnorm_backward_input<T, float>& in, mat<const T> y, mat<T> dz, mat<T> dx,
                                          mat<float> dweight, mat<float> dbias) {
  const mat<const T> x = in.x;
  mat<const T> dy = in.dy;
  const float e = static_cast<float>(in.eps), n = static_cast<float>(x.rows);
  const bool kept = y && dz.data != dx.data;  // else it is recomputed
  const auto sums = simd::column_pieces(this->threads_, x.rows, x.cols, [&](dim first, dim count, mat<float> piece) {
    const auto kernel = CLIPX_KERNEL(batchnorm_columns<T>);
    kernel(x.row_range(first, count), in.stats, e, simd::row_part(y, first, count), dy.row_range(first, count),
           kept ? dz.row_range(first, count) : mat<T>(), piece);
  });
  if (kept) {
    y = {};
    dy = dz;
  }
  for (dim c = 0; c < x.cols; ++c) {
    dweight.data[c] += sums.row(0)[c];
    dbias.data[c] += sums.row(1)[c];
    sums.row(0)[c] /= n;
    sums.row(1)[c] /= n;
  }
  const auto means = in.training ? mat<const float>(sums) : mat<const float>();
  const auto rows = [&](mat<const T> from, mat<const T> rectified, mat<const T> grad, mat<T> to) {
    CLIPX_KERNEL(batchnorm_backward<T>)(from, in.stats, in.weight, e, means, rectified, grad, to);
  };
  simd::parallel_rows(this->threads_, x.rows, x.cols, rows, x, y, dy, dx);
}

template <class T>
void cpu_norm<T>::normalize(mat<const T> x, mat<float> y, mat<float> norms) {
  simd::parallel_rows(this->threads_, x.rows, x.cols, CLIPX_KERNEL(normalize<T>), x, y, norms);
}
template <class T>
void cpu_norm<T>::normalize_backward(mat<const float> y, mat<const float> norms, mat<const float> dy, mat<T> dx) {
  simd::parallel_rows(this->threads_, y.rows, y.cols, CLIPX_KERNEL(normalize_backward<T>), y, norms, dy, dx);
}

CLIPX_CPU_DEFINED(cpu_norm);

}  // namespace clipx::detail
#endif
