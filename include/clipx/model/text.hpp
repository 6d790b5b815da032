// CLIP's text tower on packed captions. There is no padding, because attention is causal: rows after end-of-text cannot affect the
// pooled row (docs/clip.md section 4).
#pragma once
#include "../core/packed_texts.hpp"
#include "block.hpp"
#include "embedding_table.hpp"

namespace clipx {

/// What text towers have in common: the embedding of packed captions, the blocks, and the norm of the pooled rows.
template <backend_types B>
struct text_trunk {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  embedding_table<B> token_embedding;  // (vocabulary, W)
  mat<T> positional_embedding;         // (context, W)
  transformer<B> blocks;               // causal or not
  layernorm<B> ln_final;               // of the pooled rows

  text_config config;  // sizes
  dim embed_dim = 0;   // D

  text_trunk() = default;
  /// Parameters of these sizes, without memory until bind().
  text_trunk(const clip_config& c, bool causal)
      : blocks(c.text.layers, c.text.width, c.text.heads, c.text.mlp_width, c.text_act(), c.text_norm_eps(), causal,
               {.layer_scale = c.text.layer_scale.has_value()}),
        ln_final(c.text.width, c.text_norm_eps()),
        config(c.text),
        embed_dim(c.embed_dim) {}

  struct saved {
    mat<const std::int32_t> ids, positions;  // (1, R)
    typename transformer<B>::saved blocks;
    mat<const T> pooled;  // (N, W), the pooled row of each text after the blocks
    mat<T> h;             // (N, W), ln_final(pooled)
    typename layernorm<B>::saved ln_final;
  };

  /// All rows after ln_final, (R, W); tests of pooling and packing compare with it.
  mat<T> hidden(step<B>& s, const packed_texts& texts, saved& ctx) const {
    auto x = embed(s, texts, ctx);
    auto y = blocks.forward(s, x, sequences(s, texts.lengths, pooled_row::none), ctx.blocks);
    auto h = s.make(y.rows, y.cols);
    ln_final.forward(s, y, h, {});
    return h;
  }

 protected:
  /// Packed texts -> ln_final of the pooled row of each, ctx.h (N, W).
  void run(step<B>& s, const packed_texts& texts, saved& ctx) const {
    const dim N = texts.count();
    auto x = embed(s, texts, ctx);                                                           // (R, W)
    ctx.pooled = blocks.forward(s, x, sequences(s, texts.lengths, texts.ends), ctx.blocks);  // (N, W)
    ctx.h = s.make(N, config.width);
    ctx.ln_final = ln_final.make_saved(s, N);
    ln_final.forward(s, ctx.pooled, ctx.h, ctx.ln_final);
  }
  /// dh (N, W). Adds the gradients of the parameters to grad.
  void run_backward(step<B>& s, const saved& ctx, mat<const T> dh, text_trunk& grad) const {
    auto dpooled = s.make(dh.rows, config.width);  // (N, W)
    auto dx = s.make(ctx.ids.cols, config.width);  // (R, W)
    ln_final.backward(s, ctx.pooled, ctx.ln_final, dh, grad.ln_final, dpooled);
    blocks.backward(s, ctx.blocks, dpooled, grad.blocks, dx);
    s.device.scatter_add_rows(mat<const T>(dx), ctx.ids, grad.token_embedding.weight);
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
    token_embedding.forward(s, ctx.ids, texts.ids, x);
    s.device.gather_rows(positional_embedding, ctx.positions, p);
    s.device.add(A(1), p, A(1), x);
    return x;
  }
};

/// openai/CLIP's text tower: a causal transformer.
template <backend_types B>
struct text_transformer : text_trunk<B> {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  using trunk = text_trunk<B>;          // all but the projection
  using saved = typename trunk::saved;  // of the trunk
  mat<T> text_projection;               // (W, D)

  text_transformer() = default;
  /// Parameters of these sizes, without memory until bind().
  explicit text_transformer(const clip_config& c) : trunk(c, true) {}
  void visit(auto& v) {
    const auto& c = this->config;
    v("positional_embedding", this->positional_embedding, {c.context_length, c.width});
    v("text_projection", text_projection, {c.width, this->embed_dim});
    v("transformer", this->blocks);
    v("token_embedding.weight", this->token_embedding.weight, {c.vocab_size, c.width});
    v("ln_final", this->ln_final);
  }

  /// Packed texts -> features (N, D).
  mat<T> forward(step<B>& s, const packed_texts& texts, saved& ctx) const {
    auto features = s.make(texts.count(), this->embed_dim);  // (N, D)
    scratch<B> here(s, s.kept == keep::nothing);
    this->run(s, texts, ctx);
    s.device.gemm(op::none, op::none, A(1), ctx.h, text_projection, A(0), features);
    return features;
  }
  /// dfeatures (N, D). Adds the gradients of the parameters to grad.
  void backward(step<B>& s, const saved& ctx, mat<const T> dfeatures, text_transformer& grad) const {
    scratch<B> here(s);
    auto dh = s.make(dfeatures.rows, this->config.width);  // (N, W)
    s.device.gemm(op::transpose, op::none, A(1), ctx.h, dfeatures, A(1), grad.text_projection);
    s.device.gemm(op::none, op::transpose, A(1), dfeatures, text_projection, A(0), dh);
    this->run_backward(s, ctx, dh, grad);
  }
};

}  // namespace clipx
