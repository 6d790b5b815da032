// The cpu's depthwise convolutions, as verbs: any number of threads, rows of wider matrices, the same bits in any batch.
#ifdef CLIPX_HAS_CPU
#include "cpu_kernels.hpp"

using namespace cpu_kernels;

namespace {

template <class T>
struct sums {
  grid<T> y, dx, dweight;
};
template <class T>
sums<T> run(int threads, const window& w, const grid<T>& x, const grid<T>& weight, const grid<T>& bias, const grid<T>& dy,
            const grid<T>& dweight) {
  cpu<T> d({.threads = threads});
  sums<T> r{{dy.rows, dy.cols}, {x.rows, x.cols}, dweight};
  d.depthwise_conv(x.in(), w, weight.in(), bias.in(), r.y.view());
  d.depthwise_conv_backward(x.in(), w, weight.in(), dy.in(), r.dx.view(), r.dweight.view());
  return r;
}

/// Calls f(output row, input row, tap) for all pixels that the windows see.
template <class F>
void each_seen(const window& w, dim images, F&& f) {
  for (dim r = 0; r < images * w.out_rows(); ++r)
    for (dim t = 0; t < w.kernel * w.kernel; ++t) {
      const dim img = r / w.out_rows(), oy = r % w.out_rows() / w.out_width(), ox = r % w.out_width();
      const dim iy = oy * w.stride + t / w.kernel - w.pad, ix = ox * w.stride + t % w.kernel - w.pad;
      if (iy >= 0 && ix >= 0 && iy < w.height && ix < w.width) f(r, (img * w.height + iy) * w.width + ix, t);
    }
}

}  // namespace

TEMPLATE_TEST_CASE("cpu depthwise convolutions: against loops, threads, batches", "[cpu]", float, bf16) {
  using T = TestType;
  for (const window& w :
       {window{9, 7, 3, 7, 1, 3}, {8, 20, 33, 7, 1, 3}, {6, 11, 16, 3, 2, 1}, {5, 5, 40, 5, 1, 2}, {7, 9, 17, 7, 2, 3}})
    for (dim images : {1, 2, 11}) {
      INFO(w.height << " x " << w.width << ", " << w.channels << " channels, kernel " << w.kernel << ", stride " << w.stride << ", "
                    << images << " images");
      const dim C = w.channels, taps = w.kernel * w.kernel, rows = images * w.out_rows();
      const grid<T> x(images * w.height * w.width, C), weight(C, taps, 0.2), bias(1, C), dy(rows, C), dweight(C, taps);
      const auto got = run(1, w, x, weight, bias, dy, dweight);
      for (int threads : {2, 3}) {
        const auto other = run(threads, w, x, weight, bias, dy, dweight);
        CHECK((same_bits(other.y, got.y) && same_bits(other.dx, got.dx) && same_bits(other.dweight, got.dweight)));
      }
      std::vector<expected> y(static_cast<std::size_t>(rows * C)), dx(static_cast<std::size_t>(x.rows * C)),
          dw(static_cast<std::size_t>(C * taps));
      const auto add = [](std::vector<expected>& to, dim at, double term) {
        to[static_cast<std::size_t>(at)].value += term;
        to[static_cast<std::size_t>(at)].slack += std::abs(term);
      };
      for (dim c = 0; c < C; ++c) {
        for (dim r = 0; r < rows; ++r) add(y, r * C + c, bias(0, c));
        for (dim t = 0; t < taps; ++t) add(dw, c * taps + t, dweight(c, t));
        each_seen(w, images, [&](dim r, dim pixel, dim t) {
          add(y, r * C + c, weight(c, t) * x(pixel, c));
          add(dx, pixel * C + c, weight(c, t) * dy(r, c));
          add(dw, c * taps + t, dy(r, c) * x(pixel, c));
        });
      }
      const auto held = [](const std::vector<expected>& all, dim cols, dim terms) {
        return [&all, cols, terms](dim r, dim c) {
          const auto e = all[static_cast<std::size_t>(r * cols + c)];
          return expected{e.value, static_cast<double>(2 + terms) * e.slack};
        };
      };
      check(got.y, held(y, C, taps));
      check(got.dx, held(dx, C, taps));
      check(got.dweight, held(dw, taps, rows));

      // The last image alone, and without a bias.
      const dim last = (images - 1) * w.height * w.width, from = (images - 1) * w.out_rows();
      grid<T> alone(w.out_rows(), C), plain(rows, C), zero(1, C, 0);
      cpu<T> d({.threads = 1});
      d.depthwise_conv(x.in().row_range(last, w.height * w.width), w, weight.in(), bias.in(), alone.view());
      bool same = true;
      for (dim r = 0; r < alone.rows; ++r)
        for (dim c = 0; c < C; ++c) same = same && alone(r, c) == got.y(from + r, c);
      CHECK(same);
      d.depthwise_conv(x.in(), w, weight.in(), {}, plain.view());
      grid<T> with_zero(rows, C);
      d.depthwise_conv(x.in(), w, weight.in(), zero.in(), with_zero.view());
      same = true;
      for (dim r = 0; r < rows; ++r)
        for (dim c = 0; c < C; ++c) same = same && plain(r, c) == with_zero(r, c);
      CHECK(same);
    }
}
#endif
