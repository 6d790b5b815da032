// Linear, norms, attention, convolution, pooling, embedding: forward and backward on odd sizes.
#pragma once
#include <clipx/ops/attention.hpp>
#include <clipx/ops/layer_scale.hpp>
#include <clipx/ops/linear.hpp>
#include <clipx/ops/norm.hpp>
#include <clipx/ops/rotary.hpp>

#include "harness.hpp"
#include "windows.hpp"

namespace cases {

struct linear_case {
  dim rows, in, out;
  bool with_activation = false, with_residual = false;
  clipx::activation f = clipx::activation::quick_gelu;
  std::string name() const {
    constexpr const char* names[] = {" relu", " gelu", " quick_gelu", " gelu_tanh", " silu"};
    return clipx::cat("linear ", rows, "x", in, "x", out, with_activation ? names[static_cast<int>(f)] : "",
                      with_residual ? " + residual" : "");
  }
  double reduction() const { return static_cast<double>(std::max(in, rows)); }
  double constant() const { return 8; }
  double flops() const { return 2.0 * static_cast<double>(rows * in * out); }

  template <class B>
  void run(harness<B>& h) const {
    using T = clipx::scalar_t<B>;
    clipx::linear<B> op(in, out), grad(in, out);
    op.weight = h.input("weight", out, in, 1 / std::sqrt(static_cast<double>(in)));
    op.bias = h.input("bias", 1, out);
    auto x = h.input("x", rows, in), residual = h.input("residual", rows, out);
    auto y = h.s.make(rows, out), pre = h.s.make(rows, out);
    clipx::epilogue<T> e;
    if (with_residual) e.residual = residual;
    if (with_activation) {
      e.f = f;
      e.pre = pre;
    }
    h.part("forward", [&] { op.forward(h.s, mat<const T>(x), y, e); });
    h.output("y", y);
    if constexpr (!harness<B>::is_complex) {
      if (with_activation) {
        auto inference = h.s.make(rows, out);
        h.part("inference", [&] { op.forward(h.s, mat<const T>(x), inference, {.f = f, .residual = e.residual}); });
        h.output("inference", inference);
      }
      auto dy = h.cotangent("y", rows, out), du = h.s.make(rows, out), dx = h.s.make(rows, in);
      grad.weight = h.s.zeros(out, in);
      grad.bias = h.s.zeros(1, out);
      h.part("backward", [&] {
        if (with_activation) h.device.unary_backward(f, mat<const T>(pre), mat<const T>(dy), du);
        op.backward(h.s, mat<const T>(x), mat<const T>(with_activation ? du : dy), grad, dx);
      });
      h.gradient("x", dx);
      h.gradient("weight", grad.weight);
      h.gradient("bias", grad.bias);
      if (with_residual) h.gradient("residual", dy);
    }
  }
};

struct layernorm_case {
  dim rows, width;
  std::string name() const { return clipx::cat("layernorm ", rows, "x", width); }
  double reduction() const { return static_cast<double>(std::max(rows, width)); }
  double constant() const { return 8; }
  double moved() const { return 4.0 * static_cast<double>(rows * width); }  // x, branch -> sum, y

  template <class B>
  void run(harness<B>& h) const {
    using A = clipx::accum_t<B>;
    clipx::layernorm<B> op(width, 1e-5), grad(width, 1e-5);
    op.weight = h.template input<A>("weight", 1, width, 0.2, 1);
    op.bias = h.template input<A>("bias", 1, width);
    auto x = h.input("x", rows, width, 2, 1), branch = h.input("branch", rows, width);
    auto sum = h.s.make(rows, width), y = h.s.make(rows, width);
    typename clipx::layernorm<B>::saved k{h.s.make_accum(rows, 2)};
    h.part("forward", [&] { op.forward(h.s, {.x = x, .branch = branch, .sum = sum}, y, k); });
    h.output("sum", sum);
    h.output("y", y);
    if constexpr (!harness<B>::is_complex) {
      auto dy = h.cotangent("y", rows, width), dx = h.s.make(rows, width);
      grad.weight = h.s.make_accum(1, width);
      grad.bias = h.s.make_accum(1, width);
      h.device.fill(grad.weight, A(0));
      h.device.fill(grad.bias, A(0));
      auto dsum = h.cotangent("sum", rows, width);
      h.part("backward", [&] { op.backward(h.s, sum, k, dy, grad, dx, {.residual = dsum}); });
      h.gradient("x", dx);
      h.gradient("branch", dx);
      h.gradient("weight", grad.weight);
      h.gradient("bias", grad.bias);
    }
  }
};

struct layer_scale_case {
  dim rows, width;
  std::string name() const { return clipx::cat("layer_scale ", rows, "x", width); }
  double reduction() const { return static_cast<double>(rows); }
  double constant() const { return 4; }
  double moved() const { return 2.0 * static_cast<double>(rows * width); }  // x -> y

