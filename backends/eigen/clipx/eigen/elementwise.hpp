// Elementwise and row verbs: sums, activations, gates, scaled columns, rotated pairs, pixels, rows by id.
#pragma once
#include "family.hpp"

namespace clipx::detail::reference {

template <class T>
class eigen_elementwise {
 public:
  void fill(mat<T> y, T value);
  void pixels(mat<const std::uint8_t> rgb, std::array<float, 3> mean, std::array<float, 3> std, mat<T> y);
  void add(T alpha, mat<const T> x, T beta, mat<T> y);
  void add_rows(mat<const T> x, mat<T> y);
  void sum_rows(mat<const T> x, mat<T> y);
  void gather_rows(mat<const T> x, mat<const std::int32_t> ids, mat<T> y);
  void scatter_add_rows(mat<const T> x, mat<const std::int32_t> ids, mat<T> y);
  void unary(activation f, mat<const T> x, mat<T> y);
  void unary_backward(activation f, mat<const T> x, mat<const T> dy, mat<T> dx);
  void glu(activation f, mat<const T> u, mat<const T> v, mat<T> y);
  void glu_backward(activation f, mat<const T> u, mat<const T> v, mat<const T> dy, mat<T> du, mat<T> dv);
  void scale_columns(mat<const T> x, mat<const T> gamma, mat<T> y);
  void scale_columns_backward(mat<const T> x, mat<const T> gamma, mat<const T> dy, mat<T> dx, mat<T> dgamma);
  void rotate_pairs(mat<const T> x, mat<const T> table, mat<T> y);
  void rotate_pairs_backward(mat<const T> dy, mat<const T> table, mat<T> dx);
  void clamp(mat<T> x, double low, double high);

 private:
  static void rotate(mat<const T> x, mat<const T> table, T direction, mat<T> y);
};

}  // namespace clipx::detail::reference

#ifdef CLIPX_EIGEN_DEFINITIONS
namespace clipx::detail::reference {

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

/// 2 u of gelu_tanh, and its slope.
template <class T>
T tanh_argument(T x) {
  return T(2 * std::sqrt(2 / M_PI)) * (x + T(0.044715) * x * x * x);
}
template <class T>
T tanh_argument_slope(T x) {
  return T(2 * std::sqrt(2 / M_PI)) * (T(1) + T(3 * 0.044715) * x * x);
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
    case activation::silu:
      return x * sigmoid(x);
    case activation::gelu_tanh:
      return x * sigmoid(tanh_argument(x));
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
    case activation::silu: {
      const T s = sigmoid(x);
      return s + x * s * sigmoid(-x);
    }
    case activation::gelu_tanh: {
      const T z = tanh_argument(x), s = sigmoid(z);
      return s + x * s * sigmoid(-z) * tanh_argument_slope(x);
    }
  }
  return T(1);
}

template <class T>
void eigen_elementwise<T>::fill(mat<T> y, T value) {
  for (dim r = 0; r < y.rows; ++r) std::fill_n(y.row(r), y.cols, value);
}

template <class T>
void eigen_elementwise<T>::pixels(mat<const std::uint8_t> rgb, std::array<float, 3> mean, std::array<float, 3> std, mat<T> y) {
  for (dim r = 0; r < y.rows; ++r)
    for (std::size_t c = 0; c < 3; ++c) y.row(r)[c] = T((static_cast<float>(rgb.row(r)[c]) / 255.0f - mean[c]) / std[c]);
}

template <class T>
void eigen_elementwise<T>::add(T alpha, mat<const T> x, T beta, mat<T> y) {
  for (dim r = 0; r < y.rows; ++r)
    for (dim c = 0; c < y.cols; ++c) y.row(r)[c] = alpha * x.row(r)[c] + (beta == T(0) ? T(0) : beta * y.row(r)[c]);
}

template <class T>
void eigen_elementwise<T>::add_rows(mat<const T> x, mat<T> y) {
  for (dim r = 0; r < y.rows; ++r)
    for (dim c = 0; c < y.cols; ++c) y.row(r)[c] += x.row(r % x.rows)[c];
}

template <class T>
void eigen_elementwise<T>::sum_rows(mat<const T> x, mat<T> y) {
  for (dim r = 0; r < x.rows; ++r)
    for (dim c = 0; c < x.cols; ++c) y.row(r % y.rows)[c] += x.row(r)[c];
}

