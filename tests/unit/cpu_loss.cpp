// The CPU's contrastive losses against plain loops in double.
#include <array>

#include "cpu_kernels.hpp"

using namespace cpu_kernels;

TEST_CASE("cpu kernels: contrastive losses, in four tiles", "[cpu]") {
  for (dim n : sizes)
    for (const float t : {0.5f, 4.6f}) {
      grid<float> x(n, n, 0.3), scale(1, 1, 0, static_cast<double>(t)), bias(1, 1, 0, -3), r(n, 2), c(n, 2), own(n, 1),
          loss(1, 1, 0), dx = x, sx = x, dt(1, 1, 0), st(1, 1, 0), sb(1, 1, 0), sloss(1, 1, 0), only(1, 1, 0);
      const double s = std::exp(static_cast<double>(t)), N = static_cast<double>(n), size = 10 * s + 20;  // logits up to s
      for (auto* side : {&r, &c})
        for (dim i = 0; i < n; ++i) side->view().row(i)[0] = -INFINITY, side->view().row(i)[1] = 0;
      std::vector<std::pair<dim, dim>> parts{{0, n}};
      if (n >= 3) parts = {{0, n / 3}, {n / 3, n - n / 3}};
      const auto tiles = [&](auto&& use) {
        for (auto [i, h] : parts)
          for (auto [j, w] : parts)
            use(i - j, i, h, j, w, [i = i, h = h, j = j, w = w](auto m) { return m.row_range(i, h).col_range(j, w); });
      };
      tiles([&](dim shift, dim i, dim h, dim j, dim w, auto part) {
        on<float>(2).xent_tile(part(x.in()), scale.in(), shift, r.view().row_range(i, h), c.view().row_range(j, w),
                               own.view().row_range(i, h));
      });
      on<float>(2).xent_loss(scale.in(), r.view(), c.view(), own.in(), loss.view());
      tiles([&](dim shift, dim i, dim h, dim j, dim w, auto part) {
        on<float>(2).xent_tile_backward({.cosines = part(dx.in()),
                                         .log_scale = scale.in(),
                                         .rows = r.in().row_range(i, h),
                                         .columns = c.in().row_range(j, w),
                                         .shift = shift,
                                         .N = n},
                                        part(dx.view()), dt.view());
        const auto from = [&](const grid<float>& all) {
          return sigmoid_tile_input<float>{
              .cosines = part(all.in()), .log_scale = scale.in(), .bias = bias.in(), .shift = shift, .N = n};
        };
        on<float>(2).sigmoid_xent_tile(
            from(sx), {.loss = sloss.view(), .dcosines = part(sx.view()), .dlog_scale = st.view(), .dbias = sb.view()});
        on<float>(2).sigmoid_xent_tile(from(x), {.loss = only.view()});
      });

      const auto lse = [&](dim i, bool row) {
        double high = -1e300, total = 0;
        for (dim j = 0; j < n; ++j) high = std::max(high, s * (row ? x(i, j) : x(j, i)));
        for (dim j = 0; j < n; ++j) total += std::exp(s * (row ? x(i, j) : x(j, i)) - high);
        return high + std::log(total);
      };
      std::vector<double> rows, cols;
      for (dim i = 0; i < n; ++i) rows.push_back(lse(i, true)), cols.push_back(lse(i, false));
      const auto at = [](const std::vector<double>& v, dim i) { return v[static_cast<std::size_t>(i)]; };
      for (auto [got, want] : {std::pair(&r, &rows), std::pair(&c, &cols)})
        for (dim i = 0; i < n; ++i) CHECK(std::abs((*got)(i, 0) - at(*want, i)) <= 0x1p-24 * (std::abs(at(*want, i)) + size));
      check(own, [&](dim i, dim) { return expected{x(i, i), 0}; });
      double want = 0, dt_want = 0, dt_size = 0, s_want = 0, s_size = 0, st_want = 0, sb_want = 0, st_size = 0;
      for (dim i = 0; i < n; ++i) want += (at(rows, i) + at(cols, i) - 2 * s * x(i, i)) / (2 * N);
      check(loss, [&](dim, dim) { return expected{want, size}; });
      const auto g = [&](dim i, dim j) {
        const double z = s * x(i, j);
        return std::pair((std::exp(z - at(rows, i)) + std::exp(z - at(cols, j))) / (2 * N), i == j ? 1 / N : 0.0);
      };
      const auto sigmoid = [&](dim i, dim j) {  // logit, softplus(-z logit), -z sigma(-z logit)
        const double z = i == j ? 1 : -1, logit = s * x(i, j) - 3;
        return std::array{logit, std::max(0.0, -z * logit) + std::log1p(std::exp(-std::abs(logit))),
                          -z / (1 + std::exp(z * logit))};
      };
      for (dim i = 0; i < n; ++i)
        for (dim j = 0; j < n; ++j) {
          const auto [soft, pair] = g(i, j);
          dt_want += (soft - pair) * s * x(i, j);
          dt_size += (soft + pair) * std::abs(s * x(i, j));
          const auto [logit, l, sg] = sigmoid(i, j);
          s_want += l / N;
          s_size += (l + (std::abs(sg) + (i == j)) * (std::abs(logit) + 3)) / N;
          st_want += sg * s * x(i, j) / N;
          sb_want += sg / N;
          st_size += (std::abs(sg) + (i == j)) * std::abs(s * x(i, j)) / N;
        }
      check(dx, [&](dim i, dim j) {
        const auto [soft, pair] = g(i, j);
        return expected{s * (soft - pair), 2 * size * s * (soft + pair)};
      });
      check(dt, [&](dim, dim) { return expected{dt_want, 4 * size * dt_size + 1}; });
      check(sx, [&](dim i, dim j) {
        const auto [logit, l, sg] = sigmoid(i, j);
        return expected{s * sg / N, s / N * (16 + size * (std::abs(sg) + (i == j)))};
      });
      const double terms = std::sqrt(N * N) + 16;  // roundings of sums
      for (auto* l : {&sloss, &only}) check(*l, [&](dim, dim) { return expected{s_want, terms * s_size + size}; });
      check(st, [&](dim, dim) { return expected{st_want, (terms + size) * (st_size + 1)}; });
      check(sb, [&](dim, dim) { return expected{sb_want, (terms + size) * 2 * N}; });
    }
}
