// The clipx program: usage, classify, models that are none; exit codes and JSON. Models are written by the tests.
#ifdef CLIPX_PROGRAM
#include "cli.hpp"

#include <cmath>

namespace test_cli {

using namespace program;
using Catch::Matchers::StartsWith;

namespace {
const list verbs{"classify", "embed", "tokenize", "preprocess", "inspect", "convert", "eval", "tokenizer", "bench"};
}  // namespace

TEST_CASE("clipx: help, version and usage") {
  const workplace w;
  const auto help = w.run({"--help"});
  CHECK(help.code == 0);
  for (auto& verb : verbs) {
    INFO(verb);
    CHECK_THAT(help.out, Contains(verb));
    const auto r = w.run({verb, "--help"});
    CHECK(r.code == 0);
    CHECK_THAT(r.out, Contains("Usage: clipx " + verb));
    CHECK(r.err.empty());
    const auto unknown = w.run({verb, "--no-such-option"});
    CHECK(unknown.code == 2);
    CHECK(unknown.out.empty());
    CHECK_FALSE(unknown.err.empty());
  }
  for (auto* task : {"zeroshot", "retrieval"}) CHECK(w.run({"eval", task, "--help"}).code == 0);
  const auto version = w.run({"--version"});
  CHECK(version.code == 0);
  CHECK_THAT(version.out, StartsWith("clipx ") && Contains("."));
  CHECK_THAT(w.run({"--version", "-v"}).out, Contains("eigen: ") && Contains("JPEG: ") && Contains("GIF: ") && Contains("WebP: ") &&
                                                 Contains("TIFF: ") && Contains("HEIC: ") && Contains("JPEG XL: "));
  CHECK(w.run({}).code == 2);
  CHECK_THAT(w.run({}).err, Contains("Usage"));
  for (const list& wrong :
       {list{"dream"}, list{"classify", "--labels", "a"}, list{"classify", "x.png"}, list{"eval"}, list{"eval", "zeroshot"},
        list{"classify", "--labels", "a", "--classes", "f", "x.png"}, list{"embed", "--out", "x.npy"}, list{"preprocess", "x.png"},
        list{"convert", "--out", "o", "--layout", "onnx"}, list{"convert", "--out", "o", "--dtype", "i8"}, list{"convert"},
        list{"classify", "--labels", "a", "--threads", "many", "x.png"},
        list{"classify", "--labels", "a", "--batch-size", "0", "x.png"}, list{"tokenize", "--bpe", "a", "--model", "b"},
        list{"embed", "--images", "a", "--texts", "b", "--out", "c"}}) {
    std::string all;
    for (auto& a : wrong) all += a + " ";
    INFO(all);
    const auto r = w.run(wrong);
    CHECK(r.code == 2);
    CHECK(r.out.empty());
    CHECK_FALSE(r.err.empty());
  }
}

TEST_CASE("clipx: device options") {
  const workplace w;
  const auto wrong = [&](list more) {
    std::string all;
    for (auto& a : more) all += a + " ";
    INFO(all);
    std::string message;
    for (const list& verb : {list{"classify", "--labels", "a", w.images[0]}, list{"embed", "--images", "a", "--out", "b"},
                             list{"eval", "zeroshot", "--data", "d", "--classes", "c"}, list{"eval", "retrieval", "--data", "d"}}) {
      list arguments = w.with_model(verb);
      arguments.insert(arguments.end(), more.begin(), more.end());
      const auto r = w.run(arguments);
      INFO(verb[0]);
      CHECK(r.code == 2);
      CHECK(r.out.empty());
      message = r.err;
    }
    return message;
  };
  CHECK_THAT(wrong({"--backend", "tpu"}), Contains("--backend tpu: unknown") && Contains("eigen, cpu or cuda"));
  CHECK_THAT(wrong({"--backend", "cpu", "--precision", "f64"}), Contains("--precision f64") && Contains("f32 or bf16"));
  CHECK_THAT(wrong({"--backend", "eigen", "--precision", "bf16"}), Contains("--precision bf16") && Contains("f64 or f32"));
  CHECK_THAT(wrong({"--backend", "cuda", "--precision", "f16"}), Contains("--precision f16") && Contains("f32 or bf16"));
  CHECK_THAT(wrong({"--backend", "eigen", "--device", "0"}), Contains("--device") && Contains("--backend cuda"));
  CHECK_THAT(wrong({"--backend", "cpu", "--tf32"}), Contains("--tf32") && Contains("--backend cuda"));
  CHECK_THAT(wrong({"--backend", "eigen", "--autotune"}), Contains("--autotune") && Contains("--backend cuda"));
  CHECK_THAT(wrong({"--backend", "cuda", "--device", "-1"}), Contains("--device"));
  CHECK_THAT(wrong({"--head-width", "0"}), Contains("--head-width"));
  CHECK_THAT(wrong({"--eos-id", "-1"}), Contains("--eos-id"));
  CHECK_THAT(wrong({"--threads", "5000"}), Contains("--threads"));
#ifndef CLIPX_HAS_CUDA
  // Right usage of what is not there: said in one sentence.
  for (const list& more : {list{}, list{"--device", "1"}, list{"--tf32", "--precision", "bf16"}, list{"--autotune"}}) {
    list arguments = w.with_model({"classify", "--labels", "a", w.images[0], "--backend", "cuda"});
    arguments.insert(arguments.end(), more.begin(), more.end());
    const auto said = w.refusal(arguments);
    CHECK_THAT(said, Contains("cuda") && Contains("built without it"));
    CHECK(std::count(said.begin(), said.end(), '\n') == 1);
  }
#endif
}

TEST_CASE("clipx: threads that the system refuses") {
  const workplace w;
  // Limits on processes are not for root: the program runs as another user, who has none yet.
  const auto user = 60000 + ::getpid() % 5000;
  const std::string as_nobody = cat("prlimit --nproc=6 setpriv --reuid=", user, " --regid=", user, " --clear-groups");
  fs::permissions(w.dir.path, fs::perms::others_all, fs::perm_options::add);
  const auto version = w.run({"--version"}, "", as_nobody);
  if (version.code != 0) {
    WARN("skipped: needs root, prlimit, setpriv, and folders that others may read");
    return;
  }
  list arguments = w.with_model({"classify", "--labels", "cat,of", "--threads", "64"});
  arguments.insert(arguments.end(), w.images.begin(), w.images.end());
  const auto r = w.run(arguments, "", as_nobody);
  INFO(r.err);
  CHECK(r.code == 0);
  CHECK(r.lines().size() == 9);
  CHECK_THAT(r.err, Contains("clipx: warning: the system grants ") && Contains(" of 64 threads; fewer are used"));
  std::string captions;
  for (int i = 0; i < 2000; ++i) captions += "the cat and the red cat\n";
  write_file(w.dir / "captions.txt", captions);
  const auto t = w.run(
      {"tokenizer", "train", "--captions", w.dir / "captions.txt", "--size", "520", "--threads", "64", "--out", w.dir / "words"},
      "", as_nobody);
  INFO(t.err);
  CHECK(t.code == 0);
  CHECK_THAT(t.err, Contains("the system grants "));
}

TEST_CASE("clipx classify") {
  const workplace w;
  const list labels{"cat", "the red cat", "of"};
  const auto right = [&](const std::string& line, const std::string& img) {
    INFO(line);
    const auto answer = json::parse(line);
    REQUIRE(answer.size() == 2);
    CHECK(answer.begin().key() == "image");
    CHECK(answer["image"] == img);
    REQUIRE(answer["labels"].size() == labels.size());
    const auto want = reference::probabilities(w.model, img == "-" ? w.images[0] : img, labels);
    double sum = 0, last = 1;
    for (auto& l : answer["labels"]) {
      REQUIRE(l.size() == 2);
      CHECK(l.begin().key() == "label");
      const double p = l["p"];
      CHECK(p <= last);
      last = p;
      sum += p;
      const auto at = std::find(labels.begin(), labels.end(), l["label"].get<std::string>());
      REQUIRE(at != labels.end());
      CHECK(std::abs(p - want[static_cast<std::size_t>(at - labels.begin())]) <= 1e-5);
    }
    CHECK(sum == Approx(1).epsilon(1e-12));
  };
  SECTION("JSON, a line an image, in input order; folders stand for their images, - for standard input") {
    const auto r = w.run(w.with_model({"classify", "--json", "--labels", " cat,the red cat , of", w.images[2], w.dir / "p"}));
    CHECK(r.code == 0);
    CHECK(r.err.empty());
    REQUIRE(r.lines().size() == 4);
    right(r.lines()[0], w.images[2]);
    for (std::size_t i = 0; i < 3; ++i) right(r.lines()[i + 1], w.images[i]);
    const auto piped = w.run(w.with_model({"classify", "--json", "--labels", "cat,the red cat,of", "-"}), contents(w.images[0]));
    REQUIRE(piped.lines().size() == 1);
    right(piped.lines()[0], "-");
  }
  SECTION("every backend agrees") {
    for (const list& device :
         {list{"--backend", "eigen", "--precision", "f64"}, list{"--backend", "eigen"},
#ifdef CLIPX_HAS_CPU
          list{"--backend", "cpu", "--threads", "1"}, list{"--backend", "cpu", "--deterministic", "--batch-size", "1"},
#endif
          list{}}) {
      list arguments = w.with_model({"classify", "--json", "--labels", "cat,the red cat,of", w.images[1]});
      arguments.insert(arguments.end(), device.begin(), device.end());
      const auto r = w.run(arguments);
      INFO(r.err);
      CHECK(r.code == 0);
      REQUIRE(r.lines().size() == 1);
      right(r.lines()[0], w.images[1]);
    }
  }
  SECTION("text, class files and templates") {
    write_file(w.dir / "classes", "cat\nthe red cat\nof\n");
    const auto r = w.run(w.with_model({"classify", "--classes", w.dir / "classes", w.images[0]}));
    CHECK(r.code == 0);
    REQUIRE(r.lines().size() == 4);
    CHECK(r.lines()[0] == w.images[0]);
    CHECK_THAT(r.lines()[1], Contains(" %  "));
    const auto piped = w.run(w.with_model({"classify", "--json", "--classes", "-", w.images[0]}), "cat\nthe red cat\nof\n");
    REQUIRE(piped.lines().size() == 1);
    right(piped.lines()[0], w.images[0]);
    // own prompts, and templates that say the same
    write_file(w.dir / "own", R"({"a": ["of cat", "cat"], "b": ["of red", "red"]})");
    write_file(w.dir / "names", "cat\nred\n");
    write_file(w.dir / "templates", "of {}\n{}\n");
    const auto own = w.run(w.with_model({"classify", "--json", "--classes", w.dir / "own", w.images[0]}));
    const auto filled =
        w.run(w.with_model({"classify", "--json", "--classes", w.dir / "names", "--templates", w.dir / "templates", w.images[0]}));
    REQUIRE(own.code == 0);
    REQUIRE(filled.code == 0);
    CHECK(json::parse(own.out)["labels"][0]["p"] == json::parse(filled.out)["labels"][0]["p"]);
    // a model that brings its templates, also after it was converted
    const std::string copy = w.dir / "copy", again = w.dir / "again";
    fs::copy(w.model, copy);
    write_file(copy + "/templates.txt", "of {}\n{}\n");
    REQUIRE(w.run({"convert", "--model", copy, "--out", again}).code == 0);
    for (auto& model : {copy, again})
      CHECK(w.run({"classify", "--json", "--classes", w.dir / "names", w.images[0], "--model", model}).out == filled.out);
    write_file(copy + "/templates.txt", "no place\n");
    CHECK_THAT(w.refusal({"classify", "--labels", "a", w.images[0], "--model", copy}), Contains("templates.txt") && Contains("{}"));
  }
  SECTION("an image that cannot be read is named, the others are ranked, and the exit code says so") {
    const auto r =
        w.run(w.with_model({"classify", "--json", "--labels", "cat,the red cat,of", w.broken, w.images[0], w.dir / "none.png"}));
    CHECK(r.code == 1);
    REQUIRE(r.lines().size() == 1);
    right(r.lines()[0], w.images[0]);
    CHECK_THAT(r.err, Contains("broken.png") && Contains("none.png"));
  }
  SECTION("the model may come from the environment") {
    const auto r =
        w.run({"classify", "--json", "--labels", "cat,the red cat,of", w.images[0]}, "", "CLIPX_MODEL=" + quoted(w.model));
    CHECK(r.code == 0);
    right(r.lines().at(0), w.images[0]);
  }
  SECTION("what is asked of nothing, or of too little") {
    const auto refusal = [&](list more) {
      more.insert(more.begin(), "classify");
      return w.refusal(w.with_model(more));
    };
    const auto& p = w.images[0];
    CHECK_THAT(refusal({"--labels", "", p}), Contains("--labels") && Contains("at least one label"));
    CHECK_THAT(refusal({"--labels", "a,,b", p}), Contains("--labels") && Contains("empty"));
    write_file(w.dir / "no-classes", "\n");
    CHECK_THAT(refusal({"--classes", w.dir / "no-classes", p}), Contains("no-classes") && Contains("empty"));
    CHECK_THAT(refusal({"--classes", w.dir / "missing", p}), Contains("missing"));
    CHECK_THAT(refusal({"--classes", w.dir / "p", p}), Contains("directory"));
    write_file(w.dir / "templates", "no place\n");
    CHECK_THAT(refusal({"--labels", "a", "--templates", w.dir / "templates", p}), Contains("{}"));
    CHECK_THAT(refusal({"--labels", "a", "--templates", w.dir / "no-classes", p}), Contains("template"));
    fs::create_directory(w.dir.path / "empty");
    CHECK_THAT(refusal({"--labels", "a", w.dir / "empty"}), Contains("empty") && Contains("expected images"));
  }
}

TEST_CASE("clipx: a model that is none") {
  const workplace w;
  const auto refusal = [&](const std::string& model, list more = {}) {
    list all{"classify", "--labels", "a", w.images[0], "--model", model};
    all.insert(all.end(), more.begin(), more.end());
    return w.refusal(all);
  };
  CHECK_THAT(refusal(w.dir / "none"), Contains("none: no such file or folder"));
  CHECK_THAT(refusal(w.dir / "p"), Contains("open_clip_config.json or config.json"));
  CHECK_THAT(refusal(w.images[0]), Contains("not a safetensors file"));
  CHECK_THAT(refusal(w.model + "/open_clip_config.json"), Contains("JSON"));
  CHECK_THAT(refusal(w.model + "/open_clip_model.safetensors"), Contains("--activation") && Contains("--head-width"));
  write_file(w.dir / "ViT-B-32.pt", std::string("PK\3\4") + std::string(100, 'x'));
  CHECK_THAT(refusal(w.dir / "ViT-B-32.pt"), Contains("ViT-B-32.pt: damaged zip archive"));
  fs::remove(w.model + "/bpe_simple_vocab_16e6.txt.gz");
  CHECK_THAT(refusal(w.model), Contains("no tokenizer"));
  write_file(w.dir / "merges", tiny::merges);
  const auto settled = w.run({"classify", "--labels", "a", w.images[0], "--model", w.model + "/open_clip_model.safetensors",
                              "--tokenizer", w.dir / "merges", "--activation", "quick_gelu", "--head-width", "32"});
  INFO(settled.err);
  CHECK(settled.code == 0);
}

}  // namespace test_cli
#endif
