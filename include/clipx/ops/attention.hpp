// Multi-head attention over row ranges: softmax(q k^T / sqrt(d)) v, head by head, sequence by sequence.
#pragma once
#include <cmath>

#include "../core/step.hpp"

namespace clipx {

/// q has the rows of `queries` and k, v those of `keys` (the same ranges in a block; one query a sequence where only the
/// pooled row is wanted). Head j owns columns j d .. (j + 1) d - 1. causal: row i of a sequence sees its rows <= i.
template <backend B>
struct attention {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  dim heads = 1;

  struct saved {
    mat<A> lse;            // (Rq, heads), log-sum-exp of the scores, where attention is fused
    mat<T> probabilities;  // (heads * sum of Lq, longest Lk), where it is composed
  };
  /// Memory for the backward pass.
  saved make_saved(step<B>& s, const row_ranges& queries, const row_ranges& keys) const {
    if constexpr (B::fast::attention) return {s.make_accum(queries.rows(), heads), {}};
    else return {{}, s.make(heads * queries.rows(), keys.longest)};
  }

  void forward(step<B>& s, mat<const T> q, mat<const T> k, mat<const T> v, const row_ranges& queries, const row_ranges& keys,
               bool causal, mat<T> y, const saved& kept) const {
    expect(queries.count == keys.count && q.cols == k.cols && q.cols % heads == 0, [&] {
      return cat("attention: ", q.cols, " columns and ", heads, " heads, ", queries.count, " against ", keys.count, " sequences");
    });
    expect(!causal || queries.rows() == keys.rows(), "attention: causal asks for the same ranges of queries and keys");
    if constexpr (B::fast::attention) {
      s.device.attention(q, k, v, queries, keys, heads, causal, y, kept.lse);
    } else {
      for_each_head(q.cols, queries, keys, [&](dim from, dim lq, dim key, dim lk, dim col, dim d, dim place) {
        scratch<B> here(s);
        auto scores = s.make_accum(lq, lk);                                         // (Lq, Lk)
        auto p = kept.probabilities ? block(kept, place, lq, lk) : s.make(lq, lk);  // (Lq, Lk)
        s.device.gemm(op::none, op::transpose, scale(d), part(q, from, lq, col, d), part(k, key, lk, col, d), A(0), scores);
        s.device.softmax(scores, causal);
        s.device.copy(mat<const A>(scores), p);
        s.device.gemm(op::none, op::none, A(1), mat<const T>(p), part(v, key, lk, col, d), A(0), part(y, from, lq, col, d));
      });
    }
  }

  void backward(step<B>& s, mat<const T> q, mat<const T> k, mat<const T> v, const row_ranges& queries, const row_ranges& keys,
                bool causal, mat<const T> y, const saved& kept, mat<const T> dy, mat<T> dq, mat<T> dk, mat<T> dv) const {
    if constexpr (B::fast::attention) {
      s.device.attention_backward(q, k, v, queries, keys, heads, causal, y, mat<const A>(kept.lse), dy, dq, dk, dv);
    } else {
      for_each_head(q.cols, queries, keys, [&](dim from, dim lq, dim key, dim lk, dim col, dim d, dim place) {
        scratch<B> here(s);
        auto p = block(kept, place, lq, lk);                          // (Lq, Lk)
        auto wide = s.make_accum(lq, lk), ds = s.make_accum(lq, lk);  // (Lq, Lk)
        auto dscores = s.make(lq, lk);                                // (Lq, Lk)
        auto dout = part(dy, from, lq, col, d);                       // (Lq, d)
        s.device.gemm(op::transpose, op::none, A(1), mat<const T>(p), dout, A(0), part(dv, key, lk, col, d));
        s.device.gemm(op::none, op::transpose, A(1), dout, part(v, key, lk, col, d), A(0), ds);
        s.device.copy(mat<const T>(p), wide);
        s.device.softmax_backward(mat<const A>(wide), ds);
        s.device.copy(mat<const A>(ds), dscores);
        s.device.gemm(op::none, op::none, scale(d), mat<const T>(dscores), part(k, key, lk, col, d), A(0),
                      part(dq, from, lq, col, d));
        s.device.gemm(op::transpose, op::none, scale(d), mat<const T>(dscores), part(q, from, lq, col, d), A(0),
                      part(dk, key, lk, col, d));
      });
    }
  }

 private:
  static A scale(dim d) { return A(1.0 / std::sqrt(static_cast<double>(d))); }
  template <class E>
  static mat<E> part(mat<E> m, dim row, dim rows, dim col, dim cols) {
    return m.row_range(row, rows).col_range(col, cols);
  }
  static mat<T> block(const saved& kept, dim place, dim lq, dim lk) {
    return kept.probabilities.row_range(place, lq).col_range(0, lk);
  }
  template <class F>
  void for_each_head(dim width, const row_ranges& queries, const row_ranges& keys, F&& f) const {
    const dim d = width / heads;
    for (dim i = 0; i < queries.count; ++i)
      for (dim j = 0; j < heads; ++j) {
        const dim from = queries.host[i], lq = queries.host[i + 1] - from, key = keys.host[i], lk = keys.host[i + 1] - key;
        f(from, lq, key, lk, j * d, d, from * heads + j * lq);
      }
  }
};

}  // namespace clipx
