// An image that a caller put together: every function that takes one refuses sizes and data that do not fit, before it reads.
#include <clipx/core/error.hpp>
#include <clipx/image/augment.hpp>
#include <clipx/image/decode.hpp>
#include <clipx/image/preprocess.hpp>
#include <functional>
#include <limits>

#include "catch.hpp"

namespace test_image_check {

using namespace clipx;

namespace {

/// Each public function that takes an image, by its name.
std::vector<std::pair<std::string, std::function<void(const image&)>>> entries() {
  preprocess_config open_clip, hf;
  open_clip.size = hf.size = 2;
  hf.order = pipeline::hf;
  return {{"to_rgb", [](const image& p) { to_rgb(p); }},
          {"to_rgb_over_white", [](const image& p) { to_rgb_over_white(p); }},
          {"resize",
           [](const image& p) {
             resize(p, 2, 2, filter::bicubic, {0, 0, 2, 2});
           }},
          {"resize",
           [](const image& p) {
             resize(p, 3, 3, filter::bicubic, {0, 0, 3, 3});
           }},
          {"to_pixels", [=](const image& p) { to_pixels(p, open_clip); }},
          {"to_pixels", [=](const image& p) { to_pixels(p, hf); }},
          {"augment", [](const image& p) {
             augment_plan plan;
             plan.crop = {0, 0, 1, 1};
             std::vector<std::uint8_t> out(12);
             resize_scratch scratch;
             augment(p, plan, 2, filter::bicubic, out.data(), scratch);
           }}};
}

std::string said(const std::function<void()>& f) {
  try {
    f();
  } catch (const error& e) { return e.what(); }
  return "";
}

constexpr pixel_mode modes[] = {pixel_mode::bit,   pixel_mode::gray,    pixel_mode::gray_alpha, pixel_mode::rgb,
                                pixel_mode::rgba,  pixel_mode::palette, pixel_mode::cmyk,       pixel_mode::gray16,
                                pixel_mode::int32, pixel_mode::float32};

}  // namespace

TEST_CASE("image: data that do not fit the sizes are refused by every entry", "[image]") {
  constexpr dim most = std::numeric_limits<dim>::max();
  for (auto& [who, call] : entries())
    for (auto mode : modes) {
      CAPTURE(who, static_cast<int>(mode));
      const image whole = make_image(mode, 3, 3);
      if (who != "augment" || mode == pixel_mode::rgb) CHECK(said([&, &f = call] { f(whole); }) == "");
      const auto refused = [&, &f = call, &name = who](const image& p) {
        const auto text = said([&] { f(p); });
        CHECK_THAT(text, Contains(name + ": expected"));
        return text;
      };
      image p = whole;
      p.data.pop_back();
      CHECK_THAT(refused(p), Contains("3 x 3 pixels") && Contains(cat("got ", p.data.size(), " bytes")));
      p.data.resize(p.data.size() + 2);
      refused(p);
      p.data.clear();
      refused(p);
      for (auto [w, h] : {std::pair<dim, dim>{0, 3}, {3, 0}, {-3, 3}, {-3, -3}, {3, std::numeric_limits<dim>::min()}}) {
        p = whole;
        p.width = w;
        p.height = h;
        CHECK_THAT(refused(p), Contains("at least 1 x 1"));
      }
      // Products that overflow: to something small, to 0, to the size of the data.
      for (auto [w, h] : {std::pair<dim, dim>{most, most}, {most, 3}, {3, most}, {dim{1} << 32, dim{1} << 32}, {dim{1} << 62, 4}}) {
        p = whole;
        p.width = w;
        p.height = h;
        refused(p);
        p.data.clear();
        refused(p);
      }
    }
  image p = make_image(pixel_mode::rgb, 2, 2);
  for (int mode : {-1, 10, 1000}) {
    p.mode = static_cast<pixel_mode>(mode);
    CHECK_THAT(said([&] { to_rgb(p); }), Contains("pixel_mode") && Contains(cat(mode)));
  }
}

TEST_CASE("image: sizes and windows that are refused", "[image]") {
  for (auto mode : {pixel_mode::rgb, pixel_mode::palette}) {
    const image p = make_image(mode, 3, 3);
    const auto with = [&](dim w, dim h, window_of window) { return said([&] { resize(p, w, h, filter::bicubic, window); }); };
    CHECK(with(4, 4, {1, 1, 3, 3}) == "");
    CHECK_THAT(with(0, 4, {0, 0, 1, 1}), Contains("0 x 4"));
    for (auto same : {3, 4})  // a resize to the same size is a copy
      for (window_of window : {window_of{-1, 0, 2, 2},
                               {0, -1, 2, 2},
                               {0, 0, 5, 1},
                               {0, 0, 1, 5},
                               {2, 2, 3, 1},
                               {0, 0, 0, 1},
                               {0, 0, 1, -1},
                               {std::numeric_limits<dim>::max(), 0, 2, 1}})
        CHECK_THAT(with(same, same, window), Contains("does not lie in"));
  }
  std::vector<std::uint8_t> in(27), out(27);
  resize_scratch scratch;
  const auto view = [&](pixel_view v) {
    return said([&] { resize(v, 3, 2, filter::bicubic, {0, 0, 3, 2}, out.data(), scratch); });
  };
  CHECK(view({in.data(), 3, 3, 3, 9}) == "");
  CHECK_THAT(view({in.data(), 3, 3, 3, 8}), Contains("stride of 8"));
  CHECK(view({in.data(), -3, 3, 3, 9}) != "");
  CHECK(view({in.data(), 3, 3, 0, 9}) != "");
  CHECK(view({nullptr, 3, 3, 3, 9}) != "");

  CHECK_THAT(said([] { make_image(pixel_mode::rgb, -1, 3); }), Contains("-1 x 3"));
  CHECK(said([] { make_image(pixel_mode::rgb, dim{1} << 62, 4); }) != "");
  CHECK(said([] { plan_augment({}, 0, 3, draws(1, 0, 0)); }) != "");
  preprocess_config c;
  for (dim size : {dim{0}, dim{-1}, dim{1} << 40}) {
    c.size = size;
    CHECK_THAT(said([&] { to_pixels(make_image(pixel_mode::rgb, 3, 3), c); }), Contains(cat("got ", size)));
  }
  c.size = 2;
  c.resize_to = -2;
  CHECK_THAT(said([&] { to_pixels(make_image(pixel_mode::rgb, 3, 3), c); }), Contains("-2"));
}

TEST_CASE("image: to_tensor takes the pixels of one image", "[image]") {
  preprocess_config c;
  c.size = 2;
  std::vector<std::uint8_t> rgb(12);
  std::vector<float> chw(12);
  CHECK(said([&] { to_tensor(rgb, c, chw.data()); }) == "");
  for (std::size_t n : {0u, 11u, 14u, 24u}) {
    rgb.resize(n);
    CHECK_THAT(said([&] { to_tensor(rgb, c, chw.data()); }), Contains(cat("expected 3 x 2 x 2 values, got ", n)));
  }
}

}  // namespace test_image_check
