// AdamW, and the norm of the gradients.
#ifndef CLIPX_CPU_OPTIMIZER_HPP
#define CLIPX_CPU_OPTIMIZER_HPP
#include "family.hpp"

namespace clipx::simd {
/// Constants of one AdamW step: rest = 1 - beta, root = 1 / sqrt(1 - beta2^count), keep = 1 - lr decay.
struct adamw_numbers {
  float b1, b2, rest1, rest2, rate, root, eps, keep, clip;
};
}  // namespace clipx::simd

namespace clipx::detail {

template <class T>
class cpu_optimizer : cpu_family<T> {
 public:
  using cpu_family<T>::cpu_family;

  /// y (1, 1) += the sum of squares of x (1, n).
  void sum_squares(mat<const T> x, mat<float> y);
  template <accum_of<T> A = float>
  void sum_squares(view<const A> x, mat<float> y) {
    cpu_optimizer<float>(this->threads_).sum_squares(x, y);
  }
  /// One step on (1, n). squares (1, 1), the squared norm of all gradients, may be empty;
  /// so may copy, which receives the parameters.
  void adamw(const adamw_step& s, mat<const float> squares, mat<const T> grad, mat<float> p, mat<float> m, mat<float> v,
             mat<T> copy);
  void adamw(const adamw_step& s, mat<const float> squares, mat<const float> grad, mat<float> p, mat<float> m, mat<float> v) {
    cpu_optimizer<float>(this->threads_).adamw(s, squares, grad, p, m, v, {});
  }
  /// y -= weight (y - x), on (1, n).
  void lerp(double weight, mat<const float> x, mat<float> y);
};
CLIPX_CPU_DECLARED(cpu_optimizer);

}  // namespace clipx::detail
#endif

#ifdef CLIPX_CPU_KERNELS
HWY_BEFORE_NAMESPACE();
namespace clipx::simd::HWY_NAMESPACE {

/// X: the type of the gradient. copy (may be empty) receives the parameters as X.
template <class X>
void adamw(const adamw_numbers& k, mat<const X> grad, mat<float> p, mat<float> m, mat<float> v, mat<X> copy) {
  const auto b1 = set(k.b1), b2 = set(k.b2), rest1 = set(k.rest1), rest2 = set(k.rest2);
  along(p.cols, [&](auto at) CLIPX_LANES {
    const auto g = set(k.clip) * at.get(grad.data);
    const auto m1 = hn::MulAdd(b1, at.get(m.data), rest1 * g), v1 = hn::MulAdd(b2, at.get(v.data), rest2 * g * g);
    const auto step = set(k.rate) * m1 / hn::MulAdd(hn::Sqrt(v1), set(k.root), set(k.eps));
    const auto p1 = hn::MulSub(at.get(p.data), set(k.keep), step);
    at.put(m1, m.data);
    at.put(v1, v.data);
    at.put(p1, p.data);
    if (copy) at.put(p1, copy.data);
  });
}
/// y - weight (y - x), or x + (1 - weight) (y - x) where that is closer: exact where x is y, and for weights of 0 and 1.
inline void lerp(float weight, mat<const float> x, mat<float> y) {
  const bool near_y = weight <= 0.5F;
  const auto w = set(near_y ? -weight : 1 - weight);
  along(y.cols, [&](auto at) CLIPX_LANES {
    const auto from = at.get(x.data), before = at.get(y.data);
    at.put(hn::MulAdd(w, before - from, near_y ? before : from), y.data);
  });
}
template <class T>
float sum_squares(const T* x, dim n) {
  return row_sum(n, [&](auto at, vf s) CLIPX_LANES { return hn::MulAdd(at.get(x), at.get(x), s); });
}

}  // namespace clipx::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#ifdef CLIPX_CPU_MEMBERS
namespace clipx::detail {

template <class T>
void cpu_optimizer<T>::sum_squares(mat<const T> x, mat<float> y) {
  constexpr dim piece = dim{1} << 16;  // summed by one thread, for any number of threads
  const dim pieces = (x.cols + piece - 1) / piece;
  float* sums = simd::shared_floats(pieces);
  simd::parallel_ranges(this->threads_, pieces, piece, 1, [&](dim first, dim n) {
    for (dim i = first; i < first + n; ++i)
      sums[i] = CLIPX_KERNEL(sum_squares<T>)(x.data + i * piece, std::min(piece, x.cols - i * piece));
  });
  y.data[0] += static_cast<float>(std::accumulate(sums, sums + pieces, 0.0));
}

template <class T>
void cpu_optimizer<T>::adamw(const adamw_step& s, mat<const float> squares, mat<const T> grad, mat<float> p, mat<float> m,
                             mat<float> v, mat<T> copy) {
  const double n = static_cast<double>(s.count), norm = squares ? std::sqrt(static_cast<double>(squares.data[0])) : 0;
  const auto f = [](double x) { return static_cast<float>(x); };
  const simd::adamw_numbers k{.b1 = f(s.beta1),
                              .b2 = f(s.beta2),
                              .rest1 = f(1 - s.beta1),
                              .rest2 = f(1 - s.beta2),
                              .rate = f(s.lr / (1 - std::pow(s.beta1, n))),
                              .root = f(1 / std::sqrt(1 - std::pow(s.beta2, n))),
                              .eps = f(s.eps),
                              .keep = f(1 - s.lr * s.decay),
                              .clip = f(squares && s.max_norm > 0 ? std::min(1.0, s.max_norm / (norm + 1e-6)) : 1)};
  const auto part = [](auto a, dim first, dim count) { return a ? a.col_range(first, count) : a; };
  simd::parallel_ranges(this->threads_, p.cols, 4, simd::line, [&](dim i, dim c) {
    CLIPX_KERNEL(adamw<T>)(k, part(grad, i, c), part(p, i, c), part(m, i, c), part(v, i, c), part(copy, i, c));
  });
}

template <class T>
void cpu_optimizer<T>::lerp(double weight, mat<const float> x, mat<float> y) {
  simd::parallel_ranges(this->threads_, y.cols, 2, simd::line, [&](dim i, dim c) {
    CLIPX_KERNEL(lerp)(static_cast<float>(weight), x.col_range(i, c), y.col_range(i, c));
  });
}

CLIPX_CPU_DEFINED(cpu_optimizer);

}  // namespace clipx::detail
#endif
