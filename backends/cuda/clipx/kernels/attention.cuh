// Attention over row ranges, forward and backward, with no (L, L) matrix: a block takes `tile` rows of one sequence and head and
// walks over the other side's rows, `tile` at a time, in shared memory. Sums have one order, so results are the same every time.
#pragma once
#include "../runtime.cuh"

namespace clipx::gpu {

inline constexpr int tile = 32;              // rows of either side
inline constexpr int quarter = 4;            // threads that share a row: thread q of a row has columns q, q + 4, q + 8, ...
inline constexpr int mine = tile / quarter;  // scores a thread
inline constexpr unsigned attention_threads = tile * quarter;

/// One head's part of the operands; sequence s is rows first[s] .. first[s + 1] - 1.
template <class T>
struct head_rows {
  mat<const T> x;  // (rows, heads * d)
  const std::int32_t* first;
};
/// The rows of one tile: those at or beyond `end` read as 0.
template <class T>
struct tile_rows {
  const T* data;
  dim ld, begin, end;
  __device__ tile_rows(const head_rows<T>& h, dim sequence, dim head, dim d, dim from)
      : data(h.x.data + head * d), ld(h.x.ld), begin(h.first[sequence] + from), end(h.first[sequence + 1]) {}
  __device__ float at(dim row, dim col) const { return begin + row < end ? value(data[(begin + row) * ld + col]) : 0.0f; }
};

struct shared_tiles {
  float a[tile][tile + 1], b[tile][tile + 1], p[tile][tile + 1];
};

/// s[j] = <row of a, row quarter j + q of b> over d columns, through slices of `tile` columns.
template <class T>
__device__ void dots(const tile_rows<T>& a, const tile_rows<T>& b, dim d, shared_tiles& m, float (&s)[mine]) {
  const int row = static_cast<int>(threadIdx.x) / quarter, q = static_cast<int>(threadIdx.x) % quarter;
#pragma unroll
  for (int j = 0; j < mine; ++j) s[j] = 0;
  for (dim from = 0; from < d; from += tile) {
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < tile * tile; i += static_cast<int>(attention_threads)) {
      const int r = i / tile, c = i % tile;
      m.a[r][c] = from + c < d ? a.at(r, from + c) : 0.0f, m.b[r][c] = from + c < d ? b.at(r, from + c) : 0.0f;
    }
    __syncthreads();
    for (int c = 0; c < tile; ++c) {
      const float left = m.a[row][c];
#pragma unroll
      for (int j = 0; j < mine; ++j) s[j] = fmaf(left, m.b[quarter * j + q][c], s[j]);
    }
  }
}

/// sums[i] += the sum over the tile's rows k of weight(row, k) b(k, from + 4 i + q); the weights are first put into m.p.
template <class T, int Columns>
__device__ void weighted(const float (&weight)[mine], const tile_rows<T>& b, dim from, dim d, shared_tiles& m,
                         float (&sums)[Columns]) {
  const int row = static_cast<int>(threadIdx.x) / quarter, q = static_cast<int>(threadIdx.x) % quarter;
  __syncthreads();
#pragma unroll
  for (int j = 0; j < mine; ++j) m.p[row][quarter * j + q] = weight[j];
#pragma unroll
  for (int slice = 0; slice < Columns * quarter / tile; ++slice) {
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < tile * tile; i += static_cast<int>(attention_threads)) {
      const dim c = from + slice * tile + i % tile;
      m.b[i / tile][i % tile] = c < d ? b.at(i / tile, c) : 0.0f;
    }
    __syncthreads();
    for (int k = 0; k < tile; ++k) {
      const float w = m.p[row][k];
#pragma unroll
      for (int i = 0; i < mine; ++i) {
        float& sum = sums[slice * mine + i];
        sum = fmaf(w, m.b[k][quarter * i + q], sum);
      }
    }
  }
}
template <class T, int Columns>
__device__ void put(const float (&sums)[Columns], float scale, mat<T> y, dim row, dim head, dim d, dim from) {
  const int q = static_cast<int>(threadIdx.x) % quarter;
#pragma unroll
  for (int i = 0; i < Columns; ++i) {
    const dim c = from + quarter * i + q;
    if (c < d) y.row(row)[head * d + c] = stored<T>(scale * sums[i]);
  }
}

/// Sum and largest over the threads of a row (neighbouring lanes).
__device__ inline float row_sum(float v) {
  v += __shfl_xor_sync(all_lanes, v, 1);
  return v + __shfl_xor_sync(all_lanes, v, 2);
}
__device__ inline float row_max(float v) {
  v = fmaxf(v, __shfl_xor_sync(all_lanes, v, 1));
  return fmaxf(v, __shfl_xor_sync(all_lanes, v, 2));
}

