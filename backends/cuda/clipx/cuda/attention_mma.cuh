// Attention in bf16 on tensor cores, forward and backward, without an (L, L) matrix: a warp holds 16 rows of one side; the rows of
// the other side are in shared memory, all of the head's or as many as fit.
// Sums have a fixed order, so results have the same bits every time.
#pragma once
#include <cmath>

#include "attention_tiles.cuh"
#include "launch.cuh"
#include "mma.cuh"

namespace clipx::gpu {

inline constexpr int warp_rows = 16;   // of its own side
inline constexpr int sweep = 32;       // rows of the other side that a warp processes at a time
inline constexpr int block_warps = 4;  // backward; forward has up to most_warps
inline constexpr int most_warps = 8;

/// Rows of a head in shared memory, aligned to 16 bytes; the padding puts the eight rows of a quarter on different banks.
template <int Steps>  // number of 16-column steps: the head's width, rounded up
inline constexpr int shared_ld = 16 * Steps + 8;

/// One sequence's part of a head: its rows begin at `data`.
struct head_part {
  const bf16* data;
  dim ld, rows, d;
  bool aligned;
  __device__ head_part(const head_rows<bf16>& h, dim sequence, dim head, dim width)
      : data(h.x.row(h.first[sequence]) + head * width),
        ld(h.x.ld),
        rows(h.first[sequence + 1] - h.first[sequence]),
        d(width),
        aligned(h.aligned) {}
  /// Columns c .. c + 7 of row r; zeros beyond the ends.
  __device__ uint4 eight(dim r, dim c) const {
    uint4 v = make_uint4(0, 0, 0, 0);
    if (r >= rows || c >= d) return v;
    const bf16* from = data + r * ld + c;
    if (aligned) return *reinterpret_cast<const uint4*>(from);
    const auto two = [&](dim i) { return pair(c + i < d ? from[i] : bf16{}, c + i + 1 < d ? from[i + 1] : bf16{}); };
    v.x = two(0);
    v.y = two(2);
    v.z = two(4);
    v.w = two(6);
    return v;
  }
};
/// Copies rows first .. first + count - 1 of x to shared memory, with zeros beyond its end.
template <int Steps>
__device__ void stage(bf16* to, const head_part& x, dim first, int count) {
  constexpr int eights = 2 * Steps;
  for (int i = static_cast<int>(threadIdx.x); i < count * eights; i += static_cast<int>(blockDim.x))
    *reinterpret_cast<uint4*>(to + i / eights * shared_ld<Steps> + i % eights * 8) = x.eight(first + i / eights, i % eights * 8);
}

/// c (16, 32) += <a_r, b_j> over the head's columns, for 16 rows of a and 32 rows of b, both in shared memory.
template <int Steps>
__device__ void row_products(float (&c)[4][4], const bf16* a, const bf16* b) {
#pragma unroll
  for (int k = 0; k < Steps; ++k) {
    unsigned left[4], right[2][2];
    load_a(left, a + 16 * k, shared_ld<Steps>);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      load_b_transposed(right, b + 16 * half * shared_ld<Steps> + 16 * k, shared_ld<Steps>);
      mma(c[2 * half], left, right[0]);
      mma(c[2 * half + 1], left, right[1]);
    }
  }
}
/// sums (16, 16 Steps) += weights (16, 32), rounded to bf16, times 32 rows of b.
template <int Steps>
__device__ void weigh(float (&sums)[2 * Steps][4], const float (&weights)[4][4], const bf16* b) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    unsigned left[4], right[2][2];
    as_a(left, weights[2 * half], weights[2 * half + 1]);
