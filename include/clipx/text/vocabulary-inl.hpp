#pragma once
#include <algorithm>
#include <bit>
#include <functional>
#include <iterator>
#include <queue>
#include <unordered_map>

#include "../core/function_ref.hpp"
#include "../core/json-inl.hpp"
#include "gunzip.hpp"
#include "unicode.hpp"
#include "vocabulary.hpp"
#include "word_cache.hpp"

namespace clipx::detail {

CLIPX_INLINE const byte_alphabet& alphabet() {
  static const auto table = [] {
    byte_alphabet a;
    a.byte_at.fill(-1);
    std::size_t place = 0;
    const auto put = [&](unsigned byte, char32_t c) {
      a.byte_of[place++] = static_cast<unsigned char>(byte);
      a.stand_in[byte] = c;
      a.byte_at[c] = static_cast<int>(byte);
    };
    const auto printable = [](unsigned b) { return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174; };
    for (unsigned b = 0; b < 256; ++b)
      if (printable(b)) put(b, b);
    char32_t next = 256;
    for (unsigned b = 0; b < 256; ++b)
      if (!printable(b)) put(b, next++);
    return a;
  }();
  return table;
}

using symbol_ids = std::unordered_map<std::string_view, std::int32_t>;

inline void check_sizes(const tokenizer_options& o) {
  expect(o.context_length >= 2, [&] { return cat("tokenizer: context length ", o.context_length, ", expected 2 at least"); });
  expect(o.cache_words >= 0 && o.cache_words <= (1 << 24),
         [&] { return cat("tokenizer: cannot cache ", o.cache_words, " words"); });
}

CLIPX_INLINE void check_options(const tokenizer_options& o) {
  check_sizes(o);
  expect(!o.sot.empty() && !o.eot.empty() && o.sot != o.eot,
         "tokenizer: the strings of start and end must differ and not be empty");
}

// The symbols of single bytes, inside a word and at its end.
CLIPX_INLINE void name_bytes(vocabulary& v, function_ref<std::int32_t(std::string_view)> id) {
  for (std::size_t b = 0; b < 256; ++b) {
    std::string s;
    append_utf8(s, alphabet().stand_in[b]);
    v.inner[b] = id(s);
    v.last[b] = id(s + "</w>");
    for (std::int32_t* i : {&v.inner[b], &v.last[b]})
      if (*i < 0) *i = v.unknown;
  }
}

// Ranks merges by the ids of their symbols.
CLIPX_INLINE void rank_merges(vocabulary& v, function_ref<std::int32_t(std::string_view)> id,
                              const std::vector<symbol_pair>& merges, const std::string& name) {
  v.merges.reserve(merges.size());
  std::string joined;
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const std::string_view left = merges[rank].first, right = merges[rank].second;
    joined.assign(left).append(right);
    const merge_table::entry e{id(left), id(right), static_cast<std::int32_t>(rank), id(joined)};
    if (e.left >= 0 && e.right >= 0 && e.id >= 0) v.merges.insert(e);
    else  // a merges file makes its own vocabulary: a pair of symbols that cannot occur does no harm there
      expect(v.options.follows != tokenizer_options::library::hf, error_kind::damaged,
             [&] { return cat(name, ": merge ", rank, " (", left, " ", right, "): a symbol of it is not in the vocabulary"); });
  }
}

// For the pass over plain ASCII: the kind of each byte, its lower-case form, and where the pass stops.
CLIPX_INLINE void classify_bytes(vocabulary& v) {
  using ascii = vocabulary::ascii;
  const tokenizer_options& o = v.options;
  const bool hf = o.follows == tokenizer_options::library::hf;
  const bool lowers = hf || o.clean == clean_rule::openai, fixes = o.clean != clean_rule::none;
  for (std::size_t b = 0; b < 256; ++b) {
    const auto c = static_cast<char32_t>(b);
    const char_kind k = c < 0x80 ? kind_of(c) : char_kind::other;
    v.kind[b] = k == char_kind::space    ? ascii::space
                : k == char_kind::letter ? ascii::letter
                : k == char_kind::number ? ascii::number
                                         : ascii::other;
    if (b >= 0x80 || (fixes && (b == '&' || b == 0x0B || b == 0x7F || (b < 0x20 && k != char_kind::space))))
      v.kind[b] = ascii::stop;
    v.fold[b] = static_cast<char>(static_cast<unsigned char>(lowers && b >= 'A' && b <= 'Z' ? b + 32 : b));
  }
  for (const auto& s : v.specials)
    if (!s.text.empty()) {
      const auto first = static_cast<unsigned char>(s.text[0]);
      v.kind[first] = ascii::stop;
      if (first < 0x80 && kind_of(first) == char_kind::letter) v.kind[first ^ 0x20U] = ascii::stop;
      if (is_space(first))  // cleaning may turn any whitespace character into this one
        std::replace(v.kind.begin(), v.kind.end(), ascii::space, ascii::stop);
    }
  if (hf) v.kind['<'] = ascii::stop;  // the pattern itself contains <|startoftext|> and <|endoftext|>
  if (o.clean == clean_rule::canonicalize || o.clean == clean_rule::hf || (!hf && !fixes)) v.kind.fill(ascii::stop);
}

