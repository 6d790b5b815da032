// cpu<T>: processors with AVX2 or AVX-512, T = float or bf16 storage, sums in float. Matrix products and convolutions by oneDNN,
// with frozen weights packed once; everything else by the Highway kernels. Threads by OpenMP.
#pragma once
#include <clipx/core/backend.hpp>
#include <clipx/core/bf16.hpp>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>

#include "kernels.hpp"

namespace clipx {

struct cpu_options {
  int threads = 0;  // 0: as many as OpenMP would take (all processors, or OMP_NUM_THREADS)
  /// A picture's or text's embedding is bit-equal alone, in any batch, and with any number of threads. Slower: products run in
  /// blocks of 48 rows and convolutions a picture at a time, each by one thread.
  bool deterministic = false;
};

namespace detail {
/// Matrix operand of either type.
struct cpu_view {
  const void* data = nullptr;
  dim rows = 0, cols = 0, ld = 0;
  bool half = false;  // bf16
  cpu_view() = default;
  template <class E>
  cpu_view(mat<E> m) : data(m.data), rows(m.rows), cols(m.cols), ld(m.ld), half(std::is_same_v<std::remove_const_t<E>, bf16>) {}
  explicit operator bool() const { return data != nullptr; }
};

/// oneDNN behind views: plans are made once for each shape and kept.
class cpu_engine {
 public:
  using on_packed = std::function<void(const void*, std::size_t)>;
  explicit cpu_engine(const cpu_options& o);
  ~cpu_engine();
  int threads() const;
  std::string describe() const;
  void freeze(const void* data, std::size_t bytes, on_packed packed);
  void thaw(const void* data);
  /// c = alpha op(a) op(b) + beta c
  void gemm(op ta, op tb, float alpha, cpu_view a, cpu_view b, float beta, cpu_view c);
  /// y = x w^T + bias + residual; bias and residual may be empty, residual may be y.
  void linear(cpu_view x, cpu_view w, cpu_view bias, cpu_view residual, cpu_view y);
  /// y = relu?(conv(x) scaled and shifted by the BatchNorm + residual?)
  void conv(cpu_view x, const window& w, cpu_view weight, mat<const float> stats, mat<const float> gamma, mat<const float> beta,
            double eps, cpu_view residual, bool relu, cpu_view y);
  /// y = conv(x), for training: the weights (out, in k k) are taken as they are now.
  void conv_training(cpu_view x, const window& w, cpu_view weight, cpu_view y);
  /// dx, which may be empty, is written; dweight accumulates.
  void conv_backward(cpu_view x, const window& w, cpu_view weight, cpu_view dy, cpu_view dx, cpu_view dweight);

 private:
  struct state;
  std::unique_ptr<state> state_;
};
}  // namespace detail

template <class T>
class cpu {
 public:
  using scalar = T;
  using accum = float;
  struct fast : nothing_fast {
    static constexpr bool linear = true, attention = true, add_layernorm = true, batchnorm_relu = true, conv_batchnorm = true,
                          conv = true;
  };
  static constexpr bool host_memory = true;  // weights may be used where a file is mapped

  explicit cpu(const cpu_options& o = {});
  cpu(cpu&&) = delete;

  /// What is in use: instruction sets, oneDNN's version, threads.
  std::string describe() const { return engine_.describe(); }
  int threads() const { return n_; }
  /// Says that this memory will not change until thaw(): its weights are packed for oneDNN when they are first used, and `packed`
  /// is told once the original is no longer read.
  void freeze(const void* data, std::size_t bytes, detail::cpu_engine::on_packed packed = {}) {
    engine_.freeze(data, bytes, std::move(packed));
  }
  void thaw(const void* data) { engine_.thaw(data); }
  /// Faster resampling loops with the same results, for to_pixels().
  static resampler pixels_resampler() { return float_kernels::pixels_resampler(); }

  arena& memory() { return memory_; }
  void sync() {}
  template <class E>
  buffer<E> alloc(dim n) {
    auto bytes = zeroed(n * static_cast<dim>(sizeof(E)));
    return {reinterpret_cast<E*>(bytes.release()), n, std::free};
  }

  using in = mat<const T>;
  using out = mat<T>;
  using in_f = mat<const float>;
  using out_f = mat<float>;
  static constexpr bool wide = std::is_same_v<T, float>;  // T and A are one type: the overloads for A take what nobody has
  struct nothing {};
  using in_w = mat<const std::conditional_t<wide, nothing, float>>;
  using out_w = mat<std::conditional_t<wide, nothing, float>>;

