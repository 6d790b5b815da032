// Convolutions with oneDNN on NHWC rows: for inference with BatchNorm folded in, and for training with gradients.
//
// Training: in the first two passes oneDNN divides the pixels among threads, and no sum crosses threads. The gradient of the
// weights is a sum over images: here each thread computes the sum of a part of them, and the parts are added in order. (oneDNN's
// own threads wait for each other in loops that never sleep: if one of them has no processor, a call takes time slices.) In
// deterministic mode images are processed one by one, and the number of parts does not depend on the number of threads.
#ifndef CLIPX_CPU_CONVOLUTION_HPP
#define CLIPX_CPU_CONVOLUTION_HPP
#include "device.hpp"
#include "family.hpp"

namespace clipx::detail {

/// BatchNorm, residual and ReLU after a convolution; residual may be empty.
struct after_conv {
  batchnorm_parameters<float> bn;
  cpu_view residual;
  bool relu;
};
/// y = relu?(BatchNorm(conv(x)) + residual?)
void conv_batchnorm(cpu_state& s, cpu_view x, const window& w, cpu_view weight, const after_conv& after, cpu_view y);
/// y = conv(x), for training: the weights (out, in k k) are read in each call.
void conv_training(cpu_state& s, cpu_view x, const window& w, cpu_view weight, cpu_view y);
/// dx, which may be empty, is overwritten; dweight accumulates.
void conv_backward(cpu_state& s, cpu_view x, const window& w, cpu_view weight, cpu_view dy, cpu_view dx, cpu_view dweight);

template <class T>
class cpu_convolution {
 public:
  explicit cpu_convolution(cpu_device& device) : device_(device) {}

  void conv_batchnorm(mat<const T> x, const window& w, mat<const T> weight, const batchnorm_parameters<float>& bn,
                      const batchnorm_epilogue<T>& after, mat<T> y) {
    detail::conv_batchnorm(device_.state(), x, w, weight, {.bn = bn, .residual = after.residual, .relu = after.relu}, y);
  }
  void conv(mat<const T> x, const window& w, mat<const T> weight, mat<T> y) {
    detail::conv_training(device_.state(), x, w, weight, y);
  }
  void conv_backward(mat<const T> x, const window& w, mat<const T> weight, mat<const T> dy, mat<T> dx, mat<T> dweight) {
    detail::conv_backward(device_.state(), x, w, weight, dy, dx, dweight);
  }

 private:
  cpu_device& device_;
};

}  // namespace clipx::detail
#endif

#ifdef CLIPX_CPU_MEMBERS
namespace clipx::detail {

/// Everything that all plans of a convolution depend on, except the number of images.
struct conv_sizes {
  window w;
  dim out, x_row, y_row;
  bool is_bf16;

  dim in_pixels() const { return w.height * w.width; }
  dim out_pixels() const { return w.out_height() * w.out_width(); }
  onednn::md x(dim n) const { return images(n, w.channels, w.height, w.width, x_row); }
  onednn::md y(dim n) const { return images(n, out, w.out_height(), w.out_width(), y_row); }
  onednn::md weight(dnnl::memory::data_type t, dnnl::memory::format_tag order) const {
    return onednn::md({out, w.channels, w.kernel, w.kernel}, t, order);
  }
  cpu_state::plan_key key(cpu_state::plan_kind kind, dim n, bool residual = false, bool relu = false) const {
    const std::int64_t flags = (is_bf16 ? 1 : 0) + (residual ? 2 : 0) + (relu ? 4 : 0);
    return {static_cast<std::int64_t>(kind),
            n,
            w.channels,
            w.height,
            w.width,
            out,
            w.kernel,
            w.stride,
            w.pad,
            x_row,
            y_row,
            flags,
            omp_get_max_threads()};
  }
  onednn::convolution forms(dim n, const onednn::md& weights) const {
    return {.x = x(n), .weight = weights, .y = y(n), .stride = w.stride, .pad = w.pad};
  }
  std::string missing() const { return cat("oneDNN has no convolution for ", w.channels, " to ", out, " channels"); }

