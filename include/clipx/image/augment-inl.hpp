// Definitions of augment.hpp.
#pragma once
#include <algorithm>
#include <cmath>

#include "../core/error.hpp"
#include "augment.hpp"
#include "expect_pixels.hpp"

namespace clipx {
namespace detail {

// Numbers that decide something have 24 bits after the binary point, and logarithms use only products and square roots, which
// every processor rounds alike: a sum of a product, or libm, could differ in the last bits between compilers.

inline std::int64_t fixed_24(double x) { return static_cast<std::int64_t>(std::nearbyint(x * 0x1p24)); }
inline double from_fixed_24(std::int64_t x) { return static_cast<double>(x) * 0x1p-24; }

inline std::int64_t log2_fixed(double x) {
  int exponent = 0;
  double m = 2 * std::frexp(x, &exponent);  // [1, 2)
  std::int64_t bits = exponent - 1;
  for (int i = 0; i < 24; ++i) {
    m *= m;
    bits = 2 * bits + (m >= 2);
    if (m >= 2) m /= 2;
  }
  return bits;
}
inline double exp2_fixed(std::int64_t x) {
  double out = 1, root = 2;
  for (int bit = 23; bit >= 0; --bit) {
    root = std::sqrt(root);
    if (x >> bit & 1) out *= root;
  }
  return std::ldexp(out, static_cast<int>(x >> 24));
}

inline dim rounded(double x) { return static_cast<dim>(std::nearbyint(x)); }

/// torchvision's RandomResizedCrop.get_params.
inline window_of draw_crop(const augmentation& o, dim width, dim height, const draws& draw) {
  const double area = static_cast<double>(width * height);
  const std::int64_t low = log2_fixed(o.ratio_min), high = log2_fixed(o.ratio_max);
  for (std::uint64_t i = 0; i < 40; i += 4) {
    const double target = area * from_fixed_24(draw.between(i, fixed_24(o.scale_min), fixed_24(o.scale_max)));
    const double ratio = exp2_fixed(draw.between(i + 1, low, high));
    const dim w = rounded(std::sqrt(target * ratio)), h = rounded(std::sqrt(target / ratio));
    if (w < 1 || w > width || h < 1 || h > height) continue;
    return {static_cast<dim>(draw.below(i + 2, static_cast<std::uint64_t>(width - w + 1))),
            static_cast<dim>(draw.below(i + 3, static_cast<std::uint64_t>(height - h + 1))), w, h};
  }
  const double ratio = static_cast<double>(width) / static_cast<double>(height);
  dim w = width, h = height;
  if (ratio < o.ratio_min) h = std::clamp<dim>(rounded(static_cast<double>(w) / o.ratio_min), 1, height);
  else if (ratio > o.ratio_max) w = std::clamp<dim>(rounded(static_cast<double>(h) * o.ratio_max), 1, width);
  return {(width - w) / 2, (height - h) / 2, w, h};
}

/// Pillow's L of an RGB pixel.
inline int luma(const std::uint8_t* p) { return (p[0] * 19595 + p[1] * 38470 + p[2] * 7471 + 0x8000) >> 16; }

/// Pillow's blend, in float: from + factor (to - from). The product is exact before it is rounded, so a compiler's fused
/// multiply-add makes no difference. For a factor in [0, 1] nothing has to be clamped.
struct blender {
  std::array<float, 511> part;  // factor * d, for d = -255 .. 255
  explicit blender(double factor) {
    const double f = static_cast<float>(factor);
    for (int d = -255; d <= 255; ++d) part[static_cast<std::size_t>(d + 255)] = static_cast<float>(f * d);
  }
  std::uint8_t operator()(int from, int to) const {
    const float v = static_cast<float>(from) + part[static_cast<std::size_t>(to - from + 255)];
    return v <= 0 ? std::uint8_t{0} : v >= 255 ? std::uint8_t{255} : static_cast<std::uint8_t>(v);
  }
  /// Every value blended with one.
  std::array<std::uint8_t, 256> table(int from) const {
    std::array<std::uint8_t, 256> out;
    for (int v = 0; v < 256; ++v) out[static_cast<std::size_t>(v)] = (*this)(from, v);
    return out;
  }
};

inline void from_one_level(std::uint8_t* rgb, dim n, double factor, int level) {
  const auto table = blender(factor).table(level);
  for (dim i = 0; i < 3 * n; ++i) rgb[i] = table[rgb[i]];
}

inline int mean_luma(const std::uint8_t* rgb, dim n) {
  std::int64_t sum = 0;
  for (dim i = 0; i < n; ++i) sum += luma(rgb + 3 * i);
  return static_cast<int>(static_cast<double>(sum) / static_cast<double>(n) + 0.5);
}

inline void change_saturation(std::uint8_t* rgb, dim n, double factor) {
  const blender blend(factor);
  for (dim i = 0; i < n; ++i, rgb += 3) {
    const int gray = luma(rgb);
    for (int b = 0; b < 3; ++b) rgb[b] = blend(gray, rgb[b]);
  }
}

inline void make_gray(std::uint8_t* rgb, dim n) {
  for (dim i = 0; i < n; ++i, rgb += 3) rgb[0] = rgb[1] = rgb[2] = static_cast<std::uint8_t>(luma(rgb));
}

/// Pillow's 8-bit HSV and back, with `shift` (of 256) added to the hue in between, as torchvision does.
class hue_turner {
 public:
  explicit hue_turner(double turns) : shift_(static_cast<std::uint8_t>(static_cast<int>(turns * 255))) {
    for (int h = 0; h < 256; ++h) {
      const double sixths = static_cast<double>(static_cast<float>(h)) * 6.0 / 255.0;
      const int sector = static_cast<int>(sixths);
      sector_[static_cast<std::size_t>(h)] = sector % 6;
      within_[static_cast<std::size_t>(h)] = static_cast<float>(sixths - sector);
    }
  }
  void operator()(std::uint8_t* rgb) const {
    const int high = std::max({rgb[0], rgb[1], rgb[2]}), low = std::min({rgb[0], rgb[1], rgb[2]});
    if (high == low) return;  // no saturation: this gray for any hue
    const float range = static_cast<float>(high - low);
    const int saturation = std::min(255, static_cast<int>(range / static_cast<float>(high) * 255.0));
    if (saturation == 0) {
      rgb[0] = rgb[1] = rgb[2] = static_cast<std::uint8_t>(high);
      return;
    }
    const auto below = [&](int b) { return static_cast<float>(high - rgb[b]) / range; };
    float hue = 0;
    if (rgb[0] == high) hue = below(2) - below(1);
    else if (rgb[1] == high) hue = static_cast<float>(2.0 + below(0) - below(2));
    else hue = static_cast<float>(4.0 + below(1) - below(0));
    const double around = hue / 6.0 + 1.0;  // below 2
    hue = static_cast<float>(around < 1 ? around : around - 1);
    const auto h = static_cast<std::uint8_t>(static_cast<int>(hue * 255.0) + shift_);

    const float s = static_cast<float>(saturation) / 255.0f, f = within_[h];
    const double v = high;
    const auto level = [](double x) {  // rounded, half up; x is from 0 to 255
      const int down = static_cast<int>(x);
      return static_cast<std::uint8_t>(down + (x - down >= 0.5));
    };
    const std::uint8_t top = static_cast<std::uint8_t>(high), p = level(v * (1.0 - s));
    const double fs = s * f;
    const std::uint8_t q = level(v * (1.0 - fs)), t = level(v * (1.0 - s * (1.0 - f)));
    const std::array<std::array<std::uint8_t, 3>, 6> sectors{
        {{top, t, p}, {q, top, p}, {p, top, t}, {p, q, top}, {t, p, top}, {top, p, q}}};
    std::copy_n(sectors[static_cast<std::size_t>(sector_[h])].begin(), 3, rgb);
  }

