// The tokenizer's readers, options, errors and threads.
#include <zlib.h>

#include <clipx/text/bpe.hpp>
#include <clipx/text/gunzip.hpp>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "catch.hpp"

namespace test_text_tokenizer {

using namespace clipx;
using ids = std::vector<std::int32_t>;

namespace {
const std::string model = std::string(CLIPX_SOURCE_DIR) + "/tests/golden/words/";

// A merges file: "t h", "th e</w>", "a a", "aa a</w>"
const char* const tiny = "header\nt h\nth e</w>\na a\naa a</w>\n";

tokenizer tiny_tokenizer(tokenizer_options o = tokenizer_options::openai()) { return tokenizer::from_merges_bytes(tiny, o); }

template <class Call>
std::string message(const Call& call) {
  try {
    call();
  } catch (const error& e) { return e.what(); }
  return "no error";
}

nlohmann::json tokenizer_json(bool pairs, bool normalized) {
  nlohmann::json j;
  j["model"] = {{"type", "BPE"}, {"end_of_word_suffix", "</w>"}};
  j["model"]["vocab"] = nlohmann::json::parse(detail::read_file(model + "vocab.json"));
  auto& merges = j["model"]["merges"] = nlohmann::json::array();
  const std::string text = detail::read_file(model + "merges.txt");
  for (std::size_t at = text.find('\n') + 1, end; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
    const std::string row = text.substr(at, end - at);
    const auto gap = row.find(' ');
    if (pairs) merges.push_back({row.substr(0, gap), row.substr(gap + 1)});
    else merges.push_back(row);
  }
  for (const auto& [id, content] : {std::pair(4094, "<|startoftext|>"), std::pair(4095, "<|endoftext|>")})
    j["added_tokens"].push_back({{"id", id}, {"content", content}, {"normalized", normalized}, {"special", true}});
  return j;
}
}  // namespace

TEST_CASE("text: a trailing newline is no merge", "[text]") {
  const auto t = tiny_tokenizer();
  CHECK(t.vocab_size() == 512 + 4 + 2);
  CHECK(t.sot() == 516);
  CHECK(t.eot() == 517);
  CHECK(t.symbol(515) == "aaa</w>");
  CHECK(tokenizer::from_merges_bytes("header\r\nt h\r\nth e</w>\r\n\r\n", {}).vocab_size() == 516);
  CHECK(t.encode("the THE them") == ids{513, 513, 512, 68, 256 + 76});
  CHECK(t.encode("aaa aaaa") == ids{515, 514, 64, 256 + 64});
  CHECK(t.symbol(0) == "!");
  CHECK(t.symbol(188) == "\u0100");
}

TEST_CASE("text: framing and truncation", "[text]") {
  auto o = tokenizer_options::openai();
  o.context_length = 4;
  const auto t = tiny_tokenizer(o);
  CHECK(t("") == ids{516, 517});
  CHECK(t("the the") == ids{516, 513, 513, 517});
  CHECK(t("the the the") == ids{516, 513, 513, 517});
  CHECK(t("thé the the") == t("thé"));
  ids packed;
  CHECK(t.append("the", packed) == 3);
  CHECK(t.append("the the the", packed) == 4);
  CHECK(packed == ids{516, 513, 517, 516, 513, 513, 517});
  o.truncate = false;
  const auto strict = tiny_tokenizer(o);
  CHECK(strict("the the").size() == 4);
  CHECK_THAT(message([&] { strict("the the the"); }), Contains("5 tokens") && Contains("context length 4"));
  o.context_length = 1;
  CHECK_THAT(message([&] { tiny_tokenizer(o); }), Contains("context length 1"));
}

TEST_CASE("text: ill-formed UTF-8 becomes U+FFFD as in Python", "[text]") {
  const auto fixed = [](std::string_view s) { return clean(s, clean_rule::none); };
  CHECK(fixed("a\xFF"
              "b") ==
        "a\uFFFD"
        "b");
  CHECK(fixed("\xC3") == "\uFFFD");
  CHECK(fixed("\xE2\x82") == "\uFFFD");
  CHECK(fixed("\xE2\x82x") == "\uFFFDx");
  CHECK(fixed("\xF0\x9F\x98\x80") == "\U0001F600");
  CHECK(fixed("\xF0\x9F\x98") == "\uFFFD");
  CHECK(fixed("\xED\xA0\x80") == "\uFFFD\uFFFD\uFFFD");
  CHECK(fixed("\xC0\x80") == "\uFFFD\uFFFD");
  CHECK(fixed("\xF4\x90\x80\x80") == "\uFFFD\uFFFD\uFFFD\uFFFD");
  CHECK(fixed(std::string_view("a\0b", 3)) == std::string_view("a\0b", 3));
}

TEST_CASE("text: tokenizer.json gives what vocab.json and merges.txt give", "[text]") {
  const auto o = tokenizer_options::hf();
  const auto t = tokenizer::from_vocab(model + "vocab.json", model + "merges.txt", o);
  const char* const texts[] = {"a photo of two cats, it's 2021", "naïve “quoted” ΑΣ", "a<|endoftext|>b <|STARTOFTEXT|> c"};
  for (const bool pairs : {false, true}) {
    const auto j = tokenizer::from_json_bytes(tokenizer_json(pairs, false).dump(), o);
    CHECK(j.vocab_size() == 4096);
    CHECK(j.eot() == 4095);
    for (const char* text : texts) CHECK(j(text) == t(text));
  }
  // tokens marked `normalized` are found in the lowered text too
  const auto n = tokenizer::from_json_bytes(tokenizer_json(true, true).dump(), o);
  CHECK(n.encode("a<|STARTOFTEXT|>b") == ids{320, 4094, 321});
  CHECK(t.encode("a<|STARTOFTEXT|>b").size() > 3);

  auto added = tokenizer_json(false, false);
  added["added_tokens"].push_back({{"id", 4096}, {"content", "cat"}});
  const auto extra = tokenizer::from_json_bytes(added.dump(), o);
  CHECK(extra.vocab_size() == 4097);
  CHECK(extra.encode("cats CAT") == [&] {
    auto want = ids{4096};
    for (auto i : t.encode("s CAT")) want.push_back(i);
    return want;
  }());
  added["added_tokens"].back()["lstrip"] = true;
  CHECK_THAT(message([&] { tokenizer::from_json_bytes(added.dump(), o); }), Contains("lstrip") && Contains("cat"));
}

TEST_CASE("text: a model's folder", "[text]") {
  const auto t = tokenizer::from_folder(model, tokenizer_options::hf());
  CHECK(t("a photo") == tokenizer::from_vocab(model + "vocab.json", model + "merges.txt")("a photo"));
  CHECK_THAT(message([] { tokenizer::from_folder(std::string(CLIPX_SOURCE_DIR) + "/tests", tokenizer_options::hf()); }),
             Contains("no tokenizer"));
}

TEST_CASE("text: errors name the file and the place", "[text]") {
  const auto o = tokenizer_options::hf();
  const auto merges = [](std::string_view s) {
    return message([&] { tokenizer::from_merges_bytes(s, tokenizer_options::openai(), "x.txt"); });
  };
  CHECK_THAT(merges(""), Contains("x.txt: no merges"));
  CHECK_THAT(merges("header\na b\n\nc d\n"), Contains("x.txt: line 3") && Contains("two symbols"));
  CHECK_THAT(merges("header\na b c\n"), Contains("line 2"));
  CHECK_THAT(merges("\x1F\x8B\x08"), Contains("gzip") && Contains("truncated"));
  std::string packed = detail::read_file(model + "bpe_4096.txt.gz");
  packed[packed.size() - 5] ^= 1;
  CHECK_THAT(merges(packed), Contains("gzip") && Contains("data check"));
  packed = detail::read_file(model + "bpe_4096.txt.gz");
  packed[packed.size() - 1] ^= 0x40;
  CHECK_THAT(merges(packed), Contains("gzip") && Contains("length check"));
  packed = detail::read_file(model + "bpe_4096.txt.gz");
  packed[2000] ^= 0x55;
  CHECK_THAT(merges(packed), Contains("gzip"));
  CHECK_THAT(message([] { tokenizer::from_merges("/no/such/file"); }), Contains("/no/such/file") && Contains("cannot be opened"));
  CHECK_THAT(message([] { tokenizer::from_merges(model); }), Contains("cannot"));

  const auto vocab = [&](std::string_view v, std::string_view m) {
    return message([&] { tokenizer::from_vocab_bytes(v, m, o, "v"); });
  };
  CHECK_THAT(vocab("{", ""), Contains("not valid JSON"));
  CHECK_THAT(vocab("[]", ""), Contains("vocabulary"));
  CHECK_THAT(vocab(R"({"a": -1})", ""), Contains("\"a\""));
  CHECK_THAT(vocab(R"({"a": 99999999})", ""), Contains("4194303") && Contains("got 99999999"));
  CHECK_THAT(vocab(R"({"a": 18100000000000000000})", ""), Contains("got 1.81e+19"));
  CHECK_THAT(vocab(R"({"a": 1, "b": 1})", ""), Contains("another symbol"));
  CHECK_THAT(vocab(R"({"a": 1})", ""), Contains("<|startoftext|>"));
  CHECK_THAT(vocab(R"({"a": 1, "<|startoftext|>": 2, "<|endoftext|>": 3})", "a b\n"), Contains("merge 0 (a b)"));
  CHECK_THAT(message([&] { tokenizer::from_json_bytes("{}", o); }), Contains("model.vocab"));
  CHECK_THAT(message([&] { tokenizer::from_json_bytes(std::string(100, '['), o); }), Contains("deep"));
  auto other = tokenizer_json(true, false);
  other["model"]["end_of_word_suffix"] = "@@";
  CHECK_THAT(message([&] { tokenizer::from_json_bytes(other.dump(), o); }), Contains("end_of_word_suffix"));
  other["model"]["end_of_word_suffix"] = "";  // GPT-2's
  other["pre_tokenizer"] = {{"type", "Digits"}};
  CHECK_THAT(message([&] { tokenizer::from_json_bytes(other.dump(), o); }), Contains("Digits is not supported"));
  CHECK_THAT(message([] { tiny_tokenizer().decode(ids{518}); }), Contains("518"));
}

TEST_CASE("text: gzip headers with every optional part", "[text]") {
  const std::string file = detail::read_file(model + "bpe_4096.txt.gz");
  REQUIRE(file[3] == 8);  // the file's name and nothing else
  const std::string data = file.substr(file.find('\0', 10) + 1);
  std::string full = file.substr(0, 10);
  full[3] = 4 | 8 | 16 | 2;
  full += std::string("\x03\x00xyz", 5) + std::string("name\0", 5) + std::string("comment\0", 8);
  const auto crc = ::crc32(0, reinterpret_cast<const Bytef*>(full.data()), static_cast<uInt>(full.size()));
  CHECK_THAT(message([&] { detail::gunzip(full + "cc" + data, "x"); }), Contains("header crc"));
  full += {static_cast<char>(crc & 0xFF), static_cast<char>(crc >> 8 & 0xFF)};
  const std::size_t head = full.size();
  full += data;
  CHECK(detail::gunzip(full, "x") == detail::gunzip(file, "x"));
  for (std::size_t n = 2; n < head + 20; ++n) CHECK_THROWS_AS(detail::gunzip(full.substr(0, n), "x"), error);
}

TEST_CASE("text: long words merge as short ones do", "[text]") {
  // the last two merges rank before the ones that make their parts, which shows the order of work
  const std::string odd = "header\naba b\nab a\na b\nb a\na a\nabab ab\nb b</w>\n";
  for (const auto& o : {tokenizer_options::openai(), tokenizer_options::hf()}) {
    for (const auto& v :
         {detail::read_merges(odd, "odd", o), detail::read_merges(detail::read_file(model + "bpe_4096.txt.gz"), "4096", o)}) {
      std::mt19937 random(1);
      for (int k = 0; k < 500; ++k) {
        ids symbols, merged;
        std::string word;
        for (std::size_t n = 2 + random() % 63; n > 0; --n)
          word += v->symbols.size() < 1000 ? "ab"[random() % 2] : "abdeinorst"[random() % 10];
        for (char c : word) symbols.push_back(v->inner[static_cast<unsigned char>(c)]);
        symbols.back() = v->last[static_cast<unsigned char>(word.back())];
        detail::merge_long(v->merges, o.follows == tokenizer_options::library::simple, symbols);
        v->merge_word(word, merged);
        CAPTURE(word);
        REQUIRE(symbols == merged);
      }
    }
  }
  // "abab": all (a, b) at once, or the first and then what it makes possible
  CHECK(tokenizer::from_merges_bytes(odd, tokenizer_options::openai()).encode("ababb") == ids{514, 514, 256 + 65});
  CHECK(tokenizer::from_merges_bytes(odd, tokenizer_options::hf()).encode("ababb") == ids{512, 256 + 65});
  const auto n = tiny_tokenizer().encode(std::string(200001, 'a'));
  CHECK(n.size() == 100000);
  CHECK(n.back() == 515);
}

TEST_CASE("text: the cache changes nothing, from many threads", "[text]") {
  auto o = tokenizer_options::openai();
  o.cache_words = 500;
  const auto cached = tokenizer::from_merges(model + "bpe_4096.txt.gz", o);
  o.cache_words = 0;
  const auto plain = tokenizer::from_merges(model + "bpe_4096.txt.gz", o);
  std::vector<std::string> texts;
  std::vector<ids> want;
  std::mt19937 random(2);
  for (int i = 0; i < 2000; ++i) {
    std::string text;
    for (int w = 0; w < 12; ++w) {
      for (std::size_t n = 1 + random() % 9; n > 0; --n) text += "abcdefghiklmnoprstuvwy'1,A"[random() % 26];
      text += random() % 50 ? " " : " é ";
    }
    texts.push_back(text);
    want.push_back(plain.encode(text));
  }
  std::vector<std::size_t> wrong(4);
  std::vector<std::thread> threads;
  for (std::size_t k = 0; k < wrong.size(); ++k)
    threads.emplace_back([&, k] {
      for (std::size_t i = 0; i < texts.size(); ++i) {
        const std::size_t j = (i + k * 500) % texts.size();
        wrong[k] += cached.encode(texts[j]) != want[j];
      }
    });
  for (auto& thread : threads) thread.join();
  for (auto w : wrong) CHECK(w == 0);
}

}  // namespace test_text_tokenizer
