// Definitions of products.hpp, in a separate file because only they include Eigen.
#pragma once
#include <Eigen/Core>

#include "products.hpp"

namespace clipx::detail::reference {

template <class T>
void eigen_products<T>::gemm(op ta, op tb, T alpha, mat<const T> a, mat<const T> b, T beta, mat<T> c) {
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

#ifdef CLIPX_EIGEN_SCALAR
template class eigen_products<CLIPX_EIGEN_SCALAR>;
#endif

}  // namespace clipx::detail::reference
