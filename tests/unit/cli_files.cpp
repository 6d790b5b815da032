// The clipx program: embed, tokenize, preprocess, inspect, convert and eval, and a full disk.
#ifdef CLIPX_PROGRAM
#include <sys/stat.h>

#include <cmath>
#include <cstdio>
#include <numeric>

#include "cli.hpp"

namespace test_cli_files {

using namespace program;

namespace {
std::string tar_of(const std::vector<std::pair<std::string, std::string>>& files) {
  std::string out;
  for (auto& [name, data] : files) {
    std::string h(512, '\0');
    h.replace(0, name.size(), name);
    char size[12];
    std::snprintf(size, sizeof size, "%011zo", data.size());
    h.replace(124, 11, size);
    h.replace(148, 8, 8, ' ');
    unsigned sum = 0;
    for (char c : h) sum += static_cast<unsigned char>(c);
    std::snprintf(size, sizeof size, "%06o", sum);
    h.replace(148, 6, size);
    out += h + data + std::string((512 - data.size() % 512) % 512, '\0');
  }
  return out + std::string(1024, '\0');
}
}  // namespace

TEST_CASE("clipx embed") {
  const workplace w;
  const auto out = w.dir / "e.npy";
  const auto unit = [](const npy_array& a, std::size_t row) {
    double sum = 0;
    for (std::size_t i = 0; i < 24; ++i) sum += double(a.values[row * 24 + i]) * double(a.values[row * 24 + i]);
    return std::abs(sum - 1) < 1e-6;
  };
  SECTION("images: L2-normalized embeddings in input order; what cannot be read is left out and listed") {
    const auto r = w.run(w.with_model(
        {"embed", "--images", w.images[1], w.broken, w.dir / "none.jpg", w.images[0], "--out", out, "--batch-size", "2"}));
    CHECK(r.code == 1);
    CHECK(r.out.empty());
    CHECK_THAT(r.err, Contains("broken.png") && Contains("none.jpg"));
    CHECK(contents(out + ".failed") == w.broken + "\n" + (w.dir / "none.jpg") + "\n");
    const auto hostile = w.dir / "p\x1b[2J\nclipx: done\xc2\x9b.png";
    std::filesystem::copy_file(w.broken, hostile);
    const auto escaped = w.run(w.with_model({"embed", "--images", hostile, w.images[0], "--out", w.dir / "h.npy"}));
    CHECK(escaped.code == 1);
    CHECK_THAT(escaped.err, Contains("p\\x1b[2J\\x0aclipx: done\\xc2\\x9b.png"));
    CHECK(std::count(escaped.err.begin(), escaped.err.end(), '\n') == 1);
    CHECK(contents(w.dir / "h.npy.failed") == w.dir / "p\\x1b[2J\\x0aclipx: done\\xc2\\x9b.png" + "\n");
    const auto a = read_npy(out);
    REQUIRE(a.shape == std::vector<dim>{2, 24});
    const auto want = reference::images(w.model, {w.images[1], w.images[0]});
    for (std::size_t row : {0u, 1u}) {
      for (std::size_t i = row * 24; i < row * 24 + 24; ++i) CHECK(std::abs(double(a.values[i]) - want[i]) <= 1e-5);
      CHECK(unit(a, row));
    }
    const auto again = w.run(w.with_model({"embed", "--images", w.dir / "p", "--out", out}));
    CHECK(again.code == 0);
    CHECK(again.err.empty());
    CHECK(read_npy(out).shape == std::vector<dim>{3, 24});
    CHECK_FALSE(fs::exists(out + ".failed"));
    const auto none = w.run(w.with_model({"embed", "--images", w.broken, "--out", out}));
    CHECK(none.code == 1);
    CHECK(read_npy(out).shape == std::vector<dim>{0, 24});
  }
  SECTION("texts, from a file and from standard input") {
    write_file(w.dir / "texts", "a cat\nthe red cat\na cat\n");
    CHECK(w.run(w.with_model({"embed", "--texts", w.dir / "texts", "--out", out})).code == 0);
    const auto a = read_npy(out);
    REQUIRE(a.shape == std::vector<dim>{3, 24});
    for (std::size_t row : {0u, 1u, 2u}) CHECK(unit(a, row));
    const auto row = [&](std::ptrdiff_t i) {
      return std::vector<float>(a.values.begin() + 24 * i, a.values.begin() + 24 * i + 24);
    };
    CHECK(row(0) != row(1));
    const auto other = w.dir / "o.npy";
    CHECK(w.run(w.with_model({"embed", "--texts", "-", "--out", other}), "a cat\n\nthe red cat\r\n\n").code == 0);
    const auto lines = read_npy(other);  // an empty line is a text, too: rows belong to lines
    REQUIRE(lines.shape == std::vector<dim>{4, 24});
    const auto far = [&](std::size_t i, float want) { return std::abs(lines.values[i] - want) > 1e-5f; };
    for (std::size_t i = 0; i < 24; ++i) {
      CHECK_FALSE(far(24 + i, lines.values[72 + i]));
      CHECK_FALSE(far(48 + i, row(1)[i]));
    }
    CHECK(w.run(w.with_model({"embed", "--texts", "-", "--out", other}), "a cat\nthe red cat\na cat\n").code == 0);
    CHECK(contents(other) == contents(out));
    CHECK_THAT(w.refusal(w.with_model({"embed", "--texts", "-", "--out", out})), Contains("one text per line"));
    CHECK_THAT(w.refusal(w.with_model({"embed", "--texts", w.dir / "p", "--out", out})), Contains("directory"));
    CHECK(contents(other) == contents(out));
  }
  SECTION("a place that cannot be written") {
    CHECK_THAT(w.refusal(w.with_model({"embed", "--images", w.dir / "p", "--out", w.dir / "no/e.npy"})),
               Contains("no/e.npy") && Contains("cannot be written"));
    CHECK_THAT(w.refusal(w.with_model({"embed", "--images", w.dir / "p", "--out", w.dir / "p"})), Contains("got a folder"));
    CHECK_THAT(w.refusal(w.with_model({"embed", "--images", w.dir / "p", "--out", "/dev/full"})), Contains("/dev/full"));
    struct stat facts {};
    CHECK((::stat("/dev/full", &facts) != 0 || S_ISCHR(facts.st_mode)));
  }
}

TEST_CASE("clipx tokenize") {
  const workplace w;
  const auto words = tokenizer::from_folder(w.model, [] {
    auto o = tokenizer_options::open_clip();
    o.context_length = 16;
    return o;
  }());
  const list texts{"the red cat", "", "a CAT &amp; a caf\xc3\xa9", std::string(200, 'z')};
  std::string input, want;
  for (auto& t : texts) {
    input += t + "\n";
    want += json(words(t)).dump() + "\n";
  }
  const auto r = w.run(w.with_model({"tokenize"}), input);
  CHECK(r.code == 0);
  CHECK(r.out == want);
  CHECK(r.lines()[1] == "[520,521]");
  CHECK(json::parse(r.lines()[3]).size() == 16);
  CHECK(json::parse(r.lines()[3]).back() == 521);
  CHECK(w.run(w.with_model({"tokenize"}), "the cat\r\nred").lines() ==
        list{json(words("the cat")).dump(), json(words("red")).dump()});
  CHECK(w.run(w.with_model({"tokenize"})).out.empty());
  const auto merges = w.model + "/bpe_simple_vocab_16e6.txt.gz";
  CHECK(w.run({"tokenize", "--bpe", merges}, "the red cat\n").out ==
        json(tokenizer::from_merges(merges)("the red cat")).dump() + "\n");
  CHECK_THAT(w.refusal({"tokenize", "--bpe", w.dir / "none"}), Contains("none"));
  CHECK_THAT(w.refusal({"tokenize", "--bpe", w.dir / "p"}), Contains("p: "));
  // openai/CLIP refuses a text that is too long unless it is told to cut; the program always cuts
  // --tokenizer alone: no model is opened
  CHECK(w.run({"tokenize", "--tokenizer", merges}, "the red cat\n").out ==
        json(tokenizer::from_merges(merges)("the red cat")).dump() + "\n");
  std::filesystem::create_directories(w.dir / "x");
  write_file(w.dir / "x/tokenizer.json",
             R"({"model": {"type": "WordPiece", "unk_token": "?", "vocab": {"?": 0, "the": 1, "##m": 2}},
      "pre_tokenizer": {"type": "WhitespaceSplit"}})");
  write_file(w.dir / "x/tokenizer_config.json", R"({"tokenizer_class": "BertTokenizer", "model_max_length": 3})");
  CHECK(w.run({"tokenize", "--tokenizer", w.dir / "x/tokenizer.json"}, "the them cat the\n\n").out == "[1,1,2,0,1]\n[]\n");
  CHECK(w.run({"tokenize", "--tokenizer", w.dir / "x"}, "the them cat the\n").out == "[1,1,2]\n");
  CHECK_THAT(w.refusal({"tokenize", "--tokenizer", w.dir / "none.json"}), Contains("none.json"));
  const auto cut = w.run({"tokenize", "--bpe", merges}, std::string(300, 'z') + "\n");
  CHECK(cut.code == 0);
  CHECK(json::parse(cut.out).size() == 77);
}

