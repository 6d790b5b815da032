// The clipx program over data of which a part is left out: what it says, what it goes on with, and its exit code.
#ifdef CLIPX_PROGRAM
#include <clipx/core/random.hpp>
#include <clipx/text/gunzip.hpp>

#include "cli.hpp"
#include "tar.hpp"

namespace test_cli_left_out {

using namespace program;

namespace {

/// A folder with a subfolder of images for each class, and what belongs to none.
struct sets : workplace {
  std::string folder = dir / "set", classes = dir / "classes";
  sets() {
    write_file(classes, "cat\nthe red cat\nof\n");
    const list names{"cat", "the red cat", "of"};
    for (std::size_t i = 0; i < 3; ++i) {
      fs::create_directories(folder + "/" + names[i]);
      fs::copy_file(images[i], folder + "/" + names[i] + "/x.png");
    }
  }
  list zeroshot(const std::string& data, const list& more = {}) const {
    list all{"eval", "zeroshot", "--data", data, "--json", "--classes", classes};
    all.insert(all.end(), more.begin(), more.end());
    return with_model(all);
  }
  json answer(const list& arguments, int code = 0) const {
    const auto r = run(arguments);
    INFO(r.err);
    CHECK(r.code == code);
    REQUIRE(r.lines().size() == 1);
    return json::parse(r.out);
  }
};

std::string sample_of(const std::string& key, const std::string& image, const std::string& suffix, const std::string& text) {
  return member(key + ".png", image) + member(key + "." + suffix, text);
}

}  // namespace

TEST_CASE("clipx classify and embed: what a folder holds besides") {
  const workplace w;
  write_file(w.dir / "p/photo.jp2", "jP");
  write_file(w.dir / "p/notes.md", "x");
  const list classify = w.with_model({"classify", "--json", "--labels", "a,the cat", w.dir / "p"});
  const auto r = w.run(classify);
  CHECK(r.code == 0);
  CHECK(r.lines().size() == 3);
  CHECK_THAT(r.err, Contains("left out 1, and 1 other files") && Contains("photo.jp2: images of this format are not read") &&
                        Contains("notes.md: not an image"));
  auto strict = classify;
  strict.push_back("--strict");
  CHECK_THAT(w.refusal(strict), Contains("--strict: left out 1"));
  for (const list& verb : {list{"embed", "--images", w.dir / "p"}, list{"preprocess", w.dir / "p"}}) {
    auto all = w.with_model(verb);
    all.insert(all.end(), {"--out", w.dir / "e.npy"});
    const auto e = w.run(all);
    INFO(e.err);
    CHECK(e.code == 0);
    CHECK(read_npy(w.dir / "e.npy").shape[0] == 3);
    CHECK_THAT(e.err, Contains("left out 1, and 1 other files"));
    fs::remove(w.dir.path / "e.npy");
    all.push_back("--strict");
    w.refusal(all);
    CHECK_FALSE(fs::exists(w.dir.path / "e.npy"));
  }
  for (auto* name : {"p/photo.jp2", "p/notes.md"}) fs::remove(w.dir.path / name);
  CHECK(w.run(strict).code == 0);
  fs::create_directory(w.dir.path / "empty");
  auto also = classify;
  also.push_back(w.dir / "empty");
  const auto part = w.run(also);
  CHECK(part.code == 1);
  CHECK(part.lines().size() == 3);
  CHECK_THAT(part.err, Contains("1 of them unreadable") && Contains("empty: expected images"));
  auto broken = strict;
  broken.push_back(w.broken);
  CHECK(w.run(broken).code == 1);
}

TEST_CASE("clipx eval: a measure over a part of the data says so") {
  const sets w;
  const auto whole = w.answer(w.zeroshot(w.folder));
  CHECK(whole["left_out"] == 0);
  CHECK(whole["pretrained"] == w.model);
  CHECK(whole["language"] == "en");
  CHECK(whole["pictures"] == 3);
  SECTION("a folder") {
    fs::create_directories(w.folder + "/dog");
    fs::copy_file(w.images[0], w.folder + "/dog/1.png");
    fs::copy_file(w.images[0], w.folder + "/dog/2.png");
    write_file(w.folder + "/of/y.jp2", "jP");
    write_file(w.folder + "/of/README", "x");
    fs::copy_file(w.broken, w.folder + "/of/z.png");
    const auto part = w.answer(w.zeroshot(w.folder), 1);
    CHECK(part["left_out"] == 4);
    CHECK(part["pictures"] == 3);
    CHECK(part["metrics"] == whole["metrics"]);
    const auto r = w.run(w.with_model({"eval", "zeroshot", "--data", w.folder, "--classes", w.classes}));
    CHECK(r.code == 1);
    CHECK_THAT(r.out, Contains("left_out                   4"));
    CHECK_THAT(r.err, Contains("left out 4, 1 of them unreadable, and 1 other files") && Contains("dog: 2 images in a folder") &&
                          Contains("y.jp2"));
    CHECK_THAT(w.refusal(w.zeroshot(w.folder, {"--strict"})), Contains("--strict"));
    const auto prompts = w.answer(w.with_model({"eval", "prompts", "--data", w.folder, "--classes", w.classes, "--json"}), 1);
    CHECK(prompts["left_out"] == 4);
    CHECK(prompts["images"] == 3);
  }
  SECTION("other files are named, but the measure is whole") {
    write_file(w.folder + "/of/README", "x");
    const auto r = w.run(w.zeroshot(w.folder));
    CHECK(r.code == 0);
    CHECK(json::parse(r.out)["left_out"] == 0);
    CHECK_THAT(r.err, Contains("README"));
  }
  SECTION("shards") {
    const auto a = contents(w.images[0]), b = contents(w.images[1]), c = contents(w.images[2]);
    write_file(w.dir / "0.tar", sample_of("1", a, "cls", "0") + sample_of("2", b, "cls", "1") + end_of_tar);
    write_file(w.dir / "1.tar", sample_of("3", c, "cls", "2") + end_of_tar);
    CHECK(w.answer(w.zeroshot(w.dir / "{0..1}.tar"))["metrics"] == whole["metrics"]);
    const auto missing = w.answer(w.zeroshot(w.dir / "{0..2}.tar"), 1);
    CHECK(missing["left_out"] == 1);
    CHECK(missing["metrics"] == whole["metrics"]);
    // a broken .json beside a label is no fault; a damaged image, one without a label, and one of another format are
    write_file(w.dir / "1.tar", member("0.png", "no image") + member("0.cls", "1") + sample_of("3", c, "cls", "2") +
                                    member("3.json", "{") + member("4.png", a) + sample_of("5", a, "cls", "cat") +
                                    member("6.gif", "GIF89a") + member("6.cls", "1") + end_of_tar);
    const auto r = w.run(w.zeroshot(w.dir / "{0..1}.tar"));
    CHECK(r.code == 1);
    const auto part = json::parse(r.out);
    CHECK(part["left_out"] == 4);
    CHECK(part["pictures"] == 3);
    CHECK(part["metrics"] == whole["metrics"]);
    CHECK_THAT(r.err, Contains("1.tar:0: ") && Contains("1.tar:4: expected a label") &&
                          Contains("1.tar:5: expected a whole number") &&
                          Contains("1.tar:6: expected an image (jpg, png, jpeg or webp), got .gif"));
  }
}

TEST_CASE("clipx eval retrieval: a folder and a shard of the same files are the same data") {
  const workplace w;
  const list texts{"cat\nred\n", "the red cat\n\nof the cat\nan", "of"};
  std::string tar;
  for (std::size_t i = 0; i < 3; ++i) {
    const auto text = fs::path(w.images[i]).replace_extension(".txt").string();
    write_file(text, texts[i]);
    tar += sample_of(fs::path(w.images[i]).stem().string(), contents(w.images[i]), "txt", texts[i]);
  }
  write_file(w.dir / "s.tar", tar + end_of_tar);
  const auto measured = [&](const std::string& data, int code = 0) {
    const auto r = w.run(w.with_model({"eval", "retrieval", "--data", data, "--json"}));
    INFO(r.err);
    CHECK(r.code == code);
    auto answer = json::parse(r.out);
    answer.erase("dataset");
    return answer;
  };
  const auto want = measured(w.dir / "p");
  CHECK(want["captions"] == 6);
  CHECK(want["pictures"] == 3);
  CHECK(measured(w.dir / "s.tar") == want);
  write_file(w.dir / "s.tar.gz", detail::gzip(tar + end_of_tar));
  CHECK(measured(w.dir / "s.tar.gz") == want);
  fs::create_directory(w.dir.path / "shards");
  fs::rename(w.dir.path / "s.tar.gz", w.dir.path / "shards/s.tgz");
  CHECK(measured(w.dir / "shards") == want);
  // captions in .json go before the .txt, in both
  write_file(w.dir / "p/apple.json", R"({"captions": ["red"]})");
  write_file(w.dir / "s.tar", member("apple.json", R"({"captions": ["red"]})") + tar + end_of_tar);
  CHECK(measured(w.dir / "p")["captions"] == 5);
  CHECK(measured(w.dir / "s.tar") == measured(w.dir / "p"));
  // an image without captions, or that cannot be decoded, is left out with what belongs to it
  fs::remove(w.dir.path / "p/apple.json");
  fs::copy_file(w.images[0], w.dir / "p/more.png");
  fs::copy_file(w.broken, w.dir / "p/none.png");
  write_file(w.dir / "p/none.txt", "red\n");
  auto part = measured(w.dir / "p", 1);
  CHECK(part["left_out"] == 2);
  part["left_out"] = 0;
  CHECK(part == want);
}

namespace {

/// The same eight images and captions in a folder, a shard and tables: the captions of some have two or three lines.
struct one_set_four_ways : workplace {
  std::string folder = dir / "f", shard = dir / "s.tar", csv = dir / "t.csv", tsv = dir / "t.tsv";
  one_set_four_ways() {
    fs::create_directory(folder);
    const list texts{
        "the cat\nred\nan", "of the cat\n", "red\nthe red cat", "the\n\nof", "cat of the cat\nred of\nan", "an", "re", "a"};
    std::string tar, commas = "filepath,title\n", tabs = "filepath\ttitle\n";
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const draws draw(5, i);
      std::string ppm = "P6 40 36 255\n";
      for (std::uint64_t p = 0; p < 40 * 36 * 3; ++p)
        ppm += static_cast<char>(draw(p / 480) % 200 + draw(p) % 50);  // bands, so that images differ to the model
      write_file(folder + cat("/", i, ".jpg"), ppm);
      write_file(folder + cat("/", i, ".txt"), texts[i]);
      tar += member(cat(i, ".jpg"), ppm) + member(cat(i, ".txt"), texts[i]);
      commas += cat("f/", i, ".jpg,\"", texts[i], "\"\n");
      tabs += cat("f/", i, ".jpg\t\"", texts[i], "\"\n");
    }
    write_file(shard, tar + end_of_tar);
    write_file(csv, commas);
    write_file(tsv, tabs);
  }
};

}  // namespace

