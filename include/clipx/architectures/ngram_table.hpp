// The text side of Visual N-Grams (Li et al. 2017): an embedding for each n-gram of a dictionary, and no text tower. Joined to the
// image tower of another architecture by with_text.
#pragma once
#include <limits>

#include "../loss/ngrams.hpp"
#include "transformer_keys.hpp"

namespace clipx {

/// Holds the embeddings as parameters. A text has no features of its own: the loss and the scores take the whole table.
template <backend_types B>
struct ngram_table_tower {
  using T = scalar_t<B>;
  mat<T> embedding;               // (V, D), row w is e_w: z_w = <e_w, image features>
  dim ngrams = 0, embed_dim = 0;  // V and D

  ngram_table_tower() = default;
  /// Unbound; the sizes are the configuration's.
  explicit ngram_table_tower(const clip_config& c) : ngrams(c.text.vocab_size - 1), embed_dim(c.embed_dim) {}
  void visit(auto& v) { v("ngram_embedding", embedding, {ngrams, embed_dim}); }

  struct saved {};
  mat<T> table() const { return embedding; }  // all embeddings
  /// An empty matrix: texts have no features.
  mat<T> forward(step<B>&, const packed_texts&, saved&) const { return {}; }
  /// Does nothing: the loss adds to the table's gradient.
  void backward(step<B>&, const saved&, mat<const T>, ngram_table_tower&) const {}
};

/// A text's ids are those of ngram_dictionary::append_caption(); the vocabulary is the dictionary and one id for unknown words.
struct ngram_table {
  ///@{
  /// As in causal_text; the label is the second half of the architecture's name.
  static constexpr bool is_tower = true;
  static constexpr std::string_view label = "VisualNGrams", telltale = "ngram_embedding";
  template <backend_types B>
  using tower = ngram_table_tower<B>;
  ///@}

  /// Whether a configuration file describes a dictionary of n-grams.
  static bool claims(layout keys, const fields& model) { return keys == layout::open_clip && model.has("ngram_loss"); }
  /// As in causal_text.
  static void read(tower_reader& r, text_config& c);
  /// Errors: Hugging Face's layout has no such model.
  static void write(const clip_config& c, layout keys, field_writer& to);
  /// Sizes from the table's shape, and an issue: a bare file does not say how the loss smooths.
  static void infer(shape_reader& r, clip_config& c);
  ///@{
  /// As in causal_text.
  static void check(const clip_config& c, issue_list& issues);
  static key_source source_of(std::string_view name, layout keys);
  static initial_values initial(std::string_view name, const shape& s, const clip_config& c);
  static double flops(const clip_config&, dim) { return 0; }
  ///@}

  /// What text_config is of a dictionary of so many n-grams.
  static text_config config_of(dim ngrams);
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "ngram_table-inl.hpp"
#endif