TEST_CASE("clipx preprocess") {
  const workplace w;
  const auto out = w.dir / "x.npy";
  CHECK(w.run(w.with_model({"preprocess", w.images[0], w.images[2], "--out", out})).code == 0);
  const auto a = read_npy(out);
  REQUIRE(a.shape == std::vector<dim>{2, 3, 32, 32});
  const auto config = checkpoint::open(w.model).pixels();
  std::vector<float> want(2 * 3 * 32 * 32);
  for (std::size_t i : {0u, 1u}) {
    const auto file = mapped_file::open(w.images[2 * i]);
    to_tensor(read_pixels(file.bytes(), "x", config), config, want.data() + i * 3 * 32 * 32);
  }
  CHECK(a.values == want);
  const auto r = w.run(w.with_model({"preprocess", w.broken, w.images[0], "--out", out}));
  CHECK(r.code == 1);
  CHECK(read_npy(out).shape == std::vector<dim>{1, 3, 32, 32});
  CHECK(contents(out + ".failed") == w.broken + "\n");
}

TEST_CASE("clipx preprocess: --exif-orientation and --max-image-megapixels") {
  const workplace w;
  const auto golden = safetensors::open(std::string(CLIPX_SOURCE_DIR) + "/tests/golden/formats.safetensors");
  const auto* t = golden.find("turned_png_RGBA_6/file");
  REQUIRE(t);
  const auto photo = w.dir / "photo.jpg", out = w.dir / "x.npy";  // a PNG, whatever its name says
  write_file(photo, {reinterpret_cast<const char*>(t->data), t->bytes});
  const auto pixels = [&](const list& options) {
    auto all = w.with_model({"preprocess", photo, "--out", out});
    all.insert(all.end(), options.begin(), options.end());
    const auto r = w.run(all);
    INFO(r.err);
    CHECK(r.code == 0);
    return read_npy(out).values;
  };
  const auto expected = [&](bool turned) {
    auto config = checkpoint::open(w.model).pixels();
    config.decode.exif_orientation = turned;
    std::vector<float> want(3 * 32 * 32);
    to_tensor(read_pixels({t->data, t->bytes}, "x", config), config, want.data());
    return want;
  };
  CHECK(pixels({"--exif-orientation", "--max-image-megapixels", "0.001"}) == expected(true));
  CHECK(expected(true) != expected(false));
  const auto r = w.run(w.with_model({"preprocess", photo, w.images[0], "--max-image-megapixels", "0.00003", "--out", out}));
  CHECK(r.code == 1);
  CHECK_THAT(r.err, Contains("photo.jpg: 7 x 5 pixels; expected 1 to 30, the limit of --max-image-megapixels"));
}

