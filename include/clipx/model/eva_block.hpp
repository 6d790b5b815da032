// The blocks of EVA (Fang et al. 2022, 2023) and of the Perception Encoder (Bolya et al. 2025), for transformer<B, Block>.
#pragma once
#include "../ops/rotary.hpp"
#include "block.hpp"

namespace clipx {

/// What the blocks of EVA's kind have or lack.
struct eva_block_variant {
  bool key_bias = false;      // whether k has a bias, as q and v have
  bool separate_qkv = false;  // whether files have q, k and v apart; their product is one
  bool norm_attn = false;     // whether attention's output is normalized before its projection
  bool swiglu = false;        // whether the MLP is silu(a) b of two halves, normalized, else f(a)
  bool post_norm = false;     // whether the norms are of the branches' outputs, else of their inputs
  friend bool operator==(const eva_block_variant&, const eva_block_variant&) = default;
};

/// How queries and keys are rotated: those of all rows, and the queries of the rows that leave the last block.
template <backend_types B>
struct rotations {
  rotary<B> all, leaving;  // of keys and queries; of queries in the last block
};

/// Self-attention: out_proj(norm(attention(rotated q, rotated k, v))).
template <backend_types B>
struct eva_attention {
  using T = scalar_t<B>;
  using mha = multihead_attention<B>;  // what is shared with other towers
  mha attn;                            // of which in_proj has no bias here
  mat<T> q_bias, v_bias;               // (1, W)
  mat<T> in_proj_bias;                 // (1, 3W), instead of these where k has a bias
  layernorm<B> norm;                   // of attention's output; width 0: none
  eva_block_variant kind;              // what there is

  eva_attention() = default;
  /// Parameters of these sizes, without memory until bind().
  eva_attention(dim width, dim heads, double eps, const eva_block_variant& v) : attn(width, heads, false, false), kind(v) {
    if (v.norm_attn) norm = layernorm<B>(width, eps);
  }
  void visit(auto& v) {
    const dim W = attn.in_proj.in;
    v(kind.separate_qkv ? "qkv_proj.weight" : "in_proj_weight", attn.in_proj.weight, {3 * W, W});
    if (kind.key_bias) {
      v("in_proj_bias", in_proj_bias, {3 * W});
    } else {
      v(kind.separate_qkv ? "q_proj.bias" : "q_bias", q_bias, {W});
      v(kind.separate_qkv ? "v_proj.bias" : "v_bias", v_bias, {W});
    }
    if (kind.norm_attn) v("norm", norm);
    v("out_proj", attn.out_proj);
  }

  struct saved {
    typename mha::saved attn;  // q and k after the rotation
    mat<T> n;                  // (Q, W), norm(attention's output)
    typename layernorm<B>::saved norm;
  };
  /// Memory for the forward pass over these rows, until the step or the scratch around it ends; recomputed: n.
  void make_kept(step<B>& s, const block_rows& rows, saved& ctx) const {
    ctx.attn = attn.make_saved(s, rows);
    if (kind.norm_attn) ctx.norm = norm.make_saved(s, rows.out.rows());
  }
  void make_recomputed(step<B>& s, const block_rows& rows, saved& ctx) const {  // memory for it
    ctx.n = kind.norm_attn ? s.make(rows.out.rows(), norm.width) : ctx.attn.a;
  }
  void recompute(step<B>& s, const saved& ctx) const {  // from what is kept
    if (kind.norm_attn) norm.forward(s, ctx.attn.a, ctx.n, ctx.norm);
  }

