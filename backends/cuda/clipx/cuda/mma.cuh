// Tensor cores: products of bf16 fragments with float sums, and loading of fragments from shared memory. Each operation has a
// portable twin, which defines it and which the emulation runs.
#pragma once
#include "packs.cuh"

namespace clipx::gpu {

/// Fragments of a warp, lane = 4 g + t, two bf16 per word, the lower half first:
///   A (16, 16)  a[0] row g, columns 2t, 2t + 1; a[1] row g + 8; a[2] and a[3] the same with columns 2t + 8, 2t + 9
///   B (16, 8)   b[0] rows 2t, 2t + 1 of column g; b[1] rows 2t + 8, 2t + 9
///   C (16, 8)   c[0], c[1] row g, columns 2t, 2t + 1; c[2], c[3] row g + 8
struct fragments {
  unsigned a[4], b[2];
};
/// of(lane): another lane's fragments. The emulation synchronizes all lanes once for them, a device for every word.
__device__ inline auto every_lane(const fragments& own) {
#ifdef CLIPX_CUDA_EMULATION
  return [all = ::emulation::machine().everyone(all_lanes, own)](int lane) { return all(static_cast<unsigned>(lane)); };
#else
  return [own](int lane) {
    fragments other;
#pragma unroll
    for (int i = 0; i < 4; ++i) other.a[i] = __shfl_sync(all_lanes, own.a[i], lane);
#pragma unroll
    for (int i = 0; i < 2; ++i) other.b[i] = __shfl_sync(all_lanes, own.b[i], lane);
    return other;
  };
#endif
}
/// C += A B.
__device__ inline void mma_twin(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  const int lane = static_cast<int>(threadIdx.x % 32), g = lane / 4, t = lane % 4;
  const auto of = every_lane({{a[0], a[1], a[2], a[3]}, {b[0], b[1]}});
#pragma unroll
  for (int k = 0; k < 16; ++k) {  // this term's element of row or column r is in lane 4 r + k % 8 / 2
    const auto at = [&](unsigned w) { return __uint_as_float(k % 2 ? w & 0xffff0000u : w << 16); };
    const auto row = of(4 * g + k % 8 / 2), even = of(8 * t + k % 8 / 2), odd = of(8 * t + 4 + k % 8 / 2);
#pragma unroll
    for (int i = 0; i < 4; ++i) c[i] = fmaf(at(row.a[i / 2 + k / 8 * 2]), at((i % 2 ? odd : even).b[k / 8]), c[i]);
  }
}
__device__ inline void mma(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#ifdef CLIPX_CUDA_EMULATION
  mma_twin(c, a, b);
#else
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

/// Two adjacent values as a word, the first in the lower half.
__device__ inline unsigned pair(bf16 low, bf16 high) { return low.bits | static_cast<unsigned>(high.bits) << 16; }

/// A 16 x 16 block of shared memory, whose rows are ld apart and aligned to 16 bytes, as four words per lane. For a quarter of 8 x
/// 8 at (r, c), the word is (row r + g, columns c + 2t, c + 2t + 1), or transposed (rows r + 2t, r + 2t + 1, column c + g).
/// Order of the quarters: `by_columns` (0, 0), (0, 8), (8, 0), (8, 8); else (0, 0), (8, 0), (0, 8), (8, 8).
template <bool Transposed, bool ByColumns>
__device__ void quarters(unsigned (&w)[4], const bf16* block, int ld) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  const auto row_of = [](int q) { return ByColumns ? q / 2 * 8 : q % 2 * 8; };
  const auto col_of = [](int q) { return ByColumns ? q % 2 * 8 : q / 2 * 8; };
#ifdef CLIPX_CUDA_EMULATION
  const int g = lane / 4, t = lane % 4;
  for (int q = 0; q < 4; ++q) {
    const bf16* at = block + row_of(q) * ld + col_of(q);
    w[q] = Transposed ? pair(at[2 * t * ld + g], at[(2 * t + 1) * ld + g]) : pair(at[g * ld + 2 * t], at[g * ld + 2 * t + 1]);
  }
#else
  const auto at = static_cast<unsigned>(__cvta_generic_to_shared(block + (row_of(lane / 8) + lane % 8) * ld + col_of(lane / 8)));
  if constexpr (Transposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(w[0]), "=r"(w[1]), "=r"(w[2]), "=r"(w[3])
                 : "r"(at));
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(w[0]), "=r"(w[1]), "=r"(w[2]), "=r"(w[3])
                 : "r"(at));
#endif
}
/// A (16, 16) = the block.
__device__ inline void load_a(unsigned (&a)[4], const bf16* block, int ld) { quarters<false, false>(a, block, ld); }
/// B = the block's transpose (16, 16), as two fragments (16, 8): columns are the block's rows.
__device__ inline void load_b_transposed(unsigned (&b)[2][2], const bf16* block, int ld) {
  unsigned w[4];
  quarters<false, true>(w, block, ld);
  b[0][0] = w[0];
  b[0][1] = w[1];
  b[1][0] = w[2];
  b[1][1] = w[3];
}
/// B = the block (16, 16), as two fragments (16, 8).
__device__ inline void load_b(unsigned (&b)[2][2], const bf16* block, int ld) {
  unsigned w[4];
  quarters<true, false>(w, block, ld);
  b[0][0] = w[0];
  b[0][1] = w[1];
  b[1][0] = w[2];
  b[1][1] = w[3];
}
/// Sum and maximum over the four lanes that share a row of C.
__device__ inline float quad_sum(float v) {
  v += __shfl_xor_sync(all_lanes, v, 1);
  return v + __shfl_xor_sync(all_lanes, v, 2);
}
__device__ inline float quad_max(float v) {
  v = fmaxf(v, __shfl_xor_sync(all_lanes, v, 1));
  return fmaxf(v, __shfl_xor_sync(all_lanes, v, 2));
}
/// Two adjacent C (16, 8), rounded, as A (16, 16).
__device__ inline void as_a(unsigned (&a)[4], const float (&left)[4], const float (&right)[4]) {
  a[0] = word(left[0], left[1]);
  a[1] = word(left[2], left[3]);
  a[2] = word(right[0], right[1]);
  a[3] = word(right[2], right[3]);
}

}  // namespace clipx::gpu
