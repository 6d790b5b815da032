// Definitions of language.hpp.
#pragma once
#include <limits>

#include "../core/error.hpp"
#include "../text/unicode.hpp"
#include "language.hpp"
#ifdef CLIPX_HAS_CLD2
#include <cld2/public/compact_lang_det.h>
#include <cld2/public/encodings.h>
#endif

namespace clipx {

#ifdef CLIPX_HAS_CLD2

CLIPX_INLINE detected_language detect_language(std::string_view utf8) {
  // cld2 does not check its input, so ill-formed bytes are replaced first.
  const std::string repaired = detail::valid_utf8(utf8) ? std::string() : detail::encode_utf8(detail::decode_utf8(utf8));
  const std::string_view text = repaired.empty() ? utf8 : std::string_view(repaired);
  expect(text.size() <= static_cast<std::size_t>(std::numeric_limits<int>::max() / 2),
         [&] { return cat("detect_language: expected a text of at most 1 GiB, got ", text.size(), " bytes"); });
  const CLD2::CLDHints none{nullptr, nullptr, CLD2::UNKNOWN_ENCODING, CLD2::UNKNOWN_LANGUAGE};
  CLD2::Language best[3];
  int percents[3]{}, letters = 0;
  double scores[3]{};
  bool reliable = false;
  const auto language = CLD2::ExtDetectLanguageSummary(text.data(), static_cast<int>(text.size()), true, &none, 0, best, percents,
                                                       scores, nullptr, &letters, &reliable);
  int at = 0;
  while (at < 2 && best[at] != language) ++at;
  return {CLD2::LanguageCode(language), best[at] == language ? percents[at] : 0, best[at] == language ? scores[at] : 0, reliable};
}

CLIPX_INLINE std::string_view language_detector() {
  static const std::string name = cat("cld2 ", CLD2::DetectLanguageVersion());
  return name;
}

#else

CLIPX_INLINE detected_language detect_language(std::string_view) {
  fail(error_kind::unsupported,
       "the language of captions cannot be identified: clipx was built without cld2 (Debian: libcld2-dev)");
}

CLIPX_INLINE std::string_view language_detector() { return "none"; }

#endif

}  // namespace clipx