TEST_CASE("clipx inspect and convert") {
  const workplace w;
  const auto facts = [&](const std::string& path) {
    const auto r = w.run({"inspect", path, "--json"});
    INFO(r.err);
    CHECK(r.code == 0);
    REQUIRE(r.lines().size() == 1);
    return json::parse(r.out);
  };
  auto m = facts(w.model);
  dim parameters = 0;
  for (auto& [name, s] : parameter_shapes(tiny::vit().model)) parameters += s.count();
  const json want{{"architecture", "ViT"},      {"image_size", 32},      {"embed_dim", 24},
                  {"parameters", parameters},   {"context_length", 16},  {"vocab_size", 522},
                  {"activation", "quick_gelu"}, {"layout", "open_clip"}, {"dtype", "f32"}};
  for (auto& [key, value] : want.items()) {
    INFO(key);
    CHECK(m[key] == value);
  }
  CHECK(m["preprocessing"]["resize"] == "shortest");
  CHECK(m["preprocessing"]["mean"][0].get<float>() == 0.48145466f);
  const auto text = w.run({"inspect", w.model});
  CHECK(text.code == 0);
  CHECK_THAT(text.out, Contains("architecture") && Contains("ViT") && Contains("522"));
  CHECK(w.run({"inspect", "--model", w.model}).out == text.out);
  CHECK_THAT(w.refusal({"inspect", w.dir / "none"}), Contains("none"));
  CHECK_THAT(w.refusal({"inspect", w.images[0]}), Contains("not a safetensors file"));
  CHECK(facts(CLIPX_SOURCE_DIR "/tests/golden/models/resnet")["architecture"] == "ModifiedResNet");

  const auto convert = [&](const std::string& from, const std::string& to, const list& more) {
    list all{"convert", "--model", from, "--out", to};
    all.insert(all.end(), more.begin(), more.end());
    const auto r = w.run(all);
    INFO(r.err);
    CHECK(r.code == 0);
    CHECK(r.out.empty());
  };
  convert(w.model, w.dir / "hf", {"--layout", "hf", "--dtype", "f16"});
  auto hf = facts(w.dir / "hf");
  CHECK(hf["layout"] == "hf");
  CHECK(hf["parameters"] == parameters);
  CHECK_THAT(hf["dtype"].get<std::string>(), Contains("f16"));
  convert(w.dir / "hf", w.dir / "b", {"--layout", "open_clip", "--dtype", "bf16"});
  CHECK_THAT(facts(w.dir / "b")["dtype"].get<std::string>(), Contains("bf16"));
  convert(w.model, w.dir / "same", {});
  CHECK(facts(w.dir / "same") == [&] {
    m["name"] = "same";
    return m;
  }());
  const auto answer = [&](const std::string& model) {
    const auto r = w.run({"classify", "--json", "--labels", "cat,the red cat", w.images[0], "--model", model});
    CHECK(r.code == 0);
    return json::parse(r.out);
  };
  CHECK(answer(w.dir / "same") == answer(w.model));
  for (auto* other : {"hf", "b"}) {
    const auto a = answer(w.dir / other), b = answer(w.model);
    // half precision rounds a weight by up to 2^-9; hf also crops another way, so the image differs a little
    CHECK(a["labels"][0]["label"] == b["labels"][0]["label"]);
  }
  CHECK_THAT(w.refusal({"convert", "--model", w.model, "--out", w.model}), Contains("give --out another one"));
  CHECK_THAT(w.refusal({"convert", "--model", w.model, "--out", w.broken}), Contains("cannot be created as a folder"));
  CHECK_THAT(
      w.refusal({"convert", "--model", CLIPX_SOURCE_DIR "/tests/golden/models/resnet", "--layout", "hf", "--out", w.dir / "r"}),
      Contains("tokenizer") || Contains("ModifiedResNet"));
}

