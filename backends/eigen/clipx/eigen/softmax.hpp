// Softmax of rows.
#pragma once
#include "family.hpp"

namespace clipx::detail::reference {

template <class T>
class eigen_softmax {
 public:
  void softmax(mat<T> x, bool causal);
  void softmax_backward(mat<const T> p, mat<T> dp);
};

}  // namespace clipx::detail::reference

#ifdef CLIPX_EIGEN_DEFINITIONS
namespace clipx::detail::reference {

template <class T>
void eigen_softmax<T>::softmax(mat<T> x, bool causal) {
  for (dim r = 0; r < x.rows; ++r) {
    const dim n = causal ? r + 1 : x.cols;
    T top = x.row(r)[0], sum(0);
    for (dim c = 1; c < n; ++c)
      if (real(x.row(r)[c]) > real(top)) top = x.row(r)[c];
    for (dim c = 0; c < n; ++c) sum += x.row(r)[c] = std::exp(x.row(r)[c] - top);
    for (dim c = 0; c < x.cols; ++c) x.row(r)[c] = c < n ? x.row(r)[c] / sum : T(0);
  }
}

template <class T>
void eigen_softmax<T>::softmax_backward(mat<const T> p, mat<T> dp) {
  for (dim r = 0; r < p.rows; ++r) {
    T dot(0);
    for (dim c = 0; c < p.cols; ++c) dot += p.row(r)[c] * dp.row(r)[c];
    for (dim c = 0; c < p.cols; ++c) dp.row(r)[c] = p.row(r)[c] * (dp.row(r)[c] - dot);
  }
}

#ifdef CLIPX_EIGEN_SCALAR
template class eigen_softmax<CLIPX_EIGEN_SCALAR>;
#endif

}  // namespace clipx::detail::reference
#endif
