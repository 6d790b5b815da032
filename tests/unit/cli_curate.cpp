// clipx curate queries, match and balance: their files, what they say, and what they do with data that cannot be read.
#ifdef CLIPX_PROGRAM
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "tar.hpp"
#include "temporary.hpp"

namespace test_cli_curate {

using namespace clipx;
using json = nlohmann::json;
using list = std::vector<std::string>;

namespace {

struct answer {
  int code = -1;
  std::string out, err;
};

struct workplace {
  temporary_folder dir;
  workplace() {
    write_file(dir / "text.txt", "a red cat, a red cat\nthe dog and a red cat\nNew York , New York\n");
    write_file(dir / "titles.tsv", "New_York\t40\nTalk:Cats\t900\nNew York\t30\nLos Angeles\t69\n");
    write_file(dir / "captions.txt", "a red cat\nno match\nthe dog, a red cat\n\nNew York\n");
    write_file(dir / "queries.txt", "a\nred cat\ncat\ndog\nYork\n");
    write_file(dir / "s-0.tar", member("k0.jpg", "x") + member("k0.txt", "a red cat") + member("k1.txt", "none") + end_of_tar);
    write_file(dir / "s-1.tar", member("k2.jpg", "y") + member("k2.txt", "the dog") + end_of_tar);
  }
  answer run(const list& arguments, const std::string& shell = "") const {
    std::string command = "cd '" + dir.path.string() + "'; " + shell + " '" CLIPX_PROGRAM "' curate";
    for (auto& a : arguments) command += " '" + a + "'";
    const int status = std::system((command + " > out 2> err").c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, contents(dir / "out"), contents(dir / "err")};
  }
  std::string refusal(const list& arguments) const {
    const auto r = run(arguments);
    INFO(r.out << r.err);
    CHECK(r.code == 1);
    CHECK(r.out.empty());
    CHECK(r.err.starts_with("clipx: "));
    return r.err;
  }
};
}  // namespace

TEST_CASE("clipx curate queries") {
  const workplace w;
  const auto r = w.run({"queries", "--text", "text.txt", "--unigram-min", "2", "--bigram-pmi", "2.6", "--titles", "titles.tsv",
                        "--out", "q", "--json", "--threads", "2"});
  INFO(r.err);
  REQUIRE(r.code == 0);
  const auto facts = json::parse(r.out);
  CHECK(facts["words"] == 18);
  CHECK(facts["punctuation"] == 1);
  CHECK(facts["numbers"] == 100);
  CHECK(facts["titles"] == 0);  // New York is there, Los Angeles too rare
  const auto text = contents(w.dir / "q");
  CHECK(text.substr(text.find("99\n") + 3) == "a\ncat\nred\nNew\nYork\ndog and\nthe dog\nNew York\n");
  CHECK_THAT(w.refusal({"queries", "--text", "none", "--out", "q"}), Contains("none: cannot be opened"));
  CHECK_THAT(w.refusal({"queries", "--text", "text.txt", "--out", "no/q"}), Contains("no/q"));
  CHECK(w.run({"queries", "--out", "q"}).code == 2);
  CHECK(w.run({"queries", "--text", "text.txt", "--out", "q", "--bigram-pmi", "nan"}).code == 2);
  CHECK(w.run({"queries", "--text", "text.txt", "--out", "q", "--part", "2/2"}).code == 2);
}

TEST_CASE("clipx curate match") {
  const workplace w;
  auto r = w.run({"match", "--queries", "queries.txt", "--data", "captions.txt", "--out", "m", "--matches", "--json"});
  INFO(r.err);
  REQUIRE(r.code == 0);
  CHECK(contents(w.dir / "m/counts.tsv") == "a\t2\nred cat\t2\ncat\t2\ndog\t1\nYork\t1\n");
  CHECK(contents(w.dir / "m/matches.jsonl") ==
        "{\"key\":\"0\",\"entries\":[\"a\",\"red cat\",\"cat\"]}\n{\"key\":\"2\",\"entries\":[\"a\",\"red cat\",\"cat\",\"dog\"]}\n"
        "{\"key\":\"4\",\"entries\":[\"York\"]}\n");
  const auto facts = json::parse(r.out);
  CHECK(facts["captions"] == 4);
  CHECK(facts["empty"] == 1);
  CHECK(facts["matched"] == 3);
  CHECK(facts["matches"] == 8);
  CHECK(facts["entries_found"] == 5);

  // two processes; the last writes the result
  const list both{"match", "--queries", "queries.txt", "--data", "s-{0..1}.tar", "captions.txt", "--out", "p", "--part"};
  auto one = both, two = both;
  one.push_back("0/2"), two.push_back("1/2");
  r = w.run(one);
  CHECK(r.code == 0);
  CHECK(r.out.empty());
  CHECK_THAT(r.err, Contains("1 of 3 parts are not done"));
  CHECK_FALSE(std::filesystem::exists(w.dir.path / "p/counts.tsv"));
  CHECK(w.run(two).code == 0);
  CHECK(contents(w.dir / "p/counts.tsv") == "a\t3\nred cat\t3\ncat\t3\ndog\t2\nYork\t1\n");
}

TEST_CASE("clipx curate match on data that cannot be read") {
  const workplace w;
  write_file(w.dir / "bad.txt", "a red cat\n\xff\n");
  write_file(w.dir / "bad.tar", member("k.txt", "the dog") + member("l.txt", "York") + "torn");
  const auto r = w.run({"match", "--queries", "queries.txt", "--data", "bad.txt", "bad.tar", "--out", "m"});
  CHECK(r.code == 1);
  CHECK(contents(w.dir / "m/counts.tsv") == "a\t1\nred cat\t1\ncat\t1\ndog\t1\nYork\t0\n");
  CHECK_THAT(r.err, Contains("left out 2, 2 of them unreadable") && Contains("bad.txt: 1: expected a caption") &&
                        Contains("bad.tar: byte 2048"));
  CHECK_THAT(w.refusal({"match", "--queries", "none", "--data", "captions.txt", "--out", "m"}), Contains("none: cannot be opened"));
  CHECK_THAT(w.refusal({"match", "--queries", "queries.txt", "--data", "s-2.tar", "--out", "m"}), Contains("s-2.tar: cannot be"));
  write_file(w.dir / "empty", "");
  CHECK_THAT(w.refusal({"match", "--queries", "empty", "--data", "captions.txt", "--out", "m"}), Contains("expected a query list"));
  // a full disk: nothing is half-written
  std::string many;
  for (int i = 0; i < 300; ++i) many += "a red cat\n";
  write_file(w.dir / "many.txt", many);
  const auto full = w.run({"match", "--queries", "queries.txt", "--data", "many.txt", "--out", "full", "--matches"},
                          "ulimit -f 4; trap '' XFSZ;");
  CHECK(full.code == 1);
  CHECK_THAT(full.err, Contains("full/state/match/") && Contains("cannot be written"));
  std::size_t files = 0;
  for (const auto& e : std::filesystem::recursive_directory_iterator(w.dir.path / "full")) files += e.is_regular_file() ? 1 : 0;
  CHECK(files == 1);  // the lock
}

TEST_CASE("clipx curate queries, match, balance: what is left out is named, and --strict makes it an error") {
  const workplace w;
  write_file(w.dir / "counts.tsv", "a\t3\nred cat\t3\ncat\t3\ndog\t2\nYork\t1\n");
  write_file(w.dir / "s-1.tar", member("k2.jpg", "y") + member("k2.txt", "the dog") + member("k3.jpg", "z") +
                                    member("README", "x") + member("l.txt", "", '2') + member("k4.txt", " ") + end_of_tar);
  for (const auto& verb : {list{"match", "--queries", "queries.txt"}, list{"balance", "--counts", "counts.tsv"}}) {
    const auto with = [&](const std::string& data, const list& more) {
      auto all = verb;
      all.insert(all.end(), {"--data", data, "--out", verb[0], "--json"});
      all.insert(all.end(), more.begin(), more.end());
      return all;
    };
    // samples without a caption, a link, a foreign file: the measure is of all that could be read
    CHECK_THAT(w.refusal(with("s-{0..1}.tar", {"--strict"})), Contains("left out 3, and 1 other files"));
    CHECK_FALSE(std::filesystem::exists(w.dir / verb[0] + "/counts.tsv"));
    const auto r = w.run(with("s-{0..1}.tar", {}));
    INFO(r.err);
    CHECK(r.code == 0);
    CHECK_THAT(r.err, Contains("left out 3, and 1 other files") && Contains("s-1.tar: k3: expected a caption (txt), got none") &&
                          Contains("s-1.tar: k4: expected a caption, got an empty text") && Contains("s-1.tar: l.txt: a link") &&
                          Contains("s-1.tar: README: expected a name"));
    CHECK(json::parse(r.out)["left_out"] == 3);
    const auto counts = contents(w.dir / verb[0] + "/counts.tsv");
    CHECK_THAT(counts, Contains("dog\t1\n") && Contains("cat\t1\n"));
    // a finished run is no way around it
    CHECK_THAT(w.refusal(with("s-{0..1}.tar", {"--strict"})), Contains("left out 3"));
    // a shard that is not there, and one that is none: the rest goes on
    write_file(w.dir / "s-3.tar", "<html>");
    const auto part = w.run(with("s-{2,3,0,1}.tar", {}));
    CHECK(part.code == 1);
    CHECK_THAT(part.err, Contains("left out 5, 2 of them unreadable") && Contains("s-2.tar: cannot be opened") &&
                             Contains("s-3.tar: byte 0: not a tar file"));
    CHECK(json::parse(part.out)["broken_shards"] == 2);
    CHECK(contents(w.dir / verb[0] + "/counts.tsv") == counts);
    std::filesystem::remove_all(w.dir / verb[0]);
    CHECK(w.run(with("s-0.tar", {"--strict"})).code == 0);
    std::filesystem::remove(w.dir.path / "s-3.tar");
  }
  const auto queries = [](const std::string& text, const list& more) {
    list all{"queries", "--text", text, "--titles", "titles.tsv", "--unigram-min", "1", "--out", "q", "--json"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  CHECK(w.run(queries("text.txt", {"--strict"})).code == 0);
  const auto whole = contents(w.dir / "q");
  write_file(w.dir / "titles.tsv", contents(w.dir / "titles.tsv") + "no count\n\xff\t9\n");
  std::filesystem::remove(w.dir.path / "q");
  for (auto* data : {"text.txt", "{text,none}.txt"}) {
    CHECK_THAT(w.refusal(queries(data, {"--strict"})), Contains("left out"));
    CHECK_FALSE(std::filesystem::exists(w.dir.path / "q"));
  }
  const auto r = w.run(queries("{text,none}.txt", {}));
  CHECK(r.code == 1);
  CHECK(contents(w.dir / "q") == whole);
  CHECK(json::parse(r.out)["left_out"] == 3);
  CHECK_THAT(r.err, Contains("left out 3, 3 of them unreadable") && Contains("none.txt: cannot be opened") &&
                        Contains("titles.tsv: line 5: expected a title, a tab and a count") &&
                        Contains("titles.tsv: line 6: a title that is not UTF-8"));
  write_file(w.dir / "titles.tsv", "no count\n");
  CHECK_THAT(w.refusal(queries("text.txt", {})), Contains("titles.tsv: line 1: expected a title, a tab and a count"));
}

TEST_CASE("clipx curate balance") {
  const workplace w;
  write_file(w.dir / "counts.tsv", "a\t1000000000\nred cat\t1000000000\ncat\t1000000000\ndog\t1\nYork\t3\n");
  auto r = w.run({"balance", "--counts", "counts.tsv", "--t", "3", "--seed", "5", "--data", "s-{0..1}.tar", "captions.txt", "--out",
                  "b", "--json"});
  INFO(r.err);
  REQUIRE(r.code == 0);
  const auto facts = json::parse(r.out);
  CHECK(facts["matched"] == 5);
  CHECK(facts["kept"] == 3);
  CHECK(facts["head_entries"] == 4);
  CHECK(facts["matches_after"] == 6);
  CHECK(contents(w.dir / "b/kept.txt") == "the dog, a red cat\nNew York\n");
  CHECK_FALSE(std::filesystem::exists(w.dir.path / "b/00000.tar"));
  CHECK(contents(w.dir / "b/00001.tar").starts_with("k2.jpg"));
  CHECK(contents(w.dir / "b/counts.tsv") == "a\t1\nred cat\t1\ncat\t1\ndog\t2\nYork\t1\n");
  CHECK_THAT(contents(w.dir / "b/kept.jsonl"), Contains("{\"key\":\"k2\",\"p\":1,\"entries\":[\"dog\"]}\n"));
  r = w.run({"balance", "--counts", "counts.tsv", "--tail-share", "0.4", "--data", "captions.txt", "--out", "c", "--no-decisions",
             "--json"});
  CHECK(r.code == 0);
  CHECK(json::parse(r.out)["t"] == 1000000000);
  CHECK_FALSE(std::filesystem::exists(w.dir.path / "c/kept.jsonl"));
  CHECK(w.run({"balance", "--counts", "counts.tsv", "--t", "0", "--data", "captions.txt", "--out", "b"}).code == 2);
  CHECK(w.run({"balance", "--counts", "counts.tsv", "--t", "2", "--tail-share", "0.1", "--data", "captions.txt", "--out", "b"})
            .code == 2);
  CHECK_THAT(w.refusal({"balance", "--counts", "counts.tsv", "--data", "captions.txt", "--out", "."}),
             Contains("would be overwritten"));
  CHECK_THAT(w.refusal({"balance", "--counts", "captions.txt", "--data", "captions.txt", "--out", "d"}),
             Contains("line 1: expected an entry"));
}

}  // namespace test_cli_curate
#endif
