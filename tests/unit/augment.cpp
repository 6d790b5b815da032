// Augmentation against torchvision's pixels through Pillow (tests/golden/augment.py), and what is drawn for it.
#include <clipx/core/error.hpp>
#include <clipx/image/augment.hpp>
#include <clipx/io/safetensors.hpp>
#include <cmath>
#include <cstring>
#include <set>

#include "catch.hpp"
#include "temporary.hpp"
#ifdef CLIPX_HAS_CPU
#include <clipx/cpu.hpp>
#endif

namespace test_augment {

using namespace clipx;

namespace {

const safetensors& golden() {
  static const auto file = safetensors::open(std::string(CLIPX_SOURCE_DIR) + "/tests/golden/augment.safetensors");
  return file;
}

image test_image(dim number) {
  const auto* t = golden().find(cat("picture.", number));
  REQUIRE(t);
  image out = make_image(pixel_mode::rgb, t->shape[1], t->shape[0]);
  std::memcpy(out.data.data(), t->data, t->bytes);
  return out;
}

/// An image, a plan for it, and the pixels that it should give.
struct golden_case {
  std::string name;
  image from;
  augment_plan plan;
  dim n = 0;
  filter kind = filter::bicubic;
  std::vector<std::uint8_t> want;
};

std::vector<golden_case> cases() {
  std::vector<golden_case> out;
  for (auto& t : golden().tensors()) {
    if (!t.name.starts_with("plan.")) continue;
    std::vector<double> v(static_cast<std::size_t>(t.count()));
    std::memcpy(v.data(), t.data, t.bytes);
    const auto whole = [&](std::size_t i) { return static_cast<dim>(v[i]); };
    golden_case c;
    c.name = t.name;
    c.from = test_image(whole(0));
    c.n = whole(5);
    c.kind = whole(6) ? filter::bilinear : filter::bicubic;
    c.plan.crop = {whole(1), whole(2), whole(3), whole(4)};
    c.plan.flip = v[7] != 0;
    c.plan.gray = v[8] != 0;
    for (std::size_t i = 9; i < v.size(); i += 2)
      c.plan.colors[static_cast<std::size_t>(c.plan.steps++)] = {static_cast<color_step::kind>(whole(i)), v[i + 1]};
    const auto* pixels = golden().find("pixels." + t.name.substr(5));
    REQUIRE(pixels);
    c.want.resize(pixels->bytes);
    std::memcpy(c.want.data(), pixels->data, pixels->bytes);
    out.push_back(std::move(c));
  }
  return out;
}

/// Values that differ from torchvision's; the scratch memory is that of the case before.
std::string difference(const golden_case& c, resize_scratch& scratch, const resampler& loops) {
  std::vector<std::uint8_t> got(c.want.size());
  augment(c.from, c.plan, c.n, c.kind, got.data(), scratch, loops);
  for (std::size_t i = 0; i < got.size(); ++i)
    if (got[i] != c.want[i]) return cat("first at value ", i, ": expected ", c.want[i], ", got ", got[i]);
  return "";
}

augment_plan plan_of(const augmentation& o, dim w, dim h, std::uint64_t place) {
  return plan_augment(o, w, h, draws(std::uint64_t{7}, std::uint64_t{0}, place));
}

}  // namespace

TEST_CASE("augment: crops, flips and colors equal torchvision's through Pillow", "[image]") {
  const auto all = cases();
  REQUIRE(all.size() > 50);
  resize_scratch scratch;
  for (auto& c : all) {
    CAPTURE(c.name);
    CHECK(difference(c, scratch, plain_resampler()) == "");
#ifdef CLIPX_HAS_CPU
    CHECK(difference(c, scratch, cpu<float>::pixels_resampler()) == "");
#endif
  }
}

TEST_CASE("augment: numbers by place are the same everywhere", "[image]") {
  // SplitMix64 from seed 0 (its author's reference values): no parts, no mixing.
  CHECK(draws()(0) == 0xe220a8397b1dcdafu);
  CHECK(draws()(1) == 0x6e789e6aa1b965f4u);
  const draws draw(std::uint64_t{1}, std::uint64_t{2}, std::uint64_t{3});
  CHECK(draw(0) != draws(std::uint64_t{1}, std::uint64_t{3}, std::uint64_t{2})(0));
  CHECK(draw.below(5, std::uint64_t{1} << 32) == draw(5) >> 32);
  CHECK(draw.below(5, 1) == 0);
  std::vector<int> seen(7);
  int heads = 0;
  for (std::uint64_t i = 0; i < 70'000; ++i) {
    ++seen[draw.below(i, 7)];
    heads += draw.chance(i, 0.25);
    const auto x = draw.between(i, -3, 4);
    CHECK((x >= -3 && x < 4));
  }
  for (int n : seen) CHECK(std::abs(n - 10'000) < 500);  // 5.4 standard deviations
  CHECK(std::abs(heads - 17'500) < 570);                 // 5
  CHECK(draw.between(0, 5, 5) == 5);
  CHECK_FALSE(draw.chance(0, 0));
  CHECK(draw.chance(0, 1));

  // Plans that were drawn once; whoever draws others has changed every run that resumes.
  augmentation o;
  o.scale_min = 0.3;
  o.flip = o.jitter = 0.5;
  o.brightness = o.contrast = o.saturation = 0.4;
  o.hue = 0.1;
  o.gray = 0.2;
  std::uint64_t all = 0;
  for (std::uint64_t place = 0; place < 1000; ++place) {
    const auto p = plan_of(o, 168, 112, place);
    for (dim x : {p.crop.x, p.crop.y, p.crop.w, p.crop.h, dim{p.flip}, dim{p.gray}, dim{p.steps}})
      all = draws::mix(all + static_cast<std::uint64_t>(x));
    for (int i = 0; i < p.steps; ++i) {
      const auto& step = p.colors[static_cast<std::size_t>(i)];
      all = draws::mix(all + static_cast<std::uint64_t>(step.what) +
                       static_cast<std::uint64_t>(static_cast<std::int64_t>(step.by * 0x1p24)));
    }
  }
  CHECK(all == 0x79ffd03ae192a81au);
}

TEST_CASE("augment: what is drawn", "[image]") {
  SECTION("crops lie in the image and have the area and the ratio asked for") {
    augmentation o;
    o.scale_min = 0.2;
    o.scale_max = 0.7;
    double least = 1, most = 0, log_ratio = 0;
    std::set<std::pair<dim, dim>> corners;
    for (std::uint64_t place = 0; place < 4000; ++place) {
      const auto c = plan_of(o, 320, 240, place).crop;
      CHECK((c.x >= 0 && c.y >= 0 && c.x + c.w <= 320 && c.y + c.h <= 240));
      const double area = static_cast<double>(c.w * c.h) / (320 * 240), ratio = static_cast<double>(c.w) / static_cast<double>(c.h);
      CHECK((area > 0.195 && area < 0.705 && ratio > 0.74 && ratio < 1.35));
      least = std::min(least, area);
      most = std::max(most, area);
      log_ratio += std::log2(ratio);
      corners.insert({c.x > (320 - c.w) / 2, c.y > (240 - c.h) / 2});
    }
    CHECK(least < 0.21);
    CHECK(most > 0.69);
    CHECK(std::abs(log_ratio / 4000) < 0.03);  // 0 but for tall crops that do not fit: the image is wide
    CHECK(corners.size() == 4);
  }
  SECTION("open_clip's defaults: a crop and nothing else") {
    for (std::uint64_t place = 0; place < 100; ++place) {
      const auto p = plan_of({}, 100, 100, place);
      CHECK(p.crop.w * p.crop.h > 8900);
      CHECK_FALSE((p.flip || p.gray || p.steps));
    }
  }
  SECTION("where no crop fits, the middle with the nearest ratio") {
    augmentation o;
    o.scale_min = o.scale_max = 1;
    const auto is = [&](dim w, dim h, window_of want) {
      const auto c = plan_of(o, w, h, 0).crop;
      CHECK((c.x == want.x && c.y == want.y && c.w == want.w && c.h == want.h));
    };
    is(300, 30, {130, 0, 40, 30});
    is(30, 301, {0, 130, 30, 40});
    is(1, 1, {0, 0, 1, 1});
    is(1000, 1, {499, 0, 1, 1});
  }
  SECTION("probabilities, factors and orders") {
    augmentation o;
    o.flip = 0.5;
    o.gray = 0.2;
    o.jitter = 0.8;
    o.brightness = 0.4;
    o.saturation = 1.5;
    o.hue = 0.1;
    int flips = 0, grays = 0, jitters = 0;
    std::set<std::vector<int>> orders;
    for (std::uint64_t place = 0; place < 5000; ++place) {
      const auto p = plan_of(o, 64, 64, place);
      flips += p.flip;
      grays += p.gray;
      jitters += p.steps > 0;
      std::vector<int> order;
      for (int i = 0; i < p.steps; ++i) {
        const auto& s = p.colors[static_cast<std::size_t>(i)];
        order.push_back(s.what);
        if (s.what == color_step::brightness) CHECK((s.by >= 0.599 && s.by <= 1.4));
        if (s.what == color_step::saturation) CHECK((s.by >= 0 && s.by <= 2.5));
        if (s.what == color_step::hue) CHECK(std::abs(s.by) <= 0.1);
      }
      orders.insert(order);
    }
    CHECK(std::abs(flips - 2500) < 180);  // 5 standard deviations
    CHECK(std::abs(grays - 1000) < 142);
    CHECK(std::abs(jitters - 4000) < 142);
    CHECK(orders.size() == 7);  // those of three steps, and none
    o.flip = 0;
    for (std::uint64_t place = 0; place < 100; ++place)
      CHECK(plan_of(o, 64, 64, place).gray == [&] {
        auto other = o;
        other.flip = 1;
        other.jitter = 0;
        return plan_of(other, 64, 64, place).gray;
      }());
  }
}

TEST_CASE("augment: a coarse image is resized twice", "[image]") {
  image p = make_image(pixel_mode::rgb, 40, 30);
  for (std::size_t i = 0; i < p.data.size(); ++i) p.data[i] = static_cast<std::uint8_t>(i * i % 251);
  augment_plan plan;
  plan.crop = {3, 2, 30, 25};
  resize_scratch scratch;
  const auto made = [&](double side, dim n) {
    std::vector<std::uint8_t> out(static_cast<std::size_t>(n * n * 3));
    plan.side = side;
    augment(p, plan, n, filter::bicubic, out.data(), scratch);
    return out;
  };
  const auto small = made(1, 6);  // (6 6, 3)
  std::vector<std::uint8_t> want(24 * 24 * 3);
  resize(pixel_view{small.data(), 6, 6, 3, 18}, 24, 24, filter::bicubic, {0, 0, 24, 24}, want.data(), scratch, plain_resampler());
  CHECK(made(0.25, 24) == want);
  CHECK(made(1, 24) != want);
  plan.crop = {0, 0, 40, 30};
  const auto pixel = made(1e-3, 4);  // of one pixel
  for (std::size_t i = 0; i < pixel.size(); ++i) CHECK(pixel[i] == pixel[i % 3]);

  augmentation o;
  o.coarse = 0.3;
  int coarse = 0;
  double least = 1, sum = 0;
  for (std::uint64_t place = 0; place < 5000; ++place) {
    const double side = plan_of(o, 64, 64, place).side;
    if (side < 1) ++coarse, least = std::min(least, side), sum += side;
  }
  CHECK(std::abs(coarse - 1500) < 163);  // 5 standard deviations
  CHECK((least >= 0.25 && least < 0.26));
  CHECK(std::abs(sum / coarse - 0.625) < 0.03);
}

TEST_CASE("augment: what is refused", "[image]") {
  const auto refused = [](auto change) {
    augmentation o;
    change(o);
    return message([&] { check_augmentation(o); });
  };
  CHECK(refused([](augmentation&) {}) == "no error");
  CHECK_THAT(refused([](augmentation& o) { o.scale_min = 0; }), Contains("scale") && Contains("got 0 and 1"));
  CHECK_THAT(refused([](augmentation& o) { o.scale_max = 1.1; }), Contains("scale"));
  CHECK_THAT(refused([](augmentation& o) {
               o.scale_min = 0.9;
               o.scale_max = 0.8;
             }),
             Contains("scale"));
  CHECK_THAT(refused([](augmentation& o) { o.ratio_max = 100; }), Contains("ratio"));
  CHECK_THAT(refused([](augmentation& o) { o.ratio_min = std::nan(""); }), Contains("ratio"));
  CHECK_THAT(refused([](augmentation& o) { o.flip = 1.5; }), Contains("flip: expected a probability, got 1.5"));
  CHECK_THAT(refused([](augmentation& o) { o.jitter = -1; }), Contains("jitter"));
  CHECK_THAT(refused([](augmentation& o) { o.coarse_min = 0; }), Contains("coarse_min: expected above 0 to 1, got 0"));
  CHECK_THAT(refused([](augmentation& o) { o.contrast = -0.1; }), Contains("contrast"));
  CHECK_THAT(refused([](augmentation& o) { o.hue = 0.6; }), Contains("hue"));
  const image p = make_image(pixel_mode::rgb, 10, 10);
  resize_scratch scratch;
  std::vector<std::uint8_t> out(3 * 16);
  augment_plan plan;
  plan.crop = {5, 5, 6, 5};
  CHECK_THAT(message([&] { augment(p, plan, 4, filter::bicubic, out.data(), scratch); }),
             Contains("does not lie in an image of 10 x 10"));
  plan.crop = {0, 0, 4, 4};
  CHECK_THAT(message([&] { augment(make_image(pixel_mode::gray, 10, 10), plan, 4, filter::bicubic, out.data(), scratch); }),
             Contains("RGB"));
}

}  // namespace test_augment
