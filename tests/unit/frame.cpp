#include <clipx/image/preprocess.hpp>
#include <cmath>

#include "catch.hpp"
#include "temporary.hpp"

namespace test_frame {

using namespace clipx;
using bytes = std::vector<std::uint8_t>;

TEST_CASE("frame: packed formats, strides and both directions", "[image]") {
  const bytes rgb{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, padded{3, 2, 1, 6, 5, 4, 0, 0, 9, 8, 7, 12, 11, 10, 0, 0};
  const auto plain = to_image({.width = 2, .height = 2, .data = rgb.data()});
  CHECK(plain.mode == pixel_mode::rgb);
  CHECK(plain.data == rgb);
  CHECK(to_image({.format = frame_format::bgr, .width = 2, .height = 2, .data = padded.data(), .stride = 8}).data == rgb);
  const auto up = to_image({.format = frame_format::bgr, .width = 2, .height = 2, .data = padded.data() + 8, .stride = -8});
  CHECK(up.data == bytes{7, 8, 9, 10, 11, 12, 1, 2, 3, 4, 5, 6});

  const bytes bgra{3, 2, 1, 200, 6, 5, 4, 100};
  const auto alpha = to_image({.format = frame_format::bgra, .width = 2, .height = 1, .data = bgra.data()});
  CHECK(alpha.mode == pixel_mode::rgba);
  CHECK(alpha.data == bytes{1, 2, 3, 200, 4, 5, 6, 100});
  CHECK(to_image({.format = frame_format::rgba, .width = 1, .height = 2, .data = bgra.data()}).data == bgra);
  const auto gray = to_image({.format = frame_format::gray, .width = 3, .height = 1, .data = rgb.data(), .stride = 7});
  CHECK(gray.mode == pixel_mode::gray);
  CHECK(gray.data == bytes{1, 2, 3});
}

TEST_CASE("frame: NV12 by the equations of BT.601 and BT.709", "[image]") {
  struct weights {
    double red, blue;
  };
  const auto check = [](frame_matrix matrix, weights w, bool full) {
    const double green = 1 - w.red - w.blue;
    for (int Y = 0; Y < 256; Y += 17)
      for (int U = 0; U < 256; U += 15)
        for (int V = 0; V < 256; V += 15) {
          const bytes data{static_cast<std::uint8_t>(Y), static_cast<std::uint8_t>(U), static_cast<std::uint8_t>(V)};
          const auto got = to_image({.format = frame_format::nv12,
                                     .width = 1,
                                     .height = 1,
                                     .data = data.data(),
                                     .chroma = data.data() + 1,
                                     .chroma_stride = 2,
                                     .matrix = matrix});
          const double y = full ? Y : (Y - 16) * 255.0 / 219, scale = full ? 1 : 255.0 / 224;
          const double cb = (U - 128) * scale, cr = (V - 128) * scale;
          const double r = y + 2 * (1 - w.red) * cr, b = y + 2 * (1 - w.blue) * cb, g = (y - w.red * r - w.blue * b) / green;
          const double want[] = {r, g, b};
          for (std::size_t c = 0; c < 3; ++c) REQUIRE(std::abs(got.data[c] - std::clamp(want[c], 0.0, 255.0)) <= 0.51);
        }
  };
  check(frame_matrix::bt601, {0.299, 0.114}, false);
  check(frame_matrix::bt601_full, {0.299, 0.114}, true);
  check(frame_matrix::bt709, {0.2126, 0.0722}, false);
  check(frame_matrix::bt709_full, {0.2126, 0.0722}, true);
}

TEST_CASE("frame: the planes of NV12, odd sides", "[image]") {
  // 3 x 3, rows of 4 bytes: luma, then two rows of two (U, V) pairs
  bytes data{10, 20, 30, 0, 40, 50, 60, 0, 70, 80, 90, 0, 128, 128, 128, 128, 128, 128, 128, 128};
  const auto read = [&](const std::uint8_t* chroma) {
    return to_image({.format = frame_format::nv12,
                     .width = 3,
                     .height = 3,
                     .data = data.data(),
                     .stride = 4,
                     .chroma = chroma,
                     .matrix = frame_matrix::bt601_full});
  };
  const auto gray = read(nullptr);
  for (std::size_t i = 0; i < 9; ++i)
    for (std::size_t c = 0; c < 3; ++c) CHECK(gray.data[3 * i + c] == 10 * (i + 1));
  data[19] = 255;  // V of the last block, which is the last pixel's alone
  const auto red = read(data.data() + 12);
  CHECK(red.data[24] == 255);
  CHECK(std::equal(gray.data.begin(), gray.data.begin() + 24, red.data.begin()));
}

TEST_CASE("frame: to_pixels where the frame is, equal to that of its image", "[image]") {
  constexpr dim w = 38, h = 29;
  bytes data(static_cast<std::size_t>(200 * h));
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::uint8_t>(i * i / 7 + 31 * i);
  using enum frame_format;
  for (auto format : {rgb, bgr, rgba, bgra, gray, nv12})
    for (dim stride : {0, 200, -200})
      for (auto mode : {resize_mode::shortest, resize_mode::squash, resize_mode::longest})
        for (auto order : {pipeline::open_clip, pipeline::hf}) {
          if (format == nv12 && stride < 0) continue;
          const auto* first = data.data() + (stride < 0 ? 200 * (h - 1) : 0);
          const frame f{.format = format, .width = w, .height = h, .data = first, .stride = stride};
          if (format == nv12 && stride == 200) continue;  // the chroma would lie behind the data
          preprocess_config c;
          c.size = 16;
          c.resize = mode;
          c.order = order;
          INFO(static_cast<int>(format) << " " << stride << " " << static_cast<int>(mode) << " " << static_cast<int>(order));
          CHECK(to_pixels(f, c).data == to_pixels(to_image(f), c).data);
          CHECK((view_of(f).data == first) == (stride >= 0 && (format == rgb || format == bgr || format == gray)));
        }
}

TEST_CASE("frame: errors", "[image]") {
  const bytes data(64);
  const auto refused = [](const frame& f) { return message([&] { to_image(f); }); };
  CHECK_THAT(refused({.width = 2, .height = 2}), Contains("with data"));
  CHECK_THAT(refused({.width = 0, .height = 2, .data = data.data()}), Contains("0 x 2"));
  CHECK_THAT(refused({.width = std::numeric_limits<dim>::max() / 2, .height = 2, .data = data.data()}),
             Contains("expected sides of"));
  CHECK_THAT(refused({.width = 2, .height = 2, .data = data.data(), .stride = 5}), Contains("stride of 6") && Contains("got 5"));
  CHECK_THAT(refused({.width = 2, .height = 2, .data = data.data(), .stride = -5}), Contains("got -5"));
  const frame nv12{.format = frame_format::nv12, .width = 3, .height = 2, .data = data.data()};
  frame tight = nv12;
  tight.chroma_stride = 3;
  CHECK_THAT(refused(tight), Contains("chroma_stride of 4") && Contains("got 3"));
  CHECK(to_image(nv12).width == 3);  // without padding: 3 bytes of luma, 4 of chroma
  tight.chroma_stride = std::numeric_limits<dim>::min();
  CHECK_THAT(refused(tight), Contains("chroma_stride of 4"));
  for (auto far : {std::numeric_limits<dim>::max(), std::numeric_limits<dim>::min()}) {
    tight.stride = far;
    CHECK_THAT(refused(tight), Contains("expected a stride of 3 to"));
  }
  tight = nv12;
  tight.matrix = static_cast<frame_matrix>(99);
  CHECK_THAT(refused(tight), Contains("frame_matrix"));
  frame up = nv12;
  up.stride = -4;
  CHECK_THAT(refused(up), Contains("chroma"));
}

}  // namespace test_frame
