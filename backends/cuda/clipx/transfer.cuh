// Host rows to the device and back.
#pragma once
#include <algorithm>
#include <cstring>
#include <vector>

#include "state.cuh"

namespace clipx::detail {

/// Rows without gaps are one row.
template <class E, class F>
void for_lines(mat<E> x, bool no_gaps, F&& body) {
  if (no_gaps) body(dim{1}, x.size());
  else body(x.rows, x.cols);
}
/// Host rows to device rows, converted on the host where the types differ, a few MiB at a time.
template <class From, class To>
void to_device(cuda_engine& e, mat<const From> x, mat<To> y) {
  constexpr dim piece = (dim{16} << 20) / static_cast<dim>(sizeof(To));  // values
  if (x.size() == 0) return;
  for_lines(x, x.ld == x.cols && y.ld == y.cols, [&](dim rows, dim cols) {
    const dim width = std::min(cols, piece), height = std::min(rows, piece / width);
    for (dim r = 0; r < rows; r += height)
      for (dim c = 0; c < cols; c += width) {
        const dim n = std::min(width, cols - c), lines = std::min(height, rows - r);
        const auto row_bytes = static_cast<std::size_t>(n) * sizeof(To), step = static_cast<std::size_t>(y.ld) * sizeof(To);
        e.get().upload(y.row(r) + c, step, row_bytes, static_cast<std::size_t>(lines), [&](char* pinned) {
          for (dim i = r; i < r + lines; ++i, pinned += row_bytes)
            if constexpr (std::is_same_v<From, To>) std::memcpy(pinned, x.row(i) + c, row_bytes);
            else
              std::transform(x.row(i) + c, x.row(i) + c + n, reinterpret_cast<To*>(pinned),
                             [](From v) { return static_cast<To>(v); });
        });
      }
  });
}
/// Device rows to host rows of the same type; waits.
template <class E>
void to_host(cuda_engine& e, mat<const E> x, mat<E> y) {
  if (x.size() == 0) return;
  auto& s = e.get();
  for_lines(x, x.ld == x.cols && y.ld == y.cols, [&](dim rows, dim cols) {
    const auto bytes = [](dim n) { return static_cast<std::size_t>(n) * sizeof(E); };
    const auto code = rows == 1 ? cudaMemcpyAsync(y.data, x.data, bytes(cols), cudaMemcpyDeviceToHost, s.stream)
                                : cudaMemcpy2DAsync(y.data, bytes(y.ld), x.data, bytes(x.ld), bytes(cols),
                                                    static_cast<std::size_t>(rows), cudaMemcpyDeviceToHost, s.stream);
    gpu::check(code, "copying from the device");
  });
  e.sync();
}
template <class E, class To>
void download_converted(cuda_engine& e, mat<const E> x, mat<To> y) {
  std::vector<E> values(static_cast<std::size_t>(x.size()));
  to_host(e, x, mat<E>(values.data(), x.rows, x.cols));
  for (dim r = 0; r < x.rows; ++r)
    for (dim c = 0; c < x.cols; ++c) y.row(r)[c] = static_cast<To>(values[static_cast<std::size_t>(r * x.cols + c)]);
}

}  // namespace clipx::detail
