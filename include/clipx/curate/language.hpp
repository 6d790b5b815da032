// Which language a text is in, by cld2 where clipx was built with it.
#pragma once
#include <string>
#include <string_view>

namespace clipx {

/// What cld2 says about a text.
struct detected_language {
  std::string code;       // "en", "zh-Hant"; "un" where it cannot be said
  int percent = 0;        // of the text's letters that are in it
  double score = 0;       // cld2's normalized score: of that language's text in general, about 1000 in a typical one
  bool reliable = false;  // clearly more probable than the second best
};

/// The language of most of a text. Thread-safe. Errors: clipx was built without cld2 (Debian: libcld2-dev).
detected_language detect_language(std::string_view utf8);

/// "cld2 V2.0 - 20141016", or "none": languages are not identified.
std::string_view language_detector();

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "language-inl.hpp"
#endif
