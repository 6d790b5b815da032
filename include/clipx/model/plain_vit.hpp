// The plain vision transformer (Dosovitskiy et al. 2021) with the choices of timm's and of open_clip's VisionTransformer: the class
// token and its position, norms, pooling, and the head. CLIP's own is vit.hpp.
#pragma once
#include <optional>

#include "../core/config.hpp"
#include "latent_pool.hpp"

namespace clipx {

struct plain_vit;  // architectures/plain_vit.hpp

/// How the tokens after the blocks become one row: the class token, the mean of the patches, or attention with a learned query.
enum class vit_pool { token, mean, attention };

/// What follows the pooled row: nothing, a matrix (open_clip's `proj`), or a linear layer, which is timm's own (`trunk.head`) or
/// open_clip's after a tower of timm's (`head.proj`).
enum class vit_head { none, matrix, trunk, after_trunk };

/// Sizes and choices of the image tower; the defaults are those of open_clip's B/16.
struct plain_vit_config {
  using policy = plain_vit;
  static constexpr std::string_view name = "PlainViT";
  extent image_size = 224;                 // in pixels; a number is a square's side
  extent patch_size = 16;                  // in pixels, likewise
  dim width = 768;                         // W, of a token
  dim heads = 12;                          // attention heads of a block, and of pooling by attention
  dim mlp_width = 3072;                    // columns inside the MLP of a block, and of pooling by attention
  dim layers = 12;                         // blocks
  bool class_token = true;                 // whether a class token stands before the patches
  bool class_position = true;              // whether the class token has a row in the position table
  bool position_table = true;              // whether there is such a table
  bool patch_bias = false;                 // whether the patches' projection has a bias
  bool norm_pre = true;                    // whether there is a norm before the blocks
  bool qkv_bias = true;                    // whether q, k and v have a bias
  std::optional<double> layer_scale = {};  // the factors of the blocks' LayerScale before training; none: no LayerScale
  bool norm_after_pool = false;            // whether the last norm is of the pooled row, else of all tokens
  vit_pool pool = vit_pool::token;         // how tokens become one row
  dim pool_heads = 0;                      // attention heads of pooling by attention; 0: as in a block
  dim pool_mlp_width = 0;                  // columns inside its MLP; 0: as in a block
  vit_head head = vit_head::matrix;        // what follows
  bool head_bias = false;                  // whether a linear head has a bias
  bool timm = false;                       // whether tensors have timm's names
  dim map_channels = 3;                    // of what is cut into patches, the pixels or what a stem makes of them
  dim map_stride = 1;                      // pixels of the image to one of that, in each direction
  dim map_kernel = 0;                      // side of the windows there that make a patch, padded by half of it; 0: that of a patch
  extent map_patch() const { return patch_size / map_stride; }                           // a patch there
  extent map_window() const { return map_kernel ? extent(map_kernel) : map_patch(); }    // the window that makes a patch
  extent grid() const { return image_size / patch_size; }                                // patches of a column and of a row
  dim patches() const { return grid().area(); }                                          // of an image
  dim tokens() const { return patches() + (class_token ? 1 : 0); }                       // L
  dim positions() const { return class_position ? tokens() : patches(); }                // rows of the position table
  dim heads_of_pool() const { return pool_heads ? pool_heads : heads; }                  // of pooling by attention
  dim mlp_width_of_pool() const { return pool_mlp_width ? pool_mlp_width : mlp_width; }  // likewise
  friend bool operator==(const plain_vit_config&, const plain_vit_config&) = default;
};

/// timm's and open_clip's VisionTransformer. Block: resblock or another with its members.
template <backend_types B, class Block = resblock<B>>
struct plain_vision_tower {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  linear<B> conv1;               // of the patches, (W, 3 P Q); P, Q: height and width of their windows
  mat<T> class_embedding;        // (1, W)
  mat<T> positional_embedding;   // (L, W), or (L - 1, W) if the class token has no position
  layernorm<B> ln_pre, ln_post;  // before the blocks; after them, before or after pooling
  transformer<B, Block> blocks;  // not causal
  latent_pool<B> attn_pool;      // of L tokens to one row
  linear<B> head;                // W to D columns

  plain_vit_config config;  // sizes
  dim embed_dim = 0;        // D

