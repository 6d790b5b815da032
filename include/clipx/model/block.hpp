// The pre-norm residual attention block of both towers, and the stack of them (CLIP's ResidualAttentionBlock, Transformer).
#pragma once
#include <utility>
#include <vector>

#include "../core/sequences.hpp"
#include "../ops/attention.hpp"
#include "../ops/layer_scale.hpp"
#include "../ops/linear.hpp"
#include "../ops/norm.hpp"

namespace clipx {

/// What blocks of other models than CLIP's have otherwise.
struct block_variant {
  bool qkv_bias = true;      // whether q, k and v have a bias
  bool layer_scale = false;  // whether the branches are scaled by column (LayerScale, Touvron et al. 2021)
};

/// Self-attention: out_proj(attention(q, k, v)) with q, k, v = in_proj(x) (PyTorch's MultiheadAttention).
template <backend_types B>
struct multihead_attention {
  using T = scalar_t<B>;
  linear<B> in_proj, out_proj;  // rows 0 .. W - 1 of in_proj are q, then k, then v
  attention<B> core;            // between the products
  bool causal = false;          // whether a row sees only itself and the rows before it
  bool qkv_bias = true;         // whether in_proj has a bias

  multihead_attention() = default;
  /// Parameters of these sizes, without memory until bind().
  multihead_attention(dim width, dim heads, bool is_causal, bool has_qkv_bias = true)
      : in_proj(width, 3 * width), out_proj(width, width), core{heads}, causal(is_causal), qkv_bias(has_qkv_bias) {}
  void visit(auto& v) {
    v("in_proj_weight", in_proj.weight, {in_proj.out, in_proj.in});
    if (qkv_bias) v("in_proj_bias", in_proj.bias, {in_proj.out});
    v("out_proj", out_proj);
  }

  struct saved {
    mat<T> qkv;             // (R, 3W); if rows are pooled (R, 2W), k and v alone
    mat<T> q, a;            // (Q, W), possibly a part of qkv; (Q, W), attention's output
    attention_input<T> in;  // views of q, k and v
    typename attention<B>::saved core;
  };
  /// Memory for the forward pass over these rows, until the step or the scratch around it ends.
  saved make_saved(step<B>& s, const block_rows& rows) const {
    const dim W = in_proj.in, R = rows.in.rows(), Q = rows.out.rows();
    saved ctx;
    ctx.core = core.make_saved(s, rows.out, rows.in);
    ctx.qkv = s.make(R, rows.pooled ? 2 * W : 3 * W);
    ctx.q = rows.pooled ? s.make(Q, W) : ctx.qkv.col_range(0, W);
    ctx.a = s.make(Q, W);
    const auto k = ctx.qkv.col_range(ctx.qkv.cols - 2 * W, W), v = ctx.qkv.col_range(ctx.qkv.cols - W, W);  // (R, W)
    ctx.in = {.q = ctx.q, .k = k, .v = v, .queries = rows.out, .keys = rows.in, .causal = causal && !rows.pooled};
    return ctx;
  }

  void forward(step<B>& s, mat<const T> x, const block_rows& rows, mat<T> y, const saved& ctx) const {  // (R, W) -> (Q, W)
    project(s, x, rows, ctx, y);
    core.forward(s, ctx.in, ctx.a, ctx.core);
    out_proj.forward(s, ctx.a, y);
  }
  /// dy (Q, W). Adds the gradients of the parameters to grad; dx (R, W) is overwritten.
  void backward(step<B>& s, mat<const T> x, const block_rows& rows, const saved& ctx, mat<const T> dy, multihead_attention& grad,
                mat<T> dx) const {
    scratch<B> here(s);
    const dim W = in_proj.in, R = x.rows, Q = dy.rows;
    auto da = s.make(Q, W), dqkv = s.make(R, 3 * W);                // (Q, W), (R, 3W)
    auto dq = rows.pooled ? s.make(Q, W) : dqkv.col_range(0, W);    // (Q, W)
    auto dk = dqkv.col_range(W, W), dv = dqkv.col_range(2 * W, W);  // (R, W)
    out_proj.backward(s, ctx.a, dy, grad.out_proj, da);
    core.backward(s, ctx.in, ctx.a, ctx.core, da, {.q = dq, .k = dk, .v = dv});
    if (!rows.pooled) return in_proj.backward(s, x, dqkv, grad.in_proj, dx);
    auto dxq = s.make(Q, W);  // (Q, W), for the rows that leave
    auto grad_q = grad.in_proj.rows(0, W), grad_kv = grad.in_proj.rows(W, 2 * W);
    in_proj.rows(0, W).backward(s, select_rows(s, x, rows.pooled), dq, grad_q, dxq);
    in_proj.rows(W, 2 * W).backward(s, x, dqkv.col_range(W, 2 * W), grad_kv, dx);
    s.device.scatter_add_rows(dxq, rows.pooled, dx);
  }

