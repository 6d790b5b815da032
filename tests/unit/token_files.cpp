// Tokenizers of other kinds than CLIP's, from tokenizer.json: ids against the `tokenizers` library (tests/golden/token_files.py),
// frames, errors, large and hostile files.
#include <clipx/io/file_set.hpp>
#include <clipx/text/bpe.hpp>
#include <clipx/text/gunzip.hpp>
#include <nlohmann/json.hpp>
#include <thread>

#include "catch.hpp"

namespace test_token_files {

using namespace clipx;
using nlohmann::json;
using ids = std::vector<std::int32_t>;

namespace {
const json& golden() {
  static const json cases = json::parse(detail::read_file(std::string(CLIPX_SOURCE_DIR) + "/tests/golden/token_files.json"));
  return cases;
}
const json& golden(const std::string& name) {
  for (const auto& c : golden())
    if (c["name"] == name) return c;
  throw std::runtime_error(name);
}

tokenizer_options unlimited(dim cache = 24000) {
  auto o = tokenizer_options::hf();
  o.context_length = 1 << 30;
  o.cache_words = cache;
  return o;
}

tokenizer from_memory(const std::vector<std::pair<std::string, std::string>>& files, const tokenizer_options& o) {
  std::vector<named_bytes> named;
  for (const auto& [name, text] : files) named.push_back({name, std::as_bytes(std::span(text)), nullptr});
  return tokenizer::from_files(file_set::memory(std::move(named)), o);
}
tokenizer from_case(const json& c, const tokenizer_options& o) {
  return from_memory({{"tokenizer.json", c["tokenizer"].dump()}, {"tokenizer_config.json", c["config"].dump()}}, o);
}

template <class Call>
std::string message(const Call& call) {
  try {
    call();
  } catch (const error& e) { return e.what(); }
  return "no error";
}

// The smallest files of each kind.
json small_unigram() {
  return json::parse(
      R"({"model": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["▁", -2.0], ["a", -1.0], ["▁a", -1.5], ["b", -3.0]]},
      "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"}})");
}
json small_bpe() {
  return json::parse(R"({"model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true,
      "vocab": {"<unk>": 0, "▁": 1, "a": 2, "b": 3, "▁a": 4, "ab": 5, "▁ab": 6}, "merges": ["▁ a", ["a", "b"], "▁ ab"]},
      "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
      "pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": false}})");
}
json small_word_piece() {
  return json::parse(
      R"({"model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 5,
      "vocab": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "a": 4, "##a": 5, "##ab": 6, "é": 7}},
      "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
      "pre_tokenizer": {"type": "BertPreTokenizer"},
      "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
      "added_tokens": [{"id": 3, "content": "[SEP]", "special": true, "normalized": false}]})");
}
tokenizer read(const json& j, const tokenizer_options& o = unlimited()) { return tokenizer::from_json_bytes(j.dump(), o); }
}  // namespace

TEST_CASE("tokenizer.json: ids equal those of the tokenizers library", "[text]") {
  const dim cache = GENERATE(24000, 3, 0);
  CAPTURE(cache);
  CHECK(golden().size() == 13);
  for (const auto& c : golden()) {
    CAPTURE(c["name"]);
    const auto t = from_case(c, unlimited(cache));
    REQUIRE(c["rows"].size() > 100);
    for (const auto& row : c["rows"]) {
      CAPTURE(row[0]);
      CHECK(t(row[0].get<std::string>()) == row[1].get<ids>());
    }
  }
}

TEST_CASE("tokenizer.json: what is written is read back", "[text]") {
  for (const auto& c : golden()) {
    CAPTURE(c["name"]);
    const auto t = from_case(c, unlimited());
    const auto files = t.files();
    CHECK(files[0].first == "tokenizer.json");
    CHECK(json::parse(files[0].second)["added_tokens"] == c["tokenizer"]["added_tokens"]);
    const auto again = from_memory(files, unlimited());
    CHECK(again.vocab_size() == t.vocab_size());
    CHECK(again.pad() == t.pad());
    for (const auto& row : c["rows"]) CHECK(again(row[0].get<std::string>()) == row[1].get<ids>());
    CHECK_THAT(message([&] { t.merges_text(); }), Contains("byte-level BPE"));
    CHECK(t.ngrams() == nullptr);
  }
}