#pragma unroll
    for (int n = 0; n < Steps; ++n) {
      load_b(right, b + 16 * half * shared_ld<Steps> + 16 * n, shared_ld<Steps>);
      mma(sums[2 * n], left, right[0]);
      mma(sums[2 * n + 1], left, right[1]);
    }
  }
}
/// Sets a row of y to scale * row `half` (g or g + 8) of the sums.
template <int Steps>
__device__ void put_row(const float (&sums)[2 * Steps][4], int half, float scale, bf16* row, dim d, bool aligned) {
  const int t = static_cast<int>(threadIdx.x % 4);
#pragma unroll
  for (int n = 0; n < 2 * Steps; ++n) {
    const dim c = 8 * n + 2 * t;
    const float low = scale * sums[n][2 * half], high = scale * sums[n][2 * half + 1];
    if (c >= d) continue;
    if (aligned) *reinterpret_cast<unsigned*>(row + c) = word(low, high);  // d is even in this case
    else {
      row[c] = stored<bf16>(low);
      if (c + 1 < d) row[c + 1] = stored<bf16>(high);
    }
  }
}
template <int N>
__device__ void clear(float (&c)[N][4]) {
#pragma unroll
  for (int n = 0; n < N; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) c[n][i] = 0;
}
/// Calls f(n, i, row half, column) for a lane's elements of C (16, 32).
template <class F>
__device__ void each_product(F&& f) {
  const int t = static_cast<int>(threadIdx.x % 4);
#pragma unroll
  for (int n = 0; n < 4; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) f(n, i, i / 2, 8 * n + 2 * t + i % 2);
}

/// Replaces scores p (16, 32) by exp(scale p - top), or by 0 where row g + 8 half does not see a column. `top` (of rows g and g +
/// 8) becomes the largest so far; `total` and `sums`, which refer to the previous top, are rescaled, and the new weights are added
/// to `total`. Every row sees a column here or has seen one before.
template <int N, class F>
__device__ void join_scores(float (&p)[4][4], F&& sees, float scale, float (&top)[2], float (&total)[2], float (&sums)[N][4]) {
  float high[2] = {-INFINITY, -INFINITY}, shrink[2];
  each_product([&](int m, int i, int half, int col) {
    if (!sees(half, col)) p[m][i] = -INFINITY;
    high[half] = fmaxf(high[half], p[m][i]);
  });
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float now = fmaxf(top[half], scale * quad_max(high[half]));
    shrink[half] = expf(top[half] - now);
    top[half] = now;
    total[half] *= shrink[half];
  }
  each_product([&](int m, int i, int half, int) {  // a single rounding in the exponent: gradients cancel
    p[m][i] = expf(fmaf(p[m][i], scale, -top[half]));
    total[half] += p[m][i];
  });
#pragma unroll
  for (int m = 0; m < N; ++m)
#pragma unroll
    for (int i = 0; i < 4; ++i) sums[m][i] *= shrink[i / 2];
}

/// Arguments of all three kernels. A block has `span` rows of one sequence and head; a sequence has blocks_each blocks; `chunk`
/// rows of the other side are in shared memory at a time. aligned: heads of the results start at multiples of 16 bytes, and d is a
/// multiple of 8.
struct mma_shape {
  dim blocks_each, span, d;
  dim chunk;
  float scale;
  bool causal, aligned;
};

