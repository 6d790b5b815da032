// SigLIP's towers at a fixed resolution (Zhai et al. 2023; big_vision): an image tower without a class token, whose tokens are
// pooled by attention with a learned query, and a text tower that is not causal and pools the last position of padded texts.
#pragma once
#include "../core/config.hpp"
#include "block.hpp"
#include "text.hpp"

namespace clipx {

struct siglip_vit;  // architectures/siglip_vit.hpp

/// Sizes of the image tower; the defaults are those of B/16. Its features have `width` columns.
struct siglip_vit_config {
  using policy = siglip_vit;
  static constexpr std::string_view name = "SigLIP";
  dim image_size = 224;                                 // side in pixels
  dim patch_size = 16;                                  // side in pixels
  dim width = 768;                                      // of a token, and of the features
  dim heads = 12;                                       // attention heads of a block and of the pooling
  dim mlp_width = 3072;                                 // columns inside the MLP of a block and of the pooling
  dim layers = 12;                                      // blocks
  dim grid() const { return image_size / patch_size; }  // patches of a row and of a column
  dim patches() const { return grid() * grid(); }       // L
  friend bool operator==(const siglip_vit_config&, const siglip_vit_config&) = default;
};

/// Pooling by attention with a learned query (big_vision's MAPHead): h = attn(probe, x, x), y = h + mlp(ln(h)).
template <backend_types B>
struct latent_pool {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  mat<T> probe;                 // (1, W), what the query is made of
  linear<B> in_proj, out_proj;  // rows 0 .. W - 1 of in_proj are for the query, then k, then v
  attention<B> core;            // between the products
  layernorm<B> ln;              // before the MLP
  mlp_layers<B> mlp;            // the residual branch

  latent_pool() = default;
  /// Parameters of these sizes, without memory until bind().
  latent_pool(dim width, dim heads, dim mlp_width, activation f, double eps)
      : in_proj(width, 3 * width), out_proj(width, width), core{heads}, ln(width, eps), mlp(width, mlp_width, f) {}
  void visit(auto& v) {
    v("probe", probe, {1, 1, in_proj.in});
    v("in_proj_weight", in_proj.weight, {in_proj.out, in_proj.in});
    v("in_proj_bias", in_proj.bias, {in_proj.out});
    v("out_proj", out_proj);
    v("ln", ln);
    v("mlp", mlp);
  }

  struct saved {
    mat<const T> x;                               // (R, W)
    std::vector<std::int32_t> key_offsets, ones;  // host memory of the ranges
    attention_input<T> in;                        // views of q (N, W), the same for each image, and of k and v (R, W)
    mat<T> a, h, n;                               // (N, W): attention's output, out_proj(a), ln(h)
    typename attention<B>::saved core;
    typename layernorm<B>::saved ln;
    typename mlp_layers<B>::saved mlp;
  };

