#pragma once
#include <algorithm>
#include <filesystem>
#include <limits>

#include "../core/json-inl.hpp"
#include "../io/file_set.hpp"
#include "bpe.hpp"
#include "gunzip.hpp"
#include "ngram_model-inl.hpp"
#include "sentencepiece-inl.hpp"
#include "token_model-inl.hpp"
#include "token_models-inl.hpp"
#include "unicode.hpp"
#include "word_cache.hpp"

namespace clipx {
namespace detail {

using id_list = std::vector<std::int32_t>;

CLIPX_INLINE void vocabulary::merge_word(std::string_view word, id_list& out) const {
  if (word.empty()) return;
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(word[i]); };
  const std::size_t n = word.size();
  if (n <= 64) {
    std::int32_t symbol[64];
    for (std::size_t i = 0; i < n; ++i) symbol[i] = inner[byte(i)];
    symbol[n - 1] = last[byte(n - 1)];
    const auto left = merge_short(merges, options.follows == tokenizer_options::library::simple, {symbol, n});
    out.insert(out.end(), symbol, symbol + left);
    return;
  }
  expect(n < (std::size_t(1) << 30), "tokenizer: a word of more than a gigabyte");
  id_list symbol(n);
  for (std::size_t i = 0; i < n; ++i) symbol[i] = inner[byte(i)];
  symbol[n - 1] = last[byte(n - 1)];
  merge_long(merges, options.follows == tokenizer_options::library::simple, symbol);
  out.insert(out.end(), symbol.begin(), symbol.end());
}

CLIPX_INLINE void append_keyed(const vocabulary& v, const word_cache::key& key, std::string_view word, id_list& out) {
  if (const auto ids = v.cache->find(key); !ids.empty()) {
    out.insert(out.end(), ids.begin(), ids.end());
    return;
  }
  const std::size_t before = out.size();
  v.merge_word(word, out);
  v.cache->insert(key, std::span(out).subspan(before));
}

CLIPX_INLINE void vocabulary::append_word(std::string_view word, id_list& out) const {
  if (cache && word.size() > 1 && word.size() <= word_cache::longest) append_keyed(*this, word_cache::make_key(word), word, out);
  else merge_word(word, out);
}

// Encodes a text of plain ASCII in one pass: cleaning only lowers its case and collapses whitespace, which only separates
// words. Returns false, with `out` unchanged, if a byte needs the full scan. Stops once `out` has `limit` ids.
CLIPX_INLINE bool scan_ascii(const vocabulary& v, std::string_view text, id_list& out, std::size_t limit) {
  using ascii = vocabulary::ascii;
  const std::size_t before = out.size();
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  const auto* const end = p + text.size();
  // Takes n bytes as a word.
  const auto word = [&](std::size_t n) {
    const auto* const start = p;
    p += n;
    if (n == 1) return out.push_back(v.last[static_cast<unsigned char>(v.fold[*start])]);
    if (v.cache && n <= word_cache::longest) {
      word_cache::key key;
      auto* to = reinterpret_cast<char*>(key.part);
      for (std::size_t i = 0; i < n; ++i) to[i] = v.fold[start[i]];
      key.finish(n);
      return append_keyed(v, key, {to, n}, out);
    }
    std::string lowered(n, '\0');
    for (std::size_t i = 0; i < n; ++i) lowered[i] = v.fold[start[i]];
    v.merge_word(lowered, out);
  };
  const auto contraction = [&]() -> std::size_t {
    if (*p != '\'' || end - p < 2) return 0;
    const auto lower = [](unsigned char c) { return static_cast<char>(c | 0x20); };
    const char c = lower(p[1]), d = end - p > 2 ? lower(p[2]) : '\0';
    if (c == 's' || c == 't' || c == 'm' || c == 'd') return 2;
    return (c == 'r' && d == 'e') || (c == 'v' && d == 'e') || (c == 'l' && d == 'l') ? 3 : 0;
  };
  while (p < end && out.size() < limit) {
    const ascii kind = v.kind[*p];
    if (kind == ascii::space) {
      ++p;
      continue;
    }
    std::size_t n = kind == ascii::other ? contraction() : 0;
    if (n == 0) n = 1;
    if (n == 1 && kind != ascii::number)
      while (p + n < end && v.kind[p[n]] == kind) ++n;
    // a stop right after a word may change the word (a combining mark does)
    if (kind == ascii::stop || (p + n < end && v.kind[p[n]] == ascii::stop)) {
      out.resize(before);
      return false;
    }
    word(n);
  }
  return true;
}

// Unicode's simple case folding, as far as the ASCII strings of the pattern need it.
CLIPX_INLINE char32_t fold_ascii(char32_t c) { return c == 0x17F ? U's' : c >= U'A' && c <= U'Z' ? c + 32 : c; }

CLIPX_INLINE bool starts_with_folded(std::u32string_view text, std::string_view ascii) {
  if (text.size() < ascii.size()) return false;
  for (std::size_t i = 0; i < ascii.size(); ++i)
    if (fold_ascii(text[i]) != fold_ascii(static_cast<unsigned char>(ascii[i]))) return false;
  return true;
}

// Length of the contraction at the start of a text, or 0.
CLIPX_INLINE std::size_t contraction(std::u32string_view text, bool ignore_case) {
  if (text.size() < 2 || text[0] != U'\'') return 0;
  const auto at = [&](std::size_t i) { return i >= text.size() ? U'\0' : ignore_case ? fold_ascii(text[i]) : text[i]; };
  const char32_t c = at(1), d = at(2);
  if (c == U's' || c == U't' || c == U'm' || c == U'd') return 2;
  return (c == U'r' && d == U'e') || (c == U'v' && d == U'e') || (c == U'l' && d == U'l') ? 3 : 0;
}

// Splits cleaned text into words. The special strings of the library are part of its pattern: `simple` emits their id where the
// case matches exactly and otherwise reads them as one word; transformers has already found its own, so what is left of one is
// split into three words.
CLIPX_INLINE void scan(const vocabulary& v, std::u32string_view text, id_list& out, std::size_t limit) {
  const bool simple = v.options.follows == tokenizer_options::library::simple;
  const auto kind = [&](char32_t c) {
    // With case ignored, U+0345 is not a letter and, because it pairs with iota, not a symbol either: it is skipped.
    return simple && c == 0x345 ? char_kind::space : kind_of(c);
  };
  const auto word = [&](std::u32string_view w) { v.append_word(encode_utf8(w), out); };
  while (!text.empty() && out.size() < limit) {
    std::size_t n = 0;
    if (simple) {
      const special_token* special = nullptr;
      for (const auto& s : v.specials)
        if (!special && starts_with_folded(text, s.text)) special = &s;
      if (special) {
        n = special->text.size();
        if (encode_utf8(text.substr(0, n)) == special->text) out.push_back(special->id);
        else word(text.substr(0, n));
      }
    } else if (text[0] == U'<') {
      for (const std::u32string_view s : {U"<|startoftext|>", U"<|endoftext|>"})
        if (text.starts_with(s)) {
          n = s.size();
          word(s.substr(0, 2));
          word(s.substr(2, n - 4));
          word(s.substr(n - 2));
        }
    }
    if (n == 0) {
      const char_kind k = kind(text[0]);
      n = contraction(text, simple);
      if (n == 0) n = 1;
      if (n == 1 && (k == char_kind::letter || k == char_kind::other))
        while (n < text.size() && kind(text[n]) == k) ++n;
      if (k != char_kind::space) word(text.substr(0, n));
    }
    text.remove_prefix(n);
  }
}

// Splits a text at the special strings that are searched for after cleaning (or before it);
// calls piece(text) for the text between.
template <class Piece>
void split_specials(const vocabulary& v, std::u32string_view text, bool normalized, id_list& out, const Piece& piece) {
  struct pattern {
    std::u32string text;
    std::int32_t id;
  };
  std::vector<pattern> patterns;
  for (const auto& s : v.specials)
    if (s.normalized == normalized) {
      auto t = decode_utf8(s.text);
      if (normalized) t = clean_text(std::move(t), clean_rule::hf);
      if (!t.empty()) patterns.push_back({std::move(t), s.id});
    }
  std::size_t from = 0;
  for (std::size_t at = 0; at < text.size() && !patterns.empty();) {
    const pattern* best = nullptr;  // the longest one at this position
    for (const auto& p : patterns)
      if (text.substr(at).starts_with(p.text) && (!best || p.text.size() > best->text.size())) best = &p;
    if (!best) {
      ++at;
      continue;
    }
    if (at > from) piece(text.substr(from, at - from));
    out.push_back(best->id);
    from = at += best->text.size();
  }
  if (from < text.size()) piece(text.substr(from));
}

CLIPX_INLINE void encode_text(const vocabulary& v, std::string_view text, id_list& out, std::size_t limit) {
  if (scan_ascii(v, text, out, limit)) return;
  std::u32string t = clean_text(decode_utf8(text), v.options.clean);
  if (v.options.follows == tokenizer_options::library::simple) return scan(v, t, out, limit);
  split_specials(v, t, false, out, [&](std::u32string_view raw) {
    const std::u32string cleaned = clean_text(std::u32string(raw), clean_rule::hf);
    split_specials(v, cleaned, true, out, [&](std::u32string_view part) { scan(v, part, out, limit); });
  });
}

CLIPX_INLINE void vocabulary::append(std::string_view text, id_list& out, std::size_t limit) const {
  encode_text(*this, text, out, limit);
}

CLIPX_INLINE dim vocabulary::append_row(std::string_view text, id_list& out) const {
  return append_framed(options, frame, text, out, [&](std::size_t limit) { encode_text(*this, text, out, limit); });
}

CLIPX_INLINE std::string merges_text(const vocabulary& v) {
  std::string out = "#version: 0.2\n";
  for (const auto& m : v.merges.ranked()) out += cat(v.symbol(m.left), " ", v.symbol(m.right), "\n");
  return out;
}

CLIPX_INLINE std::string vocab_text(const vocabulary& v) {
  auto out = json::object();
  for (std::int32_t id = 0; id < v.size(); ++id) {
    const auto name = id == v.sot ? "<|startoftext|>" : id == v.eot ? "<|endoftext|>" : v.symbol(id);
    if (!name.empty()) out[name] = id;
  }
  return out.dump();
}

CLIPX_INLINE named_texts vocabulary::files() const {
  return {{"vocab.json", vocab_text(*this)}, {"merges.txt", merges_text(*this)}};
}

CLIPX_INLINE std::string vocabulary::decode(std::span<const std::int32_t> ids) const {
  std::string bytes;
  for (const auto id : ids)
    for (const char32_t c : decode_utf8(symbol(id))) {
      const int byte = c < alphabet().byte_at.size() ? alphabet().byte_at[c] : -1;
      if (byte >= 0) bytes += static_cast<char>(static_cast<unsigned char>(byte));
      else append_utf8(bytes, c);
    }
  std::string text = encode_utf8(decode_utf8(bytes)), out;
  for (std::size_t at = 0; at < text.size();) {
    const auto end = text.find("</w>", at);
    out.append(text, at, end == std::string::npos ? end : end - at);
    if (end == std::string::npos) break;
    out += ' ';
    at = end + 4;
  }
  return out;
}

}  // namespace detail

