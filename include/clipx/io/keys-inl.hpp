// Definitions of keys.hpp.
#pragma once
#include <array>
#include <utility>

#include "../core/error.hpp"
#include "keys.hpp"

namespace clipx {
namespace detail {

struct key_row {
  std::string_view ours, hf;
  bool transposed = false;
};
/// Tensors outside the blocks, and the beginnings of those inside.
inline constexpr std::array<key_row, 11> tower_keys{
    {{"logit_scale", "logit_scale"},
     {"token_embedding.weight", "text_model.embeddings.token_embedding.weight"},
     {"positional_embedding", "text_model.embeddings.position_embedding.weight"},
     {"ln_final.", "text_model.final_layer_norm."},
     {"text_projection", "text_projection.weight", true},
     {"visual.class_embedding", "vision_model.embeddings.class_embedding"},
     {"visual.positional_embedding", "vision_model.embeddings.position_embedding.weight"},
     {"visual.conv1.weight", "vision_model.embeddings.patch_embedding.weight"},
     {"visual.ln_pre.", "vision_model.pre_layrnorm."},
     {"visual.ln_post.", "vision_model.post_layernorm."},
     {"visual.proj", "visual_projection.weight", true}}};
inline constexpr std::array<key_row, 2> block_prefixes{
    {{"transformer.resblocks.", "text_model.encoder.layers."}, {"visual.transformer.resblocks.", "vision_model.encoder.layers."}}};
inline constexpr std::array<key_row, 5> block_keys{{{"ln_1.", "layer_norm1."},
                                                    {"attn.out_proj.", "self_attn.out_proj."},
                                                    {"ln_2.", "layer_norm2."},
                                                    {"mlp.c_fc.", "mlp.fc1."},
                                                    {"mlp.c_proj.", "mlp.fc2."}}};
}  // namespace detail

CLIPX_INLINE key_source source_of(std::string_view name, layout keys) {
  if (keys == layout::open_clip) return {{std::string(name)}, false};
  for (auto& row : detail::block_prefixes)
    if (name.starts_with(row.ours)) {
      const auto rest = name.substr(row.ours.size());
      const auto dot = rest.find('.');
      const std::string prefix = cat(row.hf, rest.substr(0, dot), ".");
      const auto inside = rest.substr(dot + 1);
      if (inside.starts_with("attn.in_proj_")) {
        const auto kind = inside.substr(13);  // weight or bias
        return {{cat(prefix, "self_attn.q_proj.", kind), cat(prefix, "self_attn.k_proj.", kind),
                 cat(prefix, "self_attn.v_proj.", kind)},
                false};
      }
      for (auto& key : detail::block_keys)
        if (inside.starts_with(key.ours)) return {{cat(prefix, key.hf, inside.substr(key.ours.size()))}, false};
    }
  for (auto& row : detail::tower_keys)
    if (name == row.ours || (row.ours.back() == '.' && name.starts_with(row.ours)))
      return {{cat(row.hf, name.substr(row.ours.size()))}, row.transposed};
  fail(cat("Hugging Face's layout has no place for ", name));
}

CLIPX_INLINE bool is_ignored_key(std::string_view name) {
  return name.ends_with(".position_ids") || name.ends_with(".num_batches_tracked") || name == "input_resolution" ||
         name == "context_length" || name == "vocab_size";
}

}  // namespace clipx
