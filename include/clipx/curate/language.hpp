// The language of a text, by cld2 if clipx was built with it.
#pragma once
#include <string>
#include <string_view>

#include "../core/error.hpp"

namespace clipx {

/// What cld2 says about a text.
struct detected_language {
  std::string code;       // "en", "zh-Hant"; "un" if unknown
  int percent = 0;        // of the text's letters that are in this language
  double score = 0;       // cld2's normalized score; about 1000 for typical text in the language
  bool reliable = false;  // clearly more probable than the second best
};

/// The language of the largest part of a text. Thread-safe. Errors: clipx was built without cld2 (Debian: libcld2-dev).
detected_language detect_language(std::string_view utf8);

/// "cld2 V2.0 - 20141016", or "none" if languages cannot be detected.
std::string_view language_detector();

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "language-inl.hpp"
#endif
