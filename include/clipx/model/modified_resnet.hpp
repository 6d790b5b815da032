// CLIP's ModifiedResNet: three-convolution stem, anti-aliased strides (average pooling), attention pooling (spec section 2).
#pragma once
#include "../ops/attention.hpp"
#include "../ops/conv.hpp"
#include "../ops/linear.hpp"
#include "config.hpp"

namespace clipx {

/// Encoder policy: clip<modified_resnet, Backend>.
struct modified_resnet {
  template <backend B>
  struct tower;
};

/// Bottleneck with expansion 4; every convolution has stride 1, a stride is an average pool after conv2 and in the shortcut.
template <backend B>
struct bottleneck {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  conv_batchnorm<B> conv1, conv2, conv3, downsample;
  dim stride = 1, planes = 0;
  bool has_downsample = false;

  bottleneck() = default;
  bottleneck(dim in, dim p, dim s)
      : conv1(in, p, 1),
        conv2(p, p, 3),
        conv3(p, 4 * p, 1),
        downsample(in, 4 * p, 1),
        stride(s),
        planes(p),
        has_downsample(s > 1 || in != 4 * p) {}
  template <class V>
  void visit(V& v) {
    conv1.visit(v, "conv1", "bn1");
    conv2.visit(v, "conv2", "bn2");
    conv3.visit(v, "conv3", "bn3");
    if (has_downsample) downsample.visit(v, "downsample.0", "downsample.1");
  }

  struct saved {
    dim height = 0, width = 0;
    typename conv_batchnorm<B>::saved conv1, conv2, conv3, downsample;
  };

  /// x (N H W, in) -> y (N H' W', 4p), H' = H / stride.
  void forward(step<B>& s, mat<const T> x, dim H, dim W, mat<T> y, saved* k, bool training) const {
    const window pool{H, W, planes, stride, stride};
    const dim rows = x.rows, out = y.rows, h = H / stride, w = W / stride;
    scratch<B> here(s, !k);
    auto a1 = s.make(rows, planes), a2 = s.make(rows, planes);  // (N H W, p)
    conv1.forward(s, x, H, W, {}, true, a1, k ? &k->conv1 : nullptr, training);
    conv2.forward(s, mat<const T>(a1), H, W, {}, true, a2, k ? &k->conv2 : nullptr, training);
    auto a = pooled(s, mat<const T>(a2), pool, out);  // (N H' W', p)
    auto identity = x;                                // (N H' W', 4p)
    if (has_downsample) {
      auto shortcut = s.make(out, y.cols);
      auto xp = pooled(s, x, {H, W, x.cols, stride, stride}, out);
      downsample.forward(s, xp, h, w, {}, false, shortcut, k ? &k->downsample : nullptr, training);
      identity = mat<const T>(shortcut);
    }
    // out = relu(bn3(conv3(a)) + identity)
    conv3.forward(s, a, h, w, identity, true, y, k ? &k->conv3 : nullptr, training);
    if (k) k->height = H, k->width = W;
  }

  /// dx (N H W, in) is written.
  void backward(step<B>& s, const saved& k, mat<const T> dy, bottleneck& grad, mat<T> dx) const {
    scratch<B> here(s);
    const dim rows = dx.rows, out = dy.rows, H = k.height, W = k.width;
    const window pool{H, W, planes, stride, stride}, short_pool{H, W, dx.cols, stride, stride};
    auto dsum = s.make(out, dy.cols), da = s.make(out, planes);                     // (N H' W', 4p), (N H' W', p)
    auto da2 = stride > 1 ? s.make(rows, planes) : da, da1 = s.make(rows, planes);  // (N H W, p)
    conv3.backward(s, k.conv3, true, dy, grad.conv3, dsum, da);
    if (stride > 1) s.device.avgpool_backward(mat<const T>(da), pool, da2);
    conv2.backward(s, k.conv2, true, mat<const T>(da2), grad.conv2, {}, da1);
    conv1.backward(s, k.conv1, true, mat<const T>(da1), grad.conv1, {}, dx);
    if (!has_downsample) {
      s.device.add(A(1), mat<const T>(dsum), A(1), dx);
      return;
    }
    auto dxp = s.make(out, dx.cols), dshort = stride > 1 ? s.make(rows, dx.cols) : dxp;  // (N H' W', in), (N H W, in)
    downsample.backward(s, k.downsample, false, mat<const T>(dsum), grad.downsample, {}, dxp);
    if (stride > 1) s.device.avgpool_backward(mat<const T>(dxp), short_pool, dshort);
    s.device.add(A(1), mat<const T>(dshort), A(1), dx);
  }

