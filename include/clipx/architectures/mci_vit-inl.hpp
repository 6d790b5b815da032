// Definitions of mci_vit.hpp (timm 1.0's vision_transformer_hybrid.py).
#pragma once
#include <algorithm>
#include <array>

#include "mci_vit.hpp"

namespace clipx {
namespace detail {
inline constexpr std::string_view mci_name = "vit_base_mci_224";
}  // namespace detail

CLIPX_INLINE bool mci_vit::claims(layout keys, const fields&, const fields& vision) {
  return keys == layout::open_clip && vision.dump("timm_model_name") == cat("\"", detail::mci_name, "\"");
}

CLIPX_INLINE mci_vit_config mci_vit::read(tower_reader& r) {
  auto& f = r.tower;
  mci_vit_config v;
  auto kwargs = f.object("timm_model_kwargs", "vision_cfg.timm_model_kwargs");
  v.image_size = kwargs.square("img_size", v.image_size);
  v.width = kwargs.size("embed_dim", v.width);
  v.layers = kwargs.size("depth", v.layers, 10000);
  v.heads = kwargs.size("num_heads", v.heads);
  v.mlp_width = kwargs.times(v.width, "mlp_ratio", 4.0);
  kwargs.refuse_others();
  if (r.answers.head_width) v.heads = heads_of(v.width, 0, r.answers.head_width, f.issues());
  expect_size_of_tower(f, f.square("image_size", v.image_size), kwargs, detail::mci_name, v.image_size);
  f.only("timm_model_name", std::string(detail::mci_name).c_str());
  f.only("timm_pool", "token");
  if (!f.has("timm_pool")) f.issue("timm_pool: avg is not supported, only token");
  const auto projection = f.text("timm_proj", f.is_null("timm_proj") ? "" : "linear");
  if (!projection.empty()) f.issue(cat("timm_proj: ", projection, " is not supported, only null"));
  r.shared.act = activation::gelu;  // timm's towers do not follow quick_gelu
  r.shared.norm_eps = 1e-6;
  refuse_timm_variants(f);
  f.skip({"timm_proj_bias"});
  return v;
}

CLIPX_INLINE void mci_vit::write(const config& v, const clip_config& c, layout keys, field_writer& to) {
  expect(keys == layout::open_clip, error_kind::unsupported,
         [&] { return cat("Hugging Face's layout has no image tower as that of a ", config::name, ": write layout::open_clip"); });
  expect(c.act == activation::gelu && c.norm_eps == 1e-6, error_kind::unsupported, [&] {
    return cat("open_clip's layout has ", detail::mci_name, " only with the activation gelu and layer_norm_eps 1e-6, not with ",
               name_of(c.act), " and ", c.norm_eps);
  });
  const config named;
  to.put("image_size", v.image_size);
  to.put("timm_model_name", std::string(detail::mci_name));
  to.put("timm_model_pretrained", false);
  to.put("timm_pool", "token");
  to.put("timm_proj", "");
  if (v == named) return;
  field_writer kwargs;
  kwargs.put("img_size", v.image_size);
  kwargs.put("embed_dim", v.width);
  kwargs.put("depth", v.layers);
  kwargs.put("num_heads", v.heads);
  kwargs.put("mlp_ratio", (static_cast<double>(v.mlp_width) + 0.5) / static_cast<double>(v.width));
  to.put("timm_model_kwargs", kwargs);
}

CLIPX_INLINE mci_vit_config mci_vit::infer(shape_reader& r, clip_config& c) {
  const std::string trunk = "visual.trunk.";
  mci_vit_config v;
  v.width = r.sizes(std::string(telltale), 4)[0];
  v.image_size = 16 * shape_reader::side(r.sizes(trunk + "pos_embed", 3)[1] + 1);
  v.layers = r.count(trunk + "blocks.", ".attn.qkv.weight");
  v.mlp_width = v.layers ? r.sizes(trunk + "blocks.0.mlp.fc1.weight", 2)[0] : 4 * v.width;
  v.heads = r.answers.head_width ? heads_of(v.width, 0, r.answers.head_width, r.issues()) : std::max<dim>(v.width / 64, 1);
  plain_text::infer_from(presets(), v, r, c);
  return v;
}

CLIPX_INLINE void mci_vit::check(const config& v, issue_list& issues) {
  const auto need = [&](bool ok, const std::string& what) {
    if (!ok) issues.add(what);
  };
  need(v.heads >= 1 && v.width % v.heads == 0,
       cat("image tower: width ", v.width, " does not divide into ", v.heads, " heads; set checkpoint_options::head_width"));
  need(v.width % 4 == 0, cat("image tower: expected a width that 4 divides, got ", v.width));
  need(v.image_size % 16 == 0 && v.image_size >= 16 && v.image_size <= 4096,
       cat("image tower: expected an image size that 16 divides, at most 4096, got ", v.image_size));
  need(v.mlp_width >= 1, "image tower: the MLP has no columns");
}

CLIPX_INLINE key_source mci_vit::source_of(std::string_view name, layout keys) {
  expect(keys == layout::open_clip, error_kind::unsupported,
         [&] { return cat("Hugging Face's layout has no place for visual.", name, " of this image tower"); });
  static constexpr std::array<key_row, 2> rows{
      {{"trunk.stem.", "visual.trunk.patch_embed.backbone."}, {"trunk.conv1.", "visual.trunk.patch_embed.backbone.2.conv."}}};
  auto found = hf_row_source(name, rows);
  if (!found && name.starts_with("trunk.")) found = timm_vit_source(name.substr(6));
  expect(found.has_value(), error_kind::unsupported, [&] { return cat("the layout has no place for visual.", name); });
  return *found;
}

/// timm's and PyTorch's defaults.
CLIPX_INLINE initial_values mci_vit::initial(std::string_view name, const shape& s, const config& v) {
  const auto ends = [&](std::string_view e) { return name.ends_with(e); };
  if (name.starts_with("trunk.")) name.remove_prefix(6);
  if (ends("running_mean")) return {};
  if (ends("running_var")) return initial_values::constant(1);
  if (name.find("ln_") != std::string_view::npos || name.find(".bn.") != std::string_view::npos)
    return initial_values::constant(ends(".weight") ? 1 : 0);
  if (name.starts_with("conv1.")) return fan_in(v.width);  // 4 windows of W / 4 channels
  if (s.sizes.size() == 4) return fan_in(s.cols());
  if (name == "class_embedding") return initial_values::normal(1e-6);
  return s.sizes.size() < 2 ? initial_values{} : initial_values::normal(0.02);
}

CLIPX_INLINE std::vector<model_fact> mci_vit::facts(const config& v) {
  return {{"patch_size", dim{16}}, {"vision_layers", v.layers}, {"vision_width", v.width}, {"vision_heads", v.heads}};
}

CLIPX_INLINE double mci_vit::flops(const config& v, const clip_config& c) {
  const auto p = v.plain();
  const double W = static_cast<double>(v.width), n = static_cast<double>(v.image_size);
  const double stem = 2 * n * n / 16 * (W / 4) * 48 + 2 * n * n / 64 * (W / 4) * W, patches = 2 * n * n / 256 * W * W;
  return stem + patches + transformer_flops({v.width, v.heads, v.layers, v.mlp_width}, p.tokens(), false) +
         2 * W * static_cast<double>(c.embed_dim);
}

CLIPX_INLINE std::span<const clip_config> mci_vit::presets() {
  static const auto list = [] {
    clip_config c;
    c.act = activation::gelu;
    c.norm_eps = 1e-6;
    c.vision = mci_vit_config{};
    c.text.norm_eps = 1e-5;
    c.name = "MobileCLIP-B";
    auto two = c;
    two.name = "MobileCLIP2-B";
    return std::array<clip_config, 2>{c, two};
  }();
  return list;
}

}  // namespace clipx
