// ConvNeXt (Liu et al. 2022, "A ConvNet for the 2020s") as timm builds it, with the head that open_clip puts on it. Images are
// (N H W, C) rows, so LayerNorm over the channels and the MLP are those of transformers.
#pragma once
#include <array>

#include "../core/config.hpp"
#include "../ops/depthwise_conv.hpp"
#include "../ops/layer_scale.hpp"
#include "../ops/patch_conv.hpp"
#include "block.hpp"

namespace clipx {

struct convnext;  // architectures/convnext.hpp

/// Sizes of the image tower; the defaults are those of convnext_tiny. Its activation and epsilon are its own: those of clip_config
/// are the text tower's.
struct convnext_config {
  using policy = convnext;
  static constexpr std::string_view name = "ConvNeXt";
  dim image_size = 224;                          // side in pixels
  std::array<dim, 4> depths{3, 3, 9, 3};         // blocks of each stage
  std::array<dim, 4> widths{96, 192, 384, 768};  // channels of each stage
  bool mlp_head = false;                         // whether the projection is an MLP with 2 D columns inside, else linear
  activation act = activation::gelu;             // of the blocks; the head's is gelu
  double norm_eps = 1e-6;                        // of every LayerNorm
  friend bool operator==(const convnext_config&, const convnext_config&) = default;
};

/// y = x + gamma mlp(norm(conv_dw(x))).
template <backend_types B>
struct convnext_block {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  depthwise_conv<B> conv_dw;  // 7 x 7
  layernorm<B> norm;          // over the channels of a pixel
  mlp_layers<B> mlp;          // C to 4 C columns and back
  layer_scale<B> gamma;       // of the branch

  convnext_block() = default;
  /// Parameters of these sizes, without memory until bind().
  convnext_block(dim channels, activation f, double eps)
      : conv_dw(channels, 7), norm(channels, eps), mlp(channels, 4 * channels, f), gamma(channels) {}
  void visit(auto& v) {
    v("gamma", gamma.gamma, {gamma.width});
    v("conv_dw", conv_dw);
    v("norm", norm);
    v("mlp.fc1", mlp.c_fc);
    v("mlp.fc2", mlp.c_proj);
  }

  struct saved {
    feature_map<T> x;  // (N H W, C)
    mat<T> u, h, z;    // (N H W, C): conv_dw(x), norm(u), mlp(h)
    typename layernorm<B>::saved norm;
    typename mlp_layers<B>::saved mlp;
  };

  /// x (N H W, C) -> y; y may be x if nothing is kept.
  void forward(step<B>& s, const feature_map<T>& x, mat<T> y, saved& ctx) const {
    if (s.kept == keep::nothing) return infer(s, x, y);
    ctx.x = x;
    scratch<B> all(s, s.kept == keep::inputs);
    make_kept(s, ctx);
    scratch<B> recomputed(s, s.kept != keep::everything);
    make_recomputed(s, ctx);
    run(s, ctx);
    add_branch(s, x.rows, ctx.z, y);
  }

  /// dy (N H W, C); dx is overwritten.
  void backward(step<B>& s, saved ctx, mat<const T> dy, convnext_block& grad, mat<T> dx) const {
    scratch<B> here(s);
    recompute(s, ctx);
    auto dz = s.make(dy.rows, dy.cols), dh = s.make(dy.rows, dy.cols);  // (N H W, C)
    auto du = dz;                                                       // dz is no longer needed
    gamma.backward(s, ctx.z, dy, grad.gamma, dz);
    mlp.backward(s, ctx.h, ctx.mlp, dz, grad.mlp, dh);
    norm.backward(s, ctx.u, ctx.norm, dh, grad.norm, du);
    conv_dw.backward(s, ctx.x, du, grad.conv_dw, dx);
    s.device.add(A(1), dy, A(1), dx);
  }

