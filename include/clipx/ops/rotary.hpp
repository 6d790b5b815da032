// Rotary position embedding: pairs of columns of queries and keys are rotated by angles that depend on the row (Su et al. 2021).
#pragma once
#include "../core/step.hpp"

namespace clipx {

/// Row r of every sequence is rotated as row r of the table says, the columns of each head alike.
template <backend_types B>
struct rotary {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  mat<const A> table;  // (L, d), cosine and sine of the angle of each pair of a head's columns; empty: nothing is rotated

  /// x (N L, W), in place; W is a multiple of d.
  void forward(step<B>& s, mat<T> x) const {
    if (!table) return;
    check(x);
    s.device.rotate_pairs(x, table, x);
  }
  /// The gradient, in place.
  void backward(step<B>& s, mat<T> dx) const {
    if (!table) return;
    check(dx);
    s.device.rotate_pairs_backward(dx, table, dx);
  }

 private:
  void check(mat<const T> x) const {
    expect(table.cols % 2 == 0 && x.cols % table.cols == 0 && x.rows % table.rows == 0, [&] {
      return cat("rotary: expected a multiple of ", table.rows, " rows and of ", table.cols, " columns, an even number, got (",
                 x.rows, ", ", x.cols, ")");
    });
  }
};

}  // namespace clipx
