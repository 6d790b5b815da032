// Attention over row ranges, forward and backward, without an (L, L) matrix: a block has Rows rows of one sequence and head, and
// goes over the rows of the other side, `tile` at a time. Both are in shared memory as floats; a warp has 16 of the block's rows
// and a thread a square of 4 x 4 scores, so each loaded value is used four times.
// Sums have a fixed order, so results are the same every time.
#pragma once
#include "packs.cuh"

namespace clipx::gpu {

inline constexpr int tile = 32;                     // rows of the other side
inline constexpr int square = 4;                    // rows of either side per thread
inline constexpr int across = tile / square;        // lanes that share rows
inline constexpr int strip = 32 / across * square;  // rows per warp

// Rows per block, as many as fit into 99 KiB (compute capability 8.9), and the blocks
// per multiprocessor for which registers must suffice.
inline constexpr int forward_rows = 64;
constexpr int backward_rows(int width) { return width > 96 ? 32 : 64; }
constexpr int blocks_wanted(int rows, int width) { return rows == 32 || width <= 64 ? 3 : 2; }

/// One head's part of the operands; sequence s is rows first[s] .. first[s + 1] - 1.
template <class T>
struct head_rows {
  mat<const T> x;  // (rows, heads * d)
  const std::int32_t* first;
  bool aligned = false;  // every head's rows start at multiples of 16 bytes, and d is a multiple of 16 bytes
};
/// The part that belongs to one sequence.
template <class T>
struct sequence_rows {
  const T* data;
  int ld, rows;
  bool aligned;
  __device__ sequence_rows(const head_rows<T>& h, int sequence, int column)
      : data(h.x.row(h.first[sequence]) + column),
        ld(static_cast<int>(h.x.ld)),
        rows(static_cast<int>(h.first[sequence + 1] - h.first[sequence])),
        aligned(h.aligned) {}
  __device__ const T* at(int row, int column) const { return data + static_cast<dim>(row) * ld + column; }
};

/// Copies N values to shared memory as floats, or zeros. Floats are copied asynchronously: all threads see them after arrive().
template <int N, class T>
__device__ void send(float* to, const T* from, bool exist) {
  if constexpr (emulated || !std::is_same_v<T, float>) {
    store(to, exist ? load<N>(from) : floats<N>{});
  } else {
#ifndef CLIPX_CUDA_EMULATION
    const auto place = static_cast<unsigned>(__cvta_generic_to_shared(to));
    const int bytes = exist ? 4 * N : 0;  // the rest is filled with zeros
    if constexpr (N == 4)
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(place), "l"(__cvta_generic_to_global(from)), "r"(bytes)
                   : "memory");
    else
      asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(place), "l"(__cvta_generic_to_global(from)), "r"(bytes)
                   : "memory");
#endif
  }
}
__device__ inline void arrive() {
#ifndef CLIPX_CUDA_EMULATION
  asm volatile("cp.async.wait_all;" ::: "memory");
#endif
  __syncthreads();
}

/// Rows from `row` on of a sequence and columns from `column` on of the head's d, with zeros beyond the ends. The padding of 16
/// bytes puts eight adjacent rows on different banks.
template <int Rows, int Width>
struct panel {
  float x[Rows][Width + 4];
  template <int Threads, class T>
  __device__ void fill(const sequence_rows<T>& from, int row, int column, int d) {
    if (from.aligned) fill_by<Threads, 16 / sizeof(T)>(from, row, column, d);
    else fill_by<Threads, 1>(from, row, column, d);
  }

