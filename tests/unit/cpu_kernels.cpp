// Every CPU kernel against plain loops in double, at odd sizes, float and bf16, strided. Bounds are derived: u(T) for the stored
// result, and u(float) times the length of the longest chain times the sum of the terms' magnitudes for what came before.
#include "cpu_kernels.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <functional>

using namespace cpu_kernels;

namespace {

double tanh_argument(double x) { return 2 * std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x); }
double activate(activation f, double x) {
  if (f == activation::relu) return x > 0 ? x : 0;
  if (f == activation::gelu) return x * 0.5 * std::erfc(-x * M_SQRT1_2);
  return x / (1 + std::exp(f == activation::gelu_tanh ? -tanh_argument(x) : -1.702 * x));
}
double slope(activation f, double x) {
  if (f == activation::relu) return x > 0 ? 1 : 0;
  if (f == activation::gelu) return 0.5 * std::erfc(-x * M_SQRT1_2) + x * std::exp(-x * x / 2) / std::sqrt(2 * M_PI);
  const bool tanh = f == activation::gelu_tanh;
  const double s = 1 / (1 + std::exp(tanh ? -tanh_argument(x) : -1.702 * x));
  return s + (tanh ? 2 * std::sqrt(2 / M_PI) * (1 + 3 * 0.044715 * x * x) : 1.702) * x * s * (1 - s);
}
const activation activations[] = {activation::relu, activation::gelu, activation::quick_gelu, activation::gelu_tanh};

}  // namespace

