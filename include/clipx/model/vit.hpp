// CLIP's vision transformer (docs/clip.md section 3; openai/CLIP's VisionTransformer):
// patches, class token, ln_pre, blocks, ln_post, proj.
#pragma once
#include "../core/config.hpp"
#include "block.hpp"

namespace clipx {

struct vit;  // architectures/vit.hpp

/// Sizes of the image tower; the defaults are those of ViT-B/32.
struct vit_config {
  using policy = vit;
  static constexpr std::string_view name = "ViT";
  extent image_size = 224;                                 // in pixels; a number is a square's side
  extent patch_size = 32;                                  // in pixels, likewise
  dim width = 768;                                         // of a token
  dim heads = 12;                                          // attention heads of a block
  dim mlp_width = 3072;                                    // columns inside the MLP of a block
  dim layers = 12;                                         // blocks
  extent grid() const { return image_size / patch_size; }  // patches of a column and of a row
  dim tokens() const { return grid().area() + 1; }         // L: the class token and the patches
  friend bool operator==(const vit_config&, const vit_config&) = default;
};

/// openai/CLIP's VisionTransformer.
template <backend_types B>
struct vision_transformer {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  mat<T> class_embedding;        // (1, W)
  mat<T> positional_embedding;   // (L, W), row 0 is for the class token
  mat<T> proj;                   // (W, D)
  mat<T> conv1;                  // (W, 3 P Q)
  layernorm<B> ln_pre, ln_post;  // before the blocks, and of the class token after them
  transformer<B> blocks;         // not causal

  vit_config config;  // sizes
  dim embed_dim = 0;  // D

  vision_transformer() = default;
  /// Parameters of these sizes, without memory until bind(). Errors: a patch size below 1.
  explicit vision_transformer(const clip_config& c) : config(c.vision.as<vit_config>()), embed_dim(c.embed_dim) {
    expect(config.patch_size.shorter() > 0, "vit: expected a patch size above 0");
    ln_pre = layernorm<B>(config.width, c.norm_eps);
    blocks = transformer<B>(config.layers, config.width, config.heads, config.mlp_width, c.act, c.norm_eps, false);
    ln_post = layernorm<B>(config.width, c.norm_eps);
  }
  /// Tokens per image, the class token first; patch dropout chooses from them.
  dim tokens() const { return config.tokens(); }
  void visit(auto& v) {
    const auto [P, Q] = config.patch_size;
    const dim W = config.width;
    v("class_embedding", class_embedding, {W});
    v("positional_embedding", positional_embedding, {config.tokens(), W});
    v("proj", proj, {W, embed_dim});
    v("conv1.weight", conv1, {W, 3, P, Q});
    v("ln_pre", ln_pre);
    v("transformer", blocks);
    v("ln_post", ln_post);
  }

  struct saved {
    mat<T> patches;                  // (N L, 3 P Q), the class token's rows are zero
    mat<const std::int32_t> chosen;  // (1, N L'), rows of the tokens kept; empty: all
    mat<T> x0;                       // (N L', W), before ln_pre
    mat<const T> pooled;             // (N, W), the class tokens after the blocks
    mat<T> h;                        // (N, W), ln_post(pooled)
    typename layernorm<B>::saved ln_pre, ln_post;
    typename transformer<B>::saved blocks;
  };

  /// Normalized pixels (N H W, 3) -> features (N, D). chosen: patch dropout (Li et al. 2023), the rows of the (N L) tokens that are
  /// kept, equally many per image, its class token first; empty: all.
  mat<T> forward(step<B>& s, mat<const T> pixels, saved& ctx, bool /*training*/ = false,
                 std::span<const std::int32_t> chosen = {}) const {
    const dim N = count(pixels), L = chosen.empty() ? config.tokens() : static_cast<dim>(chosen.size()) / N;
    expect(L > 0 && (chosen.empty() || L * N == static_cast<dim>(chosen.size())),
           "vit: expected the same number of chosen tokens for each image");
    auto features = s.make(N, embed_dim);  // (N, D)
    scratch<B> here(s, s.kept == keep::nothing);
    ctx.chosen = chosen.empty() ? mat<const std::int32_t>{} : s.ids(chosen);
    auto x = embed(s, pixels, ctx);                                                     // (N L', W)
    ctx.pooled = blocks.forward(s, x, images(s, N, L, pooled_row::first), ctx.blocks);  // (N, W)
    ctx.h = s.make(N, config.width);
    ctx.ln_post = ln_post.make_saved(s, N);
    ln_post.forward(s, ctx.pooled, ctx.h, ctx.ln_post);
    s.device.gemm(op::none, op::none, A(1), ctx.h, proj, A(0), features);
    return features;
  }

