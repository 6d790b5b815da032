// pre_tokenizer: how a tokenizer.json splits normalized text into the words that its model sees.
#pragma once
#include <string>
#include <vector>

#include "byte_level-inl.hpp"
#include "normalizer-inl.hpp"
#include "text_pattern-inl.hpp"

namespace clipx::detail {

/// A text in pieces, which follow one another but need not touch.
struct text_pieces {
  struct range {
    std::size_t from, to;
  };
  std::u32string text;
  std::vector<range> ranges;
  bool at_start = false;  // whether the first piece starts where the whole text does
  bool joins = false;     // whether no mark is put before the first piece

  std::u32string_view operator[](std::size_t i) const {
    return std::u32string_view(text).substr(ranges[i].from, ranges[i].to - ranges[i].from);
  }
};

/// A sequence of steps, each as the `tokenizers` library does it.
class pre_tokenizer {
 public:
  void read(const json* p, const std::string& name) {
    if (!p) return;
    expect(steps_.size() < 100, error_kind::unsupported, [&] { return cat(name, ": pre_tokenizer: expected at most 100 steps"); });
    const json* type = member(*p, "type");
    const std::string t = type && type->is_string() ? type->get<std::string>() : std::string();
    const auto where = cat(name, ": pre_tokenizer ", t);
    if (t == "Sequence") {
      const json* list = member(*p, "pretokenizers");
      expect(list && list->is_array(), error_kind::damaged, [&] { return cat(where, ": expected a list, pretokenizers"); });
      for (const json& one : *list) read(&one, name);
    } else if (t == "Metaspace") {
      read_metaspace(*p, where);
    } else if (t == "ByteLevel") {
      step s{kind::bytes, behavior::isolated};
      s.scheme = !member(*p, "add_prefix_space") || flag(*p, "add_prefix_space") ? prepend::always : prepend::never;
      s.split = !member(*p, "use_regex") || flag(*p, "use_regex");
      steps_.push_back(std::move(s));
    } else if (t == "WhitespaceSplit") {
      steps_.push_back({kind::whitespace, behavior::removed});
    } else if (t == "BertPreTokenizer") {
      steps_.push_back({kind::whitespace, behavior::removed});
      steps_.push_back({kind::punctuation, behavior::isolated});
    } else if (t == "Punctuation") {
      steps_.push_back({kind::punctuation, read_behavior(*p, "isolated", where)});
    } else if (t == "Split") {
      step s{kind::pattern, read_behavior(*p, "", where)};
      s.invert = flag(*p, "invert");
      s.pattern = text_pattern::read(member(*p, "pattern"), where);
      steps_.push_back(std::move(s));
    } else {
      fail(error_kind::unsupported, cat(where, " is not supported"));
    }
  }

  void apply(text_pieces& pieces) const {
    for (const step& s : steps_) {
      if (s.what == kind::metaspace) mark_spaces(s, pieces);
      if (s.what == kind::bytes) to_bytes(s, pieces);
      else if (s.what != kind::metaspace || s.split) split(s, pieces);
    }
  }
  /// Whether tokens are made of characters that stand for bytes.
  bool byte_level() const {
    return std::any_of(steps_.begin(), steps_.end(), [](const step& s) { return s.what == kind::bytes; });
  }

 private:
  enum class kind { metaspace, whitespace, punctuation, pattern, bytes };
  enum class behavior { removed, isolated, previous, next, contiguous };
  enum class prepend { always, first, never };
  struct step {
    kind what;
    behavior keeps;
    bool invert = false, split = true;
    prepend scheme = prepend::never;
    text_pattern pattern{};
    char32_t mark = 0;
  };

  static behavior read_behavior(const json& p, const char* otherwise, const std::string& where) {
    const json* b = member(p, "behavior");
    std::string v = b && b->is_string() ? b->get<std::string>() : otherwise;
    for (char& c : v) c = static_cast<char>(c | 0x20);  // "MergedWithNext"; older files: "merged_with_next"
    std::erase(v, static_cast<char>('_' | 0x20));
    for (const auto& [word, is] : {std::pair("removed", behavior::removed), std::pair("isolated", behavior::isolated),
                                   std::pair("mergedwithprevious", behavior::previous), std::pair("mergedwithnext", behavior::next),
                                   std::pair("contiguous", behavior::contiguous)})
      if (v == word) return is;
    fail(error_kind::damaged, cat(where, ": unknown behavior"));
  }

