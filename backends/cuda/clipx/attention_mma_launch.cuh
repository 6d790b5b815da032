// How attention on tensor cores is shared among blocks.
#pragma once
#include <cmath>

#include "kernels/attention_mma.cuh"
#include "launch.cuh"

namespace clipx::detail {

/// body(integral constant: steps of 16 columns): tensor cores take heads up to 128 wide.
inline constexpr dim widest_mma = 128;
template <class F>
void for_head_steps(dim d, F&& body) {
  if (d <= 32) body(std::integral_constant<int, 2>());
  else if (d <= 64) body(std::integral_constant<int, 4>());
  else if (d <= 80) body(std::integral_constant<int, 5>());
  else if (d <= 96) body(std::integral_constant<int, 6>());
  else if (d <= 112) body(std::integral_constant<int, 7>());
  else body(std::integral_constant<int, 8>());
}
/// How tensor cores share attention: blocks of `warps` warps and `bytes` of shared memory.
struct mma_launch {
  gpu::mma_shape shape;
  unsigned warps;
  std::size_t bytes;
};
/// `own` rows of a block's side lie in shared memory `sides` times, those of the other side twice: all of them if two blocks then
/// fit on a multiprocessor, else as many as do.
template <int Steps>
void fit_rows(mma_launch& l, dim shared_bytes, dim other, dim own, dim sides) {
  constexpr dim row = gpu::shared_ld<Steps> * static_cast<dim>(sizeof(bf16)), sweep = gpu::sweep, extra = 4,  // two floats a row
      reserved = 1024;  // by the system, a block
  const dim whole = (other + sweep - 1) / sweep * sweep,
            room = (shared_bytes / 2 - reserved - sides * own * row) / (2 * (row + extra));
  l.shape.chunk = std::min(whole, std::max(sweep, room / sweep * sweep));
  l.bytes = static_cast<std::size_t>(sides * own * row + 2 * l.shape.chunk * (row + extra));
}
/// Forward: a block takes all queries of a head, in rounds, unless two blocks a multiprocessor need more blocks than there are
/// heads.
template <int Steps>
mma_launch forward_by_mma(dim processors, dim shared_bytes, dim heads_in_all, dim queries, dim keys) {
  const dim tiles = (queries + gpu::warp_rows - 1) / gpu::warp_rows;
  const dim spread = std::clamp<dim>(2 * processors / std::max<dim>(1, heads_in_all), 1, tiles);
  dim span = (tiles + spread - 1) / spread;
  const dim rounds = (span + gpu::most_warps - 1) / gpu::most_warps;
  mma_launch l{};
  l.warps = static_cast<unsigned>((span + rounds - 1) / rounds);
  fit_rows<Steps>(l, shared_bytes, keys, l.warps * gpu::warp_rows, 1);
  if (l.shape.chunk < keys && rounds > 1) {  // in rounds the chunks would be loaded again and again
    span = l.warps = gpu::most_warps;
    fit_rows<Steps>(l, shared_bytes, keys, l.warps * gpu::warp_rows, 1);
  }
  l.shape.blocks_each = (tiles + span - 1) / span, l.shape.span = span * gpu::warp_rows;
  return l;
}
/// Whether every head of the results starts on 16 bytes.
template <class... M>
bool wide_heads(dim d, const M&... results) {
  return (gpu::wide<8>(d, results.col_range(0, d)) && ...);
}

inline void attention_by_mma(cuda_engine& e, gpu::head_rows<bf16> q, gpu::head_rows<bf16> k, gpu::head_rows<bf16> v,
                             const row_ranges& queries, const row_ranges& keys, dim d, bool causal, mat<bf16> y, mat<float> lse) {
  const auto& s = e.get();
  const dim heads = q.x.cols / d;
  for_head_steps(d, [&](auto steps) {
    auto l = forward_by_mma<steps()>(s.processors, s.shared_bytes, queries.count * heads, queries.longest, keys.longest);
    l.shape.d = d;
    l.shape.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(d))), l.shape.causal = causal;
    l.shape.wide = wide_heads(d, y);
    gpu::launch(gpu::attention_mma<steps()>,
                dim3(static_cast<unsigned>(queries.count * l.shape.blocks_each), static_cast<unsigned>(heads)), 32 * l.warps,
                l.bytes, s.stream, q, k, v, l.shape, y, lse);
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
    l.shape.span = rows, l.shape.d = d, l.shape.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(d)));
    l.shape.causal = causal, l.shape.wide = wide_heads(d, dq, dk, dv);
    const auto go = [&](auto kernel, const row_ranges& own, const row_ranges& other, auto... results) {
      fit_rows<steps()>(l, s.shared_bytes, other.longest, rows, 2);
      l.shape.blocks_each = (own.longest + rows - 1) / rows;
      gpu::launch(kernel, dim3(static_cast<unsigned>(own.count * l.shape.blocks_each), static_cast<unsigned>(heads)),
                  32 * gpu::block_warps, l.bytes, s.stream, q, k, v, dy, l.shape, lse, results...);
    };
    go(gpu::attention_mma_dq<steps()>, queries, keys, delta, dq);
    go(gpu::attention_mma_dkv<steps()>, keys, queries, mat<const float>(delta), dk, dv);
  });
}

}  // namespace clipx::detail
