// Definitions of keys.hpp.
#pragma once
#include <numeric>

#include "keys.hpp"

namespace clipx {

CLIPX_INLINE named_shapes parameter_shapes(const clip_config& config) {
  named_shapes out;
  if (config.towers == tower_set::both) out = loss_of(config).shapes();
  auto towers = config.vision.policy().shapes(config);
  out.insert(out.end(), towers.begin(), towers.end());
  return out;
}

CLIPX_INLINE key_source source_of(const clip_config& config, std::string_view name, layout keys) {
  for (auto& [own, s] : loss_of(config).shapes())
    if (own == name)
      return {.parts = {std::string(name)}, .ones = keys == layout::hf ? config.vision.policy().family(config).hf_scalar_ones : 0};
  return config.vision.policy().source_of(name, keys);
}

CLIPX_INLINE dim stored_tensor::count() const { return std::accumulate(sizes.begin(), sizes.end(), dim{1}, std::multiplies<>()); }

CLIPX_INLINE std::vector<stored_tensor> stored_tensors(const key_source& source, const shape& s) {
  const auto share = [&](std::size_t part) { return source.shares.empty() ? dim{1} : source.shares[part]; };
  dim shares = 0, offset = 0;
  for (std::size_t p = 0; p < source.parts.size(); ++p) shares += share(p);
  std::vector<stored_tensor> out;
  for (std::size_t p = 0; p < source.parts.size(); ++p) {
    stored_tensor t{source.parts[p], s.sizes, offset, source.transposed};
    if (source.parts.size() > 1) t.sizes[0] = t.sizes[0] / shares * share(p);
    if (source.transposed) std::swap(t.sizes[0], t.sizes[1]);
    t.sizes.insert(t.sizes.begin(), static_cast<std::size_t>(source.ones), 1);
    offset += t.count();
    out.push_back(std::move(t));
  }
  return out;
}

CLIPX_INLINE bool is_ignored_key(std::string_view name) {
  return name.ends_with(".position_ids") || name.ends_with(".token_type_ids") || name.ends_with(".num_batches_tracked") ||
         name == "attn_mask" || name == "text.attn_mask" || name.find(".pooler.dense.") != std::string_view::npos ||
         name == "input_resolution" || name == "context_length" || name == "vocab_size";
}

}  // namespace clipx
