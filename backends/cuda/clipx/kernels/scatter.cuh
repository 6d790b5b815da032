// Rows added to the rows that ids name, many to one: by id, with one order of every sum and nothing added atomically.
#pragma once
#include "columns.cuh"

namespace clipx::gpu {

/// 0, 1, 2, ...
template <int N>
__global__ void count_up(mat<std::int32_t> x) {
  const auto [r, c] = here<N>();
  if (r >= x.rows || c >= x.cols) return;
  pack<std::int32_t, N> out;
#pragma unroll
  for (int i = 0; i < N; ++i) out.at[i] = static_cast<std::int32_t>(c) + i;
  store(x.row(r) + c, out);
}

/// x's rows by id are cut into spans, so that an id that comes often is summed by many threads: a run of equal ids is in one span,
/// or it has a piece at the end of the span where it begins, and one at the beginning of each further span.
inline constexpr dim span = 16;
/// order (2, n): places in x, and their ids, by id. y[id] += the run's sum where it is in one span; else the sum of a piece is
/// stored in `partial`: at row 2 s + 1 the one at the end of span s, at row 2 s the one at its beginning.
template <int N, class T>
__global__ void scatter_spans(mat<const T> x, mat<const std::int32_t> order, mat<T> y, mat<float> partial) {
  const auto [s, c] = here<N>();
  const std::int32_t *places = order.row(0), *ids = order.row(1);
  const dim n = order.cols, begin = s * span, end = begin + span < n ? begin + span : n;
  if (begin >= n || c >= y.cols) return;
  bool begun = begin == 0 || ids[begin - 1] != ids[begin];  // in this span
  floats<N> sum{};
  for (dim k = begin; k < end; ++k) {
    sum = sum + load<N>(x.row(places[k]) + c);
    const bool ends = k + 1 == n || ids[k + 1] != ids[k];
    if (!ends && k + 1 < end) continue;
    if (T* to = y.row(ids[k]) + c; begun && ends) store(to, load<N>(to) + sum);
    else store(partial.row(2 * s + (begun ? 1 : 0)) + c, sum);
    begun = true, sum = {};
  }
}
/// y[id] += the sum of its pieces, for the run of ids that begins in the block's span and goes on in the next.
template <class T>
__global__ void scatter_runs(mat<const std::int32_t> order, mat<const float> partial, mat<T> y) {
  CLIPX_SHARED(float[32 * groups], held);
  const std::int32_t* ids = order.row(1);
  const dim n = order.cols, s = blockIdx.y + static_cast<dim>(blockIdx.z) * gridDim.y, begin = s * span, end = begin + span;
  if (end >= n || ids[end] != ids[end - 1] || (begin > 0 && ids[begin - 1] == ids[end])) return;
  const std::int32_t id = ids[end];
  dim last = end, beyond = n;  // the run's last place is found between them
  while (beyond - last > 1) {
    const dim middle = last + (beyond - last) / 2;
    if (ids[middle] == id) last = middle;
    else beyond = middle;
  }
  const float rest = total_down(partial, 2 * (s + 1), 2, last / span - s, held);
  const dim c = total_column();
  if (threadIdx.y != 0 || c >= y.cols) return;
  T& to = y.row(id)[c];
  to = stored<T>(value(to) + (partial.row(2 * s + 1)[c] + rest));
}

}  // namespace clipx::gpu
