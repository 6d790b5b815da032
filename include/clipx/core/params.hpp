// Parameters are plain structs of views. A struct lists its members once, in visit(v); names are the checkpoint's keys.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "backend.hpp"

namespace clipx {

/// A tensor's shape in a checkpoint; a mat holds it as (first, product of the rest), a vector as (1, n), a scalar as (1, 1).
struct shape {
  std::vector<dim> sizes;  // as the checkpoint has them; empty: a scalar
  /// shape({768, 512}) or, for a scalar, shape({}).
  shape(std::initializer_list<dim> s) : sizes(s) {}
  dim rows() const { return sizes.size() < 2 ? 1 : sizes[0]; }  // of the mat that holds the tensor
  dim cols() const { return count() / rows(); }                 // of the mat that holds the tensor
  /// Number of elements.
  dim count() const {
    dim n = 1;
    for (dim d : sizes) n *= d;
    return n;
  }
  /// For error messages: "[768, 512]".
  std::string text() const {
    std::string out = "[";
    for (std::size_t i = 0; i < sizes.size(); ++i) out += (i ? ", " : "") + std::to_string(sizes[i]);
    return out + "]";
  }
  friend bool operator==(const shape&, const shape&) = default;
};

/// What a named tensor is for: weights are trained, buffers (running statistics) are stored but have no gradient.
enum class role { weight, buffer };

namespace detail {
template <class F>
struct walker {
  F& f;
  std::string prefix;

  template <class E>
  void operator()(std::string_view name, mat<E>& m, const shape& s, role r = role::weight) {
    m = mat<E>(m.data, s.rows(), s.cols());
    f(prefix + std::string(name), m, s, r);
  }
  template <class Struct>
  requires requires(Struct& s, walker& w) { s.visit(w); }
  void operator()(std::string_view name, Struct& s) {
    walker inner{f, name.empty() ? prefix : prefix + std::string(name) + "."};
    s.visit(inner);
  }
  template <class Struct>
  void operator()(std::string_view name, std::vector<Struct>& list) {
    for (std::size_t i = 0; i < list.size(); ++i) (*this)(std::string(name) + "." + std::to_string(i), list[i]);
  }
};
}  // namespace detail

/// Calls f(name, mat&, shape, role) for every tensor of a model, in a fixed order.
template <class Model, class F>
void walk(Model& model, F&& f) {
  detail::walker<F> w{f, {}};
  model.visit(w);
}

/// Trained values in a model (running statistics are not counted).
template <class Model>
dim parameter_count(Model& model) {
  dim n = 0;
  walk(model, [&](const std::string&, auto&, const shape& s, role r) { n += r == role::weight ? s.count() : 0; });
  return n;
}

/// The memory of one model: scalars and, where a backend holds norms and the log-scale wider, those apart.
/// Weights, gradients, moments and averages are the same struct over other buffers; updates run over these two spans.
template <class B>
struct flat {
  buffer<scalar_t<B>> low;  // what the backend stores as its scalar type
  buffer<accum_t<B>> high;  // what it stores in its wider type
};

/// Slices zeroed memory from the device for every tensor of the model and points its views there: matrices first, then vectors,
/// then running statistics, so that what an optimiser treats alike lies together.
template <backend B, class Model>
flat<B> bind(B& device, Model& model) {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  constexpr dim align = 64;  // elements, so that every tensor starts on a cache line
  dim low = 0, high = 0;
  auto place = [&](auto&& put) {
    low = high = 0;
    for (int kind = 0; kind < 3; ++kind)
      walk(model, [&]<class E>(const std::string&, mat<E>& m, const shape& s, role r) {
        if (kind != (r == role::buffer ? 2 : s.sizes.size() < 2 ? 1 : 0)) return;
        dim& at = std::is_same_v<E, T> ? low : high;
        put(m, at);
        at += (s.count() + align - 1) / align * align;
      });
  };
  place([](auto&, dim) {});
  flat<B> memory{device.template alloc<T>(low), device.template alloc<A>(high)};
  place([&]<class E>(mat<E>& m, dim at) {
    if constexpr (std::is_same_v<E, T>) m.data = memory.low.data() + at;
    else m.data = memory.high.data() + at;
  });
  return memory;
}

}  // namespace clipx
