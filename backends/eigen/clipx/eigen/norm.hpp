// LayerNorm, BatchNorm and L2 normalization.
#pragma once
#include "family.hpp"

namespace clipx::detail::reference {

template <class T>
class eigen_norm {
 public:
  void layernorm(mat<const T> x, mat<const T> w, mat<const T> b, double eps, mat<T> y, mat<T> stats);
  void layernorm_backward(const layernorm_backward_input<T, T>& in, mat<T> dx, mat<T> dw, mat<T> db);
  void column_stats(mat<const T> x, mat<T> stats);
  void batchnorm(mat<const T> x, const batchnorm_parameters<T>& bn, mat<T> y);
  void batchnorm_backward(const batchnorm_backward_input<T, T>& in, mat<T> dx, mat<T> dw, mat<T> db);
  void normalize(mat<const T> x, mat<T> y, mat<T> norms);
  void normalize_backward(mat<const T> y, mat<const T> norms, mat<const T> dy, mat<T> dx);
};

}  // namespace clipx::detail::reference

#ifdef CLIPX_EIGEN_DEFINITIONS
namespace clipx::detail::reference {

template <class T>
void eigen_norm<T>::layernorm(mat<const T> x, mat<const T> w, mat<const T> b, double eps, mat<T> y, mat<T> stats) {
  const T n = T(static_cast<double>(x.cols));
  for (dim r = 0; r < x.rows; ++r) {
    T mean(0), var(0);
    for (dim c = 0; c < x.cols; ++c) mean += x.row(r)[c];
    mean /= n;
    for (dim c = 0; c < x.cols; ++c) var += (x.row(r)[c] - mean) * (x.row(r)[c] - mean);
    const T rstd = T(1) / std::sqrt(var / n + T(eps));
    for (dim c = 0; c < x.cols; ++c) y.row(r)[c] = (x.row(r)[c] - mean) * rstd * w.data[c] + b.data[c];
    if (stats) {
      stats.row(r)[0] = mean;
      stats.row(r)[1] = rstd;
    }
  }
}

template <class T>
void eigen_norm<T>::layernorm_backward(const layernorm_backward_input<T, T>& in, mat<T> dx, mat<T> dw, mat<T> db) {
  const auto& [x, w, stats, dy] = in;
  const T n = T(static_cast<double>(x.cols));
  for (dim r = 0; r < x.rows; ++r) {
    const T mean = stats.row(r)[0], rstd = stats.row(r)[1];
    T sum(0), dot(0);  // of g = dy * w, and of g with xhat
    for (dim c = 0; c < x.cols; ++c) {
      const T xhat = (x.row(r)[c] - mean) * rstd, g = dy.row(r)[c] * w.data[c];
      dw.data[c] += dy.row(r)[c] * xhat;
      db.data[c] += dy.row(r)[c];
      sum += g;
      dot += g * xhat;
    }
    for (dim c = 0; c < x.cols; ++c) {
      const T xhat = (x.row(r)[c] - mean) * rstd;
      dx.row(r)[c] = rstd * (dy.row(r)[c] * w.data[c] - sum / n - xhat * dot / n);
    }
  }
}

template <class T>
void eigen_norm<T>::column_stats(mat<const T> x, mat<T> stats) {
  using total_t = std::conditional_t<std::is_same_v<T, float>, double, T>;  // columns are long: one entry per pixel of every image
  const total_t n = total_t(static_cast<double>(x.rows));
  for (dim c = 0; c < x.cols; ++c) {
    total_t mean(0), var(0);
    for (dim r = 0; r < x.rows; ++r) mean += total_t(x.row(r)[c]);
    mean /= n;
    for (dim r = 0; r < x.rows; ++r) var += (total_t(x.row(r)[c]) - mean) * (total_t(x.row(r)[c]) - mean);
    stats.row(0)[c] = T(mean);
    stats.row(1)[c] = T(var / n);
  }
}

template <class T>
void eigen_norm<T>::batchnorm(mat<const T> x, const batchnorm_parameters<T>& bn, mat<T> y) {
  const auto& [stats, w, b, eps] = bn;
  for (dim c = 0; c < x.cols; ++c) {
    const T rstd = T(1) / std::sqrt(stats.row(1)[c] + T(eps));
    for (dim r = 0; r < x.rows; ++r) y.row(r)[c] = (x.row(r)[c] - stats.row(0)[c]) * rstd * w.data[c] + b.data[c];
  }
}

template <class T>
void eigen_norm<T>::batchnorm_backward(const batchnorm_backward_input<T, T>& in, mat<T> dx, mat<T> dw, mat<T> db) {
  const auto& [x, stats, w, eps, training, dy] = in;
  const T n = T(static_cast<double>(x.rows));
  for (dim c = 0; c < x.cols; ++c) {
    const T mean = stats.row(0)[c], rstd = T(1) / std::sqrt(stats.row(1)[c] + T(eps));
    T sum(0), dot(0);  // of dy, and of dy with xhat
    for (dim r = 0; r < x.rows; ++r) {
      sum += dy.row(r)[c];
      dot += dy.row(r)[c] * (x.row(r)[c] - mean) * rstd;
    }
    dw.data[c] += dot;
    db.data[c] += sum;
    for (dim r = 0; r < x.rows; ++r) {
      const T xhat = (x.row(r)[c] - mean) * rstd;
      dx.row(r)[c] = w.data[c] * rstd * (training ? dy.row(r)[c] - sum / n - xhat * dot / n : dy.row(r)[c]);
    }
  }
}

template <class T>
void eigen_norm<T>::normalize(mat<const T> x, mat<T> y, mat<T> norms) {
  for (dim r = 0; r < x.rows; ++r) {
    T sum(0);
    for (dim c = 0; c < x.cols; ++c) sum += x.row(r)[c] * x.row(r)[c];
    T norm = std::sqrt(sum);
    if (!(real(norm) > 1e-12)) norm = T(1e-12);
    for (dim c = 0; c < x.cols; ++c) y.row(r)[c] = x.row(r)[c] / norm;
    norms.row(r)[0] = norm;
  }
}

template <class T>
void eigen_norm<T>::normalize_backward(mat<const T> y, mat<const T> norms, mat<const T> dy, mat<T> dx) {
  for (dim r = 0; r < y.rows; ++r) {
    T dot(0);
    for (dim c = 0; c < y.cols; ++c) dot += dy.row(r)[c] * y.row(r)[c];
    for (dim c = 0; c < y.cols; ++c) dx.row(r)[c] = (dy.row(r)[c] - dot * y.row(r)[c]) / norms.row(r)[0];
  }
}

#ifdef CLIPX_EIGEN_SCALAR
template class eigen_norm<CLIPX_EIGEN_SCALAR>;
#endif

}  // namespace clipx::detail::reference
#endif
