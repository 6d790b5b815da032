// Definitions of init.hpp.
#pragma once
#include <cmath>

#include "../core/random.hpp"
#include "init.hpp"

namespace clipx {

CLIPX_INLINE initial_values initial_of(const std::string& name, const shape& s, const clip_config& config) {
  const auto& loss = loss_of(config);
  for (auto& [own, unused] : loss.shapes())
    if (own == name) return loss.initial(name, config);
  return config.vision.policy().initial(name, s, config);
}

CLIPX_INLINE void draw_initial(const initial_values& rule, const std::string& name, std::uint64_t seed, std::span<float> values) {
  std::uint64_t hash = 0;
  for (char c : name) hash = draws::mix(hash + static_cast<unsigned char>(c) + 1);
  const draws draw(seed, hash);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double x = rule.size == 0 ? 0 : rule.uniform ? draw.uniform(i) : draw.normal(i);
    values[i] = static_cast<float>(std::fma(rule.size, x, rule.mean));
  }
}

}  // namespace clipx
