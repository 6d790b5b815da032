// char_bpe: BPE over characters, with tokens of bytes for those that are in no vocabulary (Gemma's and Llama's kind).
#pragma once
#include "merges.hpp"
#include "unicode-inl.hpp"
#include "vocabulary-inl.hpp"
#include "word_model.hpp"

namespace clipx::detail {

/// Symbols are characters; the pair of the lowest rank is merged first, as the `tokenizers` library does it.
class char_bpe final : public word_model {
 public:
  static constexpr const char* name = "BPE";
  static bool claims(const json& model, const token_file& f) {
    const json* type = member(model, "type");
    return type ? *type == name : f.vocab.scores.empty() && f.merges.present;
  }

  char_bpe(const json& model, const token_file& f)
      : vocab_(f.vocab), index_(f.vocab.tokens), bytes_([&](const std::string& s) { return find(s); }) {
    expect(f.vocab.tokens.size() > 0 && f.vocab.scores.empty() && f.merges.present, error_kind::damaged,
           [&] { return cat(f.name, ": expected model.vocab and model.merges (a BPE tokenizer)"); });
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      const json* affix = member(model, key);
      expect(!affix || *affix == "", error_kind::unsupported, [&] {
        return cat(f.name, ": model.", key, ": expected none, or CLIP's end_of_word_suffix \"</w>\", got ",
                   affix->dump().substr(0, 40));
      });
    }
    const json* dropout = member(model, "dropout");
    expect(!dropout || (dropout->is_number() && dropout->get<double>() == 0), error_kind::unsupported,
           [&] { return cat(f.name, ": model.dropout: expected none"); });
    falls_back_ = flag(model, "byte_fallback");
    fuses_ = flag(model, "fuse_unk");
    whole_ = flag(model, "ignore_merges");
    const json* unknown = member(model, "unk_token");
    unknown_ = unknown && unknown->is_string() ? find(unknown->get_ref<const std::string&>()) : -1;
    expect(!unknown || unknown_ >= 0, error_kind::mismatch,
           [&] { return cat(f.name, ": model.unk_token ", unknown->dump().substr(0, 60), " is not in the vocabulary"); });
    rank(f);
  }

  void append(std::string_view piece, std::vector<std::int32_t>& out, std::size_t limit) const override {
    if (!splits_) return append_word(piece, out);
    for (std::size_t at = 0; at < piece.size() && out.size() < limit;) {
      std::size_t end = at;
      while (piece.substr(end).starts_with(mark)) end += mark.size();
      end = std::min(piece.find(mark, end), piece.size());
      append_word(piece.substr(at, end - at), out);
      at = end;
    }
  }

  void append_text(std::string_view token, bool, std::string& out) const override { append_piece(token, false, out); }

 private:
  static constexpr std::string_view mark = "\xE2\x96\x81";

  std::int32_t find(std::string_view token) const {
    const auto i = index_.find(token);
    return i < 0 ? -1 : vocab_.ids[static_cast<std::size_t>(i)];
  }

  void rank(const token_file& f) {
    merges_.reserve(f.merges.size());
    std::string joined;
    bool apart = find(mark) >= 0 && !whole_;  // no merge has a mark behind another character: what stands between is merged alone
    for (std::size_t i = 0; i < f.merges.size(); ++i) {
      const auto [left, right] = f.merges[i];
      joined.assign(left).append(right);
      const merge_table::entry e{find(left), find(right), static_cast<std::int32_t>(i), find(joined)};
      expect(e.left >= 0 && e.right >= 0 && e.id >= 0, error_kind::damaged, [&, l = left, r = right] {
        return cat(f.name, ": merge ", i, " (", l, " ", r, "): a symbol of it is not in the vocabulary");
      });
      merges_.insert(e);
      apart = apart && !(right.starts_with(mark) && !left.ends_with(mark));
    }
    splits_ = apart;
  }

  void encode(std::string_view word, std::vector<std::int32_t>& out) const override {
    if (whole_)
      if (const auto id = find(word); id >= 0) return out.push_back(id);
    expect(word.size() < (std::size_t(1) << 30), "tokenizer: a word of more than a gigabyte");
    const std::size_t before = out.size();
    int unknown = 0;  // characters that wait for their token
    const auto flush = [&] {
      for (; unknown > 0; --unknown) out.push_back(unknown_);
    };
    char32_t c = 0;
    for (std::size_t at = 0; at < word.size();) {
      const std::size_t from = at;
      next_utf8(word, at, c);
      const auto bytes = word.substr(from, at - from);
      if (const auto id = find(bytes); id >= 0) {
        flush();
        out.push_back(id);
      } else if (!falls_back_ || !bytes_.append(bytes, out)) {
        if (unknown_ < 0) continue;
        if (unknown > 0 && !fuses_) flush();
        unknown = 1;
      }
    }
    flush();
    const auto symbols = std::span(out).subspan(before);
    if (symbols.size() <= 64) {
      out.resize(before + merge_short(merges_, false, symbols));
      return;
    }
    std::vector<std::int32_t> all(symbols.begin(), symbols.end());
    merge_long(merges_, false, all);
    out.resize(before);
    out.insert(out.end(), all.begin(), all.end());
  }

  const token_table& vocab_;
  token_index index_;
  byte_tokens bytes_;
  merge_table merges_;
  std::int32_t unknown_ = -1;
  bool falls_back_ = false, fuses_ = false, whole_ = false, splits_ = false;
};

}  // namespace clipx::detail
