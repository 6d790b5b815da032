// A bias-free convolution followed by BatchNorm (and ReLU, and a residual), as ModifiedResNet uses it; average pooling is a verb.
#pragma once
#include "norm.hpp"

namespace clipx {

/// y = relu?(bn(conv(x)) + residual?). Pictures are rows (N*H*W, C). Weights are the checkpoint's (out, in, k, k).
template <backend B>
struct conv_batchnorm {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  mat<T> weight;    // (out, in * k * k)
  batchnorm<B> bn;  // (1, out)

  dim in = 0, out = 0, kernel = 1, stride = 1;
  conv_batchnorm() = default;
  conv_batchnorm(dim inputs, dim outputs, dim k, dim step = 1) : bn(outputs), in(inputs), out(outputs), kernel(k), stride(step) {}
  /// The two names under which a checkpoint holds them, e.g. "conv1" and "bn1".
  template <class V>
  void visit(V& v, std::string_view conv, std::string_view norm) {
    v(std::string(conv) + ".weight", weight, {out, in, kernel, kernel});
    v(norm, bn);
  }
  window over(dim height, dim width) const { return {height, width, in, kernel, stride, kernel / 2}; }

  struct saved {
    mat<const T> x;  // (N*H*W, in)
    mat<T> u;        // (N*H'*W', out), the convolution
    mat<const T> y;  // (N*H'*W', out), the result: where it is positive the ReLU had slope 1
    typename batchnorm<B>::saved stats;
    dim height = 0, width = 0;
    bool training = false;
  };

  /// k null: inference, nothing kept.
  void forward(step<B>& s, mat<const T> x, dim height, dim width, mat<const T> residual, bool relu, mat<T> y, saved* k,
               bool training) const {
    const window w = over(height, width);
    expect(x.cols == in && x.rows % (height * width) == 0, [&] { return cat("conv: expected ", in, " channels, got ", x.cols); });
    if constexpr (B::fast::conv_batchnorm)
      if (!k && !training) {
        auto stats = running(s);
        s.device.conv_batchnorm(x, w, mat<const T>(weight), mat<const A>(stats), mat<const A>(bn.weight), mat<const A>(bn.bias),
                                bn.eps, residual, relu, y);
        return;
      }
    auto stats = s.make_accum(2, out);     // (2, out)
    auto u = k ? s.make(y.rows, out) : y;  // (N*H'*W', out)
    convolve(s, x, w, u);
    bn.forward(s, mat<const T>(u), residual, relu, y, {stats}, training);
    if (k) *k = {x, u, mat<const T>(y), {stats}, height, width, training};
  }

  /// dz, where it is asked for, receives the gradient before the ReLU: the residual's. dx may be empty.
  void backward(step<B>& s, const saved& k, bool relu, mat<const T> dy, conv_batchnorm& grad, mat<T> dz, mat<T> dx) const {
    const window w = over(k.height, k.width);
    scratch<B> here(s);
    auto du = s.make(dy.rows, out);  // (N*H'*W', out)
    bn.backward(s, mat<const T>(k.u), k.stats, k.training, relu ? k.y : mat<const T>{}, dy, grad.bn, dz, du);
    if constexpr (B::fast::conv)
      if (direct(w, dy.rows)) {
        s.device.conv_backward(k.x, w, mat<const T>(weight), mat<const T>(du), dx, grad.weight);
        return;
      }
    {
      scratch<B> patches_only(s);
      s.device.gemm(op::transpose, op::none, A(1), mat<const T>(du), patches(s, k.x, w, dy.rows), A(1), grad.weight);
    }
    if (!dx) return;
    auto dcols = pointwise() ? dx : s.make(dy.rows, w.patch());  // (N*H'*W', in*k*k)
    s.device.gemm(op::none, op::none, A(1), mat<const T>(du), mat<const T>(weight), A(0), dcols);
    if (!pointwise()) s.device.col2im(mat<const T>(dcols), w, dx);
  }

 private:
  bool pointwise() const { return kernel == 1 && stride == 1; }  // the patches are the pixels
  /// Whether patches are better never made: not where they are few, beside weights that a direct convolution packs at each call.
  bool direct(const window& w, dim rows) const { return !pointwise() && rows >= w.patch(); }
  void convolve(step<B>& s, mat<const T> x, const window& w, mat<T> u) const {
    if constexpr (B::fast::conv)
      if (direct(w, u.rows)) {
        s.device.conv(x, w, mat<const T>(weight), u);
        return;
      }
    scratch<B> here(s);
    s.device.gemm(op::none, op::transpose, A(1), patches(s, x, w, u.rows), mat<const T>(weight), A(0), u);
  }
  mat<const T> patches(step<B>& s, mat<const T> x, const window& w, dim rows) const {
    if (pointwise()) return x;
    auto cols = s.make(rows, w.patch());  // (N*H'*W', in*k*k)
    s.device.im2col(x, w, cols);
    return mat<const T>(cols);
  }
  mat<A> running(step<B>& s) const {
    auto stats = s.make_accum(2, out);  // (2, out)
    s.device.copy(mat<const A>(bn.running_mean), stats.row_range(0, 1));
    s.device.copy(mat<const A>(bn.running_var), stats.row_range(1, 1));
    return stats;
  }
};

}  // namespace clipx
