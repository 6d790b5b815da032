// Softmax and attention, per sequence and head: small matrix products whose tiles stay in registers.
#ifndef CLIPX_CPU_ATTENTION_HPP
#define CLIPX_CPU_ATTENTION_HPP
#include "family.hpp"

namespace clipx::detail {

template <class T>
class cpu_attention : cpu_family<T> {
 public:
  using cpu_family<T>::cpu_family;

  /// Softmax of rows, in place; causal: row i sees columns <= i, the rest becomes 0.
  void softmax(mat<float> x, bool causal);
  /// From probabilities and their gradient, which is overwritten by the scores' gradient: dp <- p (dp - sum p dp).
  void softmax_backward(mat<const float> p, mat<float> dp);
  /// softmax(q k^T / sqrt(d)) v per sequence and head, d = q.cols / heads. q, k, v may be column ranges of one matrix. causal
  /// requires equal ranges. lse (rows of q, heads), the log-sum-exp of the scaled scores, may be empty.
  void attention(const attention_input<T>& in, dim heads, mat<T> y, mat<float> lse);
  /// Overwrites the gradients, which may be column ranges of one matrix. y, attention's result, is not read: see the kernel.
  void attention_backward(const attention_input<T>& in, dim heads, mat<const T> y, mat<const float> lse, mat<const T> dy,
                          const attention_gradients<T>& d);
};
CLIPX_CPU_DECLARED(cpu_attention);

}  // namespace clipx::detail
#endif

#ifdef CLIPX_CPU_KERNELS
HWY_BEFORE_NAMESPACE();
namespace clipx::simd::HWY_NAMESPACE {

/// Row r of x is row first + r of the scores.
inline void softmax(mat<float> x, bool causal, dim first) {
  for (dim r = 0; r < x.rows; ++r) {
    float* row = x.row(r);
    const dim n = causal && first + r + 1 < x.cols ? first + r + 1 : x.cols;
    const auto m = set(row_top(n, [&](auto at) CLIPX_LANES { return at.get(row); }));
    const float total = row_sum(n, [&](auto at, vf s) CLIPX_LANES {
      const auto e = exp_down(at.get(row) - m);
      at.put(e, row);
      return s + e;
    });
    const auto t = set(total);
    along(n, [&](auto at) CLIPX_LANES { at.put(at.get(row) / t, row); });
    for (dim c = n; c < x.cols; ++c) row[c] = 0;
  }
}

inline void softmax_backward(mat<const float> p, mat<float> dp) {
  for (dim r = 0; r < p.rows; ++r) {
    const auto dot =
        set(row_sum(p.cols, [&](auto at, vf s) CLIPX_LANES { return hn::MulAdd(at.get(p.row(r)), at.get(dp.row(r)), s); }));
    along(p.cols, [&](auto at) CLIPX_LANES { at.put(at.get(p.row(r)) * (at.get(dp.row(r)) - dot), dp.row(r)); });
  }
}

// A tile is tile_rows x tile_vectors sums in registers: 24 of 32 with AVX-512, else 12 of 16; in addition, one row of vectors of
// the second factor, and one vector for the broadcast element of the first.
inline constexpr dim tile_rows = lanes >= 16 ? 8 : 6, tile_vectors = lanes >= 16 ? 3 : 2;

/// Layout of the first factor: element (m, k) is at a[m stride + k], or at a[k stride + m].
enum class order { rows, columns };

/// c (M, V vectors) = a (M, steps) b (steps, V vectors). Every element is one chain of multiply-adds over k = 0, 1, ..., so a row's
/// result does not depend on the tile that computes it.
template <order O, int M, int V>
void tile(dim steps, const float* HWY_RESTRICT a, dim a_stride, const float* HWY_RESTRICT b, dim b_step, float* HWY_RESTRICT c,
          dim c_stride) {
  vf acc[M][V];
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) acc[m][v] = zero();
  for (dim k = 0; k < steps; ++k) {
    vf row[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) row[v] = load(b + k * b_step + v * lanes);
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
      const auto left = set(O == order::rows ? a[m * a_stride + k] : a[k * a_stride + m]);
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) acc[m][v] = hn::MulAdd(left, row[v], acc[m][v]);
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) store(acc[m][v], c + m * c_stride + v * lanes);
}
using tile_function = void (*)(dim, const float*, dim, const float*, dim, float*, dim);
/// The tile function for (1 + i / tile_vectors) rows and (1 + i % tile_vectors) vectors.
template <order O, int... I>
tile_function pick_tile(std::size_t i, std::integer_sequence<int, I...>) {
  static constexpr int vectors = static_cast<int>(tile_vectors);
  static constexpr tile_function all[] = {&tile<O, 1 + I / vectors, 1 + I % vectors>...};
  return all[i];
}