/// y = softmax(q k^T / sqrt(d)) v; lse (rows of q, heads) may be empty. Causal: row i of a sequence sees its rows <= i.
template <int Steps>
__global__ void __launch_bounds__(32 * most_warps, Steps > 6 ? 1 : 2)
    attention_mma(head_rows<bf16> q, head_rows<bf16> k, head_rows<bf16> v, mma_shape s, mat<bf16> y, mat<float> lse) {
  constexpr int ld = shared_ld<Steps>;
  const dim sequence = blockIdx.x / s.blocks_each, head = blockIdx.y, from = blockIdx.x % s.blocks_each * s.span;
  const head_part mq(q, sequence, head, s.d), mk(k, sequence, head, s.d), mv(v, sequence, head, s.d);
  if (from >= mq.rows) return;
  const int warp = static_cast<int>(threadIdx.x / 32), warps = static_cast<int>(blockDim.x / 32),
            g = static_cast<int>(threadIdx.x % 32) / 4;
  bf16 *const sq = shared_memory<bf16>(), *const sk = sq + warps * warp_rows * ld, *const sv = sk + s.chunk * ld;
  const dim end = min(from + s.span, mq.rows), seen = s.causal ? min(mk.rows, end) : mk.rows;
  for (dim row = from; row < end; row += warps * warp_rows) {
    const dim first = row + warp * warp_rows;  // of the warp's queries
    float top[2] = {-INFINITY, -INFINITY}, total[2] = {0, 0}, sums[2 * Steps][4];
    clear(sums);
    for (dim at = 0; at < seen; at += s.chunk) {
      const int n = static_cast<int>(min(s.chunk, (seen - at + sweep - 1) / sweep * sweep));
      __syncthreads();
      if (at == 0) stage<Steps>(sq, mq, row, warps * warp_rows);
      if (row == from || s.chunk < seen) {
        stage<Steps>(sk, mk, at, n);
        stage<Steps>(sv, mv, at, n);
      }
      __syncthreads();
      if (first >= end) continue;
      for (int j = 0; j < n && (!s.causal || at + j < first + warp_rows); j += sweep) {
        float p[4][4];
        clear(p);
        row_products<Steps>(p, sq + warp * warp_rows * ld, sk + j * ld);
        const auto sees = [&](int half, int col) {
          const dim key = at + j + col;
          return key < mk.rows && (!s.causal || key <= first + g + 8 * half);
        };
        join_scores(p, sees, s.scale, top, total, sums);
        weigh<Steps>(sums, p, sv + j * ld);
      }
    }
    if (first >= end) continue;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float whole = quad_sum(total[half]);
      const dim query = first + g + 8 * half;
      if (query >= end) continue;
      const dim out = q.first[sequence] + query;
      put_row<Steps>(sums, half, 1.0f / whole, y.row(out) + head * s.d, s.d, s.aligned);
      if (lse.data && threadIdx.x % 4 == 0) lse.row(out)[head] = top[half] + logf(whole);
    }
  }
}

