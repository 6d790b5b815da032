// clipx curate filter, dedup, decontaminate and run: what they write, and that a kill, a full disk and bad usage leave nothing
// torn.
#ifdef CLIPX_PROGRAM
#include <sys/wait.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "curate_shards.hpp"

namespace test_cli_curate_images {

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
  explicit workplace(int shards = 2, int samples = 5) {
    for (int s = 0; s < shards; ++s) {
      std::vector<pool::pair> all;
      for (int i = 0; i < samples; ++i) {
        const int n = s * samples + i;
        all.push_back(pool::made("k" + std::to_string(n), pool::ppm(static_cast<std::uint64_t>(n / 2)),
                                 n % 5 == 4 ? "short" : "a photo of number " + std::to_string(n)));
      }
      pool::write(dir / ("in-" + std::to_string(s) + ".tar"), all);
    }
    pool::write(dir / "eval.tar", {pool::made("e", pool::ppm(1), "x")});
  }
  std::string data() const { return "in-{0..1}.tar"; }
  answer run(const list& arguments, const std::string& shell = "") const {
    std::string command = "cd '" + dir.path.string() + "'; " + shell + " '" CLIPX_PROGRAM "' curate";
    for (auto& a : arguments) command += " '" + a + "'";
    const int status = std::system((command + " > out 2> err").c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, contents(dir / "out"), contents(dir / "err")};
  }
};

}  // namespace

TEST_CASE("clipx curate filter, dedup, decontaminate: their figures, one after another") {
  const workplace w;
  auto r = w.run({"filter", "--data", w.data(), "--min-words", "3", "--min-side", "10", "--out", "1", "--json", "--threads", "2"});
  INFO(r.err);
  REQUIRE(r.code == 0);
  auto facts = json::parse(r.out);
  CHECK(facts["samples"] == 10);
  CHECK(facts["kept"] == 8);
  CHECK(facts["removed"] == 2);
  CHECK(facts["steps"][1] == json{{"step", "filter"}, {"kept", 8}, {"dropped", {{"basic: words", 2}}}});
  // a limit alone is that limit alone: these images are too small for the whole rule
  r = w.run({"filter", "--data", w.data(), "--min-words", "3", "--out", "1a", "--json"});
  REQUIRE(r.code == 0);
  CHECK(json::parse(r.out)["steps"][1] == json{{"step", "filter"}, {"kept", 8}, {"dropped", {{"basic: words", 2}}}});
  CHECK(w.run({"filter", "--data", w.data(), "--basic", "--min-words", "3", "--out", "1b", "--json"}).code == 1);
  r = w.run({"dedup", "--data", "1", "--out", "2", "--json"});
  REQUIRE(r.code == 0);
  CHECK(json::parse(r.out)["steps"][1] == json{{"step", "dedup"}, {"kept", 5}, {"dropped", {{"bytes", 3}}}});
  r = w.run({"decontaminate", "--data", "2/00000.tar", "--against", "eval.tar", "--out", "3", "--samples-per-shard", "3",
             "--number-keys"});
  REQUIRE(r.code == 0);
  CHECK_THAT(r.out, Contains("decontaminate        4 stay\n  bytes                          1 dropped"));
  const auto first = pool::read(w.dir / "3/00000.tar");
  REQUIRE(first.size() == 3);
  CHECK(first[2].key == "000000002");
  const auto told = json::parse(first[0].members.at("json")).at("curate");
  CHECK(told.contains("filter"));
  CHECK(told.contains("dedup"));
  CHECK(json::parse(contents(w.dir / "3/sizes.json")) == json{{"00000.tar", 3}, {"00001.tar", 1}});
}

