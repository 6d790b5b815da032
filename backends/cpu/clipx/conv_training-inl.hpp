// Convolutions that train, by oneDNN on NHWC rows: forward without anything folded, gradients of input and weights. Included by
// cpu-inl.hpp.
//
// oneDNN shares out the pixels of the first two among threads, and no sum crosses threads. The gradient of the weights is a sum
// over pictures: here each thread sums a part of them by itself, and the parts are added in their order. (oneDNN's own threads wait
// for each other in loops that never sleep: where one has no processor the call takes time slices.) In deterministic mode pictures
// go one by one, and the parts are as many on any number of threads.
#pragma once
#include "cpu-inl.hpp"

namespace clipx::detail {

/// What a plan depends on, but for the number of pictures.
struct cpu_engine::state::conv_sizes {
  window w;
  dim out, ldx, ldy;
  bool half;

  dim in_pixels() const { return w.height * w.width; }
  dim out_pixels() const { return w.out_height() * w.out_width(); }
  dnnl::memory::data_type type() const { return half ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32; }
  md x(dim n) const { return pictures(n, w.channels, w.height, w.width, ldx); }
  md y(dim n) const { return pictures(n, out, w.out_height(), w.out_width(), ldy); }
  md weight(dnnl::memory::data_type t, dnnl::memory::format_tag order) const {
    return md({out, w.channels, w.kernel, w.kernel}, t, order);
  }

