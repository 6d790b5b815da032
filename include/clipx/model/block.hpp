// The pre-norm residual attention block of both towers, and the stack of them (CLIP's ResidualAttentionBlock, Transformer).
#pragma once
#include <optional>
#include <vector>

#include "../ops/attention.hpp"
#include "../ops/linear.hpp"
#include "../ops/norm.hpp"

namespace clipx {

/// The one row of every sequence that leaves a tower. In the last block only that row needs a query, a projection and an MLP.
struct pooled_rows {
  mat<const std::int32_t> ids;  // (1, N), row in the packed batch
  row_ranges one_each;          // N sequences of one row
};

/// The projections around attention, under the checkpoint's names; rows 0..W-1 of in_proj are q, then k, then v.
template <backend B>
struct attention_projections {
  using T = scalar_t<B>;
  linear<B> in_proj, out_proj;
  template <class V>
  void visit(V& v) {
    v("in_proj_weight", in_proj.weight, {in_proj.out, in_proj.in});
    v("in_proj_bias", in_proj.bias, {in_proj.out});
    v("out_proj", out_proj);
  }
};

template <backend B>
struct mlp_layers {
  linear<B> c_fc, c_proj;
  template <class V>
  void visit(V& v) {
    v("c_fc", c_fc);
    v("c_proj", c_proj);
  }
};

template <backend B>
struct resblock {
  using T = scalar_t<B>;
  layernorm<B> ln_1, ln_2;
  attention_projections<B> attn;
  mlp_layers<B> mlp;

  dim width = 0;
  attention<B> mix;
  activation act = activation::quick_gelu;
  bool causal = false;

  resblock() = default;
  resblock(dim w, dim heads, dim mlp_width, activation f, double eps, bool is_causal)
      : ln_1(w, eps),
        ln_2(w, eps),
        attn{{w, 3 * w}, {w, w}},
        mlp{{w, mlp_width}, {mlp_width, w}},
        width(w),
        mix{heads},
        act(f),
        causal(is_causal) {}
  template <class V>
  void visit(V& v) {
    v("ln_1", ln_1);
    v("attn", attn);
    v("ln_2", ln_2);
    v("mlp", mlp);
  }

  /// What the forward pass leaves for the backward one. R rows of the batch, Q rows that leave the block (R, or N if pooled).
  struct saved {
    mat<const T> x;          // (R, W)
    mat<T> h1, q, kv;        // (R, W), (Q, W), (R, 2W)
    mat<T> x1;               // (Q, W), x of the rows that leave
    mat<T> a, x2, h2, u, g;  // (Q, W), (Q, W), (Q, W), (Q, M), (Q, M)
    typename layernorm<B>::saved ln_1, ln_2;
    typename attention<B>::saved mix;
  };

  /// x = x + attn(ln_1(x)); x = x + mlp(ln_2(x)). y may be x itself if nothing is kept. pool: only those rows leave.
  void forward(step<B>& s, mat<const T> x, const row_ranges& rows, const pooled_rows* pool, mat<T> y, saved& k) const {
    k.x = x;
    scratch<B> all(s, s.kept == keep::nothing || s.kept == keep::inputs);
    compute(s, rows, pool, y, k, s.kept == keep::everything, s.kept != keep::nothing);
  }