 private:
  void run(step<B>& s, const saved& ctx) const {
    conv_dw.forward(s, ctx.x, ctx.u);
    norm.forward(s, ctx.u, ctx.h, ctx.norm);
    mlp.forward(s, ctx.h, ctx.z, ctx.mlp);
  }
  /// y = x + gamma z; z may be overwritten.
  void add_branch(step<B>& s, mat<const T> x, mat<T> z, mat<T> y) const {
    const bool in_place = y.data == x.data;
    auto branch = in_place ? z : y;  // (R, C)
    gamma.forward(s, z, branch);
    s.device.add(A(1), in_place ? mat<const T>(branch) : x, A(1), y);
  }
  /// Keeps nothing: where memory is the processor's, the MLP takes as many rows at a time as its caches hold of the 4 C columns.
  void infer(step<B>& s, const feature_map<T>& x, mat<T> y) const {
    scratch<B> here(s);
    const dim R = y.rows, most = B::host_memory ? std::max<dim>(1, (dim{1} << 20) / mlp.c_fc.out) : R;
    const dim parts = (R + most - 1) / most, each = (R + parts - 1) / parts;
    auto u = s.make(R, norm.width), h = s.make(each, norm.width), g = s.make(each, mlp.c_fc.out);  // (R, C), (each, C), (each, 4 C)
    conv_dw.forward(s, x, u);
    for (dim first = 0; first < R; first += each) {
      const dim n = std::min(each, R - first);
      auto z = u.row_range(first, n);  // in place of the rows that norm has read
      norm.forward(s, z, h.row_range(0, n), {});
      mlp.forward(s, h.row_range(0, n), z, {.u = {}, .g = g.row_range(0, n)});
      add_branch(s, x.rows.row_range(first, n), z, y.row_range(first, n));
    }
  }
  // As in resblock: keep::selective holds make_kept() and repeats make_recomputed(), keep::inputs repeats both.
  void make_kept(step<B>& s, saved& ctx) const {
    const dim R = ctx.x.rows.rows;
    ctx.u = s.make(R, norm.width);
    ctx.z = s.make(R, norm.width);
    ctx.norm = norm.make_saved(s, R);
    ctx.mlp.u = s.make(R, mlp.c_fc.out);
  }
  void make_recomputed(step<B>& s, saved& ctx) const {  // outputs of norm and activation
    ctx.h = s.make(ctx.x.rows.rows, norm.width);
    ctx.mlp.g = s.make(ctx.x.rows.rows, mlp.c_fc.out);
  }
  void recompute(step<B>& s, saved& ctx) const {
    if (s.kept == keep::everything) return;
    if (s.kept == keep::inputs) make_kept(s, ctx);
    make_recomputed(s, ctx);
    if (s.kept == keep::inputs) return run(s, ctx);
    norm.forward(s, ctx.u, ctx.h, ctx.norm);
    s.device.unary(mlp.act, ctx.mlp.u, ctx.mlp.g);
  }
};

/// Blocks on maps of one size. All stages but the first begin with LayerNorm and a convolution 2 x 2 with stride 2.
template <backend_types B>
struct convnext_stage {
  using T = scalar_t<B>;
  layernorm<B> norm;                      // before the convolution
  patch_conv<B> conv;                     // in to C channels, half the height and width
  std::vector<convnext_block<B>> blocks;  // from the input on
  bool has_downsample = false;            // else in = C and there are only blocks

  convnext_stage() = default;
  /// Parameters of these sizes, without memory until bind().
  convnext_stage(dim in, dim channels, dim depth, bool downsample, activation f, double eps)
      : norm(in, eps),
        conv(in, channels, 2),
        blocks(static_cast<std::size_t>(depth), convnext_block<B>(channels, f, eps)),
        has_downsample(downsample) {}
  void visit(auto& v) {
    if (has_downsample) {
      v("downsample.0", norm);
      v("downsample.1", conv);
    }
    v("blocks", blocks);
  }

  struct saved {
    feature_map<T> x;  // (N side side, in)
    typename layernorm<B>::saved norm;
    typename patch_conv<B>::saved conv;  // the patches of norm(x)
    std::vector<typename convnext_block<B>::saved> blocks;
  };

  /// Side of the maps that leave, from that of those that enter.
  dim side_after(dim side) const { return has_downsample ? side / 2 : side; }

  /// N maps of side x side pixels, x (N side side, in), which is overwritten if nothing is kept -> (N side' side', C).
  mat<T> forward(step<B>& s, mat<T> x, dim side, saved& ctx) const {
    ctx.x = {x, side, side};
    if (has_downsample) {
      x = s.make(ctx.x.images() * side_after(side) * side_after(side), conv.out);  // (N side' side', C)
      scratch<B> here(s, s.kept != keep::everything);
      if (s.kept == keep::everything) ctx.norm = norm.make_saved(s, ctx.x.rows.rows);
      ctx.conv = conv.make_saved(s, ctx.x);
      cut_normed(s, ctx);
      conv.forward(s, ctx.conv, x);
    }
    side = side_after(side);
    ctx.blocks.resize(blocks.size());
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      auto y = s.kept == keep::nothing ? x : s.make(x.rows, x.cols);  // (N side' side', C)
      blocks[i].forward(s, {x, side, side}, y, ctx.blocks[i]);
      x = y;
    }
    return x;
  }

