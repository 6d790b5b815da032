// CLIP's ModifiedResNet (docs/clip.md section 2): three-convolution stem, anti-aliased strides (average pooling),
// attention pooling.
#pragma once
#include <array>

#include "../core/config.hpp"
#include "../ops/attention.hpp"
#include "../ops/conv.hpp"
#include "../ops/linear.hpp"

namespace clipx {

struct modified_resnet;  // architectures/modified_resnet.hpp

/// Sizes of the image tower; the defaults are those of RN50.
struct modified_resnet_config {
  using policy = modified_resnet;
  static constexpr std::string_view name = "ModifiedResNet";
  dim image_size = 224;                         // side in pixels
  dim width = 64;                               // w, of the stem; the feature map has 32 w channels
  dim heads = 32;                               // of the attention pool
  std::array<dim, 4> stages{3, 4, 6, 3};        // bottlenecks of each stage
  dim channels() const { return 32 * width; }   // C, of the last feature map
  dim grid() const { return image_size / 32; }  // side of the last feature map
  friend bool operator==(const modified_resnet_config&, const modified_resnet_config&) = default;
};

/// Bottleneck with expansion 4. Every convolution has stride 1; a stride is an average pool after conv2 and in the shortcut.
template <backend_types B>
struct bottleneck {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  conv_batchnorm<B> conv1, conv2, conv3, downsample;  // 1 x 1, 3 x 3 and 1 x 1; the shortcut's 1 x 1
  dim stride = 1, planes = 0;                         // of the average pools; p, channels inside
  bool has_downsample = false;                        // else the shortcut is the identity

  bottleneck() = default;
  /// From `in` channels to 4 p, stride s. The parameters have no memory until bind().
  bottleneck(dim in, dim p, dim s)
      : conv1(in, p, 1),
        conv2(p, p, 3),
        conv3(p, 4 * p, 1),
        downsample(in, 4 * p, 1),
        stride(s),
        planes(p),
        has_downsample(s > 1 || in != 4 * p) {}
  void visit(auto& v) {
    conv1.visit(v, "conv1", "bn1");
    conv2.visit(v, "conv2", "bn2");
    conv3.visit(v, "conv3", "bn3");
    if (has_downsample) downsample.visit(v, "downsample.0", "downsample.1");
  }

  struct saved {
    typename conv_batchnorm<B>::saved conv1, conv2, conv3, downsample;
  };

  /// x (N H W, in) -> (N H' W', 4p), H' = H / stride.
  feature_map<T> forward(step<B>& s, const feature_map<T>& x, saved& ctx, bool training) const {
    const batchnorm_options<T> bn{.training = training}, bn_relu{.relu = true, .training = training};
    auto y = s.make(x.images() * x.pools(stride).out_rows(), 4 * planes);  // (N H' W', 4p)
    scratch<B> here(s, s.kept == keep::nothing);
    auto y1 = s.make(x.rows.rows, planes), y2 = s.make(x.rows.rows, planes);  // (N H W, p)
    auto out = conv1.forward(s, x, y1, ctx.conv1, bn_relu);
    out = conv2.forward(s, out, y2, ctx.conv2, bn_relu);
    out = avgpool(s, out, stride);  // (N H' W', p)
    auto identity = x;              // (N H' W', 4p)
    if (has_downsample) {
      auto shortcut = s.make(y.rows, y.cols);
      identity = downsample.forward(s, avgpool(s, x, stride), shortcut, ctx.downsample, bn);
    }
    return conv3.forward(s, out, y, ctx.conv3, {.residual = identity.rows, .relu = true, .training = training});
  }

  /// dy (N H' W', 4p); dx (N H W, in) is overwritten.
  void backward(step<B>& s, const saved& ctx, mat<const T> dy, bottleneck& grad, mat<T> dx) const {
    scratch<B> here(s);
    auto didentity = s.make(dy.rows, dy.cols);  // (N H' W', 4p)
    auto dpooled = s.make(dy.rows, planes);     // (N H' W', p)
    conv3.backward(s, ctx.conv3, dy, grad.conv3, {.x = dpooled, .residual = didentity});
    auto dy2 = avgpool_backward(s, ctx.conv2.y, stride, dpooled);  // (N H W, p)
    auto dy1 = s.make(dx.rows, planes);                            // (N H W, p)
    conv2.backward(s, ctx.conv2, dy2, grad.conv2, {.x = dy1});
    conv1.backward(s, ctx.conv1, dy1, grad.conv1, {.x = dx});
    if (!has_downsample) return s.device.add(A(1), didentity, A(1), dx);
    auto dshort = s.make(dy.rows, dx.cols);  // (N H' W', in)
    downsample.backward(s, ctx.downsample, didentity, grad.downsample, {.x = dshort});
    s.device.add(A(1), avgpool_backward(s, ctx.conv1.x, stride, dshort), A(1), dx);
  }

