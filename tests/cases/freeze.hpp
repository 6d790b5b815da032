// Weights that are frozen, used, thawed, changed and used again: no form that a backend made of them may outlive thaw().
#pragma once
#include <clipx/ops/conv.hpp>
#include <clipx/ops/linear.hpp>
#include <clipx/ops/norm.hpp>

#include "harness.hpp"

namespace cases {

struct freeze_case {
  clipx::frozen_role role;
  std::string name() const { return clipx::cat("freeze, role ", static_cast<int>(role)); }
  double reduction() const { return 9 * 32; }
  double constant() const { return 16; }

  template <class B>
  void run(harness<B>& h) const {
    using A = clipx::accum_t<B>;
    switch (role) {
      case clipx::frozen_role::linear: {
        clipx::linear<B> op(in, out);
        op.bias = h.input("bias", 1, out);
        op.weight = h.input("weight", out, in, 0.1);
        auto x = h.input("x", rows, in);
        return change(h, op.weight, h.input("other", out, in, 0.1), out, [&](auto y) { op.forward(h.s, x, y); });
      }
      case clipx::frozen_role::convolution: {
        clipx::conv_batchnorm<B> op(in, out, 3, 1);
        op.weight = h.input("weight", out, 9 * in, 0.1);
        op.bn.weight = h.template input<A>("gain", 1, out, 0.2, 1);
        op.bn.bias = h.template input<A>("offset", 1, out);
        op.bn.running_mean = h.template input<A>("mean", 1, out, 0.3);
        op.bn.running_var = h.template input<A>("var", 1, out, 0.1, 1);
        auto x = h.input("x", rows, in);
        return change(h, op.weight, h.input("other", out, 9 * in, 0.1), out, [&](auto y) {
          typename clipx::conv_batchnorm<B>::saved ctx;
          const clipx::feature_map<clipx::scalar_t<B>> image{x, rows / 6, 6};
          op.forward(h.s, image, y, ctx, {.relu = true});
        });
      }
      case clipx::frozen_role::table: {
        auto table = h.input("table", 7, out);
        std::vector<std::int32_t> places;
        for (dim r = 0; r < rows; ++r) places.push_back(static_cast<std::int32_t>(r * r % 7));
        const auto ids = h.s.ids(places);
        return change(h, table, h.input("other", 7, out), out, [&](auto y) { h.device.gather_rows(table, ids, y); });
      }
      case clipx::frozen_role::vector: {
        clipx::layernorm<B> op(in, 1e-5);
        op.bias = h.template input<A>("bias", 1, in);
        op.weight = h.template input<A>("weight", 1, in, 0.2, 1);
        auto x = h.input("x", rows, in, 2, 1);
        return change(h, op.weight, h.template input<A>("other", 1, in, 0.2, 1), in,
                      [&](auto y) { h.device.layernorm(x, op.weight, op.bias, 1e-5, y, {}); });
      }
    }
  }

 private:
  static constexpr dim rows = 30, in = 32, out = 48;
  /// Results of f with the weight frozen, twice; then with other values in it, thawed, and frozen anew.
  template <class B, class E, class F>
  void change(harness<B>& h, mat<E> weight, mat<E> other, dim width, F&& f) const {
    const auto result = [&](const char* name) {
      auto y = h.s.make(rows, width);
      f(y);
      h.output(name, y);
    };
    h.device.freeze(mat<const E>(weight), role);
    result("frozen");
    result("frozen, again");
    h.device.thaw(weight.data);
    h.device.copy(other, weight);
    result("changed");
    h.device.freeze(mat<const E>(weight), role);
    result("changed, frozen");
    h.device.thaw(weight.data);
  }
};

}  // namespace cases

#ifdef CATCH_VERSION_MAJOR
#include "driver.hpp"

TEST_CASE("a frozen weight that is thawed can be changed") {
  using enum clipx::frozen_role;
  for (auto role : {linear, convolution, table, vector}) cases::test(device(), cases::freeze_case{role});
}
#endif