TEST_CASE("tokenizer.json: decoding", "[text]") {
  const auto round = [](const char* name, const std::string& text) {
    const auto t = from_case(golden(name), unlimited());
    return t.decode(t.encode(text));
  };
  CHECK(round("unigram", "a photo of a cat") == "a photo of a cat");
  CHECK(round("bpe_bytes", "a photo 𝕬 of\x07") == "a photo 𝕬 of\x07");
  CHECK(round("unigram_bytes", "a photo 𝕬") == "a photo 𝕬");
  CHECK(round("word_piece", "a photo of a cat") == "a photo of a cat");
  CHECK(round("byte_level", "a photo  𝕬 of\x07\n é") == "a photo  𝕬 of\x07\n é");
  const auto t = from_case(golden("unigram_mask"), unlimited());
  CHECK(t.symbol(0) == "<s>");
  CHECK(t.base_vocab_size() == t.vocab_size());
  auto j = small_bpe();
  j["added_tokens"] = {{{"id", 50}, {"content", "<extra>"}}};
  CHECK(read(j).vocab_size() == 51);
  CHECK(read(j).base_vocab_size() == 7);
  CHECK(read(j)("a<extra>b") == ids{2, 50, 3});
  CHECK(read(j).symbol(50) == "<extra>");
  CHECK(read(j).symbol(40).empty());
  CHECK(t.symbol(static_cast<std::int32_t>(t.vocab_size() - 1)) == "<mask>");
  CHECK_THAT(message([&] { t.decode(ids{5000}); }), Contains("5000"));
}

TEST_CASE("tokenizer.json: the frame is the options'", "[text]") {
  auto o = tokenizer_options::hf();
  o.context_length = 6;
  const auto& c = golden("unigram");
  CHECK(from_case(c, o)("a").back() == 1);  // the file's template: text, </s>
  CHECK(from_case(c, o).pad() == 0);
  CHECK(from_case(c, o).sot() == -1);
  CHECK(from_case(c, o).eot() == 1);
  CHECK_FALSE(from_case(c, o).fills());

  // SigLIP's: no start, end and padding 1; a row that is too long keeps its end
  o.frame = {.sot = token_frame::none, .eot = 1, .pad = 1, .fill = true};
  const auto t = from_case(c, o);
  CHECK(t.fills());
  const auto row = t("a"), full = t("a photo of a cat and another cat");
  CHECK(row.size() == 6);
  CHECK(std::count(row.begin(), row.end(), 1) == 6 - static_cast<long>(t.encode("a").size()));
  CHECK(full.size() == 6);
  CHECK(full.back() == 1);
  CHECK(std::equal(full.begin(), full.end() - 1, t.encode("a photo of a cat and another cat").begin()));
  CHECK(t("") == ids{1, 1, 1, 1, 1, 1});
  ids packed{7};
  CHECK(t.append("a", packed) == 6);
  CHECK(packed.size() == 7);

  // CLIPA's: BERT's frame, whose [SEP] becomes 0 wherever it is
  auto bert = tokenizer_options::hf();
  bert.context_length = 8;
  bert.frame = {.pad = 0, .zeroed = 3, .fill = true};
  CHECK(read(small_word_piece(), bert)("a[SEP]aa") == ids{2, 4, 0, 4, 5, 0, 0, 0});
  CHECK(read(small_word_piece(), bert)("a a a a a a a a a") == ids{2, 4, 4, 4, 4, 4, 4, 0});

  // CLIP's own, for towers that see their padding
  auto clip = tokenizer_options::openai();
  clip.context_length = 5;
  clip.frame.fill = true;
  CHECK(tokenizer::from_merges_bytes("header\na b\n", clip)("ab").size() == 5);
  clip.frame.eot = 5000;
  CHECK_THAT(message([&] { tokenizer::from_merges_bytes("header\na b\n", clip); }), Contains("5000") && Contains("after texts"));
  o.frame.pad = token_frame::none;
  CHECK_THAT(message([&] { from_case(c, o); }), Contains("no pad token"));
  o.truncate = false;
  o.frame.fill = false;
  CHECK_THAT(message([&] { from_case(c, o)("a photo of a cat and another cat"); }), Contains("context length 6"));

  // tokenizer_config.json's add_bos_token and add_eos_token replace the file's template
  auto flags = golden("bpe_bytes");
  CHECK(from_case(flags, unlimited()).sot() == -1);
  CHECK(from_case(flags, unlimited()).eot() == 1);
  flags["config"].erase("add_bos_token");
  flags["config"].erase("add_eos_token");
  CHECK(from_case(flags, unlimited()).sot() == 2);
  CHECK(from_case(flags, unlimited()).eot() == -1);
}

