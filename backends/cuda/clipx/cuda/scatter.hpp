// Rows by id: gathered, and added to the rows that the ids name, many to one, in order of id: every sum has a fixed order, and
// there are no atomic additions.
#pragma once
#include "engine.hpp"

namespace clipx::detail {

template <class T>
class cuda_scatter : cuda_family {
 public:
  using cuda_family::cuda_family;

  void gather_rows(mat<const T> x, mat<const std::int32_t> rows, mat<T> y);
  void scatter_add_rows(mat<const T> x, mat<const std::int32_t> rows, mat<T> y);
};

}  // namespace clipx::detail

#ifdef CLIPX_CUDA_DEFINITIONS
#include <algorithm>
#include <bit>
#include <clipx/cuda/sort.cuh>

#include "launch.cuh"

namespace clipx::gpu {

template <int N, class T>
__global__ void gather_rows(mat<const T> x, mat<const std::int32_t> ids, mat<T> y) {
  const auto [r, c] = here<N>();
  if (r < ids.cols && c < y.cols) store(y.row(r) + c, packed<N>(x.row(ids.data[r]) + c));
}

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

/// The rows of x, sorted by id, are divided into spans, so that a frequent id is summed by many threads: a run of equal ids is
/// either in one span, or has a piece at the end of the span where it begins and one at the beginning of each further span.
inline constexpr dim span = 16;
/// order (2, n): rows of x sorted by id, and their ids. If a run is in one span, y[id] += its sum; else the sum of each piece is
/// stored in `partial`: that at the end of span s in row 2 s + 1, that at its beginning in row 2 s.
template <int N, class T>
__global__ void scatter_spans(mat<const T> x, mat<const std::int32_t> order, mat<T> y, mat<float> partial) {
  const auto [s, c] = here<N>();
  const std::int32_t *places = order.row(0), *ids = order.row(1);
  const dim n = order.cols, begin = s * span, end = begin + span < n ? begin + span : n;
  if (begin >= n || c >= y.cols) return;
  bool begun = begin == 0 || ids[begin - 1] != ids[begin];  // whether the run begins in this span
  floats<N> sum{};
  for (dim k = begin; k < end; ++k) {
    sum = sum + load<N>(x.row(places[k]) + c);
    const bool ends = k + 1 == n || ids[k + 1] != ids[k];
    if (!ends && k + 1 < end) continue;
    if (T* to = y.row(ids[k]) + c; begun && ends) store(to, load<N>(to) + sum);
    else store(partial.row(2 * s + (begun ? 1 : 0)) + c, sum);
    begun = true;
    sum = {};
  }
}
/// y[id] += the sum of its pieces, for the run of ids that begins in the block's span and continues in the next.
template <class T>
__global__ void scatter_runs(mat<const std::int32_t> order, mat<const float> partial, mat<T> y) {
  CLIPX_SHARED(float[32 * groups], held);
  const std::int32_t* ids = order.row(1);
  const dim n = order.cols, s = blockIdx.y + static_cast<dim>(blockIdx.z) * gridDim.y, begin = s * span, end = begin + span;
  if (end >= n || ids[end] != ids[end - 1] || (begin > 0 && ids[begin - 1] == ids[end])) return;
  const std::int32_t id = ids[end];
  dim last = end, beyond = n;  // the end of the run is found by bisection between them
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

namespace clipx::detail {

template <class T>
void cuda_scatter<T>::gather_rows(mat<const T> x, mat<const std::int32_t> rows, mat<T> y) {
  each_pack(
      engine_, y.rows, y.cols, [](auto n) { return gpu::gather_rows<n(), T>; }, x, rows, y);
}

template <class T>
void cuda_scatter<T>::scatter_add_rows(mat<const T> x, mat<const std::int32_t> rows, mat<T> y) {
  const dim count = rows.cols, spans = (count + gpu::span - 1) / gpu::span;
  if (count == 0) return;
  const temporary here(memory());
  auto order = memory().template take<std::int32_t>(2, count), places = memory().template take<std::int32_t>(1, count);
  auto partial = memory().template take<float>(2 * spans, y.cols);
  const gpu::sorting sort{count, std::max(1, static_cast<int>(std::bit_width(static_cast<std::uint64_t>(y.rows - 1))))};
  auto own = memory().template take<std::byte>(1, static_cast<dim>(sort.memory()));
  each_pack(
      engine_, 1, count, [](auto n) { return gpu::count_up<n()>; }, places);
  sort.run(own.data, static_cast<std::size_t>(own.cols), rows.data, places.data, order.row(1), order.row(0), engine_.get().stream);
  const mat<const std::int32_t> sorted = order;
  each_pack(
      engine_, spans, y.cols, [](auto n) { return gpu::scatter_spans<n(), T>; }, x, sorted, y, partial);
  const auto down = static_cast<unsigned>(std::min<dim>(spans, 32768));
  run(engine_, gpu::scatter_runs<T>, dim3(gpu::blocks_for(y.cols, 32), down, gpu::blocks_for(spans, down)), dim3(32, gpu::groups),
      sorted, mat<const float>(partial), y);
}

template class cuda_scatter<float>;
template class cuda_scatter<bf16>;

}  // namespace clipx::detail
#endif