 private:
  template <int Threads, int N, class T>
  __device__ void fill_by(const sequence_rows<T>& from, int row, int column, int d) {
    constexpr int packs = Width / N;
#pragma unroll 2
    for (int i = static_cast<int>(threadIdx.x); i < Rows * packs; i += Threads) {
      const int r = i / packs, c = i % packs * N;
      const bool exist = row + r < from.rows && column + c < d;
      send<N>(&x[r][c], exist ? from.at(row + r, column + c) : from.data, exist);
    }
  }
};
/// A block's shared memory: Pairs operands with its own rows (q; or two, for dP as well), two with rows of the other side,
/// and weights.
template <int Rows, int Width, int Pairs>
struct panels {
  static constexpr int threads = Rows / strip * 32;
  panel<Rows, Width> mine[Pairs];
  panel<tile, Width> others[2];
  float weights[Rows][tile + 8];  // a warp writes four rows of eight at once, to different banks
};
static_assert(sizeof(panels<forward_rows, 128, 1>) <= 99 * 1024 && sizeof(panels<backward_rows(128), 128, 2>) <= 99 * 1024 &&
              sizeof(panels<backward_rows(96), 96, 2>) <= 99 * 1024);

/// A thread's rows among the block's, and in a tile of the other side.
struct thread_place {
  int strip_row = static_cast<int>(threadIdx.x) / 32 * strip, lane = static_cast<int>(threadIdx.x) % 32;
  __device__ int row(int i) const { return strip_row + lane / across + strip / square * i; }
  __device__ int other(int j) const { return lane % across + across * j; }
};

/// s[i][j] += <row i of a, row j of b> over `columns`, which are zeros up to a multiple of 4.
template <int Rows, int Width>
__device__ void add_dots(const panel<Rows, Width>& a, const panel<tile, Width>& b, int columns, float (&s)[square][square]) {
  const thread_place me;
  for (int c = 0; c < columns; c += 4) {
    floats<4> left[square];
#pragma unroll
    for (int i = 0; i < square; ++i) left[i] = load<4>(&a.x[me.row(i)][c]);
#pragma unroll
    for (int j = 0; j < square; ++j) {
      const auto right = load<4>(&b.x[me.other(j)][c]);
#pragma unroll
      for (int i = 0; i < square; ++i)
#pragma unroll
        for (int n = 0; n < 4; ++n) s[i][j] = fmaf(left[i].at[n], right.at[n], s[i][j]);
    }
  }
}

/// s[p][i][j] = <row i of mine[p], row j of others[p]> over all d columns, computed if the warp `works`: the block's rows begin at
/// row `from`, the other side's at `row`. Afterwards m.others has the columns from `column` on. `again`: m.mine still holds the
/// block's rows, if d is at most Width (else Sliced).
template <bool Sliced, int Rows, int Width, int Pairs, class T>
__device__ void dots(panels<Rows, Width, Pairs>& m, const sequence_rows<T> (&mine)[Pairs], int from,
                     const sequence_rows<T> (&others)[2], int row, bool again, int d, int column, bool works,
                     float (&s)[Pairs][square][square]) {
  constexpr int threads = panels<Rows, Width, Pairs>::threads;
  const auto clear = [&] {
#pragma unroll
    for (int p = 0; p < Pairs; ++p)
#pragma unroll
      for (int i = 0; i < square * square; ++i) s[p][i / square][i % square] = 0;
  };
  const auto add_slice = [&](int c, bool anew) {
    __syncthreads();
#pragma unroll
    for (int p = 0; p < Pairs; ++p)
      if (anew) m.mine[p].template fill<threads>(mine[p], from, c, d);
#pragma unroll
    for (int p = 0; p < 2; ++p) m.others[p].template fill<threads>(others[p], row, c, d);
    arrive();
    if constexpr (!Sliced) clear();
    if (!works) return;
#pragma unroll
    for (int p = 0; p < Pairs; ++p) add_dots(m.mine[p], m.others[p], min(d - c, Width), s[p]);
  };
  if constexpr (Sliced) {
    clear();
    for (int c = 0; c < d; c += Width) add_slice(c, true);
    __syncthreads();
#pragma unroll
    for (int p = 0; p < 2; ++p) m.others[p].template fill<threads>(others[p], row, column, d);
    arrive();
  } else {
    add_slice(0, !again);
  }
}

