// plain_text: the text side of open_clip's models with the choices of its TextTransformer.
#pragma once
#include "../model/plain_text.hpp"
#include "transformer_keys.hpp"

namespace clipx {

/// Reads act_kwargs and norm_kwargs of a tower of open_clip's into r.shared; `where` is the tower's name in messages.
void read_open_clip_kwargs(tower_reader& r, const char* where);
/// Writes the same, the norms' epsilon if it is not the usual one.
void write_open_clip_kwargs(const shared_choices& c, double usual_eps, field_writer& to);

/// The members of causal_text for plain_text_tower. Its tensors are named as CLIP's, with "text." before them where open_clip built
/// a CustomTextCLIP. Hugging Face's layout has no such tower.
struct plain_text {
  ///@{
  /// As in causal_text.
  static constexpr bool is_tower = true;
  template <backend_types B>
  using tower = plain_text_tower<B>;

  static void read(tower_reader& r, text_config& c);
  static void write(const clip_config& c, layout keys, field_writer& to);
  static void infer(shape_reader& r, clip_config& c);
  static void check(const clip_config& c, issue_list& issues);
  static key_source source_of(std::string_view name, layout keys);
  static initial_values initial(std::string_view name, const shape& s, const clip_config& c);
  static double flops(const clip_config& c, dim tokens);
  ///@}
  /// Whether text_cfg describes a tower that differs from CLIP's own.
  static bool claims(const fields& text);
  /// What shapes do not show: how texts are masked and pooled, and the norms' epsilons, from the preset with this image tower and
  /// these sizes. An issue if there is none.
  static void infer_from(std::span<const clip_config> presets, const chosen<architecture>& image, shape_reader& r, clip_config& c);
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "plain_text-inl.hpp"
#endif
