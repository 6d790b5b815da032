// Elementwise verbs: copies and conversions, sums, activations, gates, scaled columns; pixels.
#ifndef CLIPX_CPU_ELEMENTWISE_HPP
#define CLIPX_CPU_ELEMENTWISE_HPP
#include <array>
#include <cstdint>

#include "family.hpp"

namespace clipx::detail {

template <class T>
class cpu_elementwise : cpu_family<T> {
 public:
  using cpu_family<T>::cpu_family;

  // y = x, strided; bf16 is rounded to nearest even.
  void copy(mat<const T> x, mat<T> y);
  template <accum_of<T> A = float>
  void copy(mat<const T> x, view<A> y) {
    widen(x, y);
  }
  template <accum_of<T> A = float>
  void copy(view<const A> x, mat<T> y) {
    round(x, y);
  }
  template <accum_of<T> A = float>
  void copy(view<const A> x, view<A> y) {
    on_float().copy(x, y);
  }

  void upload(mat<const float> x, mat<T> y) { round(x, y); }
  void upload(mat<const double> x, mat<T> y) { cast(x, y); }
  void upload(mat<const std::int32_t> x, mat<std::int32_t> y) { cast(x, y); }
  void upload(mat<const std::uint8_t> x, mat<std::uint8_t> y) { cast(x, y); }
  template <accum_of<T> A = float>
  void upload(mat<const float> x, view<A> y) {
    on_float().copy(x, y);
  }
  template <accum_of<T> A = float>
  void upload(mat<const double> x, view<A> y) {
    cast(x, y);
  }
  void download(mat<const T> x, mat<float> y) { widen(x, y); }
  void download(mat<const T> x, mat<double> y) { cast(x, y); }
  template <accum_of<T> A = float>
  void download(view<const A> x, mat<float> y) {
    on_float().copy(x, y);
  }
  template <accum_of<T> A = float>
  void download(view<const A> x, mat<double> y) {
    cast(x, y);
  }

  void fill(mat<T> y, T value);
  template <accum_of<T> A = float>
  void fill(view<A> y, float value) {
    on_float().fill(y, value);
  }
  /// y = (rgb / 255 - mean) / deviation in float32: two real divisions and one subtraction, each rounded.
  void pixels(mat<const std::uint8_t> rgb, std::array<float, 3> mean, std::array<float, 3> deviation, mat<T> y);

  /// y = alpha x + beta y; y is not read if beta is 0.
  void add(float alpha, mat<const T> x, float beta, mat<T> y);
  template <accum_of<T> A = float>
  void add(float alpha, view<const A> x, float beta, view<A> y) {
    on_float().add(alpha, x, beta, y);
  }
  void unary(activation f, mat<const T> x, mat<T> y);
  void unary_backward(activation f, mat<const T> x, mat<const T> dy, mat<T> dx);
  /// y = f(u) v; y may be v. In the backward pass du may be u, and dv may be v.
  void glu(activation f, mat<const T> u, mat<const T> v, mat<T> y);
  void glu_backward(activation f, mat<const T> u, mat<const T> v, mat<const T> dy, mat<T> du, mat<T> dv);
  /// y[r][c] = x[r][c] gamma[c]; y may be x.
  void scale_columns(mat<const T> x, mat<const float> gamma, mat<T> y);
  /// dx, which may be dy, is overwritten; dgamma accumulates.
  void scale_columns_backward(mat<const T> x, mat<const float> gamma, mat<const T> dy, mat<T> dx, mat<float> dgamma);
  /// Clamps x[r][c] to [low, high].
  void clamp(mat<float> x, double low, double high);

  /// Not a verb: the epilogue of a matrix product. u = x + bias, y = f(u) + residual, in float between the loads and the stores.
  /// bias (1, cols), f, residual (y's shape) and pre (receives u) may be empty. y and pre may be x; residual may be y.
  void bias_act(mat<const T> x, mat<const T> bias, const activation* f, mat<const T> residual, mat<T> y, mat<T> pre);
  /// The same for sums that have not been rounded yet.
  template <accum_of<T> A = float>
  void bias_act(view<const A> x, mat<const T> bias, const activation* f, mat<const T> residual, mat<T> y, mat<T> pre) {
    bias_act_sums(x, bias, f, residual, y, pre);
  }

