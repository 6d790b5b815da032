// mci_vit: MobileCLIP-B and MobileCLIP2-B (Vasu et al. 2024; Faghri et al. 2025).
#pragma once
#include "../model/mci_vit.hpp"
#include "plain_text.hpp"
#include "timm_vit.hpp"

namespace clipx {

/// timm's vit_base_mci_224 with a text tower of open_clip's. The other MobileCLIPs are other networks.
struct mci_vit {
  ///@{
  /// As in vit.
  using config = mci_vit_config;
  using text = plain_text;
  template <backend_types B>
  using tower = mci_vision_tower<B>;
  static constexpr adam_defaults optimizer{.beta2 = 0.98, .eps = 1e-6};
  static constexpr bool in_library = true;

  static bool claims(layout keys, const fields& model, const fields& vision);
  static config read(tower_reader& r);
  static void write(const config& v, const clip_config& c, layout keys, field_writer& to);
  static constexpr std::string_view telltale = "visual.trunk.patch_embed.backbone.2.conv.weight";
  static config infer(shape_reader& r, clip_config& c);
  static void check(const config& v, issue_list& issues);
  static key_source source_of(std::string_view name, layout keys);
  static initial_values initial(std::string_view name, const shape& s, const config& v);
  static std::vector<model_fact> facts(const config& v);
  static std::span<const clip_config> presets();
  static double flops(const config& v, const clip_config& c);
  ///@}
  /// What MobileCLIP-B's files imply; images are resized bilinearly and not normalized.
  static model_family family() {
    return {.custom_text = true, .quick_gelu = false, .bilinear = true, .mean = {0, 0, 0}, .std = {1, 1, 1}};
  }
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "mci_vit-inl.hpp"
#endif
