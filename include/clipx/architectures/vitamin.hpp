// vitamin: open_clip's models with a ViTamin of timm's as the image tower, ViTamin-S to ViTamin-XL-384.
#pragma once
#include "../model/vitamin.hpp"
#include "plain_text.hpp"
#include "timm_vit.hpp"

namespace clipx {

/// ViTamin with a text tower of open_clip's. The image tower's activation and epsilon are timm's, whatever the text tower has.
struct vitamin {
  ///@{
  /// As in vit.
  using config = vitamin_config;
  using text = plain_text;
  template <backend_types B>
  using tower = vitamin_tower<B>;
  static constexpr adam_defaults optimizer{.beta2 = 0.98, .eps = 1e-6};
  static constexpr bool in_library = true;

  static bool claims(layout keys, const fields& model, const fields& vision);
  static config read(tower_reader& r);
  ///@}
  /// Errors: Hugging Face's layout has no ViTamin.
  static void write(const config& v, const clip_config& c, layout keys, field_writer& to);
  ///@{
  /// As in vit.
  static constexpr std::string_view telltale = "visual.trunk.patch_embed.backbone.stages.0.0.conv2_kxk.weight";
  ///@}
  /// Shapes show neither the heads of both towers nor, without a position table, the size of the images: they are those of the
  /// first preset with these sizes. An issue if there is none.
  static config infer(shape_reader& r, clip_config& c);
  ///@{
  /// As in vit.
  static void check(const config& v, issue_list& issues);
  static key_source source_of(std::string_view name, layout keys);
  static initial_values initial(std::string_view name, const shape& s, const config& v);
  static std::vector<model_fact> facts(const config& v);
  ///@}
  /// open_clip's 15 configurations, without their stochastic depth. That of ViTamin-XL-384 has images of 256 pixels.
  static std::span<const clip_config> presets();
  static double flops(const config& v, const clip_config& c);  // as in vit, with the convolutions
  /// What open_clip has for these models: a CustomTextCLIP, and no preset with QuickGELU.
  static model_family family() { return {.custom_text = true, .quick_gelu = false}; }
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "vitamin-inl.hpp"
#endif
