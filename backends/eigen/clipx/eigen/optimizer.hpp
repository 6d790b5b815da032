// The optimizer on flat spans, (1, n).
#pragma once
#include "family.hpp"

namespace clipx::detail::reference {

template <class T>
class eigen_optimizer {
 public:
  void sum_squares(mat<const T> x, mat<T> y);
  void adamw(const adamw_step& s, mat<const T> squares, mat<const T> grad, mat<T> p, mat<T> m, mat<T> v, mat<T> copy = {});
  /// y -= weight (y - x), on (1, n).
  void lerp(double weight, mat<const T> x, mat<T> y);
};

}  // namespace clipx::detail::reference

#ifdef CLIPX_EIGEN_DEFINITIONS
namespace clipx::detail::reference {

template <class T>
void eigen_optimizer<T>::sum_squares(mat<const T> x, mat<T> y) {
  T sum(0);
  for (dim c = 0; c < x.cols; ++c) sum += x.data[c] * x.data[c];
  y.data[0] += sum;
}

template <class T>
void eigen_optimizer<T>::adamw(const adamw_step& s, mat<const T> squares, mat<const T> grad, mat<T> p, mat<T> m, mat<T> v,
                               mat<T> copy) {
  const double n = static_cast<double>(s.count);
  const T b1 = T(s.beta1), b2 = T(s.beta2), rest1 = T(1 - s.beta1), rest2 = T(1 - s.beta2);
  const T rate = T(s.lr / (1 - std::pow(s.beta1, n))), v_scale = T(1 / std::sqrt(1 - std::pow(s.beta2, n)));
  T clip(1);
  if (squares && s.max_norm > 0)
    if (const T c = T(s.max_norm) / (std::sqrt(squares.data[0]) + T(1e-6)); real(c) < 1) clip = c;
  for (dim i = 0; i < p.cols; ++i) {
    const T g = clip * grad.data[i];
    m.data[i] = b1 * m.data[i] + rest1 * g;
    v.data[i] = b2 * v.data[i] + rest2 * g * g;
    p.data[i] = p.data[i] * T(1 - s.lr * s.decay) - rate * m.data[i] / (std::sqrt(v.data[i]) * v_scale + T(s.eps));
    if (copy) copy.data[i] = p.data[i];
  }
}

template <class T>
void eigen_optimizer<T>::lerp(double weight, mat<const T> x, mat<T> y) {
  for (dim c = 0; c < y.cols; ++c) {
    const T from_x = y.data[c] - x.data[c];
    if (weight <= 0.5) y.data[c] -= T(weight) * from_x;
    else y.data[c] = x.data[c] + T(1 - weight) * from_x;  // exact for a weight of 1
  }
}

#ifdef CLIPX_EIGEN_SCALAR
template class eigen_optimizer<CLIPX_EIGEN_SCALAR>;
#endif

}  // namespace clipx::detail::reference
#endif
