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

namespace detail {
template <backend B>
void initialize(B& device, const parameter_list<B>& parameters, const clip_config& config, std::uint64_t seed) {
  std::vector<float> values;
  for (auto& p : parameters) {
    values.resize(static_cast<std::size_t>(p.shape.count()));
    draw_initial(initial_of(p.name, p.shape, config), p.name, seed, values);
    p.visit([&](const auto& m) { device.upload(mat<const float>(values.data(), m.rows, m.cols), m); });
  }
}
}  // namespace detail

/// Draws every parameter of a model from a seed.
template <class Model>
void initialize(Model& model, const clip_config& config, std::uint64_t seed) {
  detail::initialize(model.device(), parameters_of(model), config, seed);
}

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "init-inl.hpp"
#endif