  /// dx (R, W) is written. dy is (Q, W).
  void backward(step<B>& s, saved k, const row_ranges& rows, const pooled_rows* pool, mat<const T> dy, resblock& grad,
                mat<T> dx) const {
    scratch<B> here(s);
    const dim R = k.x.rows, Q = dy.rows, W = width;
    if (s.kept == keep::inputs) compute(s, rows, pool, {}, k, true, true);
    if (s.kept == keep::selective) {
      k.h1 = s.make(R, W), k.h2 = s.make(Q, W), k.g = s.make(Q, mlp.c_fc.out);
      ln_1.forward(s, k.x, k.h1, k.ln_1);
      ln_2.forward(s, mat<const T>(k.x2), k.h2, k.ln_2);
      s.device.unary(act, mat<const T>(k.u), k.g);
    }
    const auto& queries = pool ? pool->one_each : rows;

    // y = x2 + c_proj(act(c_fc(ln_2(x2))))
    auto dg = s.make(Q, mlp.c_fc.out), du = dg;   // (Q, M)
    auto dh2 = s.make(Q, W), dx2 = s.make(Q, W);  // (Q, W)
    mlp.c_proj.backward(s, mat<const T>(k.g), dy, grad.mlp.c_proj, dg);
    s.device.unary_backward(act, mat<const T>(k.u), mat<const T>(dg), du);
    mlp.c_fc.backward(s, mat<const T>(k.h2), mat<const T>(du), grad.mlp.c_fc, dh2);
    ln_2.backward(s, mat<const T>(k.x2), k.ln_2, mat<const T>(dh2), grad.ln_2, dy, dx2);

    // x2 = x1 + out_proj(attention(q, k, v))
    auto da = dh2;                                         // (Q, W)
    auto dqkv = s.make(R, 3 * W);                          // (R, 3W)
    auto dq = pool ? s.make(Q, W) : dqkv.col_range(0, W);  // (Q, W)
    auto dkv = dqkv.col_range(W, 2 * W);                   // (R, 2W)
    attn.out_proj.backward(s, mat<const T>(k.a), mat<const T>(dx2), grad.attn.out_proj, da);
    mix.backward(s, mat<const T>(k.q), mat<const T>(k.kv.col_range(0, W)), mat<const T>(k.kv.col_range(W, W)), queries, rows,
                 causal && !pool, mat<const T>(k.a), k.mix, mat<const T>(da), dq, dkv.col_range(0, W), dkv.col_range(W, W));

    // q, k, v = in_proj(ln_1(x)), and the residual into dx
    auto dh1 = s.make(R, W);  // (R, W)
    if (!pool) {
      attn.in_proj.backward(s, mat<const T>(k.h1), mat<const T>(dqkv), grad.attn.in_proj, dh1);
    } else {
      auto hq = s.make(Q, W), dhq = s.make(Q, W);  // (Q, W)
      auto grad_q = grad.attn.in_proj.rows(0, W), grad_kv = grad.attn.in_proj.rows(W, 2 * W);
      s.device.gather_rows(mat<const T>(k.h1), pool->ids, hq);
      attn.in_proj.rows(0, W).backward(s, mat<const T>(hq), mat<const T>(dq), grad_q, dhq);
      attn.in_proj.rows(W, 2 * W).backward(s, mat<const T>(k.h1), mat<const T>(dkv), grad_kv, dh1);
      s.device.scatter_add_rows(mat<const T>(dhq), pool->ids, dh1);
    }
    if (!pool) {
      ln_1.backward(s, k.x, k.ln_1, mat<const T>(dh1), grad.ln_1, mat<const T>(dx2), dx);
    } else {
      ln_1.backward(s, k.x, k.ln_1, mat<const T>(dh1), grad.ln_1, dx);
      s.device.scatter_add_rows(mat<const T>(dx2), pool->ids, dx);
    }
  }

