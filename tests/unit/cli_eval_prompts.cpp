// clipx eval prompts: the arms against the evaluation of one and against probabilities averaged by hand, and the program.
#ifdef CLIPX_PROGRAM
#include <clipx/eval/compare_prompts.hpp>

#include "catch.hpp"
#include "cli.hpp"
#include "tar.hpp"
#include "watch.hpp"

namespace test_cli_eval_prompts {

using namespace clipx;
using namespace program;

namespace {

struct prompt_place : workplace {
  std::string tar = dir / "set.tar", classes = dir / "classes";
  list names{"cat", "red", "cat"};  // "cat" has two senses
  prompt_place() {
    write_file(classes, "cat\nred\ncat\n");
    std::string all;
    for (std::size_t i = 0; i < 3; ++i)
      all += member(cat(i, ".png"), contents(images[i])) + member(cat(i, ".cls"), std::to_string(2 - i));
    write_file(tar, all + end_of_tar);
  }
  image_dataset data() const { return image_dataset::labeled(tar, names); }
  any_model loaded() const { return reference::in_double(model); }
};

}  // namespace

TEST_CASE("prompts compared are evaluations of each") {
  const prompt_place p;
  auto model = p.loaded();
  const auto data = p.data();
  const list templates{"the {}", "{} of", "red {}"};
  const auto prompts = make_prompts(p.names, templates);
  const std::vector<prompt_arm> arms{{"bare", make_prompts(p.names, list{"{}"})},
                                     {"mean", prompts},
                                     {"probabilities", prompts, prompt_ensemble::probabilities},
                                     {"alone", make_prompts(p.names, list{"the {}"})}};
  for (std::size_t batch : {1u, 2u, 8u}) {
    encode_options config;
    config.batch_size = batch;
    recorder watch;
    const auto results = compare_prompts(model, data, arms, config, watch);
    REQUIRE(watch.told.size() > 1);
    CHECK(watch.told[1] == recorder::call{"texts", 8, 8});  // each different text once: 2 names, bare and in 3 templates
    REQUIRE(results.size() == 4);
    for (std::size_t a : {0u, 1u, 3u}) {
      INFO(arms[a].name);
      const auto want = evaluate_zero_shot(model, data, arms[a].prompts, config);
      CHECK(results[a].metrics.right_at_1 == want.metrics.right_at_1);
      CHECK(results[a].metrics.right_at_5 == want.metrics.right_at_5);
      CHECK(results[a].metrics.mean_per_class_recall == want.metrics.mean_per_class_recall);
      CHECK(results[a].metrics.ties == want.metrics.ties);
    }
    CHECK(results[2].metrics.images == 3);
    for (auto& r : results) {
      CHECK(r.shared_names.images == 2);  // the images of "cat"
      CHECK(r.shared_names.right == 1);   // by one text two senses cannot be told apart: the smaller index wins
    }
  }
}

TEST_CASE("probabilities are averaged over the texts") {
  const prompt_place p;
  auto model = p.loaded();
  any_rows rows;
  for (auto& img : p.images) {
    const auto file = contents(img);
    rows.append(model.encode_pixels(read_pixels(std::as_bytes(std::span(file)), img, model.source().pixels())));
  }
  const list words{"cat", "the red cat", "of", "red", "an", "the", "cat of", "a cat"};
  for (std::size_t i = 0; i + 3 < words.size(); ++i) {
    const prompt_set prompts{{"a", "b"}, {{words[i], words[i + 1]}, {words[i + 2], words[i + 3]}}};
    const std::vector<prompt_arm> arms{{"p", prompts, prompt_ensemble::probabilities}};
    write_file(p.tar, member("0.png", contents(p.images[0])) + member("0.cls", "0") + member("1.png", contents(p.images[1])) +
                          member("1.cls", "1") + member("2.png", contents(p.images[2])) + member("2.cls", "0") + end_of_tar);
    const auto data = image_dataset::labeled(p.tar, prompts.classes);
    const auto results = compare_prompts(model, data, arms);
    std::vector<double> sum(6);
    for (std::size_t t = 0; t < 2; ++t) {
      const prompt_set one{{"a", "b"}, {{prompts.prompts[0][t]}, {prompts.prompts[1][t]}}};
      const auto scores = model.scores(rows, model.keep_classes(one));
      for (dim row = 0; row < 3; ++row)
        for (auto [label, probability] : model.rank(scores, row)) sum[static_cast<std::size_t>(row * 2 + label)] += probability / 2;
    }
    const auto want = evaluate_zero_shot(std::span<const double>(sum), std::span(data.labels()), 2);
    CHECK(results[0].metrics.right_at_1 == want.right_at_1);
    CHECK(results[0].metrics.ties == want.ties);
  }
}

TEST_CASE("senses of one name are told apart by their scores alone") {
  const list names{"crane", "bird", "crane", "mouse", "crane"};
  shared_name_counter counter(names);
  const std::vector<double> scores{0.1, 0.9, 0.2, 0.0, 0.3,   // class 4 is the best crane
                                   0.5, 0.9, 0.5, 0.0, 0.5,   // equal: class 0
                                   0.1, 0.9, 0.2, 0.0, 0.3};  // a bird, which has a name of its own
  counter.add(scores, std::vector<dim>{4, 2, 1});
  CHECK(counter.metrics().images == 2);
  CHECK(counter.metrics().right == 1);
  CHECK(counter.metrics().mean_per_class == 0.5);
  counter.add(std::span(scores).first(5), std::vector<dim>{4});  // a class with more images weighs no more
  CHECK(counter.metrics().images == 3);
  CHECK(counter.metrics().mean_per_class == 0.5);
  CHECK(shared_name_counter(names).metrics().mean_per_class == 0);
}

TEST_CASE("context stands before the full stop") {
  CHECK(add_context("a photo of a crane.", "a bird") == "a photo of a crane, a bird.");
  CHECK(add_context("crane", "a bird") == "crane, a bird");
  CHECK(add_context("crane.", "") == "crane.");
}

TEST_CASE("prompts that cannot be compared") {
  const prompt_place p;
  auto model = p.loaded();
  const auto data = p.data();
  const auto refusal = [&](std::vector<prompt_arm> arms) { return message([&] { compare_prompts(model, data, arms); }); };
  CHECK_THAT(refusal({}), Contains("at least one arm"));
  CHECK_THAT(refusal({{"a", make_prompts(p.names, list{"{}"})}, {"b", make_prompts(list{"cat"}, list{"{}"})}}),
             Contains("\"b\"") && Contains("each of 3 classes"));
  CHECK_THAT(refusal({{"a", {p.names, {{"x", "y"}, {"x"}, {"x", "y"}}}, prompt_ensemble::probabilities}}),
             Contains("as many texts for each class"));
}

TEST_CASE("clipx eval prompts") {
  const prompt_place p;
  write_file(p.dir / "t", "the {}\n{} of\n");
  write_file(p.dir / "contexts", "red\nan\nof the\n");
  const auto r = p.run(p.with_model({"eval", "prompts", "--data", p.tar, "--classes", p.classes, "--templates", p.dir / "t",
                                     "--template", "a {}.", "--contexts", p.dir / "contexts", "--json"}));
  INFO(r.err);
  REQUIRE(r.code == 0);
  const auto answer = json::parse(r.out);
  CHECK(answer["task"] == "prompt_comparison");
  CHECK(answer["images"] == 3);
  CHECK(answer["shared_name_images"] == 2);
  list names;
  for (auto& arm : answer["arms"]) names.push_back(arm["prompts"]);
  CHECK(names == list{"{}", "a {}.", "{}, CONTEXT", "a {}, CONTEXT.", "2 templates, embeddings averaged",
                      "2 templates, probabilities averaged", "2 templates and context, embeddings averaged",
                      "2 templates and context, probabilities averaged", "template alone: the {}", "template alone: {} of"});
  CHECK(answer["arms"][0]["shared_name_recall"] == 0.5);
  // the arm with context is what zeroshot measures by prompts of each class's own
  write_file(p.dir / "own.json", R"({"x": ["a cat, red."], "y": ["a red, an."], "z": ["a cat, of the."]})");
  const auto zeroshot = p.run(p.with_model({"eval", "zeroshot", "--data", p.tar, "--classes", p.dir / "own.json", "--json"}));
  CHECK(answer["arms"][3]["acc1"] == json::parse(zeroshot.out)["metrics"]["acc1"]);

  const auto table = p.run(p.with_model({"eval", "prompts", "--data", p.tar, "--classes", p.classes, "--context", "red"}));
  CHECK(table.code == 0);
  CHECK_THAT(table.out, Contains("{}, red") && Contains("sense") && Contains("probabilities averaged"));
  write_file(p.dir / "contexts", "red\n");
  CHECK_THAT(
      p.refusal(p.with_model({"eval", "prompts", "--data", p.tar, "--classes", p.classes, "--contexts", p.dir / "contexts"})),
      Contains("a line for each of 3 classes, got 1"));
  CHECK(
      p.run(p.with_model({"eval", "prompts", "--data", p.tar, "--classes", p.classes, "--context", "a", "--contexts", "b"})).code ==
      2);
  CHECK_THAT(p.refusal(p.with_model({"eval", "prompts", "--data", p.tar, "--classes", p.classes, "--template", "no braces"})),
             Contains("{}"));
}

}  // namespace test_cli_eval_prompts
#endif
