// What text towers that are Hugging Face's models share in open_clip (its HFTextEncoder): the mean of a text's rows, and the
// projection behind the pooled row.
#pragma once
#include "../core/config.hpp"
#include "../core/sequences.hpp"
#include "../ops/attention.hpp"
#include "../ops/linear.hpp"

namespace clipx {

/// The mean of the rows of each sequence: attention of one query each, which is 0 and so weighs all rows alike.
template <backend_types B>
struct mean_rows {
  using T = scalar_t<B>;
  attention<B> core;  // with as many heads as the tower has

  struct saved {
    attention_input<T> in;           // q (N, W), zeros; the rows as keys and values (R, W)
    mat<T> y;                        // (N, W)
    std::vector<std::int32_t> ones;  // host memory of the ranges
    typename attention<B>::saved core;
  };

  /// x (R, W) -> (N, W). `rows` must outlive ctx.
  mat<T> forward(step<B>& s, mat<const T> x, const row_ranges& rows, saved& ctx) const {
    const dim N = rows.count;
    ctx.in.queries = s.ranges(std::vector<std::int32_t>(static_cast<std::size_t>(N), 1), ctx.ones);
    ctx.in.keys = rows;
    ctx.in.q = s.zeros(N, x.cols);
    ctx.in.k = ctx.in.v = x;
    ctx.y = s.make(N, x.cols);
    ctx.core = core.make_saved(s, ctx.in.queries, ctx.in.keys);
    core.forward(s, ctx.in, ctx.y, ctx.core);
    return ctx.y;
  }
  /// dy (N, W); dx (R, W) is overwritten.
  void backward(step<B>& s, const saved& ctx, mat<const T> dy, mat<T> dx) const {
    scratch<B> here(s);
    auto dq = s.make(dy.rows, dy.cols), dk = s.make(dx.rows, dx.cols);  // (N, W), not used; (R, W), zeros, as q is
    core.backward(s, ctx.in, ctx.y, ctx.core, dy, {.q = dq, .k = dk, .v = dx});
  }
};

/// Nothing, y = x W^T + b?, or y = gelu(x U^T) W^T with U of (W + D) / 2 rows (rounded down).
template <backend_types B>
struct projection_head {
  using T = scalar_t<B>;
  text_head kind = text_head::none;  // which of the three
  linear<B> first, last;             // of the MLP; `last` alone of the matrix
  bool bias = false;                 // whether the matrix has one; the MLP has none

  projection_head() = default;
  /// Parameters of these sizes, without memory until bind(). Errors: no projection, and widths that differ.
  projection_head(text_head k, dim width, dim embed_dim, bool with_bias = false)
      : kind(k), bias(with_bias && k == text_head::linear) {
    const dim hidden = kind == text_head::mlp ? (width + embed_dim) / 2 : width;
    if (kind == text_head::mlp) first = linear<B>(width, hidden);
    if (kind != text_head::none) last = linear<B>(hidden, embed_dim);
    expect(kind != text_head::none || width == embed_dim, [&] {
      return cat("a text tower without a projection: expected a width of ", embed_dim, ", as the embedding has, got ", width);
    });
  }
  void visit(auto& v) {
    if (kind == text_head::mlp) v("0.weight", first.weight, {first.out, first.in});
    if (kind != text_head::none) v(kind == text_head::mlp ? "2.weight" : "weight", last.weight, {last.out, last.in});
    if (bias) v("bias", last.bias, {last.out});
  }

  struct saved {
    mat<const T> x;  // (N, W)
    mat<T> u, g;     // (N, (W + D) / 2), x U^T; gelu(u)
  };

  /// (N, W) -> (N, D).
  void forward(step<B>& s, mat<const T> x, mat<T> y, saved& ctx) const {
    ctx.x = x;
    if (kind == text_head::none) return s.device.copy(x, y);
    if (kind == text_head::linear) return last.forward(s, x, y);
    ctx.u = s.kept == keep::nothing ? mat<T>{} : s.make(x.rows, first.out);
    ctx.g = s.make(x.rows, first.out);
    first.forward(s, x, ctx.g, {.f = activation::gelu, .pre = ctx.u});
    last.forward(s, ctx.g, y);
  }
  /// dy (N, D). Adds the gradients of the parameters to grad; dx (N, W) is overwritten.
  void backward(step<B>& s, const saved& ctx, mat<const T> dy, projection_head& grad, mat<T> dx) const {
    if (kind == text_head::none) return s.device.copy(dy, dx);
    if (kind == text_head::linear) return last.backward(s, ctx.x, dy, grad.last, dx);
    scratch<B> here(s);
    auto dg = s.make(dy.rows, first.out), du = dg;  // (N, (W + D) / 2)
    last.backward(s, ctx.g, dy, grad.last, dg);
    s.device.unary_backward(activation::gelu, ctx.u, dg, du);
    first.backward(s, ctx.x, du, grad.first, dx);
  }
};

}  // namespace clipx