  template <class B>
  void run(harness<B>& h) const {
    using A = clipx::accum_t<B>;
    clipx::layer_scale<B> op(width), grad(width);
    op.gamma = h.template input<A>("gamma", 1, width);
    auto x = h.input("x", rows, width), y = h.s.make(rows, width);
    h.part("forward", [&] { op.forward(h.s, x, y); });
    h.output("y", y);
    if constexpr (!harness<B>::is_complex) {
      auto dy = h.cotangent("y", rows, width), dx = h.s.make(rows, width);
      grad.gamma = h.s.make_accum(1, width);
      h.device.fill(grad.gamma, A(0));
      h.part("backward", [&] { op.backward(h.s, x, dy, grad, dx); });
      h.gradient("x", dx);
      h.gradient("gamma", grad.gamma);
      if (h.timer) return;
      op.forward(h.s, y, y);  // in place; and once more backward: what was in dgamma stays
      op.backward(h.s, x, dy, grad, dy);
      h.output("y gamma", y);
      h.output("dy gamma", dy);
      h.output("gradient of gamma, twice", grad.gamma);
    }
  }
};

/// Of the halves of one matrix, as a product leaves them, and of two.
struct glu_case {
  dim rows, width;
  clipx::activation f = clipx::activation::gelu;
  std::string name() const { return clipx::cat("glu ", rows, "x", width); }
  double reduction() const { return 1; }
  double constant() const { return 8; }
  double moved() const { return 3.0 * static_cast<double>(rows * width); }  // u, v -> y

  template <class B>
  void run(harness<B>& h) const {
    using T = clipx::scalar_t<B>;
    auto uv = h.input("uv", rows, 2 * width), y = h.s.make(rows, width), duv = h.s.make(rows, 2 * width);
    const auto u = [&](auto m) { return m.col_range(0, width); };
    const auto v = [&](auto m) { return m.col_range(width, width); };
    const mat<const T> in(uv);
    h.part("forward", [&] { h.device.glu(f, u(in), v(in), y); });
    h.output("y", y);
    if constexpr (!harness<B>::is_complex) {
      auto dy = h.cotangent("y", rows, width);
      h.part("backward", [&] { h.device.glu_backward(f, u(in), v(in), mat<const T>(dy), u(duv), v(duv)); });
      h.gradient("uv", duv);
      if (h.timer) return;
      h.device.glu_backward(f, u(in), v(in), mat<const T>(dy), u(uv), v(uv));  // in place
      h.output("duv", uv);
      h.device.glu(f, mat<const T>(y), mat<const T>(dy), dy);
      h.output("f(y) dy", dy);
    }
  }
};

/// Heads of d columns in sequences of `period` rows; in the middle of wider rows.
struct rotary_case {
  dim sequences, period, heads, d;
  std::string name() const { return clipx::cat("rotary ", sequences, " of ", period, ", ", heads, " heads of ", d); }
  double reduction() const { return 1; }
  double constant() const { return 4; }
  double moved() const { return 2.0 * static_cast<double>(sequences * period * heads * d); }

