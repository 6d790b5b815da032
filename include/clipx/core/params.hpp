// Parameters are plain structs of views. A struct lists its members once, in visit(v), under the checkpoint's keys.
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

/// What a named tensor is: weights are trained; buffers (running statistics) are stored but have no gradient.
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

/// Collects parameters; see parameters_of().
template <class B>
struct parameter_collector;
}  // namespace detail

/// A tensor of a model, whatever the model's type.
template <class B>
struct parameter {
  std::string name;                 // in the checkpoint's keys
  clipx::shape shape;               // in a checkpoint
  clipx::role role;                 // whether it is trained
  mat<scalar_t<B>>* low = nullptr;  // the tensor, where the backend stores it in its scalar type
  mat<accum_t<B>>* high = nullptr;  // the tensor, where it stores it in a wider type

  /// Calls f with the mat.
  template <class F>
  void visit(F&& f) const {
    if (low) f(*low);
    else f(*high);
  }
};

/// The tensors of a model, in a fixed order. It refers to the model's own views.
template <class B>
using parameter_list = std::vector<parameter<B>>;

template <class B>
struct detail::parameter_collector {
  parameter_list<B>& out;
  void operator()(const std::string& name, mat<scalar_t<B>>& m, const shape& s, role r) const {
    out.push_back({name, s, r, &m, nullptr});
  }
  void operator()(const std::string& name, mat<accum_t<B>>& m, const shape& s, role r) const
      requires(!std::is_same_v<scalar_t<B>, accum_t<B>>) {
    out.push_back({name, s, r, nullptr, &m});
  }
};

/// The tensors of a model on a device of type B. What works on this list is compiled once, not for each model.
template <class B, class Model>
parameter_list<B> parameters_of(Model& model) {
  parameter_list<B> out;
  const detail::parameter_collector<B> collect{out};
  detail::walker<decltype(collect)> w{collect, {}};
  model.visit(w);
  return out;
}
/// The same for a model that names its device's type.
template <class Model>
parameter_list<typename Model::backend_type> parameters_of(Model& model) {
  return parameters_of<typename Model::backend_type, Model>(model);
}

/// Calls f(name, mat&, shape, role) for every tensor of a model, in a fixed order.
template <class Model, class F>
void walk(Model& model, F&& f) {
  if constexpr (requires { typename Model::backend_type; }) {
    for (auto& p : parameters_of(model)) p.visit([&](auto& m) { f(p.name, m, p.shape, p.role); });
  } else {
    detail::walker<F> w{f, {}};
    model.visit(w);
  }
}

/// Number of trained values in a model (running statistics are not counted).
template <class Model>
dim parameter_count(Model& model) {
  dim n = 0;
  for (auto& p : parameters_of(model)) n += p.role == role::weight ? p.shape.count() : 0;
  return n;
}

/// The memory of one model: scalars and, where a backend stores norms and the log scale in a wider type, those separately.
/// Weights, gradients, moments and averages are the same struct over different buffers; updates run over these two spans.
template <class B>
struct flat {
  buffer<scalar_t<B>> low;  // what the backend stores as its scalar type
  buffer<accum_t<B>> high;  // what it stores in its wider type
};

namespace detail {
template <backend B>
flat<B> bind_parameters(B& device, const parameter_list<B>& parameters) {
  constexpr dim align = 64;  // elements, so that every tensor starts on a cache line
  dim low = 0, high = 0;
  std::vector<dim> places(parameters.size());
  for (int kind = 0; kind < 3; ++kind)
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      auto& p = parameters[i];
      if (kind != (p.role == role::buffer ? 2 : p.shape.sizes.size() < 2 ? 1 : 0)) continue;
      dim& at = p.low ? low : high;
      places[i] = at;
      at += (p.shape.count() + align - 1) / align * align;
    }
  flat<B> memory{device.template alloc<scalar_t<B>>(low), device.template alloc<accum_t<B>>(high)};
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    auto& p = parameters[i];
    if (p.low) p.low->data = memory.low.data() + places[i];
    else p.high->data = memory.high.data() + places[i];
  }
  return memory;
}
}  // namespace detail

/// Takes zeroed memory from the device for every tensor of the model and points the model's views there: matrices first, then
/// vectors, then running statistics, so that tensors that the optimizer treats alike are adjacent.
template <backend B, class Model>
flat<B> bind(B& device, Model& model) {
  return detail::bind_parameters(device, parameters_of<B>(model));
}

}  // namespace clipx