CLIPX_INLINE std::int32_t id_in(const symbol_ids& ids, std::string_view text) {
  const auto it = ids.find(text);
  return it == ids.end() ? -1 : it->second;
}

// Derives the parts of a vocabulary that follow from its symbols and options.
CLIPX_INLINE void finish(vocabulary& v, const symbol_ids& ids, const std::vector<symbol_pair>& merges, const std::string& name) {
  check_options(v.options);
  const auto id = [&](std::string_view s) { return id_in(ids, s); };
  name_bytes(v, id);
  rank_merges(v, id, merges, name);
  classify_bytes(v);
  v.set_frame({v.sot, v.eot, v.pad}, name);
  if (v.options.cache_words > 0) v.cache = std::make_unique<word_cache>(static_cast<std::size_t>(v.options.cache_words));
}

// Lines of a merges file as pairs of symbols, from line `first` on, at most `most`. An empty last line is not a merge.
CLIPX_INLINE std::vector<symbol_pair> split_merges(std::string_view text, const std::string& name, std::size_t first,
                                                   std::size_t most) {
  std::vector<symbol_pair> out;
  std::size_t line = 0;
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.remove_suffix(1);
  for (std::size_t at = 0; at < text.size() && out.size() < most; ++line) {
    const auto end = std::min(text.find('\n', at), text.size());
    auto row = text.substr(at, end - at);
    at = end + 1;
    if (!row.empty() && row.back() == '\r') row.remove_suffix(1);
    if (line < first || row.starts_with("#version")) continue;
    const auto gap = row.find(' ');
    const bool good =
        gap != std::string_view::npos && gap > 0 && gap + 1 < row.size() && row.find(' ', gap + 1) == std::string_view::npos;
    expect(good, error_kind::damaged, [&] {
      return cat(name, ": line ", line + 1, ": expected two symbols and a space between them, got \"", row.substr(0, 80), "\"");
    });
    out.emplace_back(row.substr(0, gap), row.substr(gap + 1));
  }
  return out;
}

CLIPX_INLINE vocabulary_ptr make_vocabulary(const std::vector<symbol_pair>& merges, const std::string& name, tokenizer_options o) {
  auto v = std::make_shared<vocabulary>();
  v->symbols.reserve(512 + merges.size() + 2);
  for (const char* end : {"", "</w>"})
    for (unsigned char b : alphabet().byte_of) {
      std::string s;
      append_utf8(s, alphabet().stand_in[b]);
      v->symbols.push_back(s + end);
    }
  for (const auto& [left, right] : merges) v->symbols.push_back(std::string(left).append(right));
  v->sot = static_cast<std::int32_t>(v->symbols.size());
  v->unknown = v->eot = v->sot + 1;
  v->symbols.push_back(o.sot);
  v->symbols.push_back(o.eot);
  v->specials = {{o.sot, v->sot, false}, {o.eot, v->eot, false}};
  v->pad = o.follows == tokenizer_options::library::hf ? v->eot : 0;
  v->options = std::move(o);
  symbol_ids ids;
  ids.reserve(v->symbols.size());
  for (std::size_t i = 0; i < v->symbols.size(); ++i) ids[v->symbols[i]] = static_cast<std::int32_t>(i);
  finish(*v, ids, merges, name);
  return v;
}

CLIPX_INLINE vocabulary_ptr read_merges(std::string_view bytes, const std::string& name, tokenizer_options o) {
  const std::string text = gunzip(bytes, name);
  const auto merges = split_merges(text, name, 1, most_merges);
  expect(!merges.empty(), error_kind::damaged,
         [&] { return cat(name, ": no merges: expected a header line, then two symbols a line"); });
  return make_vocabulary(merges, name, std::move(o));
}

inline constexpr std::int64_t most_ids = most_entries;  // a larger vocabulary is a damaged file

