// Zero-shot answers: prompts and their files, the classifier, ranking, and metrics against values worked by hand.
#include <clipx/eigen.hpp>
#include <clipx/zero_shot/accuracy.hpp>
#include <clipx/zero_shot/classifier.hpp>
#include <clipx/zero_shot/prompts.hpp>
#include <clipx/zero_shot/retrieval.hpp>
#include <cmath>

#include "catch.hpp"
#include "tiny_model.hpp"

namespace test_zero_shot {

using namespace clipx;
using list = std::vector<std::string>;

TEST_CASE("prompts: templates and classes") {
  CHECK(fill_template("a {} of {}.", "cat") == "a cat of cat.");
  CHECK(fill_template("{}", "{}") == "{}");
  CHECK_THAT(message([] { fill_template("a cat", "dog"); }), Contains("a cat") && Contains("{}"));
  const auto set = make_prompts(list{"cat", "dog"}, list{"a {}.", "the {}."});
  CHECK(set.classes == list{"cat", "dog"});
  CHECK(set.prompts == std::vector<list>{{"a cat.", "the cat."}, {"a dog.", "the dog."}});
  CHECK_THAT(message([] { make_prompts(list{}, list{"{}"}); }), Contains("at least one class"));
  CHECK_THAT(message([] { make_prompts(list{"a"}, list{}); }), Contains("at least one template"));
  CHECK_THAT(message([] { make_prompts(list{"a", ""}, list{"{}"}); }), Contains("class 1 has an empty name"));
  CHECK(default_templates().size() >= 4);
  for (auto& t : default_templates()) CHECK(t.find("{}") != std::string::npos);
}

TEST_CASE("prompts: files") {
  const temporary_folder dir;
  const auto file = dir / "classes";
  const list templates{"a {}."};
  const auto read = [&](const std::string& text) {
    write_file(file, text);
    return read_prompts(file, templates);
  };
  const auto refused = [&](const std::string& text) { return message([&] { read(text); }); };
  SECTION("one class per line, with templates") {
    const auto set = read("\xef\xbb\xbf  cat \r\n\n red fox\n");
    CHECK(set.classes == list{"cat", "red fox"});
    CHECK(set.prompts == std::vector<list>{{"a cat."}, {"a red fox."}});
    CHECK(read_lines(file) == list{"cat", "red fox"});
  }
  SECTION("a class's own texts: JSON, in the file's order, or lines with a tab") {
    const auto object = read(R"( {"zebra": ["a zebra", "stripes"], "ant": ["an ant"]} )");
    CHECK(object.classes == list{"zebra", "ant"});
    CHECK(object.prompts == std::vector<list>{{"a zebra", "stripes"}, {"an ant"}});
    const auto lines = read("zebra\ta zebra\nzebra\tstripes\nant\tan ant\n");
    CHECK(lines.classes == object.classes);
    CHECK(lines.prompts == object.prompts);
  }
  SECTION("what is wrong with them") {
    CHECK_THAT(refused(""), Contains("classes") && Contains("empty"));
    CHECK_THAT(refused(" \n\n"), Contains("empty"));
    CHECK_THAT(refused("{\"a\": [\"b\"]"), Contains("not valid JSON"));
    CHECK_THAT(refused("{\"a\": [[[\"b\"]]]}"), Contains("nested deeper"));
    CHECK_THAT(refused("{\"a\": [\"x\"], \"a\": [\"y\"]}"), Contains("\"a\" appears twice"));
    for (auto* wrong : {"{\"a\": \"b\"}", "{\"a\": [1]}", "{\"a\": {\"b\": 1}}"})
      CHECK_THAT(refused(wrong), Contains("class \"a\": expected a list of texts"));
    CHECK_THAT(refused("{}"), Contains("at least one class"));
    CHECK_THAT(refused("{\"a\": []}"), Contains("class \"a\" has no texts"));
    CHECK_THAT(refused("a\tb\nc\n"), Contains("class<TAB>text") && Contains("\"c\""));
    CHECK_THAT(message([&] { read_prompts(dir / "none", templates); }), Contains("none") && Contains("cannot be opened"));
    CHECK_THAT(message([&] { read_lines(dir.path.string()); }), Contains("directory"));
  }
}

TEST_CASE("classifier: normalize, average, normalize; equal texts are encoded once") {
  prompt_set set{{"x", "y"}, {{"a", "b", "a"}, {"b"}}};
  list asked;
  const auto c = make_classifier(set, [&](std::span<const std::string> texts) {
    asked.insert(asked.end(), texts.begin(), texts.end());
    embeddings<double> out{{}, 2};
    for (auto& t : texts) out.values.insert(out.values.end(), {t == "a" ? 1.0 : 0.6, t == "a" ? 0.0 : 0.8});
    return out;
  });
  CHECK(asked == list{"a", "b"});
  CHECK(c.labels == set.classes);
  REQUIRE(c.weights.rows() == 2);
  // (2 (1, 0) + (0.6, 0.8)) / 3 has the direction (2.6, 0.8), whose length is sqrt(7.4)
  CHECK(c.weights.row(0)[0] == Approx(2.6 / std::sqrt(7.4)).epsilon(1e-14));
  CHECK(c.weights.row(0)[1] == Approx(0.8 / std::sqrt(7.4)).epsilon(1e-14));
  CHECK(c.weights.row(1)[0] == Approx(0.6).epsilon(1e-14));
}

TEST_CASE("classifier: many texts are encoded some at a time") {
  prompt_set set;
  for (int c = 0; c < 5000; ++c) {  // 20,000 texts in two windows, of which a class has texts in both
    set.classes.push_back(cat("c", c));
    set.prompts.push_back({cat("a ", c), cat("the ", c), cat("a ", c % 7), "all"});
  }
  std::vector<std::size_t> asked;
  const auto angle = [](const std::string& text) {
    return static_cast<double>(text.size() * 31 + static_cast<unsigned char>(text.back()));
  };
  const auto c = make_classifier(set, [&](std::span<const std::string> texts) {
    asked.push_back(texts.size());
    embeddings<double> out{{}, 2};
    for (auto& t : texts) out.values.insert(out.values.end(), {std::cos(angle(t)), std::sin(angle(t))});
    return out;
  });
  CHECK(asked == std::vector<std::size_t>{2 * 4096 + 1, 2 * 904 + 8});  // distinct ones of 16,384 and 3,616
  REQUIRE(c.weights.rows() == 5000);
  for (const dim i : {0, 6, 4095, 4096, 4999}) {
    double x = 0, y = 0;
    for (auto& t : set.prompts[static_cast<std::size_t>(i)]) {
      x += std::cos(angle(t)) / 4;
      y += std::sin(angle(t)) / 4;
    }
    INFO(i);
    CHECK(c.weights.row(i)[0] == Approx(x / std::hypot(x, y)).epsilon(1e-12));
    CHECK(c.weights.row(i)[1] == Approx(y / std::hypot(x, y)).epsilon(1e-12));
  }
}

TEST_CASE("prompts: more texts than a computer holds are refused") {
  const list classes(1 << 20, "a");
  CHECK_THAT(message([&] { make_prompts(classes, list(17, "{}")); }),
             Contains("at most 16777216 texts, got 1048576 classes in 17 templates"));
  std::string long_template;
  for (int i = 0; i < 100'000; ++i) long_template += "{} {c}";
  const list few(4, std::string(100'000, 'x'));
  CHECK_THAT(message([&] { make_prompts(few, list{long_template}); }), Contains("at most 1073741824 bytes in all"));
  CHECK(fill_template(long_template, "").size() == 100'000);  // hours, if each place cost a look at all behind it
  CHECK(fill_template("{{} {c {c}}", "x") == "{x {c x}");
}

TEST_CASE("ranking: falling, ties to the smaller index") {
  const std::vector<float> s{0.25f, 0.5f, 0.5f, -1, 0.5f, 0.25f};
  CHECK(top_k<float>(s, 4) == std::vector<dim>{1, 2, 4, 0});
  CHECK(top_k<float>(s, 99) == std::vector<dim>{1, 2, 4, 0, 5, 3});
  CHECK(top_k<float>(s, 0).empty());
  CHECK(top_k<float>(std::span<const float>(), 3).empty());

  // exp(t) = 10: gaps of 0, 1 and 2 logits: e^0, e^-1, e^-2 over their sum
  const std::vector<double> cosines{0.1, 0.3, 0.2};
  const auto contrastively = [](double log_scale) { return scoring(loss_policy::of<contrastive>(), {log_scale}); };
  const auto p = clipx::rank<double>(cosines, contrastively(std::log(10.0)));
  REQUIRE(p.size() == 3);
  const double sum = 1 + std::exp(-1.0) + std::exp(-2.0);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(p[i].first == std::array<dim, 3>{1, 2, 0}[i]);
    CHECK(p[i].second == Approx(std::exp(-static_cast<double>(i)) / sum).epsilon(1e-13));
  }
  // no overflow at the largest scale, and one label is sure
  CHECK(clipx::rank<double>(std::vector<double>{-1, 1}, contrastively(20))[0].second == 1);
  CHECK(clipx::rank<double>(std::vector<double>{0.1}, contrastively(3))[0].second == 1);
  const auto tie = clipx::rank<float>(std::vector<float>{0.5f, 0.5f}, contrastively(2));
  CHECK(tie[0].first == 0);
  CHECK(tie[0].second == 0.5);
}

TEST_CASE("ranking by the sigmoid loss: each label by itself") {
  // exp(t) = 10, b = -2: logits of -1, 1 and 0
  const scoring score(loss_policy::of<sigmoid>(), {std::log(10.0), -2});
  const auto p = clipx::rank<double>(std::vector<double>{0.1, 0.3, 0.2}, score);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(p[i].first == std::array<dim, 3>{1, 2, 0}[i]);
    CHECK(p[i].second == Approx(1 / (1 + std::exp(static_cast<double>(i) - 1))).epsilon(1e-13));
  }
}

TEST_CASE("zero-shot metrics by hand") {
  // 5 images, 6 classes; the labels stand at the ranks 1, 2, 6, 1 and 1, the last by a tie that goes to the smaller index.
  const std::vector<double> cosines{
      0.9, 0.1, 0.2, 0.3, 0.4, 0.5,  //
      0.9, 0.8, 0.2, 0.3, 0.4, 0.5,  //
      0.9, 0.1, 0.2, 0.3, 0.4, 0.5,  //
      0.1, 0.1, 0.1, 0.7, 0.1, 0.2,  //
      0.6, 0.1, 0.2, 0.6, 0.4, 0.5,
  };
  const std::vector<dim> labels{0, 1, 1, 3, 0};
  const auto m = evaluate_zero_shot<double>(cosines, labels, 6);
  CHECK(m.images == 5);
  CHECK(m.right_at_1 == 3);
  CHECK(m.right_at_5 == 4);
  CHECK(m.acc1 == 0.6);
  CHECK(m.acc5 == 0.8);
  CHECK(m.mean_per_class_recall == Approx((1.0 + 0.0 + 1.0) / 3).epsilon(1e-15));  // classes 0, 1 and 3 have images
  CHECK(m.ties == std::vector<dim>{4});
  CHECK_THAT(message([&] {
               evaluate_zero_shot<double>(cosines, std::vector<dim>{0, 1, 6, 3, 0}, 6);
             }),
             Contains("image 2") && Contains("0 to 5, got 6"));
  CHECK_THAT(message([&] { evaluate_zero_shot<double>(cosines, std::vector<dim>{}, 6); }), Contains("at least one"));
  const auto one = evaluate_zero_shot<double>(std::vector<double>{0.5}, std::vector<dim>{0}, 1);  // fewer classes than five
  CHECK(one.acc5 == 1);
  CHECK(one.ties.empty());
}

TEST_CASE("zero-shot counts do not depend on how images come in batches") {
  std::vector<float> cosines;
  std::vector<dim> labels;
  for (int i = 0; i < 40; ++i) {
    labels.push_back(i % 7);
    for (int c = 0; c < 7; ++c) cosines.push_back(static_cast<float>((i * 31 + c * 17) % 23) / 23);
  }
  const auto want = evaluate_zero_shot<float>(cosines, labels, 7);
  for (std::size_t n : {1u, 3u, 40u}) {
    zero_shot_counter counter(7);
    CHECK_THAT(message([&] { counter.metrics(); }), Contains("at least one"));
    for (std::size_t at = 0; at < labels.size(); at += n) {
      const auto here = std::min(n, labels.size() - at);
      counter.add(std::span<const float>(cosines).subspan(at * 7, here * 7), std::span<const dim>(labels).subspan(at, here));
    }
    const auto m = counter.metrics();
    CHECK(m.right_at_1 == want.right_at_1);
    CHECK(m.right_at_5 == want.right_at_5);
    CHECK(m.mean_per_class_recall == want.mean_per_class_recall);
    CHECK(m.ties == want.ties);
    CHECK(m.images == 40);
  }
  zero_shot_counter counter(7);
  CHECK_THAT(message([&] { counter.add(std::span<const float>(cosines), std::span<const dim>(labels).first(2)); }),
             Contains("expected 2 x 7 cosines, got 280"));
}

TEST_CASE("templates: of a file, else the model's own, else built in") {
  const temporary_folder dir;
  tiny::write_folder(dir / "m");
  const auto model = checkpoint::open(dir / "m");
  const auto built_in = default_templates();
  CHECK(choose_templates("", model) == list(built_in.begin(), built_in.end()));
  write_file(dir / "m/templates.txt", "own {}\n");
  write_file(dir / "file", "a {}\nthe {}\n");
  CHECK(choose_templates("", model) == list{"own {}"});
  CHECK(choose_templates(dir / "file", model) == list{"a {}", "the {}"});
}

TEST_CASE("retrieval metrics by hand") {
  // 3 images with 2, 1 and 1 captions; rows are captions, columns images.
  const std::vector<float> cosines{
      0.9f, 0.1f, 0.2f,  // of image 0: first
      0.3f, 0.8f, 0.5f,  // of image 0: third
      0.4f, 0.4f, 0.1f,  // of image 1: second, a tie that goes to image 0
      0.1f, 0.2f, 0.6f,  // of image 2: first
  };
  const std::vector<dim> image_of{0, 0, 1, 2};
  const auto m = evaluate_retrieval<float>(cosines, image_of, 3, {1, 2, 3});
  CHECK(m.image_recall[0] == Approx(0.5));
  CHECK(m.image_recall[1] == Approx(0.75));
  CHECK(m.image_recall[2] == Approx(1.0));
  // image 0 finds its first caption first, image 1 a caption of image 0 before its own, image 2 its own first
  CHECK(m.text_recall[0] == Approx(2.0 / 3));
  CHECK(m.text_recall[1] == Approx(1.0));
  CHECK(evaluate_retrieval<float>(cosines, image_of, 3).k == std::vector<dim>{1, 5, 10});
  // an image without captions is found by none, however few texts there are
  CHECK(evaluate_retrieval<float>(std::vector<float>{1, 2}, std::vector<dim>{0}, 2).text_recall ==
        std::vector<double>{0.5, 0.5, 0.5});
  // a recall is a fraction of whole numbers: ten times a tenth is one
  CHECK(evaluate_retrieval<float>(std::vector<float>(10, 1), std::vector<dim>(10, 0), 1).image_recall[0] == 1);
  CHECK_THAT(message([&] { evaluate_retrieval<float>(std::vector<float>{}, std::vector<dim>{}, 3); }), Contains("captions"));
}

TEST_CASE("retrieval counts are those of whole columns, however texts come in batches") {
  const std::size_t texts = 60, images = 11;
  std::vector<float> cosines;
  std::vector<dim> image_of;
  for (std::size_t t = 0; t < texts; ++t) {
    image_of.push_back(static_cast<dim>(t * 7 % images));
    for (std::size_t i = 0; i < images; ++i) cosines.push_back(static_cast<float>((t * 31 + i * 17) % 23) / 23);  // many ties
  }
  std::vector<double> want(3);  // image -> text, from sorted columns
  for (std::size_t i = 0; i < images; ++i) {
    std::vector<float> column;
    for (std::size_t t = 0; t < texts; ++t) column.push_back(cosines[t * images + i]);
    const auto best = top_k(std::span<const float>(column), 10);
    for (std::size_t k = 0; k < 3; ++k) {
      const auto end = best.begin() + (k == 0 ? 1 : k == 1 ? 5 : 10);
      const auto own = [&](dim t) { return image_of[static_cast<std::size_t>(t)] == static_cast<dim>(i); };
      want[k] += std::any_of(best.begin(), end, own) ? 1.0 / images : 0;
    }
  }
  const auto all = evaluate_retrieval<float>(cosines, image_of, images);
  for (std::size_t k = 0; k < 3; ++k) CHECK(all.text_recall[k] == Approx(want[k]).epsilon(1e-12));
  CHECK(all.text_recall[0] < all.text_recall[2]);
  for (std::size_t n : {1u, 7u, 60u}) {
    retrieval_counter counter(image_of, images);
    for (std::size_t at = 0; at < texts; at += n)
      counter.add(std::span<const float>(cosines).subspan(at * images, std::min(n, texts - at) * images));
    CHECK(counter.metrics().text_recall == all.text_recall);
    CHECK(counter.metrics().image_recall == all.image_recall);
  }
  retrieval_counter counter(image_of, images);
  counter.add(std::span<const float>(cosines).first(images));
  CHECK_THAT(message([&] { counter.metrics(); }), Contains("60 texts, got 1"));
  CHECK_THAT(message([&] { counter.add(std::span<const float>(cosines)); }), Contains("at most 59"));
  CHECK_THAT(message([&] { counter.add(std::span<const float>(cosines).first(images - 1)); }), Contains("11 images"));
}

TEST_CASE("cosines of L2-normalized embeddings, in chunks") {
  eigen<double> d;
  embeddings<double> x{{}, 2}, y{{1, 0, 0, 1, -0.6, 0.8}, 2};
  for (int i = 0; i < 1500; ++i) x.values.insert(x.values.end(), {std::cos(i), std::sin(i)});
  const auto c = cosines(d, x, y);
  REQUIRE(c.size() == 4500);
  double worst = 0;
  for (int i = 0; i < 1500; ++i)
    for (int j = 0; j < 3; ++j)
      worst = std::max(worst,
                       std::abs(c[static_cast<std::size_t>(3 * i + j)] - (std::cos(i) * y.row(j)[0] + std::sin(i) * y.row(j)[1])));
  CHECK(worst <= 1e-15);
}

}  // namespace test_zero_shot
