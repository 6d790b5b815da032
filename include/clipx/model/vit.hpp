// CLIP's vision transformer (paper section 2.4; openai/CLIP's VisionTransformer): patches, class token, ln_pre, blocks, ln_post,
// proj.
#pragma once
#include "block.hpp"
#include "config.hpp"

namespace clipx {

/// Encoder policy: clip<vit, Backend>.
struct vit {
  template <backend B>
  struct tower;
};

template <backend B>
struct vit::tower {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  mat<T> class_embedding;       // (1, W)
  mat<T> positional_embedding;  // (L, W), row 0 is the class token's
  mat<T> proj;                  // (W, D)
  mat<T> conv1;                 // (W, 3 P P)
  layernorm<B> ln_pre, ln_post;
  transformer<B> blocks;

  vision_config config;
  dim embed_dim = 0;

  tower() = default;
  explicit tower(const clip_config& c)
      : ln_pre(c.vision.width, c.norm_eps),
        ln_post(c.vision.width, c.norm_eps),
        blocks(c.vision.layers, c.vision.width, c.vision.heads, c.vision.mlp_width, c.act, c.norm_eps, false),
        config(c.vision),
        embed_dim(c.embed_dim) {
    expect(!config.is_resnet() && config.patch_size > 0,
           "vit: the configuration describes a ModifiedResNet; use clip<modified_resnet, ...>");
  }
  template <class V>
  void visit(V& v) {
    const dim P = config.patch_size, W = config.width;
    v("class_embedding", class_embedding, {W});
    v("positional_embedding", positional_embedding, {config.tokens(), W});
    v("proj", proj, {W, embed_dim});
    v("conv1.weight", conv1, {W, 3, P, P});
    v("ln_pre", ln_pre);
    v("transformer", blocks);
    v("ln_post", ln_post);
  }

  struct saved {
    std::vector<std::int32_t> offsets, ones;
    mat<T> patches;                  // (N L, 3 P P), the class token's rows are zero
    mat<const std::int32_t> chosen;  // (1, N L'), rows of the tokens that go on; empty: all
    mat<T> x0;                       // (N L', W), before ln_pre
    mat<const T> pooled;             // (N, W)
    mat<T> h;                        // (N, W)
    typename layernorm<B>::saved ln_pre, ln_post;
    typename transformer<B>::saved blocks;
  };

