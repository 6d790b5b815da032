// CLIP's text tower on packed captions. There is no padding, because attention is causal: rows after end-of-text cannot affect the
// pooled row (docs/clip.md section 4).
#pragma once
#include "../core/packed_texts.hpp"
#include "block.hpp"

namespace clipx {

/// openai/CLIP's text tower: a causal transformer.
template <backend_types B>
struct text_transformer {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  mat<T> token_embedding;       // (vocabulary, W)
  mat<T> positional_embedding;  // (context, W)
  transformer<B> blocks;        // causal
  layernorm<B> ln_final;        // before the projection
  mat<T> text_projection;       // (W, D)

  text_config config;  // sizes
  dim embed_dim = 0;   // D

  text_transformer() = default;
  /// Parameters of these sizes, without memory until bind().
  explicit text_transformer(const clip_config& c)
      : blocks(c.text.layers, c.text.width, c.text.heads, c.text.mlp_width, c.act, c.norm_eps, true),
        ln_final(c.text.width, c.norm_eps),
        config(c.text),
        embed_dim(c.embed_dim) {}
  void visit(auto& v) {
    v("positional_embedding", positional_embedding, {config.context_length, config.width});
    v("text_projection", text_projection, {config.width, embed_dim});
    v("transformer", blocks);
    v("token_embedding.weight", token_embedding, {config.vocab_size, config.width});
    v("ln_final", ln_final);
  }

  struct saved {
    mat<const std::int32_t> ids, positions;  // (1, R)
    typename transformer<B>::saved blocks;
    mat<const T> pooled;  // (N, W), the last row of each text after the blocks
    mat<T> h;             // (N, W), ln_final(pooled)
    typename layernorm<B>::saved ln_final;
  };

  /// Packed texts -> features (N, D).
  mat<T> forward(step<B>& s, const packed_texts& texts, saved& ctx) const {
    const dim N = texts.count();
    auto features = s.make(N, embed_dim);  // (N, D)
    scratch<B> here(s, s.kept == keep::nothing);
    auto x = embed(s, texts, ctx);                                                                 // (R, W)
    ctx.pooled = blocks.forward(s, x, sequences(s, texts.lengths, pooled_row::last), ctx.blocks);  // (N, W)
    ctx.h = s.make(N, config.width);
    ctx.ln_final = ln_final.make_saved(s, N);
    ln_final.forward(s, ctx.pooled, ctx.h, ctx.ln_final);
    s.device.gemm(op::none, op::none, A(1), ctx.h, text_projection, A(0), features);
    return features;
  }

  /// All rows after ln_final, (R, W); tests of pooling and packing compare with it.
  mat<T> hidden(step<B>& s, const packed_texts& texts, saved& ctx) const {
    auto x = embed(s, texts, ctx);
    auto y = blocks.forward(s, x, sequences(s, texts.lengths, pooled_row::none), ctx.blocks);
    auto h = s.make(y.rows, y.cols);
    ln_final.forward(s, y, h, {});
    return h;
  }

  /// dfeatures (N, D). Adds the gradients of the parameters to grad.
  void backward(step<B>& s, const saved& ctx, mat<const T> dfeatures, text_transformer& grad) const {
    scratch<B> here(s);
    const dim N = dfeatures.rows, R = ctx.ids.cols, W = config.width;
    auto dh = s.make(N, W), dpooled = s.make(N, W);  // (N, W)
    auto dx = s.make(R, W);                          // (R, W)
    s.device.gemm(op::transpose, op::none, A(1), ctx.h, dfeatures, A(1), grad.text_projection);
    s.device.gemm(op::none, op::transpose, A(1), dfeatures, text_projection, A(0), dh);
    ln_final.backward(s, ctx.pooled, ctx.ln_final, dh, grad.ln_final, dpooled);
    blocks.backward(s, ctx.blocks, dpooled, grad.blocks, dx);
    s.device.scatter_add_rows(dx, ctx.ids, grad.token_embedding);
    s.device.scatter_add_rows(dx, ctx.positions, grad.positional_embedding);
  }

 private:
  /// token_embedding[ids] + positional_embedding[positions], (R, W).
  mat<T> embed(step<B>& s, const packed_texts& texts, saved& ctx) const {
    const dim R = static_cast<dim>(texts.ids.size()), W = config.width;
    ctx.ids = s.ids(texts.ids);
    ctx.positions = s.ids(texts.positions);
    auto x = s.make(R, W);  // (R, W)
    scratch<B> here(s);
    auto p = s.make(R, W);  // (R, W)
    s.device.gather_rows(token_embedding, ctx.ids, x);
    s.device.gather_rows(positional_embedding, ctx.positions, p);
    s.device.add(A(1), p, A(1), x);
    return x;
  }
};

}  // namespace clipx
