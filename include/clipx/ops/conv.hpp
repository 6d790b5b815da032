// Convolutions, alone or followed by BatchNorm (and ReLU, and a residual), and average pooling.
#pragma once
#include "linear.hpp"
#include "norm.hpp"

namespace clipx {

/// N images of height x width pixels, one row of channels each.
template <class T>
struct feature_map {
  mat<const T> rows;                                           // (N H W, C)
  dim height = 0, width = 0;                                   // of an image, in pixels
  dim images() const { return rows.rows / (height * width); }  // N
  /// The windows of average pooling, which do not overlap.
  window pools(dim kernel) const { return pools(kernel, kernel, 0); }
  /// The same with other steps, beyond the image's edges by `pad` pixels that do not count.
  window pools(dim kernel, dim stride, dim pad) const {
    return {.height = height, .width = width, .channels = rows.cols, .kernel = kernel, .stride = stride, .pad = pad};
  }
};

/// y = conv(x) + bias?. Weights are the checkpoint's (out, in, k, k).
template <backend_types B>
struct convolution {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  mat<T> weight;  // (out, in * k * k)
  mat<T> bias;    // (1, out); empty: none

  dim in = 0, out = 0, kernel = 1, stride = 1;  // channels of x and of y; side and stride of the window, in pixels
  convolution() = default;
  /// Parameters of these sizes, without memory until bind().
  convolution(dim inputs, dim outputs, dim k, dim step = 1) : in(inputs), out(outputs), kernel(k), stride(step) {}
  void visit(auto& v) {
    v("weight", weight, {out, in, kernel, kernel});
    v("bias", bias, {out});
  }
  /// Its windows over images of height x width; padded so that stride 1 keeps the size, and not where they do not overlap.
  window over(dim height, dim width) const {
    const dim pad = kernel == stride ? 0 : kernel / 2;
    return {.height = height, .width = width, .channels = in, .kernel = kernel, .stride = stride, .pad = pad};
  }

  /// x (N H W, in) -> y (N H' W', out), returned with its height and width.
  feature_map<T> forward(step<B>& s, const feature_map<T>& x, mat<T> y) const {
    expect(x.rows.cols == in && x.rows.rows % (x.height * x.width) == 0,
           [&] { return cat("conv: expected ", in, " channels, got ", x.rows.cols); });
    const window w = over(x.height, x.width);
    if constexpr (B::fast::conv)
      if (direct(w, y.rows)) {
        s.device.conv(x.rows, w, weight, y);
        if (bias) s.device.add_rows(bias, y);
        return {y, w.out_height(), w.out_width()};
      }
    scratch<B> here(s);
    const auto cols = patches(s, x.rows, w, y.rows);  // (N H' W', in k k)
    if (bias) of_patches().forward(s, cols, y);
    else s.device.gemm(op::none, op::transpose, A(1), cols, weight, A(0), y);
    return {y, w.out_height(), w.out_width()};
  }
  /// x: the input of the forward pass. dy (N H' W', out); dx (N H W, in) may be empty.
  void backward(step<B>& s, const feature_map<T>& x, mat<const T> dy, convolution& grad, mat<T> dx = {}) const {
    const window w = over(x.height, x.width);
    if (bias) s.device.sum_rows(dy, grad.bias);
    if constexpr (B::fast::conv)
      if (direct(w, dy.rows)) return s.device.conv_backward(x.rows, w, weight, dy, dx, grad.weight);
    scratch<B> here(s);
    {
      scratch<B> patches_only(s);
      s.device.gemm(op::transpose, op::none, A(1), dy, patches(s, x.rows, w, dy.rows), A(1), grad.weight);
    }
    if (!dx) return;
    auto dpatches = pointwise() ? dx : s.make(dy.rows, w.patch());  // (N H' W', in k k)
    s.device.gemm(op::none, op::none, A(1), dy, weight, A(0), dpatches);
    if (!pointwise()) s.device.col2im(dpatches, w, dx);
  }

