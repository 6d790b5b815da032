// The cases of ops.hpp that are windows over images: convolutions, pooling, patches.
#pragma once
#include <clipx/ops/conv.hpp>
#include <clipx/ops/depthwise_conv.hpp>

#include "harness.hpp"

namespace cases {

struct conv_case {
  dim images, height, width, in, out, kernel, stride;
  bool relu, training, with_residual;
  std::string name() const {
    return clipx::cat("conv ", images, "x", height, "x", width, " ", in, "->", out, " k", kernel, " s", stride,
                      training ? " train" : "");
  }
  double reduction() const { return static_cast<double>(std::max(in * kernel * kernel, images * height * width)); }
  double constant() const { return 16; }
  double flops() const {
    const clipx::window w{height, width, in, kernel, stride, kernel / 2};
    return 2.0 * static_cast<double>(images * w.out_rows() * w.patch() * out);
  }

  template <class B>
  void run(harness<B>& h) const {
    using T = clipx::scalar_t<B>;
    using A = clipx::accum_t<B>;
    clipx::conv_batchnorm<B> op(in, out, kernel, stride), grad(in, out, kernel, stride);
    const auto w = op.over(height, width);
    const dim rows = images * w.out_rows();
    op.weight = h.input("weight", out, w.patch(), 1 / std::sqrt(static_cast<double>(w.patch())));
    op.bn.weight = h.template input<A>("gain", 1, out, 0.2, 1);
    op.bn.bias = h.template input<A>("offset", 1, out);
    op.bn.running_mean = h.template input<A>("mean", 1, out, 0.3);
    op.bn.running_var = h.template input<A>("var", 1, out, 0.1, 1);
    auto x = h.input("x", images * height * width, in), residual = h.input("residual", rows, out);
    auto y = h.s.make(rows, out);
    clipx::batchnorm_options<T> o{.relu = relu, .training = training};
    if (with_residual) o.residual = residual;
    const clipx::feature_map<T> map{x, height, width};
    typename clipx::conv_batchnorm<B>::saved k, nothing;
    h.part("forward", [&] { op.forward(h.s, map, y, k, o); });
    h.output("y", y);
    if (!training) {
      auto inference = h.s.make(rows, out);
      h.s.kept = clipx::keep::nothing;
      h.part("inference", [&] { op.forward(h.s, map, inference, nothing, o); });
      h.s.kept = clipx::keep::everything;
      if constexpr (!harness<B>::is_complex) h.output("inference", inference);
    }
    if constexpr (!harness<B>::is_complex) {
      auto dy = h.cotangent("y", rows, out), dz = h.s.make(rows, out), dx = h.s.make(x.rows, in);
      grad.weight = h.s.zeros(out, w.patch());
      grad.bn.weight = h.s.make_accum(1, out);
      grad.bn.bias = h.s.make_accum(1, out);
      h.device.fill(grad.bn.weight, A(0));
      h.device.fill(grad.bn.bias, A(0));
      h.part("backward", [&] { op.backward(h.s, k, dy, grad, {.x = dx, .residual = dz}); });
      h.gradient("x", dx), h.gradient("weight", grad.weight), h.gradient("gain", grad.bn.weight),
          h.gradient("offset", grad.bn.bias);
      if (with_residual) h.gradient("residual", dz);
      if (h.timer) return;
      // Once more without dx, as the first convolution of a model: what was in the gradients stays.
      op.backward(h.s, k, dy, grad, {});
      h.output("gradient of the weights, twice", grad.weight);
    }
  }
};

struct conv_bias_case {
  dim images, height, width, in, out, kernel, stride;
  std::string name() const {
    return clipx::cat("conv with bias ", images, "x", height, "x", width, " ", in, "->", out, " k", kernel, " s", stride);
  }
  double reduction() const { return static_cast<double>(std::max(in * kernel * kernel, images * height * width)); }
  double constant() const { return 16; }

