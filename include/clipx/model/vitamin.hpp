// ViTamin (Chen et al. 2024, "ViTamin: Designing Scalable Vision Models in the Vision-Language Era") as timm builds it: a stem and
// two stages of MBConv blocks, whose map becomes the tokens of a vision transformer with GeGLU. Maps are (N H W, C) rows, so
// LayerNorm over the channels and convolutions of 1 x 1 are those of transformers.
#pragma once
#include <array>

#include "../ops/depthwise_conv.hpp"
#include "plain_vit.hpp"

namespace clipx {

struct vitamin;  // architectures/vitamin.hpp

/// Sizes of the image tower; the defaults are those of vitamin_small_224. Activations are the exact GELU and the epsilon of every
/// LayerNorm is 1e-6, whatever clip_config says: that is the text tower's alone. A token has 16 pixels.
struct vitamin_config {
  using policy = vitamin;
  static constexpr std::string_view name = "ViTamin";
  dim image_size = 224;                     // side in pixels
  dim stem_width = 64;                      // channels of the stem
  std::array<dim, 2> depths{2, 4};          // MBConv blocks of each stage
  std::array<dim, 2> widths{64, 128};       // channels of each stage
  dim width = 384;                          // W, of a token
  dim layers = 14;                          // transformer blocks
  dim heads = 6;                            // attention heads of a block
  dim mlp_width = 768;                      // M, columns of the gate, and of what it gates
  bool position_table = true;               // whether positions are added to the tokens
  bool head_bias = false;                   // whether the projection has a bias
  static constexpr double norm_eps = 1e-6;  // of every LayerNorm
  /// Channels inside an MBConv block: four times its own, in multiples of 8.
  static dim inner(dim channels) { return (4 * channels + 4) / 8 * 8; }
  /// All behind the stages.
  plain_vit_config plain() const {
    return {.image_size = image_size,
            .patch_size = 16,
            .width = width,
            .heads = heads,
            .mlp_width = mlp_width,
            .layers = layers,
            .class_token = false,
            .position_table = position_table,
            .patch_bias = true,
            .norm_pre = false,
            .norm_after_pool = true,
            .pool = vit_pool::mean,
            .head = vit_head::after_trunk,
            .head_bias = head_bias,
            .timm = true,
            .map_channels = widths[1],
            .map_stride = 8,
            .map_kernel = 3};
  }
  friend bool operator==(const vitamin_config&, const vitamin_config&) = default;
};

/// GeGLU (Shazeer 2020, "GLU Variants Improve Transformer") behind a norm: y = c_proj(act(u) v), (u, v) = c_fc(norm(x)).
template <backend_types B>
struct gated_layers {
  using T = scalar_t<B>;
  layernorm<B> norm;                  // before the two products
  linear<B> c_fc, c_proj;             // W to 2 M columns, those of u first; M to W
  activation act = activation::gelu;  // of u

  gated_layers() = default;
  /// Parameters of these sizes, without memory until bind().
  gated_layers(dim width, dim mlp_width, activation f)
      : norm(width, vitamin_config::norm_eps), c_fc(width, 2 * mlp_width), c_proj(mlp_width, width), act(f) {}
  void visit(auto& v) {
    v("norm", norm);
    v("c_fc", c_fc);
    v("c_proj", c_proj);
  }

  struct saved {
    mat<T> n, uv, g;  // (Q, W), norm(x); (Q, 2 M), c_fc(n); (Q, M), act(u) v
    typename layernorm<B>::saved norm;
  };
  ///@{
  /// As in mlp_layers.
  void make_kept(step<B>& s, dim Q, saved& ctx) const {
    ctx.uv = s.make(Q, c_fc.out);
    ctx.norm = norm.make_saved(s, Q);
  }
  void make_recomputed(step<B>& s, dim Q, saved& ctx) const {
    ctx.n = s.make(Q, c_fc.in);
    ctx.g = s.make(Q, c_proj.in);
  }
  void recompute(step<B>& s, mat<const T> x, const saved& ctx) const {
    norm.forward(s, x, ctx.n, ctx.norm);
    s.device.glu(act, u(ctx.uv), v(ctx.uv), ctx.g);
  }
  ///@}

