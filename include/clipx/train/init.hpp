// Initialization as in openai/CLIP and open_clip (docs/clip.md section 9.3). Numbers are drawn on the host and depend on the
// tensor's name, so a seed gives the same weights, bit for bit, on every backend, machine and compiler,
// whatever else the model contains.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "../architectures/architecture.hpp"
#include "../loss/list.hpp"

namespace clipx {

/// How a parameter of a model is initialized, according to its loss or its architecture.
initial_values initial_of(const std::string& name, const shape& s, const clip_config& config);

/// Draws the values of one tensor.
void draw_initial(const initial_values& rule, const std::string& name, std::uint64_t seed, std::span<float> values);

/// Draws every parameter of a model from a seed.
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