  /// (R, W) -> (Q, W). Empty y: only computes what the backward pass needs.
  void forward(step<B>& s, mat<const T> x, const block_rows& rows, const rotations<B>& turn, mat<T> y, const saved& ctx) const {
    const dim W = attn.in_proj.in;
    project(s, x, rows, ctx.attn);
    if (!rows.pooled) {
      turn.all.forward(s, ctx.attn.qkv.col_range(0, 2 * W));
    } else {
      turn.leaving.forward(s, ctx.attn.q);
      turn.all.forward(s, ctx.attn.qkv.col_range(0, W));
    }
    attn.core.forward(s, ctx.attn.in, ctx.attn.a, ctx.attn.core);
    recompute(s, ctx);  // n = norm(a)
    if (y) attn.out_proj.forward(s, ctx.n, y);
  }
  /// dy (Q, W). Adds the gradients of the parameters to grad; dx (R, W) is overwritten.
  void backward(step<B>& s, mat<const T> x, const block_rows& rows, const rotations<B>& turn, const saved& ctx, mat<const T> dy,
                eva_attention& grad, mat<T> dx) const {
    scratch<B> here(s);
    const dim W = attn.in_proj.in, R = x.rows, Q = dy.rows;
    auto dn = s.make(Q, W), da = kind.norm_attn ? s.make(Q, W) : dn, dqkv = s.make(R, 3 * W);  // (Q, W), (Q, W), (R, 3W)
    auto dq = rows.pooled ? s.make(Q, W) : dqkv.col_range(0, W);                               // (Q, W)
    auto dk = dqkv.col_range(W, W), dv = dqkv.col_range(2 * W, W);                             // (R, W)
    attn.out_proj.backward(s, ctx.n, dy, grad.attn.out_proj, dn);
    if (kind.norm_attn) norm.backward(s, ctx.attn.a, ctx.norm, dn, grad.norm, da);
    attn.core.backward(s, ctx.attn.in, ctx.attn.a, ctx.attn.core, da, {.q = dq, .k = dk, .v = dv});
    if (!rows.pooled) {
      turn.all.backward(s, dqkv.col_range(0, 2 * W));
    } else {
      turn.leaving.backward(s, dq);
      turn.all.backward(s, dk);
    }
    bias_backward(s, dq, dk, dv, grad);
    auto& g = grad.attn.in_proj;
    if (!rows.pooled) return attn.in_proj.backward(s, x, dqkv, g, dx);
    auto dxq = s.make(Q, W);  // (Q, W), for the rows that leave
    auto grad_q = g.rows(0, W), grad_kv = g.rows(W, 2 * W);
    attn.in_proj.rows(0, W).backward(s, select_rows(s, x, rows.pooled), dq, grad_q, dxq);
    attn.in_proj.rows(W, 2 * W).backward(s, x, dqkv.col_range(W, 2 * W), grad_kv, dx);
    s.device.scatter_add_rows(mat<const T>(dxq), rows.pooled, dx);
  }

 private:
  /// q, k, v = in_proj(x), in one product; if rows are pooled, queries for those alone.
  void project(step<B>& s, mat<const T> x, const block_rows& rows, const typename mha::saved& ctx) const {
    scratch<B> here(s);
    const dim W = attn.in_proj.in;
    auto in_proj = attn.in_proj;
    in_proj.bias = in_proj_bias;
    if (!kind.key_bias) {  // q's, zeros, v's
      in_proj.bias = s.zeros(1, 3 * W);
      s.device.copy(mat<const T>(q_bias), in_proj.bias.col_range(0, W));
      s.device.copy(mat<const T>(v_bias), in_proj.bias.col_range(2 * W, W));
    }
    if (!rows.pooled) return in_proj.forward(s, x, ctx.qkv);
    in_proj.rows(0, W).forward(s, select_rows(s, x, rows.pooled), ctx.q);
    in_proj.rows(W, 2 * W).forward(s, x, ctx.qkv);
  }
  void bias_backward(step<B>& s, mat<const T> dq, mat<const T> dk, mat<const T> dv, eva_attention& grad) const {
    const dim W = attn.in_proj.in;
    s.device.sum_rows(dq, kind.key_bias ? grad.in_proj_bias.col_range(0, W) : grad.q_bias);
    if (kind.key_bias) s.device.sum_rows(dk, grad.in_proj_bias.col_range(W, W));
    s.device.sum_rows(dv, kind.key_bias ? grad.in_proj_bias.col_range(2 * W, W) : grad.v_bias);
  }
};

/// fc2(f(fc1(x))), or fc2(norm(silu(a) b)) with a, b = fc1(x) (SwiGLU, Shazeer 2020).
template <backend_types B>
struct eva_mlp {
  using T = scalar_t<B>;
  linear<B> fc1, fc2;                 // W to M or 2M columns, M to W
  layernorm<B> norm;                  // of SwiGLU's M columns
  activation act = activation::gelu;  // without SwiGLU
  bool swiglu = false;                // whether fc1 has two halves