  /// Empty y: only computes what the backward pass needs.
  void forward(step<B>& s, mat<const T> x, mat<T> y, const saved& ctx, const epilogue<T>& e = {}) const {  // (Q, W) -> (Q, W)
    norm.forward(s, x, ctx.n, ctx.norm);
    c_fc.forward(s, ctx.n, ctx.uv);
    s.device.glu(act, u(ctx.uv), v(ctx.uv), ctx.g);
    if (y) c_proj.forward(s, ctx.g, y, e);
  }
  /// dy (Q, W). Adds the gradients of the parameters to grad; dx (Q, W) is overwritten.
  void backward(step<B>& s, mat<const T> x, const saved& ctx, mat<const T> dy, gated_layers& grad, mat<T> dx) const {
    scratch<B> here(s);
    auto dg = s.make(dy.rows, c_proj.in), duv = s.make(dy.rows, c_fc.out);  // (Q, M), (Q, 2 M)
    auto dn = s.make(dy.rows, c_fc.in);                                     // (Q, W)
    c_proj.backward(s, ctx.g, dy, grad.c_proj, dg);
    s.device.glu_backward(act, u(ctx.uv), v(ctx.uv), dg, u(duv), v(duv));
    c_fc.backward(s, ctx.n, duv, grad.c_fc, dn);
    norm.backward(s, x, ctx.norm, dn, grad.norm, dx);
  }

 private:
  mat<T> u(mat<T> uv) const { return uv.col_range(0, c_proj.in); }
  mat<T> v(mat<T> uv) const { return uv.col_range(c_proj.in, c_proj.in); }
};

/// y = conv2(gelu(norm1(conv1(x)))), 3 x 3 each, the first with stride 2.
template <backend_types B>
struct vitamin_stem {
  using T = scalar_t<B>;
  convolution<B> conv1, conv2;  // 3 to C channels, C to C
  layernorm<B> norm1;           // over the channels of a pixel

  vitamin_stem() = default;
  /// Parameters of these sizes, without memory until bind().
  explicit vitamin_stem(dim channels)
      : conv1(3, channels, 3, 2), conv2(channels, channels, 3), norm1(channels, vitamin_config::norm_eps) {}
  void visit(auto& v) {
    v("conv1", conv1);
    v("norm1", norm1);
    v("conv2", conv2);
  }

  struct saved {
    feature_map<T> x, u;  // (N H W, 3); (N H' W', C), conv1(x)
    mat<T> n, g;          // (N H' W', C): norm1(u), gelu(n)
    typename layernorm<B>::saved norm1;
  };

  /// x (N H W, 3) -> y (N H' W', C).
  void forward(step<B>& s, const feature_map<T>& x, mat<T> y, saved& ctx) const {
    scratch<B> all(s, s.kept == keep::nothing);
    auto u = s.make(y.rows, conv1.out);  // (N H' W', C)
    ctx.x = x;
    ctx.u = conv1.forward(s, x, u);
    ctx.norm1 = norm1.make_saved(s, u.rows);
    scratch<B> recomputed(s, s.kept != keep::everything);
    run(s, ctx);
    conv2.forward(s, {ctx.g, ctx.u.height, ctx.u.width}, y);
  }
  /// dy (N H' W', C).
  void backward(step<B>& s, saved ctx, mat<const T> dy, vitamin_stem& grad) const {
    scratch<B> here(s);
    if (s.kept != keep::everything) run(s, ctx);
    auto dn = s.make(dy.rows, dy.cols), du = s.make(dy.rows, dy.cols);  // (N H' W', C)
    conv2.backward(s, {ctx.g, ctx.u.height, ctx.u.width}, dy, grad.conv2, dn);
    s.device.unary_backward(activation::gelu, ctx.n, mat<const T>(dn), dn);
    norm1.backward(s, ctx.u.rows, ctx.norm1, dn, grad.norm1, du);
    conv1.backward(s, ctx.x, du, grad.conv1);
  }

 private:
  void run(step<B>& s, saved& ctx) const {
    ctx.n = s.make(ctx.u.rows.rows, norm1.width);
    ctx.g = s.kept == keep::nothing ? ctx.n : s.make(ctx.n.rows, norm1.width);
    norm1.forward(s, ctx.u.rows, ctx.n, ctx.norm1);
    s.device.unary(activation::gelu, ctx.n, ctx.g);
  }
};

/// y = shortcut(x) + conv3(gelu(conv2(gelu(conv1(pre_norm(x)))))). With stride 2 the shortcut is the mean of 3 x 3 pixels, and a
/// convolution of 1 x 1 if the channels change; else it is x.
template <backend_types B>
struct mbconv_block {
  using T = scalar_t<B>;
  layernorm<B> pre_norm;    // over the channels of a pixel
  linear<B> conv1, conv3;   // 1 x 1: in to M channels, M to C; M is about 4 C
  depthwise_conv<B> conv2;  // 3 x 3
  linear<B> expand;         // 1 x 1: in to C channels
  bool has_expand = false;  // whether the channels change

