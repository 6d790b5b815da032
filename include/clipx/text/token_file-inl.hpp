// Definitions of token_file.hpp.
#pragma once
#include <bit>
#include <cmath>
#include <cstring>

#include "../core/json-inl.hpp"
#include "token_file.hpp"

namespace clipx::detail {

inline std::uint64_t hash_token(std::string_view s) {
  std::uint64_t h = s.size() * 0x9E3779B97F4A7C15U;
  for (; s.size() >= 8; s.remove_prefix(8)) {
    std::uint64_t part = 0;
    std::memcpy(&part, s.data(), 8);
    h = (h ^ part) * 0x9FB21C651E98DF25U;
    h ^= h >> 32;
  }
  std::uint64_t part = 0;
  std::memcpy(&part, s.data(), s.size());
  h = (h ^ part) * 0x9FB21C651E98DF25U;
  return h ^ h >> 29;
}

CLIPX_INLINE token_index::token_index(const string_table& table) : table_(&table) {
  slots_.assign(std::bit_ceil(2 * table.size() + 2), -1);
  mask_ = slots_.size() - 1;
  for (std::size_t k = 0; k < table.size(); ++k) {
    const auto s = table[k];
    std::size_t i = hash_token(s) & mask_;
    while (slots_[i] >= 0 && table[static_cast<std::size_t>(slots_[i])] != s) i = (i + 1) & mask_;
    slots_[i] = static_cast<std::int32_t>(k);
  }
}

CLIPX_INLINE std::int32_t token_index::find(std::string_view s) const {
  if (slots_.empty()) return -1;
  for (std::size_t i = hash_token(s) & mask_;; i = (i + 1) & mask_)
    if (slots_[i] < 0 || (*table_)[static_cast<std::size_t>(slots_[i])] == s) return slots_[i];
}

/// Reads the vocabulary and the merges as they come.
class token_sink final : public json_sink {
 public:
  /// `root`: the file is a vocabulary itself.
  token_sink(const std::string& name, token_table& vocab, merge_list* merges, bool root)
      : name_(name), vocab_(vocab), merges_(merges), root_(root) {}

  bool takes(int level, std::string_view parent, std::string_view key) override {
    const bool vocab = root_ ? level == 0 : level == 2 && parent == "model" && key == "vocab";
    in_merges_ = merges_ && level == 2 && parent == "model" && key == "merges";
    depth_ = 0;
    if (!vocab && !in_merges_) return false;
    (vocab ? vocab_.present : merges_->present) = true;
    return true;
  }
  void opens(bool object) override {
    if (++depth_ == 1) {
      object_ = object;
      check(!object || !in_merges_, [] { return std::string("an object"); });
      return;
    }
    check(depth_ == 2 && !object && !object_, [] { return std::string("a list or object"); });
    fields_ = 0;
  }
  void closes() override {
    if (--depth_ == 1) check(fields_ == 2, [&] { return cat("a list of ", fields_); });
  }
  void key(std::string& s) override { add(vocab_.tokens, s); }
  void text(std::string& s) override {
    if (in_merges_) return merge(s);
    const auto wrong = [&] { return cat("\"", s.substr(0, 60), "\""); };
    if (object_) refuse_id(wrong());
    check(depth_ == 2 && fields_ == 0, wrong);
    add(vocab_.tokens, s);
    ++fields_;
  }
  void number(double v, bool integer) override {
    const auto shown = integer && std::abs(v) < 0x1p53 ? cat(static_cast<long long>(v)) : cat(v);
    check(!in_merges_ && (object_ || (depth_ == 2 && fields_ == 1)), [&] { return std::string(shown); });
    ++fields_;
    if (!object_) {
      check(std::isfinite(v), [&] { return std::string(shown); });
      vocab_.scores.push_back(v);
      return;
    }
    if (!integer || v < 0 || v >= static_cast<double>(most_entries)) refuse_id(shown);
    vocab_.ids.push_back(static_cast<std::int32_t>(v));
  }
  void other() override {
    if (object_ && !in_merges_) refuse_id("no number");
    check(false, [] { return std::string("true, false or null"); });
  }

