// m2m_vit and m2m_siglip_vit: image towers with the encoder of an NLLB as the text tower; open_clip's nllb-clip-*.
#pragma once
#include "m2m_text.hpp"
#include "siglip_vit.hpp"
#include "vit.hpp"
#include "with_text.hpp"

namespace clipx {

///@{
/// The models that open_clip has.
struct m2m_vit_presets {
  static std::span<const clip_config> presets();  // as in vit
};
struct m2m_siglip_presets {
  static std::span<const clip_config> presets();  // as in vit
};
///@}

///@{
/// The architectures.
using m2m_vit = with_text<vit, m2m_text, m2m_vit_presets>;
using m2m_siglip_vit = with_text<siglip_vit, m2m_text, m2m_siglip_presets>;
///@}

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "m2m_clip-inl.hpp"
#endif
