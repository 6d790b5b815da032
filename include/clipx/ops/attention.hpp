// Multi-head attention over row ranges: softmax(q k^T / sqrt(d)) v for each head of each sequence.
#pragma once
#include <cmath>

#include "../core/step.hpp"

namespace clipx {

/// Head j has columns j d .. (j + 1) d - 1.
template <backend_types B>
struct attention {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  dim heads = 1;  // they share the columns equally

  struct saved {
    mat<A> lse;            // (Rq, heads), log-sum-exp of the scores, if attention is fused
    mat<T> probabilities;  // (heads * sum of Lq, longest Lk), if it is composed
  };
  /// Memory for the backward pass; empty if nothing is kept.
  saved make_saved(step<B>& s, const row_ranges& queries, const row_ranges& keys) const {
    if (s.kept == keep::nothing) return {};
    if constexpr (B::fast::attention) return {s.make_accum(queries.rows(), heads), {}};
    else return {{}, s.make(heads * queries.rows(), keys.longest)};
  }

  void forward(step<B>& s, const attention_input<T>& in, mat<T> y, const saved& ctx) const {  // -> (Rq, W)
    const auto &queries = in.queries, &keys = in.keys;
    expect(queries.count == keys.count && in.q.cols == in.k.cols && in.q.cols % heads == 0, [&] {
      return cat("attention: ", in.q.cols, " columns and ", heads, " heads, ", queries.count, " against ", keys.count,
                 " sequences");
    });
    expect(!in.causal || queries.rows() == keys.rows(), "attention: causal requires the same ranges of queries and keys");
    if constexpr (B::fast::attention) {
      s.device.attention(in, heads, y, ctx.lse);
    } else {
      for_each_head(in, [&](const head& h) {
        scratch<B> here(s);
        auto scores = s.make_accum(h.lq, h.lk);                                                   // (Lq, Lk)
        auto p = ctx.probabilities ? h.of_probabilities(ctx.probabilities) : s.make(h.lq, h.lk);  // (Lq, Lk)
        s.device.gemm(op::none, op::transpose, h.scale(), h.of_queries(in.q), h.of_keys(in.k), A(0), scores);
        s.device.softmax(scores, in.causal);
        s.device.copy(scores, p);
        s.device.gemm(op::none, op::none, A(1), p, h.of_keys(in.v), A(0), h.of_queries(y));
      });
    }
  }

  /// y: the output of forward. The gradients are overwritten.
  void backward(step<B>& s, const attention_input<T>& in, mat<const T> y, const saved& ctx, mat<const T> dy,
                const attention_gradients<T>& d) const {
    if constexpr (B::fast::attention) {
      s.device.attention_backward(in, heads, y, ctx.lse, dy, d);
    } else {
      for_each_head(in, [&](const head& h) {
        scratch<B> here(s);
        auto p = h.of_probabilities(ctx.probabilities);  // (Lq, Lk)
        auto p_accum = s.make_accum(h.lq, h.lk);         // (Lq, Lk)
        auto ds_accum = s.make_accum(h.lq, h.lk);        // (Lq, Lk), the gradient of the scores
        auto ds = s.make(h.lq, h.lk);                    // (Lq, Lk)
        s.device.gemm(op::transpose, op::none, A(1), p, h.of_queries(dy), A(0), h.of_keys(d.v));
        s.device.gemm(op::none, op::transpose, A(1), h.of_queries(dy), h.of_keys(in.v), A(0), ds_accum);
        s.device.copy(p, p_accum);
        s.device.softmax_backward(p_accum, ds_accum);
        s.device.copy(ds_accum, ds);
        s.device.gemm(op::none, op::none, h.scale(), ds, h.of_keys(in.k), A(0), h.of_queries(d.q));
        s.device.gemm(op::transpose, op::none, h.scale(), ds, h.of_queries(in.q), A(0), h.of_keys(d.k));
      });
    }
  }

 private:
  /// One head of one sequence, with its part of each matrix.
  struct head {
    dim query, lq, key, lk;  // first row and number of rows: of the queries, of the keys
    dim column, d;           // first column and number of columns
    dim place;               // first row of the head's probabilities
    A scale() const { return A(1.0 / std::sqrt(static_cast<double>(d))); }
    auto of_queries(auto m) const { return m.row_range(query, lq).col_range(column, d); }    // (Lq, d)
    auto of_keys(auto m) const { return m.row_range(key, lk).col_range(column, d); }         // (Lk, d)
    auto of_probabilities(auto m) const { return m.row_range(place, lq).col_range(0, lk); }  // (Lq, Lk)
  };
  template <class F>
  void for_each_head(const attention_input<T>& in, F&& f) const {
    const dim d = in.q.cols / heads;
    for (dim i = 0; i < in.queries.count; ++i) {
      const dim query = in.queries.host[i], lq = in.queries.host[i + 1] - query;
      const dim key = in.keys.host[i], lk = in.keys.host[i + 1] - key;
      for (dim j = 0; j < heads; ++j)
        f(head{.query = query, .lq = lq, .key = key, .lk = lk, .column = j * d, .d = d, .place = query * heads + j * lq});
    }
  }
};

}  // namespace clipx
