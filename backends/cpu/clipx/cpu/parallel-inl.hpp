// How work is divided among threads (OpenMP), and memory for what kernels keep between two passes.
#pragma once
#include <pthread.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <clipx/core/error.hpp>
#include <clipx/core/mat.hpp>
#include <exception>
#include <new>
#include <vector>

namespace clipx::simd {

/// Called before a region of several OpenMP threads. Error: this process was forked from one that had such a region. OpenMP would
/// wait forever for threads that only the parent has.
inline void expect_openmp() {
  static std::atomic<bool> forked{false};
  [[maybe_unused]] static const int watched = ::pthread_atfork(nullptr, nullptr, [] { forked = true; });
  expect(!forked.load(std::memory_order_relaxed), error_kind::device,
         "cpu: this process was forked from one that used several threads, which OpenMP does not survive: load the model after "
         "fork(), or set cpu_options::threads to 1");
}

/// Calls f(i) for i < n on up to `threads` threads; each i goes to the next free thread. Exceptions of f reach the caller.
template <class F>
void parallel_tasks(int threads, dim n, F&& f) {
  if (threads <= 1 || n <= 1) {
    for (dim i = 0; i < n; ++i) f(i);
    return;
  }
  expect_openmp();
  std::exception_ptr thrown;
#ifdef _OPENMP
#pragma omp parallel for num_threads(static_cast <int>(std::min <dim>(threads, n))) schedule(dynamic)
#endif
  for (dim i = 0; i < n; ++i) try {
      f(i);
    } catch (...) {
#ifdef _OPENMP
#pragma omp critical(clipx_thrown)
#endif
      thrown = std::current_exception();
    }
  if (thrown) std::rethrow_exception(thrown);
}

/// Calls f(first, n) for one range of `items` on each thread, in multiples of `grain`. `work` is the number of elements per item: a
/// thread is used only for at least 2^15 elements.
template <class F>
void parallel_ranges(int threads, dim items, dim work, dim grain, F&& f) {
  const dim most = std::min<dim>({threads, (items + grain - 1) / grain, items * work >> 15});
  if (most <= 1) {
    if (items > 0) f(dim{0}, items);
    return;
  }
  const dim grains = (items + grain - 1) / grain;
  parallel_tasks(static_cast<int>(most), most, [&](dim p) {
    const dim from = grains * p / most * grain, to = std::min(items, grains * (p + 1) / most * grain);
    f(from, to - from);
  });
}

inline constexpr dim line = 64;  // elements: whole cache lines, whole vectors

template <class E>
mat<E> row_part(mat<E> m, dim first, dim n) {
  return m ? m.row_range(first, n) : m;
}
/// Calls f(parts...), each part a range of rows.
template <class F, class... E>
void parallel_rows(int threads, dim rows, dim work, F&& f, mat<E>... m) {
  parallel_ranges(threads, rows, work, 1, [&](dim first, dim n) { f(row_part(m, first, n)...); });
}
/// Calls f(parts...) for independent elements: as one long row if the rows are contiguous.
template <class F, class... E>
void parallel_elements(int threads, F&& f, mat<E>... m) {
  const std::array<dim, sizeof...(m)> rows{m.rows...}, sizes{m.size()...};
  if ((m.contiguous() && ...))
    parallel_ranges(threads, sizes[0], 1, line, [&](dim first, dim n) { f(mat<E>(m.data + first, 1, n)...); });
  else parallel_rows(threads, rows[0], sizes[0] / std::max<dim>(rows[0], 1), f, m...);
}

/// At least n floats, aligned for any vector; the same memory in each call on one thread. Not zeroed.
inline float* scratch(dim n) {
  struct memory {
    float* data = nullptr;
    dim size = 0;
    ~memory() { ::operator delete(data, std::align_val_t(256)); }
  };
  thread_local memory m;
  if (m.size < n) {
    const dim size = n + n / 4;
    auto* p = static_cast<float*>(::operator new(static_cast<std::size_t>(size) * sizeof(float), std::align_val_t(256)));
    ::operator delete(m.data, std::align_val_t(256));
    m.data = p;
    m.size = size;
  }
  return m.data;
}
/// Floats of the calling thread, separate from those of scratch(): for results that several threads fill in together.
inline float* shared_floats(dim n) {
  thread_local std::vector<float> v;
  if (static_cast<dim>(v.size()) < n) v.resize(static_cast<std::size_t>(n));
  return v.data();
}

/// Number of rows that one thread sums: depends only on the columns, and is small enough for the cache.
inline dim piece_rows(dim cols) { return std::max<dim>(1, (dim{1} << 9) / std::max<dim>(cols, 1)) * 64; }
/// `each` sums of every column: f(first row, rows, sums (each, cols)) for every piece; the pieces are added in order.
/// The result is in shared_floats().
template <class F>
mat<float> column_pieces(int threads, dim rows, dim cols, F&& f, dim each = 2) {
  const dim height = piece_rows(cols), pieces = (rows + height - 1) / height;
  const mat<float> parts(shared_floats((pieces + 1) * each * cols), (pieces + 1) * each, cols);
  parallel_ranges(threads, pieces, height * cols, 1, [&](dim first, dim n) {
    for (dim p = first; p < first + n; ++p)
      f(p * height, std::min(height, rows - p * height), parts.row_range(each * (p + 1), each));
  });
  const auto sums = parts.row_range(0, each);
  std::fill_n(sums.data, sums.size(), 0.0f);
  for (dim p = 1; p <= pieces; ++p)
    for (dim i = 0; i < sums.size(); ++i) sums.data[i] += parts.row(each * p)[i];
  return sums;
}

}  // namespace clipx::simd
