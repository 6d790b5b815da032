// causal_text: CLIP's text side, which architectures name as their `text` (docs/clip.md sections 1.1 and 4).
#pragma once
#include "transformer_keys.hpp"

namespace clipx {

/// What architecture_of requires of a text side.
struct causal_text {
  static constexpr bool is_tower = true;  // whether texts have embeddings of their own
  template <backend_types B>
  using tower = text_transformer<B>;  // the tower on backend B

  static void read(tower_reader& r, text_config& c);                       // fills in sizes from a configuration file
  static void write(const clip_config& c, layout keys, field_writer& to);  // writes the same fields
  /// Also sets embed_dim, the width of the text projection.
  static void infer(shape_reader& r, clip_config& c);
  static void check(const clip_config& c, issue_list& issues);      // reports sizes that no model can have
  static key_source source_of(std::string_view name, layout keys);  // where a layout holds a parameter
  /// How a parameter is initialized.
  static initial_values initial(std::string_view name, const shape& s, const clip_config& c);
  /// Floating-point operations of a forward pass, products only.
  static double flops(const clip_config& c, dim tokens);
};

/// MetaCLIP 2 (Chuang et al. 2025) is CLIP with another vocabulary, whose end token has the id 2. In Hugging Face's layout it is a
/// model type of its own, because an id of 2 means something else for CLIP.
inline constexpr std::string_view meta_clip_2 = "metaclip_2";
/// Whether a model is one.
inline bool is_meta_clip_2(const clip_config& c) { return c.text.pool == text_pool::eos && c.text.eos_id == 2; }

/// The text side of an architecture without a text tower, such as Visual N-Grams.
template <backend_types B>
struct no_text_tower {
  struct saved {};
  no_text_tower() = default;
  explicit no_text_tower(const clip_config&) {}  // reads nothing
  void visit(auto&) {}
  mat<scalar_t<B>> forward(step<B>&, const packed_texts&, saved&) const { return {}; }    // an empty matrix
  void backward(step<B>&, const saved&, mat<const scalar_t<B>>, no_text_tower&) const {}  // does nothing
};

/// The members of causal_text for an architecture that has no text tower.
struct no_text {
  ///@{
  /// As in causal_text, of nothing.
  static constexpr bool is_tower = false;
  template <backend_types B>
  using tower = no_text_tower<B>;

  static void read(tower_reader&, text_config&) {}
  static void write(const clip_config&, layout, field_writer&) {}
  static void infer(shape_reader&, clip_config&) {}
  static void check(const clip_config&, std::vector<std::string>&) {}
  static key_source source_of(std::string_view name, layout) { fail(cat("no text tower has a parameter ", name)); }
  static initial_values initial(std::string_view, const shape&, const clip_config&) { return {}; }
  static double flops(const clip_config&, dim) { return 0; }
  ///@}
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "causal_text-inl.hpp"
#endif
