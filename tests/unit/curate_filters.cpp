// The filters' rules against plain Python (tests/golden/curate_images.py), and what each says and measures.
#include <clipx/curate/filters.hpp>
#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "temporary.hpp"

namespace test_curate_filters {

using namespace clipx;
using nlohmann::json;
using texts = std::vector<std::string_view>;

namespace {

/// "reason|detail" of a text rule, or "keep".
template <class Rule>
std::string said(const Rule& rule, const std::string& caption) {
  field_writer facts;
  const auto v = rule.text(caption, facts);
  return v.keep() ? "keep" : v.reason + "|" + v.detail;
}
std::string reason(const filter_rules& rules, const texts& captions) {
  field_writer facts;
  const auto v = judge_texts(rules, captions, facts);
  return v.keep() ? "keep" : v.reason;
}

}  // namespace

TEST_CASE("curate, filters: words, characters and entries of a list as plain Python finds them") {
  const auto golden = json::parse(contents(CLIPX_SOURCE_DIR "/tests/golden/curate_filters.json"));
  const auto entries = golden.at("entries").get<std::vector<std::string>>();
  const word_list list(entries);
  REQUIRE(golden.at("cases").size() == 400);
  std::size_t held = 0, wrong = 0;
  for (const auto& one : golden.at("cases")) {
    const auto text = one.at("text").get<std::string>();
    const dim words = one.at("words"), characters = one.at("characters");
    INFO(text);
    CHECK(said(basic_filter{.min_words = words, .min_characters = characters}, text) == "keep");
    CHECK(said(basic_filter{.min_words = words + 1, .min_characters = 0}, text) ==
          cat("basic: words|", words, ", expected ", words + 1, " or more"));
    CHECK(said(size_filter{.min_characters = characters + 1}, text) ==
          cat("size: characters|", characters, ", expected ", characters + 1, " or more"));
    const auto found = list.find(text);
    const auto expected = one.at("holds").get<std::vector<std::string>>();
    wrong += found.has_value() == expected.empty();
    if (found) CHECK(std::find(expected.begin(), expected.end(), *found) != expected.end());
    for (const auto& entry : expected) wrong += !word_list(std::span(&entry, 1)).find(text);
    held += !expected.empty();
  }
  CHECK(wrong == 0);
  CHECK(held > 100);
  CHECK(held < 390);
}

TEST_CASE("curate, filters: images") {
  field_writer facts;
  const basic_filter basic;
  CHECK(basic.image(200, 600, facts).keep());
  CHECK(basic.image(199, 300, facts).reason == "basic: short side");
  CHECK(basic.image(300, 199, facts).detail == "199 pixels, expected 200 or more");
  CHECK(basic.image(601, 200, facts).reason == "basic: aspect");
  CHECK(size_filter{}.image(5000, facts).keep());
  CHECK(size_filter{}.image(4999, facts).reason == "size: bytes");
}

TEST_CASE("curate, filters: of several captions the best, and of offensive ones the worst") {
  filter_rules rules;
  CHECK(reason(rules, {}) == "keep");
  rules.basic.emplace();
  CHECK(reason(rules, {}) == "no caption");
  CHECK(reason(rules, {"short", "a photo of a dog"}) == "keep");
  CHECK(reason(rules, {"short", "two words"}) == "basic: words");
  const std::vector<std::string> entries{"bad"};
  rules.offensive.emplace(entries);
  CHECK(reason(rules, {"a photo of a dog", "so BAD"}) == "offensive: a word of the list");
  CHECK(reason(rules, {"a photo of a dog", "a badge"}) == "keep");
}

TEST_CASE("curate, filters: a list's file") {
  temporary_folder dir;
  write_file(dir / "list", "# what stands here is not ours\n\n  two   words \r\n#hashtag\none\n");
  const auto list = word_list::read(dir / "list");
  CHECK(list.size() == 3);
  CHECK(list.find("in TWO words") == "two words");
  CHECK(list.find("a #Hashtag!") == "#hashtag");
  CHECK_FALSE(list.find("a hashtag, two  swords, oneself"));
  const std::vector<std::string> other{"one", "two words"};
  CHECK(list.hash() != word_list(other).hash());
  write_file(dir / "empty", "# nothing\n\n");
  CHECK_THAT(message([&] { word_list::read(dir / "empty"); }), Contains("expected one entry per line, got none"));
  write_file(dir / "latin", "good\nb\xf6se\n");
  CHECK_THAT(message([&] { word_list::read(dir / "latin"); }), Contains("latin: line 2: expected UTF-8"));
  CHECK_THAT(message([&] { word_list::read(dir / "none"); }), Contains("cannot be opened"));
}

TEST_CASE("curate, filters: languages") {
  if (language_detector() == "none") {
    CHECK_THAT(message([] { detect_language("a text"); }), Contains("built without cld2"));
    return;
  }
  const std::string english = "a photo of a small dog that runs along the beach",
                    german = "ein kleiner Hund läuft am Strand entlang";
  CHECK(detect_language(english).code == "en");
  CHECK(detect_language(german).code == "de");
  CHECK(detect_language(german).percent > 90);
  CHECK(detect_language("").code == "un");
  CHECK(detect_language("\xff\xfe\xc3").code == "un");
  CHECK(said(language_filter{}, english) == "keep");
  CHECK(said(language_filter{}, german) == "language: another|de");
  CHECK(said(language_filter{.languages = {"de", "fr"}}, german) == "keep");
  CHECK(said(language_filter{.languages = {"un"}, .min_percent = 50}, "7") == "language: percent|0, expected 50 or more");
}

}  // namespace test_curate_filters
