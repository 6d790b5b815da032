// Initialization as OpenAI and open_clip do it (spec section 9.3). Drawn on the host and by the tensor's name, so that the weights
// of a seed are the same bits on every backend, machine and compiler, whatever else a model has.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "../architectures/architecture.hpp"
#include "../loss/list.hpp"

namespace clipx {

/// How a parameter of a model is initialized: as its loss or its architecture says.
initial_values initial_of(const std::string& name, const shape& s, const clip_config& config);

/// The values of one tensor.
void draw_initial(const initial_values& rule, const std::string& name, std::uint64_t seed, std::span<float> values);

/// Fills every parameter of a model from a seed.
template <class Model>
void initialize(Model& model, const clip_config& config, std::uint64_t seed) {
  std::vector<float> values;
  walk(model, [&]<class E>(const std::string& name, mat<E>& m, const shape& s, role) {
    values.resize(static_cast<std::size_t>(s.count()));
    draw_initial(initial_of(name, s, config), name, seed, values);
    model.device().upload(mat<const float>(values.data(), m.rows, m.cols), m);
  });
}

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "init-inl.hpp"
#endif