TEST_CASE("clipx curate run: killed at any time, the same command ends with the same bytes") {
  const workplace w(2, 60);
  const auto pipeline = [&](const std::string& out) {
    write_file(w.dir / "p.json",
               "{\"data\": \"" + w.data() + "\", \"out\": \"" + out +
                   "\", \"samples_per_shard\": 7, \"steps\": [{\"step\": \"filter\", \"basic\": {\"min_side\": 10}}, "
                   "{\"step\": \"dedup\"}, {\"step\": \"decontaminate\", \"against\": \"eval.tar\"}]}");
  };
  pipeline("whole");
  const auto r = w.run({"run", "p.json", "--threads", "2"});
  INFO(r.err);
  REQUIRE(r.code == 0);
  const auto expected = pool::files(w.dir / "whole");
  CHECK(expected.size() > 6);
  pipeline("killed");
  std::filesystem::create_directory(w.dir / "killed");  // to be listed however early the first kill comes
  int killed = 0, runs = 0;
  for (int code = 137; code != 0 && runs < 200; ++runs) {
    const auto after = cat("timeout -s KILL 0.", runs < 30 ? "0" : "", 10 + runs * 5 % 90);
    code = w.run({"run", "p.json", "--threads", "2"}, after).code;
    killed += code != 0;
    for (const auto& [name, bytes] : pool::files(w.dir / "killed"))
      if (name.find(".tmp.") == std::string::npos) CHECK(expected.at(name) == bytes);
  }
  CHECK(killed > 0);
  CHECK(w.run({"run", "p.json"}).code == 0);
  CHECK(pool::files(w.dir / "killed") == expected);
}

TEST_CASE("clipx curate run: a full disk") {
  const workplace w(2, 60);
  list dedup{"dedup", "--data", w.data(), "--out", "full", "--samples-per-shard", "40"};
  // A limit on a file's size fails writes as a full disk does; the signal that comes with it is ignored.
  const auto r = w.run(dedup, "trap '' XFSZ; ulimit -f 64;");
  CHECK(r.code == 1);
  CHECK_THAT(r.err, Contains(".tar: cannot be written: File too large"));
  for (const auto& one : std::filesystem::recursive_directory_iterator(w.dir.path / "full")) {
    INFO(one.path());
    CHECK(one.path().string().find(".tmp.") == std::string::npos);
    CHECK(one.path().extension() != ".tar");
  }
  CHECK(w.run(dedup).code == 0);
  CHECK(pool::read(w.dir / "full/00000.tar").size() == 40);
}

TEST_CASE("clipx curate filter, dedup, decontaminate, run: what is left out is named, and --strict makes it an error") {
  const workplace w;
  std::filesystem::create_directory(w.dir.path / "in");
  auto all = pool::read(w.dir / "in-0.tar");
  all.push_back({"bare", {{"txt", "a caption without an image"}}});
  all.push_back({"mute", {{"jpg", pool::ppm(20)}}});
  all.push_back(pool::made("torn", "no image at all", "a photo that does not decode"));
  pool::write(w.dir / "in/0.tar", all);
  write_file(w.dir / "in/1.tar", "<html>");
  std::filesystem::copy_file(w.dir / "in-1.tar", w.dir / "in/2.tar");
  write_file(w.dir / "in/photo.png", "x");
  write_file(w.dir / "p.json", R"({"data": "in", "out": "run", "steps": [{"step": "filter", "basic": {"min_side": 10}}]})");
  write_file(w.dir / "strict.json", contents(w.dir / "p.json").replace(1, 0, "\"strict\": true, "));
  for (const auto& verb : {list{"filter", "--min-words", "3", "--min-side", "10"}, list{"dedup"},
                           list{"decontaminate", "--against", "eval.tar"}, list{"run", "p.json"}}) {
    auto arguments = verb;
    if (verb[0] != "run") arguments.insert(arguments.end(), {"--data", "in", "--out", verb[0]});
    arguments.push_back("--json");
    auto strict = arguments;
    strict.push_back("--strict");
    const auto refused = w.run(strict);
    CHECK(refused.code == 1);
    CHECK(refused.out.empty());
    CHECK_THAT(refused.err, Contains("left out 1") && Contains("photo.png: an image beside shards"));
    CHECK_FALSE(std::filesystem::exists(w.dir / verb[0] + "/00000.tar"));
    const auto r = w.run(arguments);
    INFO(verb[0] << " " << r.err);
    CHECK(r.code == 1);
    const auto facts = json::parse(r.out);
    const bool captions = verb[0] == "filter" || verb[0] == "run";
    CHECK(facts["left_out"] == (captions ? 5 : 4));
    CHECK(facts["broken_shards"] == 1);
    CHECK_THAT(r.err, Contains(captions ? "left out 5, 2 of them unreadable" : "left out 4, 2 of them unreadable") &&
                          Contains("1.tar: byte 0: not a tar file") && Contains("0.tar: torn: not an image") &&
                          Contains("0.tar: bare: expected a jpg, png, jpeg or webp") && Contains("photo.png: an image"));
    if (captions) CHECK_THAT(r.err, Contains("0.tar: mute: expected one that is UTF-8 and not empty"));
    CHECK(facts["kept"].get<int>() > 3);
  }
  const auto refused = w.run({"run", "strict.json"});
  CHECK(refused.code == 1);
  CHECK_THAT(refused.err, Contains("photo.png"));
  // without what is left out, --strict does the same as before; the folder of an earlier run is no surprise
  for (auto* name : {"in/1.tar", "in/photo.png"}) std::filesystem::remove(w.dir.path / name);
  CHECK_THAT(w.run({"dedup", "--data", "in", "--out", "strict", "--strict"}).err, Contains("left out 1\n") && Contains("bare"));
  all.erase(all.end() - 3);
  pool::write(w.dir / "in/0.tar", all);
  CHECK_THAT(w.run({"dedup", "--data", "in", "--out", "strict", "--strict"}).err, Contains("unreadable") && Contains("torn"));
  all.pop_back();
  pool::write(w.dir / "in/0.tar", all);
  CHECK(w.run({"dedup", "--data", "in", "--out", "strict", "--strict"}).code == 0);
  const auto again = w.run({"dedup", "--data", "strict", "--out", "again", "--strict"});
  INFO(again.err);
  CHECK(again.code == 0);
  CHECK(again.err.empty());
  // evaluation sets: what cannot be compared cannot be removed; what is no image of theirs is named
  const list against{"decontaminate", "--data", "strict", "--out", "clean", "--against"};
  const auto with = [&](const std::string& evaluation, const list& more = {}) {
    auto arguments = against;
    arguments.push_back(evaluation);
    arguments.insert(arguments.end(), more.begin(), more.end());
    return w.run(arguments);
  };
  CHECK_THAT(with("{eval,none}.tar").err, Contains("decontaminate: none.tar: cannot be opened"));
  pool::write(w.dir / "more.tar", {pool::made("e", pool::ppm(1), "x"), {"f", {{"gif", "GIF89a"}}}});
  const auto named = with("more.tar");
  CHECK(named.code == 0);
  CHECK_THAT(named.err, Contains("left out 1\n") && Contains("more.tar: f: expected an image"));
  CHECK(with("more.tar", {"--strict"}).code == 1);
  CHECK(with("eval.tar", {"--strict"}).code == 0);
}