  /// The running statistics follow a training forward.
  void update(step<B>& s, const saved& k, double momentum) {
    conv1.bn.update(s, k.conv1.stats, k.conv1.u.rows, momentum);
    conv2.bn.update(s, k.conv2.stats, k.conv2.u.rows, momentum);
    conv3.bn.update(s, k.conv3.stats, k.conv3.u.rows, momentum);
    if (has_downsample) downsample.bn.update(s, k.downsample.stats, k.downsample.u.rows, momentum);
  }

 private:
  static mat<const T> pooled(step<B>& s, mat<const T> x, const window& w, dim rows) {
    if (w.stride == 1) return x;
    auto y = s.make(rows, x.cols);
    s.device.avgpool(x, w, y);
    return mat<const T>(y);
  }
};

/// One query, the mean of the map, over all tokens: no LayerNorm, residual or MLP (openai/CLIP's AttentionPool2d).
template <backend B>
struct attention_pool {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  mat<T> positional_embedding;  // (L, C), row 0 is the mean token's
  linear<B> q_proj, k_proj, v_proj, c_proj;
  attention<B> mix;
  dim tokens = 0, channels = 0;

  attention_pool() = default;
  attention_pool(dim grid, dim c, dim heads, dim d)
      : q_proj(c, c), k_proj(c, c), v_proj(c, c), c_proj(c, d), mix{heads}, tokens(grid * grid + 1), channels(c) {}
  template <class V>
  void visit(V& v) {
    v("positional_embedding", positional_embedding, {tokens, channels});
    v("k_proj", k_proj);
    v("q_proj", q_proj);
    v("v_proj", v_proj);
    v("c_proj", c_proj);
  }

  struct saved {
    std::vector<std::int32_t> offsets, ones;
    row_ranges keys, queries;
    mat<const std::int32_t> place;  // (1, N L), row of the feature map that each token is; the mean tokens' are overwritten
    mat<T> x;                       // (N L, C)
    mat<T> q, k, v, a;              // (N, C), (N L, C), (N L, C), (N, C)
    typename attention<B>::saved mix;
  };

  /// Feature map (N g g, C) -> (N, D): the mean token asks, all tokens (itself among them) answer.
  void forward(step<B>& s, mat<const T> map, mat<T> y, saved& k) const {
    const dim N = y.rows, C = channels, L = tokens, g2 = L - 1;
    index(s, N, k);
    k.x = s.make(N * L, C), k.q = s.make(N, C), k.k = s.make(N * L, C), k.v = s.make(N * L, C), k.a = s.make(N, C);
    if (s.kept != keep::nothing) k.mix = mix.make_saved(s, k.queries, k.keys);
    s.device.gather_rows(map, k.place, k.x);
    s.device.avgpool(map, {g2, 1, C, g2, 1}, k.x.every(L));
    s.device.add_rows(mat<const T>(positional_embedding), k.x);
    q_proj.forward(s, mat<const T>(k.x.every(L)), k.q);
    k_proj.forward(s, mat<const T>(k.x), k.k);
    v_proj.forward(s, mat<const T>(k.x), k.v);
    mix.forward(s, mat<const T>(k.q), mat<const T>(k.k), mat<const T>(k.v), k.queries, k.keys, false, k.a, k.mix);
    c_proj.forward(s, mat<const T>(k.a), y);
  }