TEST_CASE("clipx eval") {
  const workplace w;
  write_file(w.dir / "classes", "cat\nthe red cat\nof\n");
  const auto a = contents(w.images[0]), b = contents(w.images[1]), c = contents(w.images[2]);
  fs::create_directory(w.dir.path / "set");
  write_file(w.dir / "set/0.tar",
             tar_of({{"1.png", a}, {"1.cls", "0"}, {"2.png", b}, {"2.json", R"({"cls": 1, "captions": ["cat", "red"]})"}}));
  write_file(w.dir / "set/1.tar", tar_of({{"3.png", c}, {"3.cls", "2\n"}, {"3.txt", "of the cat"}, {"4.txt", "no picture"}}));
  const auto shards = w.dir / "set/{0..1}.tar";
  SECTION("zero-shot, as classify ranks the same images") {
    const auto r = w.run(w.with_model({"eval", "zeroshot", "--data", shards, "--classes", w.dir / "classes", "--json"}));
    INFO(r.err);
    CHECK(r.code == 0);
    REQUIRE(r.lines().size() == 1);
    const auto answer = json::parse(r.out);
    list keys;
    for (auto& [key, value] : answer.items()) keys.push_back(key);
    CHECK(list(keys.begin(), keys.begin() + 4) == list{"dataset", "model", "task", "metrics"});
    CHECK(answer["dataset"] == "set");
    CHECK(answer["model"] == "m");
    CHECK(answer["task"] == "zeroshot_classification");
    int right = 0;
    const list labels{"cat", "the red cat", "of"};
    for (std::size_t i = 0; i < 3; ++i) {
      const auto p = reference::probabilities(w.model, w.images[i], labels);
      right += std::max_element(p.begin(), p.end()) - p.begin() == static_cast<std::ptrdiff_t>(i);
    }
    CHECK(answer["metrics"]["acc1"] == right / 3.0);
    CHECK(answer["metrics"]["acc5"] == 1.0);
    CHECK(answer["metrics"]["mean_per_class_recall"] == Approx(right / 3.0));
    CHECK(answer["correct1"] == right);
    const auto text = w.run(w.with_model({"eval", "zeroshot", "--data", shards, "--classes", w.dir / "classes"}));
    CHECK(text.code == 0);
    CHECK_THAT(text.out, Contains("acc1") && Contains("mean_per_class_recall"));
    // a folder of classes says the same
    for (std::size_t i = 0; i < 3; ++i) {
      fs::create_directories(w.dir.path / "folder" / labels[i]);
      fs::copy_file(w.images[i], w.dir.path / "folder" / labels[i] / "x.png");
    }
    const auto folder =
        w.run(w.with_model({"eval", "zeroshot", "--data", w.dir / "folder", "--classes", w.dir / "classes", "--json"}));
    CHECK(folder.code == 0);
    CHECK(json::parse(folder.out)["metrics"] == answer["metrics"]);
    CHECK(json::parse(folder.out)["dataset"] == "folder");
    CHECK(
        json::parse(w.run(w.with_model({"eval", "zeroshot", "--data", w.dir / "folder/", "--classes", w.dir / "classes", "--json"}))
                        .out)["dataset"] == "folder");
  }
  SECTION("retrieval, several captions an image") {
    write_file(w.dir / "set/1.tar", tar_of({{"3.png", c}, {"3.txt", "of the cat"}}));
    write_file(w.dir / "set/0.tar",
               tar_of({{"1.png", a}, {"1.txt", "a"}, {"2.png", b}, {"2.json", R"({"captions": ["cat", "red"]})"}}));
    const auto r = w.run(w.with_model({"eval", "retrieval", "--data", shards, "--json"}));
    INFO(r.err);
    CHECK(r.code == 0);
    const auto answer = json::parse(r.out);
    CHECK(answer["task"] == "zeroshot_retrieval");
    CHECK(answer["captions"] == 4);
    const auto images = reference::images(w.model, w.images);
    const auto texts = reference::texts(w.model, {"a", "cat", "red", "of the cat"});
    std::vector<double> cosines;
    for (std::size_t t = 0; t < 4; ++t)
      for (std::size_t i = 0; i < 3; ++i)
        cosines.push_back(std::inner_product(&texts[t * 24], &texts[t * 24] + 24, &images[i * 24], 0.0));
    const auto m = evaluate_retrieval<double>(cosines, std::vector<dim>{0, 1, 1, 2}, 3);
    for (std::size_t i = 0; i < 3; ++i) {
      CHECK(answer["metrics"][cat("image_retrieval_recall@", m.k[i])] == m.image_recall[i]);
      CHECK(answer["metrics"][cat("text_retrieval_recall@", m.k[i])] == m.text_recall[i]);
    }
  }
  SECTION("data that cannot be measured") {
    const auto refusal = [&](const std::string& data, const std::string& task = "zeroshot") {
      list all{"eval", task, "--data", data};
      if (task == "zeroshot") all.insert(all.end(), {"--classes", w.dir / "classes"});
      return w.refusal(w.with_model(all));
    };
    CHECK_THAT(refusal(w.dir / "set/{2..3}.tar"), Contains("2.tar") && Contains("3.tar") && Contains("cannot be opened"));
    CHECK_THAT(refusal(w.dir / "set/{0..1.tar"), Contains("brace"));
    CHECK_THAT(refusal(w.images[0]), Contains("not a tar file"));
    fs::create_directory(w.dir.path / "empty");
    CHECK_THAT(refusal(w.dir / "empty"), Contains("expected images"));
    CHECK_THAT(refusal(w.dir / "empty", "retrieval"), Contains("expected images"));
    CHECK_THAT(refusal(w.dir / "p", "retrieval"), Contains("captions"));
    write_file(w.dir / "u.tar", tar_of({{"1.png", a}, {"1.txt", "x"}}));
    CHECK_THAT(refusal(w.dir / "u.tar"), Contains("u.tar:1") && Contains("expected a label"));
    write_file(w.dir / "u.tar", tar_of({{"1.png", a}, {"1.cls", "cat"}}));
    CHECK_THAT(refusal(w.dir / "u.tar"), Contains("whole number") && Contains("cat"));
    write_file(w.dir / "u.tar", tar_of({{"1.png", a}, {"1.cls", "3"}}));
    CHECK_THAT(refusal(w.dir / "u.tar"), Contains("0 to 2, got 3"));
    write_file(w.dir / "u.tar", tar_of({{"1.png", a}, {"1.json", "{"}}));
    CHECK_THAT(refusal(w.dir / "u.tar"), Contains("not JSON"));
    write_file(w.dir / "u.tar", tar_of({{"1.png", "no picture"}, {"1.cls", "0"}}));
    CHECK_THAT(refusal(w.dir / "u.tar"), Contains("u.tar:1"));
    write_file(w.dir / "u.tar", tar_of({{"1.txt", "x"}}));
    CHECK_THAT(refusal(w.dir / "u.tar"), Contains("found none"));
  }
}