CLIPX_INLINE tokenizer tokenizer::from_ngrams(ngram_dictionary ngrams) {
  return tokenizer(std::make_shared<const detail::ngram_model>(std::move(ngrams)));
}

CLIPX_INLINE const ngram_dictionary* tokenizer::ngrams() const {
  const auto* m = dynamic_cast<const detail::ngram_model*>(model_.get());
  return m ? &m->ngrams : nullptr;
}

CLIPX_INLINE std::vector<std::int32_t> tokenizer::encode(std::string_view text) const {
  std::vector<std::int32_t> out;
  model_->append(text, out, out.max_size());
  return out;
}

CLIPX_INLINE dim tokenizer::append(std::string_view text, std::vector<std::int32_t>& out) const {
  return model_->append_row(text, out);
}

CLIPX_INLINE std::vector<std::int32_t> tokenizer::operator()(std::string_view text) const {
  std::vector<std::int32_t> out;
  append(text, out);
  return out;
}

CLIPX_INLINE std::vector<std::pair<std::string, std::string>> tokenizer::files() const { return model_->files(); }

CLIPX_INLINE void tokenizer::expect_id(std::int32_t id) const {
  expect(id >= 0 && id < vocab_size(), [&] { return cat("token id ", id, " is outside the vocabulary of ", vocab_size()); });
}