  /// dmap (N g g, C) is written.
  void backward(step<B>& s, const saved& k, mat<const T> dy, attention_pool& grad, mat<T> dmap) const {
    scratch<B> here(s);
    const dim N = dy.rows, C = channels, L = tokens, g2 = L - 1;
    auto da = s.make(N, C), dq = s.make(N, C), dmean = s.make(N, C);           // (N, C)
    auto dk = s.make(N * L, C), dv = s.make(N * L, C), dx = s.make(N * L, C);  // (N L, C)
    c_proj.backward(s, mat<const T>(k.a), dy, grad.c_proj, da);
    mix.backward(s, mat<const T>(k.q), mat<const T>(k.k), mat<const T>(k.v), k.queries, k.keys, false, mat<const T>(k.a), k.mix,
                 mat<const T>(da), dq, dk, dv);
    k_proj.backward(s, mat<const T>(k.x), mat<const T>(dk), grad.k_proj, dx);
    v_proj.backward(s, mat<const T>(k.x), mat<const T>(dv), grad.v_proj, dk);  // dk is free: v's part of dx
    s.device.add(A(1), mat<const T>(dk), A(1), dx);
    q_proj.backward(s, mat<const T>(k.x.every(L)), mat<const T>(dq), grad.q_proj, dmean);  // q's part, the mean tokens' only
    s.device.add(A(1), mat<const T>(dmean), A(1), dx.every(L));
    s.device.sum_rows(mat<const T>(dx), grad.positional_embedding);
    // The mean token's gradient spreads over its picture; its row is cleared before the others return to their places.
    s.device.avgpool_backward(mat<const T>(dx.every(L)), {g2, 1, C, g2, 1}, dmap);
    s.device.fill(dx.every(L), T(0));
    s.device.scatter_add_rows(mat<const T>(dx), k.place, dmap);
  }

 private:
  void index(step<B>& s, dim N, saved& k) const {
    const dim L = tokens, g2 = L - 1;
    std::vector<std::int32_t> place(static_cast<std::size_t>(N * L)),
        length(static_cast<std::size_t>(N), static_cast<std::int32_t>(L)), one(static_cast<std::size_t>(N), 1);
    for (dim i = 0; i < N * L; ++i)
      place[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(i / L * g2 + (i % L > 0 ? i % L - 1 : 0));
    k.place = s.ids(place), k.keys = s.ranges(length, k.offsets), k.queries = s.ranges(one, k.ones);
  }
};

template <backend B>
struct modified_resnet::tower {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  conv_batchnorm<B> conv1, conv2, conv3;
  std::vector<bottleneck<B>> layer1, layer2, layer3, layer4;
  attention_pool<B> attnpool;

  vision_config config;
  dim embed_dim = 0;

  tower() = default;
  explicit tower(const clip_config& c) : config(c.vision), embed_dim(c.embed_dim) {
    expect(config.is_resnet(), "modified_resnet: the configuration describes a vision transformer; use clip<vit, ...>");
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
    attnpool = {config.grid(), 32 * w, config.heads, embed_dim};
  }
  template <class V>
  void visit(V& v) {
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
    bool training = false;
  };