TEST_CASE("clipx curate: bad usage and bad input of the verbs that write samples") {
  const workplace w;
  const auto code = [&](const list& arguments) { return w.run(arguments).code; };
  CHECK(code({"filter", "--data", w.data(), "--out", "o"}) == 2);
  CHECK(code({"filter", "--data", w.data(), "--basic"}) == 2);
  CHECK(code({"filter", "--data", w.data(), "--out", "o", "--max-aspect", "0.5"}) == 2);
  CHECK(code({"dedup", "--data", w.data(), "--out", "o", "--distance", "17"}) == 2);
  CHECK(code({"dedup", "--data", w.data(), "--out", "o", "--no-bytes", "--no-pixels", "--distance", "-1"}) == 2);
  CHECK(code({"decontaminate", "--data", w.data(), "--out", "o"}) == 2);
  CHECK(code({"run", "none.json", "--part", "2/2"}) == 2);
  const auto refusal = [&](const list& arguments) {
    const auto r = w.run(arguments);
    CHECK(r.code == 1);
    CHECK(r.out.empty());
    return r.err;
  };
  CHECK_THAT(refusal({"run", "none.json"}), Contains("clipx: none.json: cannot be opened"));
  CHECK_THAT(refusal({"filter", "--data", "none.tar", "--basic", "--out", "o"}), Contains("none.tar: cannot be opened"));
  CHECK_THAT(refusal({"filter", "--data", w.data(), "--offensive", "none", "--out", "o"}), Contains("none: cannot be opened"));
  CHECK_THAT(refusal({"filter", "--data", w.data(), "--basic", "--out", "o"}),
             Contains("expected samples that stay, got none of 10"));
  CHECK_THAT(refusal({"dedup", "--data", w.data(), "--out", "."}), Contains("is the folder of data to be read"));
  write_file(w.dir / "in-1.tar", "no tar file");
  const auto r = w.run({"dedup", "--data", w.data(), "--out", "half", "--json"});
  CHECK(r.code == 1);
  CHECK_THAT(r.err, Contains("left out 1, 1 of them unreadable") && Contains("in-1.tar: byte 0"));
  CHECK(json::parse(r.out)["broken_shards"] == 1);
}

}  // namespace test_cli_curate_images
#endif