CLIPX_INLINE const json* member(const json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto it = object.find(key);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

CLIPX_INLINE bool flag(const json& object, const char* key) {
  const json* m = member(object, key);
  return m && m->is_boolean() && m->get<bool>();
}

// A token in a config is a string, or an object with its content and flags.
struct token_spec {
  std::string text;
  bool is_object = false, normalized = false;
};

CLIPX_INLINE token_spec read_token(const json* token, const std::string& name) {
  token_spec out;
  if (!token) return out;
  if (token->is_string()) out.text = token->get<std::string>();
  if (!token->is_object()) return out;
  const json* content = member(*token, "content");
  if (content && content->is_string()) out.text = content->get<std::string>();
  out.is_object = true;
  out.normalized = flag(*token, "normalized");
  expect(!flag(*token, "lstrip") && !flag(*token, "rstrip") && !flag(*token, "single_word"), error_kind::unsupported,
         [&] { return cat(name, ": added token \"", out.text, "\": lstrip, rstrip and single_word are not supported"); });
  return out;
}

// Adds a token to the list of special tokens, or replaces its entry there; id < 0 asks for the next free id.
CLIPX_INLINE void add_special(vocabulary& v, std::vector<special_token>& list, const token_spec& t, std::int64_t id,
                              const std::string& name) {
  expect(!t.text.empty(), error_kind::damaged, [&] { return cat(name, ": an added token has no text"); });
  if (id < 0) id = static_cast<std::int64_t>(v.symbols.size());
  expect(id < most_ids, error_kind::damaged,
         [&] { return cat(name, ": added token \"", t.text, "\" has the id ", id, ", expected less than ", most_ids); });
  const auto at = static_cast<std::size_t>(id);
  if (v.symbols.size() <= at) v.symbols.resize(at + 1);
  if (v.symbols[at].empty()) v.symbols[at] = t.text;
  special_token s{t.text, static_cast<std::int32_t>(id), t.normalized};
  for (auto& known : list)
    if (known.text == t.text) {
      known = std::move(s);
      return;
    }
  expect(list.size() < 10'000, error_kind::unsupported,
         [&] { return cat(name, ": expected at most 10,000 added tokens"); });  // real ones have a few
  list.push_back(std::move(s));
}

// The id of an added token or symbol, or -1.
CLIPX_INLINE std::int32_t id_in(const std::vector<special_token>& tokens, const symbol_ids& ids, const std::string& text) {
  for (const auto& s : tokens)
    if (s.text == text) return s.id;
  return id_in(ids, text);
}

// The tokens that a folder's configs name, in the order in which transformers 5 reads them: the later of two entries wins.
CLIPX_INLINE void add_named(vocabulary& v, std::vector<special_token>& tokens, const symbol_ids& ids, const folder_config& files,
                            const std::string& name, tokenizer_options& o) {
  const std::string where = name + ": tokenizer_config.json";
  const json config = files.tokenizer_config.empty() ? json() : parse_json(files.tokenizer_config, where, 16);
  const json* decoder = member(config, "added_tokens_decoder");
  const json map = files.special_tokens_map.empty() || decoder
                       ? json()
                       : parse_json(files.special_tokens_map, name + ": special_tokens_map.json", 16);
  if (decoder && decoder->is_object()) {
    tokens.clear();
    for (auto it = decoder->begin(); it != decoder->end(); ++it) {
      std::int64_t id = 0;
      const auto end = it.key().data() + it.key().size();
      expect(std::from_chars(it.key().data(), end, id).ptr == end && id >= 0, error_kind::damaged,
             [&] { return cat(where, ": \"", it.key(), "\" is not an id"); });
      add_special(v, tokens, read_token(&*it, where), id, where);
    }
  }
  const std::vector<special_token> listed = tokens;
  const auto id_of = [&](const std::string& text) { return id_in(tokens, ids, text); };
  const std::string end = o.eot;  // CLIPTokenizer's own default, whatever the end token is called
  const auto add = [&](token_spec t, bool given) {
    if (given)
      for (const auto& s : listed)
        if (s.text == t.text) t.normalized = s.normalized;
    add_special(v, tokens, t, id_of(t.text), where);
  };
  for (const char* key : {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"}) {
    token_spec t = read_token(member(map, key) ? member(map, key) : member(config, key), where);
    const bool given = !t.text.empty();
    const std::string_view k = key;
    if (!given && k == "bos_token") t.text = o.sot;
    if (!given && (k == "eos_token" || k == "unk_token" || k == "pad_token")) t.text = end;
    if (t.text.empty()) continue;
    if (k == "bos_token") o.sot = t.text;
    if (k == "eos_token") o.eot = t.text;
    add(t, given);
    if (k == "pad_token") v.pad = id_of(t.text);
    if (k == "unk_token") v.unknown = id_of(t.text);
  }
  for (const char* key : {"additional_special_tokens", "extra_special_tokens"})
    if (const json* list = member(map, key) ? member(map, key) : member(config, key); list && list->is_array())
      for (const json& token : *list) add(read_token(&token, where), true);
}

// The symbols of a vocabulary and their ids. The views are of the table.
CLIPX_INLINE symbol_ids read_symbols(vocabulary& v, const token_table& vocab, const std::string& name) {
  expect(vocab.scores.empty() && vocab.tokens.size() > 0, error_kind::damaged,
         [&] { return cat(name, ": expected an object of symbols and ids as the vocabulary"); });
  symbol_ids ids;
  ids.reserve(vocab.tokens.size());
  std::vector<bool> taken;
  for (std::size_t i = 0; i < vocab.tokens.size(); ++i) {
    const auto symbol = vocab.tokens[i];
    const auto at = static_cast<std::size_t>(vocab.ids[i]);
    if (at >= taken.size()) taken.resize(at + 1);
    expect(!taken[at], error_kind::damaged,
           [&] { return cat(name, ": symbol \"", symbol, "\": its id ", at, " is another symbol's too"); });
    taken[at] = true;
    if (at >= v.symbols.size()) v.symbols.resize(at + 1);
    v.symbols[at] = symbol;
    expect(ids.emplace(symbol, vocab.ids[i]).second, error_kind::damaged,
           [&] { return cat(name, ": key \"", symbol, "\" appears twice"); });
  }
  return ids;
}

// What a tokenizer.json adds to vocabulary and merges.
struct json_additions {
  const json *tokens = nullptr, *unknown = nullptr;  // added_tokens, model.unk_token
};

// A vocabulary of the `tokenizers` library: symbols with ids, merges, added tokens, tokenizer_config.json.
CLIPX_INLINE vocabulary_ptr from_symbols(const token_table& vocab, const std::vector<symbol_pair>& merges,
                                         const json_additions& added, const std::string& name, tokenizer_options o,
                                         const folder_config& config) {
  const bool hf = o.follows == tokenizer_options::library::hf;
  auto v = std::make_shared<vocabulary>();
  const symbol_ids ids = read_symbols(*v, vocab, name);
  std::vector<special_token> tokens;
  if (added.tokens && added.tokens->is_array())
    for (const json& token : *added.tokens) {
      const auto value = whole_number(member(token, "id"));
      expect(value >= 0, error_kind::damaged, [&] { return cat(name, ": an added token has no id"); });
      add_special(*v, tokens, read_token(&token, name), value, name);
    }
  v->pad = -1;
  if (hf && added.unknown && added.unknown->is_string()) v->unknown = id_in(tokens, ids, added.unknown->get<std::string>());
  if (hf && config.present) add_named(*v, tokens, ids, config, name, o);
  if (hf) v->specials = tokens;
  const auto resolve = [&](const std::string& text, const char* one, const char* other) {
    std::int32_t id = id_in(tokens, ids, text);
    if (id < 0 && !hf) id = std::max(id_in(tokens, ids, one), id_in(tokens, ids, other));
    expect(id >= 0, error_kind::mismatch, [&] { return cat(name, ": no symbol \"", text, "\" in the vocabulary"); });
    const auto same = [&](const special_token& s) { return s.text == text; };
    if (std::none_of(v->specials.begin(), v->specials.end(), same)) v->specials.push_back({text, id, false});
    return id;
  };
  v->sot = resolve(o.sot, "<|startoftext|>", "<start_of_text>");
  v->eot = resolve(o.eot, "<|endoftext|>", "<end_of_text>");
  if (v->pad < 0) v->pad = hf ? v->eot : 0;
  if (v->unknown < 0) v->unknown = v->eot;
  v->options = std::move(o);
  finish(*v, ids, merges, name);
  return v;
}

CLIPX_INLINE vocabulary_ptr read_vocab(std::string_view vocab, std::string_view merges, const std::string& name,
                                       tokenizer_options o, const folder_config& config) {
  return from_symbols(read_token_table(vocab, name), split_merges(merges, name, 0, most_entries), {}, name, std::move(o), config);
}

// Whether the model of a tokenizer.json is CLIP's.
inline bool is_byte_bpe(const json& model) {
  const json *type = member(model, "type"), *suffix = member(model, "end_of_word_suffix");
  return (!type || *type == "BPE") && suffix && *suffix == "</w>";
}

inline vocabulary_ptr read_byte_bpe(const json& root, const token_file& f, tokenizer_options o, const folder_config& config) {
  expect(f.merges.present, error_kind::damaged,
         [&] { return cat(f.name, ": expected model.vocab and model.merges (a BPE tokenizer)"); });
  std::vector<symbol_pair> merges;
  merges.reserve(f.merges.size());
  for (std::size_t i = 0; i < f.merges.size(); ++i) merges.push_back(f.merges[i]);
  return from_symbols(f.vocab, merges, {member(root, "added_tokens"), member(root.at("model"), "unk_token")}, f.name, std::move(o),
                      config);
}

}  // namespace clipx::detail
