// The CPU's own kernels: every verb but the matrix products. kernels<T> for T = float and bf16 storage, sums in float.
//
// `threads` is the most threads a call may use (OpenMP); small work stays on the caller's. Every row is computed by one thread
// in an order of summation that depends neither on the number of threads nor on the other rows, so results are bit-equal
// whatever batch a row comes in. Column sums go down the rows in fixed blocks, whichever threads take them. Shapes are trusted.
#pragma once
#include <array>
#include <clipx/core/backend.hpp>
#include <clipx/core/bf16.hpp>
#include <clipx/core/resampler.hpp>
#include <cstdint>

namespace clipx {

/// Kernels that see only float.
struct float_kernels {
  /// The instruction set that is in use, as Highway names it.
  static const char* instruction_set();
  /// Pillow's resampling, to the bit.
  static resampler pixels_resampler();
  /// x[r][c] into [low, high].
  static void clamp(int threads, mat<float> x, float low, float high);
  /// Rows in place; causal: row i sees columns <= i, the rest becomes 0.
  static void softmax(int threads, mat<float> x, bool causal);
  /// Probabilities and their gradient (overwritten by the scores' gradient): dp <- p (dp - sum p dp).
  static void softmax_backward(int threads, mat<const float> p, mat<float> dp);
  // The contrastive losses on a tile of cosines (I, J), S = exp(log_scale) cosines; the pair of row i is column i + shift, where it
  // is in the tile.
  /// Joins the largest of S and the sum of exp(S - largest) to rows (I, 2) and cols (J, 2), which begin as (-inf, 0); own (I, 1)
  /// receives the pairs' cosines.
  static void xent_tile(int threads, mat<const float> cosines, mat<const float> log_scale, dim shift, mat<float> rows,
                        mat<float> cols, mat<float> own);
  /// loss (1, 1) of N pairs; the first of rows and cols (N, 2) becomes the log-sum-exp.
  static void xent_loss(int threads, mat<const float> log_scale, mat<float> rows, mat<float> cols, mat<const float> own,
                        mat<float> loss);
  /// dcosines is written (it may be the cosines), dlog_scale (1, 1) accumulates.
  static void xent_tile_backward(int threads, mat<const float> cosines, mat<const float> log_scale, mat<const float> rows,
                                 mat<const float> cols, dim shift, dim N, mat<float> dcosines, mat<float> dlog_scale);
  /// S + bias; loss, dlog_scale and dbias accumulate. dcosines may be empty: the loss alone.
  static void sigmoid_xent_tile(int threads, mat<const float> cosines, mat<const float> log_scale, mat<const float> bias, dim shift,
                                dim N, mat<float> loss, mat<float> dcosines, mat<float> dlog_scale, mat<float> dbias);
};

template <class T>
struct kernels : float_kernels {
  // y = x, strided; bf16 is rounded to nearest even.
  static void copy(int threads, mat<const T> x, mat<T> y);
  static void widen(int threads, mat<const T> x, mat<float> y);
  static void narrow(int threads, mat<const float> x, mat<T> y);
  static void fill(int threads, mat<T> y, T value);
  /// y = (rgb / 255 - mean) / deviation in float32, two true divisions and one subtraction, each rounded.
  static void pixels(int threads, mat<const std::uint8_t> rgb, std::array<float, 3> mean, std::array<float, 3> deviation, mat<T> y);

  /// y = alpha x + beta y; y is not read where beta is 0.
  static void add(int threads, float alpha, mat<const T> x, float beta, mat<T> y);
  /// y[r] += x[r mod x.rows]
  static void add_rows(int threads, mat<const T> x, mat<T> y);
  /// y[r mod y.rows] += x[r]
  static void sum_rows(int threads, mat<const T> x, mat<T> y);
  /// y[i] = x[ids[i]], ids (1, n).
  static void gather_rows(int threads, mat<const T> x, mat<const std::int32_t> ids, mat<T> y);
  /// y[ids[i]] += x[i]; rows of one id are added in float, in order, and rounded once.
  static void scatter_add_rows(int threads, mat<const T> x, mat<const std::int32_t> ids, mat<T> y);
  static void unary(int threads, activation f, mat<const T> x, mat<T> y);
  static void unary_backward(int threads, activation f, mat<const T> x, mat<const T> dy, mat<T> dx);
  /// What follows a matrix product: u = x + bias, y = f(u) + residual, everything in float between the loads and the stores.
  /// bias (1, cols), f, residual (y's shape) and pre (receives u) may be empty. y and pre may be x; residual may be y.
  /// X = T or float (a tile of sums not yet rounded). With threads = 1 it runs where it is called, for use tile by tile.
  template <class X>
  static void bias_act(int threads, mat<const X> x, mat<const T> bias, const activation* f, mat<const T> residual, mat<T> y,
                       mat<T> pre);

