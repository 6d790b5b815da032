// What verbs take besides single matrices: shapes of the data (row_ranges, window), options, and structs of named inputs where
// a verb reads many. Inputs come first, outputs follow:
//
//   device.attention({.q = q, .k = k, .v = v, .queries = rows, .keys = rows, .causal = true}, heads, y, lse);
//
// A field without a default must be set. T is the type of activations, A the type of statistics, norms and the loss.
#pragma once
#include <cstdint>
#include <optional>

#include "activation.hpp"
#include "mat.hpp"

namespace clipx {

/// Whether a matrix product reads an operand as it is or transposed.
enum class op : char { none, transpose };  // of a gemm operand

/// Sequences as row ranges: sequence i is rows first[i] .. first[i + 1] - 1. There is no padding.
struct row_ranges {
  const std::int32_t* first = nullptr;                  // count + 1 offsets in the device's memory
  const std::int32_t* host = nullptr;                   // the same on the host
  dim count = 0, longest = 0;                           // number of sequences, and the most rows of any of them
  dim rows() const { return count ? host[count] : 0; }  // of all sequences
};

/// A window that slides over N images of height x width pixels, each pixel a row of `channels` values. Order of the output
/// rows: image, y, x, with `lead` rows left free before each image (for the class token).
struct window {
  dim height, width, channels;  // of an image: pixels, pixels, values per pixel
  dim kernel, stride, pad = 0;  // pixels: side of the window, its step, zeros added on each side
  dim lead = 0;                 // rows left free before each image
  dim across = 0;               // of im2col and col2im alone: width and horizontal step of a window that is no square; 0: it is one
  constexpr dim kernel_width() const { return across ? across : kernel; }  // pixels from left to right
  constexpr dim stride_width() const { return across ? across : stride; }  // the step to the right
  /// Positions of the window from top to bottom.
  constexpr dim out_height() const { return (height + 2 * pad - kernel) / stride + 1; }
  /// Positions of the window from left to right.
  constexpr dim out_width() const { return (width + 2 * pad - kernel_width()) / stride_width() + 1; }
  constexpr dim out_rows() const { return out_height() * out_width() + lead; }  // per image
  /// Columns (channel, ky, kx), a conv weight's order.
  constexpr dim patch() const { return channels * kernel * kernel_width(); }
};

/// What may follow a matrix product: y = f(x W^T + b) + residual.
template <class T>
struct epilogue {
  std::optional<activation> f = std::nullopt;  // none: the identity
  mat<const T> residual = {};                  // (R, out), may be y itself
  mat<T> pre = {};                             // (R, out), receives x W^T + b for the backward pass; empty: not kept
};

/// q has the rows of `queries`, k and v those of `keys`: the same ranges inside a tower, one query per sequence where only the
/// pooled row is needed. causal: row i of a sequence sees its rows <= i.
template <class T>
struct attention_input {
  mat<const T> q, k, v;      // (Rq, W), (Rk, W), (Rk, W)
  row_ranges queries, keys;  // the rows of each sequence in q, and in k and v
  bool causal = false;       // whether a row sees only itself and the rows before it
};

/// What the backward pass of attention writes.
template <class T>
struct attention_gradients {
  mat<T> q, k, v;  // the shapes of the inputs
};

/// The residual sum before a LayerNorm: sum = x + branch.
template <class T>
struct residual_sum {
  mat<const T> x, branch;  // (R, W)
  mat<T> sum;              // (R, W), may be x
};

/// What the backward pass of LayerNorm reads.
template <class T, class A>
struct layernorm_backward_input {
  mat<const T> x;       // (R, W), what was normalized
  mat<const A> weight;  // (1, W)
  mat<const A> stats;   // (R, 2), mean and 1 / deviation of every row
  mat<const T> dy;      // (R, W)
};

/// BatchNorm of x (R, C): (x - mean) / sqrt(variance + eps) weight + bias.
template <class A>
struct batchnorm_parameters {
  mat<const A> stats;         // (2, C), mean and biased variance of every column
  mat<const A> weight, bias;  // (1, C)
  double eps;                 // added to the variance
};

/// What may follow a BatchNorm: y = relu?(BatchNorm(x) + residual?).
template <class T>
struct batchnorm_epilogue {
  mat<const T> residual = {};  // (R, C); empty: none
  bool relu = false;           // whether max(0, ..) is applied last
};

/// What the backward pass of BatchNorm reads.
template <class T, class A>
struct batchnorm_backward_input {
  mat<const T> x;       // (R, C)
  mat<const A> stats;   // (2, C), mean and biased variance of every column
  mat<const A> weight;  // (1, C)
  double eps;           // added to the variance
  bool training;        // whether the statistics are those of x, and so depend on it
  mat<const T> dy;      // (R, C), gradient of the last result: of the ReLU's, if there was one
};

/// A tile (I, J) of the N x N cosines for the backward pass of the contrastive loss.
template <class A>
struct xent_tile_input {
  mat<const A> cosines;    // (I, J)
  mat<const A> log_scale;  // (1, 1)
  mat<const A> rows;       // (I, 1), log-sum-exp of the logits in each row of all N x N
  mat<const A> columns;    // (J, 1), the same of each column
  dim shift;               // the pair of row i is column i + shift, if it is in the tile
  dim N;                   // number of pairs
};

/// A tile (I, J) of the N x N cosines for the sigmoid loss.
template <class A>
struct sigmoid_tile_input {
  mat<const A> cosines;          // (I, J)
  mat<const A> log_scale, bias;  // (1, 1)
  dim shift;                     // the pair of row i is column i + shift, if it is in the tile
  dim N;                         // number of pairs
};

/// Outputs of the sigmoid loss of a tile: dcosines is overwritten, the others are added to. Empty gradients: the loss alone.
template <class A>
struct sigmoid_tile_output {
  mat<A> loss;                         // (1, 1)
  mat<A> dcosines = {};                // (I, J), may be the cosines
  mat<A> dlog_scale = {}, dbias = {};  // (1, 1)
};

/// Mixtures of probabilities of a softmax: log p(g) = log-sum-exp over the terms t of mixture g of (log_weights[t] +
/// logits[entries[t]]). Every term belongs to one mixture and one logit.
template <class A>
struct mixture_input {
  mat<const A> logits;                                     // (1, E)
  mat<const A> log_weights;                                // (1, P), of the terms; those of a mixture are adjacent
  mat<const std::int32_t> entries, mixtures;               // (1, P), the logit and the mixture of each term
  mat<const std::int32_t> first_of_mixture;                // (1, G + 1), the first term of each mixture
  mat<const std::int32_t> terms_by_entry, first_of_entry;  // (1, P), (1, E + 1), the same terms grouped by logit
  mat<const A> sums;    // (N, 2), of each row's softmax: largest logit and sum of exp(logit - largest)
  mat<const A> counts;  // (N, 1), number of mixtures that are normalized by each row's sum
  double scale;         // of the loss
};

/// loss = scale (sum of counts log-sum-exp - sum of log p), overwritten; log_p (1, G); dlogits (1, E), the part of the loss's
/// gradient that comes through the mixtures, overwritten; empty: not computed.
template <class A>
struct mixture_output {
  mat<A> loss, log_p, dlogits = {};  // (1, 1), (1, G), (1, E)
};

/// One step of AdamW as PyTorch computes it (docs/clip.md section 9.2): g = min(1, max_norm / (norm + 1e-6)) gradient,
/// p *= 1 - lr decay, m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2,
/// p -= lr / (1 - beta1^count) m / (sqrt(v / (1 - beta2^count)) + eps).
struct adamw_step {
  double lr;                         // learning rate
  double beta1 = 0.9, beta2 = 0.98;  // of m and v
  double eps = 1e-6;                 // added to the root
  double decay = 0;                  // PyTorch's weight_decay
  double max_norm = 0;               // of the gradient of all parameters; 0: no clipping
  dim count = 1;                     // number of this step, from 1
};

}  // namespace clipx
