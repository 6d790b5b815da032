// Pooling by attention with a learned query (big_vision's MAPHead; timm's AttentionPoolLatent).
#pragma once
#include "block.hpp"

namespace clipx {

/// Pooling by attention with a learned query (big_vision's MAPHead): h = attn(probe, x, x), y = h + mlp(ln(h)).
template <backend_types B>
struct latent_pool {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  mat<T> probe;                 // (1, W), what the query is made of
  linear<B> in_proj, out_proj;  // rows 0 .. W - 1 of in_proj are for the query, then k, then v
  attention<B> core;            // between the products
  layernorm<B> ln;              // before the MLP
  mlp_layers<B> mlp;            // the residual branch

  latent_pool() = default;
  /// Parameters of these sizes, without memory until bind().
  latent_pool(dim width, dim heads, dim mlp_width, activation f, double eps)
      : in_proj(width, 3 * width), out_proj(width, width), core{heads}, ln(width, eps), mlp(width, mlp_width, f) {}
  void visit(auto& v) {
    v("probe", probe, {1, 1, in_proj.in});
    v("in_proj_weight", in_proj.weight, {in_proj.out, in_proj.in});
    v("in_proj_bias", in_proj.bias, {in_proj.out});
    v("out_proj", out_proj);
    v("ln", ln);
    v("mlp", mlp);
  }

  struct saved {
    mat<const T> x;                               // (R, W)
    std::vector<std::int32_t> key_offsets, ones;  // host memory of the ranges
    attention_input<T> in;                        // views of q (N, W), the same for each image, and of k and v (R, W)
    mat<T> a, h, n;                               // (N, W): attention's output, out_proj(a), ln(h)
    typename attention<B>::saved core;
    typename layernorm<B>::saved ln;
    typename mlp_layers<B>::saved mlp;
  };

  /// N images of L rows each, x (N L, W) -> y (N, W).
  void forward(step<B>& s, mat<const T> x, dim N, mat<T> y, saved& ctx) const {
    const dim W = in_proj.in, R = x.rows;
    const auto each = [&](dim n) { return std::vector<std::int32_t>(static_cast<std::size_t>(N), static_cast<std::int32_t>(n)); };
    ctx.x = x;
    ctx.in.queries = s.ranges(each(1), ctx.ones);
    ctx.in.keys = s.ranges(each(R / N), ctx.key_offsets);
    auto q = s.make(N, W), kv = s.make(R, 2 * W);  // (N, W), (R, 2W)
    ctx.a = s.make(N, W), ctx.h = s.make(N, W), ctx.n = s.make(N, W);
    ctx.mlp.u = s.kept == keep::nothing ? mat<T>{} : s.make(N, mlp.c_fc.out);
    ctx.mlp.g = s.make(N, mlp.c_fc.out);
    ctx.core = core.make_saved(s, ctx.in.queries, ctx.in.keys);
    ctx.ln = ln.make_saved(s, N);
    in_proj.rows(0, W).forward(s, probe, q.row_range(0, 1));
    for (dim done = 1; done < N; done *= 2)  // the same query for every image
      s.device.copy(mat<const T>(q.row_range(0, std::min(done, N - done))), q.row_range(done, std::min(done, N - done)));
    in_proj.rows(W, 2 * W).forward(s, x, kv);
    ctx.in.q = q, ctx.in.k = kv.col_range(0, W), ctx.in.v = kv.col_range(W, W);
    core.forward(s, ctx.in, ctx.a, ctx.core);
    out_proj.forward(s, ctx.a, ctx.h);  // h = attn(probe, x, x)
    ln.forward(s, ctx.h, ctx.n, ctx.ln);
    mlp.forward(s, ctx.n, y, ctx.mlp, {.residual = ctx.h});  // y = h + mlp(ln(h))
  }
  /// dy (N, W). Adds the gradients of the parameters to grad; dx (N L, W) is overwritten.
  void backward(step<B>& s, const saved& ctx, mat<const T> dy, latent_pool& grad, mat<T> dx) const {
    scratch<B> here(s);
    const dim W = in_proj.in, N = dy.rows;
    auto dn = s.make(N, W), dh = s.make(N, W), da = s.make(N, W), dq = s.make(N, W);  // (N, W)
    auto dkv = s.make(dx.rows, 2 * W), dq1 = s.zeros(1, W), dprobe = s.make(1, W);    // (N L, 2W), (1, W), (1, W)
    mlp.backward(s, ctx.n, ctx.mlp, dy, grad.mlp, dn);
    ln.backward(s, ctx.h, ctx.ln, dn, grad.ln, dh, {.residual = dy});
    out_proj.backward(s, ctx.a, dh, grad.out_proj, da);
    core.backward(s, ctx.in, ctx.a, ctx.core, da, {.q = dq, .k = dkv.col_range(0, W), .v = dkv.col_range(W, W)});
    s.device.sum_rows(mat<const T>(dq), dq1);
    auto grad_q = grad.in_proj.rows(0, W), grad_kv = grad.in_proj.rows(W, 2 * W);
    in_proj.rows(0, W).backward(s, probe, dq1, grad_q, dprobe);
    in_proj.rows(W, 2 * W).backward(s, ctx.x, dkv, grad_kv, dx);
    s.device.add(A(1), mat<const T>(dprobe), A(1), grad.probe);
  }
};

}  // namespace clipx
