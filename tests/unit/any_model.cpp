// any_model: the same bits as the typed model behind it, in its own precision; misuse; the machine.
#include <clipx/eigen.hpp>
#include <clipx/image/decode.hpp>
#include <clipx/run/any_model_of.hpp>
#include <clipx/run/encode.hpp>
#include <clipx/run/machine.hpp>

#include "catch.hpp"
#include "tiny_model.hpp"
#include "watch.hpp"

namespace test_any_model {

using namespace clipx;
using list = std::vector<std::string>;

namespace {

std::vector<std::uint8_t> pixels(const checkpoint& source, dim images) {
  const dim n = source.pixels().size.area();
  std::vector<std::uint8_t> rgb(static_cast<std::size_t>(images * n * 3));
  std::mt19937 bits(3);
  for (auto& b : rgb) b = static_cast<std::uint8_t>(bits());
  return rgb;
}

template <class A>
const std::vector<A>& values(const any_rows& rows) {
  REQUIRE(std::holds_alternative<std::vector<A>>(rows.values));
  return std::get<std::vector<A>>(rows.values);
}

/// Every answer of any_model against that of pretrained<Encoder, eigen<T>>, bit for bit.
template <class Encoder, class T>
void same_answers(const std::string& folder) {
  eigen<T> device;
  const auto model = load<Encoder>(device, folder);
  any_model first = load_any<eigen<T>>(checkpoint::open(folder));
  any_model any = std::move(first);  // what it holds stays where it is
  CHECK(any.source().config().embed_dim == model.source().config().embed_dim);
  CHECK(std::ranges::equal(any.score().parameters(), model.score().parameters()));
  CHECK(any.score().loss().name() == model.score().loss().name());
  CHECK(any.memory().weights == model.bytes());

  const auto rgb = pixels(model.source(), 3);
  const auto images = model.encode_pixels(rgb);
  const auto rows = any.encode_pixels(rgb);
  CHECK(values<T>(rows) == images.values);
  CHECK(rows.cols == images.cols);
  CHECK(rows.rows() == 3);
  const list texts{"the cat", "red", "of an cat"};
  const auto text_rows = any.encode_text(texts);
  CHECK(values<T>(text_rows) == model.encode_text(texts).values);

  const auto kept = any.keep(text_rows);
  CHECK(kept.rows() == 3);
  CHECK(kept.cols() == rows.cols);
  const auto scores = any.scores(rows, kept);
  CHECK(scores.cols == 3);
  CHECK(values<T>(scores) == cosines(device, images, model.encode_text(texts)));
  CHECK(values<T>(any.scores(rows, kept)) == values<T>(scores));  // what is kept is kept
  CHECK(any.rank(scores, 1) == clipx::rank(std::span<const T>(values<T>(scores)).subspan(3, 3), model.score()));
  CHECK_THAT(message([&] { any.rank(scores, 3); }), Contains("0 to 2, got 3"));
  CHECK(any.memory().activations > 0);
}

}  // namespace

TEST_CASE("any_model gives what the typed model gives") {
  const temporary_folder dir;
  tiny::write_folder(dir / "vit");
  tiny::write_folder(dir / "resnet", tiny::resnet());
  same_answers<vit, float>(dir / "vit");
  same_answers<vit, double>(dir / "vit");
  same_answers<modified_resnet, float>(dir / "resnet");
}

TEST_CASE("any_model over a model that the caller owns") {
  const temporary_folder dir;
  tiny::write_folder(dir / "m");
  eigen<double> device;
  const auto model = load<vit>(device, dir / "m");
  auto any = borrow_any(device, model, model.source());
  CHECK(&any.source() == &model.source());
  const auto rgb = pixels(model.source(), 2);
  const auto rows = any.encode_pixels(rgb);
  CHECK(values<double>(rows) == model.encode_pixels(rgb).values);
  CHECK(values<double>(any.scores(rows, any.keep(rows))) == cosines(device, model.encode_pixels(rgb), model.encode_pixels(rgb)));
}

TEST_CASE("any_model keeps the zero-shot classifier of its prompts") {
  const temporary_folder dir;
  tiny::write_folder(dir / "m");
  auto model = load_any<eigen<double>>(checkpoint::open(dir / "m"));
  const auto prompts = make_prompts(list{"cat", "red", "the cat"}, list{"the {}", "{}"});  // "the cat" comes twice
  recorder watch;
  const auto kept = model.keep_classes(prompts, watch);
  CHECK(watch.told == std::vector<recorder::call>{{"texts", 0, 5}, {"texts", 5, 5}});
  CHECK(kept.rows() == 3);
  eigen<double> device;
  const auto typed = load<vit>(device, dir / "m");
  const auto classes = make_classifier(prompts, [&](std::span<const std::string> t) { return typed.encode_text(t); });
  const auto rgb = pixels(typed.source(), 2);
  CHECK(values<double>(model.scores(model.encode_pixels(rgb), kept)) == cosines(device, typed.encode_pixels(rgb), classes.weights));
  CHECK(values<double>(model.scores(model.encode_pixels(rgb), model.keep_classes(prompts))) ==
        cosines(device, typed.encode_pixels(rgb), classes.weights));
}

TEST_CASE("encode_images: files, bytes, images and frames mixed, in batches, with what cannot be read") {
  const temporary_folder dir;
  tiny::write_folder(dir / "m");
  const auto model = load_any<eigen<double>>(checkpoint::open(dir / "m"));
  std::vector<std::uint8_t> rgb(40 * 30 * 3);
  for (std::size_t i = 0; i < rgb.size(); ++i) rgb[i] = static_cast<std::uint8_t>(i * 7 + i / 120);
  const std::string ppm = "P6 40 30 255\n" + std::string(rgb.begin(), rgb.end());
  const auto encoded = std::as_bytes(std::span(ppm));
  write_file(dir / "a.ppm", ppm);
  write_file(dir / "bad.png", "no image");
  const image decoded = decode_image(encoded, "x");
  const frame f{.width = 40, .height = 30, .data = rgb.data()};
  const std::vector<image_source> sources{{dir / "a.ppm", {}},   {"owned", std::vector<std::byte>(encoded.begin(), encoded.end())},
                                          {dir / "bad.png", {}}, {"borrowed", encoded},
                                          {"decoded", &decoded}, {"no image", static_cast<const image*>(nullptr)},
                                          {"frame", f},          {dir / "none.png", {}}};
  const auto want = values<double>(model.encode_pixels(to_pixels(decoded, model.source().pixels()).data));
  for (std::size_t n : {1u, 3u, 100u})
    for (int threads : {1, 2}) {
      recorder watch;
      const auto got = encode_images(model, sources, {.batch_size = n, .threads = threads}, watch);
      REQUIRE(got.indices == std::vector<std::size_t>{0, 1, 3, 4, 6});
      REQUIRE(got.rows.rows() == 5);
      for (std::size_t i = 0; i < 5; ++i)
        for (std::size_t k = 0; k < want.size(); ++k)
          CHECK(values<double>(got.rows)[i * want.size() + k] == Approx(want[k]).margin(1e-12));
      REQUIRE(got.failed.size() == 3);
      CHECK(got.failed[0].index == 2);
      CHECK(got.failed[1].name == "no image");
      CHECK_THAT(std::string(got.failed[2].reason.what()), Contains("none.png") && Contains("No such file"));
      CHECK(got.failed[2].reason.kind() == error_kind::not_found);
      CHECK(watch.told.front() == recorder::call{"images", 0, 8});
      CHECK(watch.told.back() == recorder::call{"images", 8, 8});
    }
  recorder stopping;
  stopping.stop = [&] { return stopping.told.size() > 2; };
  try {
    encode_images(model, sources, {.batch_size = 1}, stopping);
    FAIL("expected a cancellation");
  } catch (const error& e) {
    CHECK(e.kind() == error_kind::cancelled);
    CHECK(std::string(e.what()) == "cancelled after 2 of 8 images");
  }
  CHECK_THAT(message([&] { encode_images(model, sources, {.batch_size = 0}); }), Contains("at least 1"));
  const list files{dir / "a.ppm"};
  CHECK(values<double>(encode_images(model, files).rows) == want);
}

TEST_CASE("any number of texts, told as they are encoded") {
  const temporary_folder dir;
  tiny::write_folder(dir / "m");
  auto model = load_any<eigen<double>>(checkpoint::open(dir / "m"));
  list texts;
  for (int i = 0; i < 300; ++i) texts.push_back(cat("the cat ", i));
  recorder watch;
  const auto rows = encode_texts(model, texts, watch);
  CHECK(watch.told == std::vector<recorder::call>{{"texts", 0, 300}, {"texts", 256, 300}, {"texts", 300, 300}});
  CHECK(rows.rows() == 300);
  const auto last = model.encode_text(std::span(texts).last(1));
  for (std::size_t c = 0; c < static_cast<std::size_t>(rows.cols); ++c)
    CHECK(values<double>(rows)[299 * static_cast<std::size_t>(rows.cols) + c] == Approx(values<double>(last)[c]).margin(1e-12));
}

TEST_CASE("any_model refuses what belongs to another model") {
  const temporary_folder dir;
  tiny::write_folder(dir / "m");
  auto f = load_any<eigen<float>>(checkpoint::open(dir / "m")), other = load_any<eigen<float>>(checkpoint::open(dir / "m"));
  auto d = load_any<eigen<double>>(checkpoint::open(dir / "m"));
  const list texts{"cat", "red"};
  const auto rows = f.encode_text(texts);
  const auto kept = f.keep(rows);
  CHECK_THAT(message([&] { d.keep(rows); }), Contains("own precision"));
  CHECK_THAT(message([&] { f.scores(d.encode_text(texts), kept); }), Contains("own precision"));
  CHECK_THAT(message([&] { d.scores(d.encode_text(texts), kept); }), Contains("this model keeps"));
  CHECK_THAT(message([&] { other.scores(rows, kept); }), Contains("this model keeps"));
  const any_rows narrow{std::vector<float>(6), 3};
  CHECK_THAT(message([&] { f.scores(narrow, kept); }), Contains("as the kept ones have, got 3"));
  CHECK_THAT(message([&] { f.keep({std::vector<float>(7), 3}); }), Contains("whole rows of 3 values, got 7"));
  CHECK_THAT(message([&] { f.keep({std::vector<float>(7), 0}); }), Contains("whole rows of 0 values, got 7"));
  CHECK(f.keep({}).rows() == 0);
  const auto refused = [&](const prompt_set& p) { return message([&] { f.keep_classes(p); }); };
  CHECK_THAT(refused({}), Contains("at least one class"));
  CHECK_THAT(refused({{"a", "b"}, {{"x"}}}), Contains("the texts of 2 classes, got those of 1"));
  CHECK_THAT(refused({{"a", "b"}, {{"x"}, {}}}), Contains("class 1, \"b\": expected at least one text"));
  CHECK_THAT(message([&] { load<modified_resnet>(*std::make_unique<eigen<float>>(), dir / "m"); }),
             Contains(dir / "m") && Contains("expected an architecture of the type ModifiedResNet") && Contains("with_model()"));
}

TEST_CASE("any_model: no inputs give no rows, of the model's width") {
  const temporary_folder dir;
  tiny::write_folder(dir / "m");
  const auto model = load_any<eigen<float>>(checkpoint::open(dir / "m"));
  const auto width = model.source().config().embed_dim;
  for (auto& rows : {model.encode_text({}), model.encode_pixels({}), encode_texts(model, {}), encode_images(model, list()).rows}) {
    CHECK(rows.rows() == 0);
    CHECK((rows.cols == width || rows.cols == 0));
  }
  CHECK(model.encode_text({}).cols == width);
  CHECK(model.encode_pixels({}).cols == width);
}

TEST_CASE("encode_images: cancelled while nothing can be read, but not once all is done") {
  const temporary_folder dir;
  tiny::write_folder(dir / "m");
  const auto model = load_any<eigen<float>>(checkpoint::open(dir / "m"));
  const list files(100, dir / "none.png");
  recorder watch;
  watch.stop = [&] { return watch.told.size() > 3; };
  CHECK_THAT(message([&] { encode_images(model, files, {.batch_size = 4, .threads = 1}, watch); }),
             Contains("cancelled after 12 of 100 images"));
  recorder late;
  late.stop = [&] { return late.told.back().done == 100; };
  CHECK(encode_images(model, files, {.batch_size = 4, .threads = 1}, late).failed.size() == 100);
  CHECK_THAT(message([&] { encode_images(model, files, {.threads = -1}); }), Contains("0 to 4096 threads, got -1"));
}

TEST_CASE("any_rows: appended, and as float") {
  any_rows all;
  CHECK(all.rows() == 0);
  all.append({std::vector<double>{0.1, 0.2}, 2}), all.append({std::vector<double>{0.3, 0.4, 0.5, 0.6}, 2});
  CHECK(all.rows() == 3);
  CHECK(values<double>(all) == std::vector<double>{0.1, 0.2, 0.3, 0.4, 0.5, 0.6});
  std::vector<float> out{7};
  all.append_to(out);
  CHECK(out == std::vector<float>{7, 0.1f, 0.2f, 0.3f, 0.4f, 0.5f, 0.6f});
  CHECK_THAT(message([&] { all.append({std::vector<float>{1, 2}, 2}); }), Contains("2 double, got 2 float"));
  CHECK_THAT(message([&] { all.append({std::vector<double>{1, 2, 3}, 3}); }), Contains("2 double, got 3 double"));
}

TEST_CASE("the machine") {
  const auto before = peak_memory();
  CHECK(before > 1 << 20);
  const std::vector<char> memory(std::size_t(before) + (32 << 20), 1);  // touched
  CHECK(peak_memory() >= before + (32 << 20));
  CHECK(memory.back() == 1);
  for (char c : cpu_flags()) CHECK((c == ' ' || c == '_' || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')));
  CHECK(cpu_name().find('\n') == std::string::npos);
}

}  // namespace test_any_model
