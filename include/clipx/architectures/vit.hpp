// vit: CLIP's vision transformers. The architecture to copy when you write one: what is asked of the struct stands here.
#pragma once
#include "../model/vit.hpp"
#include "causal_text.hpp"

namespace clipx {

/// CLIP's vision transformers, ViT-B/32 to ViT-bigG/14.
struct vit {
  using config = vit_config;  // sizes of the image tower, with `policy`, `name` and `image_size`
  using text = causal_text;   // the text side that goes with it
  /// The image tower on backend B.
  template <backend_types B>
  using tower = vision_transformer<B>;
  static constexpr adam_defaults optimizer{.beta2 = 0.98, .eps = 1e-6};  // what trainers use unless told otherwise

  /// Whether a configuration file describes this architecture. `model`: the object around both towers.
  static bool claims(layout keys, const fields& model, const fields& vision);
  /// Reads the image tower's part of a configuration file. Problems become issues.
  static config read(tower_reader& r);
  /// Writes the same fields in a layout. Errors: the layout cannot represent such a model.
  static void write(const config& v, const clip_config& c, layout keys, field_writer& to);
  /// Sizes from the shapes of a bare file that has a tensor named `telltale`, which no other architecture has.
  static constexpr std::string_view telltale = "visual.proj";
  static config infer(shape_reader& r);  // adds an issue where a shape contradicts
  /// Reports sizes that no model can have.
  static void check(const config& v, std::vector<std::string>& issues);
  /// Where a layout holds a parameter; names are without "visual.".
  static key_source source_of(std::string_view name, layout keys);
  /// How a parameter is initialized; names without "visual.".
  static initial_values initial(std::string_view name, const shape& s, const config& v);
  /// What `clipx inspect` prints.
  static std::vector<model_fact> facts(const config& v);
  /// Sizes of the model zoo (spec section 1.1). OpenAI's own weights use quick_gelu; H/14, g/14 and bigG/14 are open_clip's, with
  /// gelu.
  static std::span<const clip_config> presets();
  /// Floating-point operations of the forward pass of one image, matrix products only.
  static double flops(const config& v, const clip_config& c);
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "vit-inl.hpp"
#endif
