// Definitions of keys.hpp.
#pragma once
#include "keys.hpp"

namespace clipx {

CLIPX_INLINE named_shapes parameter_shapes(const clip_config& config) {
  named_shapes out = loss_of(config).shapes();
  auto towers = config.vision.policy().shapes(config);
  out.insert(out.end(), towers.begin(), towers.end());
  return out;
}

CLIPX_INLINE key_source source_of(const clip_config& config, std::string_view name, layout keys) {
  for (auto& [own, s] : loss_of(config).shapes())
    if (own == name) return {{std::string(name)}};
  return config.vision.policy().source_of(name, keys);
}

CLIPX_INLINE bool is_ignored_key(std::string_view name) {
  return name.ends_with(".position_ids") || name.ends_with(".num_batches_tracked") || name == "input_resolution" ||
         name == "context_length" || name == "vocab_size";
}

}  // namespace clipx
