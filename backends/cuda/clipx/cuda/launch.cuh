// How verbs launch kernels: the grid for the data, and the width at which its views can be processed.
#pragma once
#include <utility>

#include "engine.cuh"
#include "packs.cuh"
#include "sums.cuh"

namespace clipx::gpu {
inline constexpr unsigned row_threads = 256, max_row_threads = 512;  // threads of a block that processes one row
}

namespace clipx::detail {

/// At the end of a scope, returns the memory that a verb took for itself.
struct temporary {
  arena& memory;
  arena::mark mark;
  explicit temporary(arena& m) : memory(m), mark(m.here()) {}
  ~temporary() { memory.release(mark); }
};

/// With debug checks: throws if an argument that a kernel may write is a frozen weight.
template <class E>
void expect_thawed(const cuda_engine::lane& s, const mat<E>& m) {
  if constexpr (!std::is_const_v<E>) s.expect_thawed(m.data, byte_extent(m));
}
template <class E>
void expect_thawed(const cuda_engine::lane& s, E* const& p) {
  if constexpr (!std::is_const_v<E>) s.expect_thawed(p, 1);
}
template <class A>
void expect_thawed(const cuda_engine::lane&, const A&) {}

/// run() with dynamic shared memory.
template <class... P, class... A>
void run_shared(cuda_engine& e, void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes, A&&... arguments) {
  const auto& s = e.get();
  (expect_thawed(s, arguments), ...);
  gpu::launch(kernel, grid, block, shared_bytes, s.stream, std::forward<A>(arguments)...);
}
template <class... P, class... A>
void run(cuda_engine& e, void (*kernel)(P...), dim3 grid, dim3 block, A&&... arguments) {
  run_shared(e, kernel, grid, block, 0, std::forward<A>(arguments)...);
}
/// Calls body(integral constant n): n values of rows of `cols` at a time, 16 bytes if
/// every view among the arguments allows it, else 1.
template <class F, class... A>
void by_width(dim cols, F&& body, const A&... arguments) {
  constexpr int n = gpu::vector_width<A...>;
  if ((gpu::vectorizable<n>(cols, arguments) && ...)) body(std::integral_constant<int, n>());
  else body(std::integral_constant<int, 1>());
}
/// kernel_of(n), with one thread for n values of a row.
template <class K, class... A>
void each_pack(cuda_engine& e, dim rows, dim cols, K&& kernel_of, A&&... arguments) {
  by_width(
      cols,
      [&](auto n) {
        const dim packs = (cols + n() - 1) / n();
        const dim3 block = gpu::pack_block(rows, packs);
        run(e, kernel_of(n), gpu::pack_grid(rows, packs, block), block, std::forward<A>(arguments)...);
      },
      arguments...);
}
/// One block per warp's width of columns.
template <class... P, class... A>
void each_column(cuda_engine& e, dim rows, dim cols, void (*kernel)(P...), A&&... arguments) {
  run(e, kernel, gpu::totals(cols, rows), dim3(32, gpu::groups), std::forward<A>(arguments)...);
}
/// One block per row.
template <class... P, class... A>
void each_row(cuda_engine& e, dim rows, void (*kernel)(P...), A&&... arguments) {
  run(e, kernel, dim3(static_cast<unsigned>(rows)), gpu::row_threads, std::forward<A>(arguments)...);
}

/// kernel_of(n, once) with one block per row and n values per thread, as in along(); `blocks` rows or chunks of rows.
template <class K, class... A>
void each_vector_row(cuda_engine& e, dim blocks, dim cols, K&& kernel_of, A&&... arguments) {
  by_width(
      cols,
      [&](auto n) {
        const dim threads = (cols + n() - 1) / n();
        const auto go = [&](auto once, unsigned block) {
          run(e, kernel_of(n, once), dim3(static_cast<unsigned>(blocks)), block, std::forward<A>(arguments)...);
        };
        if (threads <= gpu::max_row_threads) go(std::true_type(), 32 * gpu::blocks_for(threads, 32));
        else go(std::false_type(), gpu::max_row_threads);
      },
      arguments...);
}

}  // namespace clipx::detail