TEST_CASE("cpu: a child of fork() is told that OpenMP's threads are gone", "[cpu]") {
  const auto sum = [](int threads) {
    grid<float> x(300, 500, 1), y(300, 500);
    on<float>(threads).add(1, x.in(), 1, y.view());
  };
  sum(2);  // the parent's threads
  const auto child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::alarm(20);
    bool told = false;
    try {
      sum(2);
    } catch (const error& e) { told = e.kind() == error_kind::device && std::string(e.what()).find("fork()") != std::string::npos; }
    sum(1);
    ::_exit(told ? 0 : 1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  sum(2);  // the parent goes on
}

TEMPLATE_TEST_CASE("cpu kernels: copies, sums, rows", "[cpu]", float, bf16) {
  using T = TestType;
  for (dim rows : sizes)
    for (dim cols : sizes) {
      grid<T> x(rows, cols), y(rows, cols), old = y, v(3, cols), sums(2, cols), few = sums;
      grid<float> wide(rows, cols), wide_sums(1, cols);
      on<T>(2).add(0.3f, x.in(), -1.5f, y.view());
      check(y, [&](dim r, dim c) {
        const double a = 0.3f * x(r, c), b = -1.5 * old(r, c);
        return expected{a + b, std::abs(a) + std::abs(b)};
      });
      on<T>(2).add(2.0f, x.in(), 0.0f, y.view());
      check(y, [&](dim r, dim c) { return expected{2 * x(r, c), 0}; });
      on<T>(2).copy(x.in(), y.view());
      check(y, [&](dim r, dim c) { return expected{x(r, c), 0}; });
      on<T>(2).download(x.in(), wide.view());
      check(wide, [&](dim r, dim c) { return expected{x(r, c), 0}; });
      grid<float> source(rows, cols);
      on<T>(2).upload(source.in(), y.view());
      for (dim r = 0; r < rows; ++r)
        for (dim c = 0; c < cols; ++c) REQUIRE(y(r, c) == static_cast<double>(static_cast<float>(T(source.in().row(r)[c]))));
      y = old;
      on<T>(2).add_rows(v.in(), y.view());
      check(y, [&](dim r, dim c) { return expected{old(r, c) + v(r % 3, c), 1}; });
      on<T>(2).sum_rows(x.in(), sums.view());
      check(sums, [&](dim p, dim c) {
        expected e{few(p, c), 0};
        for (dim r = p; r < rows; r += 2) e.value += x(r, c), e.slack += 70 * std::abs(x(r, c));
        return e;
      });
      on<T>(2).fill(y.view(), T(0.25f));
      check(y, [&](dim, dim) { return expected{0.25, 0}; });

      std::vector<std::int32_t> ids;
      for (dim i = 0; i < 2 * rows; ++i) ids.push_back(static_cast<std::int32_t>(i * 5 % rows * (i % 3) % rows));
      const mat<const std::int32_t> list(ids.data(), 1, 2 * rows);
      grid<T> picked(2 * rows, cols), table(rows, cols), before = table;
      on<T>(2).gather_rows(x.in(), list, picked.view());
      check(picked, [&](dim r, dim c) { return expected{x(ids[static_cast<std::size_t>(r)], c), 0}; });
      on<T>(2).scatter_add_rows(picked.in(), list, table.view());
      check(table, [&](dim r, dim c) {
        expected e{before(r, c), std::abs(before(r, c))};
        for (dim i = 0; i < 2 * rows; ++i) {
          if (ids[static_cast<std::size_t>(i)] == r) {
            e.value += picked(i, c);
            e.slack += 70 * std::abs(picked(i, c));
          }
        }
        return e;
      });
    }
}

TEST_CASE("cpu kernels: bf16 rounding of special values", "[cpu]") {
  const std::vector<float> values{0.0f,
                                  -0.0f,
                                  INFINITY,
                                  -INFINITY,
                                  NAN,
                                  -NAN,
                                  3.4e38f,
                                  1e-40f,
                                  -1e-45f,
                                  1.00390625f,
                                  1.01171875f,
                                  std::bit_cast<float>(0x7f800001u),
                                  std::bit_cast<float>(0x7fffffffu),
                                  65504.0f,
                                  1e-3f,
                                  2.5f,
                                  7.0f};
  std::vector<bf16> out(values.size());
  const auto n = static_cast<dim>(values.size());
  on<bf16>(1).upload({values.data(), 1, n}, {out.data(), 1, n});
  for (std::size_t i = 0; i < values.size(); ++i) CHECK(out[i].bits == bf16(values[i]).bits);
}

TEMPLATE_TEST_CASE("cpu kernels: pixels are exact float32", "[cpu]", float, bf16) {
  std::vector<std::uint8_t> rgb;
  for (int i = 0; i < 256 * 3; ++i) rgb.push_back(static_cast<std::uint8_t>(i * 7));
  std::vector<TestType> y(rgb.size());
  const std::array<float, 3> mean{0.48145466f, 0.4578275f, 0.40821073f}, deviation{0.26862954f, 0.26130258f, 0.27577711f};
  on<TestType>(2).pixels({rgb.data(), 256, 3}, mean, deviation, {y.data(), 256, 3});
  for (std::size_t i = 0; i < rgb.size(); ++i) {
    volatile float v = static_cast<float>(rgb[i]) / 255.0f;  // each step rounded to float, whatever the compiler likes to fuse
    v = v - mean[i % 3];
    v = v / deviation[i % 3];
    REQUIRE(static_cast<float>(y[i]) == static_cast<float>(TestType(float(v))));
  }
}

TEST_CASE("cpu kernels: activations are good to a few ulp, tails included", "[cpu]") {
  std::vector<float> x;
  for (float v = -14; v < 14; v += 0.00037f) x.push_back(v);
  for (float v = 1e-30f; v < 1; v *= 3) x.push_back(v), x.push_back(-v);
  const auto n = static_cast<dim>(x.size());
  std::vector<float> y(x.size());
  for (const activation f : activations) {
    on<float>(1).unary(f, {x.data(), 1, n}, {y.data(), 1, n});
    double worst = 0, at = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double v = static_cast<double>(x[i]), want = activate(f, v);
      if (std::abs(want) < 1e-36) continue;  // the exponential flushes subnormals
      // 1.702 x is rounded before the exponential: for quick_gelu that error is the function's own; and so are the four roundings
      // (of x^2, of a sum, of a product, of the constants) in gelu_tanh's
      const double exponent = f == activation::quick_gelu && v < 0  ? std::abs(1.702 * v)
                              : f == activation::gelu_tanh && v < 0 ? 4 * std::abs(tanh_argument(v))
                                                                    : 0;
      const double condition = 1 + exponent / 6;
      const double error = std::abs(static_cast<double>(y[i]) - want) / std::abs(want) / condition;
      if (error > worst) {
        worst = error;
        at = v;
      }
    }
    INFO("activation " << static_cast<int>(f) << ", worst " << worst << " at " << at);
    CHECK(worst <= 4e-7);
  }
}

