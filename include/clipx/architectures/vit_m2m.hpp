// m2m_vit and m2m_siglip_vit: image towers with the encoder of an NLLB as the text tower; open_clip's nllb-clip-*.
#pragma once
#include "m2m_text.hpp"
#include "siglip_vit.hpp"
#include "vit.hpp"
#include "with_text.hpp"

namespace clipx {

/// open_clip's models with a ViT.
struct m2m_vit_presets {
  static std::span<const clip_config> presets();  // as in vit
};
/// open_clip's models with a SigLIP's image tower.
struct m2m_siglip_presets {
  static std::span<const clip_config> presets();  // as in vit
};

/// The architecture with a ViT.
using m2m_vit = with_text<vit, m2m_text, m2m_vit_presets>;
/// The architecture with a SigLIP's image tower.
using m2m_siglip_vit = with_text<siglip_vit, m2m_text, m2m_siglip_presets>;

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "vit_m2m-inl.hpp"
#endif