TEST_CASE("clipx: a full disk") {
  const workplace w;
  const std::string full = "ulimit -f 2; trap '' XFSZ;";  // blocks of 512 bytes, or 1024: at most 2 KiB a file
  const auto out = w.dir / "x.npy";
  write_file(out, "old");
  write_file(w.dir / "in", "");
  for (const list& verb : {list{"preprocess", w.images[0], "--out", out}, list{"convert", "--out", w.dir / "new"}}) {
    INFO(verb[0]);
    CHECK_THAT(w.refusal(w.with_model(verb), "", full), Contains("cannot be written"));
  }
  CHECK(contents(out) == "old");
  CHECK((!fs::exists(w.dir / "new") || fs::is_empty(w.dir / "new")));
  for (auto& entry : fs::directory_iterator(w.dir.path)) CHECK(entry.path().string().find(".tmp") == std::string::npos);
  // answers that do not arrive are a failure too
  for (const list& verb : {list{"classify", "--labels", "a,b", w.images[0]}, list{"tokenize"}, list{"inspect"}}) {
    INFO(verb[0]);
    const auto r = w.run(w.with_model(verb), "a cat\n", "", "/dev/full");
    CHECK(r.code == 1);
    CHECK_THAT(r.err, Contains("standard output"));
  }
  CHECK(w.run({"--version"}, "", "", "/dev/full").code == 1);
  CHECK(w.run({"--help"}, "", "", "/dev/full").code == 1);
}

}  // namespace test_cli_files
#endif