  eva_mlp() = default;
  /// Parameters of these sizes, without memory until bind().
  eva_mlp(dim width, dim mlp_width, activation f, double eps, bool gated)
      : fc1(width, gated ? 2 * mlp_width : mlp_width), fc2(mlp_width, width), act(f), swiglu(gated) {
    if (gated) norm = layernorm<B>(mlp_width, eps);
  }
  void visit(auto& v) {
    v(swiglu ? "fc1_gx" : "c_fc", fc1);
    if (swiglu) v("norm", norm);
    v(swiglu ? "fc2" : "c_proj", fc2);
  }

  struct saved {
    mat<T> u;  // (Q, M) or (Q, 2M), fc1(x); empty: not kept, without SwiGLU
    mat<T> g;  // (Q, M), f(u) or silu(a) b
    mat<T> n;  // (Q, M), norm(g) or g
    typename layernorm<B>::saved norm;
  };
  void make_kept(step<B>& s, dim Q, saved& ctx) const {  // memory for what is not recomputed
    ctx.u = s.kept == keep::nothing && !swiglu ? mat<T>{} : s.make(Q, fc1.out);
    if (swiglu) ctx.norm = norm.make_saved(s, Q);
  }
  void make_recomputed(step<B>& s, dim Q, saved& ctx) const {  // outputs of activation and norm
    ctx.g = s.make(Q, fc2.in);
    ctx.n = swiglu ? s.make(Q, fc2.in) : ctx.g;
  }
  void recompute(step<B>& s, const saved& ctx) const {  // from u
    if (!swiglu) return s.device.unary(act, ctx.u, ctx.g);
    s.device.glu(activation::silu, ctx.u.col_range(0, fc2.in), ctx.u.col_range(fc2.in, fc2.in), ctx.g);
    norm.forward(s, ctx.g, ctx.n, ctx.norm);
  }

  /// (Q, W) -> (Q, W). Empty y: only computes what the backward pass needs.
  void forward(step<B>& s, mat<const T> x, mat<T> y, const saved& ctx, const epilogue<T>& e = {}) const {
    if (swiglu) {
      fc1.forward(s, x, ctx.u);
      recompute(s, ctx);
    } else {
      fc1.forward(s, x, ctx.g, {.f = act, .pre = ctx.u});
    }
    if (y) fc2.forward(s, ctx.n, y, e);
  }
  /// dy (Q, W). Adds the gradients of the parameters to grad; dx (Q, W) is overwritten.
  void backward(step<B>& s, mat<const T> x, const saved& ctx, mat<const T> dy, eva_mlp& grad, mat<T> dx) const {
    scratch<B> here(s);
    const dim M = fc2.in;
    auto dn = s.make(dy.rows, M), du = swiglu ? s.make(dy.rows, 2 * M) : dn;  // (Q, M), (Q, M) or (Q, 2M)
    fc2.backward(s, ctx.n, dy, grad.fc2, dn);
    if (swiglu) {
      auto dg = s.make(dy.rows, M);  // (Q, M)
      norm.backward(s, ctx.g, ctx.norm, dn, grad.norm, dg);
      s.device.glu_backward(activation::silu, ctx.u.col_range(0, M), ctx.u.col_range(M, M), dg, du.col_range(0, M),
                            du.col_range(M, M));
    } else {
      s.device.unary_backward(act, ctx.u, mat<const T>(dn), du);
    }
    fc1.backward(s, x, du, grad.fc1, dx);
  }
};

/// x = x + attn(ln_1(x)); x = x + mlp(ln_2(x)); with norms behind the branches x = x + ln_1(attn(x)); x = x + ln_2(mlp(x)).
template <backend_types B>
struct eva_block {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  using variant = eva_block_variant;  // what the constructor takes
  layernorm<B> ln_1, ln_2;            // timm's norm1 and norm2
  eva_attention<B> attn;              // the first branch
  eva_mlp<B> mlp;                     // the second branch
  bool post = false;                  // whether the norms are behind the branches