  template <class B>
  void run(harness<B>& h) const {
    using T = clipx::scalar_t<B>;
    using A = clipx::accum_t<B>;
    const dim W = heads * d, R = sequences * period;
    auto table = h.template input<A>("table", period, d);
    auto x = h.input("x", R, 3 * W), y = h.s.make(R, 3 * W);
    const auto middle = [&](auto m) { return m.col_range(W, W); };
    clipx::rotary<B> op{table};
    h.device.copy(mat<const T>(x), y);
    h.part("forward", [&] { op.forward(h.s, middle(y)); });
    if (!h.timer) h.output("y", y);
    if (h.timer || harness<B>::is_complex) return;
    h.device.rotate_pairs(mat<const T>(middle(x)), mat<const A>(table), middle(y));
    h.output("not in place", y);
    auto dx = h.s.make(R, 3 * W);
    if constexpr (!harness<B>::is_complex) h.device.copy(mat<const T>(h.cotangent("y", R, 3 * W)), dx);
    op.backward(h.s, middle(dx));
    h.gradient("x", dx);
  }
};

struct attention_case {
  std::vector<std::int32_t> lengths;
  dim heads, head_width;
  bool causal = false, pooled = false;
  std::string name() const {
    return clipx::cat("attention ", lengths.size(), " of ", lengths[0], ", ", heads, " heads of ", head_width,
                      causal ? " causal" : "", pooled ? " pooled" : "");
  }
  double reduction() const {
    return static_cast<double>(std::max<dim>(*std::max_element(lengths.begin(), lengths.end()), head_width));
  }
  double constant() const { return 16; }
  double flops() const {  // two products over the pairs of rows that see each other
    double pairs = 0;
    for (const double n : lengths) pairs += pooled ? n : causal ? n * (n + 1) / 2 : n * n;
    return 4 * pairs * static_cast<double>(heads * head_width);
  }

  template <class B>
  void run(harness<B>& h) const {
    using T = clipx::scalar_t<B>;
    const dim W = heads * head_width;
    std::vector<std::int32_t> offsets, one(lengths.size(), 1), ones;
    auto keys = h.s.ranges(lengths, offsets);
    auto queries = pooled ? h.s.ranges(one, ones) : keys;
    auto qkv = h.input("qkv", keys.rows(), 3 * W), single = h.input("q", queries.rows(), W);
    auto q = pooled ? single : qkv.col_range(0, W), k = qkv.col_range(W, W), v = qkv.col_range(2 * W, W);
    auto y = h.s.make(queries.rows(), W);
    clipx::attention<B> op{heads};
    auto saved = op.make_saved(h.s, queries, keys);
    const clipx::attention_input<T> in{.q = q, .k = k, .v = v, .queries = queries, .keys = keys, .causal = causal};
    h.part("forward", [&] { op.forward(h.s, in, y, saved); });
    h.output("y", y);
    if constexpr (!harness<B>::is_complex) {
      auto dy = h.cotangent("y", y.rows, W), dqkv = h.s.zeros(qkv.rows, 3 * W), dsingle = h.s.make(single.rows, W);
      const clipx::attention_gradients<T> d{
          .q = pooled ? dsingle : dqkv.col_range(0, W), .k = dqkv.col_range(W, W), .v = dqkv.col_range(2 * W, W)};
      h.part("backward", [&] { op.backward(h.s, in, y, saved, dy, d); });
      h.gradient("qkv", dqkv);
      if (pooled) h.gradient("q", dsingle);
    }
  }
};

struct embed_case {
  dim table, width;
  std::vector<std::int32_t> ids;
  std::string name() const { return clipx::cat("gather and scatter ", ids.size(), "x", width); }
  double reduction() const { return static_cast<double>(ids.size()); }
  double constant() const { return 4; }

  template <class B>
  void run(harness<B>& h) const {
    using T = clipx::scalar_t<B>;
    auto x = h.input("x", table, width), rows = h.input("rows", 2, width);
    const dim n = static_cast<dim>(ids.size());
    auto y = h.s.make(n, width);
    const auto at = h.s.ids(ids);
    h.device.gather_rows(mat<const T>(x), at, y);
    h.device.add_rows(mat<const T>(rows), y);
    h.output("y", y);
    if constexpr (!harness<B>::is_complex) {
      auto dy = h.cotangent("y", n, width), dx = h.s.zeros(table, width), drows = h.s.zeros(2, width);
      h.device.scatter_add_rows(mat<const T>(dy), at, dx);
      h.device.sum_rows(mat<const T>(dy), drows);
      h.gradient("x", dx);
      h.gradient("rows", drows);
    }
  }
};

/// Verbs on columns left .. left + width - 1 of wider matrices: their rows start anywhere, and what lies beside them stays.
struct columns_case {
  dim rows, width, left;
  std::string name() const { return clipx::cat("columns ", left, " .. of ", rows, "x", width); }
  double reduction() const { return static_cast<double>(rows); }
  double constant() const { return 8; }

