// Words, the dictionary of n-grams, and its counts.
#include <clipx/curate/ngram_count.hpp>
#include <clipx/run/ngram_scores.hpp>
#include <clipx/text/bpe.hpp>

#include "catch.hpp"
#include "tar.hpp"
#include "temporary.hpp"
#include "watch.hpp"

namespace test_ngrams {

using namespace clipx;

namespace {
using list = std::vector<std::string>;

ngram_dictionary counted(ngram_sources sources, const temporary_folder& dir, ngram_report* report = nullptr) {
  ngram_report own;
  return count_ngrams(sources, dir / "scratch.", report ? *report : own);
}
}  // namespace

TEST_CASE("n-grams: words of a text") {
  CHECK(ngram_words("A cat, a DOG!") == list{"a", "cat", "a", "dog"});
  CHECK(ngram_words("don't it's the dogs' rock-n-roll") == list{"dont", "its", "the", "dogs", "rock", "n", "roll"});
  CHECK(ngram_words("  [BEGIN] caf\xc3\xa9 &amp; 3.5 \xe2\x80\x9cZ\xc3\xbcrich\xe2\x80\x9d ") ==
        list{"begin", "caf\xc3\xa9", "3", "5", "z\xc3\xbcrich"});
  CHECK(ngram_words("\xe0\xa4\xb9\xe0\xa4\xbf\xe0\xa4\xa8\xe0\xa5\x8d\xe0\xa4\xa6\xe0\xa5\x80").size() ==
        1);  // marks are of their word
  CHECK(ngram_words("... \xff !").empty());
}

TEST_CASE("n-grams: counts of captions, in any memory") {
  const temporary_folder dir;
  write_file(dir / "a.tar", member("1.txt", "A cat.") + member("2.txt", "a red cat") + end_of_tar);
  write_file(dir / "b.csv", "filepath,title\nx.jpg,\"a cat, red\"\ny.jpg,\n");
  write_file(dir / "c.txt", "red red\nred \xff\n");
  ngram_sources sources;
  sources.data = {dir / "a.tar", dir / "{b.csv,c.txt}"};
  sources.max_n = 3;
  sources.min_count = 2;
  ngram_report report;
  const auto d = counted(sources, dir, &report);
  // [BEGIN] a cat [END] | [BEGIN] a red cat [END] | [BEGIN] a cat red [END] | [BEGIN] red red [END]
  CHECK(d.text() ==
        "4\t[BEGIN]\n4\t[END]\n4\tred\n3\ta\n3\tcat\n"
        "3\t[BEGIN] a\n2\ta cat\n2\tcat [END]\n2\tred [END]\n"
        "2\t[BEGIN] a cat\n");
  CHECK(report.captions == 4);
  CHECK(report.not_utf8 == 1);
  CHECK(report.words == 18);
  sources.memory = 300;  // many runs on disk
  CHECK(counted(sources, dir).text() == d.text());
  CHECK(dir.files() == 3);  // which are gone
  sources.min_count = 5;
  CHECK_THAT(message([&] { counted(sources, dir); }), Contains("occur 5 times") && Contains("min_count"));
  sources.data = {dir / "none.txt"};
  CHECK_THAT(message([&] { counted(sources, dir); }), Contains("none.txt"));
  std::filesystem::create_directory(dir / "images");
  write_file(dir / "images/1.jpg", "x");
  write_file(dir / "images/1.txt", "a dog\na dog\n");
  sources.data = {dir / "images"};
  sources.min_count = 2;
  CHECK(counted(sources, dir).find("a dog") >= 0);
  CHECK_THAT(message([&] {
               ngram_report own;
               sources.data = {dir / "many.txt"};
               write_file(dir / "many.txt", std::string(5000, 'a') + std::string(4000, '\n') + "b");
               std::string lines;
               for (int i = 0; i < 2000; ++i) lines += "a b\n";
               write_file(dir / "many.txt", lines);
               recorder stopping([] { return true; });
               count_ngrams(sources, dir / "scratch.", own, stopping);
             }),
             Contains("cancelled after 1024 captions"));
}

TEST_CASE("n-grams: a dictionary's file, and its errors") {
  const auto d = ngram_dictionary::from_bytes("9\ta\n7\tb\n7\tc\n3\ta b\n1\ta b c\n");
  CHECK(d.size() == 5);
  CHECK(d.orders() == std::vector<dim>{3, 1, 1});
  CHECK(d.find("a b") == 3);
  CHECK(d.find("b a") == -1);
  CHECK(d.order(4) == 3);
  CHECK(d.count(1) == 7);
  CHECK(ngram_dictionary::from_bytes(d.text()).text() == d.text());
  CHECK(ngram_dictionary::from_bytes("9\ta\r\n7\tb\r\n").text() == "9\ta\n7\tb\n");
  const auto refused = [](const char* text) { return message([&] { ngram_dictionary::from_bytes(text, "d.tsv"); }); };
  CHECK_THAT(refused(""), Contains("d.tsv: expected a line for each n-gram"));
  CHECK_THAT(refused("9\ta\nb\n"), Contains("d.tsv, line 2: expected a count, a tab and words, got \"b\""));
  CHECK_THAT(refused("x\ta\n"), Contains("line 1: expected a count"));
  CHECK_THAT(refused("1\ta  b\n"), Contains("single spaces"));
  CHECK_THAT(refused("0\ta\n"), Contains("a count of at least 1"));
  CHECK_THAT(refused("1\ta\x01\n"), Contains("control characters"));
  CHECK_THAT(refused("1\ta\xff\n"), Contains("UTF-8"));
  CHECK_THAT(refused("1\ta b\n"), Contains("n-grams of 1 words before those of 2"));
  CHECK_THAT(refused("1\ta\n1\ta b\n1\tb\n"), Contains("line 3: expected n-grams of fewer words first"));
  CHECK_THAT(refused("1\ta\n2\tb\n"), Contains("descending order of count"));
  CHECK_THAT(refused("1\tb\n1\ta\n"), Contains("then of bytes"));
  CHECK_THAT(refused("2\ta\n1\ta\n"), Contains("twice"));
}

TEST_CASE("n-grams: a caption's ids") {
  const auto d = ngram_dictionary::from_bytes("9\t[BEGIN]\n9\ta\n7\tcat\n3\t[BEGIN] a\n3\ta cat\n1\t[BEGIN] a cat\n");
  std::vector<std::int32_t> ids;
  d.append_caption("A cat sat", ids);
  CHECK(ids == std::vector<std::int32_t>{0, 1, 3, 2, 4, 5, 6, 6});  // sat and [END] are unknown
  const auto text = tokenizer::from_ngrams(d);
  CHECK(text("A cat sat") == ids);
  CHECK(text.encode("a cat") == std::vector<std::int32_t>{1, 2, 4});
  CHECK(text.vocab_size() == 7);
  CHECK(text.symbol(4) == "a cat");
  CHECK(text.decode(ids) == "[BEGIN] a cat  ");
  const temporary_folder dir;
  for (auto& [name, bytes] : text.files()) write_file(dir / name, bytes);
  CHECK(tokenizer::from_folder(dir.path.string(), {}).ngrams()->text() == d.text());
}

TEST_CASE("n-grams: phrases, back-off and priors") {
  const auto d = ngram_dictionary::from_bytes("6\thouse\n2\tred\n1\ta\n1\tred house\n");
  ngram_loss_config c{.orders = d.orders(), .smoothing = ngram_smoothing::jelinek_mercer, .lambda = 0.25, .batch_only = false};
  const list phrases{"red house", "a house", "a red house", "house of cards", "", "very very long red house"};
  const std::vector<double> log_p{std::log(0.5), std::log(0.2), std::log(0.1), std::log(0.2)};  // of the whole dictionary
  const auto scores = [&](const ngram_texts& t, bool calibrated) {
    std::vector<double> own, out(phrases.size());
    for (auto id : t.ngrams) own.push_back(log_p[static_cast<std::size_t>(id)]);
    t.log_probabilities(own, calibrated, out);
    for (auto& v : out) v = std::exp(v);
    return out;
  };
  const auto near = [](double got, double want) { return std::abs(got - want) < 1e-6; };
  auto t = phrase_texts(phrases, d, c);
  auto s = scores(t, false);
  CHECK(near(s[0], 0.25 * 0.2 + 0.75 * 0.5));
  CHECK(near(s[1], 0.75 * 0.5));
  CHECK(near(s[2], 0.25 * 0.2 + 0.75 * 0.5));  // the longest n-gram has two words
  CHECK(s[3] == 0);                            // nobody knows "cards"
  CHECK(s[4] == 0);
  CHECK(near(s[5], s[0]));
  CHECK(near(std::exp(t.prior[0]), 0.25 * 0.1 + 0.75 * 0.6));  // by counts of 10
  CHECK(near(scores(t, true)[0], s[0] / std::exp(t.prior[0])));
  c.smoothing = ngram_smoothing::none;
  t = phrase_texts(phrases, d, c);
  s = scores(t, false);
  CHECK(near(s[0], 0.2));
  CHECK(near(s[1], 0.25 * 0.5));  // stupid back-off
  CHECK(near(s[2], 0.2));
  // A caption is the sum of its n-grams' logarithms.
  CHECK(near(scores(caption_texts(phrases, d, c), false)[0], 0.2 * 0.5 * 0.2));
}

}  // namespace test_ngrams