TEMPLATE_TEST_CASE("cpu kernels: activations, gradients, epilogue", "[cpu]", float, bf16) {
  using T = TestType;
  for (const activation f : activations)
    for (dim cols : sizes) {
      const dim rows = 33;
      grid<T> x(rows, cols, 2), y(rows, cols), dx(rows, cols), dy(rows, cols), bias(1, cols), residual(rows, cols), pre(rows, cols);
      on<T>(2).unary(f, x.in(), y.view());
      check(y, [&](dim r, dim c) {  // gelu_tanh: an exponential multiplies the four roundings of its argument by the argument
        const double v = x(r, c), argument = f == activation::gelu_tanh && v < 0 ? std::abs(tanh_argument(v)) : 0;
        return expected{activate(f, v), (20 + 4 * argument) * std::abs(activate(f, v))};
      });
      on<T>(2).unary_backward(f, x.in(), dy.in(), dx.view());
      check(dx, [&](dim r, dim c) { return expected{slope(f, x(r, c)) * dy(r, c), 16 * std::abs(dy(r, c))}; });
      const auto fused = [&](dim r, dim c) {
        const double u = x(r, c) + bias(0, c);
        return expected{activate(f, u) + residual(r, c), 8 * std::abs(u) + 16 + std::abs(residual(r, c))};
      };
      on<T>(2).bias_act(x.in(), bias.in(), &f, residual.in(), y.view(), pre.view());
      check(y, fused);
      check(pre, [&](dim r, dim c) { return expected{x(r, c) + bias(0, c), 1}; });
      grid<float> sums(rows, cols);
      on<T>(1).download(x.in(), sums.view());
      grid<T> again(rows, cols), place = residual;
      on<T>(1).bias_act(sums.in(), bias.in(), &f, residual.in(), again.view(), mat<T>());
      CHECK(same_bits(again, y));
      on<T>(1).bias_act(x.in(), bias.in(), &f, place.in(), place.view(), mat<T>());  // y over the residual
      CHECK(same_bits(place, y));
      on<T>(1).bias_act(x.in(), mat<const T>(), nullptr, mat<const T>(), again.view(), mat<T>());
      CHECK(same_bits(again, [&] {
        grid<T> copy = again;
        on<T>(1).copy(x.in(), copy.view());
        return copy;
      }()));
    }
}