  /// All tokens after the blocks and ln_post, (N L, W): patch features; tests of pooling compare with it.
  mat<T> hidden(step<B>& s, mat<const T> pixels, saved& ctx) const {
    auto x = embed(s, pixels, ctx);
    auto y = blocks.forward(s, x, images(s, count(pixels), config.tokens(), pooled_row::none), ctx.blocks);
    auto h = s.make(y.rows, y.cols);
    ln_post.forward(s, y, h, {});
    return h;
  }

  /// dfeatures (N, D). Adds the gradients of the parameters to grad.
  void backward(step<B>& s, const saved& ctx, mat<const T> dfeatures, vision_transformer& grad) const {
    scratch<B> here(s);
    const dim N = dfeatures.rows, W = config.width, L = config.tokens(), R = ctx.x0.rows;
    auto dh = s.make(N, W), dpooled = s.make(N, W);      // (N, W)
    auto dx = s.make(R, W), dtokens = s.make(N * L, W);  // (N L', W), (N L, W)
    auto dx0 = ctx.chosen ? s.make(R, W) : dtokens;      // (N L', W)
    s.device.gemm(op::transpose, op::none, A(1), ctx.h, dfeatures, A(1), grad.proj);
    s.device.gemm(op::none, op::transpose, A(1), dfeatures, proj, A(0), dh);
    ln_post.backward(s, ctx.pooled, ctx.ln_post, dh, grad.ln_post, dpooled);
    blocks.backward(s, ctx.blocks, dpooled, grad.blocks, dx);
    ln_pre.backward(s, ctx.x0, ctx.ln_pre, dx, grad.ln_pre, dx0);
    if (ctx.chosen) {
      s.device.fill(dtokens, T(0));
      s.device.scatter_add_rows(dx0, ctx.chosen, dtokens);
    }
    s.device.sum_rows(dtokens, grad.positional_embedding);
    s.device.sum_rows(dtokens.every(L), grad.class_embedding);
    s.device.gemm(op::transpose, op::none, A(1), dtokens, ctx.patches, A(1), grad.conv1);
  }

 private:
  dim count(mat<const T> pixels) const {
    const extent n = config.image_size;
    expect(pixels.cols == 3 && pixels.rows > 0 && pixels.rows % n.area() == 0,
           [&] { return cat("vit: expected pixels (N x ", sides_of(n), ", 3), got (", pixels.rows, ", ", pixels.cols, ")"); });
    return pixels.rows / n.area();
  }
  /// N sequences of L tokens.
  sequences images(step<B>& s, dim N, dim L, pooled_row which) const {
    return {s, std::vector<std::int32_t>(static_cast<std::size_t>(N), static_cast<std::int32_t>(L)), which};
  }
  /// The input of the blocks, (N L', W). The patches leave the class token's row free: their product writes into the token matrix.
  mat<T> embed(step<B>& s, mat<const T> pixels, saved& ctx) const {
    const dim N = count(pixels), L = config.tokens(), W = config.width;
    const auto [height, width] = config.image_size;
    const auto [P, Q] = config.patch_size;
    const window patch{.height = height, .width = width, .channels = 3, .kernel = P, .stride = P, .lead = 1, .across = Q};
    const bool kept = s.kept != keep::nothing;
    const dim R = ctx.chosen ? ctx.chosen.cols : N * L;
    auto y = s.make(R, W);  // (N L', W)
    scratch<B> here(s, !kept);
    ctx.patches = s.make(N * L, patch.patch());
    ctx.x0 = kept ? s.make(R, W) : y;
    ctx.ln_pre = ln_pre.make_saved(s, R);
    auto x = ctx.chosen ? s.make(N * L, W) : ctx.x0;  // (N L, W)
    linear<B> patch_embedding(patch.patch(), W);
    patch_embedding.weight = conv1;
    s.device.im2col(pixels, patch, ctx.patches);
    s.device.fill(ctx.patches.every(L), T(0));
    patch_embedding.forward(s, ctx.patches, x);
    s.device.add_rows(class_embedding, x.every(L));
    s.device.add_rows(positional_embedding, x);
    if (ctx.chosen) s.device.gather_rows(x, ctx.chosen, ctx.x0);
    ln_pre.forward(s, ctx.x0, y, ctx.ln_pre);
    return y;
  }
};

}  // namespace clipx
