// plain_vit: vision transformers with other choices than CLIP's: open_clip's own (CLIPA) and timm's (MobileCLIP2-L/14, any
// vit_*_patch*), with the text tower that open_clip's configuration describes.
#pragma once
#include "../model/plain_vit.hpp"
#include "plain_text.hpp"
#include "timm_vit.hpp"

namespace clipx {

/// open_clip's VisionTransformer with its options, or timm's.
struct plain_vit {
  ///@{
  /// As in vit.
  using config = plain_vit_config;
  using text = plain_text;
  template <backend_types B>
  using tower = plain_vision_tower<B>;
  static constexpr adam_defaults optimizer{.beta2 = 0.98, .eps = 1e-6};
  static constexpr bool in_library = true;

  static bool claims(layout keys, const fields& model, const fields& vision);
  static config read(tower_reader& r);
  static void write(const config& v, const clip_config& c, layout keys, field_writer& to);
  static constexpr std::string_view telltale = "visual.trunk.cls_token";
  static config infer(shape_reader& r, clip_config& c);
  static void check(const config& v, issue_list& issues);
  static key_source source_of(std::string_view name, layout keys);
  static initial_values initial(std::string_view name, const shape& s, const config& v);
  static std::vector<model_fact> facts(const config& v);
  static std::span<const clip_config> presets();
  static double flops(const config& v, const clip_config& c);
  ///@}
  /// What the files of such a model imply; images of a CLIPA are resized to the square, bilinearly, and normalized by ImageNet's
  /// mean and deviation.
  static model_family family(const clip_config& c);
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "plain_presets-inl.hpp"
#include "plain_vit-inl.hpp"
#endif
