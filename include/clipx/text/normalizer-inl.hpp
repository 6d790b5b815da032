// text_normalizer: the normalizer of a tokenizer.json.
#pragma once
#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "bert_characters_table.hpp"
#include "charsmap-inl.hpp"
#include "text_pattern-inl.hpp"

namespace clipx::detail {

/// A sequence of steps over code points, each as the `tokenizers` library does it.
class text_normalizer {
 public:
  /// `longest`: tokenizer_options::longest. Of the file's steps only the table of sentencepiece's model is then used.
  void read(const json* n, const std::string& name, bool longest) {
    if (!n) return;
    expect(steps_.size() < 100, error_kind::unsupported, [&] { return cat(name, ": normalizer: expected at most 100 steps"); });
    const json* type = member(*n, "type");
    const std::string t = type && type->is_string() ? type->get<std::string>() : std::string();
    if (t == "Sequence") {
      const json* list = member(*n, "normalizers");
      expect(list && list->is_array(), error_kind::damaged,
             [&] { return cat(name, ": normalizer: expected a list, normalizers"); });
      for (const json& one : *list) read(&one, name, longest);
      return;
    }
    if (longest && t != "Precompiled") return;
    step s;
    const auto where = cat(name, ": normalizer ", t);
    const auto is = [&](const char* key, bool otherwise) { return member(*n, key) ? flag(*n, key) : otherwise; };
    if (t == "Precompiled") {
      const json* map = member(*n, "precompiled_charsmap");
      if (!map || *map == "") return;
      expect(map->is_string(), error_kind::damaged, [&] { return cat(where, ": expected precompiled_charsmap"); });
      s.map = std::make_shared<const charsmap>(map->get_ref<const std::string&>(), where, longest);
      s.what = kind::precompiled;
      s.collapses = longest;
    } else if (t == "Replace") {
      const json* content = member(*n, "content");
      expect(content && content->is_string(), error_kind::damaged, [&] { return cat(where, ": expected content"); });
      s.what = kind::replace;
      s.pattern = text_pattern::read(member(*n, "pattern"), where);
      s.content = read_content(*content, where);
    } else if (t == "Prepend") {
      const json* content = member(*n, "prepend");
      expect(content && content->is_string(), error_kind::damaged, [&] { return cat(where, ": expected prepend"); });
      s.what = kind::prepend;
      s.content = read_content(*content, where);
    } else if (t == "Strip") {
      s.what = kind::strip;
      s.left = is("strip_left", true);
      s.right = is("strip_right", true);
    } else if (t == "BertNormalizer") {
      const bool lower = is("lowercase", true), accents = is("strip_accents", lower);
      if (is("clean_text", true)) steps_.push_back({kind::clean});
      if (is("handle_chinese_chars", true)) steps_.push_back({kind::space_han});
      if (accents) steps_.push_back({kind::nfd});
      if (accents) steps_.push_back({kind::strip_nonspacing});
      if (lower) steps_.push_back({kind::lower});
      return;
    } else {
      const std::pair<const char*, kind> simple[] = {{"Lowercase", kind::lower}, {"NFC", kind::nfc},
                                                     {"NFD", kind::nfd},         {"NFKC", kind::nfkc},
                                                     {"NFKD", kind::nfkd},       {"StripAccents", kind::strip_marks}};
      const auto* it = std::find_if(std::begin(simple), std::end(simple), [&](auto& p) { return t == p.first; });
      expect(it != std::end(simple), error_kind::unsupported, [&] { return cat(where, " is not supported"); });
      s.what = it->second;
    }
    steps_.push_back(std::move(s));
  }

  void apply(std::u32string& text) const {
    for (const step& s : steps_) apply(s, text);
  }

 private:
  enum class kind {
    lower,
    nfc,
    nfd,
    nfkc,
    nfkd,
    strip_marks,
    strip_nonspacing,
    clean,
    space_han,
    precompiled,
    replace,
    prepend,
    strip
  };
  struct step {
    kind what = kind::lower;
    bool left = false, right = false, collapses = false;
    text_pattern pattern{};
    std::u32string content{};
    std::shared_ptr<const charsmap> map{};
  };

  static std::u32string read_content(const json& content, const std::string& where) {
    auto out = decode_utf8(content.get<std::string>());
    expect(out.size() <= most_pattern, error_kind::unsupported,
           [&] { return cat(where, ": expected a replacement of at most ", most_pattern, " characters, got ", out.size()); });
    return out;
  }
  static void replace(const step& s, std::u32string& text) {
    std::u32string out;
    std::size_t from = 0;
    for (std::size_t at = 0; at < text.size();) {
      const auto n = s.pattern.match(std::u32string_view(text).substr(at));
      if (n == 0) {
        ++at;
        continue;
      }
      out.append(text, from, at - from).append(s.content);
      from = at += n;
      expect_normalized_size(out.size());
    }
    if (from == 0) return;
    text = out.append(text, from);
  }
  static void strip(const step& s, std::u32string& text) {
    std::size_t from = 0, to = text.size();
    while (s.left && from < to && is_space(text[from])) ++from;
    while (s.right && from < to && is_space(text[to - 1])) --to;
    text = text.substr(from, to - from);
  }
  // Control and format characters, those of private use, U+FFFD go; whitespace becomes a space.
  static void clean(std::u32string& text) {
    const auto unwanted = [](char32_t c) { return c < 0x20 || c > 0x7E ? c == 0 || in_ranges(bert_controls, c) : false; };
    text.erase(std::remove_if(text.begin(), text.end(), unwanted), text.end());
    std::replace_if(text.begin(), text.end(), is_space, U' ');
  }
  static void space_han(std::u32string& text) {
    if (std::all_of(text.begin(), text.end(), [](char32_t c) { return c < 0x3400; })) return;
    std::u32string out;
    for (const char32_t c : text) {
      if (is_bert_han(c)) (out += U' ') += c;
      else out += c;
      if (is_bert_han(c)) out += U' ';
    }
    text = std::move(out);
  }
  // BERT's CJK ideographs. The `tokenizers` library has 2B920, not 2B820, as the start of its last plane but one.
  static bool is_bert_han(char32_t c) {
    return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
           (c >= 0x2A700 && c <= 0x2B73F) || (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
           (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
  }
  static void apply(const step& s, std::u32string& text) {
    const auto drop = [&](auto&& unwanted) { text.erase(std::remove_if(text.begin(), text.end(), unwanted), text.end()); };
    switch (s.what) {
      case kind::lower:
        return to_lower(text, false);
      case kind::nfc:
        return to_old_normal_form(text, false, true);
      case kind::nfd:
        return to_old_normal_form(text, false, false);
      case kind::nfkc:
        return to_old_normal_form(text, true, true);
      case kind::nfkd:
        return to_old_normal_form(text, true, false);
      case kind::strip_marks:
        return drop([](char32_t c) { return c >= 0x300 && is_mark(c); });
      case kind::strip_nonspacing:
        return drop([](char32_t c) { return c >= 0x300 && in_ranges(bert_accents, c); });
      case kind::clean:
        return clean(text);
      case kind::space_han:
        return space_han(text);
      case kind::precompiled:
        s.map->apply(text);
        if (s.collapses) collapse_spaces(text);
        return;
      case kind::replace:
        return replace(s, text);
      case kind::prepend:
        if (!text.empty()) text.insert(0, s.content);
        return;
      case kind::strip:
        return strip(s, text);
    }
  }

  std::vector<step> steps_;
};

}  // namespace clipx::detail
