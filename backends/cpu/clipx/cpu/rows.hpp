// Verbs on rows: added to others, summed, gathered and scattered; pairs of columns rotated by row.
#ifndef CLIPX_CPU_ROWS_HPP
#define CLIPX_CPU_ROWS_HPP
#include "family.hpp"

namespace clipx::detail {

template <class T>
class cpu_rows : cpu_family<T> {
 public:
  using cpu_family<T>::cpu_family;

  /// y[r] += x[r mod x.rows]
  void add_rows(mat<const T> x, mat<T> y);
  /// y[r mod y.rows] += x[r]
  void sum_rows(mat<const T> x, mat<T> y);
  /// y[i] = x[ids[i]], ids (1, n).
  void gather_rows(mat<const T> x, mat<const std::int32_t> ids, mat<T> y);
  /// y[ids[i]] += x[i]; rows with the same id are added in float, in order, and rounded once.
  void scatter_add_rows(mat<const T> x, mat<const std::int32_t> ids, mat<T> y);
  /// Columns 2i and 2i + 1 of row r, as a complex number, times that of row r mod table.rows; the table's columns repeat. y may be
  /// x.
  void rotate_pairs(mat<const T> x, mat<const float> table, mat<T> y);
  /// The same by the conjugates.
  void rotate_pairs_backward(mat<const T> dy, mat<const float> table, mat<T> dx);
};
CLIPX_CPU_DECLARED(cpu_rows);

}  // namespace clipx::detail
#endif

