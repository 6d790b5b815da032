// A softmax over a dictionary, one tile of its columns at a time, and mixtures of its probabilities.
#ifndef CLIPX_CPU_DICTIONARY_HPP
#define CLIPX_CPU_DICTIONARY_HPP
#include "family.hpp"

namespace clipx::detail {

class cpu_dictionary {
 public:
  explicit cpu_dictionary(int threads) : threads_(threads) {}

  void softmax_tile(mat<const float> logits, mat<float> rows);
  void softmax_tile_backward(mat<const float> logits, mat<const float> rows, mat<const float> weights, mat<float> dlogits);
  void pick(mat<const float> x, mat<const std::int32_t> ids, mat<float> y);
  void add_picked(mat<const float> y, mat<const std::int32_t> ids, mat<float> x);
  void mixture_loss(const mixture_input<float>& in, const mixture_output<float>& out);

 private:
  int threads_;
};

}  // namespace clipx::detail
#endif

#ifdef CLIPX_CPU_KERNELS
HWY_BEFORE_NAMESPACE();
namespace clipx::simd::HWY_NAMESPACE {

/// dlogits = weight exp(logit - largest) / sum, row by row.
inline void softmax_rows_backward(mat<const float> logits, mat<const float> rows, mat<const float> weights, mat<float> dlogits) {
  for (dim r = 0; r < logits.rows; ++r) {
    const auto top = set(rows.row(r)[0]), factor = set(weights.row(r)[0] / rows.row(r)[1]);
    const float* row = logits.row(r);
    float* out = dlogits.row(r);
    along(logits.cols, [&](auto at) CLIPX_LANES { at.put(factor * exp_down(at.get(row) - top), out); });
  }
}

}  // namespace clipx::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#ifdef CLIPX_CPU_MEMBERS
namespace clipx::detail {

CLIPX_INLINE void cpu_dictionary::softmax_tile(mat<const float> logits, mat<float> rows) {
  simd::parallel_ranges(threads_, logits.rows, 4 * logits.cols, 1, [&](dim first, dim n) {
    CLIPX_KERNEL(xent_rows)(logits.row_range(first, n), 1.0f, rows.row_range(first, n));
  });
}

CLIPX_INLINE void cpu_dictionary::softmax_tile_backward(mat<const float> logits, mat<const float> rows, mat<const float> weights,
                                                        mat<float> dlogits) {
  simd::parallel_ranges(threads_, logits.rows, 4 * logits.cols, 1, [&](dim first, dim n) {
    CLIPX_KERNEL(softmax_rows_backward)
    (logits.row_range(first, n), rows.row_range(first, n), weights.row_range(first, n), dlogits.row_range(first, n));
  });
}

CLIPX_INLINE void cpu_dictionary::pick(mat<const float> x, mat<const std::int32_t> ids, mat<float> y) {
  for (dim e = 0; e < y.cols; ++e) y.data[e] = x.row(ids.row(0)[e])[ids.row(1)[e]];
}

CLIPX_INLINE void cpu_dictionary::add_picked(mat<const float> y, mat<const std::int32_t> ids, mat<float> x) {
  for (dim e = 0; e < y.cols; ++e) x.row(ids.row(0)[e])[ids.row(1)[e]] += y.data[e];
}

CLIPX_INLINE void cpu_dictionary::mixture_loss(const mixture_input<float>& in, const mixture_output<float>& out) {
  const auto exponent = [&](dim t) {
    return static_cast<double>(in.log_weights.data[t]) + static_cast<double>(in.logits.data[in.entries.data[t]]);
  };
  simd::parallel_ranges(threads_, out.log_p.cols, 128, simd::line, [&](dim from, dim n) {
    for (dim g = from; g < from + n; ++g) {
      const dim first = in.first_of_mixture.data[g], end = in.first_of_mixture.data[g + 1];
      double top = exponent(first), sum = 0;
      for (dim t = first + 1; t < end; ++t) top = std::max(top, exponent(t));
      for (dim t = first; t < end; ++t) sum += std::exp(exponent(t) - top);
      out.log_p.data[g] = static_cast<float>(top + std::log(sum));
    }
  });
  double total = 0;
  for (dim i = 0; i < in.counts.rows; ++i)
    total += static_cast<double>(in.counts.row(i)[0]) *
             (static_cast<double>(in.sums.row(i)[0]) + std::log(static_cast<double>(in.sums.row(i)[1])));
  for (dim g = 0; g < out.log_p.cols; ++g) total -= static_cast<double>(out.log_p.data[g]);
  out.loss.data[0] = static_cast<float>(in.scale * total);
  simd::parallel_ranges(threads_, out.dlogits.cols, 128, simd::line, [&](dim from, dim n) {
    for (dim e = from; e < from + n; ++e) {
      double sum = 0;
      for (dim k = in.first_of_entry.data[e]; k < in.first_of_entry.data[e + 1]; ++k) {
        const dim t = in.terms_by_entry.data[k];
        sum += std::exp(exponent(t) - static_cast<double>(out.log_p.data[in.mixtures.data[t]]));
      }
      out.dlogits.data[e] = static_cast<float>(-in.scale * sum);
    }
  });
}

}  // namespace clipx::detail
#endif