  void upload(in_f x, out y) { K::narrow(n_, x, y); }
  void upload(in_w x, out_w y) {
    if constexpr (!wide) kernels<float>::copy(n_, x, y);
  }
  void upload(mat<const std::int32_t> x, mat<std::int32_t> y) { plain_copy(x, y); }
  void upload(mat<const std::uint8_t> x, mat<std::uint8_t> y) { plain_copy(x, y); }
  void upload(mat<const double> x, out y) { plain_copy(x, y); }
  void upload(mat<const double> x, out_w y) {
    if constexpr (!wide) plain_copy(x, y);
  }
  void download(in x, out_f y) { K::widen(n_, x, y); }
  void download(in_w x, out_w y) {
    if constexpr (!wide) kernels<float>::copy(n_, x, y);
  }
  void download(in x, mat<double> y) { plain_copy(x, y); }
  void download(in_w x, mat<double> y) {
    if constexpr (!wide) plain_copy(x, y);
  }
  void copy(in x, out y) { K::copy(n_, x, y); }
  void copy(in x, out_w y) {
    if constexpr (!wide) K::widen(n_, x, y);
  }
  void copy(in_w x, out y) {
    if constexpr (!wide) K::narrow(n_, x, y);
  }
  void copy(in_w x, out_w y) {
    if constexpr (!wide) kernels<float>::copy(n_, x, y);
  }
  void fill(out y, T v) { K::fill(n_, y, v); }
  void fill(out_w y, float v) {
    if constexpr (!wide) kernels<float>::fill(n_, y, v);
  }
  void pixels(mat<const std::uint8_t> rgb, std::array<float, 3> mean, std::array<float, 3> std, out y) {
    K::pixels(n_, rgb, mean, std, y);
  }

  void gemm(op ta, op tb, float alpha, in a, in b, float beta, out c) { engine_.gemm(ta, tb, alpha, a, b, beta, c); }
  void gemm(op ta, op tb, float alpha, in a, in b, float beta, out_w c) {
    if constexpr (!wide) engine_.gemm(ta, tb, alpha, a, b, beta, c);
  }
  void gemm(op ta, op tb, float alpha, in_w a, in_w b, float beta, out_w c) {
    if constexpr (!wide) engine_.gemm(ta, tb, alpha, a, b, beta, c);
  }
  void add(float alpha, in x, float beta, out y) { K::add(n_, alpha, x, beta, y); }
  void add(float alpha, in_w x, float beta, out_w y) {
    if constexpr (!wide) kernels<float>::add(n_, alpha, x, beta, y);
  }
  void add_rows(in x, out y) { K::add_rows(n_, x, y); }
  void sum_rows(in x, out y) { K::sum_rows(n_, x, y); }
  void gather_rows(in x, mat<const std::int32_t> ids, out y) { K::gather_rows(n_, x, ids, y); }
  void scatter_add_rows(in x, mat<const std::int32_t> ids, out y) { K::scatter_add_rows(n_, x, ids, y); }
  void unary(activation f, in x, out y) { K::unary(n_, f, x, y); }
  void unary_backward(activation f, in x, in dy, out dx) { K::unary_backward(n_, f, x, dy, dx); }
  void clamp(out_f x, double low, double high) { K::clamp(n_, x, static_cast<float>(low), static_cast<float>(high)); }

  void layernorm(in x, in_f w, in_f b, double eps, out y, out_f stats) { K::layernorm(n_, x, w, b, eps, y, stats); }
  void layernorm_backward(in x, in_f w, in_f stats, in dy, out dx, out_f dw, out_f db) {
    K::layernorm_backward(n_, x, w, stats, dy, {}, dx, dw, db);
  }
  void column_stats(in x, out_f stats) { K::column_stats(n_, x, stats); }
  void batchnorm(in x, in_f stats, in_f w, in_f b, double eps, out y) { K::batchnorm(n_, x, stats, w, b, eps, {}, false, y); }
  void batchnorm_backward(in x, in_f stats, in_f w, double eps, bool training, in dy, out dx, out_f dw, out_f db) {
    K::batchnorm_backward(n_, x, stats, w, eps, training, {}, dy, dx, dx, dw, db);
  }
  void normalize(in x, out_f y, out_f norms) { K::normalize(n_, x, y, norms); }
  void normalize_backward(in_f y, in_f norms, in_f dy, out dx) { K::normalize_backward(n_, y, norms, dy, dx); }

  void softmax(out_f x, bool causal) { K::softmax(n_, x, causal); }
  void softmax_backward(in_f p, out_f dp) { K::softmax_backward(n_, p, dp); }
  void im2col(in x, const window& w, out cols) { K::im2col(n_, x, w, cols); }
  void col2im(in cols, const window& w, out x) { K::col2im(n_, cols, w, x); }
  void avgpool(in x, const window& w, out y) { K::avgpool(n_, x, w, y); }
  void avgpool_backward(in dy, const window& w, out dx) { K::avgpool_backward(n_, dy, w, dx); }
  void xent_tile(in_f cosines, in_f log_scale, dim shift, out_f rows, out_f cols, out_f own) {
    K::xent_tile(n_, cosines, log_scale, shift, rows, cols, own);
  }
  void xent_loss(in_f log_scale, out_f rows, out_f cols, in_f own, out_f loss) {
    K::xent_loss(n_, log_scale, rows, cols, own, loss);
  }
  void xent_tile_backward(in_f cosines, in_f log_scale, in_f rows, in_f cols, dim shift, dim N, out_f dcosines, out_f dlog_scale) {
    K::xent_tile_backward(n_, cosines, log_scale, rows, cols, shift, N, dcosines, dlog_scale);
  }
  void sigmoid_xent_tile(in_f cosines, in_f log_scale, in_f bias, dim shift, dim N, out_f loss, out_f dcosines, out_f dlog_scale,
                         out_f dbias) {
    K::sigmoid_xent_tile(n_, cosines, log_scale, bias, shift, N, loss, dcosines, dlog_scale, dbias);
  }