 private:
  cpu_elementwise<float> on_float() const { return cpu_elementwise<float>(this->threads_); }
  void widen(mat<const T> x, mat<float> y);
  void round(mat<const float> x, mat<T> y);
  void bias_act_sums(mat<const float> x, mat<const T> bias, const activation* f, mat<const T> residual, mat<T> y, mat<T> pre);
  template <class From, class To>
  static void cast(mat<From> x, mat<To> y) {
    for (dim r = 0; r < y.rows; ++r)
      for (dim c = 0; c < y.cols; ++c) y.row(r)[c] = static_cast<To>(x.row(r)[c]);
  }
};
CLIPX_CPU_DECLARED(cpu_elementwise);

}  // namespace clipx::detail
#endif

#ifdef CLIPX_CPU_KERNELS
HWY_BEFORE_NAMESPACE();
namespace clipx::simd::HWY_NAMESPACE {

/// y = x, from any storage type to any other.
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

template <class T>
void glu(activation f, mat<const T> u, mat<const T> v, mat<T> y) {
  with(f, [&](auto fn) CLIPX_LANES {
    for (dim r = 0; r < y.rows; ++r)
      along(y.cols, [&](auto at) CLIPX_LANES { at.put(fn.value(at.get(u.row(r))) * at.get(v.row(r)), y.row(r)); });
  });
}

template <class T>
void glu_backward(activation f, mat<const T> u, mat<const T> v, mat<const T> dy, mat<T> of_u, mat<T> of_v) {
  with(f, [&](auto fn) CLIPX_LANES {
    for (dim r = 0; r < dy.rows; ++r)
      along(dy.cols, [&](auto at) CLIPX_LANES {
        const auto x = at.get(u.row(r)), g = at.get(dy.row(r));
        at.put(fn.slope(x) * at.get(v.row(r)) * g, of_u.row(r));
        at.put(fn.value(x) * g, of_v.row(r));
      });
  });
}

template <class T>
void scale_columns(mat<const T> x, mat<const float> gamma, mat<T> y) {
  for (dim r = 0; r < y.rows; ++r)
    along(y.cols, [&](auto at) CLIPX_LANES { at.put(at.get(x.row(r)) * at.get(gamma.data), y.row(r)); });
}

/// dx = dy gamma; sums (1, cols) of dy x.
template <class T>
void scale_columns_backward(mat<const T> x, mat<const float> gamma, mat<const T> dy, mat<T> dx, mat<float> sums) {
  std::fill_n(sums.data, sums.size(), 0.0f);
  by_columns(x.rows, x.cols, [&](auto at, dim r, dim end) CLIPX_LANES {
    const auto scale = at.get(gamma.data);
    auto dot = zero();
    for (; r < end; ++r) {
      const auto g = at.get(dy.row(r));
      dot = hn::MulAdd(g, at.get(x.row(r)), dot);
      at.put(g * scale, dx.row(r));
    }
    at.put(at.get(sums.data) + dot, sums.data);
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

#ifdef CLIPX_CPU_MEMBERS
namespace clipx::detail {

template <class T>
void cpu_elementwise<T>::copy(mat<const T> x, mat<T> y) {
  const auto rows = [](mat<const T> from, mat<T> to) {
    for (dim r = 0; r < to.rows; ++r) std::copy_n(from.row(r), to.cols, to.row(r));
  };
  simd::parallel_elements(this->threads_, rows, x, y);
}
template <class T>
void cpu_elementwise<T>::widen(mat<const T> x, mat<float> y) {
  simd::parallel_elements(this->threads_, CLIPX_KERNEL(convert<T, float>), x, y);
}
template <class T>
void cpu_elementwise<T>::round(mat<const float> x, mat<T> y) {
  simd::parallel_elements(this->threads_, CLIPX_KERNEL(convert<float, T>), x, y);
}
template <class T>
void cpu_elementwise<T>::fill(mat<T> y, T value) {
  const auto rows = [&](mat<T> part) {
    for (dim r = 0; r < part.rows; ++r) std::fill_n(part.row(r), part.cols, value);
  };
  simd::parallel_rows(this->threads_, y.rows, y.cols, rows, y);
}
template <class T>
void cpu_elementwise<T>::pixels(mat<const std::uint8_t> rgb, std::array<float, 3> mean, std::array<float, 3> deviation, mat<T> y) {
  std::array<std::array<T, 3>, 256> values;  // every possible result: exact, with no arithmetic left to a compiler's contraction
  for (std::size_t level = 0; level < 256; ++level)
    for (std::size_t c = 0; c < 3; ++c) {
      const float unit = static_cast<float>(level) / 255.0f, centered = unit - mean[c];
      values[level][c] = T(centered / deviation[c]);
    }
  const auto rows = [&](mat<const std::uint8_t> from, mat<T> to) {
    for (dim r = 0; r < to.rows; ++r)
      for (std::size_t c = 0; c < 3; ++c) to.row(r)[c] = values[from.row(r)[c]][c];
  };
  simd::parallel_rows(this->threads_, y.rows, 3, rows, rgb, y);
}
template <class T>
void cpu_elementwise<T>::add(float alpha, mat<const T> x, float beta, mat<T> y) {
  const auto part = [&](mat<const T> from, mat<T> to) { CLIPX_KERNEL(add<T>)(alpha, from, beta, to); };
  simd::parallel_elements(this->threads_, part, x, y);
}
template <class T>
void cpu_elementwise<T>::unary(activation f, mat<const T> x, mat<T> y) {
  const auto part = [&](mat<const T> from, mat<T> to) { CLIPX_KERNEL(unary<T>)(f, from, to); };
  simd::parallel_elements(this->threads_, part, x, y);
}
template <class T>
void cpu_elementwise<T>::unary_backward(activation f, mat<const T> x, mat<const T> dy, mat<T> dx) {
  const auto part = [&](mat<const T> from, mat<const T> grad, mat<T> to) { CLIPX_KERNEL(unary_backward<T>)(f, from, grad, to); };
  simd::parallel_elements(this->threads_, part, x, dy, dx);
}
template <class T>
void cpu_elementwise<T>::glu(activation f, mat<const T> u, mat<const T> v, mat<T> y) {
  const auto rows = [&](mat<const T> a, mat<const T> b, mat<T> to) { CLIPX_KERNEL(glu<T>)(f, a, b, to); };
  simd::parallel_rows(this->threads_, y.rows, y.cols, rows, u, v, y);
}
template <class T>
void cpu_elementwise<T>::glu_backward(activation f, mat<const T> u, mat<const T> v, mat<const T> dy, mat<T> du, mat<T> dv) {
  const auto rows = [&](mat<const T> a, mat<const T> b, mat<const T> grad, mat<T> da, mat<T> db) {
    CLIPX_KERNEL(glu_backward<T>)(f, a, b, grad, da, db);
  };
  simd::parallel_rows(this->threads_, dy.rows, dy.cols, rows, u, v, dy, du, dv);
}
template <class T>
void cpu_elementwise<T>::scale_columns(mat<const T> x, mat<const float> gamma, mat<T> y) {
  const auto rows = [&](mat<const T> from, mat<T> to) { CLIPX_KERNEL(scale_columns<T>)(from, gamma, to); };
  simd::parallel_rows(this->threads_, y.rows, y.cols, rows, x, y);
}
template <class T>
void cpu_elementwise<T>::scale_columns_backward(mat<const T> x, mat<const float> gamma, mat<const T> dy, mat<T> dx,
                                                mat<float> dgamma) {
  const auto piece = [&](dim first, dim n, mat<float> sums) {
    CLIPX_KERNEL(scale_columns_backward<T>)
    (x.row_range(first, n), gamma, dy.row_range(first, n), dx.row_range(first, n), sums);
  };
  const auto sums = simd::column_pieces(this->threads_, x.rows, x.cols, piece, 1);
  for (dim c = 0; c < x.cols; ++c) dgamma.data[c] += sums.data[c];
}
template <class T>
void cpu_elementwise<T>::clamp(mat<float> x, double low, double high) {
  for (dim r = 0; r < x.rows; ++r)
    for (dim c = 0; c < x.cols; ++c) x.row(r)[c] = std::clamp(x.row(r)[c], static_cast<float>(low), static_cast<float>(high));
}
template <class T>
void cpu_elementwise<T>::bias_act(mat<const T> x, mat<const T> bias, const activation* f, mat<const T> residual, mat<T> y,
                                  mat<T> pre) {
  const auto rows = [&](mat<const T> from, mat<const T> more, mat<T> to, mat<T> before) {
    CLIPX_KERNEL(bias_act<T, T>)(from, bias.data, f, more, to, before);
  };
  simd::parallel_rows(this->threads_, y.rows, y.cols, rows, x, residual, y, pre);
}
template <class T>
void cpu_elementwise<T>::bias_act_sums(mat<const float> x, mat<const T> bias, const activation* f, mat<const T> residual, mat<T> y,
                                       mat<T> pre) {
  const auto rows = [&](mat<const float> from, mat<const T> more, mat<T> to, mat<T> before) {
    CLIPX_KERNEL(bias_act<float, T>)(from, bias.data, f, more, to, before);
  };
  simd::parallel_rows(this->threads_, y.rows, y.cols, rows, x, residual, y, pre);
}

CLIPX_CPU_DEFINED(cpu_elementwise);

}  // namespace clipx::detail
#endif