/// A thread's sums for its rows: columns 4 (lane % 8) + 32 g .. + 3 of each.
template <int Width>
using row_sums = float[square][Width / tile][4];

/// sums[i] += the sum over the tile's rows of weight(row i, row) b(row, columns); the warp's weights go through shared memory.
template <int Rows, int Width>
__device__ void weighted(const float (&weight)[square][square], float (&shared)[Rows][tile + 8], const panel<tile, Width>& b,
                         row_sums<Width>& sums) {
  const thread_place me;
  __syncwarp();
#pragma unroll
  for (int i = 0; i < square; ++i)
#pragma unroll
    for (int j = 0; j < square; ++j) shared[me.row(i)][me.other(j)] = weight[i][j];
  __syncwarp();
  for (int row = 0; row < tile; row += 4) {
    floats<4> left[square];
#pragma unroll
    for (int i = 0; i < square; ++i) left[i] = load<4>(&shared[me.row(i)][row]);
#pragma unroll
    for (int n = 0; n < 4; ++n)
#pragma unroll
      for (int g = 0; g < Width / tile; ++g) {
        const auto right = load<4>(&b.x[row + n][4 * me.other(0) + tile * g]);
#pragma unroll
        for (int i = 0; i < square; ++i)
#pragma unroll
          for (int c = 0; c < 4; ++c) sums[i][g][c] = fmaf(left[i].at[n], right.at[c], sums[i][g][c]);
      }
  }
}
/// Sets a head's row, from `column` on, to scale * row i of the sums, up to the head's last column.
template <class T, int Groups>
__device__ void put(const float (&sums)[Groups][4], float scale, T* row, int d, int column) {
  const int first = column + 4 * thread_place().other(0);
#pragma unroll
  for (int g = 0; g < Groups; ++g)
#pragma unroll
    for (int n = 0; n < 4; ++n)
      if (const int c = first + tile * g + n; c < d) row[c] = stored<T>(scale * sums[g][n]);
}

/// Sum and maximum over the threads of a row (adjacent lanes).
__device__ inline float row_sum(float v) {
  for (int step = 1; step < across; step *= 2) v += __shfl_xor_sync(all_lanes, v, step);
  return v;
}
__device__ inline float row_max(float v) {
  for (int step = 1; step < across; step *= 2) v = fmaxf(v, __shfl_xor_sync(all_lanes, v, step));
  return v;
}

/// A block's place: its sequence, first row and head; blockIdx.z is the part of the columns that it writes.
struct block_place {
  int sequence, from, head, column;
  __device__ block_place(int blocks_each, int rows, int width)
      : sequence(static_cast<int>(blockIdx.x) / blocks_each),
        from(static_cast<int>(blockIdx.x) % blocks_each * rows),
        head(static_cast<int>(blockIdx.y)),
        column(static_cast<int>(blockIdx.z) * width) {}
};

