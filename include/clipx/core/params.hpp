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

/// A callable on the tensors of a model behind one type, so that a model's structure is compiled once and not for each callable.
template <class T, class A>
class tensor_visitor {
 public:
  template <class F>
  explicit tensor_visitor(F& f) : object_(&f), low_(call<F, T>), high_(call<F, A>) {}
  void operator()(const std::string& name, mat<T>& m, const shape& s, role r) const { low_(object_, name, m, s, r); }
  void operator()(const std::string& name, mat<A>& m, const shape& s, role r) const requires(!std::is_same_v<T, A>) {
    high_(object_, name, m, s, r);
  }

 private:
  template <class F, class E>
  static void call(const void* f, const std::string& name, mat<E>& m, const shape& s, role r) {
    (*const_cast<F*>(static_cast<const F*>(f)))(name, m, s, r);
  }
  const void* object_;
  void (*low_)(const void*, const std::string&, mat<T>&, const shape&, role);
  void (*high_)(const void*, const std::string&, mat<A>&, const shape&, role);
};
}  // namespace detail

/// Calls f(name, mat&, shape, role) for every tensor of a model, in a fixed order.
template <class Model, class F>
void walk(Model& model, F&& f) {
  if constexpr (requires { typename Model::backend_type; }) {
    using B = typename Model::backend_type;
    const detail::tensor_visitor<scalar_t<B>, accum_t<B>> any(f);
    detail::walker<decltype(any)> w{any, {}};
    model.visit(w);
  } else {
    detail::walker<F> w{f, {}};
    model.visit(w);
  }
}

/// Number of trained values in a model (running statistics are not counted).
template <class Model>
dim parameter_count(Model& model) {
  dim n = 0;
  walk(model, [&](const std::string&, auto&, const shape& s, role r) { n += r == role::weight ? s.count() : 0; });
  return n;
}

/// The memory of one model: scalars and, where a backend stores norms and the log scale in a wider type, those separately.
/// Weights, gradients, moments and averages are the same struct over different buffers; updates run over these two spans.
template <class B>
struct flat {
  buffer<scalar_t<B>> low;  // what the backend stores as its scalar type
  buffer<accum_t<B>> high;  // what it stores in its wider type
};

/// Takes zeroed memory from the device for every tensor of the model and points the model's views there: matrices first, then
/// vectors, then running statistics, so that tensors that the optimizer treats alike are adjacent.
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