/// A second factor (depth, cols), divided into panels of at most tile_vectors vectors; a panel's rows are contiguous, so a tile
/// reads memory sequentially.
struct panels {
  float* data;
  dim depth, vectors, count;
  panels(float* d, dim rows, dim cols)
      : data(d), depth(rows), vectors((cols + lanes - 1) / lanes), count((vectors + tile_vectors - 1) / tile_vectors) {}
  static dim size(dim rows, dim cols) { return rows * ((cols + lanes - 1) / lanes * lanes); }
  dim first(dim p) const { return p * (vectors / count) + std::min(p, vectors % count); }  // first vector of panel p
  float* panel(dim p) const { return data + first(p) * lanes * depth; }
  dim width(dim p) const { return (first(p + 1) - first(p)) * lanes; }
};

/// c (rows, the first `wanted` columns, in whole vectors) = a (rows, from <= k < to) b.
template <order O>
void multiply(dim rows, dim from, dim to, const float* a, dim a_stride, const panels& b, dim wanted, float* c, dim c_stride) {
  const dim vectors = std::min(b.vectors, (wanted + lanes - 1) / lanes);
  a += O == order::rows ? from : from * a_stride;
  for (dim p = 0; p < b.count && b.first(p) < vectors; ++p) {
    const dim v = std::min(b.first(p + 1), vectors) - b.first(p);
    const auto run = pick_tile<O>(static_cast<std::size_t>((rows - 1) * tile_vectors + v - 1),
                                  std::make_integer_sequence<int, static_cast<int>(tile_rows * tile_vectors)>());
    run(to - from, a, a_stride, b.panel(p) + from * b.width(p), b.width(p), c + b.first(p) * lanes, c_stride);
  }
}

/// b = x^T: (d, L) from x (L, d).
template <class T>
void pack_transposed(mat<const T> x, const panels& b) {
  for (dim p = 0; p < b.count; ++p) {
    const dim width = b.width(p), first = b.first(p) * lanes;
    for (dim j = 0; j < width; ++j) {
      float* to = b.panel(p) + j;
      if (first + j < x.rows) {
        const T* from = x.row(first + j);
        for (dim k = 0; k < x.cols; ++k) to[k * width] = static_cast<float>(from[k]);
      } else {
        for (dim k = 0; k < x.cols; ++k) to[k * width] = 0;
      }
    }
  }
}
/// b = scale x: (L, d).
template <class T>
void pack_rows(mat<const T> x, float scale, const panels& b) {
  const auto s = set(scale);
  for (dim p = 0; p < b.count; ++p) {
    const dim width = b.width(p), first = b.first(p) * lanes;
    for (dim r = 0; r < x.rows; ++r) {
      const T* from = x.row(r) + first;
      float* to = b.panel(p) + r * width;
      along(std::min(width, x.cols - first), [&](auto at) CLIPX_LANES { store(s * at.get(from), to + at.i); });
    }
  }
}
/// A first factor in blocks of tile_rows rows: a[k tile_rows + m] = scale x(m, k).
template <class T>
void pack_block(mat<const T> x, float scale, float* a) {
  for (dim m = 0; m < x.rows; ++m)
    for (dim k = 0; k < x.cols; ++k) a[k * tile_rows + m] = scale * static_cast<float>(x.row(m)[k]);
}

inline dim padded(dim n) { return (n + lanes - 1) / lanes * lanes; }
inline float score_scale(dim d) { return static_cast<float>(1.0 / std::sqrt(static_cast<double>(d))); }

/// Keeps v in the lanes of the vector at column c that are before column n, and takes `other` in the rest.
HWY_INLINE vf before(dim c, dim n, vf v, vf other) {
  return c + lanes <= n ? v : hn::IfThenElse(hn::FirstN(df(), static_cast<std::size_t>(std::max<dim>(0, n - c))), v, other);
}

/// Replaces scores by exp(score - top) in the first n columns and by 0 in the rest of the `width` ones; returns top and the sum.
HWY_INLINE std::pair<float, float> exponentials(float* row, dim n, dim width) {
  const auto lowest = set(-std::numeric_limits<float>::infinity());
  auto high = lowest;
  for (dim c = 0; c < n; c += lanes) high = hn::Max(high, before(c, n, load(row + c), lowest));
  const float most = top(high);
  const auto m = set(most);
  auto total = zero();
  for (dim c = 0; c < width; c += lanes) {
    const auto e = c < n ? before(c, n, exp_down(load(row + c) - m), zero()) : zero();
    total = total + e;
    store(e, row + c);
  }
  return {most, sum(total)};
}