  void sum_squares(in x, out_f y) { K::sum_squares(n_, x, y); }
  void sum_squares(in_w x, out_w y) {
    if constexpr (!wide) kernels<float>::sum_squares(n_, x, y);
  }
  void adamw(const adamw_step& s, in_f squares, in grad, out_f p, out_f m, out_f v, out copy) {
    K::adamw(n_, s, squares, grad, p, m, v, copy);
  }
  void adamw(const adamw_step& s, in_f squares, in_f grad, out_f p, out_f m, out_f v) {
    kernels<float>::adamw(n_, s, squares, grad, p, m, v, {});
  }

  // The fast paths.

  /// y = f(x W^T + b) + residual. f is applied to x W^T + b as it is stored, so that keeping it (pre) changes nothing.
  void linear(in x, in w, in b, const activation* f, in residual, out pre, out y) {
    if (!f && !pre) return engine_.linear(x, w, b, residual, y);
    const bool overlaps = !pre && residual && residual.data == y.data;
    const auto mark = memory_.here();
    auto u = pre ? pre : overlaps ? memory_.template take<T>(y.rows, y.cols) : y;  // (R, out)
    engine_.linear(x, w, b, {}, u);
    if (residual || !f) K::template bias_act<T>(n_, in(u), {}, f, residual, y, {});
    else K::unary(n_, *f, in(u), y);
    memory_.release(mark);
  }
  void conv_batchnorm(in x, const window& w, in weight, in_f stats, in_f gamma, in_f beta, double eps, in residual, bool relu,
                      out y) {
    engine_.conv(x, w, weight, stats, gamma, beta, eps, residual, relu, y);
  }
  void conv(in x, const window& w, in weight, out y) { engine_.conv_training(x, w, weight, y); }
  void conv_backward(in x, const window& w, in weight, in dy, out dx, out dweight) {
    engine_.conv_backward(x, w, weight, dy, dx, dweight);
  }
  void batchnorm_relu(in x, in_f stats, in_f w, in_f b, double eps, in residual, bool relu, out y) {
    K::batchnorm(n_, x, stats, w, b, eps, residual, relu, y);
  }
  /// y: what the ReLU gave; dz, the gradient before it, may be dy, or dx where nobody asks for it.
  void batchnorm_relu_backward(in x, in_f stats, in_f w, double eps, bool training, in y, in dy, out dz, out dx, out_f dw,
                               out_f db) {
    K::batchnorm_backward(n_, x, stats, w, eps, training, y, dy, dz, dx, dw, db);
  }
  void attention(in q, in k, in v, const row_ranges& queries, const row_ranges& keys, dim heads, bool causal, out y, out_f lse) {
    K::attention(n_, q, k, v, queries, keys, heads, causal, y, lse);
  }
  void attention_backward(in q, in k, in v, const row_ranges& queries, const row_ranges& keys, dim heads, bool causal, in y,
                          in_f lse, in dy, out dq, out dk, out dv) {
    K::attention_backward(n_, q, k, v, queries, keys, heads, causal, y, lse, dy, dq, dk, dv);
  }
  void add_layernorm(in x, in branch, in_f w, in_f b, double eps, out sum, out y, out_f stats) {
    K::add_layernorm(n_, x, branch, w, b, eps, sum, y, stats);
  }
  void add_layernorm_backward(in x, in_f w, in_f stats, in dy, in residual, out dx, out_f dw, out_f db) {
    K::layernorm_backward(n_, x, w, stats, dy, residual, dx, dw, db);
  }

 private:
  using K = kernels<T>;
  static buffer<std::byte> zeroed(dim bytes);
  template <class From, class To>
  static void plain_copy(mat<From> x, mat<To> y) {
    for (dim r = 0; r < y.rows; ++r)
      for (dim c = 0; c < y.cols; ++c) y.row(r)[c] = static_cast<To>(x.row(r)[c]);
  }
  detail::cpu_engine engine_;
  int n_ = 1;
  arena memory_;
};

#ifdef CLIPX_COMPILED
extern template class cpu<float>;
extern template class cpu<bf16>;
#endif

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "cpu-inl.hpp"
#endif