/// What every block works out: its sequence, tile and head; blockIdx.z is the part of the columns that it writes.
struct block_place {
  dim sequence, from, head, column;
  __device__ block_place(dim tiles, dim columns)
      : sequence(blockIdx.x / tiles), from(blockIdx.x % tiles * tile), head(blockIdx.y), column(blockIdx.z * columns) {}
};

/// y = softmax(q k^T / sqrt(d)) v; lse (rows of q, heads) may be empty. Causal: row i of a sequence sees its rows <= i.
template <class T, int Columns>
__global__ void __launch_bounds__(attention_threads) attention(head_rows<T> q, head_rows<T> k, head_rows<T> v, dim tiles, dim d,
                                                               float scale, bool causal, mat<T> y, mat<float> lse) {
  CLIPX_SHARED(shared_tiles, m);
  const block_place at(tiles, Columns * quarter);
  const dim queries = q.first[at.sequence + 1] - q.first[at.sequence], keys = k.first[at.sequence + 1] - k.first[at.sequence];
  if (at.from >= queries) return;
  const int row = static_cast<int>(threadIdx.x) / quarter, lane = static_cast<int>(threadIdx.x) % quarter;
  const dim query = at.from + row, seen = causal ? min(keys, at.from + tile) : keys;
  const tile_rows<T> mine_q(q, at.sequence, at.head, d, at.from);
  float top = -INFINITY, total = 0, sums[Columns] = {};
  for (dim key = 0; key < seen; key += tile) {
    float s[mine], high = -INFINITY, part = 0;
    dots(mine_q, tile_rows<T>(k, at.sequence, at.head, d, key), d, m, s);
#pragma unroll
    for (int j = 0; j < mine; ++j) {
      const dim n = key + quarter * j + lane;
      s[j] = n < keys && (!causal || n <= query) ? s[j] : -INFINITY;
      high = fmaxf(high, s[j]);
    }
    const float now = fmaxf(top, scale * row_max(high)),
                shrink = expf(top - now);  // every query sees row 0
#pragma unroll
    for (int j = 0; j < mine; ++j) part += s[j] = expf(fmaf(s[j], scale, -now));  // one rounding: gradients cancel
    total = total * shrink + row_sum(part), top = now;
#pragma unroll
    for (int i = 0; i < Columns; ++i) sums[i] *= shrink;
    weighted(s, tile_rows<T>(v, at.sequence, at.head, d, key), at.column, d, m, sums);
  }
  if (query >= queries) return;
  const dim out = q.first[at.sequence] + query;
  put(sums, 1.0f / total, y, out, at.head, d, at.column);
  if (lse.data && lane == 0 && blockIdx.z == 0) lse.row(out)[at.head] = top + logf(total);
}

/// delta (rows of q, heads) = the sum over keys of P dP, P = exp(S - lse) and dP = dy v^T. Not the sum of dy y, which it equals but
/// for rounding: the sum of dS over keys must cancel.
template <class T>
__global__ void __launch_bounds__(attention_threads)
    attention_delta(head_rows<T> q, head_rows<T> k, head_rows<T> v, head_rows<T> dy, dim tiles, dim d, float scale, bool causal,
                    mat<const float> lse, mat<float> delta) {
  CLIPX_SHARED(shared_tiles, m);
  const block_place at(tiles, 0);
  const dim queries = q.first[at.sequence + 1] - q.first[at.sequence], keys = k.first[at.sequence + 1] - k.first[at.sequence];
  if (at.from >= queries) return;
  const int row = static_cast<int>(threadIdx.x) / quarter, lane = static_cast<int>(threadIdx.x) % quarter;
  const dim query = at.from + row, seen = causal ? min(keys, at.from + tile) : keys, out = q.first[at.sequence] + query;
  const tile_rows<T> mine_q(q, at.sequence, at.head, d, at.from), mine_dy(dy, at.sequence, at.head, d, at.from);
  const float norm = query < queries ? lse.row(out)[at.head] : 0.0f;
  float total = 0;
  for (dim key = 0; key < seen; key += tile) {
    float s[mine], ds[mine];
    dots(mine_q, tile_rows<T>(k, at.sequence, at.head, d, key), d, m, s);
    dots(mine_dy, tile_rows<T>(v, at.sequence, at.head, d, key), d, m, ds);
#pragma unroll
    for (int j = 0; j < mine; ++j) {
      const dim n = key + quarter * j + lane;
      if (n < keys && (!causal || n <= query)) total = fmaf(expf(fmaf(s[j], scale, -norm)), ds[j], total);
    }
  }
  total = row_sum(total);
  if (query < queries && lane == 0) delta.row(out)[at.head] = total;
}

