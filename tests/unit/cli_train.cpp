// clipx train: a run in a folder, and every way in which it can end.
#ifdef CLIPX_PROGRAM
#include <clipx/train/trainer.hpp>
#include <clipx/zero_shot/pairs.hpp>

#include "cli.hpp"
#include "tar.hpp"

namespace test_cli_train {

using namespace program;

namespace {

/// Forty images of noise in two shards, a caption for each.
struct corpus : workplace {
  std::string shards = dir / "s-{0..1}.tar", runs = dir / "runs";
  corpus() {
    for (int shard = 0; shard < 2; ++shard) {
      std::string tar;
      for (int i = 0; i < 20; ++i) {
        const draws draw(shard, i);
        std::string ppm = "P6 40 36 255\n";
        for (std::uint64_t p = 0; p < 40 * 36 * 3; ++p) ppm += static_cast<char>(draw(p));
        const json meta{{"captions", {cat("the cat ", i), cat("a red cat of ", shard)}}};
        tar += member(cat(shard, "-", i, ".jpg"), ppm) + member(cat(shard, "-", i, ".txt"), cat("the red ", 20 * shard + i)) +
               member(cat(shard, "-", i, ".json"), meta.dump());
      }
      write_file(dir / cat("s-", shard, ".tar"), tar + end_of_tar);
    }
  }
  /// A run; `more` replaces options and adds others.
  list train(const std::string& name, const list& more, const std::string& epochs = "4") const {
    json set{{"--train-data", shards},
             {"--model", model},
             {"--batch-size", "8"},
             {"--epochs", epochs},
             {"--warmup", "2"},
             {"--lr", "1e-3"},
             {"--logs", runs},
             {"--name", name},
             {"--threads", "2"},
             {"--workers", "2"},
             {"--log-every-n-steps", "1"},
             {"--aug-cfg", "scale=0.5,1"},
             {"--force-patch-dropout", "0.5"},
             {"--ema", "0.9"},
             {"--grad-clip-norm", "1"},
             {"--seed", "3"},
             {"--caption-field", "captions"}};
    list flags;
    for (std::size_t i = 0; i < more.size(); ++i) {
      if (i + 1 < more.size() && !more[i + 1].starts_with("--")) {
        set[more[i]] = more[i + 1];
        ++i;
      } else flags.push_back(more[i]);
    }
    list all{"train"};
    for (auto& [option, value] : set.items()) {
      all.push_back(option);
      all.push_back(value.get<std::string>());
    }
    all.insert(all.end(), flags.begin(), flags.end());
    return all;
  }
  std::string model_of(const std::string& name) const { return contents(runs + "/" + name + "/model/open_clip_model.safetensors"); }
  std::vector<json> metrics(const std::string& name) const {
    std::vector<json> out;
    for (auto& line : read_lines(runs + "/" + name + "/metrics.jsonl")) out.push_back(json::parse(line));
    return out;
  }
  list checkpoints(const std::string& name) const {
    list out;
    for (auto& entry : fs::directory_iterator(runs + "/" + name + "/checkpoints")) out.push_back(entry.path().filename().string());
    std::sort(out.begin(), out.end());
    return out;
  }
};
}  // namespace

TEST_CASE("clipx train") {
  const corpus w;
  const auto ran = [&](const std::string& name, const list& more, const std::string& shell = "", const std::string& epochs = "4") {
    return w.run(w.train(name, more, epochs), "", shell);
  };
  SECTION("a whole run") {
    const auto r = ran("a", {"--save-frequency", "0.4", "--keep-last", "2", "--hold-out", "5", "--report-to", "tensorboard"});
    INFO(r.out << r.err);
    REQUIRE(r.code == 0);
    CHECK(r.err.empty());
    dim steps = 0, validations = 0;
    for (auto& line : w.metrics("a")) {
      if (line.contains("loss")) {
        CHECK(line["step"].get<dim>() == ++steps);
        CHECK(line["loss"].get<double>() > 0);
      }
      validations += line.contains("val_loss");
    }
    CHECK(steps >= 12);  // three or four batches of what is not held out, four times
    CHECK(validations == 4);
    REQUIRE(w.checkpoints("a").size() == 2);
    CHECK(w.checkpoints("a")[1] == cat("step_000000", steps, ".safetensors"));
    for (auto* file : {"report.html", "loss.svg", "model/open_clip_config.json", "model/vocab.json"})
      CHECK(fs::exists(w.runs + "/a/" + file));
    dim events = 0;
    for (auto& entry : fs::directory_iterator(w.runs + "/a"))
      events += entry.path().filename().string().starts_with("events.out.tfevents");
    CHECK(events == 1);
    // What came of it is a model that answers.
    const auto answer = w.run({"classify", w.images[0], "--labels", "the cat,a red", "--model", w.runs + "/a/model"});
    CHECK(answer.code == 0);
    const auto again = w.refusal(w.train("a", {}));
    CHECK(again.find("--resume latest") != std::string::npos);
  }
  SECTION("by the sigmoid loss") {
    REQUIRE(ran("s", {"--siglip", "--hold-out", "5"}, "", "2").code == 0);
    CHECK(json::parse(contents(w.runs + "/s/model/open_clip_config.json"))["model_cfg"]["init_logit_bias"] == -10);
    double loss = 0;
    for (auto& line : w.metrics("s")) loss = line.value("val_loss", loss);
    CHECK((loss > 0.1 && loss < 21));
    const auto answer = w.run({"classify", w.images[0], "--labels", "the cat,a red", "--model", w.runs + "/s/model", "--json"});
    REQUIRE(answer.code == 0);
    const auto labels = json::parse(answer.out)["labels"];  // a sigmoid for each, whose bias is still near -10
    CHECK(labels[0]["p"].get<double>() + labels[1]["p"].get<double>() < 0.9);
    CHECK(labels[0]["p"].get<double>() > 0);
    const auto hf = w.refusal({"convert", "--model", w.runs + "/s/model", "--layout", "hf", "--out", w.dir / "hf"});
    CHECK(hf.find("sigmoid loss") != std::string::npos);
    const auto other = w.refusal(w.train("p", {"--siglip", "--pretrained", w.model}));
    CHECK(other.find("logit_bias") != std::string::npos);
  }
  SECTION("a SigLIP, from scratch and from a checkpoint") {
    tiny::write_folder(w.dir / "siglip", tiny::siglip());
    const list its{"--model", w.dir / "siglip", "--siglip", "--force-patch-dropout", "0", "--hold-out", "5"};
    REQUIRE(ran("g", its, "", "2").code == 0);
    const auto written = json::parse(contents(w.runs + "/g/model/open_clip_config.json"))["model_cfg"];
    CHECK(written["text_cfg"]["pool_type"] == "last");
    CHECK(written["custom_text"] == true);
    auto tuned = its;
    for (auto& more : {std::string("--pretrained"), w.runs + "/g/model"}) tuned.push_back(more);
    const auto r = ran("h", tuned, "", "1");
    INFO(r.out << r.err);
    REQUIRE(r.code == 0);
    const auto answer = w.run({"classify", w.images[0], "--labels", "the cat,a red", "--model", w.runs + "/h/model", "--json"});
    INFO(answer.out << answer.err);
    REQUIRE(answer.code == 0);
    const auto labels = json::parse(answer.out)["labels"];
    CHECK(labels[0]["p"].get<double>() + labels[1]["p"].get<double>() < 0.9);
    CHECK(w.run({"convert", "--model", w.runs + "/h/model", "--layout", "hf", "--out", w.dir / "hf"}).code == 0);
    CHECK(w.run({"inspect", w.dir / "hf"}).out.find("SigLIP") != std::string::npos);
    CHECK(w.refusal(w.train("i", {"--model", w.dir / "siglip", "--siglip"})).find("patch dropout") != std::string::npos);
  }
  SECTION("killed at any moment, it ends with the same bits") {
    REQUIRE(ran("straight", {"--save-frequency", "0.4"}).code == 0);
    double seconds = 0.05;
    for (int code = -1, tries = 0; code != 0; ++tries, seconds *= 1.15) {
      bool begun = false;
      if (fs::exists(w.runs + "/killed/checkpoints"))
        for (auto& file : w.checkpoints("killed")) begun = begun || file.ends_with(".safetensors");
      code = ran("killed", begun ? list{"--save-frequency", "0.4", "--resume", "latest"} : list{"--save-frequency", "0.4"},
                 cat("timeout -s KILL ", seconds))
                 .code;
      REQUIRE(tries < 60);
    }
    CHECK(w.model_of("killed") == w.model_of("straight"));
    dim last = 0;
    for (auto& line : w.metrics("killed"))
      if (line.contains("loss")) CHECK(line["step"].get<dim>() == ++last);
    CHECK(last == 20);
  }
  SECTION("Ctrl-C saves, and the run goes on from there") {
    const auto r = ran("c", {"--save-frequency", "0"}, "timeout --preserve-status -s INT 2", "100000");
    INFO(r.err);
    CHECK(r.code == 130);
    CHECK(r.err.find("--resume latest") != std::string::npos);
    REQUIRE(w.checkpoints("c").size() == 1);
    CHECK(ran("c", {"--save-frequency", "0", "--resume", "latest"}, "timeout --preserve-status -s TERM 2", "100000").code == 130);
  }
  SECTION("so do other signals, unless they are ignored") {
    for (const std::string signal : {"HUP", "USR1"}) {
      const auto r = ran(signal, {"--save-frequency", "0"}, "timeout --preserve-status -s " + signal + " 2", "100000");
      INFO(r.err);
      CHECK(r.code == 130);
      CHECK(w.checkpoints(signal).size() == 1);
      CHECK(r.err.find("clipx: stopping") != std::string::npos);
    }
    CHECK(ran("ignored", {}, "timeout --preserve-status -s HUP 0.2 env --ignore-signal=HUP").code == 0);
  }
  SECTION("a full disk leaves the checkpoint before") {
    REQUIRE(ran("d", {"--save-frequency", "0"}, "", "1").code == 0);
    const auto before = w.checkpoints("d");
    const auto bytes = contents(w.runs + "/d/checkpoints/" + before[0]);
    const auto r = ran("d", {"--save-frequency", "1", "--resume", "latest"}, "trap '' XFSZ; ulimit -f 256;", "2");
    INFO(r.err);
    CHECK(r.code == 1);
    CHECK(r.err.find("step_00000010.safetensors: cannot be written") != std::string::npos);
    CHECK(w.checkpoints("d") == before);
    CHECK(contents(w.runs + "/d/checkpoints/" + before[0]) == bytes);
  }
  SECTION("other options") {
    REQUIRE(ran("one", {}).code == 0);
    // Gradient caching and another number of decoding threads change no more than roundings.
    CHECK(ran("chunks", {"--batch-size", "4", "--accum-freq", "2", "--workers", "1"}).code == 0);
    const auto a = w.metrics("one"), b = w.metrics("chunks");
    REQUIRE(a.size() == b.size());
    for (std::size_t i = 0; i < a.size(); ++i)
      if (a[i].contains("loss")) CHECK(std::abs(a[i]["loss"].get<double>() - b[i]["loss"].get<double>()) < 1e-3);
    CHECK(ran("remat", {"--grad-checkpointing"}).code == 0);
    CHECK(w.model_of("remat") == w.model_of("one"));
    const auto r = ran("one", {"--resume", "latest", "--lr", "0.5"}, "", "5");
    CHECK(r.code == 0);
    const auto files = w.checkpoints("one");
    CHECK(w.refusal(w.train("one", {"--resume", w.runs + "/one/checkpoints/" + files[0]})).find("move later ones away") !=
          std::string::npos);
    CHECK(r.err.find("lr was 0.001") != std::string::npos);
    CHECK(ran("tuned", {"--pretrained", w.runs + "/one/model", "--lock-image", "--precision", "fp32"}).code == 0);
  }
}

#ifdef CLIPX_EMULATED
TEST_CASE("clipx train on the emulated GPU") {
  corpus w;
  REQUIRE(w.run(w.train("here", {}, "1")).code == 0);
  w.program = CLIPX_EMULATED;
  const auto r = w.run(w.train("there", {"--backend", "cuda"}, "1"));
  INFO(r.err);
  REQUIRE(r.code == 0);
  const auto a = w.metrics("here"), b = w.metrics("there");
  REQUIRE(a.size() == 5);
  REQUIRE(b.size() == 5);
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(std::abs(a[i]["loss"].get<double>() - b[i]["loss"].get<double>()) < 1e-4);
}
#endif

TEST_CASE("clipx train warns of options that have no effect") {
  const corpus w;
  const auto said = [&](list more) {
    more.insert(more.end(), {"--resume", "latest"});  // refused later: no such run
    return w.run(w.train("x", more)).err;
  };
  const auto fresh = [&](const list& more) { return w.run(w.train(more[0], more, "1")).err; };
  CHECK_THAT(said({"--whole-epochs", "1", "--force-patch-dropout", "0"}), Contains("--whole-epochs 1 has no effect"));
  CHECK_THAT(said({"--whole-epochs", "1"}), !Contains("has no effect"));
  CHECK_THAT(said({"--lock-image", "--lock-text"}), Contains("only the loss's own parameters") && !Contains("random"));
  CHECK_THAT(fresh({"--lock-text"}), Contains("--lock-text without --pretrained") && !Contains("--lock-image"));
}

TEST_CASE("clipx train refuses") {
  const corpus w;
  const auto said = [&](list more) { return w.refusal(w.train("x", more)); };
  CHECK(said({"--train-data", w.dir / "none.tar"}).find("none.tar") != std::string::npos);
  CHECK(said({"--batch-size", "64"}).find("at least a batch of 64 pairs, got 40") != std::string::npos);
  CHECK(said({"--resume", "latest"}).find("no checkpoint in") != std::string::npos);
  CHECK(said({"--resume", w.model + "/open_clip_model.safetensors"}).find("the state of a training run") != std::string::npos);
  CHECK(said({"--lr", "1e9", "--grad-clip-norm", "0"}).find("no longer a number") != std::string::npos);
  CHECK(said({"--model", "ViT-B-32"}).find("--tokenizer") != std::string::npos);
  CHECK(said({"--save-frequency", "1e-9"}).find("--save-frequency: expected 0, for none before the end, or from") !=
        std::string::npos);
  for (const list& bad :
       {list{"--aug-cfg", "scale=2,1"}, list{"--aug-cfg", "size=3"}, list{"--accum-freq", "0"}, list{"--ema", "1"},
        list{"--precision", "f8"}, list{"--report-to", "wandb"}, list{"--whole-epochs", "5"}, list{"--eps", "0"},
        list{"--epochs", "0"}, list{"--eps", "inf"}, list{"--eps", "1e-300"}, list{"--beta1", "1"}, list{"--beta2", "nan"},
        list{"--grad-clip-norm", "1e-300"}, list{"--save-frequency", "nan"}}) {
    const auto r = w.run(w.train("z", bad));
    INFO(bad[0] << " " << bad[1] << ": " << r.err);
    CHECK(r.code == 2);
  }
  CHECK(!fs::exists(w.runs + "/z"));
}

TEST_CASE("images and captions find each other") {
  // Three pairs, of which the first two have one caption.
  const std::vector<double> cosines{0.9, 0.9, 0.8, 0.5, 0.5, 0.7, 0.1, 0.1, 0.6};
  const std::vector<std::string> captions{"a cat", "a cat", "a dog"};
  const scoring contrastively(loss_policy::of<contrastive>(), {std::log(2.0)}),
      by_sigmoid(loss_policy::of<sigmoid>(), {std::log(2.0), -3});
  const auto m = evaluate_pairs<double>(cosines, captions, contrastively, 3);
  CHECK(m.text_recall[0] == Approx(2.0 / 3));  // the second image likes the dog better
  CHECK(m.image_recall[0] == Approx(0.5));     // the dog's best image is the first one
  CHECK(m.image_recall[1] == Approx(1));
  // A model that scores all alike, or with NaN, finds nothing but what ties leave to the first index.
  const std::vector<std::string> four{"a", "b", "c", "d"};
  const auto alike = evaluate_pairs<double>(std::vector<double>(16, 0.5), four, contrastively, 4);
  CHECK(alike.text_recall == std::vector<double>{0.25, 1, 1});
  CHECK(alike.image_recall == alike.text_recall);
  CHECK(evaluate_pairs<double>(std::vector<double>(16, std::nan("")), four, contrastively, 4).text_recall[0] == 0);
  std::vector<double> log_p;  // scores of another kind: far below any cosine
  for (double c : cosines) log_p.push_back(20 * c - 100);
  const auto low = evaluate_pairs<double>(log_p, captions, {loss_policy::of<ngrams>(), {}}, 3);
  CHECK(low.text_recall == m.text_recall);
  CHECK(low.image_recall == m.image_recall);
  CHECK(low.loss == Approx(-(log_p[0] + log_p[4] + log_p[8]) / 3));
  double loss = 0;
  for (int i = 0; i < 3; ++i) {
    double row = 0, column = 0;
    for (int j = 0; j < 3; ++j) {
      row += std::exp(2 * cosines[static_cast<std::size_t>(3 * i + j)]);
      column += std::exp(2 * cosines[static_cast<std::size_t>(3 * j + i)]);
    }
    loss += (std::log(row) + std::log(column)) / 2 - 2 * cosines[static_cast<std::size_t>(4 * i)];
  }
  CHECK(m.loss == Approx(loss / 3));
  loss = 0;
  for (int i = 0; i < 9; ++i)
    loss -= std::log(1 / (1 + std::exp((i % 4 ? 1 : -1) * (2 * cosines[static_cast<std::size_t>(i)] - 3))));
  CHECK(evaluate_pairs<double>(cosines, captions, by_sigmoid, 3).loss == Approx(loss / 3));
  CHECK(message([&] { evaluate_pairs<double>(std::span(cosines).first(8), captions, contrastively, 3); }).find("3 x 3") !=
        std::string::npos);
}

}  // namespace test_cli_train
#endif
