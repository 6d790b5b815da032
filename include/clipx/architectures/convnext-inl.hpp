// Definitions of convnext.hpp (timm 1.0's convnext.py; open_clip 3.3's timm_model.py).
#pragma once
#include <algorithm>

#include "../core/error.hpp"
#include "convnext.hpp"

namespace clipx {
namespace detail {
/// timm's towers that open_clip's configurations name.
struct timm_convnext {
  std::string_view name;
  std::array<dim, 4> depths, widths;
  double norm_eps = 1e-6;
};
inline constexpr std::array<timm_convnext, 6> timm_convnexts{{{"convnext_tiny", {3, 3, 9, 3}, {96, 192, 384, 768}},
                                                              {"convnext_small", {3, 3, 27, 3}, {96, 192, 384, 768}},
                                                              {"convnext_base", {3, 3, 27, 3}, {128, 256, 512, 1024}},
                                                              {"convnext_large", {3, 3, 27, 3}, {192, 384, 768, 1536}},
                                                              {"convnext_xlarge", {3, 3, 27, 3}, {256, 512, 1024, 2048}},
                                                              {"convnext_xxlarge", {3, 4, 30, 3}, {384, 768, 1536, 3072}, 1e-5}}};
/// The tower with these sizes; else the smallest one.
inline const timm_convnext& nearest_convnext(const convnext_config& v) {
  const auto same = [&](const timm_convnext& t) {
    return t.depths == v.depths && t.widths == v.widths && t.norm_eps == v.norm_eps;
  };
  const auto found = std::find_if(timm_convnexts.begin(), timm_convnexts.end(), same);
  return found == timm_convnexts.end() ? timm_convnexts[0] : *found;
}
inline std::vector<dim> list_of(const std::array<dim, 4>& sizes) { return {sizes.begin(), sizes.end()}; }

/// Arguments of timm.create_model that later versions of open_clip pass on: they replace what the tower's name says.
inline void read_convnext_kwargs(fields& f, convnext_config& v) {
  const auto four = [&](const char* key, std::array<dim, 4>& to, dim most) {
    if (!f.has(key)) return;
    const auto list = f.sizes(key, 4, most);
    std::copy(list.begin(), list.end(), to.begin());
  };
  four("depths", v.depths, 1000);
  four("dims", v.widths, dim{1} << 16);
  v.norm_eps = f.number("norm_eps", v.norm_eps);
  const auto act = f.text("act_layer", "gelu");
  if (act != "gelu" && act != "gelu_tanh") f.issue(cat("act_layer: ", act, " is not supported, only gelu and gelu_tanh"));
  v.act = act == "gelu_tanh" ? activation::gelu_tanh : activation::gelu;
  f.refuse_others();
}

struct convnext_preset {
  const char* name;
  std::string_view tower;
  dim embed_dim, image_size, text_width, text_layers;
  bool mlp_head = false;

