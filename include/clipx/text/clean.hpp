// Cleaning: what happens to a text before it is split into tokens.
#pragma once
#include <string>
#include <string_view>

#include "../core/error.hpp"
#include "html.hpp"
#include "unicode.hpp"

namespace clipx {

/// How a text is cleaned (docs/clip.md section 5.2).
/// - openai: ftfy's fix_text, HTML unescape twice, whitespace collapsed, lower case (openai/CLIP; open_clip's "lower").
/// - canonicalize, whitespace: open_clip's other rules: the same with ASCII punctuation removed; the same without lower case.
/// - hf: NFC, each run of whitespace replaced by one space, lower case letter by letter (transformers 5).
/// - lower: lower case letter by letter (what transformers 5 does first in its Siglip2Tokenizer).
/// - bare: lower case, ASCII punctuation removed, whitespace collapsed and trimmed (transformers 5's SiglipTokenizer,
///   which replaces characters as tokenizer_options::longest does).
/// - none: only ill-formed UTF-8 is replaced.
enum class clean_rule { openai, hf, canonicalize, whitespace, lower, bare, none };

/// The cleaned text, in UTF-8. Ill-formed UTF-8 becomes U+FFFD, as with Python's errors="replace".
///
/// This follows all steps of ftfy 6 but one: text that was decoded in a wrong encoding ("schÃ¶n") is left as it is, because
/// that step needs ftfy's own tables of such text. Entities nested so deeply that unwrapping them costs more than about 10^8
/// steps are left partly wrapped.
std::string clean(std::string_view utf8, clean_rule rule);

namespace detail {
/// The same, from code points to code points.
std::u32string clean_text(std::u32string text, clean_rule rule);
}  // namespace detail

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "clean-inl.hpp"
#endif