 private:
  onednn::md images(dim n, dim channels, dim height, dim width, dim row) const {
    return onednn::md({n, channels, height, width}, data_type(is_bf16),
                      dnnl::memory::dims{height * width * row, 1, width * row, row});
  }
};

// Inference.

/// Weights (out, in k k) times gamma / sqrt(var + eps), and beta - mean gamma / sqrt(var + eps).
CLIPX_INLINE void fold_batchnorm(cpu_view weight, const after_conv& norm, mat<float> w, std::vector<float>& bias) {
  bias.resize(static_cast<std::size_t>(weight.rows));
  for (dim o = 0; o < weight.rows; ++o) {
    const double var = static_cast<double>(norm.bn.stats.row(1)[o]), mean = static_cast<double>(norm.bn.stats.row(0)[o]);
    const double scale = static_cast<double>(norm.bn.weight.data[o]) / std::sqrt(var + norm.bn.eps);
    const float s = static_cast<float>(scale);
    for (dim i = 0; i < weight.cols; ++i)
      w.row(o)[i] = s * (weight.is_bf16 ? static_cast<float>(in_view<bf16>(weight).row(o)[i]) : in_view<float>(weight).row(o)[i]);
    bias[static_cast<std::size_t>(o)] = static_cast<float>(static_cast<double>(norm.bn.bias.data[o]) - mean * scale);
  }
}

CLIPX_INLINE cpu_state::plan inference_plan(cpu_state& s, const conv_sizes& c, dim images, bool residual, bool relu) {
  return s.plan_for(c.key(cpu_state::plan_kind::conv_inference, images, residual, relu), [&]() -> cpu_state::plan {
    dnnl::post_ops ops;
    if (residual && onednn::conv_adds()) ops.append_binary(dnnl::algorithm::binary_add, c.y(images));
    else if (residual) ops.append_sum(1);
    if (relu) onednn::append(ops, dnnl::algorithm::eltwise_relu, 0, 0);
    dnnl::primitive_attr attr;
    attr.set_post_ops(ops);
    attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const onednn::md bias({c.out}, dnnl::memory::data_type::f32, dnnl::memory::format_tag::a);
    const auto forms = c.forms(images, c.weight(data_type(c.is_bf16), dnnl::memory::format_tag::any));
    const auto pd = onednn::conv(s.engine, dnnl::prop_kind::forward_inference, forms, bias, attr);
    expect(static_cast<bool>(pd), error_kind::device, [&] { return c.missing(); });
    return {.run = dnnl::convolution_forward(pd), .weights = pd.weights_desc(), .scratch = pd.scratchpad_desc()};
  });
}

/// Weights and bias with BatchNorm folded in, in the format that the plan requires.
CLIPX_INLINE void fold_and_pack(cpu_state& s, const conv_sizes& c, const onednn::md& form, cpu_view weight, const after_conv& norm,
                                cpu_state::pack& to) {
  std::vector<float> memory;
  const auto folded = floats(memory, weight.rows, weight.cols);
  fold_batchnorm(weight, norm, folded, to.bias);
  to.form = form;
  to.memory = pages(static_cast<dim>(form.get_size()));
  to.weights = s.at(form, to.memory.data());
  s.reorder(s.at(c.weight(dnnl::memory::data_type::f32, dnnl::memory::format_tag::oihw), folded.data), to.weights);
}

/// One call to oneDNN; the weights of a frozen range are packed once.
CLIPX_INLINE void run_inference(cpu_state& s, const conv_sizes& c, bool frozen, cpu_view x, cpu_view weight,
                                const after_conv& after, cpu_view y) {
  const dim images = x.rows / c.in_pixels();
  const auto plan = inference_plan(s, c, images, static_cast<bool>(after.residual), after.relu);
  cpu_state::pack fresh;
  const auto* pack = &fresh;
  if (frozen) {
    const std::lock_guard lock(s.pack_guard);
    auto& packs = s.packs[cpu_state::key_of(weight, c.is_bf16 ? cpu_state::pack_kind::conv_bf16 : cpu_state::pack_kind::conv)];
    const auto same = [&](const cpu_state::pack& p) { return p.form == plan.weights; };
    auto kept = std::find_if(packs.begin(), packs.end(), same);
    if (kept == packs.end()) {
      cpu_state::pack made;
      fold_and_pack(s, c, plan.weights, weight, after, made);
      kept = packs.insert(kept, std::move(made));
      s.tell_packed(weight);
    }
    pack = &*kept;
  } else {
    fold_and_pack(s, c, plan.weights, weight, after, fresh);
  }
  const onednn::md bias({c.out}, dnnl::memory::data_type::f32, dnnl::memory::format_tag::a);
  cpu_state::arguments args{{DNNL_ARG_SRC, s.at(c.x(images), x.data)},
                            {DNNL_ARG_WEIGHTS, pack->weights},
                            {DNNL_ARG_BIAS, s.at(bias, pack->bias.data())},
                            {DNNL_ARG_DST, s.at(c.y(images), y.data)}};
  if (after.residual && onednn::conv_adds())
    args.emplace(DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, s.at(c.y(images), after.residual.data));
  else if (after.residual && after.residual.data != y.data)
    cpu_elementwise<float>(omp_get_max_threads()).copy(in_view<float>(after.residual), out_view<float>(y));
  s.execute(plan, args);
}

CLIPX_INLINE void conv_batchnorm(cpu_state& s, cpu_view x, const window& w, cpu_view weight, const after_conv& after, cpu_view y) {
  if (x.is_bf16 && !s.native_bf16) {
    auto& own = s.own();
    const cpu_view fx = s.as_float(x, own.converted_a), fy = floats(own.converted_c, y.rows, y.cols);
    after_conv on_float = after;
    if (after.residual) on_float.residual = s.as_float(after.residual, own.converted_b);
    conv_batchnorm(s, fx, w, weight, on_float, fy);
    return s.round(in_view<float>(fy), y);
  }
  const conv_sizes c{.w = w, .out = weight.rows, .x_row = w.channels, .y_row = weight.rows, .is_bf16 = x.is_bf16};
  s.guarded([&] {
    const bool frozen = s.frozen_range(weight.data) != nullptr;
    if (!s.deterministic) return run_inference(s, c, frozen, x, weight, after, y);
    const auto image = [&](dim i) {
      const thread_limit one(1);
      after_conv part = after;
      part.residual = rows_of(after.residual, i * c.out_pixels(), c.out_pixels());
      run_inference(s, c, frozen, rows_of(x, i * c.in_pixels(), c.in_pixels()), weight, part,
                    rows_of(y, i * c.out_pixels(), c.out_pixels()));
    };
    simd::parallel_tasks(frozen ? s.threads : 1, x.rows / c.in_pixels(), image);
  });
}

// Training.

CLIPX_INLINE cpu_state::plan training_plan(cpu_state& s, cpu_state::plan_kind kind, const conv_sizes& c, dim images) {
  return s.plan_for(c.key(kind, images), [&]() -> cpu_state::plan {
    dnnl::primitive_attr attr;
    attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const auto any = dnnl::memory::format_tag::any;
    const auto missing = [&] { return c.missing(); };
    auto forms = c.forms(images, c.weight(data_type(c.is_bf16), any));
    const auto forward = onednn::conv(s.engine, dnnl::prop_kind::forward_training, forms, onednn::md(), attr);
    expect(static_cast<bool>(forward), error_kind::device, missing);
    if (kind == cpu_state::plan_kind::conv_forward)
      return {.run = dnnl::convolution_forward(forward), .weights = forward.weights_desc(), .scratch = forward.scratchpad_desc()};
    if (kind == cpu_state::plan_kind::conv_data) {
      const auto pd = onednn::conv_data(s.engine, forms, forward, attr);
      expect(static_cast<bool>(pd), error_kind::device, missing);
      return {.run = dnnl::convolution_backward_data(pd), .weights = pd.weights_desc(), .scratch = pd.scratchpad_desc()};
    }
    forms.weight = c.weight(dnnl::memory::data_type::f32, any);  // summed in float for any type of x
    const auto pd = onednn::conv_weights(s.engine, forms, forward, attr);
    expect(static_cast<bool>(pd), error_kind::device, missing);
    return {.run = dnnl::convolution_backward_weights(pd), .weights = pd.diff_weights_desc(), .scratch = pd.scratchpad_desc()};
  });
}

/// conv_forward: x to y; conv_data: dy to dx.
CLIPX_INLINE void training_pass(cpu_state& s, cpu_state::plan_kind kind, const conv_sizes& c, cpu_view from, cpu_view weight,
                                cpu_view to) {
  const bool forward = kind == cpu_state::plan_kind::conv_forward;
  const dim pixels_from = forward ? c.in_pixels() : c.out_pixels(), pixels_to = forward ? c.out_pixels() : c.in_pixels();
  const dim images = from.rows / pixels_from, at_once = s.deterministic ? 1 : images;
  cpu_state::plan plan;
  {
    const thread_limit limit(s.deterministic ? 1 : s.threads);
    plan = training_plan(s, kind, c, at_once);
  }
  const auto plain = s.at(c.weight(data_type(c.is_bf16), dnnl::memory::format_tag::oihw), weight.data);
  const auto packed = s.at(plan.weights, floats(s.own().packed_weight, 1, static_cast<dim>(plan.weights.get_size() + 3) / 4).data);
  s.reorder(plain, packed);
  const auto run = [&](dim first) {
    const auto a = s.at(forward ? c.x(at_once) : c.y(at_once), rows_of(from, first * pixels_from, pixels_from).data);
    const auto b = s.at(forward ? c.y(at_once) : c.x(at_once), rows_of(to, first * pixels_to, pixels_to).data);
    cpu_state::arguments args{{forward ? DNNL_ARG_SRC : DNNL_ARG_DIFF_DST, a},
                              {DNNL_ARG_WEIGHTS, packed},
                              {forward ? DNNL_ARG_DST : DNNL_ARG_DIFF_SRC, b}};
    s.execute(plan, args);
  };
  if (!s.deterministic) return run(0);
  simd::parallel_tasks(s.threads, images, [&](dim i) {
    const thread_limit one(1);
    run(i);
  });
}

/// The gradient of the weights in plain order; valid until the next call.
CLIPX_INLINE mat<const float> weights_gradient(cpu_state& s, const conv_sizes& c, cpu_view x, cpu_view dy) {
  constexpr auto kind = cpu_state::plan_kind::conv_weights;
  const dim images = x.rows / c.in_pixels();
  // The sums of all parts together take no more memory than the patches would.
  const dim parts = std::max<dim>(1, std::min({s.deterministic ? dim{8} : dim{s.threads}, images, dy.rows / c.out}));
  const int threads_each = parts > 1 || s.deterministic ? 1 : s.threads;
  const auto first = [&](dim part) { return images * part / parts; };
  onednn::md form;
  {
    const thread_limit limit(threads_each);
    form = training_plan(s, kind, c, first(1)).weights;
  }
  const auto sums = floats(s.own().part_sums, parts, static_cast<dim>(form.get_size() + 3) / 4);
  simd::parallel_tasks(s.threads, parts, [&](dim part) {
    const thread_limit limit(threads_each);
    const dim from = first(part), n = first(part + 1) - from;
    const auto plan = training_plan(s, kind, c, n);
    expect(plan.weights == form, error_kind::device, "oneDNN: weights are laid out by the number of images");
    cpu_state::arguments args{{DNNL_ARG_SRC, s.at(c.x(n), rows_of(x, from * c.in_pixels(), n).data)},
                              {DNNL_ARG_DIFF_DST, s.at(c.y(n), rows_of(dy, from * c.out_pixels(), n).data)},
                              {DNNL_ARG_DIFF_WEIGHTS, s.at(form, sums.row(part))}};
    s.execute(plan, args);
  });
  const auto total = sums.row_range(0, 1);
  for (dim part = 1; part < parts; ++part) cpu_elementwise<float>(s.threads).add(1, sums.row_range(part, 1), 1, total);
  const auto plain = floats(s.own().plain_sum, c.out, c.w.patch());
  s.reorder(s.at(form, total.data), s.at(c.weight(dnnl::memory::data_type::f32, dnnl::memory::format_tag::oihw), plain.data));
  return plain;
}

CLIPX_INLINE void conv_training(cpu_state& s, cpu_view x, const window& w, cpu_view weight, cpu_view y) {
  if (y.rows == 0) return;
  if (x.is_bf16 && !s.native_bf16) {
    auto& own = s.own();
    const auto fx = s.as_float(x, own.converted_a), fw = s.as_float(weight, own.converted_w);
    const auto fy = floats(own.converted_c, y.rows, y.cols);
    conv_training(s, fx, w, fw, fy);
    return s.round(fy, y);
  }
  const conv_sizes c{.w = w, .out = weight.rows, .x_row = x.ld, .y_row = y.ld, .is_bf16 = x.is_bf16};
  s.guarded([&] { training_pass(s, cpu_state::plan_kind::conv_forward, c, x, weight, y); });
}

CLIPX_INLINE void conv_backward(cpu_state& s, cpu_view x, const window& w, cpu_view weight, cpu_view dy, cpu_view dx,
                                cpu_view dweight) {
  if (dy.rows == 0) return;
  if (x.is_bf16 && !s.native_bf16) {
    auto& own = s.own();
    const auto fx = s.as_float(x, own.converted_a), fdy = s.as_float(dy, own.converted_b), fw = s.as_float(weight, own.converted_w);
    const auto fdx = dx ? floats(own.converted_c, dx.rows, dx.cols) : mat<float>();
    conv_backward(s, fx, w, fw, fdy, fdx, dweight);
    if (dx) s.round(fdx, dx);
    return;
  }
  s.guarded([&] {
    const conv_sizes c{.w = w, .out = weight.rows, .x_row = x.ld, .y_row = dy.ld, .is_bf16 = x.is_bf16};
    const auto sum = weights_gradient(s, c, x, dy);
    const auto add_sum = [&]<class T>(mat<const T> before, mat<T> after) {
      cpu_elementwise<T>(s.threads).bias_act(sum, {}, nullptr, before, after, {});
    };
    if (dweight.is_bf16) add_sum(in_view<bf16>(dweight), out_view<bf16>(dweight));
    else add_sum(in_view<float>(dweight), out_view<float>(dweight));
    if (!dx) return;
    const conv_sizes d{.w = w, .out = weight.rows, .x_row = dx.ld, .y_row = dy.ld, .is_bf16 = x.is_bf16};
    training_pass(s, cpu_state::plan_kind::conv_data, d, dy, weight, dx);
  });
}

}  // namespace clipx::detail
#endif
