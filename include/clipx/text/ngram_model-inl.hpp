// The model of a tokenizer that is the dictionary of a Visual N-Grams model.
#pragma once
#include <limits>
#include <utility>

#include "ngrams.hpp"
#include "token_model.hpp"

namespace clipx::detail {

/// Rows are framed by the dictionary itself and never cut; there is no start, end or pad id.
struct ngram_model final : token_model {
  explicit ngram_model(ngram_dictionary words) : ngrams(std::move(words)) {
    options.context_length = std::numeric_limits<std::int32_t>::max();
    frame.sot = frame.eot = token_frame::none;
    frame.pad = 0;
  }
  void append(std::string_view text, std::vector<std::int32_t>& out, std::size_t) const override {
    ngrams.append(ngram_words(text), out);
  }
  dim append_row(std::string_view text, std::vector<std::int32_t>& out) const override {
    const std::size_t before = out.size();
    ngrams.append_caption(text, out);
    return static_cast<dim>(out.size() - before);
  }
  dim size() const override { return ngrams.size() + 1; }
  std::string symbol(std::int32_t id) const override {
    return id == ngrams.unknown() ? std::string() : std::string(ngrams.words(id));
  }
  std::string decode(std::span<const std::int32_t> ids) const override {
    std::string out;
    for (const auto id : ids)
      if (id == ngrams.unknown() || ngrams.order(id) == 1) out += (out.empty() ? "" : " ") + symbol(id);
    return out;
  }
  named_texts files() const override {  // class names are phrases, without a template
    return {{"ngrams.tsv", ngrams.text()}, {"templates.txt", "{}\n"}};
  }

  ngram_dictionary ngrams;
};

}  // namespace clipx::detail