TEST_CASE("tokenizer.json: cleaning before it, and between its special strings", "[text]") {
  auto o = unlimited();
  o.clean = clean_rule::canonicalize;
  const auto& c = golden("unigram");
  const auto plain = from_case(c, unlimited());
  CHECK(from_case(c, o)("  A  photo, of_a CAT! ") == plain("a photo of a cat"));
  o = unlimited();
  o.between = clean_rule::bare;
  o.longest = true;
  const auto bare = from_case(c, o);
  CHECK(bare("A  photo, of_a CAT! ") == plain("a photo ofa cat"));
  const auto joined = bare("A</s>B");
  REQUIRE(joined.size() > 2);
  CHECK(bare.symbol(joined[joined.size() - 2]) == "b");  // no mark behind a special string
  CHECK(bare(" \n ") == plain(""));
  CHECK(clean("  A b", clean_rule::bare) == "a b");
  CHECK(clean("! A_b\u2581c\x1c", clean_rule::bare) == "ab c");
  CHECK(clean("ΑΣ", clean_rule::bare) == "ας");
  CHECK(clean("ΑΣ İ", clean_rule::lower) == "ασ i\u0307");
  auto lower = unlimited();
  lower.between = clean_rule::lower;
  const auto& b = golden("bpe_whole");
  CHECK(from_case(b, lower)("<h1>") == from_case(b, unlimited())("<h1>"));
  CHECK(from_case(b, lower)("<H1>").size() > from_case(b, lower)("<h1>").size());  // the added token is <h1>
  CHECK(from_case(b, lower)("A Photo") == from_case(b, unlimited())("a photo"));
}

TEST_CASE("tokenizer.json: the longest entry of a table of replacements, or what the library takes", "[text]") {
  auto j = small_unigram();
  for (const char* s : {"カ", "ﾞ", "ガ", "é", "!"}) j["model"]["vocab"].push_back({s, -5.0});
  j["normalizer"] = golden("unigram")["tokenizer"]["normalizer"];
  auto o = unlimited();
  CHECK(read(j, o)("ｶﾞ") == ids{1, 5, 6});                        // a cluster of six bytes: character by character
  CHECK(read(j, o)("e\u0301 e\u0301\u0301") == ids{1, 8, 1, 8});  // clusters, of which one has an entry, one begins with it
  CHECK(read(j, o)("a\r\nb") == ids{3, 1, 4});                    // CR LF is a cluster, of which CR has an entry
  o.longest = true;
  CHECK(read(j, o)("ｶﾞ") == ids{1, 7});
  CHECK(read(j, o)("e\u0301 e\u0301\u0301") == ids{1, 8, 1, 8, 0});
  CHECK(read(j, o)("a\r\nb") == ids{3, 9, 4});
  // and of sentencepiece: no other step, spaces collapsed, no mark behind a special string
  const json table = j["normalizer"];
  j["normalizer"] = {{"type", "Sequence"}, {"normalizers", json::array({{{"type", "Lowercase"}}, table})}};
  j["added_tokens"] = json::parse(R"([{"id": 10, "content": "<s>", "special": true}])");
  CHECK(read(j, o)(" a  A<s>a b") == ids{3, 1, 0, 10, 2, 1, 4});
  o.longest = false;
  CHECK(read(j, o)("a A<s>a b") == ids{3, 3, 10, 3, 1, 4});
}