  plain_vision_tower() = default;
  /// Parameters of these sizes, without memory until bind(). Errors: a patch size below 1; without a head, a width that is not that
  /// of the embedding.
  explicit plain_vision_tower(const clip_config& c) : plain_vision_tower(c.vision.as<plain_vit_config>(), c) {}
  /// The same for sizes that another architecture's configuration holds.
  plain_vision_tower(const plain_vit_config& v, const clip_config& c)
      : plain_vision_tower(v, c, block_variant{.qkv_bias = v.qkv_bias, .layer_scale = v.layer_scale.has_value()}) {}
  /// The same with the choices that the kind of block has.
  plain_vision_tower(const plain_vit_config& v, const clip_config& c, const typename Block::variant& choices)
      : config(v), embed_dim(c.embed_dim) {
    const extent P = v.map_window();
    const dim W = v.width;
    expect(v.map_patch().shorter() > 0, "image tower: expected a patch size above 0");
    expect(v.head != vit_head::none || W == c.embed_dim, [&] {
      return cat("an image tower without a head: expected a width of ", c.embed_dim, ", as the embedding has, got ", W);
    });
    conv1 = linear<B>(v.map_channels * P.area(), W);
    ln_pre = layernorm<B>(W, c.norm_eps);
    blocks = transformer<B, Block>(v.layers, W, v.heads, v.mlp_width, c.act, c.norm_eps, false, choices);
    ln_post = layernorm<B>(W, c.norm_eps);
    if (v.pool == vit_pool::attention) attn_pool = latent_pool<B>(W, v.heads_of_pool(), v.mlp_width_of_pool(), c.act, c.norm_eps);
    if (v.head != vit_head::none) head = linear<B>(W, c.embed_dim);
  }
  void visit(auto& v) {
    const auto [P, Q] = config.map_window();
    const dim W = config.width;
    const auto name = [&](std::string_view ours) { return cat(config.timm ? "trunk." : "", ours); };
    v(name("conv1.weight"), conv1.weight, {W, config.map_channels, P, Q});
    if (config.patch_bias) v(name("conv1.bias"), conv1.bias, {W});
    if (config.class_token) v(name("class_embedding"), class_embedding, {W});
    if (config.position_table) v(name("positional_embedding"), positional_embedding, {config.positions(), W});
    if (config.norm_pre) v(name("ln_pre"), ln_pre);
    v(name("transformer"), blocks);
    v(name(config.timm && config.norm_after_pool ? "fc_norm" : "ln_post"), ln_post);
    if (config.pool == vit_pool::attention) v(name("attn_pool"), attn_pool);
    if (config.head == vit_head::none) return;
    if (config.head == vit_head::matrix) return v("proj", head.weight, {embed_dim, W});  // files hold its transpose
    const std::string of_head = config.head == vit_head::trunk ? name("head") : "head.proj";
    v(of_head + ".weight", head.weight, {embed_dim, W});
    if (config.head_bias) v(of_head + ".bias", head.bias, {embed_dim});
  }

  struct saved {
    mat<T> patches;  // (N L, 3 P Q), the class token's rows are zero
    mat<T> x0;       // (N L, W), before ln_pre
    mat<const T> x;  // (R, W), the rows that leave the blocks
    mat<const T> u;  // (R, W) or (N, W), the input of ln_post
    mat<T> h;        // ln_post(u)
    mat<T> pooled;   // (N, W)
    typename layernorm<B>::saved ln_pre, ln_post;
    typename transformer<B, Block>::saved blocks;
    typename latent_pool<B>::saved attn_pool;
  };

  /// Normalized pixels (N H W, 3) -> features (N, D). Errors: chosen patches, which this tower does not drop.
  mat<T> forward(step<B>& s, mat<const T> pixels, saved& ctx, bool /*training*/ = false,
                 std::span<const std::int32_t> chosen = {}) const {
    const dim N = count(pixels, chosen);
    auto features = s.make(N, embed_dim);  // (N, D)
    scratch<B> here(s, s.kept == keep::nothing);
    run(s, pixels, features, ctx);
    return features;
  }
  /// dfeatures (N, D). Adds the gradients of the parameters to grad.
  void backward(step<B>& s, const saved& ctx, mat<const T> dfeatures, plain_vision_tower& grad) const {
    run_backward(s, ctx, dfeatures, grad, {});
  }

