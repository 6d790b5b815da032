// The text tower of open_clip (TextTransformer) with its choices: causal or not, which row is pooled, and the projection.
#pragma once
#include "text.hpp"

namespace clipx {

/// Texts are packed. In a causal tower they end with the pooled row; in another one padding is a part of a text, and every token
/// sees every other (text_config::filled()).
template <backend_types B>
struct plain_text_tower : text_trunk<B> {
  using T = scalar_t<B>;
  using trunk = text_trunk<B>;          // all but the projection
  using saved = typename trunk::saved;  // of the trunk
  linear<B> text_projection;            // W to D columns; without a projection no parameter

  plain_text_tower() = default;
  /// Parameters of these sizes, without memory until bind(). Errors: without a projection, a width that is not that of the
  /// embedding.
  explicit plain_text_tower(const clip_config& c) : trunk(c, c.text.causal) {
    if (c.text.projection) text_projection = linear<B>(c.text.width, c.embed_dim);
    expect(c.text.projection || c.text.width == c.embed_dim, [&] {
      return cat("a text tower without a projection: expected a width of ", c.embed_dim, ", as the embedding has, got ",
                 c.text.width);
    });
  }
  void visit(auto& v) {
    const auto& c = this->config;
    v("positional_embedding", this->positional_embedding, {c.context_length, c.width});
    v("transformer", this->blocks);
    v("token_embedding.weight", this->token_embedding.weight, {c.vocab_size, c.width});
    v("ln_final", this->ln_final);
    if (c.projection && c.projection_bias) v("text_projection", text_projection);
    else if (c.projection) v("text_projection", text_projection.weight, {this->embed_dim, c.width});  // files hold its transpose
  }

  /// Packed texts -> features (N, D).
  mat<T> forward(step<B>& s, const packed_texts& texts, saved& ctx) const {
    auto features = s.make(texts.count(), this->embed_dim);  // (N, D)
    scratch<B> here(s, s.kept == keep::nothing);
    this->run(s, texts, ctx);
    if (this->config.projection) text_projection.forward(s, ctx.h, features);
    else s.device.copy(mat<const T>(ctx.h), features);
    return features;
  }
  /// dfeatures (N, D). Adds the gradients of the parameters to grad.
  void backward(step<B>& s, const saved& ctx, mat<const T> dfeatures, plain_text_tower& grad) const {
    scratch<B> here(s);
    if (!this->config.projection) return this->run_backward(s, ctx, dfeatures, grad);
    auto dh = s.make(dfeatures.rows, this->config.width);  // (N, W)
    text_projection.backward(s, ctx.h, dfeatures, grad.text_projection, dh);
    this->run_backward(s, ctx, dh, grad);
  }
};

}  // namespace clipx