  void read_metaspace(const json& p, const std::string& where) {
    step s{kind::metaspace, behavior::next};
    const json *mark = member(p, "replacement"), *scheme = member(p, "prepend_scheme");
    const auto c = mark && mark->is_string() ? decode_utf8(mark->get<std::string>()) : std::u32string(U"\u2581");
    expect(c.size() == 1, error_kind::damaged, [&] { return cat(where, ": expected one character as its replacement"); });
    s.mark = c[0];
    s.pattern = text_pattern::of(c);
    s.split = !member(p, "split") || flag(p, "split");
    s.scheme = prepend::always;
    if (scheme && *scheme == "first") s.scheme = prepend::first;
    else if (scheme && *scheme == "never") s.scheme = prepend::never;
    else if (scheme) expect(*scheme == "always", error_kind::damaged, [&] { return cat(where, ": unknown prepend_scheme"); });
    else if (member(p, "add_prefix_space") && !flag(p, "add_prefix_space")) s.scheme = prepend::never;
    steps_.push_back(std::move(s));
  }

  // Spaces become marks, and a mark is put before a piece that has none.
  static void mark_spaces(const step& s, text_pieces& pieces) {
    std::u32string text;
    text.reserve(pieces.text.size() + pieces.ranges.size());
    bool first = pieces.at_start, joins = pieces.joins;
    for (auto& r : pieces.ranges) {
      const auto piece = std::u32string_view(pieces.text).substr(r.from, r.to - r.from);
      const std::size_t from = text.size();
      const bool marked = piece[0] == s.mark || piece[0] == U' ';
      if (!marked && !joins && (s.scheme == prepend::always || (s.scheme == prepend::first && first))) text += s.mark;
      for (const char32_t c : piece) text += c == U' ' ? s.mark : c;
      r = {from, text.size()};
      first = joins = false;
    }
    pieces.text = std::move(text);
  }

  // Words of GPT-2's pattern, each as the characters that stand for its bytes.
  static void to_bytes(const step& s, text_pieces& pieces) {
    std::u32string text;
    std::vector<text_pieces::range> out;
    std::u32string spaced;
    for (const auto& r : pieces.ranges) {
      auto piece = std::u32string_view(pieces.text).substr(r.from, r.to - r.from);
      if (s.scheme == prepend::always && !piece.starts_with(U' ')) {
        spaced = U' ';
        piece = spaced += piece;
      }
      while (!piece.empty()) {
        const std::size_t n = s.split ? gpt2_word(piece) : piece.size(), from = text.size();
        append_stand_ins(piece.substr(0, n), text);
        out.push_back({from, text.size()});
        piece.remove_prefix(n);
      }
    }
    pieces.text = std::move(text);
    pieces.ranges = std::move(out);
  }

  static std::size_t match(const step& s, std::u32string_view text) {
    if (s.what == kind::whitespace) return is_space(text[0]) ? 1 : 0;
    if (s.what == kind::punctuation) return in_ranges(bert_punctuation, text[0]) ? 1 : 0;
    return s.pattern.match(text);
  }

  static void split(const step& s, text_pieces& pieces) {
    struct part {
      std::size_t from, to;
      bool hit;
    };
    std::vector<part> parts;
    std::vector<text_pieces::range> out;
    const bool started = pieces.at_start && !pieces.ranges.empty();
    for (const auto& r : pieces.ranges) {
      parts.clear();
      std::size_t from = r.from;
      for (std::size_t at = r.from; at < r.to;) {
        const std::size_t n = match(s, std::u32string_view(pieces.text).substr(at, r.to - at));
        if (n > 0 && from < at) parts.push_back({from, at, s.invert});
        if (n > 0) parts.push_back({at, at + n, !s.invert});
        at += n > 0 ? n : 1;
        if (n > 0) from = at;
      }
      if (from < r.to) parts.push_back({from, r.to, s.invert});
      join(s.keeps, parts);
      for (const auto& p : parts)
        if (!(p.hit && s.keeps == behavior::removed)) out.push_back({p.from, p.to});
    }
    pieces.at_start = started && !out.empty() && out[0].from == pieces.ranges[0].from;
    pieces.ranges = std::move(out);
  }

  // Joins parts with what matched.
  template <class Parts>
  static void join(behavior b, Parts& parts) {
    if (b == behavior::removed || b == behavior::isolated) return;
    std::size_t n = 0;
    if (b == behavior::next) {
      std::size_t w = parts.size();
      bool hit = false;
      for (std::size_t i = parts.size(); i-- > 0;) {
        const auto p = parts[i];
        if (p.hit && !hit && w < parts.size()) parts[w].from = p.from;
        else parts[--w] = p;
        hit = p.hit;
      }
      parts.erase(parts.begin(), parts.begin() + static_cast<std::ptrdiff_t>(w));
      return;
    }
    bool hit = false;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const auto p = parts[i];
      const bool joins = b == behavior::previous ? p.hit && !hit : p.hit == hit;
      if (joins && n > 0) parts[n - 1].to = p.to;
      else parts[n++] = p;
      hit = p.hit;
    }
    parts.resize(n);
  }

  std::vector<step> steps_;
};

}  // namespace clipx::detail
