// The clipx program: what a checkpoint's files say is printed, honored or refused; outputs replace no input; open_clip's flags.
#ifdef CLIPX_PROGRAM
#include <limits>

#include "cli.hpp"
#include "tar.hpp"

namespace test_cli_checkpoint {

using namespace program;

namespace {
/// The workplace's model as transformers 5 saves it: processor_config.json alone, mean and std 0.5.
std::string write_transformers_5(const workplace& w, const std::string& name) {
  const std::string folder = w.dir / name;
  REQUIRE(w.run(w.with_model({"convert", "--layout", "hf", "--out", folder})).code == 0);
  auto pixels = json::parse(contents(folder + "/preprocessor_config.json"));
  pixels["image_mean"] = pixels["image_std"] = {0.5, 0.5, 0.5};
  write_file(folder + "/processor_config.json", json{{"image_processor", pixels}}.dump());
  fs::remove(folder + "/preprocessor_config.json");
  return folder;
}
}  // namespace

TEST_CASE("clipx: a folder of transformers 5") {
  const workplace w;
  const auto folder = write_transformers_5(w, "hf");
  const auto preprocessing = [&](const std::string& model) {
    const auto r = w.run({"inspect", model, "--json"});
    INFO(r.err);
    REQUIRE(r.code == 0);
    return std::pair(json::parse(r.out)["preprocessing"]["mean"], r.err);
  };
  CHECK(preprocessing(folder) == std::pair(json{0.5, 0.5, 0.5}, std::string()));
  REQUIRE(w.run({"convert", "--model", folder, "--out", w.dir / "own"}).code == 0);
  CHECK(preprocessing(w.dir / "own").first == json{0.5, 0.5, 0.5});
  fs::remove(folder + "/processor_config.json");
  const auto [mean, said] = preprocessing(folder);
  CHECK(mean[0].get<double>() < 0.49);
  CHECK_THAT(said, Contains("clipx: warning: ") && Contains("neither preprocessor_config.json nor processor_config.json"));
  write_file(folder + "/preprocessor_config.json", R"({"size":32,"crop_size":32,"do_normalize":false})");
  CHECK_THAT(w.refusal({"inspect", folder}), Contains("do_normalize: false is not supported"));
}

TEST_CASE("clipx convert: what training alone needs has no place in Hugging Face's layout") {
  const workplace w;
  const auto warning = Contains("no place for patch_dropout");
  const auto said = [&](const char* layout) {
    const auto r = w.run(w.with_model({"convert", "--layout", layout, "--out", w.dir / layout}));
    REQUIRE(r.code == 0);
    return r.err;
  };
  CHECK_THAT(said("hf"), !warning);
  auto config = json::parse(contents(w.model + "/open_clip_config.json"));
  config["model_cfg"]["vision_cfg"]["patch_dropout"] = 0.5;
  write_file(w.model + "/open_clip_config.json", config.dump());
  CHECK_THAT(said("hf"), warning);
  CHECK_THAT(said("open_clip"), !warning);
}

TEST_CASE("clipx: weights that are no numbers") {
  const workplace w;
  tiny::write_folder(w.model, tiny::vit(), [](std::vector<tiny::tensor>& all) {
    for (auto& t : all)
      if (t.name == "visual.proj") t.values = [](auto out) { std::fill(out.begin(), out.end(), std::nan("")); };
  });
  const auto names_it = Contains("tensor \"visual.proj\": value 0 is nan");
  CHECK_THAT(w.refusal(w.with_model({"classify", w.images[0], "--labels", "a cat,a dog"})), names_it);
  CHECK_THAT(w.refusal(w.with_model({"embed", "--images", w.images[0], "--out", w.dir / "e.npy"})), names_it);
  CHECK_FALSE(fs::exists(w.dir / "e.npy"));
  CHECK_THAT(w.refusal(w.with_model({"convert", "--out", w.dir / "c"})), names_it);
  write_file(w.dir / "t.tar", member("a.jpg", contents(w.images[0])) + member("a.txt", "the cat") + end_of_tar);
  CHECK_THAT(w.refusal(w.with_model({"eval", "retrieval", "--data", w.dir / "t.tar"})), names_it);
  CHECK_THAT(w.refusal(w.with_model({"train", "--train-data", w.dir / "t.tar", "--batch-size", "1", "--epochs", "1", "--warmup",
                                     "0", "--logs", w.dir / "runs", "--pretrained", w.model})),
             names_it);
}

TEST_CASE("clipx convert: half precision that cannot hold a weight, folders of other models, links") {
  const workplace w;
  const auto out = w.dir / "c";
  tiny::write_folder(w.dir / "large", tiny::vit(), [](std::vector<tiny::tensor>& all) {
    for (auto& t : all)
      if (t.name == "visual.proj") t.values = [](auto values) { std::fill(values.begin(), values.end(), 1e6); };
  });
  CHECK_THAT(w.refusal({"convert", "--model", w.dir / "large", "--dtype", "f16", "--out", out}),
             Contains("tensor \"visual.proj\": value 0 is 1e+06, which F16 cannot hold"));
  CHECK(w.run({"convert", "--model", w.dir / "large", "--dtype", "bf16", "--out", out}).code == 0);
  CHECK_THAT(
      w.refusal(w.with_model({"convert", "--layout", "hf", "--out", out})),
      Contains("holds open_clip_config.json, open_clip_model.safetensors, which would stay") && Contains("--out names an empty"));
  CHECK(w.run(w.with_model({"convert", "--out", out})).code == 0);  // all of it is replaced
  fs::remove(out + "/open_clip_model.safetensors");
  fs::create_symlink(w.model + "/open_clip_model.safetensors", out + "/open_clip_model.safetensors");
  CHECK_THAT(w.refusal(w.with_model({"convert", "--out", out})), Contains("which is read; --out names another folder"));
}

TEST_CASE("clipx: an output is none of the inputs, by whatever link") {
  const workplace w;
  const auto before = contents(w.images[0]);
  const auto among = Contains("is among the files to be read");
  fs::create_hard_link(w.images[0], w.dir / "hard.npy");
  fs::create_symlink(w.images[0], w.dir / "soft.npy");
  fs::create_symlink(w.images[0], w.dir / "list.npy.failed");
  for (const auto& out : {w.images[0], w.dir / "hard.npy", w.dir / "soft.npy", w.dir / "list.npy"}) {
    CHECK_THAT(w.refusal(w.with_model({"embed", "--images", w.dir / "p", "--out", out})), among);
    CHECK_THAT(w.refusal(w.with_model({"preprocess", w.dir / "p", "--out", out})), among);
  }
  write_file(w.dir / "texts", "a cat\n");
  CHECK_THAT(w.refusal(w.with_model({"embed", "--texts", w.dir / "texts", "--out", w.dir / "texts"})), among);
  CHECK_THAT(w.refusal(w.with_model({"embed", "--texts", w.dir / "texts", "--out", w.model + "/open_clip_model.safetensors"})),
             among);
  CHECK_THAT(w.refusal(w.with_model({"preprocess", w.images[0], "--out", w.model + "/open_clip_config.json"})), among);
  CHECK(contents(w.images[0]) == before);
}

TEST_CASE("clipx tokenizer train and curate: outputs beside inputs") {
  const workplace w;
  const auto words = w.dir / "words";
  fs::create_directory(words);
  write_file(words + "/merges.txt", "the cat\nthe red cat\n");
  CHECK_THAT(w.refusal({"tokenizer", "train", "--captions", words + "/merges.txt", "--size", "515", "--out", words}),
             Contains("is among the files to be read"));
  write_file(w.dir / "c.txt", "the cat\nthe red cat\n");
  write_file(words + "/tokenizer_config.json", "{}");
  CHECK_THAT(w.refusal({"tokenizer", "train", "--captions", w.dir / "c.txt", "--size", "515", "--out", words}),
             Contains("holds a tokenizer_config.json"));
  fs::create_directory(w.dir / "pool");
  write_file(w.dir / "pool/00000.tar", member("a.jpg", contents(w.images[0])) + member("a.txt", "the cat") + end_of_tar);
  for (const auto& data : {w.dir / "pool/00000.tar", w.dir / "pool"})
    CHECK_THAT(w.refusal({"curate", "filter", "--basic", "--data", data, "--out", w.dir / "pool"}),
               Contains("is the folder of data to be read"));
}

TEST_CASE("clipx train: open_clip's flags and names of models") {
  const workplace w;
  write_file(w.dir / "t.tar", member("a.jpg", contents(w.images[0])) + member("a.txt", "the cat") +
                                  member("b.jpg", contents(w.images[1])) + member("b.txt", "a red") + end_of_tar);
  const auto train = [&](list more) {
    list all{"train", "--train-data", w.dir / "t.tar", "--batch-size", "2", "--epochs", "1", "--logs", w.dir / "runs"};
    all.insert(all.end(), more.begin(), more.end());
    return w.run(all);
  };
  const auto usage = [&](list more) {
    more.insert(more.end(), {"--model", w.model});
    const auto r = train(more);
    CHECK(r.code == 2);
    return r.err;
  };
  CHECK_THAT(usage({"--lr-scheduler", "const"}), Contains("open_clip's --lr-scheduler: the schedule is linear warm-up"));
  CHECK_THAT(usage({"--imagenet-val", "x", "--torchcompile"}),
             Contains("--imagenet-val: --zeroshot-data FOLDER --classes FILE") && Contains("--torchcompile: clipx is compiled"));
  CHECK_THAT(usage({"--lock-image-freeze-bn-stats"}), Contains("--lock-image-freeze-bn-stats: --freeze-bn-stats"));
  CHECK_THAT(usage({"--optimal"}), !Contains("open_clip"));
  CHECK_THAT(usage({"--dataset-type", "synthetic"}), Contains("clipx has no synthetic data"));
  CHECK_THAT(usage({"--dataset-type", "csv"}), Contains("--dataset-type csv: expected a table") && Contains("t.tar"));
  CHECK_THAT(usage({"--precision", "amp"}), Contains("--precision amp: clipx does not train in half precision"));

  const auto run = train({"--model", w.model, "--dataset-type", "webdataset", "--train-num-samples", "2", "--name", "a"});
  INFO(run.err);
  CHECK(run.code == 0);
  CHECK_THAT(run.err, Contains("warning: --warmup 10000: the run has 1 steps"));
  const auto samples = train({"--model", w.model, "--train-num-samples", "3", "--name", "b"});
  CHECK(samples.code == 1);
  CHECK_THAT(samples.err, Contains("--train-num-samples: expected the number of pairs in --train-data, 2, got 3"));
  CHECK_FALSE(fs::exists(w.dir / "runs/b"));

  for (const std::string name : {"ViT-B/32", "ViT-B-32-quickgelu", "ViT-L/14@336px"})  // found: then the vocabulary is missing
    CHECK_THAT(train({"--model", name}).err, Contains("--tokenizer: expected the vocabulary for " + name));
  CHECK_THAT(train({"--model", "ViT-B-32-256"}).err, Contains("unknown model 'ViT-B-32-256'") && Contains("model_configs"));
  CHECK_THAT(train({"--model", w.model, "--pretrained", "openai", "--name", "c"}).err,
             Contains("--pretrained openai: no such file or folder") && Contains("open_clip's tags"));
  const auto hf = w.dir / "hf";
  REQUIRE(w.run(w.with_model({"convert", "--layout", "hf", "--out", hf})).code == 0);
  CHECK_THAT(train({"--model", hf}).err, Contains("Hugging Face's config.json: clipx convert"));
  // the run's own model is no beginning of it, nor may another model's files stay beside what it writes
  CHECK_THAT(train({"--model", w.model, "--pretrained", w.dir / "runs/a/model", "--name", "a"}).err,
             Contains("is the folder that this run writes its model to; --name names another run"));
  fs::create_directories(w.dir / "runs/d/model");
  write_file(w.dir / "runs/d/model/tokenizer.json", "{}");
  CHECK_THAT(train({"--model", w.model, "--name", "d"}).err, Contains("holds tokenizer.json, which would stay"));
}

}  // namespace test_cli_checkpoint
#endif
