// The automaton against the plain loop, on random strings and on those that make trouble.
#include <clipx/curate/automaton.hpp>
#include <clipx/curate/matching.hpp>
#include <random>
#include <set>

#include "catch.hpp"
#include "temporary.hpp"

namespace test_curate_automaton {

using namespace clipx;
using ids = std::vector<std::uint32_t>;

namespace {
ids naive(const std::vector<std::string>& patterns, std::string_view text) {
  ids out;
  for (std::size_t i = 0; i < patterns.size(); ++i)
    if (text.find(patterns[i]) != std::string_view::npos) out.push_back(static_cast<std::uint32_t>(i));
  return out;
}
ids found(const automaton& a, std::string_view text) {
  ids out{99, 98};  // is overwritten
  a.match(text, out);
  return out;
}
struct maker {
  std::mt19937 random{7};
  unsigned below(unsigned n) { return static_cast<unsigned>(random() % n); }
  /// Of the first `letters` bytes from `first` on.
  std::string text(unsigned most, unsigned letters, unsigned first) {
    std::string out(below(most + 1), ' ');
    for (char& c : out) c = static_cast<char>(first + below(letters));
    return out;
  }
};
}  // namespace

TEST_CASE("the automaton finds what the plain loop finds") {
  maker make;
  for (const auto& [letters, first] : {std::pair(1u, 97u), {2u, 97u}, {3u, 31u}, {5u, 0u}, {40u, 120u}, {256u, 0u}})
    for (unsigned round = 0; round < 300; ++round) {
      std::vector<std::string> patterns(make.below(40));
      for (auto& p : patterns)
        while (p.empty()) p = make.text(7, letters, first);
      const automaton a{std::span<const std::string>(patterns)};
      for (unsigned k = 0; k < 4; ++k) {
        auto text = make.text(60, letters, first);
        if (!patterns.empty() && k % 2) text += patterns[make.below(static_cast<unsigned>(patterns.size()))] + text;
        REQUIRE(found(a, text) == naive(patterns, text));
      }
    }
}

TEST_CASE("patterns inside others, at their ends, twice, and all bytes") {
  const std::vector<std::string> inside{"abcd", "bc", "c", "bcd", "d", "bc", "abcde", "cdx"};
  const automaton a{std::span<const std::string>(inside)};
  CHECK(found(a, "abcd") == ids{0, 1, 2, 3, 4, 5});
  CHECK(found(a, "bcdx") == ids{1, 2, 3, 4, 5, 7});
  CHECK(found(a, "") == ids{});
  CHECK(found(a, "xyz") == ids{});
  std::vector<std::string> bytes;
  for (int c = 0; c < 256; ++c) bytes.push_back(std::string(1, static_cast<char>(c)) + "\xff");
  const automaton all{std::span<const std::string>(bytes)};
  CHECK(found(all, std::string_view("\0\xff\xff", 3)) == ids{0, 255});
  CHECK(found(all, "ab") == ids{});
  CHECK(automaton({}).states() == 256);
  CHECK(found(automaton({}), "abc") == ids{});
}

TEST_CASE("many entries: memory, and the same ids as a scan by words") {
  // the words of 5 letters of an alphabet of 10, one in three
  std::vector<std::string> words;
  for (unsigned n = 0; n < 100'000; n += 3) {
    std::string w = "  ";
    for (unsigned k = 0, rest = n; k < 5; ++k, rest /= 10) w.insert(1, 1, static_cast<char>('a' + rest % 10));
    words.push_back(w.substr(0, 7));
  }
  const automaton a{std::span<const std::string>(words)};
  std::set<std::string> prefixes;
  for (auto& w : words)
    for (std::size_t n = 0; n <= w.size(); ++n) prefixes.insert(w.substr(0, n));
  CHECK(a.bytes() - 8 * (words.size() + 1) <= 16 * prefixes.size());
  maker make;
  for (int k = 0; k < 200; ++k) {
    std::string text = " ";
    ids want;
    for (int w = 0; w < 8; ++w) {
      const auto n = make.below(static_cast<unsigned>(words.size()));
      text += words[n].substr(1);
      want.push_back(n);
      text += "xx ";
    }
    std::sort(want.begin(), want.end());
    want.erase(std::unique(want.begin(), want.end()), want.end());
    REQUIRE(found(a, text) == want);
  }
}

TEST_CASE("patterns and entries that cannot be") {
  const std::vector<std::string> empty{"a", ""};
  CHECK_THAT(message([&] { automaton{std::span<const std::string>(empty)}; }), Contains("pattern 1 is empty"));
  CHECK_THAT(message([&] { query_matcher({}); }), Contains("at least one entry"));
  CHECK_THAT(message([&] { query_matcher({"a", ""}); }), Contains("entry 1 is empty"));
  CHECK_THAT(message([&] { padding_by_name("none"); }), Contains("expected spaces or script") && Contains("\"none\""));
  const temporary_folder dir;
  const auto refused = [&](const std::string& text) {
    write_file(dir / "q", text);
    return message([&] { read_queries(dir / "q"); });
  };
  CHECK_THAT(refused(""), Contains("q: expected a query list"));
  CHECK_THAT(refused("a\n\nb\n"), Contains("q: line 2") && Contains("an empty line"));
  CHECK_THAT(refused("a\nb\tc\n"), Contains("q: line 2") && Contains("a tab"));
  CHECK_THAT(refused("a\nb\xff\n"), Contains("q: line 2") && Contains("not UTF-8"));
  CHECK(refused("a\r\n b \r\n") == "no error");
  CHECK(read_queries(dir / "q") == std::vector<std::string>{"a", " b "});
}

TEST_CASE("captions and entries as they are searched") {
  std::string out = "before";
  normalize_caption("a,b\tc\r\nd", out);
  CHECK(out == " a , b c  d ");
  normalize_caption("", out);
  CHECK(out == "  ");
  normalize_caption(",.;:?!`", out);
  CHECK(out == "  ,  .  ;  :  ?  !  `  ");
  CHECK(padded_entry("cat", padding::spaces) == " cat ");
  CHECK(padded_entry("cat", padding::by_script) == " cat ");
  CHECK(padded_entry("東京", padding::by_script) == "東京");
  CHECK(padded_entry("東京 tower", padding::by_script) == "東京 tower ");
  CHECK(padded_entry("(cat", padding::by_script) == "(cat ");
  CHECK(padded_entry("タワー", padding::by_script) == " タワー ");
  CHECK(padded_entry("한국", padding::by_script) == " 한국 ");
  for (const char32_t c :
       U"กກကកཀ々"
       U"、—~") {
    if (c == 0 || c == U'々') continue;
    CHECK(stands_without_space(c));
  }
  CHECK_FALSE(stands_without_space(U'々'));  // U+3005 is in no range of MetaCLIP's
  CHECK_FALSE(stands_without_space(U'é'));
}

}  // namespace test_curate_automaton