/// y = softmax(q k^T / sqrt(d)) v; lse (rows of q, heads) may be empty. Causal: row i of a sequence sees its rows <= i.
template <class T, int Rows, int Width, bool Sliced>
__global__ void __launch_bounds__(2 * Rows, blocks_wanted(Rows, Width))
    attention(head_rows<T> q, head_rows<T> k, head_rows<T> v, int blocks_each, int d, float scale, bool causal, mat<T> y,
              mat<float> lse) {
  auto& m = *shared_memory<panels<Rows, Width, 1>>();
  const block_place at(blocks_each, Rows, Width);
  const thread_place me;
  const sequence_rows<T> mine[] = {{q, at.sequence, at.head * d}};
  const sequence_rows<T> others[] = {{k, at.sequence, at.head * d}, {v, at.sequence, at.head * d}};
  const int queries = mine[0].rows, keys = others[0].rows;
  if (at.from >= queries) return;
  const int seen = causal ? min(keys, at.from + Rows) : keys, first = at.from + me.strip_row;
  float top[square], total[square] = {};
  row_sums<Width> sums = {};
#pragma unroll
  for (int i = 0; i < square; ++i) top[i] = -INFINITY;
  for (int key = 0; key < seen; key += tile) {
    float s[1][square][square];
    const bool works = first < queries && (!causal || key < first + strip);
    dots<Sliced>(m, mine, at.from, others, key, key > 0, d, at.column, works, s);
    if (!works) continue;
#pragma unroll
    for (int i = 0; i < square; ++i) {
      const int query = at.from + me.row(i);
      float high = -INFINITY, part = 0;
#pragma unroll
      for (int j = 0; j < square; ++j) {
        const int n = key + me.other(j);
        s[0][i][j] = n < keys && (!causal || n <= query) ? s[0][i][j] : -INFINITY;
        high = fmaxf(high, s[0][i][j]);
      }
      const float now = fmaxf(top[i], scale * row_max(high)), shrink = expf(top[i] - now);  // every query sees row 0
#pragma unroll
      for (int j = 0; j < square; ++j)
        part += s[0][i][j] = expf(fmaf(s[0][i][j], scale, -now));  // a single rounding in the
                                                                   // exponent: gradients cancel
      total[i] = total[i] * shrink + row_sum(part);
      top[i] = now;
#pragma unroll
      for (int g = 0; g < Width / tile; ++g)
#pragma unroll
        for (int n = 0; n < 4; ++n) sums[i][g][n] *= shrink;
    }
    weighted(s[0], m.weights, m.others[1], sums);
  }
#pragma unroll
  for (int i = 0; i < square; ++i) {
    const int query = at.from + me.row(i);
    if (query >= queries) continue;
    const dim out = q.first[at.sequence] + query;
    put(sums[i], 1.0f / total[i], y.row(out) + at.head * d, d, at.column);
    if (lse.data && me.other(0) == 0 && blockIdx.z == 0) lse.row(out)[at.head] = top[i] + logf(total[i]);
  }
}

/// P = exp(S - lse), dP = dy v^T, delta = the sum over keys of P dP, dS = P (dP - delta): a block computes dq = dS k / sqrt(d) for
/// its queries. delta (rows of q, heads) is stored for attention_dkv. It is not computed as the sum of dy y, which it equals up to
/// rounding, because the sum of dS over keys must cancel.
template <class T, int Rows, int Width, bool Sliced>
__global__ void __launch_bounds__(2 * Rows, blocks_wanted(Rows, Width))
    attention_dq(head_rows<T> q, head_rows<T> k, head_rows<T> v, head_rows<T> dy, int blocks_each, int d, float scale, bool causal,
                 mat<const float> lse, mat<float> delta, mat<T> dq) {
  auto& m = *shared_memory<panels<Rows, Width, 2>>();
  const block_place at(blocks_each, Rows, Width);
  const thread_place me;
  const sequence_rows<T> mine[] = {{q, at.sequence, at.head * d}, {dy, at.sequence, at.head * d}};
  const sequence_rows<T> others[] = {{k, at.sequence, at.head * d}, {v, at.sequence, at.head * d}};
  const int queries = mine[0].rows, keys = others[0].rows;
  if (at.from >= queries) return;
  const int seen = causal ? min(keys, at.from + Rows) : keys, first = at.from + me.strip_row;
  float norm[square], mean[square] = {};
  row_sums<Width> sums = {};
#pragma unroll
  for (int i = 0; i < square; ++i) {
    const int query = at.from + me.row(i);
    norm[i] = query < queries ? lse.row(q.first[at.sequence] + query)[at.head] : 0.0f;
  }
#pragma unroll 1
  for (int pass = 0; pass < 2; ++pass) {  // first delta, then what needs it
#pragma unroll 1
    for (int key = 0; key < seen; key += tile) {
      float s[2][square][square];
      const bool works = first < queries && (!causal || key < first + strip);
      dots<Sliced>(m, mine, at.from, others, key, pass + key > 0, d, at.column, works, s);
      if (!works) continue;
#pragma unroll
      for (int i = 0; i < square; ++i)
#pragma unroll
        for (int j = 0; j < square; ++j) {
          const int n = key + me.other(j);
          const float p = n < keys && (!causal || n <= at.from + me.row(i)) ? expf(fmaf(s[0][i][j], scale, -norm[i])) : 0.0f;
          if (pass == 0) mean[i] = fmaf(p, s[1][i][j], mean[i]);
          else s[0][i][j] = p * (s[1][i][j] - mean[i]);
        }
      if (pass == 1) weighted(s[0], m.weights, m.others[0], sums);
    }
#pragma unroll
    for (int i = 0; i < square; ++i)
      if (pass == 0) mean[i] = row_sum(mean[i]);
  }
#pragma unroll
  for (int i = 0; i < square; ++i) {
    const int query = at.from + me.row(i);
    if (query >= queries) continue;
    const dim out = q.first[at.sequence] + query;
    put(sums[i], scale, dq.row(out) + at.head * d, d, at.column);
    if (me.other(0) == 0 && blockIdx.z == 0) delta.row(out)[at.head] = mean[i];
  }
}

