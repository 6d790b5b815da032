// The sigmoid loss over pairs (SigLIP, Zhai et al. 2023): no sums across rows or columns, so a tile at a time costs nothing more.
#pragma once
#include "contrastive.hpp"

namespace clipx {

/// z = 1 for a pair, -1 for any other two, S = exp(t) X Y^T + b: loss = - (1 / N) sum of log sigma(z S), in A. t and b are (1, 1);
/// they begin at initial_sigmoid_log_scale and initial_sigmoid_bias. Where d_logit_scale is given, so is d_logit_bias: both are
/// added to, and the features' gradients are returned. tile as in contrastive().
template <backend B>
contrastive_result<B> sigmoid_contrastive(step<B>& s, mat<const scalar_t<B>> image, mat<const scalar_t<B>> text,
                                          mat<const accum_t<B>> logit_scale, mat<const accum_t<B>> logit_bias,
                                          mat<accum_t<B>> d_logit_scale = {}, mat<accum_t<B>> d_logit_bias = {}, dim tile = 0) {
  using A = accum_t<B>;
  const dim N = image.rows, D = image.cols;
  contrastive_result<B> out{s.make_accum(1, 1), {}, {}};
  if (d_logit_scale) out.d_image = s.make(N, D), out.d_text = s.make(N, D);
  scratch<B> here(s);
  detail::pair_tiles<B> tiles(s, image, text, tile);
  s.device.fill(out.loss, A(0));
  const auto use = [&](dim i, dim, dim j, dim, mat<A> cosines) {
    s.device.sigmoid_xent_tile(mat<const A>(cosines), logit_scale, logit_bias, i - j, N, out.loss,
                               d_logit_scale ? cosines : mat<A>{}, d_logit_scale, d_logit_bias);
  };
  if (d_logit_scale) tiles.backward(out.d_image, out.d_text, false, use);
  else tiles.forward(use);
  return out;
}

}  // namespace clipx