TEST_CASE("clipx: the same captions in a folder, a shard and a table are the same data") {
  const one_set_four_ways w;
  const auto recall = [&](const std::string& data) {
    const auto r = w.run(w.with_model({"eval", "retrieval", "--data", data, "--json"}));
    INFO(r.err);
    CHECK(r.code == 0);
    auto answer = json::parse(r.out);
    answer.erase("dataset");
    return answer;
  };
  const auto want = recall(w.folder);
  CHECK(want["pictures"] == 8);
  CHECK(want["captions"] == 14);
  const double at_1 = want["metrics"]["text_retrieval_recall@1"];
  CHECK((at_1 > 0 && at_1 < 1));  // one that tells readings apart
  CHECK(recall(w.shard) == want);
  // for training all of a .txt is one caption; of a table, all of its field
  std::string dictionary;
  std::map<std::string, double> losses;
  for (auto& data : {w.folder, w.shard, w.csv, w.tsv}) {
    INFO(data);
    REQUIRE(w.run({"ngrams", "--train-data", data, "--min-count", "1", "--out", w.dir / "n"}).code == 0);
    if (dictionary.empty()) dictionary = contents(w.dir / "n");
    CHECK(contents(w.dir / "n") == dictionary);
    const auto name = fs::path(data).filename().string();
    const auto r = w.run({"train",
                          "--train-data",
                          data,
                          "--model",
                          w.model,
                          "--batch-size",
                          "8",
                          "--epochs",
                          "1",
                          "--warmup",
                          "1",
                          "--aug-cfg",
                          "scale=1,1",
                          "--logs",
                          w.dir / "runs",
                          "--name",
                          name,
                          "--threads",
                          "1",
                          "--workers",
                          "1",
                          "--log-every-n-steps",
                          "1"});
    INFO(r.err);
    REQUIRE(r.code == 0);
    const auto line = contents(w.dir / ("runs/" + name + "/metrics.jsonl"));
    losses[name] = json::parse(line.substr(0, line.find('\n'))).at("loss");
  }
  CHECK(dictionary.size() > 40);
  for (auto& [name, loss] : losses) CHECK(loss == Approx(losses["f"]).epsilon(1e-5));  // the same pairs, in another order
  // vocabularies: of a shard and of a table
  const auto merges = [&](const char* option, const std::string& data) {
    REQUIRE(w.run({"tokenizer", "train", option, data, "--size", "520", "--min-frequency", "1", "--out", w.dir / "v"}).code == 0);
    return contents(w.dir / "v/merges.txt");
  };
  const auto learned = merges("--shards", w.shard);
  CHECK(merges("--captions", w.csv) == learned);
  CHECK(merges("--captions", w.tsv) == learned);
}

