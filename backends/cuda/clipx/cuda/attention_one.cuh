// Attention with one query per sequence (the attention pool, the last block of a tower): a block has one sequence and head, and its
// time is that of reading k and v. Scores stay in shared memory; sums have a fixed order, so results are the same every time.
#pragma once
#include "attention_tiles.cuh"

namespace clipx::gpu {

inline constexpr int one_threads = 128, one_warps = one_threads / 32;
inline constexpr int one_lanes = 8;                          // threads that share a key's row: N columns each, then the next 8 N
inline constexpr int one_groups = one_threads / one_lanes;   // keys processed side by side
inline constexpr int one_ahead = 4;                          // keys that a thread loads together
inline constexpr std::size_t one_most_bytes = 48 * 1024;     // of shared memory, which every device provides by default
constexpr int one_padded(int d) { return (d + 7) / 8 * 8; }  // vectors in shared memory start at multiples of 16 bytes
/// Shared memory per block, forward or backward.
inline std::size_t one_bytes(dim keys, dim d, bool backward) {
  const int vectors = (backward ? 2 : 1) + one_warps, weights = backward ? 2 : 1;
  return static_cast<std::size_t>(vectors * one_padded(static_cast<int>(d)) + weights * keys + 33) * sizeof(float);
}

/// Calls f(i) for every i < n, distributed over the block's threads.
template <class F>
__device__ void one_each(int n, F&& f) {
#pragma unroll 1
  for (int i = static_cast<int>(threadIdx.x); i < n; i += one_threads) f(i);
}
/// The keys or values of one sequence and head.
template <class T>
struct one_rows {
  T* data;
  dim ld;
  template <class E>
  __device__ one_rows(mat<E> x, dim first, int column) : data(x.row(first) + column), ld(x.ld) {}
  __device__ T* at(int key, int column) const { return data + key * ld + column; }
};
/// A block's keys, its query's row (zeros for a sequence without a query) and its part of shared memory.
struct one_query {
  int d, keys, column, head;
  dim first, row;
  bool asked;
  int lane = static_cast<int>(threadIdx.x) % one_lanes, group = static_cast<int>(threadIdx.x) / one_lanes;
  float* memory = shared_memory<float>();
  template <class T>
  __device__ one_query(const head_rows<T>& q, const head_rows<T>& k, int heads, int width)
      : d(width), head(static_cast<int>(blockIdx.x) % heads) {
    const unsigned sequence = blockIdx.x / static_cast<unsigned>(heads);
    column = head * d;
    first = k.first[sequence];
    keys = static_cast<int>(k.first[sequence + 1] - first);
    row = q.first[sequence];
    asked = q.first[sequence + 1] > row;
  }
  __device__ float* take(int floats) {
    memory += floats;
    return memory - floats;
  }
  /// The query's row of x, as floats in shared memory.
  template <class T>
  __device__ float* vector(mat<const T> x) {
    float* out = take(one_padded(d));
    const T* from = x.row(row) + column;
    one_each(d, [&](int c) { out[c] = asked ? value(from[c]) : 0.0f; });
    return out;
  }
  template <class T>
  __device__ one_rows<T> part(mat<T> x) const {
    return {x, first, column};
  }
};

/// out[key] = <a, the key's row of x>.
template <int N, class T>
__device__ void one_dots(const one_query& at, const float* a, one_rows<const T> x, float* out) {
  for (int from = 0; from < at.keys; from += one_ahead * one_groups) {
    const auto key = [&](int j) { return from + j * one_groups + at.group; };
    float sums[one_ahead] = {};
    for (int c = at.lane * N; c < at.d; c += one_lanes * N) {
      const auto left = load<N>(a + c);
#pragma unroll
      for (int j = 0; j < one_ahead; ++j) {
        const auto right = load<N>(x.at(min(key(j), at.keys - 1), c));
#pragma unroll
        for (int i = 0; i < N; ++i) sums[j] = fmaf(left.at[i], right.at[i], sums[j]);
      }
    }
#pragma unroll
    for (int j = 0; j < one_ahead; ++j) {
      for (int step = 1; step < one_lanes; step *= 2) sums[j] += __shfl_xor_sync(all_lanes, sums[j], step);
      if (at.lane == j && key(j) < at.keys) out[key(j)] = sums[j];
    }
  }
}

/// Calls f(key, N columns of the key's row of x) for a thread's keys.
template <int N, class T, class F>
__device__ void one_walk(const one_query& at, one_rows<const T> x, int column, F&& f) {
  for (int from = at.group; from < at.keys; from += one_ahead * one_groups) {
    floats<N> rows[one_ahead];
#pragma unroll
    for (int j = 0; j < one_ahead; ++j) rows[j] = load<N>(x.at(min(from + j * one_groups, at.keys - 1), column));
#pragma unroll
    for (int j = 0; j < one_ahead; ++j)
      if (const int key = from + j * one_groups; key < at.keys) f(key, rows[j]);
  }
}

/// Sums part(column), N columns at a time, over the block's groups, scales it and writes it to y's row of the query. `sums` is
/// memory for one vector per warp.
template <int N, class T, class F>
__device__ void one_sum(const one_query& at, float* sums, float scale, mat<T> y, F&& part) {
  for (int from = 0; from < at.d; from += one_lanes * N) {
    const int c = from + at.lane * N;
    auto sum = c < at.d ? part(c) : floats<N>{};
#pragma unroll
    for (int i = 0; i < N; ++i)
      for (int step = one_lanes; step < 32; step *= 2) sum.at[i] += __shfl_xor_sync(all_lanes, sum.at[i], step);
    if (at.group % (32 / one_lanes) == 0 && c < at.d) store(sums + at.group * one_lanes / 32 * one_padded(at.d) + c, sum);
  }
  __syncthreads();
  one_each(at.asked ? at.d : 0, [&](int c) {
    float sum = 0;
    for (int w = 0; w < one_warps; ++w) sum += sums[w * one_padded(at.d) + c];
    y.row(at.row)[at.column + c] = stored<T>(scale * sum);
  });
}

/// y = softmax(q k^T / sqrt(d)) v; lse (rows of q, heads) may be empty.
template <int N, class T>
__global__ void __launch_bounds__(one_threads)
    attention_one(head_rows<T> q, head_rows<T> k, head_rows<T> v, int heads, int d, float scale, mat<T> y, mat<float> lse) {
  one_query at(q, k, heads, d);
  const float* query = at.vector(q.x);
  float *sums = at.take(one_warps * one_padded(d)), *p = at.take(at.keys), *partial = at.take(33);
  __syncthreads();
  one_dots<N>(at, query, at.part(k.x), p);
  __syncthreads();
  float top = -INFINITY, total = 0;
  one_each(at.keys, [&](int key) { top = fmaxf(top, p[key]); });
  top = scale * block_max(top, partial);
  one_each(at.keys, [&](int key) { total += p[key] = expf(fmaf(p[key], scale, -top)); });
  total = block_sum(total, partial);
  one_sum<N>(at, sums, 1.0f / total, y, [&](int c) {
    floats<N> sum{};
    one_walk<N>(at, at.part(v.x), c, [&](int key, const floats<N>& x) {
#pragma unroll
      for (int i = 0; i < N; ++i) sum.at[i] = fmaf(p[key], x.at[i], sum.at[i]);
    });
    return sum;
  });
  if (lse.data && at.asked && threadIdx.x == 0) lse.row(at.row)[at.head] = top + logf(total);
}

/// P = exp(S - lse), dP = dy v^T, dS = P (dP - sum P dP); dq = dS k / sqrt(d), dk = dS q / sqrt(d), dv = P dy, all in one pass.
template <int N, class T>
__global__ void __launch_bounds__(one_threads)
    attention_one_backward(head_rows<T> q, head_rows<T> k, head_rows<T> v, head_rows<T> dy, int heads, int d, float scale,
                           mat<const float> lse, mat<T> dq, mat<T> dk, mat<T> dv) {
  one_query at(q, k, heads, d);
  const float *query = at.vector(q.x), *grad = at.vector(dy.x);
  float *sums = at.take(one_warps * one_padded(d)), *p = at.take(at.keys), *ds = at.take(at.keys), *partial = at.take(33);
  __syncthreads();
  one_dots<N>(at, query, at.part(k.x), p);
  one_dots<N>(at, grad, at.part(v.x), ds);
  __syncthreads();
  const float norm = at.asked ? lse.row(at.row)[at.head] : 0.0f;
  float delta = 0;
  one_each(at.keys, [&](int key) {
    p[key] = expf(fmaf(p[key], scale, -norm));
    delta = fmaf(p[key], ds[key], delta);
  });
  delta = block_sum(delta, partial);
  one_each(at.keys, [&](int key) { ds[key] = p[key] * (ds[key] - delta); });
  __syncthreads();
  const auto of_keys = at.part(dk), of_values = at.part(dv);
  one_sum<N>(at, sums, scale, dq, [&](int c) {
    const auto asks = load<N>(query + c), wants = load<N>(grad + c);
    floats<N> sum{};
    one_walk<N>(at, at.part(k.x), c, [&](int key, const floats<N>& x) {
      const float w = ds[key], share = p[key];
#pragma unroll
      for (int i = 0; i < N; ++i) sum.at[i] = fmaf(w, x.at[i], sum.at[i]);
      store(of_keys.at(key, c), map([&](float a) { return scale * (w * a); }, asks));
      store(of_values.at(key, c), map([&](float a) { return share * a; }, wants));
    });
    return sum;
  });
}

}  // namespace clipx::gpu
