// Definitions of ngram_table.hpp.
#pragma once
#include <cmath>

#include "ngram_table.hpp"

namespace clipx {

CLIPX_INLINE text_config ngram_table::config_of(dim ngrams) {
  text_config t;
  t.vocab_size = ngrams + 1;
  t.context_length = std::numeric_limits<std::int32_t>::max();  // captions are not cut
  t.pool = text_pool::none;
  t.width = t.heads = t.layers = t.mlp_width = 0;
  return t;
}

CLIPX_INLINE void ngram_table::read(tower_reader& r, text_config& t) {
  t = config_of(r.tower.size("ngrams", 1, (dim{1} << 31) - 2));
  if (!r.tower.has("ngrams")) r.tower.issue(error_kind::damaged, "ngrams is missing: how many there are in the dictionary");
}

CLIPX_INLINE void ngram_table::write(const clip_config& c, layout keys, field_writer& to) {
  expect(keys == layout::open_clip, error_kind::unsupported,
         "Hugging Face's layout has no Visual N-Grams: write layout::open_clip");
  to.put("ngrams", c.text.vocab_size - 1);
}

CLIPX_INLINE void ngram_table::infer(shape_reader& r, clip_config& c) {
  const auto table = r.sizes("ngram_embedding", 2);
  c.text = config_of(table[0]);
  c.embed_dim = table[1];
  r.issues().add("a Visual N-Grams model needs its folder: open_clip_config.json says how its loss smooths");
}

CLIPX_INLINE void ngram_table::check(const clip_config& c, issue_list& issues) {
  if (c.text.vocab_size < 2 || c.text.pool != text_pool::none)
    issues.add("n-gram embeddings: expected the text side of a dictionary, as ngram_table::config_of() gives it");
  if (!c.loss || !c.loss.is<ngrams::config>()) {
    issues.add("n-gram embeddings: expected the n-gram loss");
    return;
  }
  const dim known = c.loss.as<ngrams::config>().size();
  if (known != c.text.vocab_size - 1)
    issues.add(cat("n-gram embeddings: the loss has a dictionary of ", known, " n-grams, the table ", c.text.vocab_size - 1));
}

CLIPX_INLINE key_source ngram_table::source_of(std::string_view name, layout keys) {
  expect(keys == layout::open_clip, error_kind::unsupported, [&] { return cat("Hugging Face's layout has no place for ", name); });
  return {{std::string(name)}};
}

/// As PyTorch's linear layer, which the table is: the paper does not say.
CLIPX_INLINE initial_values ngram_table::initial(std::string_view, const shape& s, const clip_config&) { return fan_in(s.cols()); }

}  // namespace clipx
