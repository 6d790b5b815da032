// text_pattern: what a Replace or a Split of a tokenizer.json looks for.
#pragma once
#include <algorithm>
#include <string>
#include <string_view>

#include "unicode.hpp"
#include "vocabulary-inl.hpp"

namespace clipx::detail {

/// The most characters of a pattern or a replacement, and of a text while it is normalized: a file may not make texts explode.
inline constexpr std::size_t most_pattern = 4096, most_normalized = std::size_t(1) << 28;

inline void expect_normalized_size(std::size_t n) {
  expect(n <= most_normalized, error_kind::unsupported,
         [] { return cat("tokenizer: a text grows beyond ", most_normalized, " characters while it is normalized"); });
}

/// A string; or, of regular expressions, one character, \s or a list of characters in brackets, with + or {n,}.
class text_pattern {
 public:
  static text_pattern read(const json* p, const std::string& name) {
    text_pattern out;
    const json *literal = p ? member(*p, "String") : nullptr, *regex = p ? member(*p, "Regex") : nullptr;
    if (p && p->is_string()) literal = p;
    expect((literal && literal->is_string()) || (regex && regex->is_string()), error_kind::damaged,
           [&] { return cat(name, ": expected a pattern, String or Regex"); });
    if (literal) out.text_ = decode_utf8(literal->get<std::string>());
    else out.read_regex(decode_utf8(regex->get<std::string>()), name);
    expect(!out.text_.empty() || out.space_, error_kind::unsupported,
           [&] { return cat(name, ": an empty pattern is not supported"); });
    return out;
  }
  static text_pattern of(std::u32string s) {
    text_pattern out;
    out.text_ = std::move(s);
    return out;
  }

  /// The number of characters at the start of the text that match; 0: none.
  std::size_t match(std::u32string_view text) const {
    if (least_ == 0) return text.starts_with(text_) ? text_.size() : 0;
    std::size_t n = 0;
    while (n < text.size() && n < most_ && (space_ ? is_space(text[n]) : text_.find(text[n]) != std::u32string::npos)) ++n;
    return n >= least_ ? n : 0;
  }

 private:
  void read_regex(std::u32string_view r, const std::string& name) {
    const auto special = [](char32_t c) {
      return c < 0x80 && std::string_view("\\[](){}.*+?^$|").find(static_cast<char>(c)) != std::string_view::npos;
    };
    if (std::none_of(r.begin(), r.end(), special)) {
      text_ = r;
      return;
    }
    const auto whole = r;
    const auto refuse = [&] {
      fail(error_kind::unsupported, cat(name, ": the regular expression \"", encode_utf8(whole),
                                        "\" is not supported: expected a string, or one character, \\s or a list of characters in "
                                        "brackets, with + or {n,}"));
    };
    if (r.starts_with(U"\\s")) {
      space_ = true;
      r.remove_prefix(2);
    } else if (r[0] == U'\\' && r.size() > 1 && special(r[1])) {
      text_ = r[1];
      r.remove_prefix(2);
    } else if (r[0] == U'[') {
      r.remove_prefix(read_list(r, text_));
      if (text_.empty()) refuse();
    } else {
      if (special(r[0])) refuse();
      text_ = r[0];
      r.remove_prefix(1);
    }
    least_ = 1;
    if (r.empty()) most_ = 1;
    else if (r.size() == 4 && r[0] == U'{' && r[1] >= U'1' && r[1] <= U'9' && r.ends_with(U",}")) least_ = r[1] - U'0';
    else if (r != U"+") refuse();
  }

  // Reads a list such as [!"\#\-] and returns its length; 0 where it has anything but characters and escaped punctuation.
  static std::size_t read_list(std::u32string_view r, std::u32string& out) {
    for (std::size_t at = 1; at < r.size(); ++at) {
      if (r[at] == U']') return at + 1;
      const bool escaped = r[at] == U'\\' && at + 1 < r.size();
      const char32_t c = escaped ? r[++at] : r[at];
      const bool operates = c == U'\\' || c == U'[' || c == U'^' || c == U'-' || c == U'&';
      if (escaped ? !is_ascii_punctuation(c) : operates) break;
      out += c;
    }
    out.clear();
    return 0;
  }

  std::u32string text_;
  bool space_ = false;
  std::size_t least_ = 0, most_ = ~std::size_t(0);  // 0: the string itself; else that many of its characters, or of whitespace
};

}  // namespace clipx::detail
