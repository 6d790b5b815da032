// A case is written once: it draws inputs by name, runs an op, records outputs and gradients. Three drivers use it:
//   test   outputs and gradients of a backend against eigen<double> on the same (rounded) inputs
//   grad   gradients of eigen<double> against the complex step, Im L(x + i h v) / h, on eigen<std::complex<double>>
//   perf   clipx-bench ops: the time of each part, on inputs drawn once
// A case has name(), run(harness<B>&), a reduction length and a constant (for the tolerance), and where it is timed flops() of its
// forward pass or moved(), the values that it reads and writes.
#pragma once
#include <clipx/core/params.hpp>
#include <clipx/core/step.hpp>
#include <cmath>
#include <complex>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <tuple>
#include <vector>

namespace cases {

using clipx::dim;
using clipx::mat;
using host = std::vector<double>;

/// Values of an input: normal with deviation `scale` around `mean`, a function of the name alone, so equal on every backend. Small
/// ones are kept: the complex step runs a model once for each of its parameters, and needs all of them again.
inline const host& draw(const std::string& name, dim n, double scale, double mean = 0) {
  constexpr dim small = 1 << 16;
  static std::map<std::tuple<std::string, dim, double, double>, host> kept;
  static host last;
  const bool keep = n <= small;
  auto& values = keep ? kept[{name, n, scale, mean}] : last;
  if (keep && !values.empty()) return values;
  std::mt19937_64 bits(std::hash<std::string>{}(name) + 12345);
  std::normal_distribution<double> normal(mean, scale);
  values.resize(static_cast<std::size_t>(n));
  for (auto& v : values) v = normal(bits);
  return values;
}

/// Rounds as the tested backend stores: the reference then sees the same inputs.
using rounding = std::function<double(double)>;
inline double to_float(double v) { return static_cast<double>(static_cast<float>(v)); }

template <class B>
class harness {
 public:
  using T = clipx::scalar_t<B>;
  using A = clipx::accum_t<B>;
  static constexpr bool is_complex = std::is_same_v<T, std::complex<double>>;

  harness(B& d, rounding r, clipx::keep k = clipx::keep::everything) : device(d), s(d, k), round_(std::move(r)) {}

  B& device;
  clipx::step<B> s;
  double step_size = 1e-30;
  std::map<std::string, host> outputs, gradients, directions;
  std::string perturbed;  // input that moves along its direction, for the complex step
  // The perf driver's: what it puts around a part (any number of calls in a scratch, then one outside), and what it does with the
  // memory of each input in T.
  std::function<void(const char* name, const std::function<void()>& part)> timer;
  std::function<void(mat<const T>)> drawn;

  /// The ops of a case, apart from drawing inputs and recording results: "forward", "inference", "backward". Every call must
  /// give the same results, parameter gradients apart.
  template <class F>
  void part(const char* name, F&& f) {
    if (timer) timer(name, f);
    else f();
  }

  /// An input as T (or as A: statistics, norm weights).
  template <class E = T>
  mat<E> input(const std::string& name, dim rows, dim cols, double scale = 1, double mean = 0) {
    auto values = draw(name, rows * cols, scale, mean);
    for (auto& v : values) v = round_(v);  // for A too: the reference has one type, which cannot tell them apart
    auto m = s.device.memory().template take<E>(rows, cols);
    if constexpr (is_complex) {
      directions[name] = draw(name + " direction", rows * cols, 1);
      for (std::size_t i = 0; i < values.size(); ++i)
        m.data[i] = {values[i], name == perturbed ? step_size * directions[name][i] : 0.0};
    } else {
      upload(values, m);
    }
    if constexpr (std::is_same_v<E, T>)
      if (drawn) drawn(m);
    return m;
  }
  /// A model's parameters, each drawn by its name; `scale` is the deviation of matrices, norm gains are near 1.
  template <class Model>
  clipx::flat<B> parameters(Model& model, double scale) {
    auto memory = clipx::bind(device, model);
    draw_parameters(clipx::parameters_of<B>(model), scale);
    return memory;
  }
  std::vector<std::string> differentiable;  // parameters, by name

  /// The weights of the scalar L = sum over outputs of <cotangent, y>: what backward is fed.
  mat<T> cotangent(const std::string& name, dim rows, dim cols) {
    auto values = draw(name + " cotangent", rows * cols, 1);
    for (auto& v : values) v = round_(v);
    auto m = s.make(rows, cols);
    upload(values, m);
    return m;
  }
  /// On complex numbers an output is its derivative along the perturbed input's direction.
  template <class E>
  void output(const std::string& name, mat<E> m) {
    outputs[name] = values(m);
  }
  template <class E>
  void gradient(const std::string& name, mat<E> m) {
    gradients[name] = values(m);
  }
  template <class Model>
  void gradient_of(Model& model) {
    record_gradients(clipx::parameters_of<B>(model));
  }

 private:
  void draw_parameters(const clipx::parameter_list<B>& parameters, double scale) {
    for (auto& p : parameters)
      p.visit([&]<class E>(mat<E>& m) {
        const bool one = (p.name.ends_with(".weight") && p.shape.sizes.size() == 1) || p.name.ends_with("running_var");
        auto v = input<E>(p.name, m.rows, m.cols, one || p.shape.sizes.size() < 2 ? 0.1 : scale, one ? 1 : 0);
        if (p.name == "logit_scale") v = input<E>(p.name, 1, 1, 0.1, 2.0);
        if (p.role == clipx::role::weight) differentiable.push_back(p.name);
        device.copy(mat<const E>(v), m);
      });
  }
  void record_gradients(const clipx::parameter_list<B>& parameters) {
    for (auto& p : parameters)
      p.visit([&](auto& m) {
        if (p.role == clipx::role::weight && m) gradient(p.name, m);
      });
  }
  template <class E>
  void upload(const host& values, mat<E> m) {
    std::vector<float> narrow(values.begin(), values.end());
    if constexpr (std::is_same_v<E, double>) device.upload(mat<const double>(values.data(), m.rows, m.cols), m);
    else device.upload(mat<const float>(narrow.data(), m.rows, m.cols), m);
  }
  template <class E>
  host values(mat<E> m) {
    host out(static_cast<std::size_t>(m.size()));
    if constexpr (is_complex) {
      for (dim r = 0; r < m.rows; ++r)
        for (dim c = 0; c < m.cols; ++c) out[static_cast<std::size_t>(r * m.cols + c)] = m.row(r)[c].imag() / step_size;
    } else {
      device.download(mat<const std::remove_const_t<E>>(m), mat<double>(out.data(), m.rows, m.cols));
      device.sync();
    }
    return out;
  }
  rounding round_;
};

}  // namespace cases
