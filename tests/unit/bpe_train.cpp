// Vocabularies learned from captions: against a reference that counts everything again for each merge, against Hugging Face's
// BpeTrainer (tests/golden/bpe_train.py), and what the learned files are good for.
#include <algorithm>
#include <array>
#include <clipx/data/captions.hpp>
#include <clipx/text/bpe_train.hpp>
#include <clipx/text/gunzip.hpp>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>
#include <set>

#include "catch.hpp"
#include "temporary.hpp"
#include "watch.hpp"

namespace test_bpe_train {

using namespace clipx;
using ids = std::vector<std::int32_t>;
using list = std::vector<std::string>;

namespace {

/// Captions whose words are known: letters, one number, or other signs.
struct corpus {
  list captions, words;
};

corpus make_corpus(unsigned seed, const list& letters, std::size_t n) {
  std::mt19937 random(seed);
  const auto below = [&](std::size_t most) { return static_cast<std::size_t>(random()) % most; };
  const auto run_of = [&](const list& parts, std::size_t most) {
    std::string out;
    for (std::size_t k = 1 + below(most); k > 0; --k) out += parts[below(parts.size())];
    return out;
  };
  list stems;  // which come again and again
  for (int i = 0; i < 150; ++i) stems.push_back(run_of(letters, 6));
  corpus out;
  for (std::size_t i = 0; i < n; ++i) {
    std::string caption;
    std::size_t last = 3;
    for (std::size_t k = 1 + below(9); k > 0; --k) {
      const std::size_t kind = below(8) < 6 ? 0 : 1 + below(2);
      const std::string word = kind == 0   ? stems[below(stems.size())] + (below(3) ? "" : stems[below(stems.size())])
                               : kind == 1 ? std::string(1, "0123456789"[below(10)])
                                           : run_of({".", ",", "!", "-", "—", "🤗"}, 3);
      if (last == kind || below(2) || last == 1) caption += ' ';
      last = kind;
      std::string written = word;
      if (below(4) == 0)
        for (char& c : written)
          if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
      caption += written;
      out.words.push_back(word);
    }
    out.captions.push_back(caption);
  }
  return out;
}

/// The definition: all pairs counted anew for each merge.
list naive(const list& words, std::size_t merges, std::uint64_t least) {
  std::array<std::size_t, 256> place{};
  for (std::size_t i = 0; i < 256; ++i) place[detail::alphabet().byte_of[i]] = i;
  list names;
  for (const char* end : {"", "</w>"})
    for (std::size_t i = 0; i < 256; ++i) {
      std::string s;
      detail::append_utf8(s, detail::alphabet().stand_in[detail::alphabet().byte_of[i]]);
      names.push_back(s + end);
    }
  std::map<std::vector<std::size_t>, std::uint64_t> counted;
  for (const auto& word : words) {
    std::vector<std::size_t> symbols;
    for (char c : word) symbols.push_back(place[static_cast<unsigned char>(c)]);
    symbols.back() += 256;
    ++counted[symbols];
  }
  std::vector<std::pair<std::vector<std::size_t>, std::uint64_t>> all(counted.begin(), counted.end());
  list out;
  while (out.size() < merges) {
    std::map<std::pair<std::size_t, std::size_t>, std::uint64_t> pairs;
    for (const auto& [symbols, times] : all)
      for (std::size_t i = 0; i + 1 < symbols.size(); ++i) pairs[{symbols[i], symbols[i + 1]}] += times;
    std::pair<std::size_t, std::size_t> best;
    std::uint64_t most = 0;
    for (const auto& [pair, times] : pairs)  // smaller ids come first
      if (times > most) {
        best = pair;
        most = times;
      }
    if (most < least || most == 0) break;
    out.push_back(names[best.first] + " " + names[best.second]);
    for (auto& [symbols, times] : all)
      for (std::size_t i = 0; i + 1 < symbols.size(); ++i)
        if (symbols[i] == best.first && symbols[i + 1] == best.second) {
          symbols[i] = names.size();
          symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(i) + 1);
        }
    names.push_back(names[best.first] + names[best.second]);
  }
  return out;
}

list lines_of(const std::string& merges) {
  list out;
  for (std::size_t at = merges.find('\n') + 1, end; (end = merges.find('\n', at)) != std::string::npos; at = end + 1)
    out.push_back(merges.substr(at, end - at));
  return out;
}

learned_bpe learn(const list& captions, const bpe_options& o) {
  bpe_trainer trainer(o);
  for (const auto& c : captions) trainer.add(c);
  return trainer.learn();
}

bpe_options sized(dim size, std::uint64_t least = 2, int threads = 1) {
  bpe_options o;
  o.vocab_size = size;
  o.min_frequency = least;
  o.threads = threads;
  return o;
}

std::string without_spaces(const std::string& text) {
  std::u32string out;
  for (char32_t c : detail::decode_utf8(text))
    if (!detail::is_space(c)) out += c;
  return detail::encode_utf8(out);
}

const list latin{"a", "b", "c", "e", "o", "n", "s", "é", "ß", "日"};
const std::string root = CLIPX_SOURCE_DIR;

}  // namespace

