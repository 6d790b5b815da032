// Evaluations as they are streamed: data sets from shards and folders, the counts of all images at once, memory.
#include <clipx/eval/evaluate.hpp>
#include <clipx/run/machine.hpp>

#include "catch.hpp"
#include "reference.hpp"
#include "tar.hpp"
#include "tiny_model.hpp"
#include "watch.hpp"

namespace test_eval {

using namespace clipx;
using list = std::vector<std::string>;

namespace {

/// An image that its number tells from the others.
std::string ppm(int number, int side = 40) {
  std::string out = cat("P6 ", side, " ", side, " 255\n");
  for (int i = 0; i < side * side * 3; ++i) out += static_cast<char>(number * 61 + i / (1 + number % 7));
  return out;
}
encode_options batches_of(std::size_t n) {
  encode_options c;
  c.batch_size = n;
  c.threads = 2;
  return c;
}

struct place {
  temporary_folder dir;
  list classes{"cat", "red", "the cat"};
  std::string shards = dir / "{0..1}.tar";
  place() {
    tiny::write_folder(dir / "m");
    write_file(dir / "0.tar", member("a.jpg", ppm(0)) + member("a.cls", " 2\n") + member("a.txt", "the red cat ") +
                                  member("b.png", ppm(1)) + member("b.json", R"({"cls": 0, "captions": ["cat", 7, "red"]})") +
                                  member("c.cls", "1") + end_of_tar);  // c has no image
    write_file(dir / "1.tar", member("d.jpg", ppm(2)) + member("d.cls", "1") + member("d.json", R"({"cls": 0})") + end_of_tar);
  }
  any_model model() const { return reference::in_double(dir / "m"); }
};

/// Names and bytes of a data set's images.
std::vector<std::pair<std::string, std::string>> images_of(const image_dataset& data) {
  std::vector<std::pair<std::string, std::string>> out;
  data.for_each_image([&](image_source image) {
    const auto* bytes = std::get_if<std::vector<std::byte>>(&image.content);
    out.emplace_back(image.name,
                     bytes ? std::string(reinterpret_cast<const char*>(bytes->data()), bytes->size()) : contents(image.name));
  });
  return out;
}

}  // namespace

TEST_CASE("data sets from shards") {
  const place p;
  const auto labeled = image_dataset::labeled(p.shards, p.classes);
  CHECK(labeled.size() == 3);
  CHECK(labeled.labels() == std::vector<dim>{2, 0, 1});  // .cls before .json
  CHECK(labeled.captions().empty());
  CHECK(labeled.skipped().count == 1);
  CHECK_THAT(labeled.skipped().first.at(0), Contains("0.tar:c: expected an image"));
  const std::vector<std::pair<std::string, std::string>> want{
      {p.dir / "0.tar:a", ppm(0)}, {p.dir / "0.tar:b", ppm(1)}, {p.dir / "1.tar:d", ppm(2)}};
  CHECK(images_of(labeled) == want);
  CHECK(images_of(labeled) == want);  // and again
  const auto captioned = image_dataset::captioned(p.shards);
  CHECK(captioned.captions() == list{"the red cat", "cat", "red"});
  CHECK(captioned.image_of() == std::vector<dim>{0, 1, 1});
  CHECK(captioned.size() == 2);
  CHECK(captioned.skipped().count == 1);
  CHECK_THAT(captioned.skipped().first.back(), Contains("1.tar:d: expected captions"));

  write_file(p.dir / "1.tar", member("d.jpg", ppm(2)) + member("e.jpg", ppm(2)) + end_of_tar);
  CHECK_THAT(message([&] { images_of(labeled); }), Contains("expected 3 images") && Contains("changed"));
  write_file(p.dir / "1.tar", member("d.txt", "") + end_of_tar);
  CHECK_THAT(message([&] { images_of(labeled); }), Contains("expected 3 images") && Contains("changed"));
}

TEST_CASE("data sets from folders") {
  const place p;
  for (auto* name : {"cat", "the cat", "other"}) std::filesystem::create_directories(p.dir.path / "set" / name);
  write_file(p.dir / "set/the cat/1.ppm", ppm(1));
  write_file(p.dir / "set/cat/2.ppm", ppm(2));
  write_file(p.dir / "set/cat/0.ppm", ppm(3));
  write_file(p.dir / "set/other/9.ppm", ppm(4));
  write_file(p.dir / "set/cat/2.txt", "one\n\ntwo \n");
  const auto labeled = image_dataset::labeled(p.dir / "set", p.classes);
  CHECK(labeled.labels() == std::vector<dim>{0, 0, 2});
  REQUIRE(images_of(labeled).size() == 3);
  CHECK(images_of(labeled)[1] == std::pair{p.dir / "set/cat/2.ppm", ppm(2)});
  const auto captioned = image_dataset::captioned(p.dir / "set");
  CHECK(captioned.size() == 1);
  CHECK(captioned.captions() == list{"one", "two"});
  CHECK(captioned.image_of() == std::vector<dim>{0, 0});
  CHECK(captioned.skipped().count == 3);  // images without captions
}

TEST_CASE("data sets that cannot be measured") {
  const place p;
  const auto labeled = [&](const std::string& tar) {
    write_file(p.dir / "x.tar", tar + end_of_tar);
    return message([&] { image_dataset::labeled(p.dir / "x.tar", p.classes); });
  };
  CHECK_THAT(labeled(member("a.jpg", "x") + member("a.txt", "y")), Contains("x.tar:a: expected a label"));
  CHECK_THAT(labeled(member("a.jpg", "x") + member("a.cls", "cat")), Contains("whole number") && Contains("\"cat\""));
  CHECK_THAT(labeled(member("a.jpg", "x") + member("a.cls", "3")), Contains("x.tar:a") && Contains("0 to 2, got 3"));
  CHECK_THAT(labeled(member("a.jpg", "x") + member("a.json", "{")), Contains("x.tar:a") && Contains("not JSON"));
  CHECK_THAT(labeled(member("a.cls", "0")), Contains("expected images, found none"));
  CHECK_THAT(message([&] { image_dataset::captioned(p.dir / "1.tar"); }), Contains("expected captions"));
  CHECK_THAT(message([&] { image_dataset::labeled(p.shards, {}); }), Contains("names of its classes"));
  std::filesystem::create_directories(p.dir.path / "set/none of them");
  CHECK_THAT(message([&] { image_dataset::labeled(p.dir / "set", p.classes); }), Contains("subfolders named like the classes"));
}

TEST_CASE("zero-shot evaluation counts what all images at once count") {
  const place p;
  auto model = p.model();
  const auto data = image_dataset::labeled(p.shards, p.classes);
  const auto prompts = make_prompts(p.classes, list{"the {}", "{}"});
  any_rows rows;
  for (auto& [name, file] : images_of(data))
    rows.append(model.encode_pixels(read_pixels(std::as_bytes(std::span(file)), name, model.source().pixels())));
  const auto scores = model.scores(rows, model.keep_classes(prompts));
  const auto want = evaluate_zero_shot(std::span<const double>(std::get<1>(scores.values)), std::span(data.labels()), 3);
  for (std::size_t n : {1u, 2u, 3u, 50u}) {
    INFO(n);
    recorder watch;
    const auto r = evaluate_zero_shot(model, data, prompts, batches_of(n), watch);
    CHECK(r.metrics.images == 3);
    CHECK(r.metrics.right_at_1 == want.right_at_1);
    CHECK(r.metrics.right_at_5 == 3);
    CHECK(r.metrics.mean_per_class_recall == want.mean_per_class_recall);
    CHECK(r.metrics.ties == want.ties);
    REQUIRE(watch.told.size() == 3 + (3 + n - 1) / n);
    CHECK(watch.told[0] == recorder::call{"texts", 0, 5});
    CHECK(watch.told[1] == recorder::call{"texts", 5, 5});
    CHECK(watch.told[2] == recorder::call{"images", 0, 3});
    CHECK(watch.told.back() == recorder::call{"images", 3, 3});
  }
  // two classes of the same prompts: every image is a tie, and is named
  const prompt_set same{{"a", "b"}, {{"cat"}, {"cat"}}};
  write_file(p.dir / "t.tar",
             member("x.jpg", ppm(3)) + member("x.cls", "1") + member("y.jpg", ppm(4)) + member("y.cls", "0") + end_of_tar);
  const auto tied = evaluate_zero_shot(model, image_dataset::labeled(p.dir / "t.tar", same.classes), same, batches_of(1));
  CHECK(tied.ties == list{p.dir / "t.tar:x", p.dir / "t.tar:y"});
  CHECK(tied.metrics.right_at_1 == 1);
  // without a single image there is no metric
  write_file(p.dir / "t.tar", member("x.jpg", "no image") + member("x.cls", "1") + end_of_tar);
  CHECK_THAT(
      message([&] { evaluate_zero_shot(model, image_dataset::labeled(p.dir / "t.tar", same.classes), same, batches_of(1)); }),
      Contains("t.tar:x"));
}

TEST_CASE("retrieval evaluation counts what all rows at once count") {
  const place p;
  auto model = p.model();
  const auto data = image_dataset::captioned(p.shards);
  any_rows rows;
  for (auto& [name, file] : images_of(data))
    rows.append(model.encode_pixels(read_pixels(std::as_bytes(std::span(file)), name, model.source().pixels())));
  const auto scores = model.scores(model.encode_text(data.captions()), model.keep(rows));
  const auto want =
      evaluate_retrieval(std::span<const double>(std::get<1>(scores.values)), std::span(data.image_of()), data.size());
  for (std::size_t n : {1u, 50u}) {
    const auto m = evaluate_retrieval(model, data, batches_of(n));
    CHECK(m.image_recall == want.image_recall);
    CHECK(m.text_recall == want.text_recall);
  }
}

TEST_CASE("an evaluation of many large images takes the memory of a batch") {
#ifdef CLIPX_TESTS_ASAN
  WARN("skipped: a sanitizer keeps freed memory");
#else
  const place p;
  constexpr int images = 60;  // of 3 MB
  const std::string one = ppm(5, 1000);
  {
    std::FILE* tar = std::fopen((p.dir / "large.tar").c_str(), "wb");
    for (int i = 0; i < images; ++i) {
      const auto text = member(cat(i, ".jpg"), one) + member(cat(i, ".cls"), "1");
      std::fwrite(text.data(), 1, text.size(), tar);
    }
    std::fwrite(end_of_tar.data(), 1, end_of_tar.size(), tar);
    std::fclose(tar);
  }
  auto model = p.model();
  const auto prompts = make_prompts(p.classes, list{"{}"});
  evaluate_zero_shot(model, image_dataset::labeled(p.dir / "0.tar", p.classes), prompts, batches_of(2));
  const auto before = peak_memory();
  const auto data = image_dataset::labeled(p.dir / "large.tar", p.classes);
  const auto r = evaluate_zero_shot(model, data, prompts, batches_of(2));
  CHECK(r.metrics.images == images);
  CHECK(peak_memory() - before < (64 << 20));  // encoded: 180 MB
#endif
}

}  // namespace test_eval
