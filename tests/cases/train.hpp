// What training adds: the optimiser.
#pragma once
#include <clipx/core/bf16.hpp>

#include "harness.hpp"

namespace cases {

/// Three steps of AdamW on n parameters whose gradients come as T, and on a few whose gradients come in A.
struct adamw_case {
  dim n;
  double max_norm = 0;
  std::string name() const { return clipx::cat("adamw ", n, max_norm > 0 ? ", clipped" : ""); }

  template <class B>
  void run(harness<B>& h) const {
    using T = clipx::scalar_t<B>;
    using A = clipx::accum_t<B>;
    auto p = h.template input<A>("p", 1, n), few = h.template input<A>("few", 1, 3);
    auto m = h.template input<A>("m", 1, n, 0), v = h.template input<A>("v", 1, n, 0);
    auto few_m = h.template input<A>("few m", 1, 3, 0), few_v = h.template input<A>("few v", 1, 3, 0);
    auto copy = h.s.make(1, n);
    auto squares = h.s.make_accum(1, 1);
    for (dim count = 1; count <= 3; ++count) {
      auto g = h.input(clipx::cat("g", count), 1, n, 0.1), g_few = h.input(clipx::cat("few g", count), 1, 3, 0.1);
      auto wide = h.s.make_accum(1, 3);
      h.device.copy(mat<const T>(g_few), wide);
      h.device.fill(squares, A(0));
      h.device.sum_squares(mat<const T>(g), squares), h.device.sum_squares(mat<const A>(wide), squares);
      const clipx::adamw_step s{
          .lr = 0.01, .beta1 = 0.9, .beta2 = 0.98, .eps = 1e-6, .decay = 0.2, .max_norm = max_norm, .count = count};
      h.device.adamw(s, mat<const A>(squares), mat<const T>(g), p, m, v, copy);
      auto undecayed = s;
      undecayed.decay = 0;
      h.device.adamw(undecayed, mat<const A>(squares), mat<const A>(wide), few, few_m, few_v);
    }
    h.output("p", p), h.output("m", m), h.output("v", v), h.output("few", few), h.output("squares", squares);
    h.output("copy", copy);
  }
};

}  // namespace cases

#ifdef CATCH_VERSION_MAJOR
#include "driver.hpp"

namespace cases {
/// Roundings of three steps in A, a dozen of each value's own size; and those of the norm, a sum of n terms, where it clips.
template <class Backend>
void test_adamw(Backend& d, const adamw_case& c) {
  using T = clipx::scalar_t<Backend>;
  using A = clipx::accum_t<Backend>;
  INFO(c.name());
  clipx::eigen<double> wide;
  harness<clipx::eigen<double>> want(wide, rounding_of<T>());
  auto got = run(d, c);
  c.run(want);
  const double of_sum = 2 * epsilon<A>() * std::sqrt(static_cast<double>(c.n));
  for (auto& [name, values] : want.outputs)
    compare(name, got.outputs[name], values,
            16 * epsilon<A>() + (c.max_norm > 0 || name == "squares" ? of_sum : 0) + (name == "copy" ? 2 * epsilon<T>() : 0));
}
}  // namespace cases

TEST_CASE("AdamW against eigen<double>") {
  for (clipx::dim n : {1, 33, 1000, 70'000})
    for (double max_norm : {0.0, 0.5}) cases::test_adamw(device(), cases::adamw_case{n, max_norm});
}
#endif