TEST_CASE("clipx eval zeroshot: labels by folder, .cls and .json are the same data") {
  const sets w;
  const auto whole = w.answer(w.zeroshot(w.folder))["metrics"];
  for (auto* suffix : {"cls", "json"}) {
    std::string tar;
    for (std::size_t i = 0; i < 3; ++i)
      tar += sample_of(cat(i), contents(w.images[i]), suffix, suffix == std::string("cls") ? cat(i) : cat("{\"cls\": ", i, "}"));
    write_file(w.dir / "l.tar", tar + end_of_tar);
    CHECK(w.answer(w.zeroshot(w.dir / "l.tar"))["metrics"] == whole);
  }
}

TEST_CASE("clipx: a full disk is an error, the file that was there stays, nothing half-written is left") {
  // A limit on a file's size fails writes as a full disk does; the signal that comes with it is ignored.
  const one_set_four_ways w;
  const std::string full = "trap '' XFSZ; ulimit -f 1;", out = w.dir / "o/x";
  fs::create_directory(w.dir.path / "o");
  std::string texts;
  for (int i = 0; i < 200; ++i) texts += cat("the cat of word", i, " word", i, "\n");
  write_file(w.dir / "texts", texts);
  struct verb {
    list arguments;
    std::string file;  // of which a run before this one left something
  };
  const std::vector<verb> verbs{
      {w.with_model({"embed", "--images", w.folder, w.dir / "p", "--out", out}), out},
      {w.with_model({"embed", "--texts", w.dir / "texts", "--out", out}), out},
      {w.with_model({"preprocess", w.folder, "--out", out}), out},
      {w.with_model({"convert", "--layout", "hf", "--out", out}), out + "/model.safetensors"},
      {{"tokenizer", "train", "--captions", w.dir / "texts", "--size", "600", "--out", out}, out + "/vocab.json"},
      {{"ngrams", "--train-data", w.dir / "texts", "--min-count", "1", "--out", out}, out},
      {{"curate", "queries", "--text", w.dir / "texts", "--unigram-min", "1", "--out", out}, out},
  };
  for (auto& v : verbs) {
    INFO(v.arguments[0]);
    fs::remove_all(w.dir.path / "o");
    fs::create_directories(fs::path(v.file).parent_path());
    write_file(v.file, "before");
    CHECK_THAT(w.refusal(v.arguments, "", full), Contains(out) && Contains("cannot be written: File too large"));
    CHECK(contents(v.file) == "before");
    for (auto& left : fs::recursive_directory_iterator(w.dir.path / "o")) {
      const auto name = left.path().filename().string();
      INFO(name);
      CHECK(name.find(".tmp.") == std::string::npos);
      CHECK(name != ".clipx.lock");
    }
    const auto r = w.run(v.arguments);
    INFO(r.err);
    CHECK(r.code == 0);
    CHECK(contents(v.file).size() > 512);
  }
}