 private:
  /// q, k, v = in_proj(x), in one product; if rows are pooled, queries for those alone. spare (Q, W) may be overwritten.
  void project(step<B>& s, mat<const T> x, const block_rows& rows, const saved& ctx, mat<T> spare) const {
    if (!rows.pooled) return in_proj.forward(s, x, ctx.qkv);
    s.device.gather_rows(x, rows.pooled, spare);
    in_proj.rows(0, in_proj.in).forward(s, spare, ctx.q);
    in_proj.rows(in_proj.in, 2 * in_proj.in).forward(s, x, ctx.qkv);
  }
};

/// c_proj(act(c_fc(x))).
template <backend_types B>
struct mlp_layers {
  using T = scalar_t<B>;
  linear<B> c_fc, c_proj;                   // W to M columns and back
  activation act = activation::quick_gelu;  // between the two

  mlp_layers() = default;
  /// Parameters of these sizes, without memory until bind().
  mlp_layers(dim width, dim mlp_width, activation f) : c_fc(width, mlp_width), c_proj(mlp_width, width), act(f) {}
  void visit(auto& v) {
    v("c_fc", c_fc);
    v("c_proj", c_proj);
  }

  struct saved {
    mat<T> u, g;  // (Q, M), c_fc(x); (Q, M), act(u)
  };
  ///@{
  /// What resblock needs of Q rows: memory that keep::selective holds, memory that it does not, and what that held, again from x.
  void make_kept(step<B>& s, dim Q, saved& ctx) const { ctx.u = s.kept == keep::nothing ? mat<T>{} : s.make(Q, c_fc.out); }
  void make_recomputed(step<B>& s, dim Q, saved& ctx) const { ctx.g = s.make(Q, c_fc.out); }
  void recompute(step<B>& s, mat<const T> /*x*/, const saved& ctx) const { s.device.unary(act, ctx.u, ctx.g); }
  ///@}

  /// Empty y: only computes what the backward pass needs.
  void forward(step<B>& s, mat<const T> x, mat<T> y, const saved& ctx, const epilogue<T>& e = {}) const {  // (Q, W) -> (Q, W)
    c_fc.forward(s, x, ctx.g, {.f = act, .pre = ctx.u});
    if (y) c_proj.forward(s, ctx.g, y, e);
  }
  /// dy (Q, W). Adds the gradients of the parameters to grad; dx (Q, W) is overwritten.
  void backward(step<B>& s, mat<const T> x, const saved& ctx, mat<const T> dy, mlp_layers& grad, mat<T> dx) const {
    scratch<B> here(s);
    auto dg = s.make(dy.rows, c_fc.out), du = dg;  // (Q, M)
    c_proj.backward(s, ctx.g, dy, grad.c_proj, dg);
    s.device.unary_backward(act, ctx.u, dg, du);
    c_fc.backward(s, x, du, grad.c_fc, dx);
  }
};

/// x = x + attn(ln_1(x)); x = x + mlp(ln_2(x)); with LayerScale x = x + ls_1(attn(ln_1(x))); x = x + ls_2(mlp(ln_2(x))).
/// Mlp: mlp_layers or another with its members.
template <backend_types B, class Mlp = mlp_layers<B>>
struct resblock {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  using variant = block_variant;  // what the constructor takes
  layernorm<B> ln_1, ln_2;        // before attention and before the MLP
  multihead_attention<B> attn;    // the first branch
  Mlp mlp;                        // the second branch
  layer_scale<B> ls_1, ls_2;      // of the branches; width 0: none

