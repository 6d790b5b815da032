// Definitions of vit_m2m.hpp.
#pragma once
#include "../core/error.hpp"
#include "vit_m2m.hpp"

namespace clipx {
namespace detail {
/// The image tower of a preset of Image, with an NLLB.
template <class Image, class Presets>
clip_config m2m_preset(const char* name, std::string_view image, std::string_view text) {
  clip_config c;
  for (auto& p : Image::presets())
    if (p.name == image) c = p;
  c.name = name;
  c.vision = typename with_text<Image, m2m_text, Presets>::config{c.vision.template as<typename Image::config>()};
  c.text = m2m_text::config_of(text);
  c.text.act = activation::relu;
  if (c.norm_eps != 1e-5) c.text.norm_eps = 1e-5;
  return c;
}
}  // namespace detail

CLIPX_INLINE std::span<const clip_config> m2m_vit_presets::presets() {
  static const auto list = [] {
    std::array<clip_config, 2> out{
        detail::m2m_preset<vit, m2m_vit_presets>("nllb-clip-base", "ViT-B-32", "facebook/nllb-200-distilled-600M"),
        detail::m2m_preset<vit, m2m_vit_presets>("nllb-clip-large", "ViT-H-14", "facebook/nllb-200-distilled-1.3B")};
    out[0].act = activation::gelu;
    return out;
  }();
  return list;
}

CLIPX_INLINE std::span<const clip_config> m2m_siglip_presets::presets() {
  static const clip_config list[] = {
      detail::m2m_preset<siglip_vit, m2m_siglip_presets>("nllb-clip-base-siglip", "ViT-B-16-SigLIP-384",
                                                         "facebook/nllb-200-distilled-600M"),
      detail::m2m_preset<siglip_vit, m2m_siglip_presets>("nllb-clip-large-siglip", "ViT-SO400M-14-SigLIP-384",
                                                         "facebook/nllb-200-distilled-1.3B"),
  };
  return list;
}

}  // namespace clipx