TEST_CASE("clipx eval: CLIP_benchmark's folders, classes and templates") {
  const sets w;
  const auto whole = w.answer(w.zeroshot(w.folder));
  const auto set = w.dir / "wds";
  fs::create_directories(set + "/test");
  const auto a = contents(w.images[0]), b = contents(w.images[1]), c = contents(w.images[2]);
  write_file(set + "/test/0.tar", sample_of("1", a, "cls", "0") + end_of_tar);
  write_file(set + "/test/1.tar", sample_of("2", b, "cls", "1") + sample_of("3", c, "cls", "2") + end_of_tar);
  write_file(set + "/test/nshards.txt", "2\n");
  write_file(set + "/classnames.txt", contents(w.classes));
  for (auto& data : {set, set + "/", set + "/test", set + "/test/{0..1}.tar"}) {
    INFO(data);
    const auto answer = w.answer(w.with_model({"eval", "zeroshot", "--data", data, "--json"}));
    CHECK(answer["metrics"] == whole["metrics"]);
    CHECK(w.answer(w.with_model({"eval", "prompts", "--data", data, "--json"}))["images"] == 3);
  }
  fs::remove(set + "/classnames.txt");
  const auto r = w.run(w.with_model({"eval", "zeroshot", "--data", set}));
  CHECK(r.code == 2);
  CHECK_THAT(r.err, Contains("--classes") && Contains("classnames.txt"));
  // classes and templates as JSON lists, {c} for {}
  write_file(w.dir / "t", "the {}\n{} of\n");
  const auto want = w.answer(w.zeroshot(set, {"--templates", w.dir / "t"}));
  write_file(w.dir / "classes", R"(["cat", "the red cat",
    "of"])");
  write_file(w.dir / "t", R"(  ["the {c}", "{c} of"]  )");
  CHECK(w.answer(w.zeroshot(set, {"--templates", w.dir / "t"}))["metrics"] == want["metrics"]);
  write_file(w.dir / "classes", R"([["cat", "kitty"], ["of"]])");
  CHECK_THAT(w.refusal(w.zeroshot(set)), Contains("a JSON list of classes") && Contains("member 0") && Contains("a list"));
  write_file(w.dir / "classes", "cat\n");
  write_file(w.dir / "t", R"({"imagenet": ["a {c}"]})");
  CHECK_THAT(w.refusal(w.zeroshot(set, {"--templates", w.dir / "t"})), Contains("a JSON list of templates") && Contains("object"));
}