  mbconv_block() = default;
  /// Parameters of these sizes, without memory until bind(). Errors: other channels without a stride.
  mbconv_block(dim in, dim channels, dim stride)
      : pre_norm(in, vitamin_config::norm_eps),
        conv1(in, vitamin_config::inner(channels)),
        conv3(conv1.out, channels),
        conv2(conv1.out, 3, stride),
        expand(in, channels),
        has_expand(in != channels) {
    expect(stride == 2 || !has_expand, "mbconv_block: expected stride 2 where the channels change");
  }
  void visit(auto& v) {
    const auto pointwise = [&](const std::string& name, linear<B>& conv) {
      v(name + ".weight", conv.weight, {conv.out, conv.in, 1, 1});
      v(name + ".bias", conv.bias, {conv.out});
    };
    if (has_expand) pointwise("shortcut.expand", expand);
    v("pre_norm", pre_norm);
    pointwise("conv1_1x1", conv1);
    v("conv2_kxk", conv2);
    pointwise("conv3_1x1", conv3);
  }

  struct saved {
    feature_map<T> x;       // (N H W, in)
    mat<T> h, u1, g1;       // (N H W, in), pre_norm(x); (N H W, M): conv1(h), gelu(u1)
    mat<T> u2, g2, pooled;  // (N H' W', M): conv2(g1), gelu(u2); (N H' W', in), the mean of 3 x 3 pixels
    typename layernorm<B>::saved pre_norm;
  };

  /// Side of the maps that leave, from that of those that enter.
  dim side_after(dim side) const { return conv2.over(side, side).out_height(); }

  /// x (N H W, in) -> y (N H' W', C).
  void forward(step<B>& s, const feature_map<T>& x, mat<T> y, saved& ctx) const {
    ctx.x = x;
    scratch<B> all(s, s.kept == keep::nothing || s.kept == keep::inputs);
    make_kept(s, ctx);
    scratch<B> recomputed(s, s.kept != keep::everything);
    make_recomputed(s, ctx);
    run(s, ctx);
    if (conv2.stride == 1) return conv3.forward(s, ctx.g2, y, {.residual = x.rows});
    const scratch<B> here(s);
    auto shortcut = s.make(y.rows, y.cols);  // (N H' W', C)
    s.device.avgpool(x.rows, pools(ctx), has_expand ? ctx.pooled : shortcut);
    if (has_expand) expand.forward(s, ctx.pooled, shortcut);
    conv3.forward(s, ctx.g2, y, {.residual = shortcut});
  }

  /// dy (N H' W', C); dx (N H W, in) is overwritten.
  void backward(step<B>& s, saved ctx, mat<const T> dy, mbconv_block& grad, mat<T> dx) const {
    scratch<B> here(s);
    recompute(s, ctx);
    auto d2 = s.make(dy.rows, conv1.out), d1 = s.make(dx.rows, conv1.out);  // (N H' W', M), (N H W, M)
    auto dh = s.make(dx.rows, dx.cols);                                     // (N H W, in)
    conv3.backward(s, ctx.g2, dy, grad.conv3, d2);
    s.device.unary_backward(activation::gelu, ctx.u2, mat<const T>(d2), d2);
    conv2.backward(s, {ctx.g1, ctx.x.height, ctx.x.width}, d2, grad.conv2, d1);
    s.device.unary_backward(activation::gelu, ctx.u1, mat<const T>(d1), d1);
    conv1.backward(s, ctx.h, d1, grad.conv1, dh);
    pre_norm.backward(s, ctx.x.rows, ctx.pre_norm, dh, grad.pre_norm, dx, {.residual = shortcut_backward(s, ctx, dy, grad)});
  }

