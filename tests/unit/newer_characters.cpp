// Where tokenizers depend on versions and on the last bit of a number: ids are those of the `tokenizers` library (0.23.3), whatever
// utf8proc is installed.
#include <clipx/text/bpe.hpp>
#include <clipx/text/gunzip.hpp>
#include <clipx/text/serde_number.hpp>
#include <clipx/text/unicode.hpp>
#include <nlohmann/json.hpp>

#include "catch.hpp"

namespace test_newer_characters {

using namespace clipx;
using nlohmann::json;
using ids = std::vector<std::int32_t>;

TEST_CASE("characters newer than utf8proc 2.8", "[text]") {
  using detail::char_kind, detail::kind_of;
  for (const char32_t letter : std::u32string_view(U"\x10D59\x13D68\x1C89\x2EBF0\x2EE5D"))
    CHECK(kind_of(letter) == char_kind::letter);
  for (const char32_t number : std::u32string_view(U"\x10D41\x1CCF0\x1CCF9")) CHECK(kind_of(number) == char_kind::number);
  for (const char32_t other : std::u32string_view(U"\x1C8B\x2EE5E\x1CCFA\x10FFFF\x378")) CHECK(kind_of(other) == char_kind::other);
  std::u32string text = U"\x1C89\xA7CB\xA7DC\x10D50\x10D65\x10D66\x16EB8\x10FFFF";
  detail::to_lower(text, false);
  CHECK(text == U"\x1C8A\x264\x19B\x10D70\x10D85\x10D66\x16ED3\x10FFFF");
  // what Unicode 9 did not have stays as and where it is
  std::u32string mixed = U"\x1FBF2\x32FF\x65\x301\x1ACE\x301";
  detail::to_old_normal_form(mixed, true, true);
  CHECK(mixed == U"\x1FBF2\x32FF\xE9\x1ACE\x301");
  std::u32string marks = U"a\x1ACE\x301\x334";
  detail::to_old_normal_form(marks, false, false);
  CHECK(marks == U"a\x1ACE\x334\x301");
}

TEST_CASE("characters newer than utf8proc 2.8: CLIP's ids", "[text]") {
  const std::string words = std::string(CLIPX_SOURCE_DIR) + "/tests/golden/words/";
  const auto t = tokenizer::from_vocab(words + "vocab.json", words + "merges.txt", tokenizer_options::hf());
  CHECK(t("a\U00013D68\U00013D69 b") == ids{4094, 64, 172, 241, 113, 101, 172, 241, 113, 358, 321, 4095});
  CHECK(t("\U00010D59\U00010D70x") == ids{4094, 172, 238, 113, 117, 172, 238, 113, 108, 343, 4095});
  CHECK(t("\U00011935\U00011930") == ids{4094, 172, 239, 97, 113, 172, 239, 97, 364, 4095});
  CHECK(t("a\u1ACE\u0301\u0334") == ids{4094, 320, 157, 104, 236, 136, 112, 136, 479, 4095});
  CHECK(t("\U00010D41\U00010D42") == ids{4094, 172, 238, 113, 479, 172, 238, 113, 480, 4095});
}

// The table of tests/golden/token_files.py makes a space of U+00A0, and of a short grapheme cluster that begins with it.
TEST_CASE("characters newer than utf8proc 2.8: grapheme clusters", "[text]") {
  const json cases = json::parse(detail::read_file(std::string(CLIPX_SOURCE_DIR) + "/tests/golden/token_files.json"));
  for (const auto& c : cases) {
    if (c["name"] != "unigram_bytes") continue;
    const auto t = tokenizer::from_json_bytes(c["tokenizer"].dump(), tokenizer_options::hf());
    CHECK(t.encode("\u00A0\u1AE5x") == ids{260, 368});  // two bytes and three, which Unicode 17 joins
    CHECK(t.encode("\u00A0\u0E01x") == ids{260, 228, 188, 133, 368});
    CHECK(t.encode("\u00A0\u0378\u1AE5x") == ids{260, 209, 188, 229, 175, 169, 368});
  }
}

// The sums of both ways to read "www" differ by one bit, which of them is larger depends on the numbers and on their precision.
TEST_CASE("unigram: equal sums", "[text]") {
  CHECK(detail::as_serde(-1.8663840293884277) == -1.8663840293884275);  // as serde_json reads these digits
  CHECK(detail::as_serde(-7.2172441482543945) == -7.217244148254395);
  for (double v : {0.0, -1.5, 12.0, 1e-7, 5e-324, -10.0}) CHECK(detail::as_serde(v) == v);
  const auto file = json::parse(R"({"model": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["▁", -3.6195740699768066],
      ["w", -1.989030361175537], ["ww", -1.8108197450637817]]},
      "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"}})");
  auto o = tokenizer_options::hf();
  CHECK(tokenizer::from_json_bytes(file.dump(), o).encode("www") == ids{1, 3, 2});
  o.longest = true;  // sentencepiece
  CHECK(tokenizer::from_json_bytes(file.dump(), o).encode("www") == ids{1, 2, 3});
}

}  // namespace test_newer_characters
