// linear: y = x W^T + b. A template for new ops: parameters, visit, forward, backward, in this order.
#pragma once
#include "../core/params.hpp"
#include "../core/step.hpp"

namespace clipx {

/// y = x W^T + b over R rows.
template <backend_types B>
struct linear {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  mat<T> weight;  // (out, in)
  mat<T> bias;    // (1, out); empty: none

  dim in = 0, out = 0;  // columns of x and of y
  linear() = default;
  /// Parameters of these sizes, without memory until bind().
  linear(dim inputs, dim outputs) : in(inputs), out(outputs) {}
  void visit(auto& v) {
    v("weight", weight, {out, in});
    v("bias", bias, {out});
  }

  /// Outputs first .. first + n - 1 as a separate op on the same memory.
  linear rows(dim first, dim n) const {
    linear part(in, n);
    part.weight = weight.row_range(first, n);
    if (bias) part.bias = bias.col_range(first, n);
    return part;
  }

  void forward(step<B>& s, mat<const T> x, mat<T> y, const epilogue<T>& e = {}) const {  // (R, in) -> (R, out)
    expect(x.cols == weight.cols && y.cols == weight.rows && x.rows == y.rows,
           [&] { return cat("linear: expected ", weight.cols, " columns, got ", x.cols); });
    if constexpr (B::fast::linear) {
      s.device.linear(x, weight, bias, e, y);
    } else {
      scratch<B> here(s);
      const auto apart = [&](bool needed) { return needed ? s.make(y.rows, y.cols) : y; };
      auto u = e.pre ? e.pre : apart(bool(e.residual));  // (R, out), x W^T + b
      auto g = e.f ? apart(bool(e.residual)) : u;        // (R, out), f(u)
      s.device.gemm(op::none, op::transpose, A(1), x, weight, A(0), u);
      if (bias) s.device.add_rows(bias, u);
      if (e.f) s.device.unary(*e.f, u, g);
      if (e.residual && e.residual.data != y.data) s.device.copy(e.residual, y);
      if (e.residual) s.device.add(A(1), g, A(1), y);
      if (!e.residual && g.data != y.data) s.device.copy(g, y);
    }
  }

  /// dW += dy^T x, db += column sums of dy, and dx = dy W if dx is given.
  void backward(step<B>& s, mat<const T> x, mat<const T> dy, linear& grad, mat<T> dx = {}) const {
    s.device.gemm(op::transpose, op::none, A(1), dy, x, A(1), grad.weight);
    if (bias) s.device.sum_rows(dy, grad.bias);
    if (dx) s.device.gemm(op::none, op::none, A(1), dy, weight, A(0), dx);
  }
};

}  // namespace clipx
