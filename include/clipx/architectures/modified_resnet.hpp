// modified_resnet: CLIP's ResNets, RN50 to RN50x64 (docs/clip.md section 2).
#pragma once
#include "../model/modified_resnet.hpp"
#include "causal_text.hpp"

namespace clipx {

/// The members are those of vit (architectures/vit.hpp).
struct modified_resnet {
  ///@{
  /// As in vit.
  using config = modified_resnet_config;
  using text = causal_text;
  template <backend_types B>
  using tower = residual_network<B>;
  static constexpr adam_defaults optimizer{.beta2 = 0.999, .eps = 1e-8};
  static constexpr bool in_library = true;

  static bool claims(layout keys, const fields& model, const fields& vision);
  static config read(tower_reader& r);
  ///@}
  /// Errors: Hugging Face's layout has no ModifiedResNet.
  static void write(const config& v, const clip_config& c, layout keys, field_writer& to);
  ///@{
  /// As in vit.
  static constexpr std::string_view telltale = "visual.layer1.0.conv1.weight";
  static config infer(shape_reader& r);
  static void check(const config& v, issue_list& issues);
  static key_source source_of(std::string_view name, layout keys);
  static initial_values initial(std::string_view name, const shape& s, const config& v);
  static std::vector<model_fact> facts(const config& v);
  /// Sizes of the published models (docs/clip.md section 1.1); all use quick_gelu.
  static std::span<const clip_config> presets();
  /// As in vit.
  static double flops(const config& v, const clip_config& c);
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "modified_resnet-inl.hpp"
#endif