  template <class B>
  void run(harness<B>& h) const {
    using T = clipx::scalar_t<B>;
    using A = clipx::accum_t<B>;
    const auto part = [&](auto m) { return m.col_range(left, width); };
    auto x = h.input("x", rows, left + width), bias = h.input("bias", 1, left + width), more = h.input("more", rows, left + width);
    auto y = h.s.zeros(rows, left + width), copied = h.s.zeros(rows, left + width);
    h.device.unary(clipx::activation::quick_gelu, mat<const T>(part(x)), part(y));
    h.device.add_rows(mat<const T>(part(bias)), part(y));
    h.device.add(A(2), mat<const T>(part(more)), A(1), part(y));
    h.device.copy(mat<const T>(part(y)), part(copied));
    h.output("y", copied);
    if constexpr (!harness<B>::is_complex) {
      auto dy = h.cotangent("y", rows, left + width), dx = h.s.zeros(rows, left + width), dmore = h.s.zeros(rows, left + width);
      auto dbias = h.s.zeros(1, left + width);
      h.device.unary_backward(clipx::activation::quick_gelu, mat<const T>(part(x)), mat<const T>(part(dy)), part(dx));
      h.device.add(A(2), mat<const T>(part(dy)), A(0), part(dmore));
      h.device.sum_rows(mat<const T>(part(dy)), part(dbias));
      h.gradient("x", dx);
      h.gradient("bias", dbias);
      h.gradient("more", dmore);
    }
  }
};

/// Calls f with every case of this file.
template <class F>
void each_op(F&& f) {
  using enum clipx::activation;
  for (dim n : {1, 7, 31, 33}) f(linear_case{n, 32, 33}), f(linear_case{n, 31, 64, true, true, quick_gelu});
  for (dim n : {1, 33}) f(linear_case{n, 31, 64, true, true, gelu_tanh}), f(linear_case{n, 32, 17, true, false, gelu_tanh});
  f(linear_case{257, 64, 48, true, false, gelu}), f(linear_case{5, 257, 7, true, true, relu}),
      f(linear_case{33, 96, 32, false, true});
  for (dim n : {1, 7, 31, 32, 33, 257}) f(layernorm_case{n, 32}), f(layernorm_case{3, n + 2});
  f(layernorm_case{9, 768}), f(layernorm_case{5, 1030}), f(layernorm_case{5, 4104});  // wider than a block holds
  for (dim n : {1, 7, 31, 64, 700}) f(layer_scale_case{n, 17}), f(layer_scale_case{5, n}), f(layer_scale_case{n, 96});
  f(rotary_case{3, 5, 2, 4}), f(rotary_case{1, 7, 3, 20}), f(rotary_case{2, 3, 1, 12}), f(rotary_case{4, 1, 2, 64});
  f(rotary_case{2, 197, 3, 64}), f(rotary_case{3, 17, 2, 88}), f(rotary_case{1, 33, 1, 96}), f(rotary_case{2, 9, 5, 2});
  f(attention_case{{1, 7, 31, 2}, 2, 16, true}), f(attention_case{{33, 33}, 3, 32}), f(attention_case{{5, 65}, 1, 80});
  f(attention_case{{7, 50, 3}, 2, 64, false, true}), f(attention_case{{257}, 2, 88}), f(attention_case{{31, 12}, 1, 104, true});
  for (dim d : {32, 33, 64, 80, 88, 104, 112}) f(attention_case{{17, 1, 33}, 2, d, d % 3 == 0});  // every width of a kernel
  f(attention_case{{15, 16}, 1, 120, true}), f(attention_case{{577}, 1, 64});
  f(attention_case{{1, 1}, 3, 32, false, true}), f(attention_case{{50}, 3, 64, false, true});
  f(attention_case{{257, 20}, 1, 64, false, true}), f(attention_case{{50, 1, 33}, 3, 80, false, true});
  f(attention_case{{257}, 1, 128, false, true}), f(attention_case{{7, 50}, 3, 5, false, true});
  f(attention_case{{49, 49}, 2, 72, false, true}), f(attention_case{{65}, 2, 96, false, true});
  f(attention_case{{49, 64}, 2, 72}), f(attention_case{{64}, 2, 96});
  f(attention_case{{6200}, 1, 4, false, true});  // more keys than scores have room
  f(attention_case{{9}, 1, 112}), f(attention_case{{6, 4}, 2, 5, true}), f(attention_case{{77, 20}, 1, 64, true});
  f(attention_case{{40, 70}, 1, 130, true}), f(attention_case{{9, 33}, 2, 136});
  f(conv_case{2, 7, 9, 5, 6, 3, 1, true, false, true}), f(conv_case{1, 8, 8, 3, 16, 3, 2, true, false, false});
  f(conv_case{2, 4, 4, 32, 33, 1, 1, false, false, false}), f(conv_case{3, 6, 6, 8, 16, 3, 1, true, true, true});
  f(conv_case{2, 4, 4, 16, 24, 3, 1, true, true, false}), f(conv_case{5, 9, 7, 3, 16, 3, 2, true, true, false});
  f(conv_case{3, 8, 5, 33, 7, 3, 1, true, true, true}), f(conv_case{2, 9, 9, 16, 32, 3, 2, false, true, true});
  f(conv_case{3, 12, 11, 5, 20, 1, 2, true, true, false});
  f(conv_case{2, 5, 5, 4, 8, 1, 1, false, true, true}), f(conv_case{2, 6, 6, 16, 40, 1, 1, true, true, true});
  for (dim width : {1, 4, 5, 6, 7, 8, 9, 20}) f(depthwise_case{2, 5, width, 33}), f(depthwise_case{1, 9, width, 16});
  f(depthwise_case{3, 8, 8, 64}), f(depthwise_case{9, 4, 10, 40}), f(depthwise_case{1, 2, 3, 1}), f(depthwise_case{2, 16, 16, 32});
  f(depthwise_case{2, 7, 6, 24, 3}), f(depthwise_case{2, 6, 5, 8, 5}), f(depthwise_case{1, 5, 5, 4, 1}),
      f(depthwise_case{1, 6, 7, 8, 9});
  f(depthwise_case{2, 9, 8, 24, 7, 2}), f(depthwise_case{3, 8, 11, 17, 3, 2}), f(depthwise_case{1, 7, 9, 16, 5, 3});
  for (dim n : {1, 7, 24}) f(glu_case{n, 17}), f(glu_case{5, n, quick_gelu});
  f(glu_case{3, 64, gelu_tanh}), f(glu_case{3, 33, relu}), f(glu_case{300, 40});
  for (dim n : {1, 31, 700}) f(glu_case{n, 17, silu}), f(glu_case{n, 64, silu});
  f(conv_bias_case{2, 7, 9, 3, 5, 3, 2}), f(conv_bias_case{3, 8, 8, 8, 16, 3, 1}), f(conv_bias_case{1, 3, 2, 9, 4, 3, 1});
  f(pool_case{2, 8, 6, 5, 2}), f(pool_case{3, 9, 1, 4, 9}), f(pool_case{1, 7, 7, 3, 7});
  f(patches_case{{.height = 9, .width = 11, .channels = 3, .kernel = 4, .stride = 4, .lead = 1, .across = 5}});
  f(pool_case{2, 8, 6, 5, 3, 2, 1}), f(pool_case{3, 7, 9, 16, 3, 2, 1}), f(pool_case{1, 1, 2, 8, 3, 2, 1});
  f(pool_case{2, 9, 8, 4, 3, 1, 1}), f(pool_case{1, 11, 10, 3, 2, 3}), f(pool_case{1, 12, 7, 4, 5, 2, 2});
  f(embed_case{11, 33, {3, 0, 10, 3, 3, 7}}), f(embed_case{1, 8, {0, 0}});
  std::vector<std::int32_t> words;  // of texts: a few that come in most of them, many that come once
  for (int i = 0; i < 357; ++i) words.push_back(i % 5 == 0 ? 0 : i % 7 == 0 ? 299 : i * i % 300);
  for (dim left : {0, 1, 8, 12}) f(columns_case{5, 24, left}), f(columns_case{700, 17, left});
  f(embed_case{300, 320, words}), f(embed_case{300, 31, words});
}

}  // namespace cases

#ifdef CATCH_VERSION_MAJOR
#include "driver.hpp"

TEST_CASE("ops against eigen<double>") {
  cases::each_op([](const auto& c) { cases::test(device(), c); });
}
#ifdef CLIPX_REFERENCE
TEST_CASE("gradients of the ops against the complex step") {
  cases::each_op([](const auto& c) { cases::grad(c); });
}
#endif
#endif
