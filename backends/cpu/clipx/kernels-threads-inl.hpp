// kernels<T>: work shared among threads, the rest left to the chosen instruction set's table.
#pragma once
#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <exception>
#include <numeric>
#include <vector>

#include "kernels.hpp"
#include "simd.hpp"

namespace clipx {

namespace simd {
#ifdef CLIPX_COMPILED
HWY_EXPORT(table_float);
HWY_EXPORT(table_bf16);
HWY_EXPORT(table_of_floats);
/// Once, before Highway chooses. Its x86 targets are bits, better ones lower.
inline void limit_targets() {
  [[maybe_unused]] static const bool done = [] {
    const isa most = most_isa();
    if (most != isa::any) hwy::DisableTargets((most == isa::avx512 ? HWY_AVX3 : most == isa::avx2 ? HWY_AVX2 : HWY_SSE4) - 1);
    return true;
  }();
}
#define CLIPX_BEST(table) (limit_targets(), HWY_DYNAMIC_DISPATCH(table)())
#else
#define CLIPX_BEST(table) HWY_STATIC_DISPATCH(table)()
#endif
template <class T>
const table<T>& best() {
  if constexpr (std::is_same_v<T, float>) return CLIPX_BEST(table_float);
  else return CLIPX_BEST(table_bf16);
}
CLIPX_INLINE const float_table& best_of_floats() { return CLIPX_BEST(table_of_floats); }
#undef CLIPX_BEST

/// f(first, n) over a share of `items` for each thread, in multiples of `grain`; `work` is the elements of an item: a thread is
/// woken for no less than 2^15 of them.
template <class F>
void share(int threads, dim items, dim work, dim grain, F&& f) {
  const dim most = std::min<dim>({threads, (items + grain - 1) / grain, items * work >> 15});
  if (most <= 1) {
    if (items > 0) f(dim{0}, items);
    return;
  }
  const dim grains = (items + grain - 1) / grain;
  each(static_cast<int>(most), most, [&](dim p) {
    const dim from = grains * p / most * grain, to = std::min(items, grains * (p + 1) / most * grain);
    f(from, to - from);
  });
}

inline constexpr dim line = 64;  // elements: whole cache lines, whole vectors
template <class E>
mat<E> row_part(mat<E> m, dim first, dim n) {
  return m ? m.row_range(first, n) : m;
}
/// f(parts...) by rows.
template <class F, class... E>
void by_rows(int threads, dim rows, dim work, F&& f, mat<E>... m) {
  share(threads, rows, work, 1, [&](dim first, dim n) { f(row_part(m, first, n)...); });
}
/// f(parts...) for what does not care for rows: as one row where nothing lies between them.
template <class F, class... E>
void by_elements(int threads, F&& f, mat<E>... m) {
  const std::array<dim, sizeof...(m)> rows{m.rows...}, sizes{m.size()...};
  if ((m.contiguous() && ...)) share(threads, sizes[0], 1, line, [&](dim first, dim n) { f(mat<E>(m.data + first, 1, n)...); });
  else by_rows(threads, rows[0], sizes[0] / std::max<dim>(rows[0], 1), f, m...);
}

template <class E>
void copy_rows(mat<const E> x, mat<E> y) {
  for (dim r = 0; r < y.rows; ++r) std::copy_n(x.row(r), y.cols, y.row(r));
}
/// Floats of the calling thread, apart from those of scratch(): for what several threads fill together.
CLIPX_INLINE std::vector<float>& shared_floats(dim n) {
  thread_local std::vector<float> v;
  if (static_cast<dim>(v.size()) < n) v.resize(static_cast<std::size_t>(n));
  return v;
}
/// Rows that are summed by one thread: a function of the columns alone, and few enough to stay in the cache.
inline dim piece_rows(dim cols) { return std::max<dim>(1, (dim{1} << 9) / std::max<dim>(cols, 1)) * 64; }
/// Two sums of each column: f(first row, rows, sums (2, cols)) for every piece, the pieces added in their order. In
/// shared_floats().
template <class F>
mat<float> column_pieces(int threads, dim rows, dim cols, F&& f) {
  const dim height = piece_rows(cols), pieces = (rows + height - 1) / height;
  const mat<float> parts(shared_floats((pieces + 1) * 2 * cols).data(), (pieces + 1) * 2, cols);
  share(threads, pieces, height * cols, 1, [&](dim first, dim n) {
    for (dim p = first; p < first + n; ++p) f(p * height, std::min(height, rows - p * height), parts.row_range(2 * (p + 1), 2));
  });
  const auto sums = parts.row_range(0, 2);
  std::fill_n(sums.data, sums.size(), 0.0f);
  for (dim p = 1; p <= pieces; ++p)
    for (dim i = 0; i < sums.size(); ++i) sums.data[i] += parts.row(2 * p)[i];
  return sums;
}
}  // namespace simd

CLIPX_INLINE const char* float_kernels::instruction_set() { return simd::best_of_floats().name; }
CLIPX_INLINE resampler float_kernels::pixels_resampler() {
  return {simd::best_of_floats().horizontal, simd::best_of_floats().vertical};
}
CLIPX_INLINE void float_kernels::clamp(int, mat<float> x, float low, float high) {
  for (dim r = 0; r < x.rows; ++r)
    for (dim c = 0; c < x.cols; ++c) x.row(r)[c] = std::clamp(x.row(r)[c], low, high);
}
CLIPX_INLINE void float_kernels::softmax(int threads, mat<float> x, bool causal) {
  simd::share(threads, x.rows, 4 * x.cols, 1,
              [&](dim first, dim n) { simd::best_of_floats().softmax(x.row_range(first, n), causal, first); });
}
CLIPX_INLINE void float_kernels::softmax_backward(int threads, mat<const float> p, mat<float> dp) {
  simd::by_rows(threads, p.rows, p.cols, simd::best_of_floats().softmax_backward, p, dp);
}
CLIPX_INLINE void float_kernels::xent_tile(int threads, mat<const float> cosines, mat<const float> log_scale, dim shift,
                                           mat<float> rows, mat<float> cols, mat<float> own) {
  const float scale = std::exp(log_scale.data[0]);
  simd::share(threads, cosines.rows, 4 * cosines.cols, 1, [&](dim first, dim n) {
    simd::best_of_floats().xent_rows(cosines.row_range(first, n), scale, rows.row_range(first, n));
  });
  simd::share(threads, cosines.cols, 4 * cosines.rows, simd::line, [&](dim first, dim n) {
    simd::best_of_floats().xent_columns(cosines.col_range(first, n), scale, cols.row_range(first, n));
  });
  for (dim i = std::max<dim>(0, -shift); i < std::min(cosines.rows, cosines.cols - shift); ++i)
    own.row(i)[0] = cosines.row(i)[i + shift];
}
CLIPX_INLINE void float_kernels::xent_loss(int, mat<const float> log_scale, mat<float> rows, mat<float> cols, mat<const float> own,
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
CLIPX_INLINE void float_kernels::xent_tile_backward(int threads, mat<const float> cosines, mat<const float> log_scale,
                                                    mat<const float> rows, mat<const float> cols, dim shift, dim N,
                                                    mat<float> dcosines, mat<float> dlog_scale) {
  const dim n = cosines.rows, m = cosines.cols;
  float *sums = simd::shared_floats(n + m).data(), *across = sums + n;
  for (dim i = 0; i < m; ++i) across[i] = cols.row(i)[0];  // a column of a wider matrix perhaps: here side by side
  simd::share(threads, n, 4 * m, 1, [&](dim first, dim count) {
    simd::best_of_floats().xent_backward(cosines.row_range(first, count), std::exp(log_scale.data[0]), first + shift, N,
                                         rows.row_range(first, count), across, dcosines.row_range(first, count), sums + first);
  });
  dlog_scale.data[0] += static_cast<float>(std::accumulate(sums, sums + n, 0.0));
}
CLIPX_INLINE void float_kernels::sigmoid_xent_tile(int threads, mat<const float> cosines, mat<const float> log_scale,
                                                   mat<const float> bias, dim shift, dim N, mat<float> loss, mat<float> dcosines,
                                                   mat<float> dlog_scale, mat<float> dbias) {
  const dim n = cosines.rows;
  const mat<float> sums(simd::shared_floats(3 * n).data(), 3, n);
  simd::share(threads, n, 4 * cosines.cols, 1, [&](dim first, dim count) {
    simd::best_of_floats().sigmoid_rows(cosines.row_range(first, count), std::exp(log_scale.data[0]), bias.data[0], first + shift,
                                        N, simd::row_part(dcosines, first, count), sums.col_range(first, count));
  });
  const auto total = [&](dim r) { return std::accumulate(sums.row(r), sums.row(r) + n, 0.0); };
  loss.data[0] += static_cast<float>(total(0) / static_cast<double>(N));
  if (dcosines) dlog_scale.data[0] += static_cast<float>(total(1)), dbias.data[0] += static_cast<float>(total(2));
}

template <class T>
void kernels<T>::copy(int threads, mat<const T> x, mat<T> y) {
  simd::by_elements(threads, simd::copy_rows<T>, x, y);
}
template <class T>
void kernels<T>::widen(int threads, mat<const T> x, mat<float> y) {
  simd::by_elements(threads, simd::best<T>().widen, x, y);
}
template <class T>
void kernels<T>::narrow(int threads, mat<const float> x, mat<T> y) {
  simd::by_elements(threads, simd::best<T>().narrow, x, y);
}
template <class T>
void kernels<T>::fill(int threads, mat<T> y, T value) {
  simd::by_rows(
      threads, y.rows, y.cols,
      [&](mat<T> part) {
        for (dim r = 0; r < part.rows; ++r) std::fill_n(part.row(r), part.cols, value);
      },
      y);
}
template <class T>
void kernels<T>::pixels(int threads, mat<const std::uint8_t> rgb, std::array<float, 3> mean, std::array<float, 3> deviation,
                        mat<T> y) {
  std::array<std::array<T, 3>, 256> values;  // every result there is: exact, and no arithmetic left to a compiler's contraction
  for (std::size_t level = 0; level < 256; ++level)
    for (std::size_t c = 0; c < 3; ++c) {
      const float unit = static_cast<float>(level) / 255.0f, centred = unit - mean[c];
      values[level][c] = T(centred / deviation[c]);
    }
  simd::by_rows(
      threads, y.rows, 3,
      [&](mat<const std::uint8_t> from, mat<T> to) {
        for (dim r = 0; r < to.rows; ++r)
          for (std::size_t c = 0; c < 3; ++c) to.row(r)[c] = values[from.row(r)[c]][c];
      },
      rgb, y);
}

template <class T>
void kernels<T>::add(int threads, float alpha, mat<const T> x, float beta, mat<T> y) {
  simd::by_elements(
      threads, [&](mat<const T> a, mat<T> b) { simd::best<T>().add(alpha, a, beta, b); }, x, y);
}
template <class T>
void kernels<T>::sum_squares(int threads, mat<const T> x, mat<float> y) {
  constexpr dim piece = dim{1} << 16;  // summed by one thread, whatever their number
  const dim pieces = (x.cols + piece - 1) / piece;
  float* sums = simd::shared_floats(pieces).data();
  simd::share(threads, pieces, piece, 1, [&](dim first, dim n) {
    for (dim i = first; i < first + n; ++i)
      sums[i] = simd::best<T>().sum_squares(x.data + i * piece, std::min(piece, x.cols - i * piece));
  });
  y.data[0] += static_cast<float>(std::accumulate(sums, sums + pieces, 0.0));
}
template <class T>
void kernels<T>::adamw(int threads, const adamw_step& s, mat<const float> squares, mat<const T> grad, mat<float> p, mat<float> m,
                       mat<float> v, mat<T> copy) {
  const double n = static_cast<double>(s.count), norm = squares ? std::sqrt(static_cast<double>(squares.data[0])) : 0;
  const auto f = [](double x) { return static_cast<float>(x); };
  const simd::adamw_numbers k{.b1 = f(s.beta1),
                              .b2 = f(s.beta2),
                              .rest1 = f(1 - s.beta1),
                              .rest2 = f(1 - s.beta2),
                              .rate = f(s.lr / (1 - std::pow(s.beta1, n))),
                              .wide = f(1 / std::sqrt(1 - std::pow(s.beta2, n))),
                              .eps = f(s.eps),
                              .keep = f(1 - s.lr * s.decay),
                              .clip = f(squares && s.max_norm > 0 ? std::min(1.0, s.max_norm / (norm + 1e-6)) : 1)};
  const auto part = [](auto a, dim first, dim count) { return a ? a.col_range(first, count) : a; };
  simd::share(threads, p.cols, 4, simd::line, [&](dim i, dim c) {
    simd::best<T>().adamw(k, part(grad, i, c), part(p, i, c), part(m, i, c), part(v, i, c), part(copy, i, c));
  });
}
template <class T>
void kernels<T>::add_rows(int threads, mat<const T> x, mat<T> y) {
  simd::share(threads, y.rows, y.cols, 1, [&](dim first, dim n) { simd::best<T>().add_rows(x, first, y.row_range(first, n)); });
}
template <class T>
void kernels<T>::sum_rows(int threads, mat<const T> x, mat<T> y) {
  simd::share(threads, x.cols, x.rows, simd::line,
              [&](dim first, dim n) { simd::best<T>().sum_rows(x.col_range(first, n), y.col_range(first, n)); });
}
template <class T>
void kernels<T>::gather_rows(int threads, mat<const T> x, mat<const std::int32_t> ids, mat<T> y) {
  simd::share(threads, ids.cols, x.cols, 1, [&](dim first, dim n) {
    for (dim i = first; i < first + n; ++i) std::copy_n(x.row(ids.data[i]), x.cols, y.row(i));
  });
}
template <class T>
void kernels<T>::scatter_add_rows(int threads, mat<const T> x, mat<const std::int32_t> ids, mat<T> y) {
  thread_local std::vector<std::int32_t> memory;
  auto& order = memory;  // x's rows by id, in their own order within one; a plain reference: threads see this thread's
  order.resize(static_cast<std::size_t>(ids.cols));
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [&](std::int32_t a, std::int32_t b) { return ids.data[a] != ids.data[b] ? ids.data[a] < ids.data[b] : a < b; });
  const auto id = [&](dim i) { return ids.data[order[static_cast<std::size_t>(i)]]; };
  simd::share(threads, ids.cols, x.cols, 1, [&](dim first, dim n) {
    dim i = first;
    while (i > 0 && i < first + n && id(i) == id(i - 1)) ++i;  // a run that begins in the share before is that one's
    while (i < first + n) {
      dim end = i + 1;
      while (end < ids.cols && id(end) == id(i)) ++end;
      simd::best<T>().sum_listed(x, order.data() + i, end - i, y.row(id(i)));
      i = end;
    }
  });
}
template <class T>
void kernels<T>::unary(int threads, activation f, mat<const T> x, mat<T> y) {
  simd::by_elements(
      threads, [&](mat<const T> a, mat<T> b) { simd::best<T>().unary(f, a, b); }, x, y);
}
template <class T>
void kernels<T>::unary_backward(int threads, activation f, mat<const T> x, mat<const T> dy, mat<T> dx) {
  simd::by_elements(
      threads, [&](mat<const T> a, mat<const T> b, mat<T> c) { simd::best<T>().unary_backward(f, a, b, c); }, x, dy, dx);
}
template <class T>
template <class X>
void kernels<T>::bias_act(int threads, mat<const X> x, mat<const T> bias, const activation* f, mat<const T> residual, mat<T> y,
                          mat<T> pre) {
  const auto run = [] {
    if constexpr (std::is_same_v<X, T>) return simd::best<T>().bias_act;
    else return simd::best<T>().bias_act_wide;
  }();
  simd::by_rows(
      threads, y.rows, y.cols, [&](mat<const X> a, mat<const T> b, mat<T> c, mat<T> d) { run(a, bias.data, f, b, c, d); }, x,
      residual, y, pre);
}

template <class T>
void kernels<T>::layernorm(int threads, mat<const T> x, mat<const float> weight, mat<const float> bias, double eps, mat<T> y,
                           mat<float> stats) {
  simd::by_rows(
      threads, x.rows, x.cols,
      [&](mat<const T> a, mat<T> b, mat<float> s) { simd::best<T>().layernorm(a, weight, bias, static_cast<float>(eps), b, s); }, x,
      y, stats);
}
template <class T>
void kernels<T>::layernorm_backward(int threads, mat<const T> x, mat<const float> weight, mat<const float> stats, mat<const T> dy,
                                    mat<const T> residual, mat<T> dx, mat<float> dweight, mat<float> dbias) {
  const auto sums = simd::column_pieces(threads, x.rows, x.cols, [&](dim first, dim n, mat<float> piece) {
    simd::best<T>().layernorm_columns(x.row_range(first, n), stats.row_range(first, n), dy.row_range(first, n), piece);
  });  // before dx, which may be dy
  for (dim c = 0; c < x.cols; ++c) dweight.data[c] += sums.row(0)[c], dbias.data[c] += sums.row(1)[c];
  simd::by_rows(
      threads, x.rows, x.cols,
      [&](mat<const T> a, mat<const float> s, mat<const T> b, mat<const T> more, mat<T> c) {
        simd::best<T>().layernorm_backward(a, weight, s, b, more, c);
      },
      x, stats, dy, residual, dx);
}
template <class T>
void kernels<T>::add_layernorm(int threads, mat<const T> x, mat<const T> branch, mat<const float> weight, mat<const float> bias,
                               double eps, mat<T> sum, mat<T> y, mat<float> stats) {
  simd::by_rows(
      threads, x.rows, x.cols,
      [&](mat<const T> a, mat<const T> b, mat<T> t, mat<T> c, mat<float> s) {
        simd::best<T>().add_layernorm(a, b, weight, bias, static_cast<float>(eps), t, c, s);
      },
      x, branch, sum, y, stats);
}
template <class T>
void kernels<T>::column_stats(int threads, mat<const T> x, mat<float> stats) {
  const dim height = simd::piece_rows(x.cols), pieces = (x.rows + height - 1) / height;
  const mat<float> parts(simd::shared_floats(pieces * 2 * x.cols).data(), pieces * 2, x.cols);  // mean and variance of each piece
  const auto rows_of = [&](dim p) { return std::min(height, x.rows - p * height); };
  simd::share(threads, pieces, height * x.cols, 1, [&](dim first, dim n) {
    for (dim p = first; p < first + n; ++p)
      simd::best<T>().column_stats(x.row_range(p * height, rows_of(p)), parts.row_range(2 * p, 2));
  });
  // The whole's mean is that of the pieces'; its variance is the pieces' own and that of their means.
  for (dim c = 0; c < x.cols; ++c) {
    double mean = 0, squares = 0;
    for (dim p = 0; p < pieces; ++p) mean += static_cast<double>(rows_of(p)) * static_cast<double>(parts.row(2 * p)[c]);
    mean /= static_cast<double>(x.rows);
    for (dim p = 0; p < pieces; ++p) {
      const double away = static_cast<double>(parts.row(2 * p)[c]) - mean;
      squares += static_cast<double>(rows_of(p)) * (static_cast<double>(parts.row(2 * p + 1)[c]) + away * away);
    }
    stats.row(0)[c] = static_cast<float>(mean), stats.row(1)[c] = static_cast<float>(squares / static_cast<double>(x.rows));
  }
}
template <class T>
void kernels<T>::batchnorm(int threads, mat<const T> x, mat<const float> stats, mat<const float> weight, mat<const float> bias,
                           double eps, mat<const T> residual, bool relu, mat<T> y) {
  simd::by_rows(
      threads, x.rows, x.cols,
      [&](mat<const T> a, mat<const T> b, mat<T> c) {
        simd::best<T>().batchnorm(a, stats, weight, bias, static_cast<float>(eps), b, relu, c);
      },
      x, residual, y);
}
template <class T>
void kernels<T>::batchnorm_backward(int threads, mat<const T> x, mat<const float> stats, mat<const float> weight, double eps,
                                    bool training, mat<const T> y, mat<const T> dy, mat<T> dz, mat<T> dx, mat<float> dweight,
                                    mat<float> dbias) {
  const float e = static_cast<float>(eps), n = static_cast<float>(x.rows);
  const bool kept = y && dz.data != dx.data;  // else it is computed again
  const auto sums = simd::column_pieces(threads, x.rows, x.cols, [&](dim first, dim count, mat<float> piece) {
    simd::best<T>().batchnorm_columns(x.row_range(first, count), stats, e, simd::row_part(y, first, count),
                                      dy.row_range(first, count), kept ? dz.row_range(first, count) : mat<T>(), piece);
  });
  if (kept) y = {}, dy = dz;
  for (dim c = 0; c < x.cols; ++c) {
    dweight.data[c] += sums.row(0)[c], dbias.data[c] += sums.row(1)[c];
    sums.row(0)[c] /= n, sums.row(1)[c] /= n;
  }
  simd::by_rows(
      threads, x.rows, x.cols,
      [&](mat<const T> a, mat<const T> b, mat<const T> c, mat<T> d) {
        simd::best<T>().batchnorm_backward(a, stats, weight, e, training ? mat<const float>(sums) : mat<const float>(), b, c, d);
      },
      x, y, dy, dx);
}
template <class T>
void kernels<T>::normalize(int threads, mat<const T> x, mat<float> y, mat<float> lengths) {
  simd::by_rows(threads, x.rows, x.cols, simd::best<T>().normalize, x, y, lengths);
}
template <class T>
void kernels<T>::normalize_backward(int threads, mat<const float> y, mat<const float> lengths, mat<const float> dy, mat<T> dx) {
  simd::by_rows(threads, y.rows, y.cols, simd::best<T>().normalize_backward, y, lengths, dy, dx);
}

template <class T>
void kernels<T>::im2col(int threads, mat<const T> x, const window& w, mat<T> cols) {
  const dim oh = w.out_height(), ow = w.out_width(), pictures = x.rows / (w.height * w.width), taps = w.kernel * w.kernel;
  simd::share(threads, pictures * oh * ow, w.patch(), 1, [&](dim first, dim n) {
    for (dim place = first; place < first + n; ++place) {
      const dim picture = place / (oh * ow), top = place / ow % oh * w.stride - w.pad, left = place % ow * w.stride - w.pad;
      T* to = cols.row(picture * w.out_rows() + w.lead + place % (oh * ow));
      for (dim tap = 0; tap < taps; ++tap) {
        const dim iy = top + tap / w.kernel, ix = left + tap % w.kernel;
        const bool inside = iy >= 0 && iy < w.height && ix >= 0 && ix < w.width;
        const T* from = inside ? x.row((picture * w.height + iy) * w.width + ix) : nullptr;
        for (dim c = 0; c < w.channels; ++c) to[c * taps + tap] = from ? from[c] : T(0.0f);
      }
    }
  });
}
template <class T>
void kernels<T>::col2im(int threads, mat<const T> cols, const window& w, mat<T> x) {
  const dim oh = w.out_height(), ow = w.out_width(), taps = w.kernel * w.kernel;
  simd::share(threads, x.rows, w.patch(), 1, [&](dim first, dim n) {
    float* totals = simd::scratch(w.channels);
    for (dim r = first; r < first + n; ++r) {
      const dim picture = r / (w.height * w.width), iy = r / w.width % w.height, ix = r % w.width;
      std::fill_n(totals, w.channels, 0.0f);
      for (dim tap = 0; tap < taps; ++tap) {  // the one window that sees this pixel through this tap, if any
        const dim ty = iy + w.pad - tap / w.kernel, tx = ix + w.pad - tap % w.kernel;
        if (ty < 0 || tx < 0 || ty % w.stride || tx % w.stride || ty / w.stride >= oh || tx / w.stride >= ow) continue;
        const T* from = cols.row(picture * w.out_rows() + w.lead + ty / w.stride * ow + tx / w.stride) + tap;
        for (dim c = 0; c < w.channels; ++c) totals[c] += static_cast<float>(from[c * taps]);
      }
      for (dim c = 0; c < w.channels; ++c) x.row(r)[c] = T(totals[c]);
    }
  });
}
template <class T>
void kernels<T>::avgpool(int threads, mat<const T> x, const window& w, mat<T> y) {
  simd::share(threads, y.rows, w.channels * (x.rows / std::max<dim>(y.rows, 1)), 1,
              [&](dim first, dim n) { simd::best<T>().avgpool(x, w, first, y.row_range(first, n)); });
}
template <class T>
void kernels<T>::avgpool_backward(int threads, mat<const T> dy, const window& w, mat<T> dx) {
  simd::share(threads, dx.rows, w.channels, 1,
              [&](dim first, dim n) { simd::best<T>().avgpool_backward(dy, w, first, dx.row_range(first, n)); });
}

namespace simd {
/// f(first query, queries, first key, keys, first column, head) for each sequence and head.
template <class F>
void each_head(int threads, const row_ranges& queries, const row_ranges& keys, dim heads, dim d, F&& f) {
  const bool small = queries.rows() * keys.longest * d * heads < dim{1} << 18;
  each(small ? 1 : threads, queries.count * heads, [&](dim task) {
    const dim i = task / heads, head = task % heads;
    f(queries.host[i], queries.host[i + 1] - queries.host[i], keys.host[i], keys.host[i + 1] - keys.host[i], head * d, head);
  });
}
template <class E>
mat<E> block(mat<E> m, dim row, dim rows, dim col, dim cols) {
  return m ? m.row_range(row, rows).col_range(col, cols) : m;
}
}  // namespace simd

template <class T>
void kernels<T>::attention(int threads, mat<const T> q, mat<const T> k, mat<const T> v, const row_ranges& queries,
                           const row_ranges& keys, dim heads, bool causal, mat<T> y, mat<float> lse) {
  const dim d = q.cols / heads;
  simd::each_head(threads, queries, keys, heads, d, [&](dim i, dim lq, dim j, dim lk, dim c, dim head) {
    simd::best<T>().attention(simd::block(q, i, lq, c, d), simd::block(k, j, lk, c, d), simd::block(v, j, lk, c, d), causal,
                              simd::block(y, i, lq, c, d), simd::block(lse, i, lq, head, 1));
  });
}
template <class T>
void kernels<T>::attention_backward(int threads, mat<const T> q, mat<const T> k, mat<const T> v, const row_ranges& queries,
                                    const row_ranges& keys, dim heads, bool causal, mat<const T> y, mat<const float> lse,
                                    mat<const T> dy, mat<T> dq, mat<T> dk, mat<T> dv) {
  const dim d = q.cols / heads;
  simd::each_head(threads, queries, keys, heads, d, [&](dim i, dim lq, dim j, dim lk, dim c, dim head) {
    simd::best<T>().attention_backward(simd::block(q, i, lq, c, d), simd::block(k, j, lk, c, d), simd::block(v, j, lk, c, d),
                                       causal, simd::block(y, i, lq, c, d), simd::block(lse, i, lq, head, 1),
                                       simd::block(dy, i, lq, c, d), simd::block(dq, i, lq, c, d), simd::block(dk, j, lk, c, d),
                                       simd::block(dv, j, lk, c, d));
  });
}

}  // namespace clipx
