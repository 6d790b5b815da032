// The image tower of MobileCLIP-B (Vasu et al. 2024): a plain vision transformer whose patches come from three convolutions.
#pragma once
#include "../ops/conv.hpp"
#include "plain_vit.hpp"

namespace clipx {

struct mci_vit;  // architectures/mci_vit.hpp

/// Sizes of the image tower; the defaults are those of MobileCLIP-B. Patches have 16 pixels.
struct mci_vit_config {
  using policy = mci_vit;
  static constexpr std::string_view name = "MobileCLIP-ViT";
  dim image_size = 224;                            // side in pixels
  dim width = 768;                                 // W, of a token
  dim heads = 12;                                  // attention heads of a block
  dim mlp_width = 3072;                            // columns inside the MLP of a block
  dim layers = 12;                                 // blocks
  extent grid() const { return image_size / 16; }  // patches of a column and of a row
  /// All but the stem's first two convolutions: the third cuts their map into patches.
  plain_vit_config plain() const {
    return {.image_size = image_size,
            .patch_size = 16,
            .width = width,
            .heads = heads,
            .mlp_width = mlp_width,
            .layers = layers,
            .class_position = false,
            .patch_bias = true,
            .norm_pre = false,
            .head = vit_head::trunk,
            .head_bias = true,
            .timm = true,
            .map_channels = width / 4,
            .map_stride = 8};
  }
  friend bool operator==(const mci_vit_config&, const mci_vit_config&) = default;
};

/// timm's vit_base_mci_224: x = gelu(bn(conv(x))) twice, with windows of 4 and of 2 pixels that do not overlap, then the patches
/// of 2. The BatchNorms are trained, and use the batch's statistics in training.
template <backend_types B>
struct mci_vision_tower : plain_vision_tower<B> {
  using T = scalar_t<B>;
  using plain = plain_vision_tower<B>;  // all but the first two convolutions
  conv_batchnorm<B> stem_0, stem_1;     // 3 to W / 4 channels, W / 4 to W / 4

  mci_vision_tower() = default;
  /// Parameters of these sizes, without memory until bind(). Errors: those of plain_vision_tower.
  explicit mci_vision_tower(const clip_config& c) : plain(c.vision.as<mci_vit_config>().plain(), c) {
    const dim C = this->config.map_channels;
    stem_0 = {3, C, 4, 4}, stem_1 = {C, C, 2, 2};
  }
  void visit(auto& v) {
    stem_0.visit(v, "trunk.stem.0.conv", "trunk.stem.0.bn");
    stem_1.visit(v, "trunk.stem.1.conv", "trunk.stem.1.bn");
    plain::visit(v);
  }

  struct saved {
    typename conv_batchnorm<B>::saved stem_0, stem_1;
    mat<T> u0, u1;  // (N n/4 n/4, W/4), (N n/8 n/8, W/4): before the activations
    typename plain::saved trunk;
  };

  /// Normalized pixels (N n n, 3) -> features (N, D). training: BatchNorm uses the batch's statistics. Errors: chosen patches.
  mat<T> forward(step<B>& s, mat<const T> pixels, saved& ctx, bool training = false,
                 std::span<const std::int32_t> chosen = {}) const {
    const dim N = this->count(pixels, chosen);
    const auto [height, width] = this->config.image_size;
    auto features = s.make(N, this->embed_dim);  // (N, D)
    scratch<B> here(s, s.kept == keep::nothing);
    feature_map<T> x{pixels, height, width};
    x = convolve(s, stem_0, x, ctx.stem_0, ctx.u0, training);  // (N n/4 n/4, W/4)
    x = convolve(s, stem_1, x, ctx.stem_1, ctx.u1, training);  // (N n/8 n/8, W/4)
    this->run(s, x.rows, features, ctx.trunk);
    return features;
  }
  /// dfeatures (N, D). Adds the gradients of the parameters to grad.
  void backward(step<B>& s, const saved& ctx, mat<const T> dfeatures, mci_vision_tower& grad) const {
    scratch<B> here(s);
    auto d1 = s.make(ctx.u1.rows, ctx.u1.cols), d0 = s.make(ctx.u0.rows, ctx.u0.cols);
    this->run_backward(s, ctx.trunk, dfeatures, grad, d1);
    s.device.unary_backward(activation::gelu, ctx.u1, mat<const T>(d1), d1);
    stem_1.backward(s, ctx.stem_1, d1, grad.stem_1, {.x = d0});
    s.device.unary_backward(activation::gelu, ctx.u0, mat<const T>(d0), d0);
    stem_0.backward(s, ctx.stem_0, d0, grad.stem_0, {});
  }

  /// Updates the running statistics after a training forward pass, once per step. Momentum 1: sets them to the batch's.
  void update_statistics(step<B>& s, const saved& ctx, double momentum = 0.1) {
    stem_0.bn.update(s, ctx.stem_0.bn, momentum);
    stem_1.bn.update(s, ctx.stem_1.bn, momentum);
  }

 private:
  /// gelu(bn(conv(x))); u receives what is before the activation.
  feature_map<T> convolve(step<B>& s, const conv_batchnorm<B>& conv, const feature_map<T>& x,
                          typename conv_batchnorm<B>::saved& ctx, mat<T>& u, bool training) const {
    const window w = conv.over(x.height, x.width);
    u = s.make(x.images() * w.out_rows(), conv.out);
    auto y = s.kept == keep::nothing ? u : s.make(u.rows, u.cols);
    auto out = conv.forward(s, x, u, ctx, {.training = training});
    s.device.unary(activation::gelu, u, y);
    out.rows = y;
    return out;
  }
};

}  // namespace clipx
