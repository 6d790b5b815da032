// mat: the only tensor. A token, an NHWC pixel and a patch are each one row.
#pragma once
#if __cplusplus < 202002L
#error "clipx needs C++20: compile with -std=c++20"
#endif
#include <cstddef>
#include <type_traits>

namespace clipx {

/// The type of sizes, indices and counts.
using dim = std::ptrdiff_t;

/// A 2-D row-major view: element (r, c) is data[r * ld + c]. It owns nothing; its memory may be on a device.
template <class T>
struct mat {
  T* data = nullptr;               // element (0, 0); nullptr: the view is empty
  dim rows = 0, cols = 0, ld = 0;  // sizes of the view and its leading dimension, in elements

  mat() = default;
  /// A contiguous view (r, c) of the memory at d.
  constexpr mat(T* d, dim r, dim c) : data(d), rows(r), cols(c), ld(c) {}
  /// A view (r, c) of the memory at d, whose rows begin l elements apart.
  constexpr mat(T* d, dim r, dim c, dim l) : data(d), rows(r), cols(c), ld(l) {}
  /// A mutable view converts to a const one.
  template <class U>
  requires std::is_same_v<const U, T>
  constexpr mat(const mat<U>& m) : data(m.data), rows(m.rows), cols(m.cols), ld(m.ld) {}

  /// Number of elements.
  constexpr dim size() const { return rows * cols; }
  /// Whether there is memory; an optional operand that is not given has none.
  constexpr explicit operator bool() const { return data != nullptr; }
  /// Start of row r.
  constexpr T* row(dim r) const { return data + r * ld; }
  /// Rows first .. first + n - 1.
  constexpr mat row_range(dim first, dim n) const { return {data + first * ld, n, cols, ld}; }
  /// Columns first .. first + n - 1.
  constexpr mat col_range(dim first, dim n) const { return {data + first, rows, n, ld}; }
  /// Every step-th row from `first`: all class tokens of N images are (N, D, ld = T*D).
  constexpr mat every(dim step, dim first = 0) const {
    return {data + first * ld, (rows - first + step - 1) / step, cols, ld * step};
  }
  /// The same memory with shape (r, c); rows must be contiguous.
  constexpr mat reshape(dim r, dim c) const { return {data, r, c, c}; }
  constexpr bool contiguous() const { return ld == cols || rows <= 1; }  // whether all elements lie side by side
};

/// Whether rows and columns are equal; leading dimensions may differ.
template <class T>
bool same_shape(const mat<T>& a, const mat<T>& b) {
  return a.rows == b.rows && a.cols == b.cols;
}
/// The same for views of different types.
template <class A, class B>
bool same_shape(const mat<A>& a, const mat<B>& b) {
  return a.rows == b.rows && a.cols == b.cols;
}

}  // namespace clipx
