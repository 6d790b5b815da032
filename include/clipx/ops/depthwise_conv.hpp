// A depthwise convolution with bias: every channel has a filter of its own.
#pragma once
#include "conv.hpp"

namespace clipx {

/// y = conv(x) + bias, channel by channel. Weights are the checkpoint's (C, 1, k, k).
template <backend_types B>
struct depthwise_conv {
  using T = scalar_t<B>;
  mat<T> weight;  // (C, k k)
  mat<T> bias;    // (1, C)

  dim channels = 0, kernel = 1, stride = 1;  // C; side and stride of the window, in pixels
  depthwise_conv() = default;
  /// Parameters of these sizes, without memory until bind(). Errors: a kernel that is not odd, or above 63.
  depthwise_conv(dim c, dim k, dim step = 1) : channels(c), kernel(k), stride(step) {
    expect(k % 2 == 1 && k < 64 && step > 0,
           [&] { return cat("depthwise_conv: expected an odd kernel up to 63 and a stride, got ", k, " and ", step); });
  }
  void visit(auto& v) {
    v("weight", weight, {channels, 1, kernel, kernel});
    v("bias", bias, {channels});
  }
  /// Its windows over images of height x width; padded so that stride 1 keeps the size.
  window over(dim height, dim width) const {
    return {.height = height, .width = width, .channels = channels, .kernel = kernel, .stride = stride, .pad = kernel / 2};
  }

  /// x (N H W, C) -> y (N H' W', C), returned with its height and width.
  feature_map<T> forward(step<B>& s, const feature_map<T>& x, mat<T> y) const {
    expect(x.rows.cols == channels && x.rows.rows % (x.height * x.width) == 0,
           [&] { return cat("depthwise_conv: expected ", channels, " channels, got ", x.rows.cols); });
    const window w = over(x.height, x.width);
    s.device.depthwise_conv(x.rows, w, weight, bias, y);
    return {y, w.out_height(), w.out_width()};
  }
  /// x: the input of the forward pass. dy (N H' W', C); dx (N H W, C) may be empty.
  void backward(step<B>& s, const feature_map<T>& x, mat<const T> dy, depthwise_conv& grad, mat<T> dx = {}) const {
    s.device.depthwise_conv_backward(x.rows, over(x.height, x.width), weight, dy, dx, grad.weight);
    s.device.sum_rows(dy, grad.bias);
  }
};

}  // namespace clipx