 private:
  window pools(const saved& ctx) const { return ctx.x.pools(3, 2, 1); }
  void run(step<B>& s, const saved& ctx) const {
    pre_norm.forward(s, ctx.x.rows, ctx.h, ctx.pre_norm);
    conv1.forward(s, ctx.h, ctx.g1, {.f = activation::gelu, .pre = ctx.u1});
    conv2.forward(s, {ctx.g1, ctx.x.height, ctx.x.width}, ctx.u2);
    s.device.unary(activation::gelu, ctx.u2, ctx.g2);
  }
  /// The gradient of x through the shortcut, (N H W, in).
  mat<const T> shortcut_backward(step<B>& s, const saved& ctx, mat<const T> dy, mbconv_block& grad) const {
    if (conv2.stride == 1) return dy;
    auto dpooled = dy;  // (N H' W', in)
    if (has_expand) {
      auto d = s.make(dy.rows, expand.in);
      expand.backward(s, ctx.pooled, dy, grad.expand, d);
      dpooled = d;
    }
    auto dx = s.make(ctx.x.rows.rows, expand.in);  // (N H W, in)
    s.device.avgpool_backward(dpooled, pools(ctx), dx);
    return dx;
  }
  // As in resblock: keep::selective holds make_kept() and repeats make_recomputed(), keep::inputs repeats both.
  void make_kept(step<B>& s, saved& ctx) const {
    ctx.pre_norm = pre_norm.make_saved(s, ctx.x.rows.rows);
    ctx.u1 = s.kept == keep::nothing ? mat<T>{} : s.make(ctx.x.rows.rows, conv1.out);
    ctx.u2 = s.make(ctx.x.images() * conv2.over(ctx.x.height, ctx.x.width).out_rows(), conv1.out);
  }
  void make_recomputed(step<B>& s, saved& ctx) const {  // outputs of norm and activations, and what is pooled
    ctx.h = s.make(ctx.x.rows.rows, conv1.in);
    ctx.g1 = s.make(ctx.x.rows.rows, conv1.out);
    ctx.g2 = s.kept == keep::nothing ? ctx.u2 : s.make(ctx.u2.rows, conv1.out);
    if (has_expand) ctx.pooled = s.make(ctx.u2.rows, expand.in);
  }
  void recompute(step<B>& s, saved& ctx) const {
    if (s.kept == keep::everything) return;
    if (s.kept == keep::inputs) make_kept(s, ctx);
    make_recomputed(s, ctx);
    if (has_expand) s.device.avgpool(ctx.x.rows, pools(ctx), ctx.pooled);
    if (s.kept == keep::inputs) return run(s, ctx);
    pre_norm.forward(s, ctx.x.rows, ctx.h, ctx.pre_norm);
    s.device.unary(activation::gelu, ctx.u1, ctx.g1);
    s.device.unary(activation::gelu, ctx.u2, ctx.g2);
  }
};

/// timm's ViTamin without its classifier, and open_clip's projection. A token is made of 3 x 3 pixels of the last map, two apart;
/// the mean of the tokens is normed and projected.
template <backend_types B>
struct vitamin_tower : plain_vision_tower<B, resblock<B, gated_layers<B>>> {
  using T = scalar_t<B>;
  using plain = plain_vision_tower<B, resblock<B, gated_layers<B>>>;  // all behind the stages
  vitamin_stem<B> stem;                                               // half the height and width
  std::array<std::vector<mbconv_block<B>>, 2> stages;                 // each halves them again, in its first block
  layernorm<B> map_norm;                                              // over the channels of the last map

  vitamin_tower() = default;
  /// Parameters of these sizes, without memory until bind(). Errors: those of plain_vision_tower; a stage
  /// without blocks.
  explicit vitamin_tower(const clip_config& c) : plain(c.vision.as<vitamin_config>().plain(), of_tokens(c)) {
    const auto& v = c.vision.as<vitamin_config>();
    expect(v.depths[0] > 0 && v.depths[1] > 0, "vitamin: expected a block or more in each stage");
    stem = vitamin_stem<B>(v.stem_width);
    dim in = v.stem_width;
    for (std::size_t i = 0; i < 2; ++i)
      for (dim d = 0; d < v.depths[i]; ++d) {
        stages[i].emplace_back(in, v.widths[i], d ? 1 : 2);
        in = v.widths[i];
      }
    map_norm = {in, vitamin_config::norm_eps};
  }
  void visit(auto& v) {
    v("trunk.stem", stem);
    v("trunk.stages.0", stages[0]);
    v("trunk.stages.1", stages[1]);
    v("trunk.pool.norm", map_norm);
    plain::visit(v);
  }