#ifdef CLIPX_CPU_KERNELS
HWY_BEFORE_NAMESPACE();
namespace clipx::simd::HWY_NAMESPACE {

/// The rows of y are rows first, first + 1, ... of the whole.
template <class T>
void add_rows(mat<const T> x, dim first, mat<T> y) {
  for (dim r = 0; r < y.rows; ++r) {
    const T* from = x.row((first + r) % x.rows);
    T* to = y.row(r);
    along(y.cols, [&](auto at) CLIPX_LANES { at.put(at.get(from) + at.get(to), to); });
  }
}

template <class T>
void add_totals(const float* totals, dim cols, T* y) {
  along(cols, [&](auto at) CLIPX_LANES { at.put(at.get(y) + at.get(totals), y); });
}

template <class T>
void sum_rows(mat<const T> x, mat<T> y) {
  float* totals = scratch(y.cols);
  for (dim p = 0; p < y.rows; ++p) {
    column_sums(p, y.rows, x.rows, y.cols, totals, [&](auto at, dim r, vf s) CLIPX_LANES { return s + at.get(x.row(r)); });
    add_totals(totals, y.cols, y.row(p));
  }
}

/// y = x's pairs of columns as complex numbers times those of `turn`, or their conjugates if the direction is -1; y may be x.
#if HWY_TARGET == HWY_SCALAR
template <class T>
void rotate(const T* x, const float* turn, dim n, float direction, T* y) {
  for (dim i = 0; i < n; i += 2) {
    const whole first{i}, second{i + 1};
    const auto a = first.get(x), b = second.get(x), cosine = first.get(turn), sine = set(direction) * second.get(turn);
    first.put(hn::NegMulAdd(b, sine, a * cosine), y);
    second.put(hn::MulAdd(b, cosine, a * sine), y);
  }
}
#else
template <class T>
void rotate(const T* x, const float* turn, dim n, float direction, T* y) {
  const auto sign = hn::OddEven(set(direction), set(-direction));
  along(n, [&](auto at) CLIPX_LANES {  // whole pairs: n is even
    const auto v = at.get(x), t = at.get(turn);
    at.put(hn::MulAdd(v, hn::DupEven(t), hn::Reverse2(df(), v) * (hn::DupOdd(t) * sign)), y);
  });
}
#endif
/// The rows of x and y are rows first, first + 1, ... of the whole.
template <class T>
void rotate_pairs(mat<const T> x, mat<const float> table, dim first, float direction, mat<T> y) {
  for (dim r = 0; r < y.rows; ++r)
    for (dim c = 0; c < y.cols; c += table.cols)
      rotate(x.row(r) + c, table.row((first + r) % table.rows), table.cols, direction, y.row(r) + c);
}

/// y += x[rows[0]] + ... + x[rows[n - 1]]
template <class T>
void sum_listed(mat<const T> x, const std::int32_t* rows, dim n, T* y) {
  float* totals = scratch(x.cols);
  column_sums(0, 1, n, x.cols, totals, [&](auto at, dim i, vf s) CLIPX_LANES { return s + at.get(x.row(rows[i])); });
  add_totals(totals, x.cols, y);
}

}  // namespace clipx::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#ifdef CLIPX_CPU_MEMBERS
namespace clipx::detail {

template <class T>
void cpu_rows<T>::add_rows(mat<const T> x, mat<T> y) {
  simd::parallel_ranges(this->threads_, y.rows, y.cols, 1, [&](dim first, dim n) {
    CLIPX_KERNEL(add_rows<T>)(x, first, y.row_range(first, n));
  });
}
template <class T>
void cpu_rows<T>::sum_rows(mat<const T> x, mat<T> y) {
  simd::parallel_ranges(this->threads_, x.cols, x.rows, simd::line, [&](dim first, dim n) {
    CLIPX_KERNEL(sum_rows<T>)(x.col_range(first, n), y.col_range(first, n));
  });
}
template <class T>
void cpu_rows<T>::gather_rows(mat<const T> x, mat<const std::int32_t> ids, mat<T> y) {
  simd::parallel_ranges(this->threads_, ids.cols, x.cols, 1, [&](dim first, dim n) {
    for (dim i = first; i < first + n; ++i) std::copy_n(x.row(ids.data[i]), x.cols, y.row(i));
  });
}
template <class T>
void cpu_rows<T>::scatter_add_rows(mat<const T> x, mat<const std::int32_t> ids, mat<T> y) {
  thread_local std::vector<std::int32_t> memory;
  auto& order = memory;  // x's rows by id, in order within each id; a plain reference, so that threads see this thread's memory
  order.resize(static_cast<std::size_t>(ids.cols));
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [&](std::int32_t a, std::int32_t b) { return ids.data[a] != ids.data[b] ? ids.data[a] < ids.data[b] : a < b; });
  const auto id = [&](dim i) { return ids.data[order[static_cast<std::size_t>(i)]]; };
  simd::parallel_ranges(this->threads_, ids.cols, x.cols, 1, [&](dim first, dim n) {
    dim i = first;
    while (i > 0 && i < first + n && id(i) == id(i - 1)) ++i;  // a run that begins in the previous range belongs to that range
    while (i < first + n) {
      dim end = i + 1;
      while (end < ids.cols && id(end) == id(i)) ++end;
      CLIPX_KERNEL(sum_listed<T>)(x, order.data() + i, end - i, y.row(id(i)));
      i = end;
    }
  });
}

template <class T>
void cpu_rows<T>::rotate_pairs(mat<const T> x, mat<const float> table, mat<T> y) {
  simd::parallel_ranges(this->threads_, y.rows, y.cols, 1, [&](dim first, dim n) {
    CLIPX_KERNEL(rotate_pairs<T>)(x.row_range(first, n), table, first, 1.0f, y.row_range(first, n));
  });
}
template <class T>
void cpu_rows<T>::rotate_pairs_backward(mat<const T> dy, mat<const float> table, mat<T> dx) {
  simd::parallel_ranges(this->threads_, dx.rows, dx.cols, 1, [&](dim first, dim n) {
    CLIPX_KERNEL(rotate_pairs<T>)(dy.row_range(first, n), table, first, -1.0f, dx.row_range(first, n));
  });
}

CLIPX_CPU_DEFINED(cpu_rows);

}  // namespace clipx::detail
#endif