TEST_CASE("bpe: merges equal those of counting all pairs anew", "[text]") {
  const auto seed = GENERATE(1U, 2U, 3U);
  const auto least = GENERATE(std::uint64_t(1), std::uint64_t(2), std::uint64_t(5));
  // few letters: long runs, overlaps, many ties
  for (const auto& letters : {latin, list{"a"}, list{"a", "b"}}) {
    const auto c = make_corpus(seed, letters, 200);
    for (const std::size_t merges : {1UL, 60UL, 4000UL}) {
      const auto want = naive(c.words, merges, least);
      const auto got = learn(c.captions, sized(static_cast<dim>(merges) + 514, least));
      CAPTURE(seed, least, letters.size(), merges);
      REQUIRE(lines_of(got.merges) == want);
      CHECK(got.vocab_size == static_cast<dim>(want.size()) + 514);
      CHECK(got.missing == static_cast<dim>(merges - want.size()));
      CHECK(got.captions == 200);
      CHECK(got.words == c.words.size());
      CHECK(got.distinct_words == std::set<std::string>(c.words.begin(), c.words.end()).size());
      const auto t = got.tokenizer();
      std::size_t tokens = 0, bytes = 0;
      for (const auto& caption : c.captions) tokens += t.encode(caption).size();
      for (const auto& word : c.words) bytes += word.size();
      CHECK(got.tokens == tokens);
      CHECK(got.bytes == bytes);
      std::set<std::string> symbols;
      for (std::int32_t i = 0; i < t.vocab_size(); ++i) symbols.insert(t.symbol(i));
      CHECK(static_cast<dim>(symbols.size()) == got.vocab_size);
    }
  }
}

TEST_CASE("bpe: merges equal those of Hugging Face's BpeTrainer", "[text]") {
  const auto golden = nlohmann::json::parse(detail::read_file(root + "/tests/golden/bpe_train.json"));
  const list captions = golden["captions"];
  for (const auto& c : golden["cases"])
    CHECK(lines_of(learn(captions, sized(c["vocab_size"], c["min_frequency"])).merges) == c["merges"].get<list>());
}

TEST_CASE("bpe: neither the order of captions nor threads change a merge", "[text]") {
  auto c = make_corpus(7, latin, 3000);
  const auto want = learn(c.captions, sized(1500));
  std::mt19937 random(1);
  for (const int threads : {1, 2, 5}) {
    std::shuffle(c.captions.begin(), c.captions.end(), random);
    bpe_trainer trainer(sized(1500, 2, threads));
    const std::span<const std::string> all(c.captions);
    trainer.add(all.subspan(0, 1000));
    trainer.add(all.subspan(1000, 3));
    trainer.learn();  // and on from there
    for (const auto& caption : all.subspan(1003, 500)) trainer.add(caption);
    trainer.add(all.subspan(1503));
    trainer.add(std::span<const std::string>());
    recorder watch;
    const auto got = trainer.learn(watch);
    CHECK(got.merges == want.merges);
    CHECK(watch.told.front() == recorder::call{"merges", 0, 1500 - 514});
    CHECK(watch.told.size() == static_cast<std::size_t>(got.vocab_size) - 514 + 1);
    CHECK(got.captions == 3000);
    CHECK(got.tokens == want.tokens);
    CHECK(got.distinct_words == want.distinct_words);
  }
}

