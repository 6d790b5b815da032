// A BERT as a text tower, as open_clip has it: XLM-RoBERTa (Conneau et al. 2020) and RoBERTa (Liu et al. 2019); and as M-CLIP has
// it (Carlsson et al. 2022): XLM-RoBERTa, and BERT itself (Devlin et al. 2019).
#pragma once
#include "../core/packed_texts.hpp"
#include "embedding_table.hpp"
#include "hf_text.hpp"
#include "postnorm_block.hpp"

namespace clipx {

/// Packed texts -> the mean of their rows after the blocks, or their first row -> the projection. Padding is masked in every layer
/// of the reference, so that a text without it has the same rows.
template <backend_types B>
struct bert_text_tower {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  embedding_table<B> token_embedding;        // (vocabulary, W)
  mat<T> positional_embedding;               // (positions, W); the first token has row first_position()
  mat<T> token_type_embedding;               // (types, W); every token is of type 0
  layernorm<B> ln_embed;                     // of their sum
  transformer<B, postnorm_block<B>> blocks;  // not causal
  mean_rows<B> mean;                         // text_pool::mean
  projection_head<B> proj;                   // W to D columns

  text_config config;  // sizes
  dim embed_dim = 0;   // D

  bert_text_tower() = default;
  /// Parameters of these sizes, without memory until bind(). Errors: fewer positions than a text may have tokens; those of
  /// projection_head.
  explicit bert_text_tower(const clip_config& c)
      : ln_embed(c.text.width, c.text_norm_eps()),
        blocks(c.text.layers, c.text.width, c.text.heads, c.text.mlp_width, c.text_act(), c.text_norm_eps(), false),
        mean{attention<B>{c.text.heads}},
        proj(c.text.hf.head, c.text.width, c.embed_dim, c.text.projection_bias),
        config(c.text),
        embed_dim(c.embed_dim) {
    expect(config.hf.positions >= config.context_length + config.hf.first_position(), [&] {
      return cat("text tower: expected ", config.context_length + config.hf.first_position(), " positions or more for texts of ",
                 config.context_length, " tokens, got ", config.hf.positions);
    });
  }
  void visit(auto& v) {
    const dim W = config.width;
    v("token_embedding.weight", token_embedding.weight, {config.vocab_size, W});
    v("positional_embedding", positional_embedding, {config.hf.positions, W});
    v("token_type_embedding", token_type_embedding, {config.hf.token_types, W});
    v("ln_embed", ln_embed);
    v("transformer", blocks);
    v("proj", proj);
  }

  struct saved {
    mat<const std::int32_t> ids, positions;  // (1, R)
    mat<T> e;                                // (R, W), the sum of the embeddings
    typename layernorm<B>::saved ln_embed;
    typename transformer<B, postnorm_block<B>>::saved blocks;
    typename mean_rows<B>::saved mean;
    typename projection_head<B>::saved proj;
  };

  /// Packed texts -> features (N, D).
  mat<T> forward(step<B>& s, const packed_texts& texts, saved& ctx) const {
    const bool all = config.pool == text_pool::mean;
    auto features = s.make(texts.count(), embed_dim);  // (N, D)
    scratch<B> here(s, s.kept == keep::nothing);
    auto x = embed(s, texts, ctx);  // (R, W)
    x = blocks.forward(s, x, sequences(s, texts.lengths, all ? pooled_row::none : pooled_row::first),
                       ctx.blocks);                                       // (R, W), (N, W)
    if (all) x = mean.forward(s, x, ctx.blocks.rows.inner.in, ctx.mean);  // (N, W)
    proj.forward(s, x, features, ctx.proj);
    return features;
  }

  /// dfeatures (N, D). Adds the gradients of the parameters to grad.
  void backward(step<B>& s, const saved& ctx, mat<const T> dfeatures, bert_text_tower& grad) const {
    scratch<B> here(s);
    const dim N = dfeatures.rows, R = ctx.ids.cols, W = config.width;
    auto dpooled = s.make(N, W), dx = s.make(R, W), de = s.make(R, W);  // (N, W), (R, W), (R, W)
    proj.backward(s, ctx.proj, dfeatures, grad.proj, dpooled);
    if (config.pool == text_pool::mean) {
      mean.backward(s, ctx.mean, dpooled, de);
      blocks.backward(s, ctx.blocks, de, grad.blocks, dx);
    } else {
      blocks.backward(s, ctx.blocks, dpooled, grad.blocks, dx);
    }
    ln_embed.backward(s, ctx.e, ctx.ln_embed, dx, grad.ln_embed, de);
    s.device.scatter_add_rows(mat<const T>(de), ctx.ids, grad.token_embedding.weight);
    s.device.scatter_add_rows(mat<const T>(de), ctx.positions, grad.positions_used());
    s.device.sum_rows(mat<const T>(de), grad.token_type_embedding.row_range(0, 1));
  }

 private:
  /// The rows of the table from the first token's.
  mat<T> positions_used() const {
    const dim first = config.hf.first_position();
    return positional_embedding.row_range(first, config.hf.positions - first);
  }

  /// ln_embed(token_embedding[ids] + positional_embedding[positions] + token_type_embedding[0]), (R, W).
  mat<T> embed(step<B>& s, const packed_texts& texts, saved& ctx) const {
    const dim R = static_cast<dim>(texts.ids.size()), W = config.width;
    ctx.ids = s.ids(texts.ids);
    ctx.positions = s.ids(texts.positions);
    ctx.ln_embed = ln_embed.make_saved(s, R);
    auto x = s.make(R, W);  // (R, W)
    scratch<B> here(s, s.kept == keep::nothing);
    ctx.e = s.make(R, W);
    scratch<B> inner(s);
    auto p = s.make(R, W);  // (R, W)
    token_embedding.forward(s, ctx.ids, texts.ids, ctx.e);
    s.device.gather_rows(positions_used(), ctx.positions, p);
    s.device.add(A(1), mat<const T>(p), A(1), ctx.e);
    s.device.add_rows(mat<const T>(token_type_embedding.row_range(0, 1)), ctx.e);
    ln_embed.forward(s, ctx.e, x, ctx.ln_embed);
    return x;
  }
};

}  // namespace clipx