  /// stats (rows, 2): mean and 1 / deviation; may be empty.
  static void layernorm(int threads, mat<const T> x, mat<const float> weight, mat<const float> bias, double eps, mat<T> y,
                        mat<float> stats);
  /// dx of the LayerNorm, + residual where given; it may be dy or residual.
  static void layernorm_backward(int threads, mat<const T> x, mat<const float> weight, mat<const float> stats, mat<const T> dy,
                                 mat<const T> residual, mat<T> dx, mat<float> dweight, mat<float> dbias);
  /// sum = x + branch (may be x), y = LayerNorm(sum), of the sum as it was stored.
  static void add_layernorm(int threads, mat<const T> x, mat<const T> branch, mat<const float> weight, mat<const float> bias,
                            double eps, mat<T> sum, mat<T> y, mat<float> stats);
  /// stats (2, cols): mean and biased variance of every column.
  static void column_stats(int threads, mat<const T> x, mat<float> stats);
  /// y = relu?(BatchNorm(x) + residual?); a residual may be empty.
  static void batchnorm(int threads, mat<const T> x, mat<const float> stats, mat<const float> weight, mat<const float> bias,
                        double eps, mat<const T> residual, bool relu, mat<T> y);
  /// training: the statistics are x's own. y: what the ReLU gave, empty where there was none; dz receives the gradient before it
  /// and may be dy, or dx where nobody asks for it.
  static void batchnorm_backward(int threads, mat<const T> x, mat<const float> stats, mat<const float> weight, double eps,
                                 bool training, mat<const T> y, mat<const T> dy, mat<T> dz, mat<T> dx, mat<float> dweight,
                                 mat<float> dbias);
  /// Unit rows and lengths (rows, 1), floor 1e-12.
  static void normalize(int threads, mat<const T> x, mat<float> y, mat<float> lengths);
  static void normalize_backward(int threads, mat<const float> y, mat<const float> lengths, mat<const float> dy, mat<T> dx);

  /// Columns of a patch are (channel, ky, kx); `lead` rows before each picture are left alone.
  static void im2col(int threads, mat<const T> x, const window& w, mat<T> cols);
  static void col2im(int threads, mat<const T> cols, const window& w, mat<T> x);
  /// Mean over windows, stride = kernel, clipped to the picture on each side.
  static void avgpool(int threads, mat<const T> x, const window& w, mat<T> y);
  static void avgpool_backward(int threads, mat<const T> dy, const window& w, mat<T> dx);

  /// y (1, 1) += the sum of squares of x (1, n).
  static void sum_squares(int threads, mat<const T> x, mat<float> y);
  /// One step on (1, n); squares (1, 1), the squared norm of all gradients, and copy (receives the parameters) may be empty.
  static void adamw(int threads, const adamw_step& s, mat<const float> squares, mat<const T> grad, mat<float> p, mat<float> m,
                    mat<float> v, mat<T> copy);

  /// softmax(q k^T / sqrt(d)) v by sequence and head, d = q.cols / heads. q, k, v may be column ranges of one matrix. causal
  /// asks for equal ranges. lse (rows of q, heads), log-sum-exp of the scaled scores, may be empty.
  static void attention(int threads, mat<const T> q, mat<const T> k, mat<const T> v, const row_ranges& queries,
                        const row_ranges& keys, dim heads, bool causal, mat<T> y, mat<float> lse);
  /// Writes dq, dk, dv, which may be column ranges of one matrix.
  static void attention_backward(int threads, mat<const T> q, mat<const T> k, mat<const T> v, const row_ranges& queries,
                                 const row_ranges& keys, dim heads, bool causal, mat<const T> y, mat<const float> lse,
                                 mat<const T> dy, mat<T> dq, mat<T> dk, mat<T> dv);
};

#ifdef CLIPX_COMPILED
extern template struct kernels<float>;
extern template struct kernels<bf16>;
#endif

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "kernels-inl.h"
#endif
