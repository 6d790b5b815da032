// LayerNorm (per row) and BatchNorm (per column), with statistics in A.
#pragma once
#include "../core/params.hpp"
#include "../core/step.hpp"

namespace clipx {

/// What else the backward pass of LayerNorm adds up.
template <class T>
struct layernorm_backward_options {
  mat<const T> residual = {};  // (R, W), added to dx: the gradient through a residual sum that also contains x
};

/// LayerNorm of every row, with biased variance.
template <backend_types B>
struct layernorm {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  mat<A> weight;  // (1, W)
  mat<A> bias;    // (1, W)

  dim width = 0;      // W
  double eps = 1e-5;  // added to the variance
  layernorm() = default;
  /// Parameters of this width, without memory until bind().
  layernorm(dim w, double e) : width(w), eps(e) {}
  void visit(auto& v) {
    v("weight", weight, {width});
    v("bias", bias, {width});
  }

  struct saved {
    mat<A> stats;  // (R, 2), mean and 1 / deviation of every row
  };
  /// Memory for the backward pass over R rows; empty if nothing is kept.
  saved make_saved(step<B>& s, dim R) const { return {s.kept == keep::nothing ? mat<A>{} : s.make_accum(R, 2)}; }

  /// y = (x - mean) / sqrt(var + eps) * weight + bias, biased variance.
  void forward(step<B>& s, mat<const T> x, mat<T> y, const saved& ctx) const {  // (R, W) -> (R, W)
    expect(x.cols == width && same_shape(x, y), [&] { return cat("layernorm: expected ", width, " columns, got ", x.cols); });
    s.device.layernorm(x, weight, bias, eps, y, ctx.stats);
  }
  /// sum = x + branch, y = LayerNorm(sum): a residual and the norm after it.
  void forward(step<B>& s, const residual_sum<T>& r, mat<T> y, const saved& ctx) const {
    if constexpr (B::fast::add_layernorm) {
      s.device.add_layernorm(r, weight, bias, eps, y, ctx.stats);
    } else {
      if (r.sum.data != r.x.data) s.device.copy(r.x, r.sum);
      s.device.add(A(1), r.branch, A(1), r.sum);
      forward(s, r.sum, y, ctx);
    }
  }

  /// x: the input, or the residual sum.
  void backward(step<B>& s, mat<const T> x, const saved& ctx, mat<const T> dy, layernorm& grad, mat<T> dx,
                const layernorm_backward_options<T>& o = {}) const {
    const layernorm_backward_input<T, A> in{.x = x, .weight = weight, .stats = ctx.stats, .dy = dy};
    if constexpr (B::fast::add_layernorm)
      if (o.residual) return s.device.add_layernorm_backward(in, o.residual, dx, grad.weight, grad.bias);
    s.device.layernorm_backward(in, dx, grad.weight, grad.bias);
    if (o.residual) s.device.add(A(1), o.residual, A(1), dx);
  }
};

/// y = relu?(BatchNorm(x) + residual?).
template <class T>
struct batchnorm_options {
  mat<const T> residual = {};  // (R, C); empty: none
  bool relu = false;           // whether max(0, ..) is applied last
  bool training = false;       // the batch's own statistics, else the running ones
};

/// Where the gradients of the inputs are written.
template <class T>
struct batchnorm_gradients {
  mat<T> x = {};         // overwritten
  mat<T> residual = {};  // overwritten, may be dy: the gradient before the ReLU; empty: not needed
};

/// Per column over N x H x W rows. In training the batch's own statistics are used and the running ones are updated:
/// running <- (1 - momentum) running + momentum batch, with the unbiased variance (PyTorch's rule).
template <backend_types B>
struct batchnorm {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  mat<A> weight, bias;               // (1, C)
  mat<A> running_mean, running_var;  // (1, C)

  dim width = 0;      // C
  double eps = 1e-5;  // added to the variance
  batchnorm() = default;
  /// Parameters of this width, without memory until bind().
  explicit batchnorm(dim c) : width(c) {}
  void visit(auto& v) {
    v("weight", weight, {width});
    v("bias", bias, {width});
    v("running_mean", running_mean, {width}, role::buffer);
    v("running_var", running_var, {width}, role::buffer);
  }

  struct saved {
    mat<A> stats;           // (2, C), the mean and biased variance used; memory of the caller
    mat<const T> x;         // (R, C)
    mat<const T> y;         // (R, C), output of the ReLU, whose slope is 1 where y > 0; empty: no ReLU
    bool training = false;  // whether the statistics are those of x
  };

  void forward(step<B>& s, mat<const T> x, mat<T> y, saved& ctx, const batchnorm_options<T>& o) const {  // (R, C) -> (R, C)
    ctx.x = x;
    ctx.y = o.relu ? y : mat<T>{};
    ctx.training = o.training;
    if (o.training) s.device.column_stats(x, ctx.stats);
    else copy_running(s, ctx.stats);
    if constexpr (B::fast::batchnorm_relu) {
      s.device.batchnorm_relu(x, parameters(ctx.stats), {.residual = o.residual, .relu = o.relu}, y);
    } else {
      s.device.batchnorm(x, parameters(ctx.stats), y);
      if (o.residual) s.device.add(A(1), o.residual, A(1), y);
      if (o.relu) s.device.unary(activation::relu, y, y);
    }
  }
  /// dy (R, C). Adds the gradients of weight and bias to grad.
  void backward(step<B>& s, const saved& ctx, mat<const T> dy, batchnorm& grad, const batchnorm_gradients<T>& d) const {
    auto dz = d.residual ? d.residual : d.x;  // (R, C), the gradient before the ReLU
    batchnorm_backward_input<T, A> in{
        .x = ctx.x, .stats = ctx.stats, .weight = weight, .eps = eps, .training = ctx.training, .dy = dy};
    if constexpr (B::fast::batchnorm_relu)
      if (ctx.y) return s.device.batchnorm_relu_backward(in, ctx.y, dz, d.x, grad.weight, grad.bias);
    if (!ctx.y && d.residual && d.residual.data != dy.data) s.device.copy(dy, d.residual);
    if (ctx.y) s.device.unary_backward(activation::relu, ctx.y, dy, dz);
    if (ctx.y) in.dy = dz;
    s.device.batchnorm_backward(in, d.x, grad.weight, grad.bias);
  }

  /// What the verbs read: these statistics with weight, bias and eps.
  batchnorm_parameters<A> parameters(mat<const A> stats) const {
    return {.stats = stats, .weight = weight, .bias = bias, .eps = eps};
  }
  /// Updates the running statistics with those of a training forward pass, once per step. Momentum 1: replaces them.
  void update(step<B>& s, const saved& ctx, double momentum = 0.1) {
    const double R = static_cast<double>(ctx.x.rows), unbiased = ctx.x.rows > 1 ? momentum * R / (R - 1) : momentum * R;
    s.device.add(A(momentum), ctx.stats.row_range(0, 1), A(1.0 - momentum), running_mean);
    s.device.add(A(unbiased), ctx.stats.row_range(1, 1), A(1.0 - momentum), running_var);
  }
  /// Sets the running mean and variance to stats (2, C).
  void copy_running(step<B>& s, mat<A> stats) const {
    s.device.copy(running_mean, stats.row_range(0, 1));
    s.device.copy(running_var, stats.row_range(1, 1));
  }
};

}  // namespace clipx
