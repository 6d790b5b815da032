// Definitions of init.hpp.
#pragma once
#include <cmath>
#include <random>

#include "init.hpp"

namespace clipx::detail {

/// Standard deviation of a normal draw, or half-width of a uniform one.
struct spread {
  double size = 0;
  bool uniform = false;
  double mean = 0;
};

/// The rule for a tensor by its checkpoint name.
CLIPX_INLINE spread initial_spread(const std::string& name, const shape& s, const clip_config& c) {
  const auto ends = [&](std::string_view e) { return name.ends_with(e); };
  const auto has = [&](std::string_view e) { return name.find(e) != std::string::npos; };
  const auto root = [](dim n) { return 1 / std::sqrt(static_cast<double>(n)); };
  const auto fan_in = [&](dim n) { return spread{root(n), true}; };  // PyTorch's default for linear and convolution
  const dim Wt = c.text.width, Wv = c.vision.width;
  if (name == "logit_scale") return {0, false, c.initial_logit_bias ? initial_sigmoid_log_scale : initial_log_scale};
  if (name == "logit_bias") return {0, false, *c.initial_logit_bias};
  if (ends("running_var")) return {0, false, 1};
  if (ends("running_mean")) return {};
  if (has(".bn") || has("downsample.1") || has(".ln_") || name.starts_with("ln_final")) {
    const bool zero_branch = has("visual.layer") && ends("bn3.weight");  // a fresh bottleneck is its shortcut
    return {0, false, ends(".weight") && !zero_branch ? 1.0 : 0.0};
  }
  if (name == "token_embedding.weight") return {0.02};
  if (name == "positional_embedding") return {0.01};
  if (name == "text_projection") return {root(Wt)};
  if (has("attnpool.")) {
    const dim C = 32 * Wv;
    return ends(".bias") ? spread{root(C), true} : spread{root(C)};
  }
  if (ends("in_proj_bias") || ends("out_proj.bias")) return {};
  if (ends("c_fc.bias")) return fan_in(has("visual.") ? Wv : Wt);
  if (ends("c_proj.bias")) return fan_in(has("visual.") ? c.vision.mlp_width : c.text.mlp_width);
  if (has("visual.")) {
    if (ends("class_embedding") || ends("positional_embedding") || ends("visual.proj")) return {root(Wv)};
    if (ends("in_proj_weight")) return {std::sqrt(6.0 / static_cast<double>(s.rows() + s.cols())), true};  // Xavier over (3W, W)
    return fan_in(s.cols());
  }
  const double depth = std::sqrt(0.5 / static_cast<double>(c.text.layers));
  if (ends("in_proj_weight")) return {root(Wt)};
  if (ends("c_fc.weight")) return {root(2 * Wt)};
  return {root(Wt) * depth};  // out_proj, c_proj
}

struct initial_draws::generator {
  std::mt19937_64 bits;
};

CLIPX_INLINE initial_draws::initial_draws(std::uint64_t seed) : generator_(new generator{std::mt19937_64(seed)}) {}
CLIPX_INLINE initial_draws::~initial_draws() = default;

CLIPX_INLINE void initial_draws::fill(const std::string& name, const shape& s, const clip_config& c, std::span<float> values) {
  const auto rule = initial_spread(name, s, c);
  std::normal_distribution<double> normal(0, 1);
  std::uniform_real_distribution<double> uniform(-1, 1);
  auto& bits = generator_->bits;
  for (auto& v : values) v = static_cast<float>(rule.mean + rule.size * (rule.uniform ? uniform(bits) : normal(bits)));
}

}  // namespace clipx::detail
