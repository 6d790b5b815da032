// Definitions of config.hpp (spec 7.6; open_clip 3.3's CLIPVisionCfg and CLIPTextCfg; transformers 5's CLIPConfig).
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "../core/error.hpp"
#include "../core/json-inl.hpp"
#include "config.hpp"

namespace clipx {
namespace detail {

/// Reads fields of one JSON object and remembers everything that is wrong with them.
class fields {
 public:
  fields(const json& object, std::string where, std::vector<std::string>& issues)
      : object_(object), where_(std::move(where)), issues_(issues) {
    if (!object_.is_object()) issue("expected an object");
  }
  void issue(const std::string& what) const { issues_.push_back(cat(where_, ": ", what)); }
  const json* find(const char* key) {
    seen_.push_back(key);
    if (!object_.is_object()) return nullptr;
    const auto at = object_.find(key);
    return at == object_.end() || at->is_null() ? nullptr : &*at;
  }
  dim size(const char* key, dim otherwise, dim most = dim{1} << 24) {
    const json* v = find(key);
    if (!v) return otherwise;
    if (v->is_number_unsigned() && v->get<std::uint64_t>() >= 1 && v->get<std::uint64_t>() <= static_cast<std::uint64_t>(most))
      return v->get<dim>();
    issue(cat(key, ": expected a whole number from 1 to ", most, ", got ", v->dump().substr(0, 40)));
    return otherwise;
  }
  double number(const char* key, double otherwise) {
    const json* v = find(key);
    if (!v) return otherwise;
    if (v->is_number() && std::isfinite(v->get<double>())) return v->get<double>();
    issue(cat(key, ": expected a number, got ", v->dump().substr(0, 40)));
    return otherwise;
  }
  std::string text(const char* key, const std::string& otherwise) {
    const json* v = find(key);
    if (!v) return otherwise;
    if (v->is_string()) return v->get<std::string>();
    issue(cat(key, ": expected a string, got ", v->dump().substr(0, 40)));
    return otherwise;
  }
  /// width x the number under `key`, rounded down.
  dim times(dim width, const char* key, double otherwise) {
    const double ratio = number(key, otherwise);
    if (ratio > 0 && ratio <= 1024) return static_cast<dim>(static_cast<double>(width) * ratio);
    issue(cat(key, ": expected a number above 0, at most 1024, got ", ratio));
    return width;
  }
  /// A token's id, or -1 for what can be none.
  std::int32_t token(const char* key, double otherwise) {
    const double id = number(key, otherwise);
    return id >= 0 && id <= 2147483647 ? static_cast<std::int32_t>(id) : -1;
  }
  bool flag(const char* key, bool otherwise) {
    const json* v = find(key);
    if (!v) return otherwise;
    if (v->is_boolean()) return v->get<bool>();
    issue(cat(key, ": expected true or false, got ", v->dump().substr(0, 40)));
    return otherwise;
  }
  std::array<float, 3> three(const char* key, std::array<float, 3> otherwise, bool positive) {
    const json* v = find(key);
    if (!v) return otherwise;
    std::array<float, 3> out{};
    bool good = v->is_array() && v->size() == 3;
    for (std::size_t i = 0; good && i < 3; ++i) {
      good = (*v)[i].is_number();
      if (good) out[i] = (*v)[i].get<float>(), good = std::isfinite(out[i]) && (!positive || out[i] > 0);
    }
    if (good) return out;
    issue(cat(key, ": expected three ", positive ? "positive " : "", "numbers, got ", v->dump().substr(0, 60)));
    return otherwise;
  }
  /// A field that clipx computes for one value alone.
  void only(const char* key, const json& value) {
    if (const json* v = find(key); v && *v != value)
      issue(cat(key, ": ", v->dump().substr(0, 60), " is not supported, only ", value.dump()));
  }
  /// A field that changes no answer.
  void skip(std::initializer_list<const char*> keys) {
    for (auto* k : keys) seen_.push_back(k);
  }
  /// Every field that was not asked for is one that clipx does not know.
  void refuse_others() {
    if (!object_.is_object()) return;
    for (auto& [key, value] : object_.items())
      if (std::find(seen_.begin(), seen_.end(), key) == seen_.end() && !value.is_null())
        issue(cat(key, ": ", value.dump().substr(0, 60), " is not known"));
  }

