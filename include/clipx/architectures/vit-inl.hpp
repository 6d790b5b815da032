// Definitions of vit.hpp.
#pragma once
#include <cmath>

#include "vit.hpp"

namespace clipx {
namespace detail {
inline transformer_sizes blocks_of(const vit_config& v) { return {v.width, v.heads, v.layers, v.mlp_width}; }
inline constexpr std::string_view vision_blocks = "transformer.resblocks.";

struct vit_preset {
  const char* name;
  dim embed_dim, image_size, patch_size, width, layers, heads, mlp_width, text_width, text_layers;
  activation act;

  operator clip_config() const {
    clip_config c;
    c.name = name;
    c.embed_dim = embed_dim;
    c.act = act;
    c.vision = vit_config{.image_size = image_size,
                          .patch_size = patch_size,
                          .width = width,
                          .heads = heads,
                          .mlp_width = mlp_width,
                          .layers = layers};
    c.text.width = text_width;
    c.text.heads = text_width / 64;
    c.text.layers = text_layers;
    c.text.mlp_width = 4 * text_width;
    return c;
  }
};
}  // namespace detail

CLIPX_INLINE bool vit::claims(layout keys, const fields& model, const fields& vision) {
  if (keys == layout::hf)
    return !model.has("model_type") || model.dump("model_type") == "\"clip\"" ||
           model.dump("model_type") == cat("\"", meta_clip_2, "\"");
  return !vision.is_list("layers");
}

CLIPX_INLINE vit_config vit::read(tower_reader& r) {
  auto& f = r.tower;
  vit_config v;
  if (r.keys == layout::hf) {
    transformer_sizes sizes = detail::blocks_of(v);
    read_hf_transformer(r, "vision_config", sizes);
    v.width = sizes.width;
    v.heads = sizes.heads;
    v.layers = sizes.layers;
    v.mlp_width = sizes.mlp_width;
    v.image_size = f.square("image_size", 224);
    v.patch_size = f.square("patch_size", 32);
    f.only("num_channels", dim{3});
    if (r.answers.head_width) v.heads = heads_of(v.width, 0, r.answers.head_width, f.issues());
    return v;
  }
  v.image_size = f.sides("image_size", 224);
  v.width = f.size("width", 768);
  const dim head_width = f.size("head_width", 64);
  v.layers = f.size("layers", 12, 10000);
  v.patch_size = f.sides("patch_size", 16, 4096);
  v.heads = heads_of(v.width, head_width, r.answers.head_width, f.issues());
  v.mlp_width = f.times(v.width, "mlp_ratio", 4.0);
  refuse_vision_variants(f);
  return v;
}

CLIPX_INLINE void vit::write(const config& v, const clip_config& c, layout keys, field_writer& to) {
  to.put("image_size", v.image_size);
  to.put("patch_size", v.patch_size);
  if (keys == layout::hf) {
    expect_hf_sizes(v.image_size, v.patch_size);
    write_hf_transformer(is_meta_clip_2(c) ? "metaclip_2_vision_model" : "clip_vision_model", detail::blocks_of(v),
                         image_choices(c), to);
    to.put("num_channels", dim{3});
    return;
  }
  expect_open_clip_choices(image_choices(c));
  to.put("layers", v.layers);
  to.put("width", v.width);
  to.put("head_width", v.width / v.heads);
  if (v.mlp_width != 4 * v.width) to.put("mlp_ratio", (static_cast<double>(v.mlp_width) + 0.5) / static_cast<double>(v.width));
}

CLIPX_INLINE vit_config vit::infer(shape_reader& r) {
  vit_config v;
  const auto conv = r.sizes("visual.conv1.weight", 4), grid = r.sizes("visual.positional_embedding", 2);
  v.width = conv[0];
  v.patch_size = {conv[2], conv[3]};
  v.image_size = r.image_of("visual.positional_embedding", grid[0], v.patch_size);
  v.layers = r.count("visual.transformer.resblocks.", ".attn.in_proj_weight");
  v.mlp_width = r.has("visual.transformer.resblocks.0.mlp.c_fc.weight")
                    ? r.sizes("visual.transformer.resblocks.0.mlp.c_fc.weight", 2)[0]
                    : 4 * v.width;
  v.heads = 0;
  if (r.answers.head_width) {
    v.heads = heads_of(v.width, 0, r.answers.head_width, r.issues());
    return v;
  }
  for (auto& p : presets())
    if (const auto& known = p.vision.as<vit_config>(); known.width == v.width && known.layers == v.layers) v.heads = known.heads;
  if (v.heads > 0) return v;
  r.issues().add(error_kind::invalid_argument, cat("the heads of an image tower of width ", v.width,
                                                   " cannot be inferred from shapes: give checkpoint_options::head_width"));
  v.heads = 1;
  return v;
}

CLIPX_INLINE void vit::check(const config& v, issue_list& issues) {
  const auto need = [&](bool ok, const std::string& what) {
    if (!ok) issues.add(what);
  };
  need(v.heads >= 1 && v.width % v.heads == 0,
       cat("image tower: width ", v.width, " does not divide into ", v.heads, " heads; set checkpoint_options::head_width"));
  check_grid(v.image_size, v.grid(), issues);
  need(v.mlp_width >= 1, "image tower: the MLP has no columns");
}

CLIPX_INLINE key_source vit::source_of(std::string_view name, layout keys) {
  if (keys == layout::open_clip) {
    const bool table = name == "positional_embedding";
    return {{cat("visual.", name)}, false, table ? key_source::resizing::image_grid : key_source::resizing::none};
  }
  static constexpr std::array<key_row, 6> rows{{{"class_embedding", "vision_model.embeddings.class_embedding"},
                                                {"positional_embedding", "vision_model.embeddings.position_embedding.weight"},
                                                {"conv1.weight", "vision_model.embeddings.patch_embedding.weight"},
                                                {"ln_pre.", "vision_model.pre_layrnorm."},  // transformers' spelling
                                                {"ln_post.", "vision_model.post_layernorm."},
                                                {"proj", "visual_projection.weight", true}}};
  auto found = name.starts_with(detail::vision_blocks)
                   ? hf_block_source(name.substr(detail::vision_blocks.size()), "vision_model.encoder.layers.")
                   : hf_row_source(name, rows);
  expect(found.has_value(), error_kind::unsupported, [&] { return cat("Hugging Face's layout has no place for visual.", name); });
  return *found;
}

/// openai/CLIP's initialize_parameters and PyTorch's defaults (docs/clip.md section 9.3).
CLIPX_INLINE initial_values vit::initial(std::string_view name, const shape& s, const config& v) {
  const auto ends = [&](std::string_view e) { return name.ends_with(e); };
  if (name.starts_with("ln_") || name.find(".ln_") != std::string_view::npos)
    return initial_values::constant(ends(".weight") ? 1 : 0);
  if (ends("in_proj_bias") || ends("out_proj.bias")) return {};
  if (ends("c_fc.bias")) return fan_in(v.width);
  if (ends("c_proj.bias")) return fan_in(v.mlp_width);
  if (name == "class_embedding" || name == "positional_embedding" || name == "proj") return normal_of(v.width);
  if (ends("in_proj_weight")) return initial_values::within(std::sqrt(6.0 / static_cast<double>(s.rows() + s.cols())));  // Xavier
  return fan_in(s.cols());
}

CLIPX_INLINE std::vector<model_fact> vit::facts(const config& v) {
  return {fact_of("patch_size", v.patch_size), {"vision_layers", v.layers}, {"vision_width", v.width}, {"vision_heads", v.heads}};
}

CLIPX_INLINE double vit::flops(const config& v, const clip_config& c) {
  const double patches = 2 * static_cast<double>(v.tokens() - 1) * static_cast<double>(v.width * 3 * v.patch_size.area());
  return patches + transformer_flops(detail::blocks_of(v), v.tokens(), false) + 2 * static_cast<double>(v.width * c.embed_dim);
}

CLIPX_INLINE std::span<const clip_config> vit::presets() {
  constexpr auto quick = activation::quick_gelu, gelu = activation::gelu;
  // clang-format off
  static const clip_config list[] = {
      // name              embed_dim image patch  width layers heads  mlp    text: width layers
      detail::vit_preset{"ViT-B-32",      512, 224, 32,   768, 12, 12, 3072,   512, 12, quick},
      detail::vit_preset{"ViT-B-16",      512, 224, 16,   768, 12, 12, 3072,   512, 12, quick},
      detail::vit_preset{"ViT-L-14",      768, 224, 14,  1024, 24, 16, 4096,   768, 12, quick},
      detail::vit_preset{"ViT-L-14-336",  768, 336, 14,  1024, 24, 16, 4096,   768, 12, quick},
      detail::vit_preset{"ViT-H-14",     1024, 224, 14,  1280, 32, 16, 5120,  1024, 24, gelu},
      detail::vit_preset{"ViT-g-14",     1024, 224, 14,  1408, 40, 16, 6144,  1024, 24, gelu},
      detail::vit_preset{"ViT-bigG-14",  1280, 224, 14,  1664, 48, 16, 8192,  1280, 32, gelu},
  };
  // clang-format on
  return list;
}

}  // namespace clipx
