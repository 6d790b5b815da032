// The contrastive losses on a tile of cosines.
#pragma once
#include "family.hpp"

namespace clipx::detail::reference {

template <class T>
class eigen_loss {
 public:
  void xent_tile(mat<const T> cosines, mat<const T> log_scale, dim shift, mat<T> rows, mat<T> cols, mat<T> own);
  void xent_loss(mat<const T> log_scale, mat<T> rows, mat<T> cols, mat<const T> own, mat<T> loss);
  void xent_tile_backward(const xent_tile_input<T>& in, mat<T> dcosines, mat<T> dlog_scale);
  void sigmoid_xent_tile(const sigmoid_tile_input<T>& in, const sigmoid_tile_output<T>& out);
};

}  // namespace clipx::detail::reference

#ifdef CLIPX_EIGEN_DEFINITIONS
namespace clipx::detail::reference {

template <class T>
void eigen_loss<T>::xent_tile(mat<const T> cosines, mat<const T> log_scale, dim shift, mat<T> rows, mat<T> cols, mat<T> own) {
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
void eigen_loss<T>::xent_loss(mat<const T> log_scale, mat<T> rows, mat<T> cols, mat<const T> own, mat<T> loss) {
  const T s = std::exp(log_scale.data[0]);
  T total(0);
  for (dim i = 0; i < rows.rows; ++i) {
    for (auto* side : {rows.row(i), cols.row(i)}) side[0] += std::log(side[1]);
    total += rows.row(i)[0] + cols.row(i)[0] - T(2) * s * own.row(i)[0];
  }
  loss.data[0] = total / T(2.0 * static_cast<double>(rows.rows));
}

template <class T>
void eigen_loss<T>::xent_tile_backward(const xent_tile_input<T>& in, mat<T> dcosines, mat<T> dlog_scale) {
  const auto& [cosines, log_scale, rows, cols, shift, N] = in;
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
void eigen_loss<T>::sigmoid_xent_tile(const sigmoid_tile_input<T>& in, const sigmoid_tile_output<T>& out) {
  const auto& [cosines, log_scale, bias, shift, N] = in;
  const auto& [loss, dcosines, dlog_scale, dbias] = out;
  const T s = std::exp(log_scale.data[0]), n = T(static_cast<double>(N)), one = T(1);
  for (dim i = 0; i < cosines.rows; ++i) {
    T row(0), dt(0), db(0);  // first the sums of a row: a float would lose a sum of N^2 terms
    for (dim j = 0; j < cosines.cols; ++j) {
      const T c = cosines.row(i)[j], z = j == i + shift ? one : -one, logit = z * (s * c + bias.data[0]);
      const bool right = real(logit) > 0;
      const T e = std::exp(right ? -logit : logit);
      row += (std::log(one + e) - (right ? T(0) : logit)) / n;  // softplus(-z S)
      if (!dcosines) continue;
      const T g = -z * (right ? e : one) / (one + e) / n;  // -z sigma(-z S) / N
      dcosines.row(i)[j] = s * g;
      dt += g * s * c;
      db += g;
    }
    loss.data[0] += row;
    if (dcosines) {
      dlog_scale.data[0] += dt;
      dbias.data[0] += db;
    }
  }
}

#ifdef CLIPX_EIGEN_SCALAR
template class eigen_loss<CLIPX_EIGEN_SCALAR>;
#endif

}  // namespace clipx::detail::reference
#endif
