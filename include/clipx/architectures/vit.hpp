// vit: CLIP's vision transformers. A template for new architectures: this struct shows all required members.
#pragma once
#include "../model/vit.hpp"
#include "causal_text.hpp"

namespace clipx {

/// CLIP's vision transformers, ViT-B/32 to ViT-bigG/14.
struct vit {
  using config = vit_config;  // sizes of the image tower, with `policy`, `name` and `image_size`
  using text = causal_text;   // the text side
  /// The image tower on backend B.
  template <backend_types B>
  using tower = vision_transformer<B>;
  static constexpr adam_defaults optimizer{.beta2 = 0.98, .eps = 1e-6};  // what trainers use unless told otherwise
  static constexpr bool in_library = true;  // of clipx's own list; without it the towers are compiled where they are used

  /// Whether a configuration file describes this architecture. `model`: the object that contains both towers.
  static bool claims(layout keys, const fields& model, const fields& vision);
  /// Reads the image tower's part of a configuration file. Problems become issues.
  static config read(tower_reader& r);
  /// Writes the same fields in a layout. Errors: the layout cannot represent such a model.
  static void write(const config& v, const clip_config& c, layout keys, field_writer& to);
  /// Sizes from the shapes of a bare file with a tensor named `telltale`, which no other architecture has.
  static constexpr std::string_view telltale = "visual.proj";
  static config infer(shape_reader& r);  // adds an issue where a shape contradicts
  /// Reports sizes that no model can have.
  static void check(const config& v, issue_list& issues);
  /// Where a layout holds a parameter; names without "visual.".
  static key_source source_of(std::string_view name, layout keys);
  /// How a parameter is initialized; names without "visual.".
  static initial_values initial(std::string_view name, const shape& s, const config& v);
  /// What `clipx inspect` prints.
  static std::vector<model_fact> facts(const config& v);
  /// Sizes of the published models (docs/clip.md section 1.1). OpenAI's own weights use quick_gelu; H/14, g/14 and bigG/14 are
  /// open_clip's and use gelu.
  static std::span<const clip_config> presets();
  /// Floating-point operations of the forward pass of one image, matrix products only.
  static double flops(const config& v, const clip_config& c);
  /// What the files of such a model imply beside the towers; without this member, what CLIP's do.
  static model_family family(const clip_config& c) {
    if (!is_meta_clip_2(c)) return {};
    return {.hf_model = "MetaClip2Model", .hf_type = meta_clip_2};
  }
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "vit-inl.hpp"
#endif
