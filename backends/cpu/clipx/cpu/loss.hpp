// The contrastive losses on a tile of cosines (I, J): the pair of row i is column i + shift, if it is in the tile.
// S = exp(log_scale) cosines.
#ifndef CLIPX_CPU_LOSS_HPP
#define CLIPX_CPU_LOSS_HPP
#include "family.hpp"

namespace clipx::detail {

class cpu_loss {
 public:
  explicit cpu_loss(int threads) : threads_(threads) {}

  /// Merges the largest of S and the sum of exp(S - largest) into rows (I, 2) and cols (J, 2), which start as (-inf, 0); own (I, 1)
  /// receives the pairs' cosines.
  void xent_tile(mat<const float> cosines, mat<const float> log_scale, dim shift, mat<float> rows, mat<float> cols, mat<float> own);
  /// loss (1, 1) of N pairs; the first column of rows and cols (N, 2) becomes the log-sum-exp.
  void xent_loss(mat<const float> log_scale, mat<float> rows, mat<float> cols, mat<const float> own, mat<float> loss);
  /// dcosines, which may be the cosines, is overwritten; dlog_scale (1, 1) accumulates.
  void xent_tile_backward(const xent_tile_input<float>& in, mat<float> dcosines, mat<float> dlog_scale);
  /// Logits S + bias; loss, dlog_scale and dbias accumulate. Without dcosines, only the loss is computed.
  void sigmoid_xent_tile(const sigmoid_tile_input<float>& in, const sigmoid_tile_output<float>& out);

 private:
  int threads_;
};

}  // namespace clipx::detail
#endif

