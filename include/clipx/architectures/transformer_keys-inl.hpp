// Definitions of transformer_keys.hpp.
#pragma once
#include <array>
#include <cmath>

#include "transformer_keys.hpp"

namespace clipx {

CLIPX_INLINE void read_hf_transformer(tower_reader& r, const char* where, transformer_sizes& s) {
  auto& f = r.tower;
  s.width = f.size("hidden_size", s.width);
  s.mlp_width = f.size("intermediate_size", s.mlp_width);
  s.layers = f.size("num_hidden_layers", s.layers, 10000);
  s.heads = f.size("num_attention_heads", s.heads);
  issue_list settled(error_kind::unsupported);  // if the caller names an activation, the file's does not matter
  const auto act = f.text("hidden_act", hf_name_of(r.shared.act));
  r.shared.act = activation_named(act, where, r.answers.activation.empty() ? f.issues() : settled);
  r.shared.norm_eps = f.number("layer_norm_eps", r.shared.norm_eps);
}

CLIPX_INLINE void write_hf_transformer(const char* type, const transformer_sizes& s, const shared_choices& c, field_writer& to) {
  to.put("model_type", type);
  to.put("hidden_size", s.width);
  to.put("intermediate_size", s.mlp_width);
  to.put("num_hidden_layers", s.layers);
  to.put("num_attention_heads", s.heads);
  to.put("hidden_act", hf_name_of(c.act));
  to.put("layer_norm_eps", c.norm_eps);
  if (c.embed_dim) to.put("projection_dim", c.embed_dim);
}

CLIPX_INLINE shared_choices image_choices(const clip_config& c) { return {c.act, c.norm_eps, c.embed_dim}; }
CLIPX_INLINE shared_choices text_choices(const clip_config& c) { return {c.text_act(), c.text_norm_eps(), c.embed_dim}; }

CLIPX_INLINE void expect_open_clip_choices(const shared_choices& c) {
  expect(c.norm_eps == 1e-5, error_kind::unsupported,
         [&] { return cat("open_clip's layout has no place for layer_norm_eps ", c.norm_eps, "; only 1e-5 can be written"); });
  expect(c.act == activation::quick_gelu || c.act == activation::gelu, error_kind::unsupported, [&] {
    return cat("open_clip's layout of CLIP has no place for the activation ", name_of(c.act), "; only quick_gelu and gelu can be ",
               "written");
  });
}

CLIPX_INLINE std::optional<key_source> hf_block_source(std::string_view name, std::string_view prefix) {
  static constexpr std::array<key_row, 5> keys{{{"ln_1.", "layer_norm1."},
                                                {"attn.out_proj.", "self_attn.out_proj."},
                                                {"ln_2.", "layer_norm2."},
                                                {"mlp.c_fc.", "mlp.fc1."},
                                                {"mlp.c_proj.", "mlp.fc2."}}};
  const auto dot = name.find('.');
  const std::string block = cat(prefix, name.substr(0, dot), ".");
  const auto inside = name.substr(dot + 1);
  if (inside.starts_with("attn.in_proj_")) {
    const auto kind = inside.substr(13);  // weight or bias
    return key_source{
        {cat(block, "self_attn.q_proj.", kind), cat(block, "self_attn.k_proj.", kind), cat(block, "self_attn.v_proj.", kind)}};
  }
  for (auto& key : keys)
    if (inside.starts_with(key.ours)) return key_source{{cat(block, key.hf, inside.substr(key.ours.size()))}};
  return {};
}

CLIPX_INLINE std::optional<key_source> hf_row_source(std::string_view name, std::span<const key_row> rows) {
  for (auto& row : rows)
    if (name == row.ours || (row.ours.back() == '.' && name.starts_with(row.ours)))
      return key_source{{cat(row.hf, name.substr(row.ours.size()))}, row.transposed};
  return {};
}

CLIPX_INLINE activation activation_named(const std::string& name, const char* where, issue_list& issues) {
  for (auto f : {activation::quick_gelu, activation::gelu, activation::gelu_tanh})
    if (name == hf_name_of(f)) return f;
  issues.add(error_kind::unsupported,
             cat(where, ": hidden_act: ", name,
                 " is not supported, only quick_gelu, gelu and gelu_pytorch_tanh; choose one with checkpoint_options::activation"));
  return activation::gelu;
}
CLIPX_INLINE activation answered_activation(const config_answers& answers, issue_list& issues) {
  const auto& name = answers.activation;
  for (auto f : {activation::quick_gelu, activation::gelu, activation::gelu_tanh})
    if (name == name_of(f)) return f;
  issues.add(error_kind::invalid_argument,
             cat("checkpoint_options::activation: activation ", name, " is not supported, only quick_gelu, gelu and gelu_tanh"));
  return activation::gelu;
}
CLIPX_INLINE const char* name_of(activation f) {
  constexpr const char* names[] = {"relu", "gelu", "quick_gelu", "gelu_tanh", "silu"};
  return names[static_cast<int>(f)];
}
CLIPX_INLINE const char* hf_name_of(activation f) { return f == activation::gelu_tanh ? "gelu_pytorch_tanh" : name_of(f); }

CLIPX_INLINE void refuse_vision_variants(fields& f) {
  f.refuse({"ls_init_value", "act_kwargs", "norm_kwargs", "block_type"});
  if (f.has("timm_model_name")) {
    f.issue(cat("timm_model_name: ", f.dump("timm_model_name"),
                " is none of the image towers of timm that are supported; docs/models.md lists those"));
    f.skip({"timm_model_kwargs"});
  }
  f.refuse_true({"attentional_pool", "no_ln_pre", "final_ln_after_pool", "qk_norm", "scaled_cosine_attn", "scale_heads",
                 "scale_attn_inner", "scale_attn", "scale_fc"});
  f.only("pos_embed_type", "learnable");
  f.only("pool_type", "tok");
  f.skip({"output_tokens", "attn_pooler_queries", "attn_pooler_heads", "timm_model_name", "timm_model_pretrained", "timm_pool",
          "timm_proj", "timm_proj_bias"});
}

CLIPX_INLINE void expect_size_of_tower(fields& f, const extent& size, const fields& kwargs, std::string_view tower,
                                       const extent& own) {
  if (size == own || !f.issues().empty()) return;  // what could not be read may be the cause
  const auto source = kwargs.has("img_size") ? "timm_model_kwargs (img_size)" : tower;
  f.issue(error_kind::mismatch, cat("image_size: ", text_of(size), " is not that of ", source, ", ", text_of(own)));
}

CLIPX_INLINE void check_grid(const extent& image_size, const extent& grid, issue_list& issues) {
  const auto image = text_of(image_size);
  if (grid.shorter() < 1) issues.add(cat("image tower: an image of ", image, " pixels holds no patch"));
  if (image_size.longer() > 16384 || grid.longer() > 256)
    issues.add(cat("image tower: an image of ", image, " pixels, ", text_of(grid), " patches a side; at most 16384 and 256"));
}

CLIPX_INLINE void expect_hf_sizes(const extent& image_size, const extent& patch_size) {
  expect(image_size.square() && patch_size.square(), error_kind::unsupported, [&] {
    return cat("Hugging Face's layout has no place for images of ", sides_of(image_size), " pixels with patches of ",
               sides_of(patch_size), ", only for squares: write layout::open_clip");
  });
}

CLIPX_INLINE dim heads_of(dim width, dim stored, dim given, issue_list& issues) {
  if (given == 0) return width / stored;
  if (given > 0 && width % given == 0) return width / given;
  issues.add(error_kind::mismatch,
             cat("checkpoint_options::head_width: ", given, " does not divide the image tower's width, ", width));
  return 1;
}

CLIPX_INLINE initial_values fan_in(dim n) { return initial_values::within(1 / std::sqrt(static_cast<double>(n))); }
CLIPX_INLINE initial_values normal_of(dim n) { return initial_values::normal(1 / std::sqrt(static_cast<double>(n))); }

CLIPX_INLINE double transformer_flops(const transformer_sizes& s, dim rows, bool causal) {
  const auto W = static_cast<double>(s.width), M = static_cast<double>(s.mlp_width), L = static_cast<double>(rows);
  const double pairs = causal ? L * (L + 1) / 2 : L * L;  // number of (query, key) pairs
  const double block = 2 * L * (4 * W * W + 2 * W * M) + 4 * pairs * W;
  const double last = 2 * (2 * L * W * W + 2 * W * W + 2 * W * M) + 4 * L * W;
  return static_cast<double>(s.layers - 1) * block + last;
}

}  // namespace clipx