  /// N images of L rows each, x (N L, W) -> y (N, W).
  void forward(step<B>& s, mat<const T> x, dim N, mat<T> y, saved& ctx) const {
    const dim W = in_proj.in, R = x.rows;
    const auto each = [&](dim n) { return std::vector<std::int32_t>(static_cast<std::size_t>(N), static_cast<std::int32_t>(n)); };
    ctx.x = x;
    ctx.in.queries = s.ranges(each(1), ctx.ones);
    ctx.in.keys = s.ranges(each(R / N), ctx.key_offsets);
    auto q = s.make(N, W), kv = s.make(R, 2 * W);  // (N, W), (R, 2W)
    ctx.a = s.make(N, W), ctx.h = s.make(N, W), ctx.n = s.make(N, W);
    ctx.mlp.u = s.kept == keep::nothing ? mat<T>{} : s.make(N, mlp.c_fc.out);
    ctx.mlp.g = s.make(N, mlp.c_fc.out);
    ctx.core = core.make_saved(s, ctx.in.queries, ctx.in.keys);
    ctx.ln = ln.make_saved(s, N);
    in_proj.rows(0, W).forward(s, probe, q.row_range(0, 1));
    for (dim done = 1; done < N; done *= 2)  // the same query for every image
      s.device.copy(mat<const T>(q.row_range(0, std::min(done, N - done))), q.row_range(done, std::min(done, N - done)));
    in_proj.rows(W, 2 * W).forward(s, x, kv);
    ctx.in.q = q, ctx.in.k = kv.col_range(0, W), ctx.in.v = kv.col_range(W, W);
    core.forward(s, ctx.in, ctx.a, ctx.core);
    out_proj.forward(s, ctx.a, ctx.h);  // h = attn(probe, x, x)
    ln.forward(s, ctx.h, ctx.n, ctx.ln);
    mlp.forward(s, ctx.n, y, ctx.mlp, {.residual = ctx.h});  // y = h + mlp(ln(h))
  }
  /// dy (N, W). Adds the gradients of the parameters to grad; dx (N L, W) is overwritten.
  void backward(step<B>& s, const saved& ctx, mat<const T> dy, latent_pool& grad, mat<T> dx) const {
    scratch<B> here(s);
    const dim W = in_proj.in, N = dy.rows;
    auto dn = s.make(N, W), dh = s.make(N, W), da = s.make(N, W), dq = s.make(N, W);  // (N, W)
    auto dkv = s.make(dx.rows, 2 * W), dq1 = s.zeros(1, W), dprobe = s.make(1, W);    // (N L, 2W), (1, W), (1, W)
    mlp.backward(s, ctx.n, ctx.mlp, dy, grad.mlp, dn);
    ln.backward(s, ctx.h, ctx.ln, dn, grad.ln, dh, {.residual = dy});
    out_proj.backward(s, ctx.a, dh, grad.out_proj, da);
    core.backward(s, ctx.in, ctx.a, ctx.core, da, {.q = dq, .k = dkv.col_range(0, W), .v = dkv.col_range(W, W)});
    s.device.sum_rows(mat<const T>(dq), dq1);
    auto grad_q = grad.in_proj.rows(0, W), grad_kv = grad.in_proj.rows(W, 2 * W);
    in_proj.rows(0, W).backward(s, probe, dq1, grad_q, dprobe);
    in_proj.rows(W, 2 * W).backward(s, ctx.x, dkv, grad_kv, dx);
    s.device.add(A(1), mat<const T>(dprobe), A(1), grad.probe);
  }
};

/// timm's vision transformers vit_*_siglip_*; transformers' SiglipVisionModel.
template <backend_types B>
struct siglip_vision_tower {
  using T = scalar_t<B>;
  linear<B> conv1;              // of the patches, (W, 3 P P)
  mat<T> positional_embedding;  // (L, W)
  transformer<B> blocks;        // not causal
  layernorm<B> ln_post;         // of all tokens
  latent_pool<B> attn_pool;     // of L tokens to one row

  siglip_vit_config config;  // sizes

  siglip_vision_tower() = default;
  /// Parameters of these sizes, without memory until bind(). Errors: a patch size below 1, a width that is not that of the
  /// embedding.
  explicit siglip_vision_tower(const clip_config& c) : config(c.vision.as<siglip_vit_config>()) {
    expect(config.patch_size > 0, "siglip: expected a patch size above 0");
    expect(config.width == c.embed_dim,
           [&] { return cat("siglip: expected a width of ", c.embed_dim, ", as the embedding has, got ", config.width); });
    const dim W = config.width;
    conv1 = linear<B>(3 * config.patch_size * config.patch_size, W);
    blocks = transformer<B>(config.layers, W, config.heads, config.mlp_width, c.act, c.norm_eps, false);
    ln_post = layernorm<B>(W, c.norm_eps);
    attn_pool = latent_pool<B>(W, config.heads, config.mlp_width, c.act, c.norm_eps);
  }
  void visit(auto& v) {
    const dim P = config.patch_size, W = config.width;
    v("conv1.weight", conv1.weight, {W, 3, P, P});
    v("conv1.bias", conv1.bias, {W});
    v("positional_embedding", positional_embedding, {config.patches(), W});
    v("transformer", blocks);
    v("ln_post", ln_post);
    v("attn_pool", attn_pool);
  }

  struct saved {
    mat<T> patches;  // (N L, 3 P P)
    typename transformer<B>::saved blocks;
    mat<const T> x;  // (N L, W), after the blocks
    mat<T> h;        // (N L, W), ln_post(x)
    typename layernorm<B>::saved ln_post;
    typename latent_pool<B>::saved attn_pool;
  };

