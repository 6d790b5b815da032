// HTML character references: the two readers that CLIP's cleaning goes through.
#pragma once
#include <string>
#include <string_view>

#include "../core/error.hpp"

namespace clipx::detail {

/// HTML5's rules as Python's html.unescape applies them: named references, old names without a semicolon by longest prefix,
/// numbers (0x80-0x9F by Windows-1252; 0, surrogates and beyond U+10FFFF become U+FFFD; other invalid ones vanish).
std::u32string html_unescape(std::u32string_view text);

/// ftfy's cautious reader: only &name; and &#number; with the semicolon, and all-capital names (&EACUTE;).
std::u32string ftfy_unescape(std::u32string_view text);

/// Bytes 0x80-0x9F read as Windows-1252; the five that it leaves undefined stay.
char32_t windows_1252(char32_t c);

}  // namespace clipx::detail

#ifndef CLIPX_COMPILED
#include "html-inl.hpp"
#endif