TEST_CASE("bpe: what is learned loads again and loses nothing", "[text]") {
  const auto c = make_corpus(11, latin, 500);
  const auto learned = learn(c.captions, sized(1000));
  const temporary_folder dir;
  const std::string folder = dir / "new/words";
  write_tokenizer(folder, learned);
  write_tokenizer(folder, learned);  // over the old one
  const auto o = tokenizer_options::openai();
  const auto made = learned.tokenizer();
  CHECK(made.vocab_size() == 1000);
  CHECK(made.sot() == 998);
  CHECK(contents(folder + "/merges.txt") == made.merges_text());
  // open_clip splits this at line ends, and what comes after a last one would be a merge of nothing
  CHECK(detail::gunzip(contents(folder + "/bpe_1000.txt.gz"), "x") + "\n" == made.merges_text());
  const auto hf = tokenizer::from_folder(folder, tokenizer_options::hf());
  CHECK(hf.eot() == 999);
  list texts = c.captions;
  for (const char* more :
       {"It's 2021, don't STOP “quoted” ﬁne", "日本語 कि 👩‍👧", "a\xff\xc3 b\xe2\x82", "&amp;lt; <b>"})
    texts.emplace_back(more);
  for (const auto& reader : {tokenizer::from_folder(folder, o), tokenizer::from_merges(folder + "/bpe_1000.txt.gz", o),
                             tokenizer::from_merges(folder + "/merges.txt", o),
                             tokenizer::from_vocab(folder + "/vocab.json", folder + "/merges.txt", o)}) {
    REQUIRE(reader.vocab_size() == 1000);
    CHECK(reader.eot() == 999);
    for (const auto& text : texts) {
      const auto got = reader.encode(text);
      CAPTURE(text);
      REQUIRE(got == made.encode(text));
      CHECK(without_spaces(reader.decode(got)) == without_spaces(clean(text, clean_rule::openai)));
    }
  }
  for (const auto& caption : c.captions) CHECK(hf(caption) == made(caption));
  CHECK(std::distance(std::filesystem::directory_iterator(folder), {}) == 3);

  write_file(folder + "/tokenizer.json", "{}");
  CHECK_THAT(message([&] { write_tokenizer(folder, learned); }), Contains(folder) && Contains("tokenizer.json"));
  CHECK_THAT(message([&] { write_tokenizer(folder + "/merges.txt", learned); }), Contains("cannot be created as a folder"));
}

TEST_CASE("text: gzip and back", "[text]") {
  for (const std::size_t n : {0UL, 1UL, 65535UL, 65536UL, 200000UL}) {
    std::string text(n, 'x');
    for (std::size_t i = 0; i < n; ++i) text[i] = static_cast<char>(i * 7 % 251);
    const auto packed = detail::gzip(text);
    CHECK(packed.size() < 100 + n / 20);
    CHECK(detail::gunzip(packed, "x") == text);
    CHECK(detail::gunzip(packed + packed + std::string(100, '\0'), "x") == text + text);  // two members, then zeros
    CHECK_THAT(message([&] { detail::gunzip(packed + "x", "x"); }), Contains("other data after its end"));
    CHECK_THAT(message([&] { detail::gunzip(packed.substr(0, packed.size() - 1), "x"); }), Contains("truncated"));
    if (n > 0) CHECK_THAT(message([&] { detail::gunzip(packed, "x", n - 1); }), Contains(cat("more than ", n - 1, " bytes")));
    CHECK(detail::gunzip(packed, "x", n) == text);
  }
}

