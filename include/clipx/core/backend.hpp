// The Backend concept: every verb that a device must know, on one page; and plain<B>, the same device with nothing fused.
//
// T = B::scalar is how activations and weights are stored, A = B::accum how sums, norms, statistics and the loss are held
// (float for bf16, else T). Contract everywhere: a gradient with respect to an input (dx) is written, one with respect to a
// parameter (dw) accumulates. Ops check shapes; verbs trust them. Calls may be asynchronous until sync() or download().
#pragma once
#include <array>
#include <concepts>
#include <cstdint>
#include <span>

#include "activation.hpp"
#include "arena.hpp"
#include "mat.hpp"

namespace clipx {

enum class op : char { none, transpose };  // of a gemm operand

/// Sequences as row ranges: sequence i is rows first[i] .. first[i + 1] - 1. No padding exists.
struct row_ranges {
  const std::int32_t* first = nullptr;  // count + 1 offsets in the device's memory
  const std::int32_t* host = nullptr;   // the same on the host
  dim count = 0, longest = 0;
  dim rows() const { return count ? host[count] : 0; }
};

/// A window sliding over N pictures of height x width pixels, one row of `channels` each. Row order of the output:
/// picture, y, x, with `lead` rows left free before each picture (the class token's place).
struct window {
  dim height, width, channels, kernel, stride, pad = 0, lead = 0;
  constexpr dim out_height() const { return (height + 2 * pad - kernel) / stride + 1; }
  constexpr dim out_width() const { return (width + 2 * pad - kernel) / stride + 1; }
  constexpr dim out_rows() const { return out_height() * out_width() + lead; }  // a picture
  constexpr dim patch() const { return channels * kernel * kernel; }            // columns (channel, ky, kx), a conv weight's order
};

/// One step of AdamW (PyTorch's rule; spec section 9.2): g = min(1, max_norm / (norm + 1e-6)) gradient,
/// p *= 1 - lr decay, m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2,
/// p -= lr / (1 - beta1^count) m / (sqrt(v / (1 - beta2^count)) + eps).
struct adamw_step {
  double lr, beta1 = 0.9, beta2 = 0.98, eps = 1e-6, decay = 0;
  double max_norm = 0;  // of all gradients; 0: they are not clipped
  dim count = 1;        // of this step, the first is 1
};

/// What a backend fuses; an op asks before it composes verbs. Every declared path accepts every shape.
struct nothing_fast {
  static constexpr bool linear = false;          // bias, activation and residual inside the matrix product
  static constexpr bool attention = false;       // no (L, L) matrix of scores kept
  static constexpr bool add_layernorm = false;   // residual sum and LayerNorm in one pass, and in one their gradients
  static constexpr bool batchnorm_relu = false;  // BatchNorm, residual and ReLU in one pass, and their gradients
  static constexpr bool conv_batchnorm = false;  // convolution, folded BatchNorm, residual and ReLU in one pass (inference)
  static constexpr bool conv = false;            // convolution, and its gradients, without a matrix of patches (training)
  // record(body): runs body once, then records the verbs that it calls; replay(recording) does them again as one call. Memory that
  // body takes from memory(), and gives back, is the recording's own; what it names besides must stay where it is. It may upload
  // (the values are recorded with it) but not download.
  static constexpr bool replay = false;
};

template <class B>
using scalar_t = typename B::scalar;
template <class B>
using accum_t = typename B::accum;

// clang-format off
template <class B>
concept backend = requires(B b, dim n, op o, activation f, scalar_t<B> t, accum_t<B> a, double eps, window w, row_ranges seq,
                           mat<scalar_t<B>> y, mat<const scalar_t<B>> x, mat<accum_t<B>> m, mat<const accum_t<B>> c,
                           mat<const std::int32_t> ids, mat<std::int32_t> new_ids, mat<float> host, mat<const float> from,
                           mat<const std::uint8_t> rgb, mat<std::uint8_t> new_rgb, std::array<float, 3> rgb3, adamw_step adam) {
  typename B::scalar; typename B::accum; typename B::fast;
  { b.memory() } -> std::same_as<arena&>;             // the arena that steps take their memory from
  b.template alloc<scalar_t<B>>(n);                   // buffer<E>: move-only, aligned, zeroed
  b.sync();
  b.upload(from, y); b.upload(from, m); b.upload(ids, new_ids); b.upload(rgb, new_rgb);  // host -> device, converting
  b.download(x, host); b.download(c, host);           // device -> host, converting; double likewise
  b.copy(x, y); b.copy(x, m); b.copy(c, y); b.copy(c, m);  // strided, converts T <-> A
  b.fill(y, t); b.fill(m, a);
  b.pixels(rgb, rgb3, rgb3, y);                       // y = (rgb / 255 - mean) / std, in float32 and in this order

  b.gemm(o, o, a, x, x, a, y);                        // y = alpha op(x) op(x) + beta y
  b.gemm(o, o, a, x, x, a, m); b.gemm(o, o, a, c, c, a, m);
  b.add(a, x, a, y); b.add(a, c, a, m);               // y = alpha x + beta y
  b.add_rows(x, y); b.sum_rows(x, y);                 // y[r] += x[r mod x.rows]; its adjoint: y[r mod y.rows] += x[r]
  b.gather_rows(x, ids, y); b.scatter_add_rows(x, ids, y);  // y[i] = x[ids[i]]; its adjoint: y[ids[i]] += x[i]
  b.unary(f, x, y); b.unary_backward(f, x, x, y);     // y = f(x); dx = f'(x) dy
  b.clamp(m, eps, eps);

  b.layernorm(x, c, c, eps, y, m);                    // y, statistics (rows, 2): mean and 1 / deviation; may be empty
  b.layernorm_backward(x, c, c, x, y, m, m);          // x, weight, statistics, dy -> dx, dweight, dbias
  b.column_stats(x, m);                               // (2, cols): mean and biased variance of every column
  b.batchnorm(x, c, c, c, eps, y);                    // x, statistics (2, cols), weight, bias -> y
  b.batchnorm_backward(x, c, c, eps, true, x, y, m, m);  // x, statistics, weight, eps, statistics depend on x?, dy -> dx, dweight, dbias
  b.normalize(x, m, m);                               // unit rows (rows, cols) and lengths (rows, 1), floor 1e-12
  b.normalize_backward(c, c, c, y);                   // unit rows, lengths, dy -> dx

  b.softmax(m, true); b.softmax_backward(c, m);       // rows in place (causal: row i sees columns <= i); dscores from probabilities, in place
  b.im2col(x, w, y); b.col2im(x, w, y);               // patches as rows; the adjoint (written)
  b.avgpool(x, w, y); b.avgpool_backward(x, w, y);    // mean over windows (stride = kernel, clipped to the picture on each side); adjoint
  // The contrastive losses on a tile (I, J) of the N x N cosines; column i + shift is the pair of row i, where it is in the tile.
  b.xent_tile(c, c, n, m, m, m);                      // cosines, log scale, shift: joins largest logit and sum of exp(logit - largest) to rows (I, 2), columns (J, 2); pairs' cosines (I, 1)
  b.xent_loss(c, m, m, c, m);                         // log scale, rows and columns (N, 2), whose first becomes log-sum-exp, pairs' cosines -> loss (1, 1)
  b.xent_tile_backward(c, c, c, c, n, n, m, m);       // cosines, log scale, log-sum-exp of rows (I, 1) and columns (J, 1), shift, N -> dcosines (may be the cosines), dlog-scale
  b.sigmoid_xent_tile(c, c, c, n, n, m, m, m, m);     // cosines, log scale, bias, shift, N: adds to loss, dlog-scale, dbias; dcosines, may be empty
  // The optimiser, on (1, n).
  b.sum_squares(x, m); b.sum_squares(c, m);           // m (1, 1) += the sum of squares
  b.adamw(adam, c, c, m, m, m);                       // squared norm of all gradients (1, 1) or empty, gradient, parameters, m, v
  b.adamw(adam, c, x, m, m, m, y);                    // the gradient as T, parameters in A, and their copy in T
};
// clang-format on

/// The same device with every fast path declined: the oracle on that device, and the first move of any bug hunt.
template <class B>
struct plain : B {
  using B::B;
  using fast = nothing_fast;
};

}  // namespace clipx