  /// Updates the running statistics; see batchnorm::update().
  void update(step<B>& s, const saved& ctx, double momentum) {
    conv1.bn.update(s, ctx.conv1.bn, momentum);
    conv2.bn.update(s, ctx.conv2.bn, momentum);
    conv3.bn.update(s, ctx.conv3.bn, momentum);
    if (has_downsample) downsample.bn.update(s, ctx.downsample.bn, momentum);
  }
};

/// Attention with one query, the mean of the map, over all tokens; no LayerNorm, residual or MLP (openai/CLIP's AttentionPool2d).
template <backend_types B>
struct attention_pool {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  mat<T> positional_embedding;               // (L, C), row 0 is for the mean token
  linear<B> q_proj, k_proj, v_proj, c_proj;  // from C columns to C, and from C to D
  attention<B> mix;                          // between the products
  dim tokens = 0, channels = 0;              // L, the mean and the g g cells of the map; C

  attention_pool() = default;
  /// Parameters for maps of grid x grid cells and c channels, without memory until bind(); d is D.
  attention_pool(dim grid, dim c, dim heads, dim d)
      : q_proj(c, c), k_proj(c, c), v_proj(c, c), c_proj(c, d), mix{heads}, tokens(grid * grid + 1), channels(c) {}
  void visit(auto& v) {
    v("positional_embedding", positional_embedding, {tokens, channels});
    v("k_proj", k_proj);
    v("q_proj", q_proj);
    v("v_proj", v_proj);
    v("c_proj", c_proj);
  }

  struct saved {
    std::vector<std::int32_t> offsets, ones;  // host memory of the ranges
    row_ranges keys, queries;                 // per image: L rows, and one
    mat<const std::int32_t> place;  // (1, N L), the row of the feature map for each token; those of mean tokens are overwritten
    mat<T> x;                       // (N L, C)
    mat<T> q, k, v, a;              // (N, C), (N L, C), (N L, C), (N, C)
    typename attention<B>::saved mix;
  };

  /// Feature map (N g g, C) -> (N, D): the query is the mean token; keys and values are all tokens, including the mean.
  void forward(step<B>& s, mat<const T> map, mat<T> y, saved& ctx) const {
    const dim N = y.rows, C = channels, L = tokens;
    index(s, N, ctx);
    ctx.x = s.make(N * L, C);
    ctx.q = s.make(N, C);
    ctx.k = s.make(N * L, C);
    ctx.v = s.make(N * L, C);
    ctx.a = s.make(N, C);
    ctx.mix = mix.make_saved(s, ctx.queries, ctx.keys);
    auto mean = ctx.x.every(L);  // (N, C)
    s.device.gather_rows(map, ctx.place, ctx.x);
    s.device.avgpool(map, whole_map(), mean);
    s.device.add_rows(positional_embedding, ctx.x);
    q_proj.forward(s, mean, ctx.q);
    k_proj.forward(s, ctx.x, ctx.k);
    v_proj.forward(s, ctx.x, ctx.v);
    mix.forward(s, heads(ctx), ctx.a, ctx.mix);
    c_proj.forward(s, ctx.a, y);
  }

