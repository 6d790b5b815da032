// The cpu's convolutions that train, as verbs: any number of threads and parts, rows of wider matrices, the same bits again.
#ifdef CLIPX_HAS_CPU
#include "cpu_kernels.hpp"

using namespace cpu_kernels;

namespace {

template <class T>
struct layer {
  window w;
  dim images, out;
  grid<T> x, weight, dy;
  layer(const window& over, dim n, dim o, dim gap)
      : w(over),
        images(n),
        out(o),
        x(n * w.height * w.width, w.channels, 1, 0, gap),
        weight(o, w.patch(), 0.2, 0, 0),
        dy(n * w.out_rows(), o, 1, 0, gap) {}

  /// f(weight's column, input row, tap) for all that an output pixel sees.
  template <class F>
  void seen(dim row, F&& f) const {
    const dim img = row / w.out_rows(), oy = row % w.out_rows() / w.out_width(), ox = row % w.out_width();
    for (dim ky = 0; ky < w.kernel; ++ky)
      for (dim kx = 0; kx < w.kernel; ++kx) {
        const dim iy = oy * w.stride + ky - w.pad, ix = ox * w.stride + kx - w.pad;
        if (iy < 0 || ix < 0 || iy >= w.height || ix >= w.width) continue;
        for (dim c = 0; c < w.channels; ++c)
          f(c * w.kernel * w.kernel + ky * w.kernel + kx, (img * w.height + iy) * w.width + ix, c);
      }
  }
};

template <class T>
struct results {
  grid<T> y, dx, dw;
};
template <class T>
results<T> run(cpu<T>& d, const layer<T>& l, const grid<T>& dw, bool with_dx = true) {
  const dim gap = l.x.ld - l.x.cols;
  results<T> r{{l.dy.rows, l.out, 1, 0, gap}, {l.x.rows, l.x.cols, 1, 0, gap}, dw};
  d.conv(l.x.in(), l.w, l.weight.in(), r.y.view());
  d.conv_backward(l.x.in(), l.w, l.weight.in(), l.dy.in(), with_dx ? r.dx.view() : mat<T>(), r.dw.view());
  return r;
}

/// Against plain loops in double. Sums in float have as many terms as are seen, so 2 + terms roundings at most.
template <class T>
void against_loops(const layer<T>& l, const results<T>& got, const grid<T>& dw_before) {
  std::vector<expected> y, dx(static_cast<std::size_t>(l.x.rows * l.x.cols)), dw(static_cast<std::size_t>(l.out * l.w.patch()));
  const auto add = [](expected& e, double term) {
    e.value += term;
    e.slack += std::abs(term);
  };
  for (dim row = 0; row < l.dy.rows; ++row)
    for (dim o = 0; o < l.out; ++o) {
      auto& sum = y.emplace_back(expected{0, 0});
      l.seen(row, [&](dim column, dim pixel, dim c) {
        add(sum, l.weight(o, column) * l.x(pixel, c));
        add(dx[static_cast<std::size_t>(pixel * l.x.cols + c)], l.weight(o, column) * l.dy(row, o));
        add(dw[static_cast<std::size_t>(o * l.w.patch() + column)], l.dy(row, o) * l.x(pixel, c));
      });
    }
  const auto held = [](const std::vector<expected>& all, dim cols, double terms) {
    return [&all, cols, terms](dim r, dim c) {
      const auto e = all[static_cast<std::size_t>(r * cols + c)];
      return expected{e.value, (2 + terms) * e.slack};
    };
  };
  const auto patch = static_cast<double>(l.w.patch()), places = static_cast<double>(l.dy.rows);
  check(got.y, held(y, l.out, patch));
  check(got.dx, held(dx, l.x.cols, static_cast<double>(l.out * l.w.kernel * l.w.kernel)));
  check(got.dw, [&](dim r, dim c) {
    const auto e = held(dw, l.w.patch(), places)(r, c);
    return expected{dw_before(r, c) + e.value, e.slack + std::abs(dw_before(r, c))};
  });
}

}  // namespace

TEMPLATE_TEST_CASE("cpu convolutions: forward and gradients", "[cpu]", float, bf16) {
  using T = TestType;
  for (const bool deterministic : {false, true}) {
    const auto options = [&](int threads) { return cpu_options{.threads = threads, .deterministic = deterministic}; };
    cpu<T> one(options(1)), two(options(2)), three(options(3));
    for (const window& w :
         {window{9, 7, 3, 3, 2, 1}, {6, 6, 16, 3, 1, 1}, {5, 8, 33, 3, 1, 1}, {7, 7, 5, 1, 2}, {4, 4, 8, 1, 1}, {8, 6, 6, 5, 1, 2}})
      for (dim images : {1, 2, 5, 19})
        for (dim gap : {0, 3}) {
          INFO(w.height << " x " << w.width << ", " << w.channels << " channels, kernel " << w.kernel << ", stride " << w.stride
                        << ", " << images << " images, gap " << gap << (deterministic ? ", deterministic" : ""));
          const layer<T> l(w, images, 24, gap);
          const grid<T> dw(24, w.patch(), 1, 0, 0);
          const auto want = run(two, l, dw);
          against_loops(l, want, dw);
          const auto again = run(two, l, dw), alone = run(one, l, dw), more = run(three, l, dw), without = run(two, l, dw, false);
          const auto same = [&](const results<T>& r) {
            return same_bits(r.y, want.y) && same_bits(r.dx, want.dx) && same_bits(r.dw, want.dw);
          };
          CHECK(same(again));
          CHECK(same_bits(without.dw, want.dw));
          if (deterministic) CHECK((same(alone) && same(more)));
          else {
            against_loops(l, alone, dw);
            against_loops(l, more, dw);
          }
        }
  }
}
#endif