CLIPX_INLINE std::string tokenizer::symbol(std::int32_t id) const {
  expect_id(id);
  return model_->symbol(id);
}

CLIPX_INLINE std::string tokenizer::decode(std::span<const std::int32_t> ids) const {
  for (const auto id : ids) expect_id(id);
  return model_->decode(ids);
}

CLIPX_INLINE const detail::vocabulary& tokenizer::byte_bpe() const {
  const auto* v = dynamic_cast<const detail::vocabulary*>(model_.get());
  expect(v, error_kind::unsupported,
         "tokenizer: only a byte-level BPE has vocab.json and merges.txt; files() has this one's files");
  return *v;
}

CLIPX_INLINE std::string tokenizer::merges_text() const { return detail::merges_text(byte_bpe()); }
CLIPX_INLINE std::string tokenizer::vocab_text() const { return detail::vocab_text(byte_bpe()); }

CLIPX_INLINE tokenizer tokenizer::from_merges_bytes(std::string_view bytes, const tokenizer_options& o, const std::string& name) {
  return tokenizer(detail::read_merges(bytes, name, o));
}

CLIPX_INLINE tokenizer tokenizer::from_vocab_bytes(std::string_view vocab_json, std::string_view merges_txt,
                                                   const tokenizer_options& o, const std::string& name) {
  return tokenizer(detail::read_vocab(vocab_json, merges_txt, name, o));
}

CLIPX_INLINE tokenizer tokenizer::from_json_bytes(std::string_view json, const tokenizer_options& o, const std::string& name) {
  return tokenizer(detail::read_tokenizer_json(json, name, o));
}