/// P = exp(S - lse), dP = dy v^T; delta (rows of q, heads) = the sum over keys of P dP, as in attention_dq; dS = P (dP - delta);
/// dq = dS k / sqrt(d). A block has block_warps * warp_rows queries; it goes over the keys twice.
template <int Steps>
__global__ void __launch_bounds__(32 * block_warps, 2)
    attention_mma_dq(head_rows<bf16> q, head_rows<bf16> k, head_rows<bf16> v, head_rows<bf16> dy, mma_shape s, mat<const float> lse,
                     mat<float> delta, mat<bf16> dq) {
  constexpr int ld = shared_ld<Steps>, rows = block_warps * warp_rows;
  const dim sequence = blockIdx.x / s.blocks_each, head = blockIdx.y, from = blockIdx.x % s.blocks_each * rows;
  const head_part mq(q, sequence, head, s.d), mk(k, sequence, head, s.d), mv(v, sequence, head, s.d), mdy(dy, sequence, head, s.d);
  if (from >= mq.rows) return;
  const int warp = static_cast<int>(threadIdx.x / 32), g = static_cast<int>(threadIdx.x % 32) / 4;
  bf16 *const sq = shared_memory<bf16>(), *const sdy = sq + rows * ld, *const sk = sdy + rows * ld, *const sv = sk + s.chunk * ld;
  const dim first = from + warp * warp_rows, end = min(from + rows, mq.rows), seen = s.causal ? min(mk.rows, end) : mk.rows;
  float norm[2], mean[2] = {0, 0}, sums[2 * Steps][4];
  clear(sums);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const dim query = first + g + 8 * half;
    norm[half] = query < mq.rows ? lse.row(q.first[sequence] + query)[head] : 0.0f;
  }
  stage<Steps>(sq, mq, from, rows);
  stage<Steps>(sdy, mdy, from, rows);
  for (int pass = 0; pass < 2; ++pass) {
    for (dim at = 0; at < seen; at += s.chunk) {
      const int n = static_cast<int>(min(s.chunk, (seen - at + sweep - 1) / sweep * sweep));
      __syncthreads();
      if (pass == 0 || s.chunk < seen) {
        stage<Steps>(sk, mk, at, n);
        stage<Steps>(sv, mv, at, n);
      }
      __syncthreads();
      if (first >= mq.rows) continue;
      for (int j = 0; j < n && (!s.causal || at + j < first + warp_rows); j += sweep) {
        float p[4][4], ds[4][4];
        clear(p);
        clear(ds);
        row_products<Steps>(p, sq + warp * warp_rows * ld, sk + j * ld);
        row_products<Steps>(ds, sdy + warp * warp_rows * ld, sv + j * ld);
        each_product([&](int m, int i, int half, int col) {
          const dim key = at + j + col;
          const bool sees = key < mk.rows && (!s.causal || key <= first + g + 8 * half);
          p[m][i] = sees ? expf(fmaf(p[m][i], s.scale, -norm[half])) : 0.0f;
          if (pass == 0) mean[half] = fmaf(p[m][i], ds[m][i], mean[half]);
          else ds[m][i] = p[m][i] * (ds[m][i] - mean[half]);
        });
        if (pass == 1) weigh<Steps>(sums, ds, sk + j * ld);
      }
    }
    if (pass == 0) {
      mean[0] = quad_sum(mean[0]);
      mean[1] = quad_sum(mean[1]);
    }
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const dim query = first + g + 8 * half, out = q.first[sequence] + query;
    if (query >= mq.rows) continue;
    put_row<Steps>(sums, half, s.scale, dq.row(out) + head * s.d, s.d, s.aligned);
    if (threadIdx.x % 4 == 0) delta.row(out)[head] = mean[half];
  }
}

