// cpu with deterministic set: an embedding has the same bits alone, in any batch, and with any number of threads. A token table of
// another type.
#ifdef CLIPX_HAS_CPU
#include <clipx/checkpoint/pretrained.hpp>
#include <clipx/cpu.hpp>
#include <clipx/eigen.hpp>
#include <clipx/train/trainer.hpp>
#include <limits>
#include <map>
#include <random>
#include <thread>

#include "catch.hpp"
#include "temporary.hpp"
#include "tiny_model.hpp"

namespace test_deterministic {

using namespace clipx;

namespace {

/// The bits of 64 embeddings, encoded so many at a time.
template <class T, class Encoder>
std::vector<std::vector<float>> images(const std::string& folder, int threads, std::size_t at_once,
                                       const std::vector<std::uint8_t>& rgb) {
  cpu<T> d({.threads = threads, .deterministic = true});
  const auto model = load<Encoder>(d, folder);
  const std::size_t one = rgb.size() / 64;
  std::vector<std::vector<float>> out;
  for (std::size_t from = 0; from < 64; from += at_once) {
    const auto rows = model.encode_pixels(std::span(rgb).subspan(from * one, std::min<std::size_t>(at_once, 64 - from) * one));
    for (dim r = 0; r < rows.rows(); ++r) out.emplace_back(rows.row(r), rows.row(r) + rows.cols);
  }
  return out;
}
template <class T>
std::vector<std::vector<float>> texts(const std::string& folder, int threads, std::size_t at_once,
                                      const std::vector<std::string>& list) {
  cpu<T> d({.threads = threads, .deterministic = true});
  const auto model = load<vit>(d, folder);
  std::vector<std::vector<float>> out;
  for (std::size_t from = 0; from < list.size(); from += at_once) {
    const auto rows = model.encode_text(std::span(list).subspan(from, std::min(at_once, list.size() - from)));
    for (dim r = 0; r < rows.rows(); ++r) out.emplace_back(rows.row(r), rows.row(r) + rows.cols);
  }
  return out;
}

/// run(threads, how many at once) gives the same 64 rows whatever it is told.
template <class Run>
void same_bits(const Run& run) {
  const auto want = run(1, std::size_t{1});
  REQUIRE(want.size() == 64);
  CHECK(want[0] != want[1]);
  for (int threads : {1, 2})
    for (std::size_t at_once : {1u, 7u, 64u}) {
      const auto got = run(threads, at_once);
      REQUIRE(got.size() == want.size());
      std::size_t other = 0;
      for (std::size_t i = 0; i < want.size(); ++i) other += got[i] != want[i];
      INFO(threads << " threads, " << at_once << " at once: " << other << " of 64 rows differ");
      CHECK(other == 0);
    }
}

template <class T, class Encoder>
void same_images(const checkpoint_config& c) {
  const temporary_folder dir;
  tiny::write_folder(dir / "m", c);
  const auto n = static_cast<std::size_t>(c.pixels.size.area());
  std::vector<std::uint8_t> rgb(64 * 3 * n);
  std::mt19937 bits(5);
  for (auto& v : rgb) v = static_cast<std::uint8_t>(bits());
  same_bits([&](int threads, std::size_t at_once) { return images<T, Encoder>(dir / "m", threads, at_once, rgb); });
}

template <class T>
void same_texts() {
  const temporary_folder dir;
  tiny::write_folder(dir / "m");
  const std::vector<std::string> words{"the", "red", "cat", "of", "xylophones", "a"};
  std::vector<std::string> list(64);
  std::mt19937 bits(6);
  for (std::size_t i = 0; i < list.size(); ++i)
    for (std::size_t k = 0; k <= i % 9; ++k) list[i] += words[bits() % words.size()] + " ";
  list[1] = "of the red cat";
  same_bits([&](int threads, std::size_t at_once) { return texts<T>(dir / "m", threads, at_once, list); });
}

/// The weights after three steps on 40 images and captions.
template <class T, class Encoder>
std::map<std::string, std::vector<float>> trained(const checkpoint_config& c, int threads) {
  cpu<T> d({.threads = threads, .deterministic = true});
  trainer_options o;
  o.schedule = {1e-3, 1, 10};
  o.optimizer.average = 0.9;
  o.optimizer.max_norm = 1;
  auto config = c;
  config.text.context_length = config.model.text.context_length;
  trainer<Encoder, cpu<T>> t(d, config, o);
  const auto n = static_cast<std::size_t>(c.pixels.size.area());
  std::mt19937 bits(9);
  std::vector<std::uint8_t> rgb(40 * 3 * n);
  std::vector<std::vector<std::int32_t>> texts(40);
  for (int step = 0; step < 3; ++step) {
    for (auto& v : rgb) v = static_cast<std::uint8_t>(bits());
    for (auto& text : texts) {
      text = {520};
      for (std::size_t k = 0, length = bits() % 12; k < length; ++k) text.push_back(static_cast<std::int32_t>(bits() % 512));
      text.push_back(521);
    }
    t.step(rgb, texts);
  }
  std::map<std::string, std::vector<float>> out;
  t.optimizer().each_state([&](const std::string& name, const shape& s, mat<float> m) {
    auto& values = out[name];
    values.resize(static_cast<std::size_t>(s.count()));
    d.download(mat<const float>(m), mat<float>(values.data(), m.rows, m.cols));
  });
  return out;
}
template <class T, class Encoder>
void same_training(const checkpoint_config& c) {
  const auto want = trained<T, Encoder>(c, 1);
  for (int threads : {2, 3, 5}) {
    const auto got = trained<T, Encoder>(c, threads);
    REQUIRE(got.size() == want.size());
    std::string others;
    for (auto& [name, values] : want)
      if (got.at(name) != values) others += " " + name;
    INFO(threads << " threads:" << others);
    CHECK(others.empty());
  }
}

}  // namespace

TEST_CASE("deterministic: a row of a product does not depend on its place") {
  cpu<float> d({.threads = 2, .deterministic = true});
  std::mt19937 bits(8);
  std::normal_distribution<float> normal;
  const auto draw = [&](dim n) {
    std::vector<float> v(static_cast<std::size_t>(n));
    for (auto& e : v) e = normal(bits);
    return v;
  };
  for (auto [in, out] : {std::pair<dim, dim>{64, 24}, {64, 192}, {48, 7}, {256, 64}, {768, 2304}, {3072, 768}})
    for (bool frozen : {false, true}) {
      constexpr dim rows = 101;
      const auto one = draw(in), w = draw(out * in), b = draw(out);
      std::vector<float> x, y(static_cast<std::size_t>(rows * out));
      for (dim r = 0; r < rows; ++r) x.insert(x.end(), one.begin(), one.end());
      if (frozen) d.freeze(mat<const float>(w.data(), out, in), frozen_role::linear);
      d.linear({x.data(), rows, in}, {w.data(), out, in}, {b.data(), 1, out}, {}, {y.data(), rows, out});
      if (frozen) d.thaw(w.data());
      std::size_t other = 0;
      for (std::size_t i = 0; i < y.size(); ++i) other += y[i] != y[i % static_cast<std::size_t>(out)];
      INFO(in << " to " << out << (frozen ? ", frozen" : "") << ": " << other << " values differ");
      CHECK(other == 0);
    }
}
TEST_CASE("deterministic: an image's embedding in a vision transformer") {
  same_images<float, vit>(tiny::vit());
  same_images<bf16, vit>(tiny::vit());
}
TEST_CASE("deterministic: an image's embedding in a ModifiedResNet") {
  same_images<float, modified_resnet>(tiny::resnet());
  same_images<bf16, modified_resnet>(tiny::resnet());
}
TEST_CASE("deterministic: a text's embedding") {
  same_texts<float>();
  same_texts<bf16>();
}
TEST_CASE("deterministic: training, with any number of threads") {
  same_training<float, vit>(tiny::vit());
  same_training<bf16, vit>(tiny::vit());
  auto wide = tiny::vit();
  wide.model.vision = vit_config{32, 4, 256, 2, 1024, 4};  // products that oneDNN would share out along their sums
  same_training<float, vit>(wide);
  same_training<float, modified_resnet>(tiny::resnet());
  same_training<bf16, modified_resnet>(tiny::resnet());
}
TEST_CASE("cpu: what one thread prepared runs on another") {
  const temporary_folder dir;
  tiny::write_folder(dir / "m");
  cpu<bf16> reduced;
  cpu<float> full;
  const auto low = load<vit>(reduced, dir / "m");
  const auto high = load<vit>(full, dir / "m");
  const std::vector<std::uint8_t> rgb(3 * 3 * 32 * 32, 77);
  const auto want_low = low.encode_pixels(rgb).values, want_high = high.encode_pixels(rgb).values;
  std::vector<float> got_low, got_high;
  std::thread([&] {
    got_low = low.encode_pixels(rgb).values;
    got_high = high.encode_pixels(rgb).values;
  }).join();
  CHECK(got_low == want_low);
  CHECK(got_high == want_high);
}
/// Texts with the model in a folder, and whether its token table is used in place, by rows, or neither.
template <class B>
std::pair<std::vector<accum_t<B>>, std::string> with_table(B& d, const std::string& folder) {
  const auto model = load<vit>(d, checkpoint::open(folder));
  const auto& table = model.model().text.token_embedding;
  CHECK(!(table.weight && table.rows));
  return {model.encode_text({"cat", "the red cat", ""}).values, table.weight ? "whole" : table.rows ? "rows" : "nothing"};
}
TEST_CASE("the rows of a token table of another type are converted as texts use them") {
  const temporary_folder dir;
  cpu<float> d({.threads = 1});
  cpu<bf16> low({.threads = 1});
  eigen<double> high;
  tiny::write_folder(dir / "f32", tiny::vit());
  for (const auto& [name, type] : {std::pair{"f16", dtype::f16}, {"bf16", dtype::bf16}, {"f32", dtype::f32}}) {
    INFO(name);
    const std::string own = dir / name, same = own + "_as_f64";
    if (type != dtype::f32) checkpoint::open(dir / "f32").write(own, layout::open_clip, name);
    tiny::write_folder(same, tiny::vit(), [&](std::vector<tiny::tensor>& list) {  // the same values, which are converted as a whole
      const auto read = tiny::read(checkpoint::open(own));
      for (auto& t : list) {
        t.type = dtype::f64;
        t.values = [values = read.at(t.name)](std::span<double> out) { std::copy(values.begin(), values.end(), out.begin()); };
      }
    });
    const auto check = [&](auto& device, const char* how) {
      const auto got = with_table(device, own), want = with_table(device, same);
      CHECK(got.second == how);
      CHECK(want.second == "whole");
      CHECK(got.first == want.first);
    };
    check(d, type == dtype::f32 ? "whole" : "rows");
    check(low, type == dtype::bf16 ? "whole" : "rows");
    check(high, "rows");
    const auto open = [&](const std::string& folder) { return load<vit>(d, checkpoint::open(folder)).bytes(); };
    CHECK(open(same) - open(own) == (type == dtype::f32 ? 0 : 2 * tiny::vocabulary * 64));
    for (const double bad : {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
      tiny::write_folder(dir / "bad", tiny::vit(), [&, element = type](std::vector<tiny::tensor>& list) {
        for (auto& t : list) {
          t.type = element;
          if (t.name == "token_embedding.weight")
            t.values = [before = t.values, bad](std::span<double> out) {
              before(out);
              out[70] = bad;
            };
        }
      });
      CHECK_THAT(message([&] { load<vit>(d, checkpoint::open(dir / "bad")); }),
                 Contains("tensor \"token_embedding.weight\": value 70 is") && Contains("expected finite numbers"));
      CHECK_THAT(message([&] { load<vit>(low, checkpoint::open(dir / "bad")); }), Contains("value 70 is"));
    }
  }
}

}  // namespace test_deterministic

#endif
