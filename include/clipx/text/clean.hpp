// Cleaning: what happens to a text before it is cut into tokens.
#pragma once
#include <string>
#include <string_view>

#include "../core/error.hpp"
#include "html.hpp"
#include "unicode.hpp"

namespace clipx {

/// How a text is cleaned.
/// - openai: ftfy's fix_text, HTML unescape twice, spaces collapsed, lower case (openai/CLIP; open_clip's "lower").
/// - canonicalize, whitespace: open_clip's others: the same with ASCII punctuation removed; the same without the lower case.
/// - hf: NFC, each run of whitespace to one space, lower case letter by letter (transformers 5).
/// - none: only ill-formed UTF-8 is replaced.
enum class clean_rule { openai, hf, canonicalize, whitespace, none };

/// The cleaned text, in UTF-8. Ill-formed UTF-8 becomes U+FFFD as with Python's errors="replace".
///
/// ftfy is followed in all steps of its version 6 but one: text that was decoded in a wrong encoding ("schÃ¶n") is left as it
/// is, for that step needs ftfy's own tables of such text. Entities nested so deeply that unwrapping them costs more than
/// about 10^8 steps are left partly wrapped.
std::string clean(std::string_view utf8, clean_rule rule);

namespace detail {
/// The same, from code points to code points.
std::u32string clean_text(std::u32string text, clean_rule rule);
}  // namespace detail

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "clean-inl.hpp"
#endif