  eva_block() = default;
  /// Parameters of these sizes, without memory until bind().
  eva_block(dim w, dim heads, dim mlp_width, activation f, double eps, bool /*causal*/, const variant& v)
      : ln_1(w, eps), ln_2(w, eps), attn(w, heads, eps, v), mlp(w, mlp_width, f, eps, v.swiglu), post(v.post_norm) {}
  void visit(auto& v) {
    v("ln_1", ln_1);
    v("attn", attn);
    v("ln_2", ln_2);
    v("mlp", mlp);
  }

  /// R rows of the batch enter the block and Q leave it.
  struct saved {
    mat<const T> x;  // (R, W)
    mat<T> h1, h2;   // (R, W), ln_1(x); (Q, W), ln_2(x1): if the norms are before the branches
    mat<T> b1, b2;   // (Q, W), attn(x) and mlp(x1): if the norms are behind the branches
    mat<T> x1;       // (Q, W), after the first branch, the rows that leave
    typename layernorm<B>::saved ln_1, ln_2;
    typename eva_attention<B>::saved attn;
    typename eva_mlp<B>::saved mlp;
  };

  /// (R, W) -> (Q, W); y may be x if nothing is kept.
  void forward(step<B>& s, mat<const T> x, const block_rows& rows, mat<T> y, saved& ctx, const rotations<B>& turn) const {
    ctx.x = x;
    scratch<B> all(s, s.kept == keep::nothing || s.kept == keep::inputs);
    make_kept(s, rows, ctx);
    scratch<B> recomputed(s, s.kept != keep::everything);
    make_recomputed(s, rows, ctx);
    run(s, rows, turn, y, ctx);
  }

  /// dy (Q, W); dx (R, W) is overwritten.
  void backward(step<B>& s, saved ctx, const block_rows& rows, mat<const T> dy, eva_block& grad, mat<T> dx,
                const rotations<B>& turn) const {
    scratch<B> here(s);
    recompute(s, rows, turn, ctx);
    const dim Q = dy.rows, W = ln_1.width;
    auto dx1 = s.make(Q, W);  // (Q, W)
    if (post) {
      auto db = s.make(Q, W);  // (Q, W)
      // x = x + ln_2(mlp(x))
      ln_2.backward(s, ctx.b2, ctx.ln_2, dy, grad.ln_2, db);
      mlp.backward(s, ctx.x1, ctx.mlp, db, grad.mlp, dx1);
      s.device.add(A(1), dy, A(1), dx1);
      // x = x + ln_1(attn(x))
      ln_1.backward(s, ctx.b1, ctx.ln_1, dx1, grad.ln_1, db);
      attn.backward(s, ctx.x, rows, turn, ctx.attn, db, grad.attn, dx);
      if (!rows.pooled) s.device.add(A(1), mat<const T>(dx1), A(1), dx);
    } else {
      auto dh2 = s.make(Q, W), dh1 = s.make(dx.rows, W);  // (Q, W), (R, W)
      // x = x + mlp(ln_2(x))
      mlp.backward(s, ctx.h2, ctx.mlp, dy, grad.mlp, dh2);
      ln_2.backward(s, ctx.x1, ctx.ln_2, dh2, grad.ln_2, dx1, {.residual = dy});
      // x = x + attn(ln_1(x))
      attn.backward(s, ctx.h1, rows, turn, ctx.attn, dx1, grad.attn, dh1);
      ln_1.backward(s, ctx.x, ctx.ln_1, dh1, grad.ln_1, dx, {.residual = rows.pooled ? mat<T>{} : dx1});
    }
    if (rows.pooled) s.device.scatter_add_rows(mat<const T>(dx1), rows.pooled, dx);
  }

