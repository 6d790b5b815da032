// m2m_text: a text side that is the encoder of an M2M-100 or NLLB of Hugging Face, as in open_clip's nllb-clip-base. Joined to an
// image tower by with_text.
#pragma once
#include "../model/m2m_text.hpp"
#include "hf_text.hpp"

namespace clipx {

/// NLLB-200's distilled models, and others of this kind with their config.json. Its tensors have the names of transformers'
/// M2M100Encoder behind "text.transformer.".
struct m2m_text {
  ///@{
  /// As in bert_text.
  static constexpr bool is_tower = true;
  static constexpr std::string_view label = "NLLB", telltale = "text.transformer.embed_tokens.weight";
  template <backend_types B>
  using tower = m2m_text_tower<B>;

  static bool claims(layout keys, const fields& model);
  static void adapt(model_family& f) { f.custom_text = true, f.quick_gelu = false; }
  static void read(tower_reader& r, text_config& c);
  static void write(const clip_config& c, layout keys, field_writer& to);
  static void infer(shape_reader& r, clip_config& c);
  static void check(const clip_config& c, issue_list& issues);
  static key_source source_of(std::string_view name, layout keys);
  static initial_values initial(std::string_view name, const shape& s, const clip_config&) { return initial_of_hf_text(name, s); }
  static double flops(const clip_config& c, dim tokens);

  static text_config config_of(std::string_view name);
  ///@}
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "m2m_text-inl.hpp"
#endif