  /// dmap (N g g, C) is overwritten.
  void backward(step<B>& s, const saved& ctx, mat<const T> dy, attention_pool& grad, mat<T> dmap) const {
    scratch<B> here(s);
    const dim N = dy.rows, C = channels, L = tokens;
    auto da = s.make(N, C), dq = s.make(N, C), dmean = s.make(N, C);           // (N, C)
    auto dk = s.make(N * L, C), dv = s.make(N * L, C), dx = s.make(N * L, C);  // (N L, C)
    c_proj.backward(s, ctx.a, dy, grad.c_proj, da);
    mix.backward(s, heads(ctx), ctx.a, ctx.mix, da, {.q = dq, .k = dk, .v = dv});
    k_proj.backward(s, ctx.x, dk, grad.k_proj, dx);
    v_proj.backward(s, ctx.x, dv, grad.v_proj, dk);  // dk is no longer needed: now v's part of dx
    s.device.add(A(1), dk, A(1), dx);
    q_proj.backward(s, ctx.x.every(L), dq, grad.q_proj, dmean);  // q's part, for the mean tokens only
    s.device.add(A(1), dmean, A(1), dx.every(L));
    s.device.sum_rows(dx, grad.positional_embedding);
    // The mean token's gradient is spread over its image; its row is cleared before the other rows are scattered back.
    s.device.avgpool_backward(dx.every(L), whole_map(), dmap);
    s.device.fill(dx.every(L), T(0));
    s.device.scatter_add_rows(dx, ctx.place, dmap);
  }

 private:
  /// The g g rows of an image as one window.
  window whole_map() const {
    const dim n = tokens - 1;
    return {.height = n, .width = 1, .channels = channels, .kernel = n, .stride = n};
  }
  attention_input<T> heads(const saved& ctx) const {
    return {.q = ctx.q, .k = ctx.k, .v = ctx.v, .queries = ctx.queries, .keys = ctx.keys};
  }
  void index(step<B>& s, dim N, saved& ctx) const {
    const auto n = static_cast<std::size_t>(N);
    std::vector<std::int32_t> place;
    for (dim i = 0; i < N; ++i)
      for (dim j = 0; j < tokens; ++j) place.push_back(static_cast<std::int32_t>(i * (tokens - 1) + (j > 0 ? j - 1 : 0)));
    ctx.place = s.ids(place);
    ctx.keys = s.ranges(std::vector<std::int32_t>(n, static_cast<std::int32_t>(tokens)), ctx.offsets);
    ctx.queries = s.ranges(std::vector<std::int32_t>(n, 1), ctx.ones);
  }
};

/// openai/CLIP's ModifiedResNet.
template <backend_types B>
struct residual_network {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  conv_batchnorm<B> conv1, conv2, conv3;                      // the stem, 3 x 3 each; the first has stride 2
  std::vector<bottleneck<B>> layer1, layer2, layer3, layer4;  // the stages; all but the first begin with stride 2
  attention_pool<B> attnpool;                                 // from the last map to features

  modified_resnet_config config;  // sizes
  dim embed_dim = 0;              // D

  residual_network() = default;
  /// Parameters of these sizes, without memory until bind(). Errors: an image size that 32 does not divide.
  explicit residual_network(const clip_config& c) : config(c.vision.as<modified_resnet_config>()), embed_dim(c.embed_dim) {
    expect(config.image_size % 32 == 0,
           [&] { return cat("modified_resnet: expected an image size that 32 divides, got ", config.image_size); });
    const dim w = config.width;
    conv1 = {3, w / 2, 3, 2}, conv2 = {w / 2, w / 2, 3}, conv3 = {w / 2, w, 3};
    dim in = w;
    dim stage = 0;
    for (auto* layer : {&layer1, &layer2, &layer3, &layer4}) {
      const dim planes = w << stage;
      for (dim b = 0; b < config.stages[static_cast<std::size_t>(stage)]; ++b, in = 4 * planes)
        layer->emplace_back(in, planes, b == 0 && stage > 0 ? 2 : 1);
      ++stage;
    }
    attnpool = {config.grid(), config.channels(), config.heads, embed_dim};
  }
  void visit(auto& v) {
    conv1.visit(v, "conv1", "bn1");
    conv2.visit(v, "conv2", "bn2");
    conv3.visit(v, "conv3", "bn3");
    v("layer1", layer1);
    v("layer2", layer2);
    v("layer3", layer3);
    v("layer4", layer4);
    v("attnpool", attnpool);
  }

  struct saved {
    typename conv_batchnorm<B>::saved conv1, conv2, conv3;
    std::vector<typename bottleneck<B>::saved> blocks;
    typename attention_pool<B>::saved attnpool;
  };