 private:
  md pictures(dim n, dim channels, dim height, dim width, dim ld) const {
    return md({n, channels, height, width}, type(), dnnl::memory::dims{height * width * ld, 1, width * ld, ld});
  }
};

CLIPX_INLINE cpu_engine::state::plan cpu_engine::state::conv_plan(pass p, const conv_sizes& c, dim pictures) {
  const auto& w = c.w;
  const key id{pictures,
               w.channels,
               w.height,
               w.width,
               c.out,
               w.kernel,
               w.stride,
               w.pad,
               c.ldx,
               c.ldy,
               c.half ? 1 : 0,
               -2 - static_cast<std::int64_t>(p),
               0,
               0,
               0,
               omp_get_max_threads()};
  const std::lock_guard lock(guard);
  if (const auto found = plans.find(id); found != plans.end()) return found->second;
  if (plans.size() >= 4096) plans.clear();
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  onednn::convolution sizes{c.x(pictures), c.weight(c.type(), dnnl::memory::format_tag::any), c.y(pictures), w.stride, w.pad};
  const auto keep = [&](const auto& primitive, const auto& pd, const md& weight) {
    return plans.emplace(id, plan{primitive, weight, pd.scratchpad_desc()}).first->second;
  };
  const auto missing = [&] { return cat("oneDNN has no convolution for ", w.channels, " to ", c.out, " channels"); };
  const auto forward = onednn::conv(engine, dnnl::prop_kind::forward_training, sizes, md(), attr);
  expect(static_cast<bool>(forward), missing);
  if (p == pass::forward) return keep(dnnl::convolution_forward(forward), forward, forward.weights_desc());
  if (p == pass::data) {
    const auto pd = onednn::conv_data(engine, sizes, forward, attr);
    expect(static_cast<bool>(pd), missing);
    return keep(dnnl::convolution_backward_data(pd), pd, pd.weights_desc());
  }
  sizes.weight = c.weight(dnnl::memory::data_type::f32, dnnl::memory::format_tag::any);  // summed in float, whatever x is
  const auto pd = onednn::conv_weights(engine, sizes, forward, attr);
  expect(static_cast<bool>(pd), missing);
  return keep(dnnl::convolution_backward_weights(pd), pd, pd.diff_weights_desc());
}

/// forward: x to y; data: dy to dx.
CLIPX_INLINE void cpu_engine::state::conv_pass(pass p, const conv_sizes& c, cpu_view from, cpu_view weight, cpu_view to) {
  const bool forward = p == pass::forward;
  const dim pixels_from = forward ? c.in_pixels() : c.out_pixels(), pixels_to = forward ? c.out_pixels() : c.in_pixels();
  const dim pictures = from.rows / pixels_from, at_once = deterministic ? 1 : pictures;
  plan chosen;
  {
    const thread_limit limit(deterministic ? 1 : threads);
    chosen = conv_plan(p, c, at_once);
  }
  auto plain = at(c.weight(c.type(), dnnl::memory::format_tag::oihw), weight.data);
  auto packed = at(chosen.weights, floats(packed_weight, 1, static_cast<dim>(chosen.weights.get_size() + 3) / 4).data);
  dnnl::reorder(plain, packed).execute(stream, plain, packed);
  stream.wait();
  const auto run = [&](dim first) {
    const auto a = at(forward ? c.x(at_once) : c.y(at_once), rows_of(from, first * pixels_from, pixels_from).data);
    const auto b = at(forward ? c.y(at_once) : c.x(at_once), rows_of(to, first * pixels_to, pixels_to).data);
    arguments args{{forward ? DNNL_ARG_SRC : DNNL_ARG_DIFF_DST, a},
                   {DNNL_ARG_WEIGHTS, packed},
                   {forward ? DNNL_ARG_DST : DNNL_ARG_DIFF_SRC, b}};
    execute(chosen, args);
  };
  if (!deterministic) return run(0);
  simd::each(threads, pictures, [&](dim i) {
    const thread_limit one(1);
    run(i);
  });
}

/// The gradient of the weights in their plain order, until the next call.
CLIPX_INLINE mat<const float> cpu_engine::state::conv_weights(const conv_sizes& c, cpu_view x, cpu_view dy) {
  const dim pictures = x.rows / c.in_pixels();
  // Sums of all parts together are no larger than the patches would be.
  const dim parts = std::max<dim>(1, std::min({deterministic ? dim{8} : dim{threads}, pictures, dy.rows / c.out}));
  const int threads_each = parts > 1 || deterministic ? 1 : threads;
  const auto first = [&](dim part) { return pictures * part / parts; };
  md form;
  {
    const thread_limit limit(threads_each);
    form = conv_plan(pass::weights, c, first(1)).weights;
  }
  const dim size = static_cast<dim>(form.get_size() + 3) / 4;
  const auto sums = floats(part_sums, parts, size);
  simd::each(threads, parts, [&](dim part) {
    const thread_limit limit(threads_each);
    const dim from = first(part), n = first(part + 1) - from;
    const auto chosen = conv_plan(pass::weights, c, n);
    expect(chosen.weights == form, "oneDNN: weights are laid out by the number of pictures");
    arguments args{{DNNL_ARG_SRC, at(c.x(n), rows_of(x, from * c.in_pixels(), n).data)},
                   {DNNL_ARG_DIFF_DST, at(c.y(n), rows_of(dy, from * c.out_pixels(), n).data)},
                   {DNNL_ARG_DIFF_WEIGHTS, at(form, sums.row(part))}};
    execute(chosen, args);
  });
  const auto whole = sums.row_range(0, 1);
  for (dim part = 1; part < parts; ++part) kernels<float>::add(threads, 1, sums.row_range(part, 1), 1, whole);
  const auto plain = floats(plain_sum, c.out, c.w.patch());
  auto blocked = at(form, whole.data),
       ordered = at(c.weight(dnnl::memory::data_type::f32, dnnl::memory::format_tag::oihw), plain.data);
  dnnl::reorder(blocked, ordered).execute(stream, blocked, ordered);
  stream.wait();
  return plain;
}

CLIPX_INLINE void cpu_engine::conv_training(cpu_view x, const window& w, cpu_view weight, cpu_view y) {
  if (y.rows == 0) return;
  auto& s = *state_;
  if (x.half && !s.native) {
    const cpu_view wx = s.widened(x, s.wide_a), ww = s.widened(weight, s.wide_w), wy = floats(s.wide_c, y.rows, y.cols);
    conv_training(wx, w, ww, wy);
    kernels<bf16>::narrow(s.threads, in_view<float>(wy), out_view<bf16>(y));
    return;
  }
  s.guarded([&] { s.conv_pass(state::pass::forward, {w, weight.rows, x.ld, y.ld, x.half}, x, weight, y); });
}

CLIPX_INLINE void cpu_engine::conv_backward(cpu_view x, const window& w, cpu_view weight, cpu_view dy, cpu_view dx,
                                            cpu_view dweight) {
  if (dy.rows == 0) return;
  auto& s = *state_;
  if (x.half && !s.native) {
    const cpu_view wx = s.widened(x, s.wide_a), wdy = s.widened(dy, s.wide_b), ww = s.widened(weight, s.wide_w);
    const cpu_view wdx = dx ? cpu_view(floats(s.wide_c, dx.rows, dx.cols)) : cpu_view();
    conv_backward(wx, w, ww, wdy, wdx, dweight);
    if (dx) kernels<bf16>::narrow(s.threads, in_view<float>(wdx), out_view<bf16>(dx));
    return;
  }
  s.guarded([&] {
    const auto sum = s.conv_weights({w, weight.rows, x.ld, dy.ld, x.half}, x, dy);
    const auto add = [&]<class T>(mat<const T> before, mat<T> after) {
      kernels<T>::template bias_act<float>(s.threads, sum, {}, nullptr, before, after, {});
    };
    if (dweight.half) add(in_view<bf16>(dweight), out_view<bf16>(dweight));
    else add(in_view<float>(dweight), out_view<float>(dweight));
    if (dx) s.conv_pass(state::pass::data, {w, weight.rows, dx.ld, dy.ld, x.half}, dy, weight, dx);
  });
}

}  // namespace clipx::detail