 protected:
  /// The number of images.
  dim count(mat<const T> pixels, std::span<const std::int32_t> chosen) const {
    expect(chosen.empty(), error_kind::unsupported,
           "image tower: expected all patches: patch dropout is not supported by this architecture");
    const extent n = config.image_size;
    expect(pixels.cols == 3 && pixels.rows > 0 && pixels.rows % n.area() == 0, [&] {
      return cat("image tower: expected pixels (N x ", sides_of(n), ", 3), got (", pixels.rows, ", ", pixels.cols, ")");
    });
    return pixels.rows / n.area();
  }
  /// Which rows of an image leave the last block.
  pooled_row leaving() const {
    if (config.pool == vit_pool::token) return pooled_row::first;
    return config.pool == vit_pool::mean && config.class_token ? pooled_row::but_first : pooled_row::none;
  }
  /// map: what is cut into patches, the pixels or what a stem makes of them; more: what else the blocks read.
  void run(step<B>& s, mat<const T> map, mat<T> features, saved& ctx, const auto&... more) const {
    const dim N = features.rows;
    const std::vector<std::int32_t> lengths(static_cast<std::size_t>(N), static_cast<std::int32_t>(config.tokens()));
    auto x = embed(s, map, N, ctx);                                                       // (N L, W)
    ctx.x = blocks.forward(s, x, sequences(s, lengths, leaving()), ctx.blocks, more...);  // (R, W)
    ctx.pooled = config.head == vit_head::none ? features : s.make(N, config.width);
    pool(s, ctx);
    if (config.head != vit_head::none) head.forward(s, ctx.pooled, features);
  }
  /// dmap, what is cut into patches: overwritten; empty: not needed.
  void run_backward(step<B>& s, const saved& ctx, mat<const T> dfeatures, plain_vision_tower& grad, mat<T> dmap,
                    const auto&... more) const {
    scratch<B> here(s);
    const dim N = dfeatures.rows, W = config.width, L = config.tokens();
    auto dpooled = dfeatures;         // (N, W)
    auto dx = s.make(ctx.x.rows, W);  // (R, W)
    auto dtokens = s.make(N * L, W);  // (N L, W)
    if (config.head != vit_head::none) {
      auto dh = s.make(N, W);  // (N, W)
      head.backward(s, ctx.pooled, dfeatures, grad.head, dh);
      dpooled = dh;
    }
    pool_backward(s, ctx, dpooled, grad, dx);
    blocks.backward(s, ctx.blocks, dx, grad.blocks, dtokens, more...);
    embed_backward(s, ctx, dtokens, grad, dmap);
  }

 private:
  window patch_window() const {
    const auto [height, width] = config.image_size / config.map_stride;
    const auto [P, Q] = config.map_window();
    const auto stride = config.map_patch();
    return {.height = height,
            .width = width,
            .channels = config.map_channels,
            .kernel = P,
            .stride = stride.height,
            .pad = config.map_kernel / 2,
            .lead = config.class_token ? 1 : 0,
            .across = P == Q ? 0 : Q};
  }
  /// All patches of an image as one window of average pooling.
  window all_patches() const {
    const dim n = config.patches();
    return {.height = n, .width = 1, .channels = config.width, .kernel = n, .stride = n};
  }

  /// The rows that leave the blocks, ctx.x (R, W) -> ctx.pooled (N, W).
  void pool(step<B>& s, saved& ctx) const {
    const bool mean = config.pool == vit_pool::mean, norm_last = config.pool == vit_pool::token || (mean && config.norm_after_pool);
    ctx.u = ctx.x;
    if (mean && norm_last) {
      auto m = s.make(ctx.pooled.rows, config.width);  // (N, W)
      s.device.avgpool(ctx.x, all_patches(), m);
      ctx.u = m;
    }
    ctx.h = norm_last ? ctx.pooled : s.make(ctx.u.rows, config.width);
    ctx.ln_post = ln_post.make_saved(s, ctx.u.rows);
    ln_post.forward(s, ctx.u, ctx.h, ctx.ln_post);
    if (config.pool == vit_pool::attention) attn_pool.forward(s, ctx.h, ctx.pooled.rows, ctx.pooled, ctx.attn_pool);
    else if (!norm_last) s.device.avgpool(mat<const T>(ctx.h), all_patches(), ctx.pooled);
  }
  /// dpooled (N, W); dx (R, W) is overwritten.
  void pool_backward(step<B>& s, const saved& ctx, mat<const T> dpooled, plain_vision_tower& grad, mat<T> dx) const {
    scratch<B> here(s);
    const bool mean = config.pool == vit_pool::mean, norm_last = config.pool == vit_pool::token || (mean && config.norm_after_pool);
    auto dh = dpooled;  // of ctx.h
    if (!norm_last) {
      auto drows = s.make(dx.rows, dx.cols);  // (R, W)
      if (mean) s.device.avgpool_backward(dpooled, all_patches(), drows);
      else attn_pool.backward(s, ctx.attn_pool, dpooled, grad.attn_pool, drows);
      dh = drows;
    }
    auto du = mean && norm_last ? s.make(dpooled.rows, dx.cols) : dx;  // (N, W) or (R, W)
    ln_post.backward(s, ctx.u, ctx.ln_post, dh, grad.ln_post, du);
    if (mean && norm_last) s.device.avgpool_backward(mat<const T>(du), all_patches(), dx);
  }