 private:
  bool pointwise() const { return kernel == 1 && stride == 1; }  // the patches are the pixels
  /// Whether a direct convolution pays off: not with few patches, since it packs its weights in every call.
  bool direct(const window& w, dim rows) const { return !pointwise() && rows >= w.patch(); }
  /// The same as a linear layer on patches.
  linear<B> of_patches() const {
    linear<B> same(weight.cols, out);
    same.weight = weight;
    same.bias = bias;
    return same;
  }
  mat<const T> patches(step<B>& s, mat<const T> x, const window& w, dim rows) const {
    if (pointwise()) return x;
    auto cols = s.make(rows, w.patch());  // (N H' W', in k k)
    s.device.im2col(x, w, cols);
    return cols;
  }
};

/// y = relu?(bn(conv(x)) + residual?), without a bias.
template <backend_types B>
struct conv_batchnorm : convolution<B> {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  using conv = convolution<B>;  // without a bias
  batchnorm<B> bn;              // (1, out)

  conv_batchnorm() = default;
  /// Parameters of these sizes, without memory until bind().
  conv_batchnorm(dim inputs, dim outputs, dim k, dim step = 1) : conv(inputs, outputs, k, step), bn(outputs) {}
  /// Under the two names that a checkpoint has for them, e.g. "conv1" and "bn1".
  void visit(auto& v, std::string_view conv_name, std::string_view norm) {
    v(std::string(conv_name) + ".weight", this->weight, {this->out, this->in, this->kernel, this->kernel});
    v(norm, bn);
  }

  struct saved {
    feature_map<T> x, y;              // (N H W, in), (N H' W', out)
    typename batchnorm<B>::saved bn;  // of the convolution (N H' W', out)
  };

  /// x (N H W, in) -> y (N H' W', out), returned with its height and width.
  feature_map<T> forward(step<B>& s, const feature_map<T>& x, mat<T> y, saved& ctx, const batchnorm_options<T>& o) const {
    const window w = this->over(x.height, x.width);
    ctx.x = x;
    ctx.y = {y, w.out_height(), w.out_width()};
    ctx.bn.stats = s.make_accum(2, this->out);
    if constexpr (B::fast::conv_batchnorm)
      if (s.kept == keep::nothing && !o.training) {
        bn.copy_running(s, ctx.bn.stats);
        s.device.conv_batchnorm(x.rows, w, this->weight, bn.parameters(ctx.bn.stats), {.residual = o.residual, .relu = o.relu}, y);
        return ctx.y;
      }
    auto u = s.kept == keep::nothing ? y : s.make(y.rows, this->out);  // (N H' W', out), the convolution
    conv::forward(s, x, u);
    bn.forward(s, u, y, ctx.bn, o);
    return ctx.y;
  }

  /// d.x may be empty.
  void backward(step<B>& s, const saved& ctx, mat<const T> dy, conv_batchnorm& grad, const batchnorm_gradients<T>& d) const {
    scratch<B> here(s);
    auto du = s.make(dy.rows, this->out);  // (N H' W', out)
    bn.backward(s, ctx.bn, dy, grad.bn, {.x = du, .residual = d.residual});
    conv::backward(s, ctx.x, du, grad, d.x);
  }
};

/// The mean of every kernel x kernel pixels, (N H / kernel W / kernel, C); kernel 1: x itself.
template <backend_types B>
feature_map<scalar_t<B>> avgpool(step<B>& s, const feature_map<scalar_t<B>>& x, dim kernel) {
  if (kernel == 1) return x;
  const window w = x.pools(kernel);
  auto y = s.make(x.images() * w.out_rows(), x.rows.cols);
  s.device.avgpool(x.rows, w, y);
  return {y, w.out_height(), w.out_width()};
}
/// The gradient of x, (N H W, C); kernel 1: dy itself.
template <backend_types B>
mat<const scalar_t<B>> avgpool_backward(step<B>& s, const feature_map<scalar_t<B>>& x, dim kernel, mat<const scalar_t<B>> dy) {
  if (kernel == 1) return dy;
  auto dx = s.make(x.rows.rows, x.rows.cols);
  s.device.avgpool_backward(dy, x.pools(kernel), dx);
  return dx;
}

}  // namespace clipx