/// dv = P^T dy, dk = dS^T q / sqrt(d), for a block's keys.
template <class T, int Rows, int Width, bool Sliced>
__global__ void __launch_bounds__(2 * Rows, blocks_wanted(Rows, Width))
    attention_dkv(head_rows<T> q, head_rows<T> k, head_rows<T> v, head_rows<T> dy, int blocks_each, int d, float scale, bool causal,
                  mat<const float> lse, mat<const float> delta, mat<T> dk, mat<T> dv) {
  auto& m = *shared_memory<panels<Rows, Width, 2>>();
  const block_place at(blocks_each, Rows, Width);
  const thread_place me;
  const sequence_rows<T> mine[] = {{k, at.sequence, at.head * d}, {v, at.sequence, at.head * d}};
  const sequence_rows<T> others[] = {{q, at.sequence, at.head * d}, {dy, at.sequence, at.head * d}};
  const int keys = mine[0].rows, queries = others[0].rows;
  if (at.from >= keys) return;
  const int begin = causal ? at.from : 0, first = at.from + me.strip_row;
  const float *norms = lse.row(q.first[at.sequence]) + at.head, *means = delta.row(q.first[at.sequence]) + at.head;
  row_sums<Width> of_k = {}, of_v = {};
  for (int query = begin; query < queries; query += tile) {
    float s[2][square][square];
    const bool works = first < keys && (!causal || first < query + tile);
    dots<Sliced>(m, mine, at.from, others, query, query > begin, d, at.column, works, s);
    if (!works) continue;
#pragma unroll
    for (int j = 0; j < square; ++j) {
      const int n = query + me.other(j);
      const float norm = n < queries ? norms[n * lse.ld] : 0.0f, mean = n < queries ? means[n * delta.ld] : 0.0f;
#pragma unroll
      for (int i = 0; i < square; ++i) {
        const bool sees = n < queries && (!causal || at.from + me.row(i) <= n);
        s[0][i][j] = sees ? expf(fmaf(s[0][i][j], scale, -norm)) : 0.0f;
        s[1][i][j] = s[0][i][j] * (s[1][i][j] - mean);
      }
    }
    weighted(s[0], m.weights, m.others[1], of_v);
    weighted(s[1], m.weights, m.others[0], of_k);
  }
#pragma unroll
  for (int i = 0; i < square; ++i) {
    const int key = at.from + me.row(i);
    if (key >= keys) continue;
    const dim out = k.first[at.sequence] + key;
    put(of_k[i], scale, dk.row(out) + at.head * d, d, at.column);
    put(of_v[i], 1.0f, dv.row(out) + at.head * d, d, at.column);
  }
}

}  // namespace clipx::gpu
