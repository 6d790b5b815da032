// HTML character references: the two decoders that CLIP's cleaning uses.
#pragma once
#include <string>
#include <string_view>

#include "../core/error.hpp"

namespace clipx::detail {

/// HTML5's rules as Python's html.unescape applies them: named references; old names without a semicolon, by longest prefix;
/// numbers (0x80-0x9F by Windows-1252; 0, surrogates and values above U+10FFFF become U+FFFD; other invalid ones are removed).
std::u32string html_unescape(std::u32string_view text);

/// ftfy's stricter decoder: only &name; and &#number; with the semicolon, and names in capitals (&EACUTE;).
std::u32string ftfy_unescape(std::u32string_view text);

/// Maps 0x80-0x9F by Windows-1252; the five that it leaves undefined stay.
char32_t windows_1252(char32_t c);

}  // namespace clipx::detail

#ifndef CLIPX_COMPILED
#include "html-inl.hpp"
#endif