  /// dy (N side' side', C) may be overwritten; dx (N side side, in) is overwritten.
  void backward(step<B>& s, saved ctx, mat<T> dy, convnext_stage& grad, mat<T> dx) const {
    scratch<B> here(s);
    auto other = s.make(dy.rows, dy.cols);  // (N side' side', C)
    for (std::size_t i = blocks.size(); i-- > 0;) {
      auto to = i == 0 && !has_downsample ? dx : other;
      blocks[i].backward(s, ctx.blocks[i], dy, grad.blocks[i], to);
      other = dy;
      dy = to;
    }
    if (!has_downsample) return;
    if (s.kept != keep::everything) {
      ctx.norm = norm.make_saved(s, ctx.x.rows.rows);
      ctx.conv = conv.make_saved(s, ctx.x);
      cut_normed(s, ctx);
    }
    auto dh = s.make(dx.rows, dx.cols);  // (N side side, in)
    conv.backward(s, ctx.conv, ctx.x.height, ctx.x.width, dy, grad.conv, dh);
    norm.backward(s, ctx.x.rows, ctx.norm, dh, grad.norm, dx);
  }

 private:
  /// The patches of norm(x).
  void cut_normed(step<B>& s, const saved& ctx) const {
    scratch<B> here(s);
    auto h = s.make(ctx.x.rows.rows, ctx.x.rows.cols);  // (N side side, in)
    norm.forward(s, ctx.x.rows, h, ctx.norm);
    conv.cut(s, {h, ctx.x.height, ctx.x.width}, ctx.conv);
  }
};

/// timm's ConvNeXt without its classifier, and open_clip's projection.
template <backend_types B>
struct convnext_tower {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  patch_conv<B> stem;                     // 4 x 4 with stride 4
  layernorm<B> stem_norm;                 // over the channels of a pixel
  std::vector<convnext_stage<B>> stages;  // four of them
  layernorm<B> head_norm;                 // of the mean over all pixels
  linear<B> proj;                         // C to D columns, without bias; of a head without an MLP
  mlp_layers<B> head;                     // C to 2 D to D columns, the second without bias

  convnext_config config;  // sizes
  dim embed_dim = 0;       // D

  convnext_tower() = default;
  /// Parameters of these sizes, without memory until bind(). Errors: images below 32 pixels.
  explicit convnext_tower(const clip_config& c) : config(c.vision.as<convnext_config>()), embed_dim(c.embed_dim) {
    expect(config.image_size >= 32,
           [&] { return cat("convnext: expected images of at least 32 pixels, got ", config.image_size); });
    const auto& w = config.widths;
    stem = {3, w[0], 4};
    stem_norm = {w[0], config.norm_eps};
    for (std::size_t i = 0; i < 4; ++i)
      stages.emplace_back(w[i ? i - 1 : 0], w[i], config.depths[i], i > 0, config.act, config.norm_eps);
    head_norm = {w[3], config.norm_eps};
    if (config.mlp_head) {
      head = {w[3], 2 * embed_dim, activation::gelu};
      head.c_proj = {2 * embed_dim, embed_dim};
    } else {
      proj = {w[3], embed_dim};
    }
  }
  void visit(auto& v) {
    v("trunk.stem.0", stem);
    v("trunk.stem.1", stem_norm);
    v("trunk.stages", stages);
    v("trunk.head.norm", head_norm);
    if (!config.mlp_head) return v("head.proj.weight", proj.weight, {proj.out, proj.in});
    v("head.mlp.fc1", head.c_fc);
    v("head.mlp.fc2.weight", head.c_proj.weight, {head.c_proj.out, head.c_proj.in});
  }

  struct saved {
    typename patch_conv<B>::saved stem;
    mat<T> y0;      // (N n/4 n/4, C0), stem(pixels)
    mat<T> pooled;  // (N, C), the mean over all pixels
    mat<T> h;       // (N, C), head_norm(pooled)
    dim last = 0;   // side of the last maps
    std::vector<typename convnext_stage<B>::saved> stages;
    typename layernorm<B>::saved stem_norm, head_norm;
    typename mlp_layers<B>::saved head;
  };