TEST_CASE("bpe: errors say what was expected", "[text]") {
  const auto making = [](const bpe_options& o) { return message([&] { bpe_trainer trainer(o); }); };
  CHECK_THAT(making(sized(514)), Contains("514") && Contains("expected 515 at least"));
  CHECK_THAT(making(sized(-1)), Contains("-1") && Contains("515"));
  CHECK_THAT(making(sized(49409)), Contains("49408 at most"));
  CHECK_THAT(making(sized(600, 0)), Contains("frequency"));
  CHECK_THAT(making(sized(600, 2, 0)), Contains("threads"));
  CHECK_THAT(message([] { learn({}, sized(600)); }), Contains("expected captions") && Contains("none"));
  CHECK_THAT(message([] { learn({" ", ""}, sized(600)); }), Contains("2 captions without any"));
  CHECK_THAT(message([] { learn({"ab cd", "ef"}, sized(600)); }), Contains("occurs 2 times") && Contains("3 words"));
  CHECK(learn({"ab ab"}, sized(515)).vocab_size == 515);
}

TEST_CASE("bpe: hostile captions", "[text]") {
  std::mt19937 random(3);
  list captions{std::string("nul\0nul\0nul", 11), std::string(1000, '\0'), "\xff\xfe\xff\xfe",       "\xed\xa0\x80",
                "<|startoftext|><|endoftext|>a",  "</w></w> a</w> </w>",   std::string(300000, 'a'), std::string(100000, '!')};
  for (int i = 0; i < 200; ++i) {
    std::string bytes;
    for (std::size_t n = random() % 200; n > 0; --n) bytes += static_cast<char>(static_cast<unsigned char>(random()));
    captions.push_back(bytes);
  }
  std::string word;  // twice, so that all of it could be merged
  for (int i = 0; i < 300000; ++i) word += "abcdefgh"[random() % 8];
  captions.push_back(word);
  captions.push_back(word + " " + word);
  for (const auto& text : {tokenizer_options::openai(), tokenizer_options::hf(), tokenizer_options::open_clip_hf()}) {
    auto o = sized(4000);
    o.text = text;
    const auto learned = learn(captions, o);
    const auto t = learned.tokenizer(text);
    CHECK(learned.vocab_size == 4000);
    std::size_t longest = 0, tokens = 0;
    std::set<std::string> symbols;
    for (std::int32_t i = 0; i < t.vocab_size(); ++i) {
      longest = std::max(longest, i < 3998 ? t.symbol(i).size() : 0);
      symbols.insert(t.symbol(i));
    }
    CHECK(symbols.size() == 4000);
    CHECK(longest <= 2 * 256 + 4);  // a byte's stand-in takes two at most
    CHECK(longest >= 256);
    for (const auto& c : captions)
      for (const auto id : t.encode(c)) tokens += id < 3998;
    CHECK(learned.tokens == tokens);
  }
}

TEST_CASE("bpe: as good a vocabulary as the reference model's from the same captions", "[text]") {
  const char* shared = std::getenv("CLIPX_SHARED");
  const std::string base = shared ? shared : root + "/../shared", pairs = base + "/data/pairs/train-000";
  if (!detail::file_exists(pairs + "0.tar") || !detail::file_exists(base + "/models/ViT-tiny-14-112/hf/vocab.json")) {
    WARN("skipped: no shared data");
    return;
  }
  list captions;
  for (char shard = '0'; shard <= '8'; ++shard)
    for_each_caption(pairs + shard + ".tar", {.field = "captions"}, [&](std::string_view c) { captions.emplace_back(c); });
  CHECK(captions.size() > 16261 * 3);
  const auto learned = learn(captions, sized(4096));
  CHECK(learned.vocab_size == 4096);
  const auto reference = tokenizer::from_folder(base + "/models/ViT-tiny-14-112/hf", tokenizer_options::openai());
  std::size_t tokens = 0;
  for (const auto& c : captions) tokens += reference.encode(c).size();
  CHECK(static_cast<double>(learned.tokens) <= 1.01 * static_cast<double>(tokens));
}

}  // namespace test_bpe_train