 private:
  std::uint8_t shift_;
  std::array<int, 256> sector_;
  std::array<float, 256> within_;
};

inline void change_color(std::uint8_t* rgb, dim n, const color_step& step) {
  switch (step.what) {
    case color_step::brightness:
      return from_one_level(rgb, n, step.by, 0);
    case color_step::contrast:
      return from_one_level(rgb, n, step.by, mean_luma(rgb, n));
    case color_step::saturation:
      return change_saturation(rgb, n, step.by);
    case color_step::hue:
      const hue_turner turn(step.by);
      for (dim i = 0; i < n; ++i) turn(rgb + 3 * i);
  }
}

}  // namespace detail

CLIPX_INLINE void check_augmentation(const augmentation& o) {
  const auto within = [](double low, double x, double high) { return low <= x && x <= high; };
  const auto need = [](bool ok, const char* what, const char* expected, double got, double other) {
    expect(ok, [&] { return cat("augmentation: ", what, ": expected ", expected, ", got ", got, " and ", other); });
  };
  need(0 < o.scale_min && o.scale_min <= o.scale_max && o.scale_max <= 1, "scale", "0 < low <= high <= 1", o.scale_min,
       o.scale_max);
  need(1.0 / 64 <= o.ratio_min && o.ratio_min <= o.ratio_max && o.ratio_max <= 64, "ratio", "1/64 <= low <= high <= 64",
       o.ratio_min, o.ratio_max);
  const std::pair<const char*, double> chances[] = {{"flip", o.flip}, {"jitter", o.jitter}, {"gray", o.gray}, {"coarse", o.coarse}};
  for (auto [name, p] : chances)
    expect(within(0, p, 1), [&, n = name, x = p] { return cat("augmentation: ", n, ": expected a probability, got ", x); });
  const std::pair<const char*, double> changes[] = {
      {"brightness", o.brightness}, {"contrast", o.contrast}, {"saturation", o.saturation}};
  for (auto [name, x] : changes)
    expect(within(0, x, 64), [&, n = name, v = x] { return cat("augmentation: ", n, ": expected 0 to 64, got ", v); });
  expect(0 < o.coarse_min && o.coarse_min <= 1,
         [&] { return cat("augmentation: coarse_min: expected above 0 to 1, got ", o.coarse_min); });
  expect(within(0, o.hue, 0.5), [&] { return cat("augmentation: hue: expected 0 to 0.5, got ", o.hue); });
}

CLIPX_INLINE augment_plan plan_augment(const augmentation& o, dim width, dim height, const draws& draw) {
  expect(width > 0 && height > 0 && width <= longest_side && height <= longest_side, detail::side_kind(width, height),
         [&] { return cat("plan_augment: expected an image with sides of 1 to ", longest_side, ", got ", width, " x ", height); });
  augment_plan plan;
  plan.crop = detail::draw_crop(o, width, height, draw);
  plan.flip = draw.chance(40, o.flip);
  plan.gray = draw.chance(41, o.gray);
  if (draw.chance(60, o.coarse))
    plan.side = detail::from_fixed_24(draw.between(61, detail::fixed_24(o.coarse_min), detail::fixed_24(1)));
  if (!draw.chance(42, o.jitter)) return plan;
  const std::pair<color_step::kind, double> changes[] = {{color_step::brightness, o.brightness},
                                                         {color_step::contrast, o.contrast},
                                                         {color_step::saturation, o.saturation},
                                                         {color_step::hue, o.hue}};
  std::uint64_t number = 44;
  for (auto [what, x] : changes) {
    const bool turn = what == color_step::hue;
    const double low = turn ? -x : std::max(0.0, 1 - x), high = turn ? x : 1 + x;
    const double by = detail::from_fixed_24(draw.between(number++, detail::fixed_24(low), detail::fixed_24(high)));
    if (x > 0) plan.colors[static_cast<std::size_t>(plan.steps++)] = {what, by};
  }
  for (int i = plan.steps; i > 1; --i)
    std::swap(plan.colors[static_cast<std::size_t>(i - 1)], plan.colors[draw.below(number++, static_cast<std::uint64_t>(i))]);
  return plan;
}

CLIPX_INLINE void augment(const image& rgb, const augment_plan& plan, const extent& size, filter f, std::uint8_t* out,
                          resize_scratch& scratch, const resampler& loops) {
  const auto& box = plan.crop;
  check_image(rgb, "augment");
  expect(rgb.mode == pixel_mode::rgb, "augment: expected an RGB image");
  expect(size.within(1, longest_side),
         [&] { return cat("augment: expected a size of 1 to ", longest_side, ", got ", text_of(size)); });
  expect(box.x >= 0 && box.y >= 0 && box.w > 0 && box.h > 0 && box.x <= rgb.width - box.w && box.y <= rgb.height - box.h, [&] {
    return cat("augment: a crop of ", box.w, " x ", box.h, " at ", box.x, ", ", box.y, " does not lie in an image of ", rgb.width,
               " x ", rgb.height);
  });
  pixel_view cropped{rgb.row(box.y) + 3 * box.x, box.w, box.h, 3, 3 * rgb.width};
  const auto [H, W] = size;
  std::vector<std::uint8_t> small;  // (h w, 3)
  const auto coarse = [&](dim n) { return std::max<dim>(1, detail::rounded(plan.side * static_cast<double>(n))); };
  if (const dim h = coarse(H), w = coarse(W); h < H || w < W) {
    small.resize(static_cast<std::size_t>(h * w * 3));
    resize(cropped, w, h, f, {0, 0, w, h}, small.data(), scratch, loops);
    cropped = {small.data(), w, h, 3, 3 * w};
  }
  resize(cropped, W, H, f, {0, 0, W, H}, out, scratch, loops);
  if (plan.flip)
    for (dim y = 0; y < H; ++y) {
      std::uint8_t* row = out + y * 3 * W;
      for (dim x = 0; x < W / 2; ++x) std::swap_ranges(row + 3 * x, row + 3 * x + 3, row + 3 * (W - 1 - x));
    }
  for (int i = 0; i < plan.steps; ++i) detail::change_color(out, H * W, plan.colors[static_cast<std::size_t>(i)]);
  if (plan.gray) detail::make_gray(out, H * W);
}

}  // namespace clipx