 private:
  const json& object_;
  std::string where_;
  std::vector<std::string>& issues_;
  std::vector<std::string> seen_;
};

inline void throw_all(const std::string& name, const std::vector<std::string>& issues) {
  if (issues.empty()) return;
  std::string text = cat(name, ":");
  for (auto& i : issues) text += "\n  " + i;
  fail(text);
}

inline json parse_config(std::string_view text, const std::string& name) { return parse_json(text, name, 12); }

inline activation activation_named(const std::string& name, const char* where, std::vector<std::string>& issues) {
  if (name == "quick_gelu") return activation::quick_gelu;
  if (name != "gelu")
    issues.push_back(cat(where, ": activation ", name, " is not supported, only quick_gelu and gelu; --activation settles it"));
  return activation::gelu;
}
inline const char* name_of(activation f) {
  return f == activation::quick_gelu ? "quick_gelu" : f == activation::gelu ? "gelu" : "relu";
}

/// Heads of an image tower. The caller's head width must divide the width; a file's is cut as its library cuts it.
inline dim heads_of(dim width, dim stored, dim given, std::vector<std::string>& issues) {
  if (given == 0) return width / stored;
  if (given > 0 && width % given == 0) return width / given;
  issues.push_back(cat("--head-width: ", given, " does not divide the image tower's width, ", width));
  return 1;
}

/// Floats with the digits that float needs, not double's.
inline json short_numbers(const std::array<float, 3>& v) {
  json out = json::array();
  for (float x : v) out.push_back(std::strtod(cat(x).c_str(), nullptr));
  return out;
}

/// Sizes that no tower can have.
inline void check_sizes(const clip_config& c, std::vector<std::string>& issues) {
  const auto need = [&](bool ok, const std::string& what) {
    if (!ok) issues.push_back(what);
  };
  const auto& v = c.vision;
  need(v.heads >= 1 && (v.is_resnet() ? 32 * v.width : v.width) % v.heads == 0,
       cat("image tower: width ", v.width, " does not divide into ", v.heads, " heads; --head-width settles it"));
  need(c.text.heads >= 1 && c.text.width % c.text.heads == 0,
       cat("text tower: width ", c.text.width, " does not divide into ", c.text.heads, " heads"));
  need(v.grid() >= 1, cat("image tower: an image of ", v.image_size, " pixels holds no patch"));
  need(v.image_size <= 16384 && v.grid() <= 256,
       cat("image tower: an image of ", v.image_size, " pixels, ", v.grid(), " patches a side; at most 16384 and 256"));
  need(!v.is_resnet() || (v.image_size % 32 == 0 && v.width % 2 == 0),
       cat("image tower: a ModifiedResNet needs an image size that 32 divides and an even width, got ", v.image_size, " and ",
           v.width));
  need(v.is_resnet() || v.mlp_width >= 1, "image tower: the MLP has no columns");
  need(c.text.mlp_width >= 1, "text tower: the MLP has no columns");
}

inline void read_open_clip_vision(fields& f, clip_config& c, dim given_head_width, std::vector<std::string>& issues) {
  auto& v = c.vision;
  const json* image = f.find("image_size");
  if (image && image->is_array()) {
    if (image->size() == 2 && (*image)[0] == (*image)[1] && (*image)[0].is_number_unsigned()) v.image_size = (*image)[0].get<dim>();
    else f.issue(cat("image_size: ", image->dump(), " is not supported, only squares"));
  } else {
    v.image_size = f.size("image_size", 224, 16384);
  }
  v.width = f.size("width", 768);
  const dim head_width = f.size("head_width", 64);
  if (const json* layers = f.find("layers"); layers && layers->is_array()) {
    v.layers = 0, v.patch_size = 0, v.mlp_width = 0;
    bool good = layers->size() == 4;
    for (std::size_t i = 0; good && i < 4; ++i) {
      good = (*layers)[i].is_number_unsigned() && (*layers)[i].get<dim>() >= 1 && (*layers)[i].get<dim>() <= 1000;
      if (good) v.stages[i] = (*layers)[i].get<dim>();
    }
    if (!good) f.issue(cat("layers: expected a number or four, got ", layers->dump().substr(0, 40))), v.stages = {1, 1, 1, 1};
    v.heads = heads_of(32 * v.width, head_width, given_head_width, issues);
    f.skip({"patch_size", "mlp_ratio"});
  } else {
    v.layers = f.size("layers", 12, 10000);
    v.patch_size = f.size("patch_size", 16, 4096);
    v.heads = heads_of(v.width, head_width, given_head_width, issues);
    v.mlp_width = f.times(v.width, "mlp_ratio", 4.0);
  }
  for (auto* key : {"ls_init_value", "act_kwargs", "norm_kwargs", "block_type", "timm_model_name"}) f.only(key, nullptr);
  for (auto* key : {"attentional_pool", "no_ln_pre", "final_ln_after_pool", "qk_norm", "scaled_cosine_attn", "scale_heads",
                    "scale_attn_inner", "scale_attn", "scale_fc"})
    f.only(key, false);
  f.only("pos_embed_type", "learnable"), f.only("pool_type", "tok");
  f.skip({"patch_dropout", "output_tokens", "attn_pooler_queries", "attn_pooler_heads", "timm_model_pretrained", "timm_pool",
          "timm_proj", "timm_proj_bias", "timm_drop", "timm_drop_path"});
  f.refuse_others();
}

inline void read_open_clip_text(fields& f, checkpoint_config& c) {
  auto& t = c.model.text;
  t.context_length = f.size("context_length", 77, 65536);
  t.vocab_size = f.size("vocab_size", 49408);
  t.width = f.size("width", 512);
  t.heads = f.size("heads", 8);
  t.layers = f.size("layers", 12, 10000);
  t.mlp_width = f.times(t.width, "mlp_ratio", 4.0);
  const auto pool = f.text("pool_type", "argmax");
  if (pool != "argmax" && pool != "eos") f.issue(cat("pool_type: ", pool, " is not supported, only argmax and eos"));
  t.pool = pool == "eos" ? text_pool::eos : text_pool::argmax;
  t.eos_id = f.token("eos_id", 2);
  c.text = f.text("hf_tokenizer_name", "").empty() ? tokenizer_options::open_clip() : tokenizer_options::open_clip_hf();
  if (const json* kwargs = f.find("tokenizer_kwargs"); kwargs && !kwargs->empty())
    f.issue(cat("tokenizer_kwargs: ", kwargs->dump().substr(0, 60), " are not supported"));
  for (auto* key : {"ls_init_value", "act_kwargs", "norm_kwargs", "block_type", "hf_model_name", "tokenizer_mode"})
    f.only(key, nullptr);
  for (auto* key : {"embed_cls", "no_causal_mask", "final_ln_after_pool", "proj_bias", "qk_norm", "scaled_cosine_attn",
                    "scale_heads", "scale_attn_inner", "scale_attn", "scale_fc"})
    f.only(key, false);
  f.only("proj_type", "linear");
  f.skip({"pad_id", "output_tokens", "hf_model_pretrained", "hf_proj_type", "hf_pooler_type"});
  f.refuse_others();
}

inline void read_open_clip_pixels(fields& f, preprocess_config& p) {
  p.mean = f.three("mean", p.mean, false), p.std = f.three("std", p.std, true);
  const auto interpolation = f.text("interpolation", "bicubic"), mode = f.text("resize_mode", "shortest");
  if (interpolation != "bicubic" && interpolation != "bilinear")
    f.issue(cat("interpolation: ", interpolation, " is not supported, only bicubic and bilinear"));
  p.interpolation = interpolation == "bilinear" ? filter::bilinear : filter::bicubic;
  if (mode != "shortest" && mode != "squash" && mode != "longest")
    f.issue(cat("resize_mode: ", mode, " is not supported, only shortest, squash and longest"));
  p.resize = mode == "squash" ? resize_mode::squash : mode == "longest" ? resize_mode::longest : resize_mode::shortest;
  const double fill = f.number("fill_color", 0);
  if (fill < 0 || fill > 255) f.issue("fill_color: expected 0 to 255");
  else p.fill = static_cast<std::uint8_t>(fill);
  f.only("mode", "RGB");
  f.skip({"size"});  // open_clip takes the tower's
  f.refuse_others();
}
}  // namespace detail

CLIPX_INLINE checkpoint_config read_open_clip_config(std::string_view text, const std::string& name,
                                                     const config_answers& answers) {
  const auto file = detail::parse_config(text, name);
  std::vector<std::string> issues;
  checkpoint_config c;
  const detail::json none = detail::json::object();
  const bool wrapped = file.is_object() && file.contains("model_cfg");
  const auto& model = wrapped ? file["model_cfg"] : file;
  detail::fields f(model, wrapped ? "model_cfg" : "config", issues);
  c.model.embed_dim = f.size("embed_dim", 0);
  if (!f.find("embed_dim")) f.issue("embed_dim is missing");
  c.model.act = f.flag("quick_gelu", false) ? activation::quick_gelu : activation::gelu;
  if (!answers.activation.empty()) c.model.act = detail::activation_named(answers.activation, "--activation", issues);
  if (const auto* bias = f.find("init_logit_bias"); bias && bias->is_number()) c.model.initial_logit_bias = bias->get<double>();
  else if (bias && !bias->is_null()) f.issue(cat("init_logit_bias: expected a number, got ", bias->dump().substr(0, 40)));
  f.only("nonscalar_logit_scale", false), f.only("multimodal_cfg", nullptr);
  f.skip({"custom_text", "init_logit_scale", "cast_dtype", "output_dict"});
  const auto *vision = f.find("vision_cfg"), *words = f.find("text_cfg");
  if (!vision) f.issue("vision_cfg is missing");
  if (!words) f.issue("text_cfg is missing");
  f.refuse_others();
  detail::fields v(vision ? *vision : none, "vision_cfg", issues), t(words ? *words : none, "text_cfg", issues);
  detail::read_open_clip_vision(v, c.model, answers.head_width, issues);
  detail::read_open_clip_text(t, c);
  const bool pixels = wrapped && file.contains("preprocess_cfg");
  detail::fields p(pixels ? file["preprocess_cfg"] : none, "preprocess_cfg", issues);
  detail::read_open_clip_pixels(p, c.pixels);
  c.pixels.size = c.model.vision.image_size;
  c.text.context_length = c.model.text.context_length;
  detail::check_sizes(c.model, issues);
  detail::throw_all(name, issues);
  return c;
}

namespace detail {
inline void read_hf_pixels(fields& f, preprocess_config& p, dim image_size) {
  const auto side = [&](const char* key, dim otherwise) {  // a number, {shortest_edge}, or {height, width}
    const json* v = f.find(key);
    if (!v) return otherwise;
    const auto number = [&](const json& n) {
      return n.is_number_unsigned() && n.get<std::uint64_t>() >= 1 && n.get<std::uint64_t>() <= 16384 ? n.get<dim>() : dim{0};
    };
    dim out = 0;
    if (v->is_number()) out = number(*v);
    else if (v->is_object() && v->contains("shortest_edge")) out = number((*v)["shortest_edge"]);
    else if (v->is_object() && v->contains("height") && v->contains("width") && (*v)["height"] == (*v)["width"]) {
      out = number((*v)["height"]);
      if (std::string_view(key) == "size") p.resize = resize_mode::squash;
    }
    if (out == 0) f.issue(cat(key, ": expected a side in pixels, got ", v->dump().substr(0, 60)));
    return out;
  };
  p.resize_to = side("size", image_size);
  const dim crop = side("crop_size", image_size);
  if (crop != image_size) f.issue(cat("crop_size: ", crop, " is not the model's image size, ", image_size));
  if (p.resize == resize_mode::squash ? p.resize_to != image_size : p.resize_to < image_size)
    f.issue(cat("size: ", p.resize_to, " does not suit the model's image size, ", image_size));
  p.mean = f.three("image_mean", p.mean, false), p.std = f.three("image_std", p.std, true);
  const auto resample = f.number("resample", 3);
  if (resample != 3 && resample != 2) f.issue(cat("resample: ", resample, " is not supported, only 3 (bicubic) and 2 (bilinear)"));
  p.interpolation = resample == 2 ? filter::bilinear : filter::bicubic;
  if (std::abs(f.number("rescale_factor", 1 / 255.0) - 1 / 255.0) > 1e-9) f.issue("rescale_factor: only 1 / 255 is supported");
  for (auto* key : {"do_resize", "do_rescale", "do_normalize", "do_convert_rgb"}) f.only(key, true);
  if (p.resize != resize_mode::squash) f.only("do_center_crop", true);
}

inline void read_hf_tower(fields& f, const char* where, dim& width, dim& mlp, dim& layers, dim& heads, activation& act, double& eps,
                          std::vector<std::string>& issues) {
  width = f.size("hidden_size", width), mlp = f.size("intermediate_size", mlp);
  layers = f.size("num_hidden_layers", layers, 10000), heads = f.size("num_attention_heads", heads);
  act = activation_named(f.text("hidden_act", "quick_gelu"), where, issues);
  eps = f.number("layer_norm_eps", 1e-5);
}
}  // namespace detail

CLIPX_INLINE checkpoint_config read_hf_config(std::string_view text, std::string_view preprocessor, const std::string& name,
                                              const config_answers& answers) {
  auto file = detail::parse_config(text, name);
  std::vector<std::string> issues;
  checkpoint_config c;
  c.keys = layout::hf, c.pixels.order = pipeline::hf, c.text = tokenizer_options::hf();
  detail::fields top(file, "config", issues);
  if (top.text("model_type", "clip") != "clip")
    top.issue(cat("model_type: \"", top.text("model_type", ""), "\" is not supported, only \"clip\""));
  c.model.embed_dim = top.size("projection_dim", 512);
  const auto part = [&](const char* key, const char* legacy) {  // the legacy member, where present, overrides
    detail::json out = detail::json::object();
    for (auto* k : {key, legacy})
      if (const auto* v = top.find(k); v && v->is_object()) out.update(*v);
    return out;
  };
  const auto vision_part = part("vision_config", "vision_config_dict"), text_part = part("text_config", "text_config_dict");
  detail::fields v(vision_part, "vision_config", issues), t(text_part, "text_config", issues);
  auto& image = c.model.vision;
  auto& words = c.model.text;
  activation image_act{}, text_act{};
  double image_eps = 1e-5, text_eps = 1e-5;
  std::vector<std::string> settled;  // what the file says of its activations, where the caller names one
  auto& acts = answers.activation.empty() ? issues : settled;
  detail::read_hf_tower(v, "vision_config", image.width, image.mlp_width, image.layers, image.heads, image_act, image_eps, acts);
  detail::read_hf_tower(t, "text_config", words.width, words.mlp_width, words.layers, words.heads, text_act, text_eps, acts);
  image.image_size = v.size("image_size", 224, 16384), image.patch_size = v.size("patch_size", 32, 4096);
  v.only("num_channels", 3);
  if (answers.head_width) image.heads = detail::heads_of(image.width, 0, answers.head_width, issues);
  words.context_length = t.size("max_position_embeddings", 77, 65536), words.vocab_size = t.size("vocab_size", 49408);
  words.eos_id = t.token("eos_token_id", 49407);
  words.pool = words.eos_id == 2 ? text_pool::argmax : text_pool::eos;  // transformers' rule for old files, whose id is wrong
  c.model.act = image_act, c.model.norm_eps = image_eps;
  if (!answers.activation.empty()) c.model.act = detail::activation_named(answers.activation, "--activation", issues);
  else if (image_act != text_act) issues.push_back("vision_config and text_config disagree on hidden_act; --activation settles it");
  if (image_eps != text_eps) issues.push_back("vision_config and text_config disagree on layer_norm_eps");
  const auto pixels =
      preprocessor.empty() ? detail::json::object() : detail::parse_config(preprocessor, name + " (preprocessor_config.json)");
  detail::fields p(pixels, "preprocessor_config", issues);
  detail::read_hf_pixels(p, c.pixels, image.image_size);
  c.pixels.size = image.image_size;
  c.text.context_length = words.context_length;
  detail::check_sizes(c.model, issues);
  detail::throw_all(name, issues);
  return c;
}

CLIPX_INLINE std::string open_clip_config_text(const checkpoint_config& c) {
  using detail::json;
  const auto& v = c.model.vision;
  const auto& t = c.model.text;
  json vision{{"image_size", v.image_size}};
  if (v.is_resnet()) {
    vision["layers"] = v.stages, vision["width"] = v.width, vision["head_width"] = 32 * v.width / v.heads;
  } else {
    vision["layers"] = v.layers, vision["width"] = v.width, vision["head_width"] = v.width / v.heads,
    vision["patch_size"] = v.patch_size;
    if (v.mlp_width != 4 * v.width) vision["mlp_ratio"] = (static_cast<double>(v.mlp_width) + 0.5) / static_cast<double>(v.width);
  }
  json text{{"context_length", t.context_length},
            {"vocab_size", t.vocab_size},
            {"width", t.width},
            {"heads", t.heads},
            {"layers", t.layers}};
  if (t.mlp_width != 4 * t.width) text["mlp_ratio"] = (static_cast<double>(t.mlp_width) + 0.5) / static_cast<double>(t.width);
  if (t.pool == text_pool::eos) text["pool_type"] = "eos", text["eos_id"] = t.eos_id;
  if (c.model.norm_eps != 1e-5)
    fail(cat("open_clip's layout has no place for layer_norm_eps ", c.model.norm_eps, "; only 1e-5 can be written"));
  json model{{"embed_dim", c.model.embed_dim}};
  if (c.model.act == activation::quick_gelu) model["quick_gelu"] = true;
  if (c.model.initial_logit_bias) model["init_logit_bias"] = *c.model.initial_logit_bias;
  model["vision_cfg"] = vision, model["text_cfg"] = text;
  const char* modes[] = {"shortest", "squash", "longest"};
  json pixels{{"mean", detail::short_numbers(c.pixels.mean)}, {"std", detail::short_numbers(c.pixels.std)}};
  pixels["interpolation"] = c.pixels.interpolation == filter::bicubic ? "bicubic" : "bilinear";
  pixels["resize_mode"] = modes[static_cast<int>(c.pixels.resize)];
  if (c.pixels.fill) pixels["fill_color"] = c.pixels.fill;
  return json{{"model_cfg", model}, {"preprocess_cfg", pixels}}.dump(2) + "\n";
}

CLIPX_INLINE std::string hf_config_text(const checkpoint_config& c, const std::string& dtype, std::int32_t sot, std::int32_t eot,
                                        std::int32_t pad) {
  using detail::json;
  const auto& v = c.model.vision;
  const auto& t = c.model.text;
  expect(!v.is_resnet(), "Hugging Face's layout has no ModifiedResNet: write --layout open_clip");
  expect(!c.model.initial_logit_bias, "Hugging Face's layout of CLIP has no bias of the sigmoid loss: write --layout open_clip");
  const auto tower = [&](const char* type, dim width, dim mlp, dim layers, dim heads) {
    return json{{"model_type", type},
                {"hidden_size", width},
                {"intermediate_size", mlp},
                {"num_hidden_layers", layers},
                {"num_attention_heads", heads},
                {"hidden_act", detail::name_of(c.model.act)},
                {"layer_norm_eps", c.model.norm_eps},
                {"projection_dim", c.model.embed_dim}};
  };
  json text = tower("clip_text_model", t.width, t.mlp_width, t.layers, t.heads);
  text["max_position_embeddings"] = t.context_length, text["vocab_size"] = t.vocab_size;
  text["bos_token_id"] = sot, text["pad_token_id"] = pad, text["eos_token_id"] = t.pool == text_pool::eos ? t.eos_id : eot;
  json vision = tower("clip_vision_model", v.width, v.mlp_width, v.layers, v.heads);
  vision["image_size"] = v.image_size, vision["patch_size"] = v.patch_size, vision["num_channels"] = 3;
  const char* torch_name = dtype == "f16" ? "float16" : dtype == "bf16" ? "bfloat16" : "float32";
  return json{{"architectures", {"CLIPModel"}},
              {"model_type", "clip"},
              {"dtype", torch_name},
              {"projection_dim", c.model.embed_dim},
              {"logit_scale_init_value", 2.6592},
              {"text_config", text},
              {"vision_config", vision}}
             .dump(2) +
         "\n";
}

CLIPX_INLINE std::string hf_preprocessor_text(const checkpoint_config& c) {
  using detail::json;
  expect(c.pixels.resize != resize_mode::longest, "Hugging Face's layout has no resize_mode longest: write --layout open_clip");
  const dim n = c.pixels.size;
  const bool squash = c.pixels.resize == resize_mode::squash;
  json size = squash ? json{{"height", n}, {"width", n}} : json{{"shortest_edge", c.pixels.resize_to ? c.pixels.resize_to : n}};
  return json{{"image_processor_type", "CLIPImageProcessor"},
              {"do_convert_rgb", true},
              {"do_resize", true},
              {"size", size},
              {"resample", c.pixels.interpolation == filter::bicubic ? 3 : 2},
              {"do_center_crop", !squash},
              {"crop_size", {{"height", n}, {"width", n}}},
              {"do_rescale", true},
              {"rescale_factor", 1 / 255.0},
              {"do_normalize", true},
              {"image_mean", detail::short_numbers(c.pixels.mean)},
              {"image_std", detail::short_numbers(c.pixels.std)}}
             .dump(2) +
         "\n";
}

}  // namespace clipx
