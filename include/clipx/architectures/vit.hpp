// vit: CLIP's vision transformers. A template for new architectures: this struct shows all required members.
#pragma once
#include "../model/vit.hpp"
#include "causal_text.hpp"

namespace clipx {

struct vit {
  using config = vit_config;  // sizes of the image tower, with `policy`, `name` and `image_size`
  using text = causal_text;   // the text side
  template <backend_types B>
  using tower = vision_transformer<B>;
  static constexpr adam_defaults optimizer{.beta2 = 0.98, .eps = 1e-6};
  static constexpr bool in_library = true;  // of clipx's own list; without it the towers are compiled where they are used

  /// Whether a configuration file describes this architecture. `model`: the object that contains both towers.
  static bool claims(layout keys, const fields& model, const fields& vision);
  static config read(tower_reader& r);
  static void write(const config& v, const clip_config& c, layout keys, field_writer& to);
  /// Sizes from the shapes of a bare file with a tensor named `telltale`, which no other architecture has.
  static constexpr std::string_view telltale = "visual.proj";
  static config infer(shape_reader& r);
  static void check(const config& v, issue_list& issues);
  /// Where a layout holds a parameter; names without "visual.".
  static key_source source_of(std::string_view name, layout keys);
  static initial_values initial(std::string_view name, const shape& s, const config& v);
  static std::vector<model_fact> facts(const config& v);
  /// Sizes of the published models (docs/clip.md section 1.1). OpenAI's own weights use quick_gelu; H/14, g/14 and bigG/14 are
  /// open_clip's and use gelu.
  static std::span<const clip_config> presets();
  static double flops(const config& v, const clip_config& c);
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "vit-inl.hpp"
#endif
