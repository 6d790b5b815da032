// Token ids and cleaned texts against files written by open_clip, transformers and ftfy (tests/golden/tokens.py), and examples
// computed with openai/CLIP on its own vocabulary, where that file is available.
#include <clipx/text/bpe.hpp>
#include <clipx/text/gunzip.hpp>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "catch.hpp"

namespace test_text_golden {

using namespace clipx;
using ids = std::vector<std::int32_t>;

namespace {
const std::string root = CLIPX_SOURCE_DIR;
const std::string model = root + "/tests/golden/words/";

tokenizer_options sized(tokenizer_options o, dim context, dim cache = 24000) {
  o.context_length = context;
  o.cache_words = cache;
  return o;
}

std::uint64_t fnv(const tokenizer& t) {
  std::uint64_t h = 0xcbf29ce484222325;
  const auto add = [&](char c) { h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3; };
  for (std::int32_t i = 0; i < t.vocab_size(); ++i) {
    if (i > 0) add('\n');
    for (char c : t.symbol(i)) add(c);
  }
  return h;
}
}  // namespace

TEST_CASE("text: ids and cleaning equal the libraries'", "[text]") {
  const auto golden = nlohmann::json::parse(detail::read_file(root + "/tests/golden/tokens.json"));
  const dim context = golden["context_length"];
  const dim cache = GENERATE(24000, 3, 0);
  CAPTURE(cache);
  const auto merges = [&](tokenizer_options o) {
    return tokenizer::from_merges(model + "bpe_4096.txt.gz", sized(o, context, cache));
  };
  const auto vocab = [&](tokenizer_options o) {
    return tokenizer::from_vocab(model + "vocab.json", model + "merges.txt", sized(o, context, cache));
  };
  auto canonical = tokenizer_options::open_clip();
  canonical.clean = clean_rule::canonicalize;
  const auto openai = merges(tokenizer_options::openai()), open_clip = merges(tokenizer_options::open_clip()),
             canonicalize = merges(canonical), open_clip_vocab = vocab(tokenizer_options::open_clip()),
             hf = vocab(tokenizer_options::hf()), open_clip_hf = vocab(tokenizer_options::open_clip_hf());
  CHECK(openai.vocab_size() == 4096);
  CHECK(openai.eot() == 4095);
  CHECK(open_clip_vocab.sot() == 4094);
  CHECK(open_clip.pad() == 0);
  CHECK(hf.pad() == 4095);
  CHECK(fnv(open_clip) == std::stoull(golden["vocabulary_fnv1a"].get<std::string>(), nullptr, 16));
  for (const auto& row : golden["rows"]) {
    const std::string text = row["text"];
    CAPTURE(text);
    CHECK(openai.encode(text) == row["openai"].get<ids>());
    CHECK(openai(text) == row["openai_row"].get<ids>());
    CHECK(open_clip.encode(text) == row["open_clip"].get<ids>());
    CHECK(open_clip(text) == row["open_clip_row"].get<ids>());
    CHECK(open_clip_vocab(text) == row["open_clip_row"].get<ids>());
    CHECK(canonicalize.encode(text) == row["canonicalize"].get<ids>());
    CHECK(hf.encode(text) == row["hf"].get<ids>());
    CHECK(hf(text) == row["hf_row"].get<ids>());
    CHECK(open_clip_hf.encode(text) == row["open_clip_hf"].get<ids>());
    CHECK(open_clip.decode(open_clip.encode(text)) == row["decoded"].get<std::string>());
    CHECK(clean(text, clean_rule::openai) == row["clean"]["openai"].get<std::string>());
    CHECK(clean(text, clean_rule::whitespace) == row["clean"]["whitespace"].get<std::string>());
    CHECK(clean(text, clean_rule::canonicalize) == row["clean"]["canonicalize"].get<std::string>());
    CHECK(clean(text, clean_rule::hf) == row["clean"]["hf"].get<std::string>());
  }
}

TEST_CASE("text: examples of openai/CLIP's tokenizer", "[text]") {
  const char* shared = std::getenv("CLIPX_SHARED");
  const std::string path = (shared ? std::string(shared) : root + "/../shared") + "/data/bpe_simple_vocab_16e6.txt.gz";
  if (!detail::file_exists(path)) {
    WARN("skipped: no shared data");
    return;
  }
  const auto t = tokenizer::from_merges(path);
  CHECK(t.vocab_size() == 49408);
  CHECK(t.symbol(512) == "in");
  CHECK(t.symbol(513) == "th");
  CHECK(t.symbol(49405) == "jekyll</w>");
  CHECK(fnv(t) == 0x9f9d24b6c93482c7);  // of the vocabulary whose SHA-256 is in docs/clip.md section 5.1; see
                                        // tests/golden/tokens.py
  dim closed = 0;
  for (std::int32_t i = 0; i < t.vocab_size(); ++i) closed += t.symbol(i).ends_with("</w>");
  CHECK(closed == 34483);

  const auto row = [](ids middle) {
    middle.insert(middle.begin(), 49406);
    middle.push_back(49407);
    return middle;
  };
  const struct {
    const char* text;
    ids want;
  } examples[] = {
      {"", {}},
      {"   ", {}},
      {"a photo of a cat", {320, 1125, 539, 320, 2368}},
      {"a photo of a dog.", {320, 1125, 539, 320, 1929, 269}},
      {"A diagram", {320, 22697}},
      {"It's 2021, don't you've we'll I'm he'd they're",
       {585, 568, 273, 271, 273, 272, 267, 847, 713, 592, 1200, 649, 1342, 328, 880, 797, 1896, 889, 982}},
      {"hello world!!!??? 1234", {3306, 1002, 11194, 3824, 272, 273, 274, 275}},
      {"don’t STOP", {847, 713, 1691}},
      {"naïve café déjà vu", {1097, 35689, 563, 15304, 25466, 73, 21259, 13230}},
      {"l’été “quoted” ﬁne", {331, 262, 3459, 39694, 257, 27706, 257, 3797}},
      {"日本語のテキスト", {39121, 44353, 34002, 252, 21575, 2429, 228, 47121, 32421, 486}},
      {"Привет мир", {26302, 16370, 29503, 110, 22176, 141, 480, 38018, 16701, 141, 478}},
      {"🤗🔥 emoji party 👩‍👩‍👧‍👦", {16646, 3016, 16327, 1580, 26304, 26304, 48938, 4244, 964, 355}},
      {"🇺🇸", {5688}},
      {"😀", {7334}},
      {"AT&amp;amp;T &lt;b&gt;bold&lt;/b&gt;", {536, 261, 339, 283, 321, 285, 8911, 34308, 321, 285}},
      {"3.14 x² ½ Ⅷ", {274, 269, 272, 275, 343, 41175, 33613, 158, 227, 371}},
      {"Straße İstanbul ǅ", {1894, 127, 253, 324, 328, 16384, 11231, 67, 129, 378}},
      {"Σίσυφος ΣΑΣ", {139, 225, 138, 107, 139, 225, 139, 227, 139, 228, 138, 123, 139, 480, 139, 225, 138, 109, 139, 480}},
      {"ＦＵＬＬ　ｗｉｄｔｈ", {1476, 23571}},
      // schÃ¶n â€œmojibakeâ€ is not among them: ftfy's repair of wrongly decoded text is left out
      {"\u200b\ufeffzero", {9844, 5848}},
      {"कखि", {3124, 243, 3124, 500, 26721}},
      {"it''s", {585, 8445, 338}},
      {"x'tis", {343, 713, 533}},
      {"#hashtag @user_name http://t.co/abc", {258, 9238, 287, 7031, 318, 1981, 15066, 12441, 339, 269, 1320, 270, 5334}},
      {"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", {32035, 32035, 32035, 32035, 32035, 32035, 5675, 22819}},
      {"supercalifragilisticexpialidocious", {1642, 2857, 13093, 2076, 5868, 26850, 835, 639, 38466}},
      {"<|startoftext|> hi <|endoftext|>", {49406, 1883, 49407}},
  };
  for (const auto& e : examples) {
    CAPTURE(e.text);
    CHECK(t(e.text) == row(e.want));
  }
  const auto open_clip = tokenizer::from_merges(path, tokenizer_options::open_clip());
  CHECK(open_clip("<|startoftext|> hi <|endoftext|>") ==
        row({27, 347, 993, 6659, 4160, 91, 285, 1883, 27, 347, 40786, 4160, 91, 285}));
  CHECK(open_clip("<start_of_text> hi") == row({49406, 1883}));

  std::string fox;
  for (int i = 0; i < 10; ++i) fox += "the quick brown fox jumps over the lazy dog ";
  CHECK(t.encode(fox).size() == 90);
  ids cut = {49406};
  const ids once = {518, 3712, 2866, 3240, 18911, 962, 518, 10753, 1929};
  for (int i = 0; i < 8; ++i) cut.insert(cut.end(), once.begin(), once.end());
  cut.insert(cut.end(), {518, 3712, 2866, 49407});
  CHECK(t(fox) == cut);
  CHECK(cut.size() == 77);
  CHECK(t.decode(ids{49406, 320, 1125, 539, 320, 2368, 49407}) == "<|startoftext|>a photo of a cat <|endoftext|>");
}

}  // namespace test_text_golden
