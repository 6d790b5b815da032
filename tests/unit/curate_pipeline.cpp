// Curation from a pipeline: what each step drops, what is written, restarts, and data that is damaged.
#include <clipx/curate/pipeline.hpp>
#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "curate_shards.hpp"
#include "watch.hpp"

namespace test_curate_pipeline {

using namespace clipx;
using nlohmann::json;

namespace {

/// A pool of two shards, and an evaluation shard that has one of its images.
struct pool_folder {
  temporary_folder dir;
  std::vector<std::string> keys;

  pool_folder() {
    std::filesystem::create_directory(dir.path / "in");
    std::vector<pool::pair> first, second;
    const auto add = [&](std::vector<pool::pair>& to, const std::string& key, const std::string& image,
                         const std::string& caption) { to.push_back(pool::made(key, image, caption)); };
    add(first, "a0", pool::ppm(0), "a photo of a small dog");
    add(first, "a1", pool::ppm(1), "two words");
    add(first, "a2", pool::ppm(0), "the same bytes as before");
    add(first, "a3", "no image at all", "a photo that does not decode");
    add(first, "a4", pool::ppm(2), "a Damned photo of a cat");
    add(first, "a5", pool::ppm(3, 40, 10), "a photo that is very wide");
    auto image = pool::ppm(4);
    add(first, "a6", image, "a photo of a bird in a tree");
    image.back() = static_cast<char>(image.back() ^ 1);
    add(second, "b0", image, "a photo that is nearly another");
    add(second, "b1", "P6\n# the pixels of a0\n" + pool::ppm(0).substr(3), "the same pixels as before");
    add(second, "b2", pool::ppm(5), "an image of the evaluation set");
    add(second, "b3", pool::ppm(6), "");
    second.push_back({"b4", {{"txt", "a caption without an image"}}});
    second.push_back({"b5", {{"jpg", pool::ppm(7)}, {"json", "[1]"}, {"txt", "JSON that is no object"}}});
    second.push_back({"b6", {{"jpg", pool::ppm(8)}, {"txt", "a sample without any JSON"}}});
    add(second, "b7", pool::ppm(9), "the last of all the samples");
    pool::write(dir / "in/0.tar", first);
    pool::write(dir / "in/1.tar", second);
    pool::write(dir / "eval.tar", {pool::made("e0", pool::ppm(100), "x"), pool::made("e1", pool::ppm(5), "y")});
    write_file(dir / "words.txt", "# a comment\ndamned\n");
  }