TEST_CASE("tokenizer.json: a regular expression that lists characters", "[text]") {
  auto j = small_unigram();
  const auto removing = [&](const char* regex) {
    j["normalizer"] = {{"type", "Replace"}, {"pattern", {{"Regex", regex}}}, {"content", ""}};
    return message([&] { read(j); });
  };
  for (const char* regex : {R"([!\-\]b])", R"([!\-\]b]+)"}) {
    CHECK(removing(regex) == "no error");
    CHECK(read(j)("a!-]b ab") == ids{3, 3});
  }
  CHECK(removing(R"([!b]{2,})") == "no error");
  CHECK(read(j)("a!! a!b ab") == ids{3, 3, 3, 4});
  for (const char* regex : {"[a-z]", "[^a]", "[[:punct:]]", "[a&&b]", R"([\s])", "[a", "[]", "[a]*"})
    CHECK_THAT(removing(regex), Contains(regex) && Contains("characters in brackets"));
}

TEST_CASE("tokenizer.json: unknown characters", "[text]") {
  const auto u = read(small_unigram());
  CHECK(u("a xyz b") == ids{3, 1, 0, 1, 4});  // neighbors are one unknown token
  auto j = small_unigram();
  j["model"].erase("unk_id");
  CHECK_THAT(message([&] { read(j)("x"); }), Contains("no unk_id") && Contains("x"));
  CHECK(read(j)("a") == ids{3});
  const auto b = read(small_bpe());
  CHECK(b("ab ab xyb") == ids{5, 4, 3, 1, 0, 3});
  CHECK(b("\xFF") == ids{0});  // ill-formed UTF-8 is U+FFFD
  CHECK(b(std::string("a\0b", 3)) == ids{2, 0, 3});
  j = small_bpe();
  j["model"].erase("unk_token");
  CHECK(read(j)("axb") == ids{5});  // dropped, and its neighbors are merged
  const auto w = read(small_word_piece());
  CHECK(w("aab É, aaaaaa") == ids{2, 4, 6, 1, 1, 1, 3});  // é loses its accent, the last word is too long
  CHECK(w("一a\u200b\x01一") == ids{2, 1, 4, 1, 3});
}

TEST_CASE("tokenizer.json: long texts, from many threads", "[text]") {
  for (const char* name : {"unigram", "unigram_bytes", "bpe_bytes", "bpe_whole", "word_piece"}) {
    const auto t = from_case(golden(name), unlimited()), plain = from_case(golden(name), unlimited(0));
    std::string text;
    for (int i = 0; i < 20000; ++i) text += i % 7 ? "a photo of the " : "日本 👍🏽 x";
    const auto want = plain(text);
    CHECK(want.size() > 20000);
    std::vector<ids> got(3);
    std::vector<std::thread> threads;
    for (auto& g : got) threads.emplace_back([&] { g = t(text); });
    for (auto& thread : threads) thread.join();
    for (auto& g : got) CHECK(g == want);
    CHECK(t(std::string(300000, 'a')).size() > 1);
  }
  auto o = unlimited();
  o.context_length = 8;
  CHECK(from_case(golden("bpe_bytes"), o)(std::string(1 << 20, ' ')).size() == 8);
}

