// eigen<T>: the reference backend, T = float, double or std::complex<double> (for the complex-step derivative). Plain loops,
// Eigen only for the matrix product; never optimised. Runs on one thread.
#pragma once
#include <clipx/core/backend.hpp>
#include <complex>
#include <cstdlib>
#include <cstring>
#include <type_traits>

namespace clipx {

template <class T>
class eigen {
 public:
  using scalar = T;
  using accum = T;
  using fast = nothing_fast;

  eigen();
  eigen(eigen&&) = delete;

  arena& memory() { return memory_; }
  void sync() {}
  template <class E>
  buffer<E> alloc(dim n) {
    return {static_cast<E*>(zeroed(n * static_cast<dim>(sizeof(E)))), n, std::free};
  }

  void upload(mat<const float> from, mat<T> to) { convert(from, to); }
  void upload(mat<const double> from, mat<T> to) { convert(from, to); }
  void upload(mat<const std::int32_t> from, mat<std::int32_t> to) { convert(from, to); }
  void upload(mat<const std::uint8_t> from, mat<std::uint8_t> to) { convert(from, to); }
  void download(mat<const T> from, mat<float> to) { convert(from, to); }
  void download(mat<const T> from, mat<double> to) { convert(from, to); }
  void copy(mat<const T> x, mat<T> y) { convert(x, y); }
  void fill(mat<T> y, T value);
  void pixels(mat<const std::uint8_t> rgb, std::array<float, 3> mean, std::array<float, 3> std, mat<T> y);

  void gemm(op ta, op tb, T alpha, mat<const T> a, mat<const T> b, T beta, mat<T> c);
  void add(T alpha, mat<const T> x, T beta, mat<T> y);
  void add_rows(mat<const T> x, mat<T> y);
  void sum_rows(mat<const T> x, mat<T> y);
  void gather_rows(mat<const T> x, mat<const std::int32_t> ids, mat<T> y);
  void scatter_add_rows(mat<const T> x, mat<const std::int32_t> ids, mat<T> y);
  void unary(activation f, mat<const T> x, mat<T> y);
  void unary_backward(activation f, mat<const T> x, mat<const T> dy, mat<T> dx);
  void clamp(mat<T> x, double low, double high);

  void layernorm(mat<const T> x, mat<const T> w, mat<const T> b, double eps, mat<T> y, mat<T> stats);
  void layernorm_backward(mat<const T> x, mat<const T> w, mat<const T> stats, mat<const T> dy, mat<T> dx, mat<T> dw, mat<T> db);
  void column_stats(mat<const T> x, mat<T> stats);
  void batchnorm(mat<const T> x, mat<const T> stats, mat<const T> w, mat<const T> b, double eps, mat<T> y);
  void batchnorm_backward(mat<const T> x, mat<const T> stats, mat<const T> w, double eps, bool training, mat<const T> dy, mat<T> dx,
                          mat<T> dw, mat<T> db);
  void normalize(mat<const T> x, mat<T> y, mat<T> norms);
  void normalize_backward(mat<const T> y, mat<const T> norms, mat<const T> dy, mat<T> dx);

  void softmax(mat<T> x, bool causal);
  void softmax_backward(mat<const T> p, mat<T> dp);
  void im2col(mat<const T> x, const window& w, mat<T> cols);
  void col2im(mat<const T> cols, const window& w, mat<T> x);
  void avgpool(mat<const T> x, const window& w, mat<T> y);
  void avgpool_backward(mat<const T> dy, const window& w, mat<T> dx);
  void xent_tile(mat<const T> cosines, mat<const T> log_scale, dim shift, mat<T> rows, mat<T> cols, mat<T> own);
  void xent_loss(mat<const T> log_scale, mat<T> rows, mat<T> cols, mat<const T> own, mat<T> loss);
  void xent_tile_backward(mat<const T> cosines, mat<const T> log_scale, mat<const T> rows, mat<const T> cols, dim shift, dim N,
                          mat<T> dcosines, mat<T> dlog_scale);
  void sigmoid_xent_tile(mat<const T> cosines, mat<const T> log_scale, mat<const T> bias, dim shift, dim N, mat<T> loss,
                         mat<T> dcosines, mat<T> dlog_scale, mat<T> dbias);
  void sum_squares(mat<const T> x, mat<T> y);
  void adamw(const adamw_step& s, mat<const T> squares, mat<const T> grad, mat<T> p, mat<T> m, mat<T> v, mat<T> copy = {});

 private:
  static void* zeroed(dim bytes);
  template <class From, class To>
  static To as(From v) {
    if constexpr (std::is_same_v<From, std::complex<double>> && !std::is_same_v<To, std::complex<double>>)
      return static_cast<To>(v.real());
    else return static_cast<To>(v);
  }
  template <class From, class To>
  static void convert(mat<From> from, mat<To> to) {
    for (dim r = 0; r < to.rows; ++r)
      for (dim c = 0; c < to.cols; ++c) to.row(r)[c] = as<std::remove_const_t<From>, To>(from.row(r)[c]);
  }
  arena memory_;
};

#ifdef CLIPX_COMPILED
extern template class eigen<float>;
extern template class eigen<double>;
extern template class eigen<std::complex<double>>;
#endif

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "eigen-inl.hpp"
#endif