TEST_CASE("clipx: paths that are not UTF-8") {
  const sets w;
  const auto odd = w.dir / "caf\xe9";
  fs::create_directories(odd);
  fs::copy_file(w.images[0], odd + "/\xff.png");
  write_file(odd + "/\xff.txt", "cat\nred\n");
  CHECK(w.run(w.with_model({"classify", "--json", "--labels", "a,b", odd})).code == 0);
  CHECK(w.run(w.with_model({"eval", "retrieval", "--json", "--data", odd})).code == 0);
  const auto r = w.run({"train", "--train-data", odd, "--model", w.model, "--batch-size", "1", "--epochs", "1", "--warmup", "1",
                        "--logs", odd + "/runs", "--name", "n\xe9", "--threads", "1", "--workers", "1"});
  INFO(r.err);
  CHECK(r.code == 0);
  CHECK(fs::exists(odd + "/runs/n\xe9/model/open_clip_model.safetensors"));
}

TEST_CASE("clipx train: what cannot be read is named, at the beginning and at the end") {
  const workplace w;
  std::string tar;
  for (int i = 0; i < 6; ++i) tar += sample_of(cat(i), contents(w.images[static_cast<std::size_t>(i % 3)]), "txt", "the cat");
  write_file(w.dir / "a.tar", tar + end_of_tar);
  write_file(w.dir / "page.tar", "<!DOCTYPE html><html></html>");
  const auto train = [&](const std::string& data, const std::string& name, const list& more = {}) {
    list all{"train", "--train-data", data,           "--model", w.model, "--batch-size", "2", "--epochs",  "1", "--warmup",
             "1",     "--logs",       w.dir / "runs", "--name",  name,    "--threads",    "1", "--workers", "1"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  CHECK(w.run(train(w.dir / "a.tar", "whole")).code == 0);
  const auto r = w.run(train(w.dir / "{a,page,none}.tar", "part"));
  INFO(r.err);
  CHECK(r.code == 1);
  CHECK_THAT(r.out, Contains("3 steps"));
  CHECK_THAT(r.err, Contains("warning: of each epoch: left out 2, 2 of them unreadable") &&
                        Contains("page.tar: byte 0: not a tar file") && Contains("none.tar: expected a shard"));
  CHECK_THAT(w.refusal(train(w.dir / "{a,page}.tar", "strict", {"--strict"})), Contains("page.tar"));
  CHECK_THAT(w.refusal(train(w.dir / "page.tar", "page")),
             Contains("at least a batch of 2 pairs, got 0") && Contains("page.tar: byte 0: not a tar file"));
  // pairs without a caption are left out, too, but nothing was unreadable
  write_file(w.dir / "b.tar", tar + member("x.png", contents(w.images[0])) + end_of_tar);
  const auto bare = w.run(train(w.dir / "b.tar", "bare"));
  CHECK(bare.code == 0);
  CHECK_THAT(bare.err, Contains("left out 1\n") && Contains("b.tar: x: expected a caption"));
  for (auto* n : {"1", "1000000"})
    CHECK_THAT(w.refusal(train(w.dir / "a.tar", "held", {"--hold-out", n})), Contains("--hold-out: expected"));
}

}  // namespace test_cli_left_out
#endif