  resblock() = default;
  /// Parameters of these sizes, without memory until bind().
  resblock(dim w, dim heads, dim mlp_width, activation f, double eps, bool causal, const block_variant& v = {})
      : ln_1(w, eps), ln_2(w, eps), attn(w, heads, causal, v.qkv_bias), mlp(w, mlp_width, f) {
    if (v.layer_scale) ls_1 = ls_2 = layer_scale<B>(w);
  }
  void visit(auto& v) {
    v("ln_1", ln_1);
    v("attn", attn);
    v("ln_2", ln_2);
    v("mlp", mlp);
    if (!scaled()) return;
    v("ls_1", ls_1);
    v("ls_2", ls_2);
  }
  bool scaled() const { return ls_1.width > 0; }  // whether there is LayerScale

  /// R rows of the batch enter the block and Q leave it.
  struct saved {
    mat<const T> x;  // (R, W)
    mat<T> h1;       // (R, W), ln_1(x)
    mat<T> x1;       // (Q, W), x + attn(h1), for the rows that leave
    mat<T> h2;       // (Q, W), ln_2(x1)
    mat<T> b1, b2;   // (Q, W), attn(h1) and mlp(h2), if they are scaled
    typename layernorm<B>::saved ln_1, ln_2;
    typename multihead_attention<B>::saved attn;
    typename Mlp::saved mlp;
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
  void backward(step<B>& s, saved ctx, const block_rows& rows, mat<const T> dy, resblock& grad, mat<T> dx) const {
    scratch<B> here(s);
    recompute(s, rows, ctx);
    auto dx1 = s.make(dy.rows, ln_1.width), dh2 = s.make(dy.rows, ln_1.width);  // (Q, W)
    auto dh1 = s.make(dx.rows, ln_1.width);                                     // (R, W)
    auto db1 = scaled() ? s.make(dy.rows, ln_1.width) : dx1, db2 = db1;         // (Q, W)
    // x = x + mlp(ln_2(x))
    if (scaled()) ls_2.backward(s, ctx.b2, dy, grad.ls_2, db2);
    mlp.backward(s, ctx.h2, ctx.mlp, scaled() ? mat<const T>(db2) : dy, grad.mlp, dh2);
    ln_2.backward(s, ctx.x1, ctx.ln_2, dh2, grad.ln_2, dx1, {.residual = dy});
    // x = x + attn(ln_1(x))
    if (scaled()) ls_1.backward(s, ctx.b1, dx1, grad.ls_1, db1);
    attn.backward(s, ctx.h1, rows, ctx.attn, db1, grad.attn, dh1);
    ln_1.backward(s, ctx.x, ctx.ln_1, dh1, grad.ln_1, dx, {.residual = rows.pooled ? mat<T>{} : dx1});
    if (rows.pooled) s.device.scatter_add_rows(dx1, rows.pooled, dx);
  }

 private:
  /// Empty y: only computes what the backward pass needs.
  void run(step<B>& s, const block_rows& rows, mat<T> y, const saved& ctx) const {
    scratch<B> here(s);
    auto x = select_rows(s, ctx.x, rows.pooled);                                     // (Q, W)
    auto branch = s.make(x.rows, ln_1.width);                                        // (Q, W)
    ln_1.forward(s, ctx.x, ctx.h1, ctx.ln_1);                                        // h1 = ln_1(x)
    attn.forward(s, ctx.h1, rows, scaled() ? ctx.b1 : branch, ctx.attn);             // branch = attn(h1)
    if (scaled()) ls_1.forward(s, ctx.b1, branch);                                   // branch = ls_1(attn(h1))
    ln_2.forward(s, {.x = x, .branch = branch, .sum = ctx.x1}, ctx.h2, ctx.ln_2);    // x1 = x + branch; h2 = ln_2(x1)
    if (!scaled()) return mlp.forward(s, ctx.h2, y, ctx.mlp, {.residual = ctx.x1});  // y = x1 + mlp(h2)
    mlp.forward(s, ctx.h2, ctx.b2, ctx.mlp);
    if (!y) return;
    ls_2.forward(s, ctx.b2, y);
    s.device.add(A(1), mat<const T>(ctx.x1), A(1), y);  // y = x1 + ls_2(mlp(h2))
  }

