// A convolution whose windows do not overlap (stride = kernel), with bias: a linear layer on patches.
#pragma once
#include "conv.hpp"
#include "linear.hpp"

namespace clipx {

/// y = conv(x) + bias with stride k. Weights are the checkpoint's (out, in, k, k).
template <backend_types B>
struct patch_conv {
  using T = scalar_t<B>;
  linear<B> of_patches;  // (out, in k k), (1, out)

  dim in = 0, out = 0, kernel = 1;  // channels of x and of y; side of a patch, in pixels
  patch_conv() = default;
  /// Parameters of these sizes, without memory until bind().
  patch_conv(dim inputs, dim outputs, dim k) : of_patches(inputs * k * k, outputs), in(inputs), out(outputs), kernel(k) {}
  void visit(auto& v) {
    v("weight", of_patches.weight, {out, in, kernel, kernel});
    v("bias", of_patches.bias, {out});
  }
  /// The patches of images of height x width; a rest that no patch covers is left out.
  window over(dim height, dim width) const {
    return {.height = height, .width = width, .channels = in, .kernel = kernel, .stride = kernel};
  }

  struct saved {
    mat<T> patches;  // (N H' W', in k k)
  };
  /// Memory for the patches of x.
  saved make_saved(step<B>& s, const feature_map<T>& x) const {
    const window w = over(x.height, x.width);
    return {s.make(x.images() * w.out_rows(), w.patch())};
  }

  /// The first half of the forward pass: the patches of x (N H W, in).
  void cut(step<B>& s, const feature_map<T>& x, const saved& ctx) const {
    expect(x.rows.cols == in && x.rows.rows % (x.height * x.width) == 0,
           [&] { return cat("patch_conv: expected ", in, " channels, got ", x.rows.cols); });
    s.device.im2col(x.rows, over(x.height, x.width), ctx.patches);
  }
  /// The second half: patches -> y (N H' W', out).
  void forward(step<B>& s, const saved& ctx, mat<T> y) const { of_patches.forward(s, ctx.patches, y); }
  /// dx (N height width, in) is overwritten; empty: not needed.
  void backward(step<B>& s, const saved& ctx, dim height, dim width, mat<const T> dy, patch_conv& grad, mat<T> dx = {}) const {
    if (!dx) return of_patches.backward(s, ctx.patches, dy, grad.of_patches);
    scratch<B> here(s);
    auto dpatches = s.make(dy.rows, ctx.patches.cols);  // (N H' W', in k k)
    of_patches.backward(s, ctx.patches, dy, grad.of_patches, dpatches);
    s.device.col2im(dpatches, over(height, width), dx);
  }
};

}  // namespace clipx
