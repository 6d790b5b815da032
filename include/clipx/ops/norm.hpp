// LayerNorm (per row) and BatchNorm (per column), statistics in A.
#pragma once
#include "../core/params.hpp"
#include "../core/step.hpp"

namespace clipx {

template <backend B>
struct layernorm {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  mat<A> weight;  // (1, W)
  mat<A> bias;    // (1, W)

  dim width = 0;
  double eps = 1e-5;
  layernorm() = default;
  layernorm(dim w, double e) : width(w), eps(e) {}
  template <class V>
  void visit(V& v) {
    v("weight", weight, {width});
    v("bias", bias, {width});
  }

  struct saved {
    mat<A> stats;  // (R, 2), mean and 1 / deviation of every row
  };

  /// y = (x - mean) / sqrt(var + eps) * weight + bias, biased variance.
  void forward(step<B>& s, mat<const T> x, mat<T> y, const saved& k) const {
    expect(x.cols == width && same_shape(x, y), [&] { return cat("layernorm: expected ", width, " columns, got ", x.cols); });
    s.device.layernorm(x, mat<const A>(weight), mat<const A>(bias), eps, y, k.stats);
  }
  /// sum = x + branch, y = LayerNorm(sum): the residual and the norm after it.
  void forward(step<B>& s, mat<const T> x, mat<const T> branch, mat<T> sum, mat<T> y, const saved& k) const {
    if constexpr (B::fast::add_layernorm) {
      s.device.add_layernorm(x, branch, mat<const A>(weight), mat<const A>(bias), eps, sum, y, k.stats);
    } else {
      if (sum.data != x.data) s.device.copy(x, sum);
      s.device.add(A(1), branch, A(1), sum);
      forward(s, mat<const T>(sum), y, k);
    }
  }

  void backward(step<B>& s, mat<const T> x, const saved& k, mat<const T> dy, layernorm& grad, mat<T> dx) const {
    s.device.layernorm_backward(x, mat<const A>(weight), mat<const A>(k.stats), dy, dx, grad.weight, grad.bias);
  }
  /// x stands in a residual sum too: dx receives the gradient that comes back through it as well.
  void backward(step<B>& s, mat<const T> x, const saved& k, mat<const T> dy, layernorm& grad, mat<const T> residual,
                mat<T> dx) const {
    if constexpr (B::fast::add_layernorm) {
      s.device.add_layernorm_backward(x, mat<const A>(weight), mat<const A>(k.stats), dy, residual, dx, grad.weight, grad.bias);
    } else {
      backward(s, x, k, dy, grad, dx);
      s.device.add(A(1), residual, A(1), dx);
    }
  }
};

/// Per column over N x H x W rows. In training the batch's own statistics are used and the running ones follow:
/// running <- (1 - momentum) running + momentum batch, with the unbiased variance (PyTorch's rule).
template <backend B>
struct batchnorm {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  mat<A> weight, bias;               // (1, C)
  mat<A> running_mean, running_var;  // (1, C)

  dim width = 0;
  double eps = 1e-5;
  batchnorm() = default;
  explicit batchnorm(dim c) : width(c) {}
  template <class V>
  void visit(V& v) {
    v("weight", weight, {width});
    v("bias", bias, {width});
    v("running_mean", running_mean, {width}, role::buffer);
    v("running_var", running_var, {width}, role::buffer);
  }

  struct saved {
    mat<A> stats;  // (2, C), mean and biased variance that were used
  };

  /// y = relu?(BatchNorm(x) + residual?); a residual may be empty.
  void forward(step<B>& s, mat<const T> x, mat<const T> residual, bool relu, mat<T> y, const saved& k,
               bool training) const {  // (R, C) -> (R, C)
    if (training) {
      s.device.column_stats(x, k.stats);
    } else {
      s.device.copy(mat<const A>(running_mean), k.stats.row_range(0, 1));
      s.device.copy(mat<const A>(running_var), k.stats.row_range(1, 1));
    }
    if constexpr (B::fast::batchnorm_relu) {
      s.device.batchnorm_relu(x, mat<const A>(k.stats), mat<const A>(weight), mat<const A>(bias), eps, residual, relu, y);
    } else {
      s.device.batchnorm(x, mat<const A>(k.stats), mat<const A>(weight), mat<const A>(bias), eps, y);
      if (residual) s.device.add(A(1), residual, A(1), y);
      if (relu) s.device.unary(activation::relu, mat<const T>(y), y);
    }
  }
  /// The running statistics follow what a training forward used over `rows` rows; once a step, after it. Momentum 1: they become
  /// it.
  void update(step<B>& s, const saved& k, dim rows, double momentum = 0.1) {
    const A m = A(momentum), unbiased = A(momentum * static_cast<double>(rows) / static_cast<double>(rows > 1 ? rows - 1 : 1));
    s.device.add(m, mat<const A>(k.stats.row_range(0, 1)), A(1.0 - momentum), running_mean);
    s.device.add(unbiased, mat<const A>(k.stats.row_range(1, 1)), A(1.0 - momentum), running_var);
  }
  /// y: what the ReLU gave, empty where there was none: its slope is 1 where y > 0. dz, where asked for, receives the gradient
  /// before the ReLU, which is the residual's; it may be dy.
  void backward(step<B>& s, mat<const T> x, const saved& k, bool training, mat<const T> y, mat<const T> dy, batchnorm& grad,
                mat<T> dz, mat<T> dx) const {
    if (!y && dz && dz.data != dy.data) s.device.copy(dy, dz);
    if (!dz) dz = dx;
    if constexpr (B::fast::batchnorm_relu)
      if (y) {
        s.device.batchnorm_relu_backward(x, mat<const A>(k.stats), mat<const A>(weight), eps, training, y, dy, dz, dx, grad.weight,
                                         grad.bias);
        return;
      }
    if (y) s.device.unary_backward(activation::relu, y, dy, dz), dy = dz;
    s.device.batchnorm_backward(x, mat<const A>(k.stats), mat<const A>(weight), eps, training, dy, dx, grad.weight, grad.bias);
  }
};

}  // namespace clipx