CLIPX_INLINE tokenizer tokenizer::from_merges(const std::string& path, const tokenizer_options& o) {
  return from_merges_bytes(detail::read_file(path), o, path);
}

CLIPX_INLINE tokenizer tokenizer::from_vocab(const std::string& vocab_json, const std::string& merges_txt,
                                             const tokenizer_options& o) {
  return from_vocab_bytes(detail::read_file(vocab_json), detail::read_file(merges_txt), o, vocab_json + " + " + merges_txt);
}

CLIPX_INLINE tokenizer tokenizer::from_json(const std::string& tokenizer_json, const tokenizer_options& o) {
  return from_json_bytes(detail::read_file(tokenizer_json, detail::most_token_bytes), o, tokenizer_json);
}

CLIPX_INLINE tokenizer tokenizer::from_folder(const std::string& folder, const tokenizer_options& o) {
  return from_files(file_set::folder(folder), o);
}

CLIPX_INLINE tokenizer tokenizer::open(const std::string& path) {
  std::error_code none;
  const bool folder = std::filesystem::is_directory(path, none);
  if (!folder && !path.ends_with(".json")) return from_merges(path, tokenizer_options::openai());
  auto o = tokenizer_options::hf();
  const file_set files = file_set::folder(folder ? path : std::string());
  if (!folder || files.has("tokenizer.json") || files.has("spiece.model"))
    o.context_length = std::numeric_limits<std::int32_t>::max();
  const char* name = "tokenizer_config.json";
  const auto config = folder && files.has(name) ? detail::parse_json(files.text(name), files.path(name), 16) : detail::json();
  if (const auto* most = detail::member(config, "model_max_length"); most && most->is_number())
    o.context_length = static_cast<dim>(std::clamp(most->get<double>(), 2.0, static_cast<double>(o.context_length)));
  if (const auto* type = detail::member(config, "tokenizer_class"); type && type->is_string())
    detail::clean_as(type->get_ref<const std::string&>(), o);
  return folder ? from_files(files, o) : from_json(path, o);
}

CLIPX_INLINE tokenizer tokenizer::from_files(const file_set& files, const tokenizer_options& o) {
  const auto text = [&](const char* file) { return files.has(file) ? files.text(file) : std::string(); };
  const detail::folder_config config{true, text("tokenizer_config.json"), text("special_tokens_map.json"), text("spiece.model")};
  if (files.has("tokenizer.json"))
    return tokenizer(detail::read_tokenizer_json(files.text("tokenizer.json", detail::most_token_bytes),
                                                 files.path("tokenizer.json"), o, config));
  if (o.longest && files.has("spiece.model")) {
    const auto name = files.path("spiece.model");
    return tokenizer(
        detail::read_tokenizer_json(detail::sentencepiece_file(config.spiece, name).tokenizer_json(), name, o, config));
  }
  if (files.has("vocab.json") && files.has("merges.txt"))
    return tokenizer(detail::read_vocab(files.text("vocab.json"), files.text("merges.txt"),
                                        files.path("vocab.json") + " + merges.txt", o, config));
  const char* merges = "bpe_simple_vocab_16e6.txt.gz";
  if (!files.has(merges) && files.has("ngrams.tsv"))
    return from_ngrams(ngram_dictionary::from_bytes(files.text("ngrams.tsv"), files.path("ngrams.tsv")));
  for (const char* pieces : {"spiece.model", "sentencepiece.bpe.model", "tokenizer.model"})
    expect(files.has(merges) || !files.has(pieces), error_kind::unsupported, [&] {
      return cat(
          files.path(pieces),
          ": expected a tokenizer.json beside it, as transformers writes one: "
          "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER); only spiece.model with a tokenizer_config.json that "
          "names SiglipTokenizer is read by itself");
    });
  const bool of_hf =
      o.follows == tokenizer_options::library::hf && o.clean != clean_rule::none;  // as open_clip's hf_tokenizer_name
  expect(!of_hf || !files.has(merges), error_kind::mismatch, [&] {
    return cat(
        files.path(merges),
        ": the model's configuration names a tokenizer of Hugging Face (hf_tokenizer_name), and this is CLIP's own: expected "
        "tokenizer.json, as open_clip.get_tokenizer(NAME).tokenizer.save_pretrained(FOLDER) writes it");
  });
  expect(files.has(merges), error_kind::not_found, [&] {
    return cat(files.folder_path() ? *files.folder_path() : std::string("files in memory"),
               ": no tokenizer: expected tokenizer.json, or vocab.json and merges.txt, or bpe_simple_vocab_16e6.txt.gz, or "
               "ngrams.tsv");
  });
  return from_merges_bytes(files.text(merges), o, files.path(merges));
}

}  // namespace clipx