  /// Pixels (N H W, 3), normalised, to embeddings (N, D), not normalised. training: BatchNorm uses the batch's statistics.
  mat<T> forward(step<B>& s, mat<const T> pixels, saved& k, bool training = false) const {
    const dim n = config.image_size, w = config.width;
    expect(pixels.cols == 3 && pixels.rows > 0 && pixels.rows % (n * n) == 0, [&] {
      return cat("modified_resnet: expected pixels (N x ", n, " x ", n, ", 3), got (", pixels.rows, ", ", pixels.cols, ")");
    });
    const bool kept = s.kept != keep::nothing;
    const dim N = pixels.rows / (n * n);
    auto features = s.make(N, embed_dim);  // (N, D)
    scratch<B> here(s, !kept);
    k.training = training;
    dim side = n / 2;
    auto a = s.make(N * side * side, w / 2), b = s.make(N * side * side, w / 2), c = s.make(N * side * side, w);  // (N 112 112, .)
    conv1.forward(s, pixels, n, n, {}, true, a, kept ? &k.conv1 : nullptr, training);
    conv2.forward(s, mat<const T>(a), side, side, {}, true, b, kept ? &k.conv2 : nullptr, training);
    conv3.forward(s, mat<const T>(b), side, side, {}, true, c, kept ? &k.conv3 : nullptr, training);
    const window stem_pool{side, side, w, 2, 2};
    side /= 2;
    auto x = s.make(N * side * side, w);  // (N 56 56, w)
    s.device.avgpool(mat<const T>(c), stem_pool, x);
    std::size_t i = 0;
    if (kept) k.blocks.resize(layer1.size() + layer2.size() + layer3.size() + layer4.size());
    for (auto* layer : {&layer1, &layer2, &layer3, &layer4})
      for (auto& block : *layer) {
        const dim next = side / block.stride;
        auto y = s.make(N * next * next, 4 * block.planes);  // (N H' W', 4p)
        block.forward(s, mat<const T>(x), side, side, y, kept ? &k.blocks[i++] : nullptr, training);
        x = y, side = next;
      }
    attnpool.forward(s, mat<const T>(x), features, k.attnpool);
    return features;
  }

  void backward(step<B>& s, const saved& k, mat<const T> dfeatures, tower& grad) const {
    expect(s.kept != keep::nothing, "backward: the forward pass kept nothing; make the step with another keep");
    scratch<B> here(s);
    const dim n = config.image_size, w = config.width, N = dfeatures.rows;
    const dim grid = config.grid();
    auto dx = s.make(N * grid * grid, 32 * w);  // (N g g, 32 w)
    attnpool.backward(s, k.attnpool, dfeatures, grad.attnpool, dx);
    std::size_t i = k.blocks.size();
    for (auto [layer, layer_grad] : {std::pair{&layer4, &grad.layer4}, std::pair{&layer3, &grad.layer3},
                                     std::pair{&layer2, &grad.layer2}, std::pair{&layer1, &grad.layer1}})
      for (std::size_t b = layer->size(); b-- > 0;) {
        const auto& kept = k.blocks[--i];
        auto din = s.make(N * kept.height * kept.width, (*layer)[b].conv1.in);  // (N H W, in)
        (*layer)[b].backward(s, kept, mat<const T>(dx), (*layer_grad)[b], din);
        dx = din;
      }
    const dim side = n / 2, rows = N * side * side;
    auto dc = s.make(rows, w), db = s.make(rows, w / 2), da = s.make(rows, w / 2);  // (N 112 112, .)
    s.device.avgpool_backward(mat<const T>(dx), {side, side, w, 2, 2}, dc);
    conv3.backward(s, k.conv3, true, mat<const T>(dc), grad.conv3, {}, db);
    conv2.backward(s, k.conv2, true, mat<const T>(db), grad.conv2, {}, da);
    conv1.backward(s, k.conv1, true, mat<const T>(da), grad.conv1, {}, {});
  }

  /// Running statistics follow the last training forward: once a step. Momentum 1: they become those of its batch.
  void update_statistics(step<B>& s, const saved& k, double momentum = 0.1) {
    conv1.bn.update(s, k.conv1.stats, k.conv1.u.rows, momentum);
    conv2.bn.update(s, k.conv2.stats, k.conv2.u.rows, momentum);
    conv3.bn.update(s, k.conv3.stats, k.conv3.u.rows, momentum);
    std::size_t i = 0;
    for (auto* layer : {&layer1, &layer2, &layer3, &layer4})
      for (auto& block : *layer) block.update(s, k.blocks[i++], momentum);
  }
};

}  // namespace clipx