 private:
  /// Empty y: only computes what the backward pass needs.
  void run(step<B>& s, const block_rows& rows, const rotations<B>& turn, mat<T> y, const saved& ctx) const {
    scratch<B> here(s);
    auto x = select_rows(s, ctx.x, rows.pooled);  // (Q, W)
    if (!post) {
      auto branch = s.make(x.rows, ln_1.width);                                      // (Q, W)
      ln_1.forward(s, ctx.x, ctx.h1, ctx.ln_1);                                      // h1 = ln_1(x)
      attn.forward(s, ctx.h1, rows, turn, branch, ctx.attn);                         // branch = attn(h1)
      ln_2.forward(s, {.x = x, .branch = branch, .sum = ctx.x1}, ctx.h2, ctx.ln_2);  // x1 = x + branch; h2 = ln_2(x1)
      return mlp.forward(s, ctx.h2, y, ctx.mlp, {.residual = ctx.x1});               // y = x1 + mlp(h2)
    }
    attn.forward(s, ctx.x, rows, turn, ctx.b1, ctx.attn);  // b1 = attn(x)
    ln_1.forward(s, ctx.b1, ctx.x1, ctx.ln_1);
    s.device.add(A(1), x, A(1), ctx.x1);  // x1 = x + ln_1(b1)
    mlp.forward(s, ctx.x1, ctx.b2, ctx.mlp);
    auto z = y ? y : s.make(x.rows, ln_1.width);
    ln_2.forward(s, ctx.b2, z, ctx.ln_2);
    s.device.add(A(1), mat<const T>(ctx.x1), A(1), z);  // y = x1 + ln_2(mlp(x1))
  }

  // As in resblock.
  void make_kept(step<B>& s, const block_rows& rows, saved& ctx) const {
    const dim R = rows.in.rows(), Q = rows.out.rows(), W = ln_1.width;
    ctx.ln_1 = ln_1.make_saved(s, post ? Q : R);
    ctx.ln_2 = ln_2.make_saved(s, Q);
    attn.make_kept(s, rows, ctx.attn);
    mlp.make_kept(s, Q, ctx.mlp);
    ctx.x1 = s.make(Q, W);
    if (post) ctx.b1 = s.make(Q, W), ctx.b2 = s.make(Q, W);
  }
  void make_recomputed(step<B>& s, const block_rows& rows, saved& ctx) const {
    attn.make_recomputed(s, rows, ctx.attn);
    mlp.make_recomputed(s, rows.out.rows(), ctx.mlp);
    if (!post) ctx.h1 = s.make(rows.in.rows(), ln_1.width), ctx.h2 = s.make(rows.out.rows(), ln_1.width);
  }
  void recompute(step<B>& s, const block_rows& rows, const rotations<B>& turn, saved& ctx) const {
    if (s.kept == keep::everything) return;
    if (s.kept == keep::inputs) make_kept(s, rows, ctx);
    make_recomputed(s, rows, ctx);
    if (s.kept == keep::inputs) return run(s, rows, turn, {}, ctx);
    attn.recompute(s, ctx.attn);
    mlp.recompute(s, ctx.mlp);
    if (post) return;
    ln_1.forward(s, ctx.x, ctx.h1, ctx.ln_1);
    ln_2.forward(s, ctx.x1, ctx.h2, ctx.ln_2);
  }
};

}  // namespace clipx
