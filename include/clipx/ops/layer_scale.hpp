// layer_scale: y = x * gamma, one factor per column (LayerScale of CaiT, Touvron et al. 2021; ConvNeXt).
#pragma once
#include "../core/params.hpp"
#include "../core/step.hpp"

namespace clipx {

/// y = x * gamma over R rows. gamma is held in A, as the parameters of norms are.
template <backend_types B>
struct layer_scale {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  mat<A> gamma;  // (1, W)

  dim width = 0;  // W
  layer_scale() = default;
  /// Parameters of this width, without memory until bind().
  explicit layer_scale(dim w) : width(w) {}
  void visit(auto& v) { v("gamma", gamma, {width}); }

  /// y may be x.
  void forward(step<B>& s, mat<const T> x, mat<T> y) const {  // (R, W) -> (R, W)
    expect(x.cols == width && same_shape(x, y), [&] { return cat("layer_scale: expected ", width, " columns, got ", x.cols); });
    s.device.scale_columns(x, gamma, y);
  }

  /// x: the input of the forward pass. dx may be dy.
  void backward(step<B>& s, mat<const T> x, mat<const T> dy, layer_scale& grad, mat<T> dx) const {
    s.device.scale_columns_backward(x, gamma, dy, dx, grad.gamma);
  }
};

}  // namespace clipx