  std::string pipeline(const std::string& more = "") const {
    return "{\"data\": \"" + (dir / "in") + "\", \"out\": \"" + (dir / "out") + "\", \"samples_per_shard\": 3, " + more +
           "\"steps\": [{\"step\": \"filter\", \"basic\": {\"min_side\": 10, \"max_aspect\": 3}, \"offensive\": \"" +
           (dir / "words.txt") + "\"}, {\"step\": \"dedup\"}, {\"step\": \"decontaminate\", \"against\": \"" + (dir / "eval.tar") +
           "\"}]}";
  }
};

std::optional<curation_result> run(const std::string& text, int threads = 2, shared_model* model = nullptr) {
  auto pipeline = parse_pipeline(text, "p.json");
  pipeline.curation.threads = threads;
  return run_pipeline(pipeline, model);
}

std::map<std::string, std::string> removed(const std::string& folder) {
  std::map<std::string, std::string> out;
  const auto text = contents(folder + "/removed.jsonl");
  for (std::size_t at = 0; at < text.size(); at = text.find('\n', at) + 1) {
    const auto line = json::parse(text.substr(at, text.find('\n', at) - at));
    out[line.at("key")] = line.at("step").get<std::string>() + ": " + line.at("reason").get<std::string>();
    CHECK(line.at("shard").get<std::string>().ends_with(".tar"));
  }
  return out;
}

}  // namespace

TEST_CASE("curate, pipeline: what each step drops, and what is written") {
  const pool_folder p;
  const auto result = run(p.pipeline());
  REQUIRE(result);
  CHECK(removed(p.dir / "out") == std::map<std::string, std::string>{{"a1", "filter: basic: words"},
                                                                     {"a2", "dedup: bytes"},
                                                                     {"a3", "filter: image"},
                                                                     {"a4", "filter: offensive: a word of the list"},
                                                                     {"a5", "filter: basic: aspect"},
                                                                     {"b0", "dedup: similar"},
                                                                     {"b1", "dedup: pixels"},
                                                                     {"b2", "decontaminate: bytes"},
                                                                     {"b3", "filter: no caption"},
                                                                     {"b4", "read: no image"},
                                                                     {"b5", "read: JSON"}});
  const auto shards = pool::files(p.dir / "out");
  CHECK(shards.at("sizes.json") == "{\n \"00000.tar\": 3,\n \"00001.tar\": 1\n}\n");
  auto kept = pool::read(p.dir / "out/00000.tar");
  const auto last = pool::read(p.dir / "out/00001.tar");
  kept.insert(kept.end(), last.begin(), last.end());
  REQUIRE(kept.size() == 4);
  const std::vector<std::string> keys{kept[0].key, kept[1].key, kept[2].key, kept[3].key};
  CHECK(keys == std::vector<std::string>{"a0", "a6", "b6", "b7"});
  CHECK(kept[0].members.at("jpg") == pool::ppm(0));
  CHECK(kept[0].members.at("txt") == "a photo of a small dog");
  const auto facts = json::parse(kept[0].members.at("json"));
  CHECK(facts.at("url") == "http://x/a0");
  CHECK(facts.at("curate").at("filter").at("basic") == json{{"words", 6}, {"characters", 22}, {"keep", true}});
  CHECK(facts.at("curate").at("filter").at("image_basic").at("aspect") == 1.25);
  CHECK(facts.at("curate").at("dedup").at("perceptual").get<std::string>().size() == 16);
  CHECK(json::parse(kept[2].members.at("json")).size() == 1);

  CHECK(result->steps.size() == 4);
  const auto& skipped = result->steps.back().after.read.skipped;
  CHECK(skipped.count == 4);
  CHECK(skipped.unreadable == 2);
  for (auto* why : {"0.tar: a3: not an image", "1.tar: b3: expected one that is UTF-8 and not empty",
                    "1.tar: b4: expected a jpg, png, jpeg or webp", "1.tar: b5: its .json: expected an object"})
    CHECK_THAT(skipped.text(), Contains(why));
  CHECK(result->steps.back().after.kept == 4);
  CHECK(result->steps.back().after.samples == 15);
  CHECK(result->output.removed == 11);
  const auto page = shards.at("report.html");
  CHECK_THAT(page, Contains("4 of 15 samples stay"));
  CHECK_THAT(page, Contains("basic: words: 1"));
  CHECK_THAT(page, Contains("data:image/jpeg;base64,"));
  CHECK(page.find("http://") == page.find("http://www.w3.org"));
}

TEST_CASE("curate, pipeline: threads, restarts and other options") {
  const pool_folder p;
  REQUIRE(run(p.pipeline(), 1));
  const auto first = pool::files(p.dir / "out");
  SECTION("the same again, by other threads, from nothing") {
    std::filesystem::remove_all(p.dir / "out");
    REQUIRE(run(p.pipeline(), 4));
    CHECK(pool::files(p.dir / "out") == first);
  }
  SECTION("the same again does nothing over, and makes what is missing") {
    const auto time = std::filesystem::last_write_time(p.dir / "out/00000.tar");
    REQUIRE(run(p.pipeline()));
    CHECK(std::filesystem::last_write_time(p.dir / "out/00000.tar") == time);
    std::filesystem::remove(p.dir / "out/00000.tar");
    CHECK_THAT(message([&] { run(p.pipeline()); }), Contains("00000.tar: is not as it was written"));
  }
  SECTION("stopped at any item, it goes on to the same bytes") {
    for (const std::size_t most : {2u, 3u, 5u, 7u, 9u, 12u}) {
      std::filesystem::remove_all(p.dir / "out");
      auto pipeline = parse_pipeline(p.pipeline(), "p.json");
      pipeline.curation.threads = 1;
      recorder watch;
      watch.stop = [&] { return watch.told.size() >= most; };
      CHECK_FALSE(run_pipeline(pipeline, nullptr, watch));
      CHECK_FALSE(std::filesystem::exists(p.dir / "out/sizes.json"));
      REQUIRE(run(p.pipeline()));
      CHECK(pool::files(p.dir / "out") == first);
    }
  }
  SECTION("two processes, of which the second ends it") {
    std::filesystem::remove_all(p.dir / "out");
    auto pipeline = parse_pipeline(p.pipeline(), "p.json");
    int runs = 0;
    for (bool whole = false; !whole && runs < 20; ++runs) {
      pipeline.curation.parts = 2;
      pipeline.curation.part = static_cast<std::uint64_t>(runs % 2);
      whole = run_pipeline(pipeline, nullptr).has_value();
    }
    CHECK(runs > 2);
    CHECK(pool::files(p.dir / "out") == first);
  }
  SECTION("other options: fewer shards than before") {
    auto text = p.pipeline();
    text.replace(text.find("\"samples_per_shard\": 3"), 22, "\"samples_per_shard\": 9, \"keys\": \"number\"");
    REQUIRE(run(text));
    CHECK_FALSE(std::filesystem::exists(p.dir / "out/00001.tar"));
    CHECK(pool::read(p.dir / "out/00000.tar").at(3).key == "000000003");
  }
}

TEST_CASE("curate, pipeline: match and balance keep what the commands of their own keep") {
  const temporary_folder dir;
  write_file(dir / "queries", "dog\ncat\nred bird\n");
  const std::vector<std::string> captions{"a dog", "nothing of the list", "a cat and a dog", "a red bird", "a red cat", "the dog"};
  std::vector<pool::pair> first, second;
  for (std::uint64_t i = 0; i < 60; ++i)
    (i % 2 ? second : first).push_back(pool::made(cat("k", i), pool::ppm(i), captions[i % captions.size()]));
  std::filesystem::create_directory(dir.path / "in");
  pool::write(dir / "in/0.tar", first);
  pool::write(dir / "in/1.tar", second);
  const auto text = [&](const std::string& steps) {
    return "{\"data\": \"" + (dir / "in") + "\", \"out\": \"" + (dir / "out") + "\", \"steps\": [" + steps + "]}";
  };
  const std::string queries = "\"queries\": \"" + (dir / "queries") + "\"";
  const curate_data data{{dir / "in"}, "", 1};
  stage_config two;
  two.threads = 2;

  const query_matcher matcher(read_queries(dir / "queries"));
  const auto matched = match_captions(matcher, data, dir / "matched", false, two);
  CHECK(matched.counts == std::vector<std::uint64_t>{30, 20, 10});
  const auto of_match = run(text("{\"step\": \"match\", " + queries + "}"));
  REQUIRE(of_match);
  CHECK(of_match->steps.back().after.kept == 50);
  for (auto& [key, why] : removed(dir / "out")) CHECK(why == "match: no entry");
  CHECK(json::parse(pool::read(dir / "out/00000.tar").at(1).members.at("json"))["curate"]["match"]["entries"] ==
        json{"dog", "cat"});

  balance_options how;
  how.t = 5, how.seed = 3;
  const auto own = balance_captions({matcher.entries(), matched.counts}, data, dir / "balanced", how, two);
  std::vector<std::string> want, got;
  for (auto& [name, bytes] : pool::files(dir / "balanced"))
    if (name.ends_with(".tar"))
      for (auto& sample : pool::read(dir / ("balanced/" + name))) want.push_back(sample.key);
  std::filesystem::remove_all(dir.path / "out");
  const auto of_balance = run(text("{\"step\": \"balance\", " + queries + ", \"t\": 5, \"seed\": 3}"));
  REQUIRE(of_balance);
  for (auto& sample : pool::read(dir / "out/00000.tar")) {
    got.push_back(sample.key);
    const auto p = json::parse(sample.members.at("json"))["curate"]["balance"]["p"].get<double>();
    CHECK(p > 0);
    if (sample.members.at("txt") == "a red bird") CHECK(p == 0.5);
  }
  CHECK(got == want);
  CHECK(got.size() == own.kept);
  CHECK(got.size() < 50);
  CHECK(got.size() > 5);
}

TEST_CASE("curate, pipeline: data that is damaged") {
  const pool_folder p;
  const auto whole = contents(p.dir / "in/1.tar");
  write_file(p.dir / "in/1.tar", std::string_view(whole).substr(0, whole.size() / 2 + 100));
  const auto result = run(p.pipeline());
  REQUIRE(result);
  const auto& read = result->steps.back().after.read;
  CHECK(read.broken_shards == 1);
  CHECK(read.skipped.count == 2);  // a3, and the rest of 1.tar; the sample behind the cut is not there
  CHECK(read.skipped.unreadable == 2);
  CHECK_THAT(read.skipped.text(), Contains("1.tar: byte ") && Contains("the rest of the shard is left out"));
  CHECK_THAT(contents(p.dir / "out/report.html"), Contains("What was left out"));
  CHECK(removed(p.dir / "out").count("b7") == 0);

  write_file(p.dir / "in/0.tar", "this is no tar file");
  write_file(p.dir / "in/1.tar", "nor is this");
  const auto what = message([&] { run(p.pipeline()); });
  CHECK_THAT(what, Contains("expected samples that stay, got none of 0"));
  CHECK_THAT(what, Contains("0.tar"));

  write_file(p.dir / "in/0.tar", whole);
  pool::write(p.dir / "eval.tar", {pool::made("e", "nothing", "x")});
  CHECK_THAT(message([&] { run(p.pipeline()); }), Contains("eval.tar: e: not an image"));
}

TEST_CASE("curate, pipeline: keys, captions and facts of any bytes") {
  temporary_folder dir;
  pool::write(dir / "in.tar",
              {{"bytes\xff", {{"jpg", pool::ppm(1)}, {"txt", "a photo of <script>alert(1)</script>"}}},
               {"bytes\xfe", {{"jpg", pool::ppm(2)}, {"txt", "not UTF-8: \xff"}}},
               {"old", {{"jpg", pool::ppm(3)}, {"json", R"({"curate": {"dedup": 1, "other": 2}, "big": 12345678901234567890})"}}}});
  const auto text =
      "{\"data\": \"" + (dir / "in.tar") + "\", \"out\": \"" + (dir / "out") + "\", \"steps\": [{\"step\": \"dedup\"}]}";
  const auto result = run(text);
  REQUIRE(result);
  const auto kept = pool::read(dir / "out/00000.tar");
  REQUIRE(kept.size() == 3);
  CHECK(kept[0].key == "bytes\xff");
  CHECK(kept[1].members.at("txt") == "not UTF-8: \xff");
  const auto facts = json::parse(kept[2].members.at("json"));
  CHECK(facts.at("big") == 12345678901234567890u);
  CHECK(facts.at("curate").at("other") == 2);
  CHECK(facts.at("curate").at("dedup").is_object());
  CHECK(result->steps.back().after.read.unreadable == 1);
  const auto page = contents(dir / "out/report.html");
  CHECK_THAT(page, Contains("a photo of &lt;script&gt;alert(1)"));
  CHECK(page.find("<script") == std::string::npos);
  CHECK_THAT(page, Contains("bytes\xef\xbf\xbd"));

  write_file(dir / "in.tar", contents(dir / "out/00000.tar"));  // other samples, and other facts of the file: all is done again
  CHECK(run(text)->steps.back().after.samples == 3);
  for (const auto& one : std::filesystem::directory_iterator(dir / "out/state/00-read"))
    if (one.path().filename().string().starts_with("0-")) write_file(one.path().string(), "{}\nbroken\n");
  std::filesystem::remove_all(dir.path / "out/state/02-dedup");
  CHECK_THAT(message([&] { run(text); }), Contains("not what curation writes"));
  const std::string counts = "{\"summary\": {\"samples\": 1e300}}";
  CHECK_THAT(message([&] { read_summary(std::as_bytes(std::span(counts)), "shard"); }),
             Contains("shard: samples: expected a count, got 1e+300"));
}

TEST_CASE("curate, pipeline: folders and keys that do not do") {
  const pool_folder p;
  const auto with = [&](const std::string& out) {
    return "{\"data\": \"" + (p.dir / "in") + "\", \"out\": \"" + out + "\", \"steps\": [{\"step\": \"dedup\"}]}";
  };
  CHECK_THAT(message([&] { run(with(p.dir / "in")); }), Contains("another folder for the results than that of the data"));
  CHECK_THAT(message([&] { run(with(p.dir.path.string())); }),
             Contains("a folder of its own for the results, got one that has eval.tar"));
  CHECK_THAT(
      message([&] { run("{\"data\": \"" + (p.dir / "words.txt") + "\", \"out\": \"x\", \"steps\": [{\"step\": \"dedup\"}]}"); }),
      Contains("words.txt: expected a shard"));
  pool::write(p.dir / "in/2.tar", {pool::made("b7", pool::ppm(20), "x")});  // its neighbor has the same key
  CHECK_THAT(message([&] { run(with(p.dir / "out")); }), Contains("\"b7\" twice in a row"));
  CHECK_FALSE(std::filesystem::exists(p.dir / "out/sizes.json"));
  CHECK(pool::files(p.dir / "out").empty());
}

TEST_CASE("curate, pipeline: a file that is wrong, all of it in one error") {
  const auto what = message([] {
    parse_pipeline(R"({"data": 3, "outt": "x", "samples_per_shard": 0, "keys": "new", "steps": [
      {"step": "filter", "basic": {"min_words": "two", "aspect": 3}, "words": true, "min_cosine": 2},
      {"step": "filter"}, {"step": "sieve"}, {"step": "decontaminate"}, {"step": "dedup", "name": "a b", "distance": 17},
      {"step": "semantic", "name": "filter", "keep": "none"}, {"step": "balance", "queries": "/no/such/file"}, 5]})",
                   "p.json");
  });
  for (const char* part :
       {"p.json: expected \"out\", it is missing", "\"data\": expected a string or a list of strings, got 3",
        "\"outt\" is not known; expected: data, out, steps", "\"samples_per_shard\": expected a whole number from 1",
        "\"keys\": expected \"keep\" or \"number\", got \"new\"", "step 1: basic: \"min_words\": expected a whole number",
        "step 1: basic: \"aspect\" is not known; expected: min_words, ",
        "step 1: \"words\" is not known; expected: step, name, size, basic, language, offensive, min_cosine, score",
        "step 1: \"min_cosine\": expected a number from -1 to 1, got 2", "step 2: expected a rule",
        "step 3: \"step\": expected filter, dedup, semantic, decontaminate, match or balance, got \"sieve\"",
        "step 4: expected \"against\"", "step 5: \"name\": expected another name",
        "step 5: \"distance\": expected a whole number from -1 to 16", "step 6: \"name\": expected another name",
        "step 6: \"keep\": expected \"farthest\" or \"nearest\"", "step 7: \"queries\": /no/such/file",
        "step 8: expected an object, got 5"})
    CHECK_THAT(what, Contains(part));
  CHECK_THAT(message([] { parse_pipeline("{", "p.json"); }), Contains("p.json: not valid JSON"));
}

}  // namespace test_curate_pipeline