  /// Pixels (N H W, 3), normalised, to embeddings (N, D), not normalised. chosen: patch dropout (Li et al. 2023), the rows of the
  /// (N L) tokens that go on, as many of each picture, its class token first; empty: all.
  mat<T> forward(step<B>& s, mat<const T> pixels, saved& k, bool /*training*/ = false,
                 std::span<const std::int32_t> chosen = {}) const {
    const dim N = count(pixels), W = config.width, L = chosen.empty() ? config.tokens() : static_cast<dim>(chosen.size()) / N;
    expect(L > 0 && (chosen.empty() || L * N == static_cast<dim>(chosen.size())),
           "vit: expected as many chosen tokens of each picture");
    auto features = s.make(N, embed_dim);  // (N, D)
    scratch<B> here(s, s.kept == keep::nothing);
    if (!chosen.empty()) k.chosen = s.ids(chosen);
    auto x = embed(s, pixels, k);  // (N L, W)
    std::vector<std::int32_t> first(static_cast<std::size_t>(N)), one(static_cast<std::size_t>(N), 1);
    for (dim i = 0; i < N; ++i) first[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(i * L);
    pooled_rows pool{s.ids(first), s.ranges(one, k.ones)};
    k.pooled = blocks.forward(s, x, ranges(s, N, L, k), pool, k.blocks);  // (N, W)
    k.h = s.make(N, W);
    k.ln_post.stats = s.kept == keep::nothing ? mat<A>{} : s.make_accum(N, 2);
    ln_post.forward(s, k.pooled, k.h, k.ln_post);
    s.device.gemm(op::none, op::none, A(1), mat<const T>(k.h), mat<const T>(proj), A(0), features);
    return features;
  }

  /// All tokens after the blocks and ln_post, (N L, W): patch features; and what pruning is tested against.
  mat<T> tokens(step<B>& s, mat<const T> pixels, saved& k) const {
    auto x = embed(s, pixels, k);
    auto y = blocks.forward(s, x, ranges(s, count(pixels), config.tokens(), k), std::nullopt, k.blocks);
    auto h = s.make(y.rows, y.cols);
    ln_post.forward(s, mat<const T>(y), h, {});
    return h;
  }

  void backward(step<B>& s, const saved& k, mat<const T> dfeatures, tower& grad) const {
    scratch<B> here(s);
    const dim N = dfeatures.rows, W = config.width, R = N * config.tokens(), chosen = k.x0.rows;
    auto dh = s.make(N, W), dpooled = s.make(N, W);     // (N, W)
    auto dx = s.make(chosen, W), dx0 = s.make(R, W);    // (N L', W), (N L, W)
    auto dchosen = k.chosen ? s.make(chosen, W) : dx0;  // (N L', W)
    s.device.gemm(op::transpose, op::none, A(1), mat<const T>(k.h), dfeatures, A(1), grad.proj);
    s.device.gemm(op::none, op::transpose, A(1), dfeatures, mat<const T>(proj), A(0), dh);
    ln_post.backward(s, k.pooled, k.ln_post, mat<const T>(dh), grad.ln_post, dpooled);
    blocks.backward(s, k.blocks, mat<const T>(dpooled), grad.blocks, dx);
    ln_pre.backward(s, mat<const T>(k.x0), k.ln_pre, mat<const T>(dx), grad.ln_pre, dchosen);
    if (k.chosen) s.device.fill(dx0, T(0)), s.device.scatter_add_rows(mat<const T>(dchosen), k.chosen, dx0);
    s.device.sum_rows(mat<const T>(dx0), grad.positional_embedding);
    s.device.sum_rows(mat<const T>(dx0.every(config.tokens())), grad.class_embedding);
    s.device.gemm(op::transpose, op::none, A(1), mat<const T>(dx0), mat<const T>(k.patches), A(1), grad.conv1);
  }

 private:
  dim count(mat<const T> pixels) const {
    const dim n = config.image_size;
    expect(pixels.cols == 3 && pixels.rows > 0 && pixels.rows % (n * n) == 0,
           [&] { return cat("vit: expected pixels (N x ", n, " x ", n, ", 3), got (", pixels.rows, ", ", pixels.cols, ")"); });
    return pixels.rows / (n * n);
  }
  row_ranges ranges(step<B>& s, dim N, dim L, saved& k) const {
    return s.ranges(std::vector<std::int32_t>(static_cast<std::size_t>(N), static_cast<std::int32_t>(L)), k.offsets);
  }
  mat<T> embed(step<B>& s, mat<const T> pixels, saved& k) const {
    const dim N = count(pixels), L = config.tokens(), W = config.width, P = config.patch_size;
    const window w{config.image_size, config.image_size, 3, P, P, 0, 1};
    const bool kept = s.kept != keep::nothing;
    const dim R = k.chosen ? k.chosen.cols : N * L;
    auto x = s.make(R, W);  // (N L', W)
    scratch<B> here(s, !kept);
    k.patches = s.make(N * L, w.patch()), k.x0 = kept ? s.make(R, W) : x;
    k.ln_pre.stats = kept ? s.make_accum(R, 2) : mat<A>{};
    auto all = k.chosen ? s.make(N * L, W) : k.x0;  // (N L, W)
    s.device.im2col(pixels, w, k.patches);
    s.device.fill(k.patches.every(L), T(0));
    linear<B> patch_embedding(w.patch(), W);
    patch_embedding.weight = conv1;
    patch_embedding.forward(s, mat<const T>(k.patches), all);
    s.device.add_rows(mat<const T>(class_embedding), all.every(L));
    s.device.add_rows(mat<const T>(positional_embedding), all);
    if (k.chosen) s.device.gather_rows(mat<const T>(all), k.chosen, k.x0);
    ln_pre.forward(s, mat<const T>(k.x0), x, k.ln_pre);
    return x;
  }
};

}  // namespace clipx
