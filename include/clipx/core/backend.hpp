// What a backend is, on one page: its types (backend_types), the verbs that it must have and those that it may have (backend),
// and plain<B>, the same device with every fast path declined.
//
// T = B::scalar is the type of activations and weights; A = B::accum is the type of sums, norms, statistics and the loss (float
// for bf16, else T). Contract of every verb: the gradient of an input (dx) is overwritten, the gradient of a parameter (dw)
// accumulates. Ops check shapes; verbs trust them. Calls may be asynchronous until sync() or download().
#pragma once
#include <array>
#include <concepts>
#include <cstdint>
#include <span>

#include "arena.hpp"
#include "freeze.hpp"
#include "operands.hpp"
#include "resampler.hpp"

namespace clipx {

/// What a backend offers beyond the required verbs. Each member that is true requires the verb of that name, whose signature
/// and contract are in the concept below; a fused verb accepts every shape that the op does. B::fast derives from this struct,
/// so a backend lacks what it does not name, and the op composes other verbs instead.
struct nothing_fast {
  static constexpr bool linear = false;            // bias, activation and residual inside the matrix product
  static constexpr bool attention = false;         // no (L, L) matrix of scores is stored
  static constexpr bool add_layernorm = false;     // residual sum and LayerNorm in one pass, and likewise their gradients
  static constexpr bool batchnorm_relu = false;    // BatchNorm, residual and ReLU in one pass, and their gradients
  static constexpr bool conv_batchnorm = false;    // convolution, folded BatchNorm, residual and ReLU in one pass (inference)
  static constexpr bool conv = false;              // convolution and its gradients without a matrix of patches (training)
  static constexpr bool replay = false;            // a recorded sequence of verbs as one call
  static constexpr bool pixels_resampler = false;  // its own loops for resizing images on the host
};

/// The types of a backend, which is all that parameters, ops and models are built from. A device that runs them is a `backend`.
template <class B>
concept backend_types = requires {
  typename B::scalar;
  typename B::accum;
  typename B::fast;
}
&&std::derived_from<typename B::fast, nothing_fast>;

/// How B stores activations and weights.
template <class B>
using scalar_t = typename B::scalar;
/// How B holds sums, norms, statistics and the loss.
template <class B>
using accum_t = typename B::accum;

namespace detail {
/// The types of the verbs' arguments. x is read and y written, both in T; c is read and m written, both in A.
template <class B>
struct verb_arguments {
  mat<const scalar_t<B>> x;
  mat<scalar_t<B>> y;
  mat<const accum_t<B>> c;
  mat<accum_t<B>> m;
  window w;
  dim n;
  double eps;
  epilogue<scalar_t<B>> after;
  attention_input<scalar_t<B>> qkv;
  attention_gradients<scalar_t<B>> dqkv;
  residual_sum<scalar_t<B>> sum;
  layernorm_backward_input<scalar_t<B>, accum_t<B>> ln_dy;
  batchnorm_parameters<accum_t<B>> bn;
  batchnorm_epilogue<scalar_t<B>> after_bn;
  batchnorm_backward_input<scalar_t<B>, accum_t<B>> bn_dy;
};
}  // namespace detail

// The verbs that a backend has only if its `fast` declares them. An optional matrix may be empty.
// clang-format off

/// x (R, in), weight (out, in), bias (1, out) optional, epilogue, y (R, out): y = f(x weight^T + bias) + residual. The
/// epilogue's `pre` receives x weight^T + bias; its residual may be y.
template <class B>
concept fused_linear = requires(B b, detail::verb_arguments<B> v) { b.linear(v.x, v.x, v.x, v.after, v.y); };

/// attention_input, heads, y (Rq, W), lse (Rq, heads) optional: y = softmax(q k^T / sqrt(W / heads)) v in every head of every
/// sequence; lse receives the log-sum-exp of the scores. Backward: the same input, heads, y, lse, dy -> dq, dk, dv, all written.
template <class B>
concept fused_attention = requires(B b, detail::verb_arguments<B> v) {
  b.attention(v.qkv, v.n, v.y, v.m);
  b.attention_backward(v.qkv, v.n, v.x, v.c, v.x, v.dqkv);
};

/// residual_sum, weight, bias, eps, y, statistics (R, 2) optional: sum = x + branch; y = LayerNorm(sum). sum may be x.
/// Backward: layernorm_backward's input, residual -> dx, dweight, dbias: dx = residual + LayerNorm's dx.
/// residual may be dx or dy.
template <class B>
concept fused_add_layernorm = requires(B b, detail::verb_arguments<B> v) {
  b.add_layernorm(v.sum, v.c, v.c, v.eps, v.y, v.m);
  b.add_layernorm_backward(v.ln_dy, v.x, v.y, v.m, v.m);
};

/// x, batchnorm's parameters, epilogue, y: y = relu?(BatchNorm(x) + residual). Backward: batchnorm_backward's input, y -> dz,
/// dx, dweight, dbias: dz receives the gradient before the ReLU, dy where y > 0. dz may be dy or dx.
template <class B>
concept fused_batchnorm_relu = requires(B b, detail::verb_arguments<B> v) {
  b.batchnorm_relu(v.x, v.bn, v.after_bn, v.y);
  b.batchnorm_relu_backward(v.bn_dy, v.x, v.y, v.y, v.m, v.m);
};

/// x (N H W, in), window, weight (out, in k k), batchnorm's parameters, epilogue, y (N H' W', out):
/// y = relu?(BatchNorm(conv(x)) + residual).
template <class B>
concept fused_conv_batchnorm = requires(B b, detail::verb_arguments<B> v) {
  b.conv_batchnorm(v.x, v.w, v.x, v.bn, v.after_bn, v.y);
};

/// x (N H W, in), window, weight (out, in k k), y (N H' W', out): y = conv(x). Backward: x, window, weight, dy, dx optional, dweight.
template <class B>
concept direct_conv = requires(B b, detail::verb_arguments<B> v) {
  b.conv(v.x, v.w, v.x, v.y);
  b.conv_backward(v.x, v.w, v.x, v.x, v.y, v.y);
};

/// record(body) runs body once, then records the verbs that it calls; replay(recording) repeats them as one call. Memory that
/// body takes from memory() and gives back belongs to the recording; all other memory that it uses must stay in place. body may
/// upload (the values are recorded) but not download.
template <class B>
concept replays_verbs = requires(B b, void (*body)(), const typename B::recording& r) {
  { b.record(body) } -> std::same_as<typename B::recording>;
  b.replay(r);
};

/// Loops with the same results as plain_resampler() (image/resize.hpp), callable from any thread.
template <class B>
concept resamples_pixels = requires { { B::pixels_resampler() } -> std::same_as<resampler>; };

/// The verbs that losses are made of, all in A.
template <class B>
concept loss_verbs = requires(B b, dim n, mat<accum_t<B>> m, mat<const accum_t<B>> c, mat<const std::int32_t> ids,
                              xent_tile_input<accum_t<B>> xent, sigmoid_tile_input<accum_t<B>> tile,
                              sigmoid_tile_output<accum_t<B>> sums, mixture_input<accum_t<B>> mixture,
                              mixture_output<accum_t<B>> mixed) {
  // The contrastive losses on a tile (I, J) of the N x N cosines; the pair of row i is column i + shift, if it is in the tile.
  b.xent_tile(c, c, n, m, m, m);                      // cosines, log scale, shift: joins largest logit and sum of exp(logit - largest) to rows (I, 2), columns (J, 2); pairs' cosines (I, 1)
  b.xent_loss(c, m, m, c, m);                         // log scale, rows and columns (N, 2), whose first becomes log-sum-exp, pairs' cosines -> loss (1, 1)
  b.xent_tile_backward(xent, m, m);                   // cosines, log scale, log-sum-exp of rows and columns, shift, N -> dcosines (may be the cosines), dlog-scale
  b.sigmoid_xent_tile(tile, sums);                    // cosines, log scale, bias, shift, N: adds to loss, dlog-scale, dbias; dcosines, may be empty
  // A softmax over many columns, a tile (N, m) of them at a time.
  b.softmax_tile(c, m);                               // logits: joins largest logit and sum of exp(logit - largest) to rows (N, 2)
  b.softmax_tile_backward(c, c, c, m);                // logits, rows (N, 2), weights (N, 1) -> dlogits = weight p, may be the logits
  b.pick(c, ids, m); b.add_picked(c, ids, m);         // y (1, E) = x[ids[0][e], ids[1][e]]; its adjoint, x += y, for distinct places
  b.mixture_loss(mixture, mixed);                     // mixture_input -> mixture_output
};

/// A device: every required verb with its arguments in order and what it does, then the optional verbs.
template <class B>
concept backend = backend_types<B> &&
    requires(B b, dim n, op o, activation f, scalar_t<B> t, accum_t<B> a, double eps, window w,
             mat<scalar_t<B>> y, mat<const scalar_t<B>> x, mat<accum_t<B>> m, mat<const accum_t<B>> c,
             mat<const std::int32_t> ids, mat<std::int32_t> new_ids, mat<float> to_float, mat<double> to_double,
             mat<const float> floats, mat<const double> doubles, mat<const std::uint8_t> rgb, mat<std::uint8_t> new_rgb,
             std::array<float, 3> rgb3, adamw_step adam, release_callback release, const void* data,
             detail::verb_arguments<B> v) {
  // freeze announces a weight that will not change until thaw(), and its role (core/freeze.hpp), so that the backend may keep
  // another form of it; `release` is called once the original is no longer read.
  b.freeze(x, frozen_role::linear, release); b.freeze(c, frozen_role::vector, release); b.thaw(data);
  { B::host_memory } -> std::convertible_to<bool>;    // whether its memory is the host's
  { B::in_place } -> std::convertible_to<bool>;       // whether weights may be read in place from a mapped file, in host memory
  b.enter(); b.leave();                               // a step begins or ends on the calling thread; steps nest
  { b.memory() } -> std::same_as<arena&>;             // the arena of the calling thread's steps
  b.template alloc<scalar_t<B>>(n);                   // buffer<E>: move-only, aligned, zeroed
  b.sync();
  b.upload(floats, y); b.upload(floats, m); b.upload(doubles, y); b.upload(doubles, m);  // host -> device, converting
  b.upload(ids, new_ids); b.upload(rgb, new_rgb);
  b.download(x, to_float); b.download(c, to_float);   // device -> host, converting
  b.download(x, to_double); b.download(c, to_double);
  b.copy(x, y); b.copy(x, m); b.copy(c, y); b.copy(c, m);  // strided, converts T <-> A
  b.fill(y, t); b.fill(m, a);
  b.pixels(rgb, rgb3, rgb3, y);                       // y = (rgb / 255 - mean) / std, in float32 and in this order

  b.gemm(o, o, a, x, x, a, y);                        // y = alpha op(x) op(x) + beta y
  b.gemm(o, o, a, x, x, a, m); b.gemm(o, o, a, c, c, a, m);
  b.add(a, x, a, y); b.add(a, c, a, m);               // y = alpha x + beta y
  b.add_rows(x, y); b.sum_rows(x, y);                 // y[r] += x[r mod x.rows]; its adjoint: y[r mod y.rows] += x[r]
  b.gather_rows(x, ids, y); b.scatter_add_rows(x, ids, y);  // y[i] = x[ids[i]]; its adjoint: y[ids[i]] += x[i]
  b.unary(f, x, y); b.unary_backward(f, x, x, y);     // y = f(x); dx = f'(x) dy
  b.glu(f, x, x, y); b.glu_backward(f, x, x, x, y, y);  // u, v -> y = f(u) v (may be v); u, v, dy -> du, dv (may be u, v)
  b.scale_columns(x, c, y);                           // y[r][c] = x[r][c] gamma[c], gamma (1, cols); y may be x
  b.scale_columns_backward(x, c, x, y, m);            // x, gamma, dy -> dx (may be dy), dgamma
  b.rotate_pairs(x, c, y);                            // columns 2i and 2i + 1 as a complex number, times those of row r mod c.rows of c, whose columns repeat; y may be x
  b.rotate_pairs_backward(x, c, y);                   // its adjoint, by the conjugates: dy -> dx (may be dy)
  b.clamp(m, eps, eps);

  b.layernorm(x, c, c, eps, y, m);                    // y, statistics (rows, 2): mean and 1 / deviation; may be empty
  b.layernorm_backward(v.ln_dy, y, m, m);             // x, weight, statistics, dy -> dx, dweight, dbias
  b.column_stats(x, m);                               // (2, cols): mean and biased variance of every column
  b.batchnorm(x, v.bn, y);                            // x, statistics, weight, bias, eps -> y
  b.batchnorm_backward(v.bn_dy, y, m, m);             // x, statistics, weight, eps, whether they are x's own, dy -> dx, dweight, dbias
  b.normalize(x, m, m);                               // L2-normalized rows (rows, cols) and norms (rows, 1), floor 1e-12
  b.normalize_backward(c, c, c, y);                   // L2-normalized rows, norms, dy -> dx

  b.softmax(m, true); b.softmax_backward(c, m);       // rows in place (causal: row i sees columns <= i); dscores from probabilities, in place
  b.im2col(x, w, y); b.col2im(x, w, y);               // patches as rows; the adjoint (written)
  b.depthwise_conv(x, w, x, x, y);                    // x (N H W, C), window, weight (C, k k), bias (1, C) or empty -> y (N H' W', C)
  b.depthwise_conv_backward(x, w, x, x, y, y);        // x, window, weight, dy -> dx (may be empty), dweight
  b.avgpool(x, w, y); b.avgpool_backward(x, w, y);    // mean of the pixels that each window sees, which is clipped to the image on each side; adjoint
  // The optimizer, on (1, n).
  b.sum_squares(x, m); b.sum_squares(c, m);           // m (1, 1) += the sum of squares
  b.adamw(adam, c, c, m, m, m);                       // squared norm of all gradients (1, 1) or empty, gradient, parameters, m, v
  b.adamw(adam, c, x, m, m, m, y);                    // the gradient as T, parameters in A, and their copy in T
  b.lerp(eps, c, m);                                  // y -= weight (y - x), in A; exact where x is y, and for 1
}
  && loss_verbs<B>
  && (!B::fast::linear || fused_linear<B>)
  && (!B::fast::attention || fused_attention<B>)
  && (!B::fast::add_layernorm || fused_add_layernorm<B>)
  && (!B::fast::batchnorm_relu || fused_batchnorm_relu<B>)
  && (!B::fast::conv_batchnorm || fused_conv_batchnorm<B>)
  && (!B::fast::conv || direct_conv<B>)
  && (!B::fast::replay || replays_verbs<B>)
  && (!B::fast::pixels_resampler || resamples_pixels<B>);
// clang-format on

/// The same device with every fast path declined: the oracle on that device, and the first thing to try when hunting a bug.
template <class B>
struct plain : B {
  using B::B;
  using fast = nothing_fast;  // no fused verb is used
};

}  // namespace clipx
