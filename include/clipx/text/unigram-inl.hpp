// unigram: the model of sentencepiece's Unigram: the tokens of the best sum of scores.
#pragma once
#include <algorithm>
#include <limits>

#include "serde_number.hpp"
#include "token_trie.hpp"
#include "vocabulary-inl.hpp"
#include "word_model.hpp"

namespace clipx::detail {

/// Viterbi's algorithm over the tokens that a trie finds at each character, in double precision, as the `tokenizers` library does
/// it, or in single precision as sentencepiece does.
class unigram final : public word_model {
 public:
  static constexpr const char* name = "Unigram";
  static bool claims(const json& model, const token_file& f) {
    const json* type = member(model, "type");
    return type ? *type == name : !f.vocab.scores.empty();
  }

  unigram(const json& model, const token_file& f)
      : vocab_(f.vocab), trie_(views(f)), bytes_([&](const std::string& s) { return trie_.find(s); }) {
    const auto n = static_cast<std::int64_t>(vocab_.tokens.size());
    expect(n > 0 && vocab_.scores.size() == vocab_.tokens.size(), error_kind::damaged,
           [&] { return cat(f.name, ": expected model.vocab, a list of tokens with scores (a Unigram tokenizer)"); });
    const json* unknown = member(model, "unk_id");
    const auto id = whole_number(unknown);
    expect(unknown ? id >= 0 && id < n : true, error_kind::damaged,
           [&] { return cat(f.name, ": model.unk_id: expected an id below ", n, ", got ", unknown->dump().substr(0, 40)); });
    unknown_ = static_cast<std::int32_t>(id);
    single_ = f.in_float;
    scores_ = vocab_.scores;
    for (double& score : scores_) score = single_ ? rounded(score) : as_serde(score);
    worst_ = rounded(*std::min_element(scores_.begin(), scores_.end()) - 10);
    falls_back_ = flag(model, "byte_fallback");
  }

  void append_text(std::string_view token, bool first, std::string& out) const override { append_piece(token, first, out); }

 private:
  struct node {  // the best way to the end of a character
    double score = 0;
    std::int32_t from = -1, id = -1;
  };

  static std::vector<std::string_view> views(const token_file& f) {
    std::vector<std::string_view> out;
    out.reserve(f.vocab.tokens.size());
    for (std::size_t i = 0; i < f.vocab.tokens.size(); ++i) out.push_back(f.vocab.tokens[i]);
    return out;
  }

  double rounded(double v) const { return single_ ? static_cast<double>(static_cast<float>(v)) : v; }

  static std::size_t char_size(char c) {
    const auto b = static_cast<unsigned char>(c);
    return b < 0xC0 ? 1 : b < 0xE0 ? 2 : b < 0xF0 ? 3 : 4;
  }

  void encode(std::string_view word, std::vector<std::int32_t>& out) const override {
    const std::size_t n = word.size();
    expect(n < static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()), "tokenizer: a word of more than two gigabytes");
    if (n < 64) {
      node best[64];
      return encode(word, best, out);
    }
    std::vector<node> best(n + 1);
    encode(word, best.data(), out);
  }

  void encode(std::string_view word, node* best, std::vector<std::int32_t>& out) const {
    const auto offer = [&](std::size_t from, std::size_t to, double score, std::int32_t id) {
      node& at = best[to];
      if (at.from < 0 || score > at.score) at = {score, static_cast<std::int32_t>(from), id};
    };
    for (std::size_t at = 0; at < word.size();) {
      const double score = best[at].score;
      const std::size_t one = std::min(char_size(word[at]), word.size() - at);
      bool single = false;
      auto walk = token_trie::root;
      for (std::size_t end = at; end < word.size();) {
        walk = trie_.child(walk, static_cast<unsigned char>(word[end++]));
        if (walk == token_trie::none) break;
        const std::int32_t id = trie_.value(walk);
        if (id < 0) continue;
        offer(at, end, rounded(score + scores_[static_cast<std::size_t>(id)]), id);
        single = single || end - at == one;
      }
      if (!single) {
        expect(unknown_ >= 0, error_kind::unsupported, [&] {
          return cat("tokenizer: \"", word.substr(at, one), "\" is in no token, and the Unigram model has no unk_id");
        });
        offer(at, at + one, rounded(score + worst_), unknown_);
      }
      at += one;
    }
    trace(word, best, out);
  }

  // From the end to the start; neighboring unknown characters are one token, or bytes.
  void trace(std::string_view word, const node* best, std::vector<std::int32_t>& out) const {
    struct part {
      std::size_t from, to;
      std::int32_t id;
    };
    std::vector<part> parts;
    for (std::size_t end = word.size(); end > 0;) {
      const node& at = best[end];
      const auto from = static_cast<std::size_t>(at.from);
      if (at.id == unknown_ && !parts.empty() && parts.back().id == unknown_) parts.back().from = from;
      else parts.push_back({from, end, at.id});
      end = from;
    }
    for (std::size_t i = parts.size(); i-- > 0;) {
      const auto& p = parts[i];
      if (p.id != unknown_) {
        out.push_back(p.id);
        continue;
      }
      const auto text = word.substr(p.from, p.to - p.from);
      if (const auto id = trie_.find(text); id >= 0) out.push_back(id);
      else if (!falls_back_ || !bytes_.append(text, out)) out.push_back(unknown_);
    }
  }

  const token_table& vocab_;
  std::vector<double> scores_;
  token_trie trie_;
  byte_tokens bytes_;
  double worst_ = 0;  // score of an unknown character
  bool single_ = false;
  std::int32_t unknown_ = -1;
  bool falls_back_ = false;
};

}  // namespace clipx::detail