TEMPLATE_TEST_CASE("cpu kernels: layernorm", "[cpu]", float, bf16) {
  using T = TestType;
  for (dim rows : sizes)
    for (dim cols : sizes) {
      grid<T> x(rows, cols, 1, 0.5), y(rows, cols), dy(rows, cols), dx(rows, cols), branch(rows, cols), sum(rows, cols);
      grid<float> w(1, cols, 0.2, 1), b(1, cols, 0.2), stats(rows, 2), dw(1, cols), db(1, cols), dw0 = dw, db0 = db;
      const double n = static_cast<double>(cols);
      on<T>(2).layernorm(x.in(), w.in(), b.in(), 1e-5, y.view(), stats.view());
      std::vector<double> mean, rstd;
      for (dim r = 0; r < rows; ++r) {
        double m = 0, v = 0;
        for (dim c = 0; c < cols; ++c) m += x(r, c) / n;
        for (dim c = 0; c < cols; ++c) v += (x(r, c) - m) * (x(r, c) - m) / n;
        mean.push_back(m);
        rstd.push_back(1 / std::sqrt(v + static_cast<double>(1e-5f)));
        CHECK(std::abs(stats(r, 0) - m) <= 40 * u32 * (std::abs(m) + 1));
        CHECK(std::abs(stats(r, 1) - rstd.back()) <= 40 * u32 * rstd.back() * (1 + rstd.back() * std::abs(m)));
      }
      const auto xhat = [&](dim r, dim c) {
        const auto i = static_cast<std::size_t>(r);
        return (x(r, c) - mean[i]) * rstd[i];
      };
      // the mean's own rounding, seen through rstd, is what a nearly constant row (cols = 1) shows
      const auto noise = [&](dim r) {
        return 20 * rstd[static_cast<std::size_t>(r)] * (1 + std::abs(mean[static_cast<std::size_t>(r)]));
      };
      check(y, [&](dim r, dim c) {
        return expected{xhat(r, c) * w(0, c) + b(0, c), (noise(r) + 20 * std::abs(xhat(r, c))) * std::abs(w(0, c)) + 4};
      });
      if (cols > 1) {
        on<T>(2).layernorm_backward({.x = x.in(), .weight = w.in(), .stats = stats.in(), .dy = dy.in()}, dx.view(), dw.view(),
                                    db.view());
        check(dw, [&](dim, dim c) {
          expected e{dw0(0, c), 4 * std::abs(dw0(0, c))};
          for (dim r = 0; r < rows; ++r) {
            e.value += dy(r, c) * xhat(r, c);
            e.slack += std::abs(dy(r, c)) * (80 * std::abs(xhat(r, c)) + noise(r));
          }
          return e;
        });
        check(db, [&](dim, dim c) {
          expected e{db0(0, c), 4 * std::abs(db0(0, c))};
          for (dim r = 0; r < rows; ++r) e.value += dy(r, c), e.slack += 70 * std::abs(dy(r, c));
          return e;
        });
        check(dx, [&](dim r, dim c) {
          double all = 0, dot = 0, size = 0;
          for (dim i = 0; i < cols; ++i) {
            const double g = dy(r, i) * w(0, i);
            all += g / n;
            dot += g * xhat(r, i) / n;
            size += std::abs(g) * (1 + std::abs(xhat(r, i))) / n;
          }
          const double scale = rstd[static_cast<std::size_t>(r)];
          return expected{scale * (dy(r, c) * w(0, c) - all - xhat(r, c) * dot),
                          (20 + 2 * noise(r)) * scale * (std::abs(dy(r, c)) + size * (1 + std::abs(xhat(r, c))))};
        });
      }
      // fused = composed, bit by bit, and a row alone = the row in its batch
      grid<T> sum2(rows, cols), y2(rows, cols), alone(rows, cols);
      on<T>(2).add_layernorm({.x = x.in(), .branch = branch.in(), .sum = sum.view()}, w.in(), b.in(), 1e-5, y.view(), {});
      on<T>(1).copy(x.in(), sum2.view());
      on<T>(1).add(1.0f, branch.in(), 1.0f, sum2.view());
      on<T>(1).layernorm(sum2.in(), w.in(), b.in(), 1e-5, y2.view(), stats.view());
      CHECK(same_bits(sum, sum2));
      CHECK(same_bits(y, y2));
      for (dim r = 0; r < rows; ++r)
        on<T>(1).layernorm(sum.in().row_range(r, 1), w.in(), b.in(), 1e-5, alone.view().row_range(r, 1), mat<float>());
      CHECK(same_bits(alone, y));
    }
}

