// The encoder of M2M-100 and NLLB (Fan et al. 2021; NLLB Team 2022) as a text tower, as open_clip has it in nllb-clip-*.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

#include "../core/packed_texts.hpp"
#include "block.hpp"
#include "embedding_table.hpp"
#include "hf_text.hpp"

namespace clipx {

/// Packed texts -> their first row after the blocks, which is the token of the language, or the mean of their rows -> the
/// projection. Padding is masked in every layer of the reference, so that a text without it has the same rows.
template <backend_types B>
struct m2m_text_tower {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  embedding_table<B> token_embedding;  // (vocabulary, W)
  transformer<B> blocks;               // not causal
  layernorm<B> ln_final;               // of the rows that leave
  mean_rows<B> mean;                   // text_pool::mean
  projection_head<B> proj;             // W to D columns

  text_config config;  // sizes
  dim embed_dim = 0;   // D

  m2m_text_tower() = default;
  /// Parameters of these sizes, without memory until bind(). Errors: those of projection_head.
  explicit m2m_text_tower(const clip_config& c)
      : blocks(c.text.layers, c.text.width, c.text.heads, c.text.mlp_width, c.text_act(), c.text_norm_eps(), false),
        ln_final(c.text.width, c.text_norm_eps()),
        mean{attention<B>{c.text.heads}},
        proj(c.text.hf.head, c.text.width, c.embed_dim),
        config(c.text),
        embed_dim(c.embed_dim) {}
  void visit(auto& v) {
    v("token_embedding.weight", token_embedding.weight, {config.vocab_size, config.width});
    v("transformer", blocks);
    v("ln_final", ln_final);
    v("proj", proj);
  }

  struct saved {
    mat<const std::int32_t> ids;  // (1, R)
    typename transformer<B>::saved blocks;
    mat<const T> x;  // (N, W), or (R, W) if their mean is pooled: after the blocks
    typename layernorm<B>::saved ln_final;
    typename mean_rows<B>::saved mean;
    typename projection_head<B>::saved proj;
  };

  /// Packed texts -> features (N, D).
  mat<T> forward(step<B>& s, const packed_texts& texts, saved& ctx) const {
    const bool all = config.pool == text_pool::mean;
    auto features = s.make(texts.count(), embed_dim);  // (N, D)
    scratch<B> here(s, s.kept == keep::nothing);
    auto x = embed(s, texts, ctx);  // (R, W)
    ctx.x =
        blocks.forward(s, x, sequences(s, texts.lengths, all ? pooled_row::none : pooled_row::first), ctx.blocks);  // (N or R, W)
    auto h = s.make(ctx.x.rows, config.width);                                                                      // (N or R, W)
    ctx.ln_final = ln_final.make_saved(s, ctx.x.rows);
    ln_final.forward(s, ctx.x, h, ctx.ln_final);
    if (all) h = mean.forward(s, h, ctx.blocks.rows.inner.in, ctx.mean);  // (N, W)
    proj.forward(s, h, features, ctx.proj);
    return features;
  }

  /// dfeatures (N, D). Adds the gradients of the parameters to grad.
  void backward(step<B>& s, const saved& ctx, mat<const T> dfeatures, m2m_text_tower& grad) const {
    scratch<B> here(s);
    const dim N = dfeatures.rows, R = ctx.ids.cols, W = config.width;
    auto dpooled = s.make(N, W), dh = dpooled, dx = s.make(R, W);  // (N, W), (N or R, W), (R, W)
    proj.backward(s, ctx.proj, dfeatures, grad.proj, dpooled);
    if (config.pool == text_pool::mean) {
      dh = s.make(R, W);
      mean.backward(s, ctx.mean, dpooled, dh);
    }
    auto dy = s.make(dh.rows, W);  // (N or R, W)
    ln_final.backward(s, ctx.x, ctx.ln_final, dh, grad.ln_final, dy);
    blocks.backward(s, ctx.blocks, dy, grad.blocks, dx);
    s.device.add(scale(), mat<const T>(dx), A(0), dx);
    s.device.scatter_add_rows(mat<const T>(dx), ctx.ids, grad.token_embedding.weight);
  }

 private:
  A scale() const { return A(std::sqrt(static_cast<double>(config.width))); }

  /// sqrt(W) token_embedding[ids] + sinusoids[positions], (R, W).
  mat<T> embed(step<B>& s, const packed_texts& texts, saved& ctx) const {
    const dim R = static_cast<dim>(texts.ids.size()), W = config.width;
    std::int32_t longest = 0;
    for (auto n : texts.lengths) longest = std::max(longest, n);
    const auto table = sinusoids(longest);
    ctx.ids = s.ids(texts.ids);
    auto x = s.make(R, W);  // (R, W)
    scratch<B> here(s);
    auto t = s.make(longest, W), p = s.make(R, W);  // (L, W), (R, W)
    s.device.upload(mat<const float>(table.data(), longest, W), t);
    s.device.gather_rows(mat<const T>(t), s.ids(texts.positions), p);
    token_embedding.forward(s, ctx.ids, texts.ids, x);
    s.device.add(A(1), mat<const T>(p), scale(), x);
    return x;
  }

  /// transformers' M2M100SinusoidalPositionalEmbedding, which is computed in float: row i has the sines of (pad_id + 1 + i) f_j,
  /// then the cosines, with f_j from 1 to 1 / 10,000.
  std::vector<float> sinusoids(dim rows) const {
    const dim W = config.width, half = W / 2;
    std::vector<float> out(static_cast<std::size_t>(rows * W), 0.0f);
    const double rate = std::log(10000.0) / static_cast<double>(half - 1);
    for (dim j = 0; j < half; ++j) {
      const float power = static_cast<float>(j) * static_cast<float>(-rate);
      const auto f = static_cast<float>(std::exp(static_cast<double>(power)));
      for (dim i = 0; i < rows; ++i) {
        const float angle = static_cast<float>(config.hf.pad_id + 1 + i) * f;
        out[static_cast<std::size_t>(i * W + j)] = static_cast<float>(std::sin(static_cast<double>(angle)));
        out[static_cast<std::size_t>(i * W + half + j)] = static_cast<float>(std::cos(static_cast<double>(angle)));
      }
    }
    return out;
  }
};

}  // namespace clipx