  // keep::nothing releases all memory after the forward pass; so does keep::inputs, which recomputes it in the backward pass;
  // keep::selective holds make_kept() and repeats make_recomputed(); keep::everything holds both.
  void make_kept(step<B>& s, const block_rows& rows, saved& ctx) const {
    ctx.ln_1 = ln_1.make_saved(s, rows.in.rows());
    ctx.ln_2 = ln_2.make_saved(s, rows.out.rows());
    ctx.attn = attn.make_saved(s, rows);
    ctx.x1 = s.make(rows.out.rows(), ln_1.width);
    if (scaled()) ctx.b1 = s.make(rows.out.rows(), ln_1.width), ctx.b2 = s.make(rows.out.rows(), ln_1.width);
    mlp.make_kept(s, rows.out.rows(), ctx.mlp);
  }
  void make_recomputed(step<B>& s, const block_rows& rows, saved& ctx) const {  // outputs of norms and activation
    ctx.h1 = s.make(rows.in.rows(), ln_1.width);
    ctx.h2 = s.make(rows.out.rows(), ln_1.width);
    mlp.make_recomputed(s, rows.out.rows(), ctx.mlp);
  }
  void recompute(step<B>& s, const block_rows& rows, saved& ctx) const {
    if (s.kept == keep::everything) return;
    if (s.kept == keep::inputs) make_kept(s, rows, ctx);
    make_recomputed(s, rows, ctx);
    if (s.kept == keep::inputs) return run(s, rows, {}, ctx);
    ln_1.forward(s, ctx.x, ctx.h1, ctx.ln_1);
    ln_2.forward(s, ctx.x1, ctx.h2, ctx.ln_2);
    mlp.recompute(s, ctx.h2, ctx.mlp);
  }
};

/// The stack of blocks, of resblock's kind or another with its members.
template <backend_types B, class Block = resblock<B>>
struct transformer {
  using T = scalar_t<B>;
  std::vector<Block> resblocks;  // from the input on

  transformer() = default;
  /// Parameters of these sizes, without memory until bind().
  transformer(dim layers, dim width, dim heads, dim mlp_width, activation f, double eps, bool causal)
      : resblocks(static_cast<std::size_t>(layers), Block(width, heads, mlp_width, f, eps, causal)) {}
  /// Blocks with other choices.
  transformer(dim layers, dim width, dim heads, dim mlp_width, activation f, double eps, bool causal, const block_variant& v)
      : resblocks(static_cast<std::size_t>(layers), Block(width, heads, mlp_width, f, eps, causal, v)) {}
  /// Blocks of another kind with its choices.
  template <class Variant>
  transformer(dim layers, dim width, dim heads, dim mlp_width, activation f, double eps, bool causal, const Variant& v)
      : resblocks(static_cast<std::size_t>(layers), Block(width, heads, mlp_width, f, eps, causal, v)) {}
  void visit(auto& v) { v("resblocks", resblocks); }

  struct saved {
    std::vector<typename Block::saved> blocks;
    sequences rows;  // the rows that entered and left
  };

  /// x (R, W), overwritten if nothing is kept -> the pooled rows (N, W), or (R, W) if all rows leave. more: what else a block
  /// reads.
  mat<T> forward(step<B>& s, mat<T> x, sequences rows, saved& ctx, const auto&... more) const {
    ctx.rows = std::move(rows);
    ctx.blocks.resize(resblocks.size());
    for (std::size_t i = 0; i < resblocks.size(); ++i) {
      const auto& here = i + 1 < resblocks.size() ? ctx.rows.inner : ctx.rows.last;
      auto y = s.kept == keep::nothing && !here.pooled ? x : s.make(here.out.rows(), x.cols);  // (Q, W)
      resblocks[i].forward(s, x, here, y, ctx.blocks[i], more...);
      x = y;
    }
    return x;
  }

  /// dy has the shape of forward's result and may be overwritten; dx (R, W) is overwritten. more: as in forward.
  void backward(step<B>& s, const saved& ctx, mat<const T> dy, transformer& grad, mat<T> dx, const auto&... more) const {
    expect(s.kept != keep::nothing, "backward: the forward pass kept nothing; make the step with another keep");
    scratch<B> here(s);
    auto other = s.make(dx.rows, dx.cols);  // (R, W); the two alternate so that the last block's result ends up in dx
    for (std::size_t i = resblocks.size(); i-- > 0;) {
      const auto& rows = i + 1 < resblocks.size() ? ctx.rows.inner : ctx.rows.last;
      auto to = i % 2 == 0 ? dx : other;
      resblocks[i].backward(s, ctx.blocks[i], rows, dy, grad.resblocks[i], to, more...);
      dy = to;
    }
  }
};

}  // namespace clipx
