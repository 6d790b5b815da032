// causal_text: CLIP's text side, which architectures name as their `text` (docs/clip.md sections 1.1 and 4).
#pragma once
#include "transformer_keys.hpp"

namespace clipx {

/// What architecture_of requires of a text side.
struct causal_text {
  static constexpr bool is_tower = true;
  template <backend_types B>
  using tower = text_transformer<B>;

  static void read(tower_reader& r, text_config& c);
  static void write(const clip_config& c, layout keys, field_writer& to);
  /// Also sets embed_dim, the width of the text projection.
  static void infer(shape_reader& r, clip_config& c);
  static void check(const clip_config& c, issue_list& issues);
  static key_source source_of(std::string_view name, layout keys);
  static initial_values initial(std::string_view name, const shape& s, const clip_config& c);
  static double flops(const clip_config& c, dim tokens);
};

/// The text side of an architecture without a text tower, such as Visual N-Grams.
template <backend_types B>
struct no_text_tower {
  struct saved {};
  no_text_tower() = default;
  explicit no_text_tower(const clip_config&) {}
  void visit(auto&) {}
  mat<scalar_t<B>> forward(step<B>&, const packed_texts&, saved&) const { return {}; }
  void backward(step<B>&, const saved&, mat<const scalar_t<B>>, no_text_tower&) const {}
};

struct no_text {
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
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "causal_text-inl.hpp"
#endif