  /// Normalized pixels (N H W, 3) -> features (N, D). training: BatchNorm uses the batch's statistics.
  mat<T> forward(step<B>& s, mat<const T> pixels, saved& ctx, bool training = false,
                 std::span<const std::int32_t> chosen = {}) const {
    expect(chosen.empty(), error_kind::mismatch, "patch dropout: a ModifiedResNet has no patches to leave out");
    const dim n = config.image_size;
    expect(pixels.cols == 3 && pixels.rows > 0 && pixels.rows % (n * n) == 0, [&] {
      return cat("modified_resnet: expected pixels (N x ", n, " x ", n, ", 3), got (", pixels.rows, ", ", pixels.cols, ")");
    });
    const batchnorm_options<T> bn_relu{.relu = true, .training = training};
    auto features = s.make(pixels.rows / (n * n), embed_dim);  // (N, D)
    scratch<B> here(s, s.kept == keep::nothing);
    const dim R = pixels.rows / 4;
    auto y1 = s.make(R, conv1.out), y2 = s.make(R, conv2.out), y3 = s.make(R, conv3.out);  // (N n/2 n/2, w/2 or w)
    feature_map<T> x{pixels, n, n};
    x = conv1.forward(s, x, y1, ctx.conv1, bn_relu);
    x = conv2.forward(s, x, y2, ctx.conv2, bn_relu);
    x = conv3.forward(s, x, y3, ctx.conv3, bn_relu);
    x = avgpool(s, x, 2);  // (N n/4 n/4, w)
    ctx.blocks.resize(layer1.size() + layer2.size() + layer3.size() + layer4.size());
    std::size_t i = 0;
    for (auto* layer : {&layer1, &layer2, &layer3, &layer4})
      for (auto& block : *layer) x = block.forward(s, x, ctx.blocks[i++], training);
    attnpool.forward(s, x.rows, features, ctx.attnpool);  // (N n/32 n/32, 32 w)
    return features;
  }

  /// dfeatures (N, D). Adds the gradients of the parameters to grad.
  void backward(step<B>& s, const saved& ctx, mat<const T> dfeatures, residual_network& grad) const {
    expect(s.kept != keep::nothing, "backward: the forward pass kept nothing; make the step with another keep");
    scratch<B> here(s);
    const dim N = dfeatures.rows, grid = config.grid();
    auto dx = s.make(N * grid * grid, attnpool.channels);  // (N n/32 n/32, 32 w)
    attnpool.backward(s, ctx.attnpool, dfeatures, grad.attnpool, dx);
    std::size_t i = ctx.blocks.size();
    for (auto [layer, layer_grad] : {std::pair{&layer4, &grad.layer4}, std::pair{&layer3, &grad.layer3},
                                     std::pair{&layer2, &grad.layer2}, std::pair{&layer1, &grad.layer1}})
      for (std::size_t b = layer->size(); b-- > 0;) {
        const auto& block_ctx = ctx.blocks[--i];
        auto dy = dx;
        dx = s.make(block_ctx.conv1.x.rows.rows, (*layer)[b].conv1.in);  // (N H W, in)
        (*layer)[b].backward(s, block_ctx, dy, (*layer_grad)[b], dx);
      }
    auto dy3 = avgpool_backward(s, ctx.conv3.y, 2, dx);                         // (N n/2 n/2, w)
    auto dy2 = s.make(dy3.rows, conv2.out), dy1 = s.make(dy3.rows, conv1.out);  // (N n/2 n/2, w/2)
    conv3.backward(s, ctx.conv3, dy3, grad.conv3, {.x = dy2});
    conv2.backward(s, ctx.conv2, dy2, grad.conv2, {.x = dy1});
    conv1.backward(s, ctx.conv1, dy1, grad.conv1, {});
  }

  /// Updates the running statistics after a training forward pass, once per step. Momentum 1: sets them to the batch's.
  void update_statistics(step<B>& s, const saved& ctx, double momentum = 0.1) {
    conv1.bn.update(s, ctx.conv1.bn, momentum);
    conv2.bn.update(s, ctx.conv2.bn, momentum);
    conv3.bn.update(s, ctx.conv3.bn, momentum);
    std::size_t i = 0;
    for (auto* layer : {&layer1, &layer2, &layer3, &layer4})
      for (auto& block : *layer) block.update(s, ctx.blocks[i++], momentum);
  }
};

}  // namespace clipx
