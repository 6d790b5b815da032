// The test and grad drivers: a case on the backend under test against eigen<double>, and its gradients against the complex step.
#pragma once
#include <algorithm>
#include <clipx/eigen.hpp>
#include <cstdlib>

#include "catch.hpp"
#include "harness.hpp"

namespace cases {

/// Unit roundoff of what a backend stores.
template <class T>
double epsilon() {
  if constexpr (std::is_same_v<T, double>) return 0x1p-53;
  else if constexpr (std::is_same_v<T, float>) return 0x1p-24;
  else return 0x1p-9;  // bf16: 8 significant bits
}
template <class T>
rounding rounding_of() {
  if constexpr (std::is_same_v<T, double>) return [](double v) { return to_float(v); };  // inputs that every backend can hold
  else return [](double v) { return static_cast<double>(static_cast<float>(T(static_cast<float>(v)))); };
}

/// |got - want| <= tolerance * (largest |want|, or floor): a failure names the worst element.
inline void compare(const std::string& what, const host& got, const host& want, double tolerance, double floor = 1e-30) {
  INFO(what);
  REQUIRE(got.size() == want.size());
  double top = 0, worst = -1;
  std::size_t at = 0;
  for (double w : want) top = std::max(top, std::abs(w));
  for (std::size_t i = 0; i < want.size(); ++i) {
    const double gap = std::isfinite(got[i]) ? std::abs(got[i] - want[i]) : INFINITY;
    if (gap > worst) {
      worst = gap;
      at = i;
    }
  }
  if (want.empty()) return;
  const double limit = tolerance * std::max(top, floor);
  INFO("worst at " << at << ": got " << got[at] << ", want " << want[at] << ", error / limit " << worst / limit);
  CHECK(worst <= limit);
}

inline double norm(const host& a) {
  double aa = 0;
  for (double v : a) aa += v * v;
  return std::sqrt(aa);
}
inline double distance(host a, const host& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] -= b[i];
  return norm(a);
}
/// cosine of two vectors of values.
inline double cosine(const host& a, const host& b) {
  double ab = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) ab += a[i] * b[i], aa += a[i] * a[i], bb += b[i] * b[i];
  return aa == 0 && bb == 0 ? 1 : ab / std::sqrt(aa * bb);
}

/// Every run of `body` on the backend, which gives its results. A backend that offers orders of its threads (tests/emulation) runs
/// it in each: the bits must be equal, or threads race. With CLIPX_ONE_ORDER in the environment in the first alone.
template <class Backend, class F>
auto in_every_order(Backend& device, F&& body) {
  if constexpr (requires { Backend::orders; }) {
    device.run_in(Backend::orders[0]);
    auto first = body();
    for (auto order : Backend::orders) {
      if (order == Backend::orders[0] || std::getenv("CLIPX_ONE_ORDER")) continue;
      INFO("threads in order " << static_cast<int>(order));
      device.run_in(order);
      const auto again = body();
      const bool same_bits = again == first;
      CHECK(same_bits);
    }
    device.run_in(Backend::orders[0]);
    return first;
  } else {
    return body();
  }
}
struct results {
  std::map<std::string, host> outputs, gradients;
  bool operator==(const results&) const = default;
};
template <class Backend, class Case>
results run(Backend& device, const Case& c, clipx::keep kept = clipx::keep::everything) {
  return in_every_order(device, [&]() -> results {
    harness<Backend> h(device, rounding_of<clipx::scalar_t<Backend>>(), kept);
    c.run(h);
    return {h.outputs, h.gradients};
  });
}

/// Outputs and gradients of `c` on the backend against eigen<double>. The tolerance is c.constant() * eps * sqrt(reduction):
/// a sum of n rounded terms errs like sqrt(n) eps relative to its largest result; the constant counts the op's roundings.
template <class Backend, class Case>
void test(Backend& device, const Case& c) {
  INFO(c.name());
  using T = clipx::scalar_t<Backend>;
  clipx::eigen<double> wide;
  harness<clipx::eigen<double>> want(wide, rounding_of<T>());
  auto got = run(device, c);
  c.run(want);
  const double tolerance = c.constant() * epsilon<T>() * std::sqrt(c.reduction());
  REQUIRE(!want.outputs.empty());
  for (auto& [name, values] : want.outputs) compare(name, got.outputs[name], values, tolerance);
  for (auto& [name, values] : want.gradients) compare("d " + name, got.gradients[name], values, 4 * tolerance);
}

/// <gradient, v> against Im L(x + i h v) / h for every differentiated input: exact to rounding, no step size to tune. Both are
/// sums, which err like the terms that they sum. The terms of a bias's gradient, rows of dy, stand in that of its weight too, each
/// times an input; there nothing cancels, and so it shows their size where a bias has no gradient at all (a key's: softmax does not
/// see it).
template <class Case>
void grad(const Case& c) {
  INFO(c.name());
  clipx::eigen<double> real;
  clipx::eigen<std::complex<double>> complex;
  harness<clipx::eigen<double>> h(real, to_float);
  c.run(h);
  REQUIRE(!h.gradients.empty());
  std::map<std::string, double> derivative, size;  // along the drawn directions; sum of the absolute terms
  for (auto& [name, gradient] : h.gradients) {
    harness<clipx::eigen<std::complex<double>>> z(complex, to_float);
    z.perturbed = name;
    c.run(z);
    for (auto& [output, along] : z.outputs) {
      const auto weights = draw(output + " cotangent", static_cast<dim>(along.size()), 1);
      for (std::size_t i = 0; i < along.size(); ++i) derivative[name] += (output == "loss" ? 1 : to_float(weights[i])) * along[i];
    }
    const auto& v = z.directions.at(name);
    REQUIRE(v.size() == gradient.size());
    for (std::size_t i = 0; i < v.size(); ++i) size[name] += std::abs(gradient[i] * v[i]);
  }
  for (auto& [name, gradient] : h.gradients) {
    const auto v = draw(name + " direction", static_cast<dim>(gradient.size()), 1);
    const double want = derivative[name];
    double got = 0, terms = std::max(size[name], 1e-3);
    for (std::size_t i = 0; i < v.size(); ++i) got += gradient[i] * v[i];
    if (name.ends_with(".bias"))
      if (const auto weight = size.find(name.substr(0, name.size() - 4) + "weight"); weight != size.end())
        terms = std::max(terms, weight->second);
    INFO("d " << name << ": got " << got << ", complex step " << want);
    CHECK(std::abs(got - want) <= 1e-11 * terms);
  }
}

}  // namespace cases