  template <class B>
  void run(harness<B>& h) const {
    using T = clipx::scalar_t<B>;
    clipx::convolution<B> op(in, out, kernel, stride), grad(in, out, kernel, stride);
    const auto w = op.over(height, width);
    op.weight = h.input("weight", out, w.patch(), 1 / std::sqrt(static_cast<double>(w.patch())));
    op.bias = h.input("bias", 1, out);
    auto x = h.input("x", images * height * width, in), y = h.s.make(images * w.out_rows(), out);
    const clipx::feature_map<T> map{x, height, width};
    op.forward(h.s, map, y);
    h.output("y", y);
    if constexpr (!harness<B>::is_complex) {
      auto dy = h.cotangent("y", y.rows, out), dx = h.s.make(x.rows, in);
      grad.weight = h.s.zeros(out, w.patch());
      grad.bias = h.s.zeros(1, out);
      op.backward(h.s, map, dy, grad, dx);
      h.gradient("x", dx), h.gradient("weight", grad.weight), h.gradient("bias", grad.bias);
    }
  }
};

struct depthwise_case {
  dim images, height, width, channels, kernel = 7, stride = 1;
  std::string name() const {
    return clipx::cat("depthwise_conv ", images, "x", height, "x", width, " ", channels, " k", kernel, " s", stride);
  }
  double reduction() const { return static_cast<double>(std::max(kernel * kernel, images * height * width)); }
  double constant() const { return 8; }
  double flops() const {
    const clipx::window w{height, width, channels, kernel, stride, kernel / 2};
    return 2.0 * static_cast<double>(images * w.out_rows() * w.patch());
  }

  template <class B>
  void run(harness<B>& h) const {
    using T = clipx::scalar_t<B>;
    clipx::depthwise_conv<B> op(channels, kernel, stride), grad(channels, kernel, stride);
    op.weight = h.input("weight", channels, kernel * kernel, 1 / static_cast<double>(kernel));
    op.bias = h.input("bias", 1, channels);
    auto x = h.input("x", images * height * width, channels);
    const dim rows = images * op.over(height, width).out_rows();
    auto y = h.s.make(rows, channels);
    const clipx::feature_map<T> map{x, height, width};
    h.part("forward", [&] { op.forward(h.s, map, y); });
    h.output("y", y);
    if constexpr (!harness<B>::is_complex) {
      auto dy = h.cotangent("y", rows, channels), dx = h.s.make(x.rows, channels);
      grad.weight = h.s.zeros(channels, kernel * kernel);
      grad.bias = h.s.zeros(1, channels);
      h.part("backward", [&] { op.backward(h.s, map, dy, grad, dx); });
      h.gradient("x", dx), h.gradient("weight", grad.weight), h.gradient("bias", grad.bias);
      if (h.timer) return;
      op.backward(h.s, map, dy, grad);  // once more without dx: what was in the gradients stays
      h.output("gradient of the weights, twice", grad.weight);
    }
  }
};

struct pool_case {
  dim images, height, width, channels, kernel, stride = kernel, pad = 0;
  std::string name() const { return clipx::cat("avgpool ", height, "x", width, " k", kernel, " s", stride); }
  double reduction() const { return static_cast<double>(kernel * kernel); }
  double constant() const { return 4; }

  template <class B>
  void run(harness<B>& h) const {
    using T = clipx::scalar_t<B>;
    const clipx::window w{height, width, channels, kernel, stride, pad};
    auto x = h.input("x", images * height * width, channels);
    const dim rows = images * w.out_rows();
    auto y = h.s.make(rows, channels);
    h.device.avgpool(mat<const T>(x), w, y);
    h.output("y", y);
    if constexpr (!harness<B>::is_complex) {
      auto dy = h.cotangent("y", rows, channels), dx = h.s.make(x.rows, channels);
      h.device.avgpool_backward(mat<const T>(dy), w, dx);
      h.gradient("x", dx);
    }
  }
};

/// Patches that are not square, and their adjoint.
struct patches_case {
  clipx::window w;
  dim images = 2;
  std::string name() const { return clipx::cat("patches ", w.kernel, "x", w.kernel_width()); }
  double reduction() const { return 1; }
  double constant() const { return 4; }

  template <class B>
  void run(harness<B>& h) const {
    using T = clipx::scalar_t<B>;
    auto x = h.input("x", images * w.height * w.width, w.channels);
    auto cols = h.s.zeros(images * w.out_rows(), w.patch());
    h.device.im2col(mat<const T>(x), w, cols);
    h.output("y", cols);
    if constexpr (!harness<B>::is_complex) {
      auto dy = h.cotangent("y", cols.rows, cols.cols), dx = h.s.make(x.rows, w.channels);
      h.device.col2im(mat<const T>(dy), w, dx);
      h.gradient("x", dx);
    }
  }
};

}  // namespace cases