TEST_CASE("tokenizer.json: errors name the file and what is not supported", "[text]") {
  const auto refusal = [](const char* patch, json j = small_bpe()) {
    j.merge_patch(json::parse(patch));
    return message([&] { tokenizer::from_json_bytes(j.dump(), unlimited(), "x.json"); });
  };
  CHECK(refusal("{}") == "no error");
  CHECK_THAT(refusal(R"({"model": {"type": "Other"}})"), Contains("x.json: ") && Contains("Unigram") && Contains("Other"));
  CHECK_THAT(refusal(R"({"model": {"end_of_word_suffix": "@"}})"), Contains("end_of_word_suffix"));
  CHECK_THAT(refusal(R"({"model": {"dropout": 0.1}})"), Contains("dropout"));
  CHECK_THAT(refusal(R"({"model": {"unk_token": "?"}})"), Contains("unk_token") && Contains("?"));
  CHECK_THAT(refusal(R"({"model": {"merges": ["a c"]}})"), Contains("merge 0 (a c)"));
  CHECK_THAT(refusal(R"({"model": {"merges": ["abc"]}})"), Contains("merge 0") && Contains("abc"));
  CHECK_THAT(refusal(R"({"model": {"merges": [["a", "b", "a"]]}})"), Contains("merge 1"));
  CHECK_THAT(refusal(R"({"model": {"merges": {"a": 1}}})"), Contains("merge"));
  CHECK_THAT(refusal(R"({"model": {"vocab": {"a": 1.5}}})"), Contains("\"a\""));
  CHECK_THAT(refusal(R"({"model": {"vocab": {"c": [1]}}})"), Contains("vocabulary"));
  CHECK_THAT(refusal(R"({"model": {"vocab": {"c": 2}}})"), Contains("another symbol"));
  CHECK_THAT(refusal(R"({"normalizer": {"type": "Nmt"}})"), Contains("normalizer Nmt is not supported"));
  CHECK_THAT(refusal(R"({"normalizer": {"type": "Replace", "pattern": {"String": null, "Regex": "a|b"}}})"), Contains("a|b"));
  CHECK_THAT(refusal(R"({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}})"),
             Contains("precompiled_charsmap"));
  CHECK_THAT(refusal(R"({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "!"}})"), Contains("base64"));
  CHECK_THAT(refusal(R"({"pre_tokenizer": {"type": "Digits"}})"), Contains("pre_tokenizer Digits is not supported"));
  CHECK_THAT(refusal(R"({"pre_tokenizer": {"behavior": "Odd"}})"), Contains("behavior"));
  CHECK_THAT(refusal(R"({"post_processor": {"type": "Odd"}})"), Contains("post_processor") && Contains("Odd"));
  CHECK_THAT(refusal(R"({"post_processor": {"type": "BertProcessing", "sep": ["x", 99], "cls": ["y", 1]}})"), Contains("99"));
  CHECK_THAT(refusal(R"({"added_tokens": [{"content": "x"}]})"), Contains("added_tokens"));
  CHECK_THAT(refusal(R"({"added_tokens": [{"id": 9, "content": ""}]})"), Contains("added_tokens"));
  CHECK_THAT(refusal(R"({"model": {"vocab": [["a"]]}})", small_unigram()), Contains("entry 1"));
  CHECK_THAT(refusal(R"({"model": {"vocab": [["a", 1, 2]]}})", small_unigram()), Contains("vocabulary"));
  CHECK_THAT(refusal(R"({"model": {"vocab": []}})", small_unigram()), Contains("Unigram"));
  CHECK_THAT(refusal(R"({"model": {"unk_id": 7}})", small_unigram()), Contains("unk_id"));
  CHECK_THAT(refusal(R"({"model": {"unk_token": "?"}})", small_word_piece()), Contains("unk_token"));
  auto j = small_unigram();
  j["model"]["vocab"].push_back({std::string(5000, 'x'), -1.0});
  CHECK_THAT(message([&] { read(j); }), Contains("5000"));
  CHECK_THAT(message([] { tokenizer::from_json_bytes(std::string(R"({"model": {"vocab": {"a": )") + std::string(20, '['), {}); }),
             Contains("vocabulary"));
}

TEST_CASE("tokenizer.json: CLIP's unknown token need not be its end", "[text]") {
  json j{{"model", {{"type", "BPE"}, {"end_of_word_suffix", "</w>"}, {"unk_token", "<unk>"}, {"merges", json::array()}}}};
  auto& vocab = j["model"]["vocab"];
  for (const char* s : {"<|startoftext|>", "<|endoftext|>", "<unk>", "a", "a</w>"}) vocab[s] = vocab.size();
  const auto o = tokenizer_options::hf();
  CHECK(read(j, o)("a ba") == ids{0, 4, 2, 4, 1});
  const auto with = [&](const json& config) {
    return from_memory({{"tokenizer.json", j.dump()}, {"tokenizer_config.json", config.dump()}}, o)("a ba");
  };
  CHECK(with(json::object()) == ids{0, 4, 1, 4, 1});  // transformers' CLIPTokenizer does not read the file's
  CHECK(with({{"unk_token", "<unk>"}}) == ids{0, 4, 2, 4, 1});
  CHECK(with({{"unk_token", {{"content", "a"}}}}) == ids{0, 3, 3, 3, 1});  // a special string, found anywhere
  j["model"].erase("unk_token");
  CHECK(read(j, o)("a ba") == ids{0, 4, 1, 4, 1});
}

}  // namespace test_token_files