TEMPLATE_TEST_CASE("cpu kernels: batchnorm and L2-normalized embeddings", "[cpu]", float, bf16) {
  using T = TestType;
  for (dim rows : {7, 33, 257, 2500})
    for (dim cols : sizes) {
      if (rows == 2500 && cols != 33 && cols != 257) continue;   // several pieces of rows, of several blocks and of one
      const double chain = 80 + static_cast<double>(rows / 64);  // 16 or 64 rows a block, then blocks and pieces
      grid<T> x(rows, cols, 1, 0.5), y(rows, cols), dy(rows, cols), dx(rows, cols), more(rows, cols), dz(rows, cols);
      grid<float> w(1, cols, 0.2, 1), b(1, cols, 0.2), stats(2, cols), dw(1, cols), db(1, cols), dw0 = dw, db0 = db;
      const double n = static_cast<double>(rows);
      on<T>(2).column_stats(x.in(), stats.view());
      check(stats, [&](dim what, dim c) {
        double m = 0, v = 0;
        for (dim r = 0; r < rows; ++r) m += x(r, c) / n;
        for (dim r = 0; r < rows; ++r) v += (x(r, c) - m) * (x(r, c) - m) / n;
        return expected{what == 0 ? m : v, chain * (1 + v)};
      });
      const auto rstd = [&](dim c) { return 1 / std::sqrt(stats(1, c) + 1e-5); };
      const auto xhat = [&](dim r, dim c) { return (x(r, c) - stats(0, c)) * rstd(c); };
      const batchnorm_parameters<float> bn{.stats = stats.in(), .weight = w.in(), .bias = b.in(), .eps = 1e-5};
      on<T>(2).batchnorm_relu(x.in(), bn, {}, y.view());
      check(y, [&](dim r, dim c) { return expected{xhat(r, c) * w(0, c) + b(0, c), 8 * (std::abs(xhat(r, c)) + 2)}; });
      on<T>(2).batchnorm_relu(x.in(), bn, {.residual = more.in(), .relu = true}, y.view());
      check(y, [&](dim r, dim c) {
        return expected{std::max(0.0, xhat(r, c) * w(0, c) + b(0, c) + more(r, c)),
                        8 * (std::abs(xhat(r, c)) + std::abs(more(r, c)) + 2)};
      });
      // Through a ReLU that gave y, dz kept or not: as from a gradient that went through it before, but for the sign of 0.
      const auto same = [](const auto& got, const auto& want) {
        CHECK(got.gaps_kept());
        for (dim r = 0; r < want.rows; ++r)
          for (dim c = 0; c < want.cols; ++c) REQUIRE(got(r, c) == want(r, c));
      };
      grid<float> dw1 = dw, db1 = db;
      grid<T> through(rows, cols), dx1(rows, cols);
      on<T>(2).unary_backward(activation::relu, y.in(), dy.in(), through.view());
      const auto from = [&](const grid<T>& gradient, bool training) {
        return batchnorm_backward_input<T, float>{
            .x = x.in(), .stats = stats.in(), .weight = w.in(), .eps = 1e-5, .training = training, .dy = gradient.in()};
      };
      on<T>(2).batchnorm_relu_backward(from(through, true), {}, dx.view(), dx.view(), dw.view(), db.view());
      on<T>(2).batchnorm_relu_backward(from(dy, true), y.in(), dz.view(), dx1.view(), dw1.view(), db1.view());
      same(dz, through);
      same(dx1, dx);
      same(dw1, dw);
      same(db1, db);
      dw1 = dw0;
      db1 = db0;
      on<T>(1).batchnorm_relu_backward(from(dy, true), y.in(), dx1.view(), dx1.view(), dw1.view(), db1.view());
      same(dx1, dx);
      same(dw1, dw);
      same(db1, db);
      for (const bool training : {true, false}) {
        dw = dw0;
        db = db0;
        on<T>(2).batchnorm_relu_backward(from(dy, training), {}, dx.view(), dx.view(), dw.view(), db.view());
        std::vector<std::array<double, 4>> all;  // of each column: of dy xhat, of dy, and of their magnitudes
        for (dim c = 0; c < cols; ++c) {
          auto& s = all.emplace_back();
          for (dim r = 0; r < rows; ++r)
            s[0] += dy(r, c) * xhat(r, c), s[1] += dy(r, c), s[2] += std::abs(dy(r, c)) * (std::abs(xhat(r, c)) + 1),
                s[3] += std::abs(dy(r, c));
        }
        const auto sums = [&](dim c) { return all[static_cast<std::size_t>(c)]; };
        check(dw, [&](dim, dim c) { return expected{dw0(0, c) + sums(c)[0], chain * sums(c)[2]}; });
        check(db, [&](dim, dim c) { return expected{db0(0, c) + sums(c)[1], chain * sums(c)[3]}; });
        check(dx, [&](dim r, dim c) {
          const auto s = sums(c);
          const double mean = training ? s[1] / n + xhat(r, c) * s[0] / n : 0;
          return expected{w(0, c) * rstd(c) * (dy(r, c) - mean),
                          (chain + 10) * rstd(c) * (std::abs(dy(r, c)) + (1 + std::abs(xhat(r, c))) * s[2] / n)};
        });
      }
      grid<float> unit_rows(rows, cols), lengths(rows, 1), g(rows, cols);
      on<T>(2).normalize(x.in(), unit_rows.view(), lengths.view());
      const auto length = [&](dim r) {
        double s = 0;
        for (dim c = 0; c < cols; ++c) s += x(r, c) * x(r, c);
        return std::sqrt(s);
      };
      check(lengths, [&](dim r, dim) { return expected{length(r), 20 * length(r)}; });
      check(unit_rows, [&](dim r, dim c) { return expected{x(r, c) / length(r), 20}; });
      on<T>(2).normalize_backward(unit_rows.in(), lengths.in(), g.in(), dx.view());
      check(dx, [&](dim r, dim c) {
        double dot = 0, size = 0;
        for (dim i = 0; i < cols; ++i) dot += g(r, i) * unit_rows(r, i), size += std::abs(g(r, i) * unit_rows(r, i));
        return expected{(g(r, c) - dot * unit_rows(r, c)) / lengths(r, 0), 20 * (std::abs(g(r, c)) + size) / lengths(r, 0)};
      });
    }
}