template <class T>
void eigen_elementwise<T>::gather_rows(mat<const T> x, mat<const std::int32_t> ids, mat<T> y) {
  for (dim r = 0; r < ids.cols; ++r) std::copy_n(x.row(ids.data[r]), x.cols, y.row(r));
}

template <class T>
void eigen_elementwise<T>::scatter_add_rows(mat<const T> x, mat<const std::int32_t> ids, mat<T> y) {
  for (dim r = 0; r < ids.cols; ++r)
    for (dim c = 0; c < x.cols; ++c) y.row(ids.data[r])[c] += x.row(r)[c];
}

template <class T>
void eigen_elementwise<T>::unary(activation f, mat<const T> x, mat<T> y) {
  for (dim r = 0; r < y.rows; ++r)
    for (dim c = 0; c < y.cols; ++c) y.row(r)[c] = activate(f, x.row(r)[c]);
}

template <class T>
void eigen_elementwise<T>::unary_backward(activation f, mat<const T> x, mat<const T> dy, mat<T> dx) {
  for (dim r = 0; r < dx.rows; ++r)
    for (dim c = 0; c < dx.cols; ++c) dx.row(r)[c] = slope(f, x.row(r)[c]) * dy.row(r)[c];
}

template <class T>
void eigen_elementwise<T>::glu(activation f, mat<const T> u, mat<const T> v, mat<T> y) {
  for (dim r = 0; r < y.rows; ++r)
    for (dim c = 0; c < y.cols; ++c) y.row(r)[c] = activate(f, u.row(r)[c]) * v.row(r)[c];
}

template <class T>
void eigen_elementwise<T>::glu_backward(activation f, mat<const T> u, mat<const T> v, mat<const T> dy, mat<T> du, mat<T> dv) {
  for (dim r = 0; r < dy.rows; ++r)
    for (dim c = 0; c < dy.cols; ++c) {
      const T at = u.row(r)[c], g = dy.row(r)[c];
      du.row(r)[c] = slope(f, at) * v.row(r)[c] * g;
      dv.row(r)[c] = activate(f, at) * g;
    }
}

template <class T>
void eigen_elementwise<T>::scale_columns(mat<const T> x, mat<const T> gamma, mat<T> y) {
  for (dim r = 0; r < y.rows; ++r)
    for (dim c = 0; c < y.cols; ++c) y.row(r)[c] = x.row(r)[c] * gamma.data[c];
}

template <class T>
void eigen_elementwise<T>::scale_columns_backward(mat<const T> x, mat<const T> gamma, mat<const T> dy, mat<T> dx, mat<T> dgamma) {
  for (dim r = 0; r < dx.rows; ++r)
    for (dim c = 0; c < dx.cols; ++c) {
      const T g = dy.row(r)[c];
      dgamma.data[c] += g * x.row(r)[c];
      dx.row(r)[c] = g * gamma.data[c];
    }
}

template <class T>
void eigen_elementwise<T>::rotate(mat<const T> x, mat<const T> table, T direction, mat<T> y) {
  for (dim r = 0; r < y.rows; ++r)
    for (dim c = 0; c < y.cols; c += 2) {
      const T* turn = table.row(r % table.rows) + c % table.cols;  // cosine and sine
      const T a = x.row(r)[c], b = x.row(r)[c + 1], cosine = turn[0], sine = direction * turn[1];
      y.row(r)[c] = a * cosine - b * sine;
      y.row(r)[c + 1] = b * cosine + a * sine;
    }
}
template <class T>
void eigen_elementwise<T>::rotate_pairs(mat<const T> x, mat<const T> table, mat<T> y) {
  rotate(x, table, T(1), y);
}
template <class T>
void eigen_elementwise<T>::rotate_pairs_backward(mat<const T> dy, mat<const T> table, mat<T> dx) {
  rotate(dy, table, T(-1), dx);
}

template <class T>
void eigen_elementwise<T>::clamp(mat<T> x, double low, double high) {
  for (dim r = 0; r < x.rows; ++r)
    for (dim c = 0; c < x.cols; ++c) {
      T& v = x.row(r)[c];
      if (real(v) < low) v = T(low);
      if (real(v) > high) v = T(high);
    }
}

#ifdef CLIPX_EIGEN_SCALAR
template class eigen_elementwise<CLIPX_EIGEN_SCALAR>;
#endif

}  // namespace clipx::detail::reference
#endif