/// y = softmax(q k^T / sqrt(d)) v, tile_rows queries at a time.
template <class T>
void attention(mat<const T> q, mat<const T> k, mat<const T> v, bool causal, mat<T> y, mat<float> lse) {
  const dim d = q.cols, keys = k.rows, width = padded(keys);
  float* memory = scratch(panels::size(d, keys) + panels::size(keys, d) + tile_rows * (d + width + padded(d)));
  const auto take = [&](dim n) { return std::exchange(memory, memory + n); };
  const panels kt(take(panels::size(d, keys)), d, keys), values(take(panels::size(keys, d)), keys, d);
  float *scores = take(tile_rows * width), *sums = take(tile_rows * padded(d)), *block = take(tile_rows * d);
  pack_transposed(k, kt);
  pack_rows(v, 1.0f, values);
  for (dim i = 0; i < q.rows; i += tile_rows) {
    const dim rows = std::min(tile_rows, q.rows - i), seen = causal ? std::min(keys, i + rows) : keys;
    pack_block(q.row_range(i, rows), score_scale(d), block);
    multiply<order::columns>(rows, 0, d, block, tile_rows, kt, seen, scores, width);
    float inverse[tile_rows];
    for (dim m = 0; m < rows; ++m) {
      const auto [most, total] = exponentials(scores + m * width, causal ? std::min(keys, i + m + 1) : keys, padded(seen));
      inverse[m] = 1.0f / total;
      if (lse) lse.row(i + m)[0] = most + std::log(total);
    }
    multiply<order::rows>(rows, 0, seen, scores, width, values, d, sums, padded(d));
    for (dim m = 0; m < rows; ++m) {
      const auto s = set(inverse[m]);
      along(d, [&](auto at) CLIPX_LANES { at.put(s * load(sums + m * padded(d) + at.i), y.row(i + m)); });
    }
  }
}

/// y (rows of x) <- scale * sums.
template <class T>
void put_rows(const float* sums, dim rows, dim first, float scale, mat<T> y) {
  const auto s = set(scale);
  for (dim m = 0; m < rows; ++m)
    along(y.cols, [&](auto at) CLIPX_LANES { at.put(s * load(sums + m * padded(y.cols) + at.i), y.row(first + m)); });
}

