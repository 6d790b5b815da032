// siglip_vit: SigLIP and SigLIP 2 at a fixed resolution (Zhai et al. 2023; Tschannen et al. 2025).
#pragma once
#include "../loss/sigmoid.hpp"
#include "../model/siglip.hpp"
#include "plain_vit.hpp"
#include "siglip_text.hpp"

namespace clipx {

/// SigLIP's image towers, B/16 to gopt/16. The same weights have exact GELU in timm's towers (most of them) and its form with tanh
/// in transformers': each layout is computed as its own library does.
struct siglip_vit {
  ///@{
  /// As in vit.
  using config = siglip_vit_config;
  using text = siglip_text;
  template <backend_types B>
  using tower = siglip_vision_tower<B>;
  static constexpr adam_defaults optimizer{.beta2 = 0.98, .eps = 1e-6};
  static constexpr bool in_library = true;

  static bool claims(layout keys, const fields& model, const fields& vision);
  static config read(tower_reader& r);
  static void write(const config& v, const clip_config& c, layout keys, field_writer& to);
  static constexpr std::string_view telltale = "visual.trunk.attn_pool.latent";
  static config infer(shape_reader& r);
  static void check(const config& v, issue_list& issues);
  static key_source source_of(std::string_view name, layout keys);
  static initial_values initial(std::string_view name, const shape& s, const config& v);
  static std::vector<model_fact> facts(const config& v);
  static std::span<const clip_config> presets();
  static double flops(const config& v, const clip_config& c);
  ///@}
  /// What SigLIP's files imply; images are resized to the square and normalized to [-1, 1].
  static model_family family() {
    return {.hf_model = "SiglipModel",
            .hf_type = "siglip",
            .hf_projections = false,
            .hf_processor = "SiglipImageProcessor",
            .hf_loss = sigmoid::config::name,
            .hf_scalar_ones = 1,
            .custom_text = true,
            .quick_gelu = false,
            .squash = true,
            .mean = {0.5f, 0.5f, 0.5f},
            .std = {0.5f, 0.5f, 0.5f}};
  }
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "siglip_presets-inl.hpp"
#include "siglip_vit-inl.hpp"
#endif