 private:
  /// What every mode keeps longest is taken first, so that the rest can be given back. y empty: only k is wanted.
  void compute(step<B>& s, const row_ranges& rows, const pooled_rows* pool, mat<T> y, saved& k, bool norms, bool backward) const {
    const dim R = k.x.rows, Q = pool ? pool->ids.cols : R, W = width, M = mlp.c_fc.out;
    const auto& queries = pool ? pool->one_each : rows;
    if (backward) {
      k.ln_1.stats = s.make_accum(R, 2), k.ln_2.stats = s.make_accum(Q, 2);
      k.mix = mix.make_saved(s, queries, rows);
    }
    auto qkv = s.make(R, (pool ? 2 : 3) * W);  // (R, 3W), or k and v
    k.q = pool ? s.make(Q, W) : qkv.col_range(0, W), k.kv = qkv.col_range(pool ? 0 : W, 2 * W);
    k.a = s.make(Q, W), k.x2 = s.make(Q, W), k.u = backward ? s.make(Q, M) : mat<T>{};
    scratch<B> temporary(s, !norms);
    k.h1 = s.make(R, W), k.x1 = pool ? s.make(Q, W) : mat<T>{}, k.h2 = s.make(Q, W), k.g = s.make(Q, M);
    auto branch = s.make(Q, W);  // (Q, W)

    ln_1.forward(s, k.x, k.h1, k.ln_1);
    if (pool) {
      auto hq = k.h2;  // (Q, W), free until ln_2
      s.device.gather_rows(mat<const T>(k.h1), pool->ids, hq);
      s.device.gather_rows(k.x, pool->ids, k.x1);
      attn.in_proj.rows(0, W).forward(s, mat<const T>(hq), k.q);
      attn.in_proj.rows(W, 2 * W).forward(s, mat<const T>(k.h1), qkv);
    } else {
      attn.in_proj.forward(s, mat<const T>(k.h1), qkv);
    }
    mix.forward(s, mat<const T>(k.q), mat<const T>(k.kv.col_range(0, W)), mat<const T>(k.kv.col_range(W, W)), queries, rows,
                causal && !pool, k.a, k.mix);
    attn.out_proj.forward(s, mat<const T>(k.a), branch);
    ln_2.forward(s, pool ? mat<const T>(k.x1) : k.x, mat<const T>(branch), k.x2, k.h2, k.ln_2);  // x2 = x + branch
    mlp.c_fc.forward(s, mat<const T>(k.h2), k.g, {.f = &act, .residual = {}, .pre = k.u});
    if (y) mlp.c_proj.forward(s, mat<const T>(k.g), y, {.f = nullptr, .residual = mat<const T>(k.x2), .pre = {}});
  }
};

/// The stack of blocks. With `pool` only the pooled row of each sequence leaves: (N, W); else all rows: (R, W).
template <backend B>
struct transformer {
  using T = scalar_t<B>;
  std::vector<resblock<B>> resblocks;

  transformer() = default;
  transformer(dim layers, dim width, dim heads, dim mlp_width, activation f, double eps, bool causal)
      : resblocks(static_cast<std::size_t>(layers), resblock<B>(width, heads, mlp_width, f, eps, causal)) {}
  template <class V>
  void visit(V& v) {
    v("resblocks", resblocks);
  }

  struct saved {
    std::vector<typename resblock<B>::saved> blocks;
    row_ranges rows;
    std::optional<pooled_rows> pool;
  };

  /// x is overwritten where nothing is kept.
  mat<T> forward(step<B>& s, mat<T> x, const row_ranges& rows, std::optional<pooled_rows> pool, saved& k) const {
    k.rows = rows, k.pool = pool, k.blocks.resize(resblocks.size());
    for (std::size_t i = 0; i < resblocks.size(); ++i) {
      const auto* last = pool && i + 1 == resblocks.size() ? &*pool : nullptr;
      auto y = last ? s.make(pool->ids.cols, x.cols) : s.kept == keep::nothing ? x : s.make(x.rows, x.cols);
      resblocks[i].forward(s, mat<const T>(x), rows, last, y, k.blocks[i]);
      x = y;
    }
    return x;
  }

  /// dy (N, W) where pooled, else (R, W), which may be overwritten; the gradient of x, (R, W), is written to dx.
  void backward(step<B>& s, const saved& k, mat<const T> dy, transformer& grad, mat<T> dx) const {
    expect(s.kept != keep::nothing, "backward: the forward pass kept nothing; make the step with another keep");
    scratch<B> here(s);
    auto other = s.make(dx.rows, dx.cols);  // (R, W), the two take turns so that the last block's result lands in dx
    for (std::size_t i = resblocks.size(); i-- > 0;) {
      const auto* last = k.pool && i + 1 == resblocks.size() ? &*k.pool : nullptr;
      auto to = i % 2 == 0 ? dx : other;
      resblocks[i].backward(s, k.blocks[i], k.rows, last, dy, grad.resblocks[i], to);
      dy = to;
    }
  }
};

}  // namespace clipx