/// P = exp(S - lse), dP = dy v^T, dS = P (dP - sum P dP); dq = dS k / sqrt(d), dk = dS^T q / sqrt(d), dv = P^T dy. The sum equals
/// dy y, but computed from P it is not affected by the rounding of y. P is divided by its sum, because lse was rounded too: where
/// lse is large, dS would no longer sum to 0.
template <class T>
void attention_backward(mat<const T> q, mat<const T> k, mat<const T> v, bool causal, mat<const float> lse, mat<const T> dy,
                        mat<T> dq, mat<T> dk, mat<T> dv) {
  const dim d = q.cols, queries = q.rows, keys = k.rows, width = padded(keys);
  float* memory = scratch(2 * panels::size(d, keys) + panels::size(keys, d) + 2 * panels::size(queries, d) + 2 * queries * width +
                          tile_rows * (d + padded(d)));
  const auto take = [&](dim n) { return std::exchange(memory, memory + n); };
  const panels kt(take(panels::size(d, keys)), d, keys), vt(take(panels::size(d, keys)), d, keys);
  const panels key_rows(take(panels::size(keys, d)), keys, d);
  const panels query_rows(take(panels::size(queries, d)), queries, d), grad_rows(take(panels::size(queries, d)), queries, d);
  float *p = take(queries * width), *ds = take(queries * width), *sums = take(tile_rows * padded(d)), *block = take(tile_rows * d);
  pack_transposed(k, kt);
  pack_transposed(v, vt);
  pack_rows(k, 1.0f, key_rows);
  pack_rows(q, score_scale(d), query_rows);
  pack_rows(dy, 1.0f, grad_rows);
  for (dim i = 0; i < queries; i += tile_rows) {
    const dim rows = std::min(tile_rows, queries - i), seen = causal ? std::min(keys, i + rows) : keys;
    pack_block(q.row_range(i, rows), score_scale(d), block);
    multiply<order::columns>(rows, 0, d, block, tile_rows, kt, seen, p + i * width, width);
    pack_block(dy.row_range(i, rows), 1.0f, block);
    multiply<order::columns>(rows, 0, d, block, tile_rows, vt, seen, ds + i * width, width);
    for (dim m = i; m < i + rows; ++m) {
      const dim n = causal ? std::min(keys, m + 1) : keys;
      float *prob = p + m * width, *grad = ds + m * width;
      const auto norm = set(lse.row(m)[0]);
      auto dot = zero(), total = zero();
      for (dim c = 0; c < padded(seen); c += lanes) {
        const auto e = before(c, n, exp_down(load(prob + c) - norm), zero());
        store(e, prob + c);
        dot = hn::MulAdd(e, load(grad + c), dot);
        total = total + e;
      }
      const float inverse = 1.0f / sum(total);
      const auto mean = set(sum(dot) * inverse), unit = set(inverse);
      for (dim c = 0; c < padded(seen); c += lanes) {
        const auto e = load(prob + c) * unit;
        store(e, prob + c);
        store(e * (load(grad + c) - mean), grad + c);
      }
    }
    multiply<order::rows>(rows, 0, seen, ds + i * width, width, key_rows, d, sums, padded(d));
    put_rows(sums, rows, i, score_scale(d), dq);
  }
  for (dim j = 0; j < keys; j += tile_rows) {  // if causal, key j is seen by queries >= j
    const dim rows = std::min(tile_rows, keys - j), from = causal ? std::min(j, queries) : 0;
    multiply<order::columns>(rows, from, queries, ds + j, width, query_rows, d, sums, padded(d));
    put_rows(sums, rows, j, 1.0f, dk);
    multiply<order::columns>(rows, from, queries, p + j, width, grad_rows, d, sums, padded(d));
    put_rows(sums, rows, j, 1.0f, dv);
  }
}

}  // namespace clipx::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#ifdef CLIPX_CPU_MEMBERS
namespace clipx::detail {

template <class T>
void cpu_attention<T>::softmax(mat<float> x, bool causal) {
  simd::parallel_ranges(this->threads_, x.rows, 4 * x.cols, 1, [&](dim first, dim n) {
    CLIPX_KERNEL(softmax)(x.row_range(first, n), causal, first);
  });
}
template <class T>
void cpu_attention<T>::softmax_backward(mat<const float> p, mat<float> dp) {
  simd::parallel_rows(this->threads_, p.rows, p.cols, CLIPX_KERNEL(softmax_backward), p, dp);
}

/// The place of one head of one sequence.
struct attention_head {
  dim query, queries, key, keys;  // first row and number of rows
  dim number, width;              // the head's columns start at number * width; there are `width` of them

  template <class E>
  mat<E> of_queries(mat<E> m) const {
    return m.row_range(query, queries).col_range(number * width, width);
  }
  template <class E>
  mat<E> of_keys(mat<E> m) const {
    return m.row_range(key, keys).col_range(number * width, width);
  }
  template <class E>
  mat<E> of_lse(mat<E> m) const {
    return m ? m.row_range(query, queries).col_range(number, 1) : m;
  }
};
template <class F>
void parallel_heads(int threads, const row_ranges& queries, const row_ranges& keys, dim heads, dim width, F&& f) {
  const bool small = queries.rows() * keys.longest * width * heads < dim{1} << 18;
  simd::parallel_tasks(small ? 1 : threads, queries.count * heads, [&](dim task) {
    const dim i = task / heads;
    f(attention_head{.query = queries.host[i],
                     .queries = queries.host[i + 1] - queries.host[i],
                     .key = keys.host[i],
                     .keys = keys.host[i + 1] - keys.host[i],
                     .number = task % heads,
                     .width = width});
  });
}

template <class T>
void cpu_attention<T>::attention(const attention_input<T>& in, dim heads, mat<T> y, mat<float> lse) {
  parallel_heads(this->threads_, in.queries, in.keys, heads, in.q.cols / heads, [&](const attention_head& h) {
    CLIPX_KERNEL(attention<T>)(h.of_queries(in.q), h.of_keys(in.k), h.of_keys(in.v), in.causal, h.of_queries(y), h.of_lse(lse));
  });
}
template <class T>
void cpu_attention<T>::attention_backward(const attention_input<T>& in, dim heads, mat<const T>, mat<const float> lse,
                                          mat<const T> dy, const attention_gradients<T>& d) {
  parallel_heads(this->threads_, in.queries, in.keys, heads, in.q.cols / heads, [&](const attention_head& h) {
    const auto kernel = CLIPX_KERNEL(attention_backward<T>);
    kernel(h.of_queries(in.q), h.of_keys(in.k), h.of_keys(in.v), in.causal, h.of_lse(lse), h.of_queries(dy), h.of_queries(d.q),
           h.of_keys(d.k), h.of_keys(d.v));
  });
}

CLIPX_CPU_DEFINED(cpu_attention);

}  // namespace clipx::detail
#endif