/// dv = P^T dy, dk = dS^T q / sqrt(d), with the scores transposed: a block has
/// block_warps * warp_rows keys and goes over the queries.
template <int Steps>
__global__ void __launch_bounds__(32 * block_warps, 2)
    attention_mma_dkv(head_rows<bf16> q, head_rows<bf16> k, head_rows<bf16> v, head_rows<bf16> dy, mma_shape s,
                      mat<const float> lse, mat<const float> delta, mat<bf16> dk, mat<bf16> dv) {
  constexpr int ld = shared_ld<Steps>, rows = block_warps * warp_rows;
  const dim sequence = blockIdx.x / s.blocks_each, head = blockIdx.y, from = blockIdx.x % s.blocks_each * rows;
  const head_part mq(q, sequence, head, s.d), mk(k, sequence, head, s.d), mv(v, sequence, head, s.d), mdy(dy, sequence, head, s.d);
  if (from >= mk.rows) return;
  const int warp = static_cast<int>(threadIdx.x / 32), g = static_cast<int>(threadIdx.x % 32) / 4;
  bf16 *const sk = shared_memory<bf16>(), *const sv = sk + rows * ld, *const sq = sv + rows * ld, *const sdy = sq + s.chunk * ld;
  float *const norms = reinterpret_cast<float*>(sdy + s.chunk * ld), *const means = norms + s.chunk;  // of the queries in shared
                                                                                                      // memory
  const dim first = from + warp * warp_rows;
  float of_k[2 * Steps][4], of_v[2 * Steps][4];
  clear(of_k);
  clear(of_v);
  stage<Steps>(sk, mk, from, rows);
  stage<Steps>(sv, mv, from, rows);
  for (dim at = s.causal ? from / sweep * sweep : 0; at < mq.rows; at += s.chunk) {
    const int n = static_cast<int>(min(s.chunk, (mq.rows - at + sweep - 1) / sweep * sweep));
    __syncthreads();
    stage<Steps>(sq, mq, at, n);
    stage<Steps>(sdy, mdy, at, n);
    for (int i = static_cast<int>(threadIdx.x); i < n; i += static_cast<int>(blockDim.x)) {
      const dim query = at + i, out = q.first[sequence] + query;
      norms[i] = query < mq.rows ? lse.row(out)[head] : 0.0f;
      means[i] = query < mq.rows ? delta.row(out)[head] : 0.0f;
    }
    __syncthreads();
    if (first >= mk.rows) continue;
    for (int j = 0; j < n; j += sweep) {
      if (s.causal && at + j + sweep <= first) continue;  // all of these queries precede the warp's keys
      float p[4][4], ds[4][4];
      clear(p);
      clear(ds);
      row_products<Steps>(p, sk + warp * warp_rows * ld, sq + j * ld);
      row_products<Steps>(ds, sv + warp * warp_rows * ld, sdy + j * ld);
      each_product([&](int m, int i, int half, int col) {
        const dim query = at + j + col;
        const bool sees = query < mq.rows && (!s.causal || first + g + 8 * half <= query);
        p[m][i] = sees ? expf(fmaf(p[m][i], s.scale, -norms[j + col])) : 0.0f;
        ds[m][i] = p[m][i] * (ds[m][i] - means[j + col]);
      });
      weigh<Steps>(of_v, p, sdy + j * ld);
      weigh<Steps>(of_k, ds, sq + j * ld);
    }
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const dim key = first + g + 8 * half, out = k.first[sequence] + key;
    if (key >= mk.rows) continue;
    put_row<Steps>(of_k, half, s.scale, dk.row(out) + head * s.d, s.d, s.aligned);
    put_row<Steps>(of_v, half, 1.0f, dv.row(out) + head * s.d, s.d, s.aligned);
  }
}

}  // namespace clipx::gpu

