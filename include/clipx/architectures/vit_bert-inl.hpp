// Definitions of vit_bert.hpp.
#pragma once
#include "../core/error.hpp"
#include "vit_bert.hpp"

namespace clipx {
namespace detail {
inline clip_config bert_preset(const char* name, dim embed_dim, const vit_config& image, activation act, std::string_view text) {
  clip_config c;
  c.name = name;
  c.embed_dim = embed_dim;
  c.act = act;
  c.vision = bert_vit::config{image};
  c.text = bert_text::config_of(text);
  if (act != activation::gelu) c.text.act = activation::gelu;
  return c;
}
}  // namespace detail

CLIPX_INLINE std::span<const clip_config> bert_vit_presets::presets() {
  constexpr auto quick = activation::quick_gelu, gelu = activation::gelu;
  const vit_config b32{224, 32, 768, 12, 3072, 12}, h14{224, 14, 1280, 16, 5120, 32};
  static const clip_config list[] = {
      detail::bert_preset("roberta-ViT-B-32", 512, b32, quick, "roberta-base"),
      detail::bert_preset("xlm-roberta-base-ViT-B-32", 512, b32, gelu, "xlm-roberta-base"),
      detail::bert_preset("xlm-roberta-large-ViT-H-14", 1024, h14, gelu, "xlm-roberta-large"),
  };
  return list;
}

}  // namespace clipx
