// Definitions of modified_resnet.hpp.
#pragma once
#include <algorithm>

#include "modified_resnet.hpp"

namespace clipx {
namespace detail {
inline std::vector<dim> stages_of(const modified_resnet_config& v) { return {v.stages.begin(), v.stages.end()}; }

struct resnet_preset {
  const char* name;
  dim embed_dim, image_size;
  std::array<dim, 4> stages;
  dim width, text_width;

  operator clip_config() const {
    clip_config c;
    c.name = name;
    c.embed_dim = embed_dim;
    c.vision = modified_resnet_config{.image_size = image_size, .width = width, .heads = width / 2, .stages = stages};
    c.text.width = text_width;
    c.text.heads = text_width / 64;
    c.text.mlp_width = 4 * text_width;
    return c;
  }
};
}  // namespace detail

CLIPX_INLINE bool modified_resnet::claims(layout keys, const fields&, const fields& vision) {
  return keys == layout::open_clip && vision.is_list("layers");
}

CLIPX_INLINE modified_resnet_config modified_resnet::read(tower_reader& r) {
  auto& f = r.tower;
  modified_resnet_config v;
  v.image_size = f.square("image_size", 224);
  v.width = f.size("width", 768);
  const auto stages = f.sizes("layers", 4, 1000);
  std::copy(stages.begin(), stages.end(), v.stages.begin());
  v.heads = heads_of(v.channels(), f.size("head_width", 64), r.answers.head_width, f.issues());
  f.skip({"patch_size", "mlp_ratio"});
  refuse_vision_variants(f);
  return v;
}

CLIPX_INLINE void modified_resnet::write(const config& v, const clip_config& c, layout keys, field_writer& to) {
  expect(keys == layout::open_clip, error_kind::unsupported,
         "Hugging Face's layout has no ModifiedResNet: write layout::open_clip");
  expect_open_clip_choices(image_choices(c));
  to.put("image_size", v.image_size);
  to.put("layers", detail::stages_of(v));
  to.put("width", v.width);
  to.put("head_width", v.channels() / v.heads);
}

CLIPX_INLINE modified_resnet_config modified_resnet::infer(shape_reader& r) {
  modified_resnet_config v;
  const auto stem = r.sizes("visual.layer1.0.conv1.weight", 4), grid = r.sizes("visual.attnpool.positional_embedding", 2);
  v.width = stem[0];
  v.image_size = 32 * shape_reader::side(grid[0]);
  for (std::size_t s = 0; s < 4; ++s) v.stages[s] = std::max<dim>(1, r.count(cat("visual.layer", s + 1, "."), ".conv1.weight"));
  v.heads = heads_of(v.channels(), 64, r.answers.head_width, r.issues());
  return v;
}

CLIPX_INLINE void modified_resnet::check(const config& v, issue_list& issues) {
  const auto need = [&](bool ok, const std::string& what) {
    if (!ok) issues.add(what);
  };
  need(v.heads >= 1 && v.channels() % v.heads == 0,
       cat("image tower: width ", v.width, " does not divide into ", v.heads, " heads; set checkpoint_options::head_width"));
  need(v.grid() >= 1, cat("image tower: an image of ", v.image_size, " pixels holds no patch"));
  need(v.image_size <= 16384 && v.grid() <= 256,
       cat("image tower: an image of ", v.image_size, " pixels, ", v.grid(), " patches a side; at most 16384 and 256"));
  need(v.image_size % 32 == 0 && v.width % 2 == 0,
       cat("image tower: a ModifiedResNet needs an image size that 32 divides and an even width, got ", v.image_size, " and ",
           v.width));
}

CLIPX_INLINE key_source modified_resnet::source_of(std::string_view name, layout keys) {
  expect(keys == layout::open_clip, error_kind::unsupported,
         [&] { return cat("Hugging Face's layout has no place for visual.", name); });
  return {{cat("visual.", name)}};
}

/// openai/CLIP's initialize_parameters (docs/clip.md section 9.3).
CLIPX_INLINE initial_values modified_resnet::initial(std::string_view name, const shape& s, const config& v) {
  const auto ends = [&](std::string_view e) { return name.ends_with(e); };
  if (ends("running_var")) return initial_values::constant(1);
  if (ends("running_mean")) return {};
  if (name.starts_with("bn") || name.find(".bn") != std::string_view::npos || name.find("downsample.1") != std::string_view::npos) {
    const bool zero_branch = name.starts_with("layer") && ends("bn3.weight");  // a new bottleneck starts as its shortcut
    return initial_values::constant(ends(".weight") && !zero_branch ? 1 : 0);
  }
  if (name.starts_with("attnpool.")) return ends(".bias") ? fan_in(v.channels()) : normal_of(v.channels());
  return fan_in(s.cols());
}

CLIPX_INLINE std::vector<model_fact> modified_resnet::facts(const config& v) {
  return {{"stages", detail::stages_of(v)}, {"vision_width", v.width}, {"vision_heads", v.heads}};
}

CLIPX_INLINE double modified_resnet::flops(const config& v, const clip_config& c) {
  const auto conv = [](dim side, dim in, dim out, dim kernel) {
    return 2 * static_cast<double>(side * side * in) * static_cast<double>(out * kernel * kernel);
  };
  dim side = v.image_size / 2, in = v.width;
  double sum = conv(side, 3, in / 2, 3) + conv(side, in / 2, in / 2, 3) + conv(side, in / 2, in, 3);
  side /= 2;
  for (std::size_t stage = 0; stage < 4; ++stage)
    for (dim block = 0; block < v.stages[stage]; ++block) {
      const dim planes = v.width << stage, out = 4 * planes, stride = stage > 0 && block == 0 ? 2 : 1;
      sum += conv(side, in, planes, 1) + conv(side, planes, planes, 3);
      side /= stride;
      sum += conv(side, planes, out, 1) + (in == out ? 0 : conv(side, in, out, 1));
      in = out;
    }
  const auto C = static_cast<double>(in), L = static_cast<double>(side * side + 1);
  return sum + 2 * (2 * L * C * C + C * C + C * static_cast<double>(c.embed_dim)) + 4 * L * C;
}

CLIPX_INLINE std::span<const clip_config> modified_resnet::presets() {
  // clang-format off
  static const clip_config list[] = {
      // name            embed_dim image  stages          width  text_width
      detail::resnet_preset{"RN50",    1024, 224, {3, 4, 6, 3},     64,  512},
      detail::resnet_preset{"RN101",    512, 224, {3, 4, 23, 3},    64,  512},
      detail::resnet_preset{"RN50x4",   640, 288, {4, 6, 10, 6},    80,  640},
      detail::resnet_preset{"RN50x16",  768, 384, {6, 8, 18, 8},    96,  768},
      detail::resnet_preset{"RN50x64", 1024, 448, {3, 15, 36, 10}, 128, 1024},
  };
  // clang-format on
  return list;
}

}  // namespace clipx