  /// Normalized pixels (N H W, 3) -> features (N, W). Errors: chosen patches, which this tower does not drop.
  mat<T> forward(step<B>& s, mat<const T> pixels, saved& ctx, bool /*training*/ = false,
                 std::span<const std::int32_t> chosen = {}) const {
    expect(chosen.empty(), error_kind::unsupported, "siglip: expected all patches: patch dropout is not supported");
    const dim n = config.image_size, L = config.patches();
    expect(pixels.cols == 3 && pixels.rows > 0 && pixels.rows % (n * n) == 0,
           [&] { return cat("siglip: expected pixels (N x ", n, " x ", n, ", 3), got (", pixels.rows, ", ", pixels.cols, ")"); });
    const dim N = pixels.rows / (n * n);
    auto features = s.make(N, config.width);  // (N, W)
    scratch<B> here(s, s.kept == keep::nothing);
    auto x = embed(s, pixels, N, ctx);  // (N L, W)
    const std::vector<std::int32_t> lengths(static_cast<std::size_t>(N), static_cast<std::int32_t>(L));
    ctx.x = blocks.forward(s, x, sequences(s, lengths, pooled_row::none), ctx.blocks);
    ctx.h = s.make(N * L, config.width);
    ctx.ln_post = ln_post.make_saved(s, N * L);
    ln_post.forward(s, ctx.x, ctx.h, ctx.ln_post);
    attn_pool.forward(s, ctx.h, N, features, ctx.attn_pool);
    return features;
  }

  /// dfeatures (N, W). Adds the gradients of the parameters to grad.
  void backward(step<B>& s, const saved& ctx, mat<const T> dfeatures, siglip_vision_tower& grad) const {
    scratch<B> here(s);
    const dim R = ctx.patches.rows, W = config.width;
    auto dh = s.make(R, W), dx = s.make(R, W);  // (N L, W)
    attn_pool.backward(s, ctx.attn_pool, dfeatures, grad.attn_pool, dh);
    ln_post.backward(s, ctx.x, ctx.ln_post, dh, grad.ln_post, dx);
    blocks.backward(s, ctx.blocks, dx, grad.blocks, dh);
    s.device.sum_rows(mat<const T>(dh), grad.positional_embedding);
    conv1.backward(s, ctx.patches, dh, grad.conv1);
  }

 private:
  /// The input of the blocks, (N L, W).
  mat<T> embed(step<B>& s, mat<const T> pixels, dim N, saved& ctx) const {
    const dim n = config.image_size, P = config.patch_size;
    const window patch{.height = n, .width = n, .channels = 3, .kernel = P, .stride = P};
    auto x = s.make(N * config.patches(), config.width);  // (N L, W)
    scratch<B> here(s, s.kept == keep::nothing);
    ctx.patches = s.make(x.rows, patch.patch());
    s.device.im2col(pixels, patch, ctx.patches);
    conv1.forward(s, ctx.patches, x);
    s.device.add_rows(positional_embedding, x);
    return x;
  }
};

/// The text tower: texts are packed whole, padding included, and every token sees every other.
template <backend_types B>
struct siglip_text_tower : text_trunk<B> {
  using T = scalar_t<B>;
  using trunk = text_trunk<B>;          // all but the projection
  using saved = typename trunk::saved;  // of the trunk
  linear<B> text_projection;            // W to D columns; without a projection no parameter

  siglip_text_tower() = default;
  /// Parameters of these sizes, without memory until bind(). Errors: without a projection, a width that is not that of the
  /// embedding.
  explicit siglip_text_tower(const clip_config& c) : trunk(c, false) {
    if (c.text.projection) text_projection = linear<B>(c.text.width, c.embed_dim);
    expect(c.text.projection || c.text.width == c.embed_dim, [&] {
      return cat("siglip: a text tower without a projection: expected a width of ", c.embed_dim, ", as the embedding has, got ",
                 c.text.width);
    });
  }
  void visit(auto& v) {
    const auto& c = this->config;
    v("positional_embedding", this->positional_embedding, {c.context_length, c.width});
    v("transformer", this->blocks);
    v("token_embedding.weight", this->token_embedding, {c.vocab_size, c.width});
    v("ln_final", this->ln_final);
    if (c.projection) v("text_projection", text_projection);
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
  void backward(step<B>& s, const saved& ctx, mat<const T> dfeatures, siglip_text_tower& grad) const {
    scratch<B> here(s);
    if (!this->config.projection) return this->run_backward(s, ctx, dfeatures, grad);
    auto dh = s.make(dfeatures.rows, this->config.width);  // (N, W)
    text_projection.backward(s, ctx.h, dfeatures, grad.text_projection, dh);
    this->run_backward(s, ctx, dh, grad);
  }
};

}  // namespace clipx
