// word_piece: BERT's model: the longest token at each place, or one unknown token for the word.
#pragma once
#include "token_trie.hpp"
#include "vocabulary-inl.hpp"
#include "word_model.hpp"

namespace clipx::detail {

/// Tokens that continue a word begin with a prefix (##); as the `tokenizers` library does it.
class word_piece final : public word_model {
 public:
  static constexpr const char* name = "WordPiece";
  static bool claims(const json& model, const token_file&) {
    const json* type = member(model, "type");
    return type ? *type == name : member(model, "max_input_chars_per_word") != nullptr;
  }

  word_piece(const json& model, const token_file& f) : vocab_(f.vocab), trie_(views(f)) {
    expect(!trie_.empty() && vocab_.scores.empty(), error_kind::damaged,
           [&] { return cat(f.name, ": expected model.vocab, an object of tokens and ids (a WordPiece tokenizer)"); });
    const json *prefix = member(model, "continuing_subword_prefix"), *most = member(model, "max_input_chars_per_word"),
               *unknown = member(model, "unk_token");
    prefix_ = prefix && prefix->is_string() ? prefix->get<std::string>() : "##";
    const auto n = whole_number(most, std::numeric_limits<std::int64_t>::max(), 100);
    expect(n >= 0, error_kind::damaged, [&] {
      return cat(f.name, ": model.max_input_chars_per_word: expected a whole number, got ", most->dump().substr(0, 40));
    });
    longest_ = static_cast<std::size_t>(n);
    inside_ = trie_.walk(prefix_);
    const auto token = unknown && unknown->is_string() ? unknown->get<std::string>() : std::string("[UNK]");
    const auto i = trie_.find(token);
    expect(i >= 0, error_kind::mismatch, [&] { return cat(f.name, ": model.unk_token \"", token, "\" is not in the vocabulary"); });
    unknown_ = id(i);
  }

  void append_text(std::string_view token, bool first, std::string& out) const override {
    const bool inside = !prefix_.empty() && token.starts_with(prefix_);
    if (!inside && !first) out += ' ';
    out += inside ? token.substr(prefix_.size()) : token;
  }

 private:
  static std::vector<std::string_view> views(const token_file& f) {
    std::vector<std::string_view> out;
    for (std::size_t i = 0; i < f.vocab.tokens.size(); ++i) out.push_back(f.vocab.tokens[i]);
    return out;
  }
  std::int32_t id(std::int32_t index) const { return vocab_.ids[static_cast<std::size_t>(index)]; }

  void encode(std::string_view word, std::vector<std::int32_t>& out) const override {
    const std::size_t before = out.size();
    const auto starts = [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; };
    bool good = static_cast<std::size_t>(std::count_if(word.begin(), word.end(), starts)) <= longest_;
    for (std::size_t at = 0; at < word.size() && good;) {
      auto node = at == 0 ? token_trie::root : inside_;
      std::int32_t best = -1;
      std::size_t end = at;
      for (std::size_t i = at; i < word.size() && node != token_trie::none;) {
        node = trie_.child(node, static_cast<unsigned char>(word[i++]));
        if (node == token_trie::none || trie_.value(node) < 0) continue;
        best = trie_.value(node);
        end = i;
      }
      good = best >= 0;
      if (good) out.push_back(id(best));
      at = end;
    }
    if (good) return;
    out.resize(before);
    out.push_back(unknown_);
  }

  const token_table& vocab_;
  token_trie trie_;
  std::string prefix_;
  std::size_t longest_ = 100;
  std::uint32_t inside_ = token_trie::none;  // the node behind the prefix
  std::int32_t unknown_ = -1;
};

}  // namespace clipx::detail