 private:
  template <class Shown>
  void check(bool good, const Shown& shown) {
    expect(good, error_kind::damaged, [&] {
      if (in_merges_) return cat(name_, ": merge ", merges_->size(), ": expected two symbols, got ", shown());
      return cat(name_, ": entry ", vocab_.tokens.size(), " of the vocabulary: expected a token and its score, got ", shown());
    });
  }
  [[noreturn]] void refuse_id(const std::string& shown) {
    const auto n = vocab_.tokens.size();
    fail(error_kind::damaged, cat(name_, ": symbol \"", n ? vocab_.tokens[n - 1] : "", "\": expected an id from 0 to ",
                                  most_entries - 1, ", got ", shown));
  }
  void add(string_table& to, std::string_view s) {
    expect(to.size() < 2 * most_entries && to.text.size() + s.size() <= most_token_bytes, error_kind::unsupported,
           [&] { return cat(name_, ": expected at most ", most_entries, " tokens or merges of ", most_token_bytes, " bytes"); });
    to.add(s);
  }
  void merge(std::string_view s) {
    const auto shown = [&] { return cat("\"", s.substr(0, 60), "\""); };
    if (depth_ == 2) {
      check(!s.empty() && fields_ < 2, shown);
      add(merges_->symbols, s);
      ++fields_;
      return;
    }
    const auto gap = s.find(' ');
    check(gap != std::string_view::npos && gap > 0 && gap + 1 < s.size() && s.find(' ', gap + 1) == std::string_view::npos, shown);
    add(merges_->symbols, s.substr(0, gap));
    add(merges_->symbols, s.substr(gap + 1));
  }

  const std::string& name_;
  token_table& vocab_;
  merge_list* merges_;
  bool root_, in_merges_ = false, object_ = false;
  int depth_ = 0, fields_ = 0;
};

inline void check_table(const token_table& t, const std::string& name) {
  const auto n = t.tokens.size();
  expect(n <= most_entries, error_kind::unsupported, [&] { return cat(name, ": expected at most ", most_entries, " tokens"); });
  expect(t.ids.empty() || t.ids.size() == n, error_kind::damaged,
         [&] { return cat(name, ": a token of the vocabulary has no id"); });
}

CLIPX_INLINE token_file read_token_file(std::string_view text, const std::string& name) {
  expect(text.size() <= most_token_bytes, error_kind::unsupported,
         [&] { return cat(name, ": expected at most ", most_token_bytes, " bytes, got ", text.size()); });
  token_file out;
  out.name = name;
  token_sink sink(out.name, out.vocab, &out.merges, false);
  out.rest = parse_json(text, name, 16, nullptr, no_key_repeats, &sink).dump(-1, ' ', false, json::error_handler_t::replace);
  check_table(out.vocab, name);
  return out;
}

CLIPX_INLINE token_table read_token_table(std::string_view text, const std::string& name) {
  token_table out;
  token_sink sink(name, out, nullptr, true);
  const json whole = parse_json(text, name, 16, nullptr, no_key_repeats, &sink);
  expect(whole.is_object() && out.present && out.tokens.size() > 0, error_kind::damaged,
         [&] { return cat(name, ": expected an object of symbols and ids as the vocabulary"); });
  check_table(out, name);
  return out;
}

CLIPX_INLINE std::string token_file_text(const token_file& f) {
  json whole = parse_json(f.rest, f.name, 16);
  json& model = whole["model"];
  json vocab = f.vocab.scores.empty() ? json::object() : json::array();
  for (std::size_t i = 0; i < f.vocab.tokens.size(); ++i) {
    const std::string token(f.vocab.tokens[i]);
    if (f.vocab.scores.empty()) vocab[token] = f.vocab.ids[i];
    else vocab.push_back({token, f.vocab.scores[i]});
  }
  model["vocab"] = std::move(vocab);
  if (f.merges.present) {
    json merges = json::array();
    for (std::size_t i = 0; i < f.merges.size(); ++i)
      merges.push_back({std::string(f.merges[i].first), std::string(f.merges[i].second)});
    model["merges"] = std::move(merges);
  }
  return whole.dump();
}

}  // namespace clipx::detail