TEST_CASE("cpu kernels: softmax and clamp", "[cpu]") {
  for (const bool causal : {false, true})
    for (dim n : sizes) {
      grid<float> x(n, n, 3), p = x, dp(n, n), g = dp;
      on<float>(2).softmax(p.view(), causal);
      const auto row = [&](dim r) {
        std::vector<double> e;
        double total = 0, high = -1e300;
        for (dim c = 0; c < n; ++c) high = std::max(high, x(r, c));
        for (dim c = 0; c < n; ++c) e.push_back(causal && c > r ? 0 : std::exp(x(r, c) - high)), total += e.back();
        for (auto& v : e) v /= total;
        return e;
      };
      for (dim r = 0; r < n; ++r) {
        const auto want = row(r);
        for (dim c = 0; c < n; ++c) {
          const double w = want[static_cast<std::size_t>(c)];
          REQUIRE(std::abs(p(r, c) - w) <= 40 * u32 * w);
        }
      }
      on<float>(2).softmax_backward(p.in(), dp.view());
      check(dp, [&](dim r, dim c) {
        double dot = 0, size = 0;
        for (dim i = 0; i < n; ++i) dot += p(r, i) * g(r, i), size += std::abs(p(r, i) * g(r, i));
        return expected{p(r, c) * (g(r, c) - dot), 40 * p(r, c) * (std::abs(g(r, c)) + size)};
      });
    }
  grid<float> x(3, 5, 2), y = x;
  on<float>(1).clamp(y.view(), -1.0, 0.5);
  check(y, [&](dim r, dim c) { return expected{std::min(0.5, std::max(-1.0, x(r, c))), 0}; });
}