  /// The input of the blocks, (N L, W). The patches leave the class token's row free: their product writes into the token matrix.
  mat<T> embed(step<B>& s, mat<const T> map, dim N, saved& ctx) const {
    const dim L = config.tokens(), W = config.width;
    const bool kept = s.kept != keep::nothing;
    auto y = s.make(N * L, W);  // (N L, W)
    scratch<B> here(s, !kept);
    ctx.patches = s.make(N * L, patch_window().patch());
    ctx.x0 = config.norm_pre && kept ? s.make(N * L, W) : y;
    auto x = ctx.x0;  // (N L, W)
    s.device.im2col(map, patch_window(), ctx.patches);
    if (config.class_token) s.device.fill(ctx.patches.every(L), T(0));
    conv1.forward(s, ctx.patches, x);
    if (config.class_token) {
      s.device.fill(x.every(L), T(0));  // where conv1's bias is
      s.device.add_rows(class_embedding, x.every(L));
    }
    add_positions(s, x);
    if (!config.norm_pre) return y;
    ctx.ln_pre = ln_pre.make_saved(s, N * L);
    ln_pre.forward(s, x, y, ctx.ln_pre);
    return y;
  }
  /// dy (N L, W) is overwritten.
  void embed_backward(step<B>& s, const saved& ctx, mat<T> dy, plain_vision_tower& grad, mat<T> dmap) const {
    const dim L = config.tokens();
    auto dx = config.norm_pre ? s.make(dy.rows, dy.cols) : dy;  // (N L, W)
    if (config.norm_pre) ln_pre.backward(s, ctx.x0, ctx.ln_pre, dy, grad.ln_pre, dx);
    add_positions_backward(s, dx, grad);
    if (config.class_token) {
      s.device.sum_rows(mat<const T>(dx.every(L)), grad.class_embedding);
      s.device.fill(dx.every(L), T(0));  // not of conv1
    }
    auto dpatches = dmap ? s.make(dx.rows, ctx.patches.cols) : mat<T>{};  // (N L, 3 P Q)
    conv1.backward(s, ctx.patches, dx, grad.conv1, dpatches);
    if (dmap) s.device.col2im(mat<const T>(dpatches), patch_window(), dmap);
  }

  /// x (N L, W) += the position table, which may lack the class token's row.
  void add_positions(step<B>& s, mat<T> x) const {
    if (!config.position_table) return;
    const dim first = config.tokens() - config.positions();
    if (first == 0) return s.device.add_rows(positional_embedding, x);
    scratch<B> here(s);
    auto table = s.zeros(config.tokens(), config.width);  // (L, W)
    s.device.copy(mat<const T>(positional_embedding), table.row_range(first, config.positions()));
    s.device.add_rows(mat<const T>(table), x);
  }
  void add_positions_backward(step<B>& s, mat<const T> dx, plain_vision_tower& grad) const {
    if (!config.position_table) return;
    const dim first = config.tokens() - config.positions();
    if (first == 0) return s.device.sum_rows(dx, grad.positional_embedding);
    scratch<B> here(s);
    auto dtable = s.zeros(config.tokens(), config.width);  // (L, W)
    s.device.sum_rows(dx, dtable);
    s.device.add(A(1), mat<const T>(dtable.row_range(first, config.positions())), A(1), grad.positional_embedding);
  }
};

}  // namespace clipx
