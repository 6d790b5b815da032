// Convolution with its BatchNorm folded in, by oneDNN on NHWC rows. Included by cpu-inl.hpp.
#pragma once
#include <cmath>

#include "cpu-inl.hpp"

namespace clipx::detail {

/// Weights (out, in k k) times gamma / sqrt(var + eps), and beta - mean gamma / sqrt(var + eps).
inline void fold_batchnorm(cpu_view weight, mat<const float> stats, mat<const float> gamma, mat<const float> beta, double eps,
                           mat<float> w, std::vector<float>& bias) {
  bias.resize(static_cast<std::size_t>(weight.rows));
  for (dim o = 0; o < weight.rows; ++o) {
    const double scale = static_cast<double>(gamma.data[o]) / std::sqrt(static_cast<double>(stats.row(1)[o]) + eps);
    const float s = static_cast<float>(scale);
    for (dim i = 0; i < weight.cols; ++i)
      w.row(o)[i] = s * (weight.half ? static_cast<float>(in_view<bf16>(weight).row(o)[i]) : in_view<float>(weight).row(o)[i]);
    bias[static_cast<std::size_t>(o)] =
        static_cast<float>(static_cast<double>(beta.data[o]) - static_cast<double>(stats.row(0)[o]) * scale);
  }
}

CLIPX_INLINE void cpu_engine::conv(cpu_view x, const window& w, cpu_view weight, mat<const float> stats, mat<const float> gamma,
                                   mat<const float> beta, double eps, cpu_view residual, bool relu, cpu_view y) {
  auto& s = *state_;
  const dim pictures = x.rows / (w.height * w.width);
  if (x.half && !s.native) {
    const cpu_view wx = s.widened(x, s.wide_a), wy = floats(s.wide_c, y.rows, y.cols);
    const cpu_view ww = weight, wr = residual ? cpu_view(s.widened(residual, s.wide_b)) : residual;
    conv(wx, w, ww, stats, gamma, beta, eps, wr, relu, wy);
    kernels<bf16>::narrow(s.threads, in_view<float>(wy), out_view<bf16>(y));
    return;
  }
  using md = onednn::md;
  using tag = dnnl::memory::format_tag;
  const auto type = x.half ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32;
  s.guarded([&] {
    const bool frozen = s.frozen_range(weight.data) != nullptr;
    std::vector<float> fresh;
    std::vector<float> fresh_bias;
    buffer<std::byte> fresh_memory;
    const auto one_call = [&](dim n, cpu_view xp, cpu_view rp, cpu_view yp) {
      const md mx({n, w.channels, w.height, w.width}, type, tag::nhwc),
          my({n, weight.rows, w.out_height(), w.out_width()}, type, tag::nhwc);
      const md mb({weight.rows}, dnnl::memory::data_type::f32, tag::a);
      const cpu_engine::state::key id{n,     w.channels,           w.height,     w.width,        weight.rows, w.kernel, w.stride,
                                      w.pad, residual ? 1 : 0,     relu ? 1 : 0, x.half ? 1 : 0, -1,          0,        0,
                                      0,     omp_get_max_threads()};
      cpu_engine::state::plan* plan = nullptr;
      {
        const std::lock_guard lock(s.guard);
        if (const auto found = s.plans.find(id); found != s.plans.end()) plan = &found->second;
        else {
          dnnl::post_ops ops;
          if (residual && onednn::conv_adds()) ops.append_binary(dnnl::algorithm::binary_add, my);
          else if (residual) ops.append_sum(1);
          if (relu) onednn::append(ops, dnnl::algorithm::eltwise_relu, 0, 0);
          dnnl::primitive_attr attr;
          attr.set_post_ops(ops);
          attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
          const onednn::convolution c{mx, md({weight.rows, w.channels, w.kernel, w.kernel}, type, tag::any), my, w.stride, w.pad};
          const auto pd = onednn::conv(s.engine, dnnl::prop_kind::forward_inference, c, mb, attr);
          expect(static_cast<bool>(pd),
                 [&] { return cat("oneDNN has no convolution for ", w.channels, " to ", weight.rows, " channels"); });
          plan =
              &s.plans.emplace(id, cpu_engine::state::plan{dnnl::convolution_forward(pd), pd.weights_desc(), pd.scratchpad_desc()})
                   .first->second;
        }
      }
      dnnl::memory packed;
      const std::vector<float>* bias = nullptr;
      const auto make = [&](std::vector<float>& shift, buffer<std::byte>& memory) {
        auto folded = floats(fresh, weight.rows, weight.cols);
        fold_batchnorm(weight, stats, gamma, beta, eps, folded, shift);
        memory = pages(static_cast<dim>(plan->weights.get_size()));
        auto out = s.at(plan->weights, memory.data());
        auto from = s.at(md({weight.rows, w.channels, w.kernel, w.kernel}, dnnl::memory::data_type::f32, tag::oihw), folded.data);
        dnnl::reorder(from, out).execute(s.stream, from, out);
        s.stream.wait();
        return out;
      };
      if (frozen) {
        const std::lock_guard lock(s.guard);
        const std::array<std::int64_t, 4> where{reinterpret_cast<std::intptr_t>(weight.data), weight.rows, weight.cols,
                                                x.half ? 2 : 1};
        auto& kept = s.packs[where];
        if (!kept.weights || kept.form != plan->weights) {
          kept.weights = make(kept.bias, kept.memory), kept.form = plan->weights;
          if (const auto* r = s.frozen_range(weight.data); r && r->packed && *r->packed)
            (*r->packed)(weight.data, static_cast<std::size_t>(weight.rows * weight.ld * (weight.half ? 2 : 4)));
        }
        packed = kept.weights, bias = &kept.bias;
      } else {
        packed = make(fresh_bias, fresh_memory), bias = &fresh_bias;
      }
      cpu_engine::state::arguments args{{DNNL_ARG_SRC, s.at(mx, xp.data)},
                                        {DNNL_ARG_WEIGHTS, packed},
                                        {DNNL_ARG_BIAS, s.at(mb, bias->data())},
                                        {DNNL_ARG_DST, s.at(my, yp.data)}};
      if (residual && onednn::conv_adds()) args.emplace(DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, s.at(my, rp.data));
      else if (residual && rp.data != yp.data) kernels<float>::copy(omp_get_max_threads(), in_view<float>(rp), out_view<float>(yp));
      s.execute(*plan, args);
    };
    if (!s.deterministic) return one_call(pictures, x, residual, y);
    const dim in = w.height * w.width, out = w.out_height() * w.out_width();
    const auto picture = [&](dim i) {
      const thread_limit one(1);
      one_call(1, rows_of(x, i * in, in), residual ? rows_of(residual, i * out, out) : residual, rows_of(y, i * out, out));
    };
    if (frozen) simd::each(s.threads, pictures, picture);
    else
      for (dim i = 0; i < pictures; ++i) picture(i);
  });
}

}  // namespace clipx::detail
