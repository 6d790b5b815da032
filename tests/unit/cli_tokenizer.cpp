// clipx tokenizer train: captions from texts, tables and shards to a folder that tokenizers read.
#ifdef CLIPX_PROGRAM
#include <clipx/data/captions.hpp>
#include <clipx/text/bpe_train.hpp>
#include <clipx/text/gunzip.hpp>

#include "cli.hpp"
#include "tar.hpp"

namespace test_cli_tokenizer {

using namespace program;

namespace {
const list captions{"a red cat", "two red cats, on a red mat", "the \"best\" cat", "a mat", "the red mat"};

/// What the library learns from the same captions.
learned_bpe expected_bpe(dim size, std::uint64_t least = 2) {
  bpe_options o;
  o.vocab_size = size;
  o.min_frequency = least;
  bpe_trainer trainer(o);
  trainer.add(std::span<const std::string>(captions));
  return trainer.learn();
}

struct sources : workplace {
  std::string text = dir / "a.txt", csv = dir / "a.csv", tsv = dir / "a.TSV", odd = dir / "odd.csv", tar = dir / "s-0.tar",
              other = dir / "s-1.tar";
  sources() {
    std::string lines, commas = "filepath,title\n", tabs = "words\tpicture\r\n", points = "caption;n\n", first, second;
    for (std::size_t i = 0; i < captions.size(); ++i) {
      const auto& c = captions[i];
      std::string doubled = c;
      for (std::size_t at = 0; (at = doubled.find('"', at)) != std::string::npos; at += 2) doubled.insert(at, 1, '"');
      lines += (i % 2 ? "\n  " : "") + c + (i % 2 ? "\r\n" : i + 1 < captions.size() ? "\n" : "");
      commas += cat("p", i, ".jpg,\"", doubled, "\"\n");
      tabs += cat(c, "\tp\r\n");
      points += cat("\"", doubled, "\";1\n");
      auto& shard = i < 2 ? first : second;
      shard += member(cat("k", i, ".jpg"), "x") + member(cat("k", i, ".txt"), c);
    }
    second += member("k9.jpg", "x") + member("k9.json", json{{"captions", captions}, {"one", captions[0]}, {"n", 3}}.dump());
    write_file(text, lines);
    write_file(csv, "\xef\xbb\xbf" + commas);
    write_file(tsv, tabs);
    write_file(odd, points);
    write_file(tar, first + end_of_tar);
    write_file(other, second + end_of_tar);
  }
  list train(list arguments, const std::string& out, const std::string& size = "520") const {
    list all{"tokenizer", "train", "--size", size, "--out", out};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return all;
  }
};
}  // namespace

TEST_CASE("clipx tokenizer train") {
  const sources w;
  const auto want = expected_bpe(520);
  SECTION("every kind of source gives what the library gives") {
    const std::string shards = w.dir / "s-{0..1}.tar";
    for (const list& from :
         {list{"--captions", w.text}, list{"--captions", "-"}, list{"--captions", w.csv},
          list{"--captions", w.tsv, "--column", "words"}, list{"--captions", w.odd, "--column", "caption", "--separator", ";"},
          list{"--shards", shards}, list{"--shards", w.other, "--field", "captions", "--threads", "3"}}) {
      INFO(from[1]);
      const auto r = w.run(w.train(from, w.dir / "made"), contents(w.text));
      INFO(r.err);
      REQUIRE(r.code == 0);
      if (from[1] == w.other) CHECK_THAT(r.err, Contains("left out 3") && Contains("k2: expected a caption (json)"));
      else if (from[1] == shards) CHECK_THAT(r.err, Contains("left out 1\n") && Contains("k9: expected a caption (txt)"));
      else CHECK(r.err.empty());
      CHECK_THAT(r.out,
                 Contains("vocab_size           520") && Contains("captions             5\n") && Contains("tokens_per_caption"));
      CHECK(contents(w.dir / "made/merges.txt") == want.merges);
      fs::remove_all(w.dir.path / "made");
    }
  }
  SECTION("JSON, the files, and what reads them") {
    list arguments = w.train({"--captions", w.text, w.csv, "--json"}, w.dir / "new/out");
    const auto r = w.run(arguments);
    REQUIRE(r.lines().size() == 1);
    const auto facts = json::parse(r.out);
    CHECK(facts["vocab_size"] == 520);
    CHECK(facts["merges"] == 6);
    CHECK(facts["captions"] == 10);
    CHECK(facts["words"] == 2 * want.words);
    CHECK(facts["distinct_words"] == want.distinct_words);
    for (auto* name : {"bpe_520.txt.gz", "merges.txt", "vocab.json"}) CHECK(fs::exists(w.dir.path / "new/out" / name));
    const auto t = want.tokenizer();
    const auto ids = w.run({"tokenize", "--bpe", w.dir / "new/out/bpe_520.txt.gz"}, "the red CAT\n");
    CHECK(ids.out == json(t("the red CAT")).dump() + "\n");
    CHECK(tokenizer::from_folder(w.dir / "new/out", tokenizer_options::openai()).encode("the red cat") == t.encode("the red cat"));
  }
  SECTION("a part that cannot be read is named, and the rest is learned from") {
    const auto out = w.dir / "made";
    const auto learned = [&](const list& from) {
      const auto r = w.run(w.train(from, out));
      INFO(r.err);
      CHECK(r.code == 1);
      CHECK(contents(out + "/merges.txt") == want.merges);
      fs::remove_all(out);
      return r.err;
    };
    CHECK_THAT(learned({"--shards", w.dir / "s-{0..2}.tar"}),
               Contains("1 of them unreadable") && Contains("s-2.tar: cannot be opened"));
    CHECK_THAT(learned({"--captions", w.text, w.dir / "none.txt"}), Contains("none.txt: cannot be opened"));
    write_file(w.dir / "cut.csv", contents(w.csv) + "p9.jpg,\"never closed\n");
    CHECK_THAT(learned({"--captions", w.dir / "cut.csv"}), Contains("cut.csv: row 7: expected a closing quote"));
    CHECK_THAT(w.refusal(w.train({"--shards", w.dir / "s-{0..2}.tar", "--strict"}, out)), Contains("--strict"));
    // a folder of shards, as for training
    fs::create_directory(w.dir.path / "shards");
    fs::copy_file(w.tar, w.dir.path / "shards/0.tar");
    write_file(w.dir / "shards/1.tar.gz", detail::gzip(contents(w.other)));
    const auto r = w.run(w.train({"--shards", w.dir / "shards"}, out));
    CHECK(r.code == 0);
    CHECK(contents(out + "/merges.txt") == want.merges);
  }
  SECTION("fewer pairs than asked for") {
    const auto r = w.run(w.train({"--captions", w.text, "--min-frequency", "3", "--json"}, w.dir / "made", "4096"));
    CHECK(r.code == 0);
    const auto learned = expected_bpe(4096, 3);
    CHECK_THAT(r.err, Contains("3 times") && Contains(cat(learned.vocab_size, " ids instead of 4096")));
    CHECK(json::parse(r.out)["vocab_size"] == learned.vocab_size);
    CHECK(fs::exists(w.dir / cat("made/bpe_", learned.vocab_size, ".txt.gz")));
  }
  SECTION("errors name the place; nothing is written") {
    const auto refused = [&](const list& from) { return w.refusal(w.train(from, w.dir / "made")); };
    CHECK_THAT(refused({"--captions", w.dir / "none"}), Contains("none: cannot be opened"));
    CHECK_THAT(refused({"--captions", w.dir.path.string()}), Contains("cannot be read"));
    CHECK_THAT(refused({"--captions", w.tar}), Contains("--shards"));
    CHECK_THAT(refused({"--shards", w.text}), Contains("a.txt: expected a shard"));
    CHECK_THAT(refused({"--shards", w.dir / "s-{2..3}.tar"}), Contains("s-2.tar") && Contains("cannot be opened"));
    CHECK_THAT(refused({"--captions", w.csv, "--column", "text"}),
               Contains("a.csv") && Contains("\"text\"") && Contains("\"filepath\", \"title\"") && Contains("--csv-caption-key"));
    CHECK_THAT(refused({"--shards", w.other, "--field", "n"}),
               Contains("s-1.tar: k9") && Contains("a string or a list of strings"));
    CHECK_THAT(refused({"--shards", w.other, "--field", "no"}), Contains("s-1.tar: k9") && Contains("\"no\""));
    CHECK_THAT(refused({"--shards", w.tar, "--field", "captions"}), Contains("expected captions"));
    write_file(w.dir / "long.txt", "ab\n" + std::string(1 << 20, 'a') + "\n");
    CHECK(w.run(w.train({"--captions", w.dir / "long.txt", "--min-frequency", "1"}, w.dir / "fits")).code == 0);
    write_file(w.dir / "long.txt", "ab\n" + std::string((1 << 20) + 1, 'a') + "\n");
    CHECK_THAT(refused({"--captions", w.dir / "long.txt", "--strict"}), Contains("long.txt: line 2") && Contains("1048576"));
    write_file(w.dir / "empty", "\n \n");
    CHECK_THAT(refused({"--captions", w.dir / "empty"}), Contains("expected captions"));
    CHECK_FALSE(fs::exists(w.dir / "made"));
    write_file(w.dir / "made", "x");
    CHECK_THAT(refused({"--captions", w.text}), Contains("made: cannot be created as a folder"));
  }
  SECTION("usage") {
    CHECK_THAT(w.run({"tokenizer", "train", "--help"}).out,
               Contains("Usage: clipx tokenizer train") && Contains("--min-frequency"));
    for (const list& wrong :
         {list{"tokenizer"}, list{"tokenizer", "learn"}, w.train({}, "o"), w.train({"--captions", "a"}, "o", "514"),
          w.train({"--captions", "a"}, "o", "50000"), list{"tokenizer", "train", "--captions", "a", "--size", "600"},
          w.train({"--captions", "a", "--min-frequency", "0"}, "o"), w.train({"--captions", "a", "--separator", "ab"}, "o")}) {
      const auto r = w.run(wrong);
      CHECK(r.code == 2);
      CHECK(r.out.empty());
      CHECK_FALSE(r.err.empty());
    }
  }
}

}  // namespace test_cli_tokenizer
#endif