  struct saved {
    typename vitamin_stem<B>::saved stem;
    std::array<std::vector<typename mbconv_block<B>::saved>, 2> stages;  // of each block
    mat<const T> map;                                                    // (N n/8 n/8, C), what leaves the stages
    typename layernorm<B>::saved map_norm;
    typename plain::saved tokens;
  };

  /// Normalized pixels (N n n, 3) -> features (N, D). Errors: chosen patches.
  mat<T> forward(step<B>& s, mat<const T> pixels, saved& ctx, bool /*training*/ = false,
                 std::span<const std::int32_t> chosen = {}) const {
    const dim N = this->count(pixels, chosen), n = this->config.image_size.height, pooled = n / 8 * (n / 8);
    auto features = s.make(N, this->embed_dim);  // (N, D)
    scratch<B> here(s, s.kept == keep::nothing);
    auto map = s.make(N * pooled, map_norm.width);  // (N n/8 n/8, C)
    const dim each = s.kept == keep::nothing ? images_at_once(N) : N;
    for (dim first = 0; first < N; first += each) {
      const dim some = std::min(each, N - first);
      convolve(s, pixels.row_range(first * n * n, some * n * n), map.row_range(first * pooled, some * pooled), ctx);
    }
    this->run(s, map, features, ctx.tokens);
    return features;
  }
  /// dfeatures (N, D). Adds the gradients of the parameters to grad.
  void backward(step<B>& s, const saved& ctx, mat<const T> dfeatures, vitamin_tower& grad) const {
    expect(s.kept != keep::nothing, "backward: the forward pass kept nothing; make the step with another keep");
    scratch<B> here(s);
    auto dmap = s.make(ctx.map.rows, ctx.map.cols), dx = s.make(ctx.map.rows, ctx.map.cols);  // (N n/8 n/8, C)
    this->run_backward(s, ctx.tokens, dfeatures, grad, dmap);
    map_norm.backward(s, ctx.map, ctx.map_norm, dmap, grad.map_norm, dx);
    for (std::size_t i = 2; i-- > 0;)
      for (std::size_t d = stages[i].size(); d-- > 0;) {
        const auto& x = ctx.stages[i][d].x.rows;  // (N H W, in)
        auto dy = dx;
        dx = s.make(x.rows, x.cols);
        stages[i][d].backward(s, ctx.stages[i][d], dy, grad.stages[i][d], dx);
      }
    stem.backward(s, ctx.stem, dx, grad.stem);
  }

 private:
  /// The text tower's activation and epsilon are not those of the blocks.
  static clip_config of_tokens(clip_config c) {
    c.act = activation::gelu;
    c.norm_eps = vitamin_config::norm_eps;
    return c;
  }
  /// Where memory is the processor's, as many images go through the stages at a time as its caches hold of their largest maps.
  dim images_at_once(dim N) const {
    const dim side = this->config.image_size.height / 2, largest = side * side * stages[0].front().conv1.out;
    return B::host_memory ? std::max<dim>(1, (dim{1} << 20) / largest) : N;
  }
  /// Pixels (N n n, 3) -> map (N n/8 n/8, C), map_norm(stages(stem(pixels))).
  void convolve(step<B>& s, mat<const T> pixels, mat<T> map, saved& ctx) const {
    const dim n = this->config.image_size.height, N = pixels.rows / (n * n);
    scratch<B> here(s, s.kept == keep::nothing);
    dim side = n / 2;
    auto x = s.make(N * side * side, stem.conv2.out);  // (N n/2 n/2, C0)
    stem.forward(s, {pixels, n, n}, x, ctx.stem);
    for (std::size_t i = 0; i < 2; ++i) {
      ctx.stages[i].resize(stages[i].size());
      for (std::size_t d = 0; d < stages[i].size(); ++d) {
        const auto& block = stages[i][d];
        const dim after = block.side_after(side);
        auto y = s.make(N * after * after, block.conv3.out);  // (N side side, C)
        block.forward(s, {x, side, side}, y, ctx.stages[i][d]);
        x = y;
        side = after;
      }
    }
    ctx.map = x;
    ctx.map_norm = map_norm.make_saved(s, x.rows);
    map_norm.forward(s, x, map, ctx.map_norm);
  }
};

}  // namespace clipx
