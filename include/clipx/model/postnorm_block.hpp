// The post-norm block of BERT and RoBERTa (Devlin et al. 2019; Liu et al. 2019), for transformer<B, Block>.
#pragma once
#include "block.hpp"

namespace clipx {

/// x = ln_1(x + attn(x)); x = ln_2(x + mlp(x)).
template <backend_types B>
struct postnorm_block {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  multihead_attention<B> attn;  // the first branch
  mlp_layers<B> mlp;            // the second branch
  layernorm<B> ln_1, ln_2;      // after the residual sums

  postnorm_block() = default;
  /// Parameters of these sizes, without memory until bind().
  postnorm_block(dim w, dim heads, dim mlp_width, activation f, double eps, bool causal)
      : attn(w, heads, causal), mlp(w, mlp_width, f), ln_1(w, eps), ln_2(w, eps) {}
  void visit(auto& v) {
    v("attn", attn);
    v("ln_1", ln_1);
    v("mlp", mlp);
    v("ln_2", ln_2);
  }

  /// R rows of the batch enter the block and Q leave it.
  struct saved {
    mat<const T> x;  // (R, W)
    mat<T> x1;       // (Q, W), x + attn(x), for the rows that leave
    mat<T> h;        // (Q, W), ln_1(x1)
    mat<T> x2;       // (Q, W), h + mlp(h)
    typename layernorm<B>::saved ln_1, ln_2;
    typename multihead_attention<B>::saved attn;
    typename mlp_layers<B>::saved mlp;
  };

  /// (R, W) -> (Q, W); y may be x if nothing is kept.
  void forward(step<B>& s, mat<const T> x, const block_rows& rows, mat<T> y, saved& ctx) const {
    ctx.x = x;
    scratch<B> all(s, s.kept == keep::nothing || s.kept == keep::inputs);
    make_kept(s, rows, ctx);
    scratch<B> recomputed(s, s.kept != keep::everything);
    make_recomputed(s, rows, ctx);
    run(s, rows, y, ctx);
  }

  /// dy (Q, W); dx (R, W) is overwritten.
  void backward(step<B>& s, saved ctx, const block_rows& rows, mat<const T> dy, postnorm_block& grad, mat<T> dx) const {
    scratch<B> here(s);
    recompute(s, rows, ctx);
    const dim Q = dy.rows, W = ln_1.width;
    auto dx2 = s.make(Q, W), dh = s.make(Q, W), dx1 = s.make(Q, W);  // (Q, W)
    // x = ln_2(h + mlp(h))
    ln_2.backward(s, ctx.x2, ctx.ln_2, dy, grad.ln_2, dx2);
    mlp.backward(s, ctx.h, ctx.mlp, dx2, grad.mlp, dh);
    s.device.add(A(1), mat<const T>(dx2), A(1), dh);
    // h = ln_1(x + attn(x))
    ln_1.backward(s, ctx.x1, ctx.ln_1, dh, grad.ln_1, dx1);
    attn.backward(s, ctx.x, rows, ctx.attn, dx1, grad.attn, dx);
    if (rows.pooled) s.device.scatter_add_rows(mat<const T>(dx1), rows.pooled, dx);
    else s.device.add(A(1), mat<const T>(dx1), A(1), dx);
  }

 private:
  void run(step<B>& s, const block_rows& rows, mat<T> y, const saved& ctx) const {
    scratch<B> here(s);
    auto x = select_rows(s, ctx.x, rows.pooled);                                  // (Q, W)
    auto branch = s.make(x.rows, ln_1.width);                                     // (Q, W)
    attn.forward(s, ctx.x, rows, branch, ctx.attn);                               // branch = attn(x)
    ln_1.forward(s, {.x = x, .branch = branch, .sum = ctx.x1}, ctx.h, ctx.ln_1);  // x1 = x + branch; h = ln_1(x1)
    mlp.forward(s, ctx.h, ctx.x2, ctx.mlp, {.residual = ctx.h});                  // x2 = h + mlp(h)
    ln_2.forward(s, ctx.x2, y, ctx.ln_2);                                         // y = ln_2(x2)
  }

  // As in resblock.
  void make_kept(step<B>& s, const block_rows& rows, saved& ctx) const {
    const dim Q = rows.out.rows();
    ctx.ln_1 = ln_1.make_saved(s, Q);
    ctx.ln_2 = ln_2.make_saved(s, Q);
    ctx.attn = attn.make_saved(s, rows);
    ctx.x1 = s.make(Q, ln_1.width);
    ctx.x2 = s.make(Q, ln_1.width);
    ctx.mlp.u = s.kept == keep::nothing ? mat<T>{} : s.make(Q, mlp.c_fc.out);
  }
  void make_recomputed(step<B>& s, const block_rows& rows, saved& ctx) const {  // outputs of norm and activation
    ctx.h = s.make(rows.out.rows(), ln_1.width);
    ctx.mlp.g = s.make(rows.out.rows(), mlp.c_fc.out);
  }
  void recompute(step<B>& s, const block_rows& rows, saved& ctx) const {
    if (s.kept == keep::everything) return;
    if (s.kept == keep::inputs) make_kept(s, rows, ctx);
    make_recomputed(s, rows, ctx);
    if (s.kept == keep::inputs) return run(s, rows, s.make(rows.out.rows(), ln_1.width), ctx);
    ln_1.forward(s, ctx.x1, ctx.h, ctx.ln_1);
    s.device.unary(mlp.act, ctx.mlp.u, ctx.mlp.g);
  }
};

}  // namespace clipx
