// Matrix products: the only verbs that need Eigen.
#pragma once
#include "family.hpp"

namespace clipx::detail::reference {

template <class T>
class eigen_products {
 public:
  void gemm(op ta, op tb, T alpha, mat<const T> a, mat<const T> b, T beta, mat<T> c);
};

}  // namespace clipx::detail::reference

#ifdef CLIPX_EIGEN_DEFINITIONS
#include "products-inl.hpp"
#endif