  operator clip_config() const {
    clip_config c;
    c.name = name;
    c.embed_dim = embed_dim;
    c.act = activation::gelu;
    convnext_config v{.image_size = image_size, .mlp_head = mlp_head};
    for (auto& t : timm_convnexts)
      if (t.name == tower) v.depths = t.depths, v.widths = t.widths, v.norm_eps = t.norm_eps;
    c.vision = v;
    c.text.width = text_width;
    c.text.heads = text_width / 64;
    c.text.layers = text_layers;
    c.text.mlp_width = 4 * text_width;
    return c;
  }
};
}  // namespace detail

CLIPX_INLINE bool convnext::claims(layout keys, const fields&, const fields& vision) {
  return keys == layout::open_clip && vision.dump("timm_model_name").starts_with("\"convnext_");
}

CLIPX_INLINE convnext_config convnext::read(tower_reader& r) {
  auto& f = r.tower;
  const auto name = f.text("timm_model_name", "");
  const detail::timm_convnext* found = nullptr;
  std::string names;
  for (auto& t : detail::timm_convnexts) {
    if (name == t.name) found = &t;
    names += cat(names.empty() ? "" : ", ", t.name);
  }
  if (!found) f.issue(cat("timm_model_name: ", name, " is not supported, only ", names));
  const auto& t = found ? *found : detail::timm_convnexts[0];
  convnext_config v{.depths = t.depths, .widths = t.widths, .norm_eps = t.norm_eps};
  v.image_size = f.square("image_size", 224);
  if (f.is_null("timm_proj")) f.issue("timm_proj: null is not supported, only linear and mlp");
  const auto pool = f.text("timm_pool", "avg"), projection = f.text("timm_proj", "linear");
  if (!pool.empty() && pool != "avg") f.issue(cat("timm_pool: ", pool, " is not supported, only avg, which the empty one is here"));
  if (projection != "linear" && projection != "mlp")
    f.issue(cat("timm_proj: ", projection.empty() ? "the empty one" : projection, " is not supported, only linear and mlp"));
  v.mlp_head = projection == "mlp";
  auto kwargs = f.object("timm_model_kwargs", "vision_cfg.timm_model_kwargs");
  detail::read_convnext_kwargs(kwargs, v);
  f.only("timm_proj_bias", false);
  f.refuse({"ls_init_value", "act_kwargs", "norm_kwargs", "block_type"});
  f.refuse_true({"attentional_pool", "qk_norm", "scaled_cosine_attn", "scale_heads", "scale_attn_inner", "scale_attn", "scale_fc"});
  f.skip({"layers", "width", "head_width", "mlp_ratio", "patch_size", "output_tokens",
          "timm_model_pretrained"});  // of no effect on a timm tower
  return v;
}

CLIPX_INLINE void convnext::write(const config& v, const clip_config&, layout keys, field_writer& to) {
  expect(keys == layout::open_clip, error_kind::unsupported, "Hugging Face's layout has no ConvNeXt: write layout::open_clip");
  const auto& t = detail::nearest_convnext(v);
  to.put("image_size", v.image_size);
  to.put("timm_model_name", std::string(t.name));
  to.put("timm_model_pretrained", false);
  to.put("timm_pool", "");
  to.put("timm_proj", v.mlp_head ? "mlp" : "linear");
  field_writer kwargs;
  if (t.depths != v.depths) kwargs.put("depths", detail::list_of(v.depths));
  if (t.widths != v.widths) kwargs.put("dims", detail::list_of(v.widths));
  if (t.norm_eps != v.norm_eps) kwargs.put("norm_eps", v.norm_eps);
  if (v.act != activation::gelu) kwargs.put("act_layer", name_of(v.act));
  if (t.depths != v.depths || t.widths != v.widths || t.norm_eps != v.norm_eps || v.act != activation::gelu)
    to.put("timm_model_kwargs", kwargs);
}

CLIPX_INLINE convnext_config convnext::infer(shape_reader& r) {
  convnext_config v;
  for (std::size_t s = 0; s < 4; ++s) {
    const auto prefix = cat("visual.trunk.stages.", s, ".blocks.");
    v.depths[s] = std::max<dim>(1, r.count(prefix, ".conv_dw.weight"));
    v.widths[s] = r.sizes(cat(prefix, "0.conv_dw.weight"), 4)[0];
  }
  v.mlp_head = r.has("visual.head.mlp.fc1.weight");
  const dim D = r.sizes(v.mlp_head ? "visual.head.mlp.fc2.weight" : "visual.head.proj.weight", 2)[0];
  for (auto& t : detail::timm_convnexts)
    if (t.widths == v.widths) v.norm_eps = t.norm_eps;
  for (auto& p : presets()) {
    const auto& known = p.vision.as<convnext_config>();
    if (p.embed_dim != D || known.depths != v.depths || known.widths != v.widths || known.mlp_head != v.mlp_head) continue;
    v.image_size = known.image_size;
    break;
  }
  return v;
}

CLIPX_INLINE void convnext::check(const config& v, issue_list& issues) {
  if (v.image_size < 32 || v.image_size > 16384)
    issues.add(cat("image tower: a ConvNeXt needs images of 32 to 16384 pixels, got ", v.image_size));
  if (!(v.norm_eps > 0)) issues.add(cat("image tower: expected an epsilon above 0, got ", v.norm_eps));
}

CLIPX_INLINE key_source convnext::source_of(std::string_view name, layout keys) {
  expect(keys == layout::open_clip, error_kind::unsupported,
         [&] { return cat("Hugging Face's layout has no place for visual.", name); });
  return {{cat("visual.", name)}};
}

/// timm's _init_weights, whose truncation at 100 deviations is none, and PyTorch's defaults for open_clip's head.
CLIPX_INLINE initial_values convnext::initial(std::string_view name, const shape& s, const config& v) {
  if (name.ends_with(".gamma")) return initial_values::constant(1e-6);
  if (name == "head.mlp.fc1.bias") return fan_in(v.widths[3]);
  if (name.starts_with("head.")) return fan_in(s.cols());
  if (s.sizes.size() >= 2) return initial_values::normal(0.02);
  return initial_values::constant(name.ends_with(".weight") ? 1 : 0);  // vectors are norms' weights, and biases
}

CLIPX_INLINE std::vector<model_fact> convnext::facts(const config& v) {
  return {{"stages", detail::list_of(v.depths)},
          {"vision_widths", detail::list_of(v.widths)},
          {"projection", std::string(v.mlp_head ? "mlp" : "linear")}};
}

CLIPX_INLINE double convnext::flops(const config& v, const clip_config& c) {
  const auto D = static_cast<double>(c.embed_dim), last = static_cast<double>(v.widths[3]);
  double sum = v.mlp_head ? 2 * (last * 2 * D + 2 * D * D) : 2 * last * D, in = 3;
  dim side = v.image_size;
  for (std::size_t s = 0; s < 4; ++s) {
    const dim patch = s ? 2 : 4;
    side /= patch;
    const auto C = static_cast<double>(v.widths[s]), R = static_cast<double>(side * side);
    sum += 2 * R * C * in * static_cast<double>(patch * patch);
    sum += static_cast<double>(v.depths[s]) * 2 * R * C * (49 + 8 * C);
    in = C;
  }
  return sum;
}

CLIPX_INLINE std::span<const clip_config> convnext::presets() {
  // clang-format off
  static const clip_config list[] = {
      // name                                  tower        embed_dim image text_width text_layers
      detail::convnext_preset{"convnext_tiny",         "convnext_tiny",    1024, 224,  512, 12},
      detail::convnext_preset{"convnext_small",        "convnext_small",    512, 224,  512, 12},
      detail::convnext_preset{"convnext_base",         "convnext_base",     512, 224,  512, 12},
      detail::convnext_preset{"convnext_base_w",       "convnext_base",     640, 256,  640, 12},
      detail::convnext_preset{"convnext_base_w_320",   "convnext_base",     640, 320,  640, 12},
      detail::convnext_preset{"convnext_large",        "convnext_large",    768, 224,  768, 12},
      detail::convnext_preset{"convnext_large_d",      "convnext_large",    768, 256,  768, 16, true},
      detail::convnext_preset{"convnext_large_d_320",  "convnext_large",    768, 320,  768, 16, true},
      detail::convnext_preset{"convnext_xlarge",       "convnext_xlarge",  1024, 256, 1024, 20},
      detail::convnext_preset{"convnext_xxlarge",      "convnext_xxlarge", 1024, 256, 1024, 24},
      detail::convnext_preset{"convnext_xxlarge_320",  "convnext_xxlarge", 1024, 320, 1024, 24},
  };
  // clang-format on
  return list;
}

}  // namespace clipx