TEMPLATE_TEST_CASE("cpu kernels: images", "[cpu]", float, bf16) {
  using T = TestType;
  const window windows[] = {{7, 5, 3, 3, 2, 1, 0}, {8, 8, 33, 2, 2, 0, 1}, {6, 9, 7, 3, 1, 1, 0},
                            {50, 1, 31, 50, 50},   {7, 7, 5, 2, 2},        {9, 11, 3, 2, 2, 0, 1, 5}};
  for (const window& w : windows) {
    const dim images = 3, across = w.kernel_width(), taps = w.kernel * across;
    if (w.width >= across) {
      grid<T> x(images * w.height * w.width, w.channels), cols(images * w.out_rows(), w.patch()), before = cols, dx(x.rows, x.cols);
      const auto source = [&](dim row,
                              dim tap) -> dim {  // row of x seen by a row of cols through a tap, -1 for padding, -2 for lead
        const dim place = row % w.out_rows() - w.lead;
        if (place < 0) return -2;
        const dim iy = place / w.out_width() * w.stride + tap / across - w.pad,
                  ix = place % w.out_width() * w.stride_width() + tap % across - w.pad;
        return iy < 0 || ix < 0 || iy >= w.height || ix >= w.width ? -1 : (row / w.out_rows() * w.height + iy) * w.width + ix;
      };
      on<T>(2).im2col(x.in(), w, cols.view());
      check(cols, [&](dim r, dim c) {
        const dim from = source(r, c % taps);
        return expected{from == -2 ? before(r, c) : from == -1 ? 0 : x(from, c / taps), 0};
      });
      on<T>(2).col2im(cols.in(), w, dx.view());
      std::vector<double> want(static_cast<std::size_t>(x.rows * x.cols));
      for (dim r = 0; r < cols.rows; ++r)
        for (dim c = 0; c < cols.cols; ++c)
          if (const dim from = source(r, c % taps); from >= 0)
            want[static_cast<std::size_t>(from * x.cols + c / taps)] += cols(r, c);
      check(dx, [&](dim r, dim c) { return expected{want[static_cast<std::size_t>(r * x.cols + c)], 80}; });
    }
    const dim oh = w.out_height(), ow = w.out_width();
    grid<T> x(images * w.height * w.width, w.channels), y(images * oh * ow, w.channels), dx(x.rows, x.cols);
    on<T>(2).avgpool(x.in(), w, y.view());
    const auto seen = [&](dim r, dim p) {  // whether window r sees pixel p
      const dim top = r / ow % oh * w.stride - w.pad, left = r % ow * w.stride - w.pad;
      const dim iy = p / w.width % w.height, ix = p % w.width;
      return r / (oh * ow) == p / (w.height * w.width) && iy >= top && iy < top + w.kernel && ix >= left && ix < left + w.kernel;
    };
    std::vector<double> pixels(static_cast<std::size_t>(y.rows));
    check(y, [&](dim r, dim c) {
      double total = 0, size = 0;
      for (dim p = 0; p < x.rows; ++p)
        if (seen(r, p)) total += x(p, c), ++size;
      pixels[static_cast<std::size_t>(r)] = size;
      return expected{total / size, 60};
    });
    on<T>(2).avgpool_backward(y.in(), w, dx.view());
    check(dx, [&](dim p, dim c) {
      expected e{0, 0};
      for (dim r = 0; r < y.rows; ++r)
        if (seen(r, p)) {
          const double term = y(r, c) / pixels[static_cast<std::size_t>(r)];
          e.value += term, e.slack += 8 * std::abs(term);
        }
      return e;
    });
  }
}

TEMPLATE_TEST_CASE("cpu linear layers whose residual is their output", "[cpu]", float, bf16) {
  using T = TestType;
  for (dim rows : {5, 784}) {  // of the larger ones oneDNN adds up the product in parts
    const grid<T> x(rows, 640), w(160, 640, 0.05), b(1, 160), old(rows, 160);
    grid<T> apart(rows, 160), y = old;
    on<T>(2).linear(x.in(), w.in(), b.in(), {.residual = old.in()}, apart.view());
    on<T>(2).linear(x.in(), w.in(), b.in(), {.residual = y.in()}, y.view());
    check(y, [&](dim r, dim c) {  // without the residual it may have been stored
      const double sum = apart(r, c);
      return expected{sum, 4 * (std::abs(sum) + std::abs(old(r, c))) * unit<T> / u32};
    });
  }
}
