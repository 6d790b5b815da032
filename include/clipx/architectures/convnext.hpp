// convnext: open_clip's models with a ConvNeXt of timm's as the image tower, convnext_tiny to convnext_xxlarge_320.
#pragma once
#include "../model/convnext.hpp"
#include "causal_text.hpp"

namespace clipx {

/// ConvNeXt with CLIP's text tower. The image tower's activation and epsilon are timm's, whatever the text tower has.
struct convnext {
  ///@{
  /// As in vit.
  using config = convnext_config;
  using text = causal_text;
  template <backend_types B>
  using tower = convnext_tower<B>;
  static constexpr adam_defaults optimizer{.beta2 = 0.999, .eps = 1e-8};
  static constexpr bool in_library = true;

  static bool claims(layout keys, const fields& model, const fields& vision);
  static config read(tower_reader& r);
  ///@}
  /// Errors: Hugging Face's layout has no ConvNeXt.
  static void write(const config& v, const clip_config& c, layout keys, field_writer& to);
  ///@{
  /// As in vit.
  static constexpr std::string_view telltale = "visual.trunk.stages.0.blocks.0.gamma";
  ///@}
  /// Shapes show neither the size of the images nor the epsilon: they are those of the first preset with these sizes, else of
  /// convnext_tiny.
  static config infer(shape_reader& r);
  ///@{
  /// As in vit.
  static void check(const config& v, issue_list& issues);
  static key_source source_of(std::string_view name, layout keys);
  static initial_values initial(std::string_view name, const shape& s, const config& v);
  static std::vector<model_fact> facts(const config& v);
  ///@}
  /// open_clip's 11 configurations, without their stochastic depth.
  static std::span<const clip_config> presets();
  static double flops(const config& v, const clip_config& c);  // as in vit, with the convolutions
  /// What open_clip has for these models: no preset with QuickGELU.
  static model_family family() { return {.quick_gelu = false}; }
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "convnext-inl.hpp"
#endif
