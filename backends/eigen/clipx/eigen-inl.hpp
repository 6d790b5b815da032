// Definitions of the reference backend: each verb is its formula.
#pragma once
#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <new>

#include "eigen.hpp"

namespace clipx {

namespace detail::reference {

template <class T>
inline constexpr bool is_complex = false;
template <class T>
inline constexpr bool is_complex<std::complex<T>> = true;

/// Order is the real part's: complex numbers appear here only as a value plus an infinitesimal.
template <class T>
double real(T v) {
  if constexpr (is_complex<T>) return v.real();
  else return static_cast<double>(v);
}
/// erf, and its first-order continuation for the complex step.
template <class T>
T erf(T v) {
  if constexpr (is_complex<T>) return {std::erf(v.real()), v.imag() * 2.0 / std::sqrt(M_PI) * std::exp(-v.real() * v.real())};
  else return std::erf(v);
}
template <class T>
T sigmoid(T v) {
  return T(1) / (T(1) + std::exp(-v));
}

template <class T>
T activate(activation f, T x) {
  switch (f) {
    case activation::relu:
      return real(x) > 0 ? x : T(0);
    case activation::gelu:
      return x * T(0.5) * (T(1) + erf(x * T(M_SQRT1_2)));
    case activation::quick_gelu:
      return x * sigmoid(T(1.702) * x);
  }
  return x;
}
template <class T>
T slope(activation f, T x) {
  switch (f) {
    case activation::relu:
      return real(x) > 0 ? T(1) : T(0);
    case activation::gelu:
      return T(0.5) * (T(1) + erf(x * T(M_SQRT1_2))) + x * std::exp(-x * x / T(2)) * T(1 / std::sqrt(2 * M_PI));
    case activation::quick_gelu: {
      const T s = sigmoid(T(1.702) * x);
      return s + T(1.702) * x * s * (T(1) - s);
    }
  }
  return T(1);
}

/// Calls f(output row, input row or -1 for padding, patch offset ky * kernel + kx) for every tap of every window.
template <class F>
void each_tap(const window& w, dim pictures, F&& f) {
  const dim oh = w.out_height(), ow = w.out_width();
  for (dim n = 0; n < pictures; ++n)
    for (dim y = 0; y < oh; ++y)
      for (dim x = 0; x < ow; ++x)
        for (dim ky = 0; ky < w.kernel; ++ky)
          for (dim kx = 0; kx < w.kernel; ++kx) {
            const dim iy = y * w.stride + ky - w.pad, ix = x * w.stride + kx - w.pad;
            const bool inside = iy >= 0 && iy < w.height && ix >= 0 && ix < w.width;
            f(n * w.out_rows() + w.lead + y * ow + x, inside ? (n * w.height + iy) * w.width + ix : -1, ky * w.kernel + kx);
          }
}

/// Average pooling; the kernel is clipped to the picture (kernel x 1 over a column of tokens).
template <class F>
void each_pooled(const window& w, dim pictures, F&& f) {
  const dim kh = std::min(w.kernel, w.height), kw = std::min(w.kernel, w.width), oh = w.height / kh, ow = w.width / kw;
  for (dim n = 0; n < pictures; ++n)
    for (dim y = 0; y < oh * kh; ++y)
      for (dim x = 0; x < ow * kw; ++x) f((n * oh + y / kh) * ow + x / kw, (n * w.height + y) * w.width + x, kh * kw);
}

}  // namespace detail::reference

template <class T>
eigen<T>::eigen()
    : memory_(
          this, [](void*, dim n) { return buffer<std::byte>(static_cast<std::byte*>(zeroed(n)), n, std::free); },
          [](void*, std::byte* p, dim n) { std::memset(p, 0xff, static_cast<std::size_t>(n)); }) {}

template <class T>
void* eigen<T>::zeroed(dim bytes) {
  const std::size_t n = (static_cast<std::size_t>(std::max<dim>(bytes, 1)) + 255) / 256 * 256;
  void* p = std::aligned_alloc(256, n);
  expect(p != nullptr, [&] { return cat("eigen: out of memory for ", bytes, " bytes"); });
  return std::memset(p, 0, n);
}

template <class T>
void eigen<T>::fill(mat<T> y, T value) {
  for (dim r = 0; r < y.rows; ++r) std::fill_n(y.row(r), y.cols, value);
}

template <class T>
void eigen<T>::pixels(mat<const std::uint8_t> rgb, std::array<float, 3> mean, std::array<float, 3> std, mat<T> y) {
  for (dim r = 0; r < y.rows; ++r)
    for (std::size_t c = 0; c < 3; ++c) y.row(r)[c] = T((static_cast<float>(rgb.row(r)[c]) / 255.0f - mean[c]) / std[c]);
}

template <class T>
void eigen<T>::gemm(op ta, op tb, T alpha, mat<const T> a, mat<const T> b, T beta, mat<T> c) {
  using rows = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  using view = Eigen::Map<rows, 0, Eigen::OuterStride<>>;
  using const_view = Eigen::Map<const rows, 0, Eigen::OuterStride<>>;
  const_view A(a.data, a.rows, a.cols, Eigen::OuterStride<>(a.ld)), B(b.data, b.rows, b.cols, Eigen::OuterStride<>(b.ld));
  view C(c.data, c.rows, c.cols, Eigen::OuterStride<>(c.ld));
  if (beta == T(0)) C.setZero();
  else C *= beta;
  if (ta == op::none && tb == op::none) C.noalias() += alpha * (A * B);
  else if (ta == op::none) C.noalias() += alpha * (A * B.transpose());
  else if (tb == op::none) C.noalias() += alpha * (A.transpose() * B);
  else C.noalias() += alpha * (A.transpose() * B.transpose());
}

template <class T>
void eigen<T>::add(T alpha, mat<const T> x, T beta, mat<T> y) {
  for (dim r = 0; r < y.rows; ++r)
    for (dim c = 0; c < y.cols; ++c) y.row(r)[c] = alpha * x.row(r)[c] + (beta == T(0) ? T(0) : beta * y.row(r)[c]);
}
template <class T>
void eigen<T>::add_rows(mat<const T> x, mat<T> y) {
  for (dim r = 0; r < y.rows; ++r)
    for (dim c = 0; c < y.cols; ++c) y.row(r)[c] += x.row(r % x.rows)[c];
}
template <class T>
void eigen<T>::sum_rows(mat<const T> x, mat<T> y) {
  for (dim r = 0; r < x.rows; ++r)
    for (dim c = 0; c < x.cols; ++c) y.row(r % y.rows)[c] += x.row(r)[c];
}
template <class T>
void eigen<T>::gather_rows(mat<const T> x, mat<const std::int32_t> ids, mat<T> y) {
  for (dim r = 0; r < ids.cols; ++r) std::copy_n(x.row(ids.data[r]), x.cols, y.row(r));
}
template <class T>
void eigen<T>::scatter_add_rows(mat<const T> x, mat<const std::int32_t> ids, mat<T> y) {
  for (dim r = 0; r < ids.cols; ++r)
    for (dim c = 0; c < x.cols; ++c) y.row(ids.data[r])[c] += x.row(r)[c];
}
template <class T>
void eigen<T>::unary(activation f, mat<const T> x, mat<T> y) {
  for (dim r = 0; r < y.rows; ++r)
    for (dim c = 0; c < y.cols; ++c) y.row(r)[c] = detail::reference::activate(f, x.row(r)[c]);
}
template <class T>
void eigen<T>::unary_backward(activation f, mat<const T> x, mat<const T> dy, mat<T> dx) {
  for (dim r = 0; r < dx.rows; ++r)
    for (dim c = 0; c < dx.cols; ++c) dx.row(r)[c] = detail::reference::slope(f, x.row(r)[c]) * dy.row(r)[c];
}
template <class T>
void eigen<T>::clamp(mat<T> x, double low, double high) {
  for (dim r = 0; r < x.rows; ++r)
    for (dim c = 0; c < x.cols; ++c) {
      T& v = x.row(r)[c];
      if (detail::reference::real(v) < low) v = T(low);
      if (detail::reference::real(v) > high) v = T(high);
    }
}

template <class T>
void eigen<T>::layernorm(mat<const T> x, mat<const T> w, mat<const T> b, double eps, mat<T> y, mat<T> stats) {
  const T n = T(static_cast<double>(x.cols));
  for (dim r = 0; r < x.rows; ++r) {
    T mean(0), var(0);
    for (dim c = 0; c < x.cols; ++c) mean += x.row(r)[c];
    mean /= n;
    for (dim c = 0; c < x.cols; ++c) var += (x.row(r)[c] - mean) * (x.row(r)[c] - mean);
    const T rstd = T(1) / std::sqrt(var / n + T(eps));
    for (dim c = 0; c < x.cols; ++c) y.row(r)[c] = (x.row(r)[c] - mean) * rstd * w.data[c] + b.data[c];
    if (stats) stats.row(r)[0] = mean, stats.row(r)[1] = rstd;
  }
}
template <class T>
void eigen<T>::layernorm_backward(mat<const T> x, mat<const T> w, mat<const T> stats, mat<const T> dy, mat<T> dx, mat<T> dw,
                                  mat<T> db) {
  const T n = T(static_cast<double>(x.cols));
  for (dim r = 0; r < x.rows; ++r) {
    const T mean = stats.row(r)[0], rstd = stats.row(r)[1];
    T sum(0), dot(0);  // of g = dy * w, and of g with xhat
    for (dim c = 0; c < x.cols; ++c) {
      const T xhat = (x.row(r)[c] - mean) * rstd, g = dy.row(r)[c] * w.data[c];
      dw.data[c] += dy.row(r)[c] * xhat, db.data[c] += dy.row(r)[c];
      sum += g, dot += g * xhat;
    }
    for (dim c = 0; c < x.cols; ++c) {
      const T xhat = (x.row(r)[c] - mean) * rstd;
      dx.row(r)[c] = rstd * (dy.row(r)[c] * w.data[c] - sum / n - xhat * dot / n);
    }
  }
}
template <class T>
void eigen<T>::column_stats(mat<const T> x, mat<T> stats) {
  using wide = std::conditional_t<std::is_same_v<T, float>, double, T>;  // columns are long: a picture's every pixel
  const wide n = wide(static_cast<double>(x.rows));
  for (dim c = 0; c < x.cols; ++c) {
    wide mean(0), var(0);
    for (dim r = 0; r < x.rows; ++r) mean += wide(x.row(r)[c]);
    mean /= n;
    for (dim r = 0; r < x.rows; ++r) var += (wide(x.row(r)[c]) - mean) * (wide(x.row(r)[c]) - mean);
    stats.row(0)[c] = T(mean), stats.row(1)[c] = T(var / n);
  }
}
template <class T>
void eigen<T>::batchnorm(mat<const T> x, mat<const T> stats, mat<const T> w, mat<const T> b, double eps, mat<T> y) {
  for (dim c = 0; c < x.cols; ++c) {
    const T rstd = T(1) / std::sqrt(stats.row(1)[c] + T(eps));
    for (dim r = 0; r < x.rows; ++r) y.row(r)[c] = (x.row(r)[c] - stats.row(0)[c]) * rstd * w.data[c] + b.data[c];
  }
}
template <class T>
void eigen<T>::batchnorm_backward(mat<const T> x, mat<const T> stats, mat<const T> w, double eps, bool training, mat<const T> dy,
                                  mat<T> dx, mat<T> dw, mat<T> db) {
  const T n = T(static_cast<double>(x.rows));
  for (dim c = 0; c < x.cols; ++c) {
    const T mean = stats.row(0)[c], rstd = T(1) / std::sqrt(stats.row(1)[c] + T(eps));
    T sum(0), dot(0);  // of dy, and of dy with xhat
    for (dim r = 0; r < x.rows; ++r) sum += dy.row(r)[c], dot += dy.row(r)[c] * (x.row(r)[c] - mean) * rstd;
    dw.data[c] += dot, db.data[c] += sum;
    for (dim r = 0; r < x.rows; ++r) {
      const T xhat = (x.row(r)[c] - mean) * rstd;
      dx.row(r)[c] = w.data[c] * rstd * (training ? dy.row(r)[c] - sum / n - xhat * dot / n : dy.row(r)[c]);
    }
  }
}
template <class T>
void eigen<T>::normalize(mat<const T> x, mat<T> y, mat<T> norms) {
  for (dim r = 0; r < x.rows; ++r) {
    T sum(0);
    for (dim c = 0; c < x.cols; ++c) sum += x.row(r)[c] * x.row(r)[c];
    T norm = std::sqrt(sum);
    if (!(detail::reference::real(norm) > 1e-12)) norm = T(1e-12);
    for (dim c = 0; c < x.cols; ++c) y.row(r)[c] = x.row(r)[c] / norm;
    norms.row(r)[0] = norm;
  }
}
template <class T>
void eigen<T>::normalize_backward(mat<const T> y, mat<const T> norms, mat<const T> dy, mat<T> dx) {
  for (dim r = 0; r < y.rows; ++r) {
    T dot(0);
    for (dim c = 0; c < y.cols; ++c) dot += dy.row(r)[c] * y.row(r)[c];
    for (dim c = 0; c < y.cols; ++c) dx.row(r)[c] = (dy.row(r)[c] - dot * y.row(r)[c]) / norms.row(r)[0];
  }
}

template <class T>
void eigen<T>::softmax(mat<T> x, bool causal) {
  for (dim r = 0; r < x.rows; ++r) {
    const dim n = causal ? r + 1 : x.cols;
    T top = x.row(r)[0], sum(0);
    for (dim c = 1; c < n; ++c)
      if (detail::reference::real(x.row(r)[c]) > detail::reference::real(top)) top = x.row(r)[c];
    for (dim c = 0; c < n; ++c) sum += x.row(r)[c] = std::exp(x.row(r)[c] - top);
    for (dim c = 0; c < x.cols; ++c) x.row(r)[c] = c < n ? x.row(r)[c] / sum : T(0);
  }
}
template <class T>
void eigen<T>::softmax_backward(mat<const T> p, mat<T> dp) {
  for (dim r = 0; r < p.rows; ++r) {
    T dot(0);
    for (dim c = 0; c < p.cols; ++c) dot += p.row(r)[c] * dp.row(r)[c];
    for (dim c = 0; c < p.cols; ++c) dp.row(r)[c] = p.row(r)[c] * (dp.row(r)[c] - dot);
  }
}
template <class T>
void eigen<T>::im2col(mat<const T> x, const window& w, mat<T> cols) {
  const dim kk = w.kernel * w.kernel;
  detail::reference::each_tap(w, x.rows / (w.height * w.width), [&](dim out, dim in, dim tap) {
    for (dim c = 0; c < w.channels; ++c) cols.row(out)[c * kk + tap] = in < 0 ? T(0) : x.row(in)[c];
  });
}
template <class T>
void eigen<T>::col2im(mat<const T> cols, const window& w, mat<T> x) {
  fill(x, T(0));
  const dim kk = w.kernel * w.kernel;
  detail::reference::each_tap(w, x.rows / (w.height * w.width), [&](dim out, dim in, dim tap) {
    for (dim c = 0; c < w.channels && in >= 0; ++c) x.row(in)[c] += cols.row(out)[c * kk + tap];
  });
}
template <class T>
void eigen<T>::avgpool(mat<const T> x, const window& w, mat<T> y) {
  fill(y, T(0));
  detail::reference::each_pooled(w, x.rows / (w.height * w.width), [&](dim out, dim in, dim taps) {
    for (dim c = 0; c < w.channels; ++c) y.row(out)[c] += x.row(in)[c] / T(static_cast<double>(taps));
  });
}
template <class T>
void eigen<T>::avgpool_backward(mat<const T> dy, const window& w, mat<T> dx) {
  fill(dx, T(0));
  detail::reference::each_pooled(w, dx.rows / (w.height * w.width), [&](dim out, dim in, dim taps) {
    for (dim c = 0; c < w.channels; ++c) dx.row(in)[c] = dy.row(out)[c] / T(static_cast<double>(taps));
  });
}
template <class T>
void eigen<T>::xent_tile(mat<const T> cosines, mat<const T> log_scale, dim shift, mat<T> rows, mat<T> cols, mat<T> own) {
  using detail::reference::real;
  const T s = std::exp(log_scale.data[0]);
  const auto join = [&](T* so_far, dim n, auto at) {  // largest logit s at(k), and the sum of exp(logit - largest)
    T &top = so_far[0], &sum = so_far[1];
    const T before = top;
    for (dim k = 0; k < n; ++k)
      if (real(s * at(k)) > real(top)) top = s * at(k);
    sum = sum == T(0) ? T(0) : sum * std::exp(before - top);
    for (dim k = 0; k < n; ++k) sum += std::exp(s * at(k) - top);
  };
  for (dim i = 0; i < cosines.rows; ++i) {
    join(rows.row(i), cosines.cols, [&](dim k) { return cosines.row(i)[k]; });
    if (const dim j = i + shift; j >= 0 && j < cosines.cols) own.row(i)[0] = cosines.row(i)[j];
  }
  for (dim j = 0; j < cosines.cols; ++j) join(cols.row(j), cosines.rows, [&](dim k) { return cosines.row(k)[j]; });
}
template <class T>
void eigen<T>::xent_loss(mat<const T> log_scale, mat<T> rows, mat<T> cols, mat<const T> own, mat<T> loss) {
  const T s = std::exp(log_scale.data[0]);
  T total(0);
  for (dim i = 0; i < rows.rows; ++i) {
    for (auto* side : {rows.row(i), cols.row(i)}) side[0] += std::log(side[1]);
    total += rows.row(i)[0] + cols.row(i)[0] - T(2) * s * own.row(i)[0];
  }
  loss.data[0] = total / T(2.0 * static_cast<double>(rows.rows));
}
template <class T>
void eigen<T>::xent_tile_backward(mat<const T> cosines, mat<const T> log_scale, mat<const T> rows, mat<const T> cols, dim shift,
                                  dim N, mat<T> dcosines, mat<T> dlog_scale) {
  const T s = std::exp(log_scale.data[0]);
  for (dim i = 0; i < cosines.rows; ++i)
    for (dim j = 0; j < cosines.cols; ++j) {
      const T logit = s * cosines.row(i)[j];
      const T g = (std::exp(logit - rows.row(i)[0]) + std::exp(logit - cols.row(j)[0]) - T(j == i + shift ? 2 : 0)) /
                  T(2.0 * static_cast<double>(N));
      dcosines.row(i)[j] = s * g;
      dlog_scale.data[0] += g * logit;
    }
}
template <class T>
void eigen<T>::sigmoid_xent_tile(mat<const T> cosines, mat<const T> log_scale, mat<const T> bias, dim shift, dim N, mat<T> loss,
                                 mat<T> dcosines, mat<T> dlog_scale, mat<T> dbias) {
  const T s = std::exp(log_scale.data[0]), n = T(static_cast<double>(N)), one = T(1);
  for (dim i = 0; i < cosines.rows; ++i) {
    T row(0), dt(0), db(0);  // a row's sums first: float would lose a sum of N^2 terms
    for (dim j = 0; j < cosines.cols; ++j) {
      const T c = cosines.row(i)[j], z = j == i + shift ? one : -one, logit = z * (s * c + bias.data[0]);
      const bool right = detail::reference::real(logit) > 0;
      const T e = std::exp(right ? -logit : logit);
      row += (std::log(one + e) - (right ? T(0) : logit)) / n;  // softplus(-z S)
      if (!dcosines) continue;
      const T g = -z * (right ? e : one) / (one + e) / n;  // -z sigma(-z S) / N
      dcosines.row(i)[j] = s * g;
      dt += g * s * c, db += g;
    }
    loss.data[0] += row;
    if (dcosines) dlog_scale.data[0] += dt, dbias.data[0] += db;
  }
}
template <class T>
void eigen<T>::sum_squares(mat<const T> x, mat<T> y) {
  T sum(0);
  for (dim c = 0; c < x.cols; ++c) sum += x.data[c] * x.data[c];
  y.data[0] += sum;
}
template <class T>
void eigen<T>::adamw(const adamw_step& s, mat<const T> squares, mat<const T> grad, mat<T> p, mat<T> m, mat<T> v, mat<T> copy) {
  const double n = static_cast<double>(s.count);
  const T b1 = T(s.beta1), b2 = T(s.beta2), rate = T(s.lr / (1 - std::pow(s.beta1, n))),
          wide = T(1 / std::sqrt(1 - std::pow(s.beta2, n)));
  T clip(1);
  if (squares && s.max_norm > 0)
    if (const T c = T(s.max_norm) / (std::sqrt(squares.data[0]) + T(1e-6)); detail::reference::real(c) < 1) clip = c;
  for (dim i = 0; i < p.cols; ++i) {
    const T g = clip * grad.data[i];
    m.data[i] = b1 * m.data[i] + (T(1) - b1) * g;
    v.data[i] = b2 * v.data[i] + (T(1) - b2) * g * g;
    p.data[i] = p.data[i] * T(1 - s.lr * s.decay) - rate * m.data[i] / (std::sqrt(v.data[i]) * wide + T(s.eps));
    if (copy) copy.data[i] = p.data[i];
  }
}

}  // namespace clipx