#ifdef CLIPX_CPU_KERNELS
HWY_BEFORE_NAMESPACE();
namespace clipx::simd::HWY_NAMESPACE {

/// Merges (largest, sum of exp(. - largest)) into so_far.
inline void join(float high, float total, float* so_far) {
  const float top = std::max(so_far[0], high);
  so_far[1] = so_far[1] * std::exp(so_far[0] - top) + total * std::exp(high - top);  // so_far may still be (-inf, 0)
  so_far[0] = top;
}

/// Merges the rows of scale * cosines into so_far (rows, 2).
inline void xent_rows(mat<const float> cosines, float scale, mat<float> so_far) {
  const auto s = set(scale);
  for (dim r = 0; r < cosines.rows; ++r) {
    const float* row = cosines.row(r);
    const float high = row_top(cosines.cols, [&](auto at) CLIPX_LANES { return s * at.get(row); });
    const auto h = set(high);
    join(high, row_sum(cosines.cols, [&](auto at, vf all) CLIPX_LANES { return all + exp_down(hn::MulSub(s, at.get(row), h)); }),
         so_far.row(r));
  }
}

/// The same for columns, with a running maximum: the sum so far is rescaled once per block of rows.
inline void xent_columns(mat<const float> cosines, float scale, mat<float> so_far) {
  const auto s = set(scale);
  const dim n = cosines.cols;
  float *high = scratch(2 * n), *total = high + n;
  std::fill_n(high, n, -std::numeric_limits<float>::infinity());
  std::fill_n(total, n, 0.0f);
  by_columns(cosines.rows, n, [&](auto at, dim begin, dim end) CLIPX_LANES {
    const auto before = at.get(high);
    auto now = before, block = zero();
    for (dim r = begin; r < end; ++r) now = hn::Max(now, s * at.get(cosines.row(r)));
    for (dim r = begin; r < end; ++r) block = block + exp_down(hn::MulSub(s, at.get(cosines.row(r)), now));
    at.put(hn::MulAdd(at.get(total), exp_down(before - now), block), total);
    at.put(now, high);
  });
  for (dim c = 0; c < n; ++c) join(high[c], total[c], so_far.row(c));
}

/// dcosines = scale (P + Q - 2I) / 2N, and `sums` with each row's part of dlog_scale. across: log-sum-exp of the columns.
inline void xent_backward(mat<const float> cosines, float scale, dim shift, dim N, mat<const float> rows, const float* across,
                          mat<float> dcosines, float* sums) {
  const auto s = set(scale), weight = set(0.5f / static_cast<float>(N));
  for (dim r = 0; r < cosines.rows; ++r) {
    const float *row = cosines.row(r), lse = rows.row(r)[0];
    const bool pair = r + shift >= 0 && r + shift < cosines.cols;
    const float own = pair ? scale * row[r + shift] : 0.0f;  // the pair's logit, and its -2 in G
    sums[r] = row_sum(cosines.cols, [&](auto at, vf all) CLIPX_LANES {
      const auto c = at.get(row);
      const auto g = weight * (exp_down(hn::MulSub(s, c, set(lse))) + exp_down(hn::MulSub(s, c, at.get(across))));
      at.put(s * g, dcosines.row(r));
      return hn::MulAdd(s * g, c, all);
    });
    if (!pair) continue;
    dcosines.row(r)[r + shift] -= scale / static_cast<float>(N);
    sums[r] -= own / static_cast<float>(N);
  }
}

/// log(1 + e) for e in [0, 1]: 2 artanh(e / (2 + e)), whose series in t^2 <= 1/9 ends below 2e-9.
HWY_INLINE vf log1p_unit(vf e) {
  const auto t = e / (set(2.0f) + e), u = t * t;
  auto p = set(1.0f / 15);
  for (float k : {13.0f, 11.0f, 9.0f, 7.0f, 5.0f, 3.0f, 1.0f}) p = hn::MulAdd(p, u, set(1.0f / k));
  return (t + t) * p;
}
/// Sums of softplus(-z S) and, unless dcosines is empty, G = -z sigma(-z S) / N: dcosines = scale G, and each row's sums of G (S -
/// b) and of G. sums (3, rows).
inline void sigmoid_rows(mat<const float> cosines, float scale, float bias, dim shift, dim N, mat<float> dcosines,
                         mat<float> sums) {
  const auto s = set(scale), b = set(bias), one = set(1.0f), n = set(1.0f / static_cast<float>(N));
  for (dim r = 0; r < cosines.rows; ++r) {
    const float* row = cosines.row(r);
    const bool pair = r + shift >= 0 && r + shift < cosines.cols;
    const float own = pair ? row[r + shift] : 0.0f;
    // First as if there were no pairs: softplus(S) and sigma(S).
    sums.row(0)[r] = row_sum(cosines.cols, [&](auto at, vf all) CLIPX_LANES {
      const auto logit = hn::MulAdd(s, at.get(row), b);
      return all + (hn::Max(logit, zero()) + log1p_unit(exp_down(zero() - hn::Abs(logit))));
    });
    if (pair) sums.row(0)[r] -= scale * own + bias;
    if (!dcosines) continue;
    auto of_g = zero();
    sums.row(1)[r] = row_sum(cosines.cols, [&](auto at, vf all) CLIPX_LANES {
      const auto c = at.get(row), logit = hn::MulAdd(s, c, b), e = exp_down(zero() - hn::Abs(logit));
      const auto g = n * hn::IfThenElse(logit < zero(), e, one) / (one + e);
      at.put(s * g, dcosines.row(r));
      of_g = at.keep(of_g + g, of_g);
      return hn::MulAdd(s * g, c, all);
    });
    sums.row(2)[r] = sum(of_g);
    if (!pair) continue;
    const float g = 1.0f / static_cast<float>(N);
    dcosines.row(r)[r + shift] -= scale * g;
    sums.row(1)[r] -= g * scale * own;
    sums.row(2)[r] -= g;
  }
}

}  // namespace clipx::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#ifdef CLIPX_CPU_MEMBERS
namespace clipx::detail {

CLIPX_INLINE void cpu_loss::xent_tile(mat<const float> cosines, mat<const float> log_scale, dim shift, mat<float> rows,
                                      mat<float> cols, mat<float> own) {
  const float scale = std::exp(log_scale.data[0]);
  simd::parallel_ranges(threads_, cosines.rows, 4 * cosines.cols, 1, [&](dim first, dim n) {
    CLIPX_KERNEL(xent_rows)(cosines.row_range(first, n), scale, rows.row_range(first, n));
  });
  simd::parallel_ranges(threads_, cosines.cols, 4 * cosines.rows, simd::line, [&](dim first, dim n) {
    CLIPX_KERNEL(xent_columns)(cosines.col_range(first, n), scale, cols.row_range(first, n));
  });
  for (dim i = std::max<dim>(0, -shift); i < std::min(cosines.rows, cosines.cols - shift); ++i)
    own.row(i)[0] = cosines.row(i)[i + shift];
}

CLIPX_INLINE void cpu_loss::xent_loss(mat<const float> log_scale, mat<float> rows, mat<float> cols, mat<const float> own,
                                      mat<float> loss) {
  const auto lse = [](float* side) {
    const double v = static_cast<double>(side[0]) + std::log(static_cast<double>(side[1]));
    side[0] = static_cast<float>(v);
    return v;
  };
  const double scale = static_cast<double>(std::exp(log_scale.data[0]));
  double total = 0;
  for (dim i = 0; i < rows.rows; ++i) {
    const double pair = scale * static_cast<double>(own.row(i)[0]);
    total += (lse(rows.row(i)) - pair) + (lse(cols.row(i)) - pair);
  }
  loss.data[0] = static_cast<float>(total / (2.0 * static_cast<double>(rows.rows)));
}

CLIPX_INLINE void cpu_loss::xent_tile_backward(const xent_tile_input<float>& in, mat<float> dcosines, mat<float> dlog_scale) {
  const dim n = in.cosines.rows, m = in.cosines.cols;
  float *sums = simd::shared_floats(n + m), *across = sums + n;
  for (dim i = 0; i < m; ++i) across[i] = in.columns.row(i)[0];  // possibly a column of a wider matrix: here made contiguous
  simd::parallel_ranges(threads_, n, 4 * m, 1, [&](dim first, dim count) {
    const auto kernel = CLIPX_KERNEL(xent_backward);
    kernel(in.cosines.row_range(first, count), std::exp(in.log_scale.data[0]), first + in.shift, in.N,
           in.rows.row_range(first, count), across, dcosines.row_range(first, count), sums + first);
  });
  dlog_scale.data[0] += static_cast<float>(std::accumulate(sums, sums + n, 0.0));
}

CLIPX_INLINE void cpu_loss::sigmoid_xent_tile(const sigmoid_tile_input<float>& in, const sigmoid_tile_output<float>& out) {
  const dim n = in.cosines.rows;
  const mat<float> sums(simd::shared_floats(3 * n), 3, n);
  simd::parallel_ranges(threads_, n, 4 * in.cosines.cols, 1, [&](dim first, dim count) {
    const auto kernel = CLIPX_KERNEL(sigmoid_rows);
    kernel(in.cosines.row_range(first, count), std::exp(in.log_scale.data[0]), in.bias.data[0], first + in.shift, in.N,
           simd::row_part(out.dcosines, first, count), sums.col_range(first, count));
  });
  const auto total = [&](dim r) { return std::accumulate(sums.row(r), sums.row(r) + n, 0.0); };
  out.loss.data[0] += static_cast<float>(total(0) / static_cast<double>(in.N));
  if (!out.dcosines) return;
  out.dlog_scale.data[0] += static_cast<float>(total(1));
  out.dbias.data[0] += static_cast<float>(total(2));
}

}  // namespace clipx::detail
#endif