namespace clipx::detail {

/// Calls body(integral constant: number of 16-column steps): tensor cores are used for heads of up to 128 columns.
inline constexpr dim max_mma_width = 128;
template <class F>
void for_head_steps(dim d, F&& body) {
  if (d <= 32) body(std::integral_constant<int, 2>());
  else if (d <= 64) body(std::integral_constant<int, 4>());
  else if (d <= 80) body(std::integral_constant<int, 5>());
  else if (d <= 96) body(std::integral_constant<int, 6>());
  else if (d <= 112) body(std::integral_constant<int, 7>());
  else body(std::integral_constant<int, 8>());
}
/// How attention on tensor cores is launched: blocks of `warps` warps and `bytes` of shared memory.
struct mma_launch {
  gpu::mma_shape shape;
  unsigned warps;
  std::size_t bytes;
};
/// Shared memory holds the `own` rows of a block's side `sides` times and rows of the other side twice: all of those if two blocks
/// then fit on a multiprocessor, else as many as fit.
template <int Steps>
void fit_rows(mma_launch& l, dim shared_bytes, dim other, dim own, dim sides) {
  constexpr dim row = gpu::shared_ld<Steps> * static_cast<dim>(sizeof(bf16)), sweep = gpu::sweep, extra = 4,  // two floats per row
      reserved = 1024;  // by the system, per block
  const dim whole = (other + sweep - 1) / sweep * sweep,
            room = (shared_bytes / 2 - reserved - sides * own * row) / (2 * (row + extra));
  l.shape.chunk = std::min(whole, std::max(sweep, room / sweep * sweep));
  l.bytes = static_cast<std::size_t>(sides * own * row + 2 * l.shape.chunk * (row + extra));
}
/// Forward: a block takes all queries of a head, in rounds, unless there are fewer
/// heads than needed for two blocks per multiprocessor.
template <int Steps>
mma_launch forward_by_mma(dim processors, dim shared_bytes, dim heads_in_all, dim queries, dim keys) {
  const dim tiles = (queries + gpu::warp_rows - 1) / gpu::warp_rows;
  const dim spread = std::clamp<dim>(2 * processors / std::max<dim>(1, heads_in_all), 1, tiles);
  dim span = (tiles + spread - 1) / spread;
  const dim rounds = (span + gpu::most_warps - 1) / gpu::most_warps;
  mma_launch l{};
  l.warps = static_cast<unsigned>((span + rounds - 1) / rounds);
  fit_rows<Steps>(l, shared_bytes, keys, l.warps * gpu::warp_rows, 1);
  if (l.shape.chunk < keys && rounds > 1) {  // each round would load the chunks again
    span = l.warps = gpu::most_warps;
    fit_rows<Steps>(l, shared_bytes, keys, l.warps * gpu::warp_rows, 1);
  }
  l.shape.blocks_each = (tiles + span - 1) / span;
  l.shape.span = span * gpu::warp_rows;
  return l;
}
/// Whether every head of the results starts at a multiple of 16 bytes.
template <class... M>
bool aligned_heads(dim d, const M&... results) {
  return (gpu::vectorizable<8>(d, results.col_range(0, d)) && ...);
}

inline void attention_by_mma(cuda_engine& e, gpu::head_rows<bf16> q, gpu::head_rows<bf16> k, gpu::head_rows<bf16> v,
                             const row_ranges& queries, const row_ranges& keys, dim d, bool causal, mat<bf16> y, mat<float> lse) {
  const auto& s = e.get();
  const dim heads = q.x.cols / d;
  for_head_steps(d, [&](auto steps) {
    auto l = forward_by_mma<steps()>(s.processors, s.shared_bytes, queries.count * heads, queries.longest, keys.longest);
    l.shape.d = d;
    l.shape.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(d)));
    l.shape.causal = causal;
    l.shape.aligned = aligned_heads(d, y);
    const dim3 grid(static_cast<unsigned>(queries.count * l.shape.blocks_each), static_cast<unsigned>(heads));
    run_shared(e, gpu::attention_mma<steps()>, grid, 32 * l.warps, l.bytes, q, k, v, l.shape, y, lse);
  });
}
inline void attention_backward_by_mma(cuda_engine& e, gpu::head_rows<bf16> q, gpu::head_rows<bf16> k, gpu::head_rows<bf16> v,
                                      gpu::head_rows<bf16> dy, const row_ranges& queries, const row_ranges& keys, dim d,
                                      bool causal, mat<const float> lse, mat<float> delta, mat<bf16> dq, mat<bf16> dk,
                                      mat<bf16> dv) {
  const auto& s = e.get();
  const dim heads = q.x.cols / d;
  constexpr dim rows = gpu::block_warps * gpu::warp_rows;
  for_head_steps(d, [&](auto steps) {
    mma_launch l{};
    l.shape.span = rows;
    l.shape.d = d;
    l.shape.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(d)));
    l.shape.causal = causal;
    l.shape.aligned = aligned_heads(d, dq, dk, dv);
    const auto go = [&](auto kernel, const row_ranges& own, const row_ranges& other, auto... results) {
      fit_rows<steps()>(l, s.shared_bytes, other.longest, rows, 2);
      l.shape.blocks_each = (own.longest + rows - 1) / rows;
      const dim3 grid(static_cast<unsigned>(own.count * l.shape.blocks_each), static_cast<unsigned>(heads));
      run_shared(e, kernel, grid, 32 * gpu::block_warps, l.bytes, q, k, v, dy, l.shape, lse, results...);
    };
    go(gpu::attention_mma_dq<steps()>, queries, keys, delta, dq);
    go(gpu::attention_mma_dkv<steps()>, keys, queries, mat<const float>(delta), dk, dv);
  });
}

}  // namespace clipx::detail
