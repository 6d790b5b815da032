// A softmax over a dictionary, one tile of its columns at a time, and mixtures of its probabilities.
#pragma once
#include "family.hpp"

namespace clipx::detail::reference {

template <class T>
class eigen_dictionary {
 public:
  void softmax_tile(mat<const T> logits, mat<T> rows);
  void softmax_tile_backward(mat<const T> logits, mat<const T> rows, mat<const T> weights, mat<T> dlogits);
  void pick(mat<const T> x, mat<const std::int32_t> ids, mat<T> y);
  void add_picked(mat<const T> y, mat<const std::int32_t> ids, mat<T> x);
  void mixture_loss(const mixture_input<T>& in, const mixture_output<T>& out);
};

}  // namespace clipx::detail::reference

#ifdef CLIPX_EIGEN_DEFINITIONS
namespace clipx::detail::reference {

template <class T>
void eigen_dictionary<T>::softmax_tile(mat<const T> logits, mat<T> rows) {
  for (dim i = 0; i < logits.rows; ++i) {
    T &top = rows.row(i)[0], &sum = rows.row(i)[1];
    const T before = top;
    for (dim j = 0; j < logits.cols; ++j)
      if (real(logits.row(i)[j]) > real(top)) top = logits.row(i)[j];
    sum = sum == T(0) ? T(0) : sum * std::exp(before - top);
    for (dim j = 0; j < logits.cols; ++j) sum += std::exp(logits.row(i)[j] - top);
  }
}

template <class T>
void eigen_dictionary<T>::softmax_tile_backward(mat<const T> logits, mat<const T> rows, mat<const T> weights, mat<T> dlogits) {
  for (dim i = 0; i < logits.rows; ++i)
    for (dim j = 0; j < logits.cols; ++j)
      dlogits.row(i)[j] = weights.row(i)[0] * std::exp(logits.row(i)[j] - rows.row(i)[0]) / rows.row(i)[1];
}

template <class T>
void eigen_dictionary<T>::pick(mat<const T> x, mat<const std::int32_t> ids, mat<T> y) {
  for (dim e = 0; e < y.cols; ++e) y.data[e] = x.row(ids.row(0)[e])[ids.row(1)[e]];
}

template <class T>
void eigen_dictionary<T>::add_picked(mat<const T> y, mat<const std::int32_t> ids, mat<T> x) {
  for (dim e = 0; e < y.cols; ++e) x.row(ids.row(0)[e])[ids.row(1)[e]] += y.data[e];
}

template <class T>
void eigen_dictionary<T>::mixture_loss(const mixture_input<T>& in, const mixture_output<T>& out) {
  const auto exponent = [&](dim t) { return in.log_weights.data[t] + in.logits.data[in.entries.data[t]]; };
  T total(0);
  for (dim i = 0; i < in.counts.rows; ++i) total += in.counts.row(i)[0] * (in.sums.row(i)[0] + std::log(in.sums.row(i)[1]));
  for (dim g = 0; g < out.log_p.cols; ++g) {
    const dim first = in.first_of_mixture.data[g], end = in.first_of_mixture.data[g + 1];
    T top = exponent(first), sum(0);
    for (dim t = first; t < end; ++t)
      if (real(exponent(t)) > real(top)) top = exponent(t);
    for (dim t = first; t < end; ++t) sum += std::exp(exponent(t) - top);
    out.log_p.data[g] = top + std::log(sum);
    total -= out.log_p.data[g];
  }
  out.loss.data[0] = T(in.scale) * total;
  for (dim e = 0; e < out.dlogits.cols; ++e) {
    T sum(0);
    for (dim k = in.first_of_entry.data[e]; k < in.first_of_entry.data[e + 1]; ++k) {
      const dim t = in.terms_by_entry.data[k];
      sum += std::exp(exponent(t) - out.log_p.data[in.mixtures.data[t]]);
    }
    out.dlogits.data[e] = -T(in.scale) * sum;
  }
}

#ifdef CLIPX_EIGEN_SCALAR
template class eigen_dictionary<CLIPX_EIGEN_SCALAR>;
#endif

}  // namespace clipx::detail::reference
#endif
