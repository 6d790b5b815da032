// The symmetric contrastive loss with a learnable temperature (paper figure 3; formulas in the docs: G = (P + Q - 2I) / 2N).
#pragma once
#include "../core/step.hpp"
#include "../model/config.hpp"

namespace clipx {

template <backend B>
struct contrastive_result {
  mat<accum_t<B>> loss;      // (1, 1), mean over both directions
  mat<scalar_t<B>> d_image;  // (N, D), gradient of the features before normalising
  mat<scalar_t<B>> d_text;   // (N, D)
};

/// Cosines of unit rows: x y^T, (N, M), in A always.
template <backend B>
void similarity(step<B>& s, mat<const accum_t<B>> x, mat<const accum_t<B>> y, mat<accum_t<B>> cosines) {
  using A = accum_t<B>;
  expect(x.cols == y.cols, [&] { return cat("similarity: expected equal widths, got ", x.cols, " and ", y.cols); });
  s.device.gemm(op::none, op::transpose, A(1), x, y, A(0), cosines);
}

/// Loss of N matching pairs, in A (float for bf16 models) whatever the features are. logit_scale (1, 1) holds t, a logarithm;
/// where d_logit_scale is given the backward pass runs too: dL/dt is added to it, and the features' gradients are returned.
/// x = u / |u|, S = exp(t) X Y^T, loss = (sum of row and column log-sum-exp - 2 trace S) / 2N.
template <backend B>
contrastive_result<B> contrastive(step<B>& s, mat<const scalar_t<B>> image, mat<const scalar_t<B>> text,
                                  mat<const accum_t<B>> logit_scale, mat<accum_t<B>> d_logit_scale = {}) {
  using A = accum_t<B>;
  const dim N = image.rows, D = image.cols;
  expect(same_shape(image, text) && N > 0, [&] {
    return cat("contrastive: expected as many texts as images of one width, got (", N, ", ", D, ") and (", text.rows, ", ",
               text.cols, ")");
  });
  contrastive_result<B> out{s.make_accum(1, 1), {}, {}};
  if (d_logit_scale) out.d_image = s.make(N, D), out.d_text = s.make(N, D);
  scratch<B> here(s);
  auto x = s.make_accum(N, D), y = s.make_accum(N, D);            // (N, D), unit rows
  auto x_norm = s.make_accum(N, 1), y_norm = s.make_accum(N, 1);  // (N, 1)
  auto cosines = s.make_accum(N, N);                              // (N, N)
  auto r = s.make_accum(N, 1), c = s.make_accum(N, 1);            // (N, 1), log-sum-exp of rows and columns
  s.device.normalize(image, x, x_norm);
  s.device.normalize(text, y, y_norm);
  similarity(s, mat<const A>(x), mat<const A>(y), cosines);
  s.device.softmax_xent(mat<const A>(cosines), logit_scale, r, c, out.loss);
  if (!d_logit_scale) return out;

  auto dcosines = s.make_accum(N, N);  // (N, N), exp(t) G
  auto dx = s.make_accum(N, D);        // (N, D)
  s.device.softmax_xent_backward(mat<const A>(cosines), logit_scale, mat<const A>(r), mat<const A>(c), dcosines, d_logit_scale);
  s.device.gemm(op::none, op::none, A(1), mat<const A>(dcosines), mat<const A>(y), A(0), dx);
  s.device.normalize_backward(mat<const A>(x), mat<const A>(x_norm), mat<const A>(dx), out.d_image);
  s.device.gemm(op::transpose, op::none, A(1), mat<const A>(dcosines), mat<const A>(x), A(0), dx);
  s.device.normalize_backward(mat<const A>(y), mat<const A>(y_norm), mat<const A>(dx), out.d_text);
  return out;
}

/// After each optimiser step: t into [0, ln 100] (open_clip; the paper states the upper bound).
template <backend B>
void clamp_log_scale(B& device, mat<accum_t<B>> logit_scale) {
  device.clamp(logit_scale, 0.0, max_log_scale);
}

}  // namespace clipx