  /// Normalized pixels (N n n, 3) -> features (N, D).
  mat<T> forward(step<B>& s, mat<const T> pixels, saved& ctx, bool /*training*/ = false,
                 std::span<const std::int32_t> chosen = {}) const {
    expect(chosen.empty(), error_kind::mismatch, "patch dropout: a ConvNeXt has no patches to leave out");
    const dim n = config.image_size;
    expect(pixels.cols == 3 && pixels.rows > 0 && pixels.rows % (n * n) == 0,
           [&] { return cat("convnext: expected pixels (N x ", n, " x ", n, ", 3), got (", pixels.rows, ", ", pixels.cols, ")"); });
    const dim N = pixels.rows / (n * n), C = head_norm.width;
    auto features = s.make(N, embed_dim);  // (N, D)
    scratch<B> here(s, s.kept == keep::nothing);
    auto x = embed(s, {pixels, n, n}, ctx);  // (N n/4 n/4, C0)
    dim side = n / 4;
    ctx.stages.resize(stages.size());
    for (std::size_t i = 0; i < stages.size(); ++i) {
      x = stages[i].forward(s, x, side, ctx.stages[i]);
      side = stages[i].side_after(side);
    }
    ctx.last = side;
    ctx.pooled = s.make(N, C), ctx.h = s.make(N, C);  // (N, C)
    ctx.head_norm = head_norm.make_saved(s, N);
    s.device.avgpool(x, whole_map(side), ctx.pooled);
    head_norm.forward(s, ctx.pooled, ctx.h, ctx.head_norm);
    if (config.mlp_head) {
      ctx.head.u = s.kept == keep::nothing ? mat<T>{} : s.make(N, head.c_fc.out);
      ctx.head.g = s.make(N, head.c_fc.out);
      head.forward(s, ctx.h, features, ctx.head);
    } else {
      proj.forward(s, ctx.h, features);
    }
    return features;
  }

  /// dfeatures (N, D). Adds the gradients of the parameters to grad.
  void backward(step<B>& s, const saved& ctx, mat<const T> dfeatures, convnext_tower& grad) const {
    expect(s.kept != keep::nothing, "backward: the forward pass kept nothing; make the step with another keep");
    scratch<B> here(s);
    const dim N = dfeatures.rows, C = head_norm.width;
    auto dh = s.make(N, C), dpooled = s.make(N, C);  // (N, C)
    auto dx = s.make(N * ctx.last * ctx.last, C);    // (N side side, C)
    if (config.mlp_head) head.backward(s, ctx.h, ctx.head, dfeatures, grad.head, dh);
    else proj.backward(s, ctx.h, dfeatures, grad.proj, dh);
    head_norm.backward(s, ctx.pooled, ctx.head_norm, dh, grad.head_norm, dpooled);
    s.device.avgpool_backward(dpooled, whole_map(ctx.last), dx);
    for (std::size_t i = stages.size(); i-- > 0;) {
      auto dy = dx;
      dx = s.make(ctx.stages[i].x.rows.rows, ctx.stages[i].x.rows.cols);  // (N side side, in)
      stages[i].backward(s, ctx.stages[i], dy, grad.stages[i], dx);
    }
    auto dy0 = s.make(dx.rows, dx.cols);  // (N n/4 n/4, C0)
    stem_norm.backward(s, ctx.y0, ctx.stem_norm, dx, grad.stem_norm, dy0);
    stem.backward(s, ctx.stem, config.image_size, config.image_size, dy0, grad.stem);
  }

 private:
  /// All pixels of a map as one window.
  window whole_map(dim side) const {
    const dim n = side * side;
    return {.height = n, .width = 1, .channels = head_norm.width, .kernel = n, .stride = n};
  }
  /// The stem: (N n n, 3) -> (N n/4 n/4, C0).
  mat<T> embed(step<B>& s, const feature_map<T>& pixels, saved& ctx) const {
    const bool kept = s.kept != keep::nothing;
    auto y = s.make(pixels.images() * stem.over(pixels.height, pixels.width).out_rows(), stem.out);  // (N n/4 n/4, C0)
    scratch<B> here(s, !kept);
    ctx.y0 = kept ? s.make(y.rows, y.cols) : y;
    ctx.stem_norm = stem_norm.make_saved(s, y.rows);
    ctx.stem = stem.make_saved(s, pixels);
    stem.cut(s, pixels, ctx.stem);
    stem.forward(s, ctx.stem, ctx.y0);
    stem_norm.forward(s, ctx.y0, y, ctx.stem_norm);
    return y;
  }
};

}  // namespace clipx