/// P = exp(S - lse), dS = P (dy v^T - delta): dq = dS k / sqrt(d), a block a tile of queries.
template <class T, int Columns>
__global__ void __launch_bounds__(attention_threads)
    attention_dq(head_rows<T> q, head_rows<T> k, head_rows<T> v, head_rows<T> dy, dim tiles, dim d, float scale, bool causal,
                 mat<const float> lse, mat<const float> delta, mat<T> dq) {
  CLIPX_SHARED(shared_tiles, m);
  const block_place at(tiles, Columns * quarter);
  const dim queries = q.first[at.sequence + 1] - q.first[at.sequence], keys = k.first[at.sequence + 1] - k.first[at.sequence];
  if (at.from >= queries) return;
  const int row = static_cast<int>(threadIdx.x) / quarter, lane = static_cast<int>(threadIdx.x) % quarter;
  const dim query = at.from + row, seen = causal ? min(keys, at.from + tile) : keys, out = q.first[at.sequence] + query;
  const tile_rows<T> mine_q(q, at.sequence, at.head, d, at.from), mine_dy(dy, at.sequence, at.head, d, at.from);
  const float norm = query < queries ? lse.row(out)[at.head] : 0.0f, mean = query < queries ? delta.row(out)[at.head] : 0.0f;
  float sums[Columns] = {};
  for (dim key = 0; key < seen; key += tile) {
    float s[mine], ds[mine];
    const tile_rows<T> keys_here(k, at.sequence, at.head, d, key);
    dots(mine_q, keys_here, d, m, s);
    dots(mine_dy, tile_rows<T>(v, at.sequence, at.head, d, key), d, m, ds);
#pragma unroll
    for (int j = 0; j < mine; ++j) {
      const dim n = key + quarter * j + lane;
      ds[j] = n < keys && (!causal || n <= query) ? expf(fmaf(s[j], scale, -norm)) * (ds[j] - mean) : 0.0f;
    }
    weighted(ds, keys_here, at.column, d, m, sums);
  }
  if (query < queries) put(sums, scale, dq, out, at.head, d, at.column);
}

/// dv = P^T dy, dk = dS^T q / sqrt(d), a block a tile of keys.
template <class T, int Columns>
__global__ void __launch_bounds__(attention_threads)
    attention_dkv(head_rows<T> q, head_rows<T> k, head_rows<T> v, head_rows<T> dy, dim tiles, dim d, float scale, bool causal,
                  mat<const float> lse, mat<const float> delta, mat<T> dk, mat<T> dv) {
  CLIPX_SHARED(shared_tiles, m);
  const block_place at(tiles, Columns * quarter);
  const dim queries = q.first[at.sequence + 1] - q.first[at.sequence], keys = k.first[at.sequence + 1] - k.first[at.sequence];
  if (at.from >= keys) return;
  const int row = static_cast<int>(threadIdx.x) / quarter, lane = static_cast<int>(threadIdx.x) % quarter;
  const dim key = at.from + row, first = q.first[at.sequence];
  const tile_rows<T> mine_k(k, at.sequence, at.head, d, at.from), mine_v(v, at.sequence, at.head, d, at.from);
  float of_k[Columns] = {}, of_v[Columns] = {};
  for (dim query = causal ? at.from : 0; query < queries; query += tile) {
    float p[mine], ds[mine];
    const tile_rows<T> queries_here(q, at.sequence, at.head, d, query), grads_here(dy, at.sequence, at.head, d, query);
    dots(mine_k, queries_here, d, m, p);
    dots(mine_v, grads_here, d, m, ds);
#pragma unroll
    for (int j = 0; j < mine; ++j) {
      const dim n = query + quarter * j + lane;
      const bool seen = n < queries && (!causal || key <= n);
      p[j] = seen ? expf(fmaf(p[j], scale, -lse.row(first + n)[at.head])) : 0.0f;
      ds[j] = seen ? p[j] * (ds[j] - delta.row(first + n)[at.head]) : 0.0f;
    }
    weighted(p, grads_here, at.column, d, m, of_v);
    weighted(ds, queries_here, at.column, d, m, of_k);
  }
  if (key >= keys) return;
  const dim out = k.first[at.sequence] + key;
  put(of_k, scale, dk, out, at.head, d, at.column), put(of_v, 1.0f, dv, out, at.head, d, at.column);
}

}  // namespace clipx::gpu
