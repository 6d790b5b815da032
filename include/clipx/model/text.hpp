// CLIP's text tower on packed captions: no padding exists, because rows after end-of-text cannot be seen (spec section 4).
#pragma once
#include <span>

#include "block.hpp"
#include "config.hpp"

namespace clipx {

/// Captions cut after the row that is pooled and put one after another; host memory.
struct packed_texts {
  std::vector<std::int32_t> ids;        // all tokens
  std::vector<std::int32_t> positions;  // of each token in its caption
  std::vector<std::int32_t> lengths;    // of each caption

  dim count() const { return static_cast<dim>(lengths.size()); }

  /// Rows of ids as a tokenizer gives them, padded or not. Errors: an empty row, more than context_length tokens, an id
  /// outside the vocabulary.
  static packed_texts pack(std::span<const std::vector<std::int32_t>> rows, const text_config& c);
  /// Index of the row that is the caption's embedding.
  static std::size_t pooled(std::span<const std::int32_t> row, const text_config& c);
};

template <backend B>
struct text_tower {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  mat<T> token_embedding;       // (vocabulary, W)
  mat<T> positional_embedding;  // (context, W)
  transformer<B> blocks;
  layernorm<B> ln_final;
  mat<T> text_projection;  // (W, D)

  text_config config;
  dim embed_dim = 0;

  text_tower() = default;
  explicit text_tower(const clip_config& c)
      : blocks(c.text.layers, c.text.width, c.text.heads, c.text.mlp_width, c.act, c.norm_eps, true),
        ln_final(c.text.width, c.norm_eps),
        config(c.text),
        embed_dim(c.embed_dim) {}
  template <class V>
  void visit(V& v) {
    v("positional_embedding", positional_embedding, {config.context_length, config.width});
    v("text_projection", text_projection, {config.width, embed_dim});
    v("transformer", blocks);
    v("token_embedding.weight", token_embedding, {config.vocab_size, config.width});
    v("ln_final", ln_final);
  }

  struct saved {
    std::vector<std::int32_t> offsets, ones;
    mat<const std::int32_t> ids, positions;
    typename transformer<B>::saved blocks;
    mat<const T> pooled;  // (N, W)
    mat<T> h;             // (N, W)
    typename layernorm<B>::saved ln_final;
  };

  /// Embeddings (N, D), not normalised.
  mat<T> forward(step<B>& s, const packed_texts& texts, saved& k) const {
    const dim N = texts.count();
    auto features = s.make(N, embed_dim);  // (N, D)
    scratch<B> here(s, s.kept == keep::nothing);
    auto x = embed(s, texts, k);  // (R, W)
    auto rows = s.ranges(texts.lengths, k.offsets);
    std::vector<std::int32_t> last(k.offsets.begin() + 1, k.offsets.end()), one(static_cast<std::size_t>(N), 1);
    for (auto& r : last) --r;
    pooled_rows pool{s.ids(last), s.ranges(one, k.ones)};
    k.pooled = blocks.forward(s, x, rows, pool, k.blocks);  // (N, W)
    k.h = s.make(N, config.width);
    k.ln_final.stats = s.kept == keep::nothing ? mat<A>{} : s.make_accum(N, 2);
    ln_final.forward(s, k.pooled, k.h, k.ln_final);
    s.device.gemm(op::none, op::none, A(1), mat<const T>(k.h), mat<const T>(text_projection), A(0), features);
    return features;
  }

  /// All rows after ln_final, (R, W): what pooling and packing are tested against.
  mat<T> hidden(step<B>& s, const packed_texts& texts, saved& k) const {
    auto x = embed(s, texts, k);
    auto y = blocks.forward(s, x, s.ranges(texts.lengths, k.offsets), std::nullopt, k.blocks);
    auto h = s.make(y.rows, y.cols);
    ln_final.forward(s, mat<const T>(y), h, {});
    return h;
  }

  void backward(step<B>& s, const saved& k, mat<const T> dfeatures, text_tower& grad) const {
    scratch<B> here(s);
    const dim N = dfeatures.rows, R = k.blocks.rows.rows(), W = config.width;
    auto dh = s.make(N, W), dpooled = s.make(N, W);  // (N, W)
    auto dx = s.make(R, W);                          // (R, W)
    s.device.gemm(op::transpose, op::none, A(1), mat<const T>(k.h), dfeatures, A(1), grad.text_projection);
    s.device.gemm(op::none, op::transpose, A(1), dfeatures, mat<const T>(text_projection), A(0), dh);
    ln_final.backward(s, k.pooled, k.ln_final, mat<const T>(dh), grad.ln_final, dpooled);
    blocks.backward(s, k.blocks, mat<const T>(dpooled), grad.blocks, dx);
    s.device.scatter_add_rows(mat<const T>(dx), k.ids, grad.token_embedding);
    s.device.scatter_add_rows(mat<const T>(dx), k.positions, grad.positional_embedding);
  }

 private:
  mat<T> embed(step<B>& s, const packed_texts& texts, saved& k) const {
    const dim R = static_cast<dim>(texts.ids.size());
    k.ids = s.ids(texts.ids), k.positions = s.ids(texts.positions);
    auto x = s.make(R, config.width);  // (R, W)
    {
      scratch<B> here(s);
      auto p = s.make(R, config.width);  // (R, W)
      s.device.gather_rows(mat<const T>(token_embedding), k.ids, x);
      s.device.gather_rows(mat<const T>(positional_embedding), k.positions, p);
      s.device.add(A(1), mat<const T>(p), A(1), x);
    }
    return x;
  }
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "text-inl.hpp"
#endif
