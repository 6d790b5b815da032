// Definitions of config.hpp (docs/clip.md section 7.6; open_clip 3.3's CLIPVisionCfg
// and CLIPTextCfg; transformers 5's CLIPConfig).
#pragma once
#include <algorithm>
#include <cmath>

#include "../architectures/list.hpp"
#include "../io/fields-inl.hpp"
#include "../loss/list.hpp"
#include "config.hpp"
#include "keys.hpp"
#include "pixel_fields-inl.hpp"

namespace clipx {
namespace detail {

inline json parse_config(std::string_view text, const std::string& name) { return parse_json(text, name, 12); }

/// The first policy, of the caller's and then of the list, that claims a configuration; null if none does.
template <class Policy, class Claims>
const Policy* find_policy(std::span<const Policy* const> first, std::span<const Policy* const> known, Claims&& claims) {
  for (auto list : {first, known})
    for (auto* p : list)
      if (claims(*p)) return p;
  return nullptr;
}
inline const architecture* find_architecture(layout keys, const fields& model, const fields& vision, const extra_policies& extra) {
  return find_policy<architecture>(extra.architectures, known_architectures(),
                                   [&](const architecture& a) { return a.claims(keys, model, vision); });
}
inline chosen<loss_policy> read_loss(fields& model, const extra_policies& extra) {
  const auto* loss = find_policy<loss_policy>(extra.losses, known_losses(), [&](const loss_policy& l) { return l.claims(model); });
  return loss->read(model);  // the contrastive loss claims what no other loss does
}
inline std::string names_of(std::span<const architecture* const> list) {
  std::string out;
  for (auto* a : list) out += cat(out.empty() ? "" : ", ", a->name());
  return out;
}

inline void read_open_clip_tokenizer(fields& f, tokenizer_options& t) {
  t = f.text("hf_tokenizer_name", "").empty() ? tokenizer_options::open_clip() : tokenizer_options::open_clip_hf();
  auto kwargs = f.object("tokenizer_kwargs", "text_cfg.tokenizer_kwargs");
  const auto clean = kwargs.text("clean", "");
  if (clean == "canonicalize") t.clean = clean_rule::canonicalize;
  else if (clean == "whitespace") t.clean = clean_rule::whitespace;
  else if (clean == "lower") t.clean = clean_rule::openai;
  else if (!clean.empty()) kwargs.issue(cat("clean: ", clean, " is not supported, only lower, whitespace and canonicalize"));
  if (kwargs.flag("strip_sep_token", false)) {
    if (t.follows == tokenizer_options::library::hf) t.frame.zeroed = token_frame::from_files;
    else kwargs.issue("strip_sep_token: true needs an hf_tokenizer_name");
  }
  kwargs.refuse_others();
}
/// The same fields, where open_clip's own tokenizer does not read the folder: not for CLIP's vocabulary out of Hugging Face's
/// layout, nor for n-grams. Of a local folder open_clip reads the tokenizer there, whatever the name. Texts that transformers' own
/// tokenizer cleans (clean_rule::none) are cleaned as open_clip's own configurations say: SigLIP's canonically.
inline void write_open_clip_tokenizer(const checkpoint_config& c, const model_family& family, field_writer& to) {
  const auto& t = c.text;
  const bool own = !family.custom_text && family.hf_type == model_family{}.hf_type && c.keys == layout::hf;
  if (t.follows != tokenizer_options::library::hf || own || c.model.text.pool == text_pool::none) return;
  field_writer kwargs;
  const bool canonical = t.clean == clean_rule::canonicalize || (t.clean == clean_rule::none && family.custom_text);
  kwargs.put("clean", canonical ? "canonicalize" : t.clean == clean_rule::openai ? "lower" : "whitespace");
  if (t.frame.zeroed != token_frame::none) kwargs.put("strip_sep_token", true);
  to.put("hf_tokenizer_name", "local-dir");
  to.put("tokenizer_kwargs", kwargs);
}

constexpr const char* hf_text_name = "hf_text_config";  // beside model_cfg, where open_clip reads nothing

/// model_cfg, whose text_cfg gets what stands under hf_text_config: a config.json of Hugging Face, for a text tower that is another
/// of its models than those that clipx knows by name.
inline json with_hf_text(const json& file) {
  json model = file["model_cfg"];
  if (file.contains(hf_text_name) && model.is_object() && model.contains("text_cfg") && model["text_cfg"].is_object())
    model["text_cfg"][hf_text_name] = file[hf_text_name];
  return model;
}

/// How the texts of this model become rows: their length, and whether they are padded.
inline void frame_texts(tokenizer_options& o, const text_config& c) {
  o.context_length = c.context_length;
  o.frame.fill = c.filled();
  const bool own = o.follows == tokenizer_options::library::simple;
  if (o.frame.fill && own && o.frame.pad == token_frame::from_files) o.frame.pad = 0;  // whatever the files are, as in open_clip
}
/// How the images of an architecture are preprocessed where no file says it.
inline void set_family_pixels(preprocess_config& p, const model_family& f) {
  p.mean = f.mean;
  p.std = f.std;
  p.resize = f.squash ? resize_mode::squash : resize_mode::shortest;
  p.interpolation = f.bilinear ? filter::bilinear : filter::bicubic;
}

/// The model's activation and epsilon, from those of its towers.
inline void set_choices(clip_config& c, const shared_choices& image, const shared_choices& text) {
  c.act = image.act;
  c.norm_eps = image.norm_eps;
  if (text.act != image.act) c.text.act = text.act;
  if (text.norm_eps != image.norm_eps) c.text.norm_eps = text.norm_eps;
}

/// The activation that the caller names, of both towers.
inline void answer_activation(clip_config& c, const config_answers& answers, issue_list& issues) {
  if (answers.activation.empty()) return;
  if (c.text.hf.name.empty()) c.text.act.reset();
  else c.text.act = c.text_act();  // which its own configuration says
  c.act = answered_activation(answers, issues);
}

/// An issue where the numbers of a configuration that is otherwise fine multiply to more than any machine holds, or than 64 bits.
inline void check_count(const clip_config& c, issue_list& issues) {
  constexpr dim most = dim{1} << 40;
  if (!issues.empty()) return;  // shapes are of no meaning
  dim sum = 0;
  for (auto& [name, s] : parameter_shapes(c)) {
    dim count = 1;
    for (const dim size : s.sizes) count = size > 0 && count > most / size ? most + 1 : count * size;
    sum += count;
    if (sum <= most) continue;
    return issues.add(
        cat("the model has more than ", most, " parameters, as ", name, " of ", s.text(), " shows; expected at most that"));
  }
}

/// Sets what follows from the sizes of the model.
inline void finish_config(checkpoint_config& c, const std::string& name, issue_list& issues) {
  if (c.model.vision) {
    c.pixels.size = image_size(c.model);
    if (issues.empty()) {  // else defaults stand for what could not be read
      c.model.vision.policy().check(c.model, issues);
      check_count(c.model, issues);
    }
  }
  frame_texts(c.text, c.model.text);
  issues.raise(name);
}

/// f(key, fraction) for each, as open_clip's configurations name them.
template <class Dropout, class F>
void each_dropout(Dropout& d, F&& f) {
  f("patch_dropout", d.patches);
  f("timm_drop", d.values);
  f("timm_drop_path", d.paths);
}
inline void read_dropout(fields& vision, image_dropout& d) {
  each_dropout(d, [&](const char* key, double& value) {
    value = vision.number(key, 0);
    if (!(value >= 0 && value < 1)) vision.issue(cat(key, ": expected a fraction of 0 to below 1, got ", value));
  });
}
}  // namespace detail

CLIPX_INLINE checkpoint_config default_config(const clip_config& model) {
  checkpoint_config c;
  c.model = model;
  if (!model.text.hf.name.empty()) c.text = tokenizer_options::open_clip_hf();
  c.pixels.size = image_size(model);
  detail::set_family_pixels(c.pixels, model.vision.policy().family(model));
  detail::frame_texts(c.text, model.text);
  return c;
}

CLIPX_INLINE void check_config(const checkpoint_config& c) {
  issue_list issues(error_kind::mismatch);
  if (c.model.towers != tower_set::both) issues.add("expected a model with both towers, got one alone");
  const extent n = image_size(c.model);
  const dim length = c.model.text.context_length;
  if (c.pixels.size != n)
    issues.add(cat("images are preprocessed to ", text_of(c.pixels.size), " pixels, the image tower takes ", text_of(n)));
  if (c.text.context_length != length)
    issues.add(cat("texts are cut to ", c.text.context_length, " tokens, the text tower takes ", length));
  if (c.model.text.filled() && !c.text.frame.fill)
    issues.add(cat("texts are not padded, the text tower ",
                   c.model.text.causal ? "pools the last position" : "is not causal: padding is a part of a text",
                   ": set tokenizer_options::frame.fill"));
  c.model.vision.policy().check(c.model, issues);
  detail::check_count(c.model, issues);
  issues.raise("the configuration does not agree with itself");
}

CLIPX_INLINE checkpoint_config read_open_clip_config(std::string_view text, const std::string& name, const config_answers& answers,
                                                     const extra_policies& extra) {
  const auto file = detail::parse_config(text, name);
  issue_list issues(error_kind::unsupported);
  checkpoint_config c;
  const bool wrapped = file.is_object() && file.contains("model_cfg");
  auto f = detail::fields_of(wrapped ? detail::with_hf_text(file) : file, wrapped ? "model_cfg" : "config", issues);
  c.model.embed_dim = f.size("embed_dim", 0);
  if (!f.has("embed_dim")) f.issue(error_kind::damaged, "embed_dim is missing");
  const shared_choices beside{f.flag("quick_gelu", false) ? activation::quick_gelu : activation::gelu};
  c.model.loss = detail::read_loss(f, extra);
  f.refuse_true({"nonscalar_logit_scale"});
  f.refuse({"multimodal_cfg"});
  f.skip({"custom_text", "init_logit_scale", "cast_dtype", "output_dict"});
  if (!f.has("vision_cfg")) f.issue(error_kind::damaged, "vision_cfg is missing");
  auto vision = f.object("vision_cfg", "vision_cfg"), words = f.object("text_cfg", "text_cfg");
  if (const auto* a = detail::find_architecture(layout::open_clip, f, vision, extra)) {
    if (a->has_text() && !f.has("text_cfg")) f.issue(error_kind::damaged, "text_cfg is missing");
    tower_reader of_vision{layout::open_clip, vision, answers, beside}, of_text{layout::open_clip, words, answers, beside};
    a->read_vision(of_vision, c.model);
    a->read_text(of_text, c.model.text);
    detail::read_dropout(vision, c.model.dropout);
    detail::set_choices(c.model, of_vision.shared, of_text.shared);
    if (!wrapped) detail::set_family_pixels(c.pixels, a->family(c.model));
  } else {
    f.issue(cat("vision_cfg describes no architecture that clipx knows: ", detail::names_of(known_architectures())));
  }
  detail::answer_activation(c.model, answers, issues);
  detail::read_open_clip_tokenizer(words, c.text);
  for (auto* part : {&f, &vision, &words}) part->refuse_others();
  auto pixels = detail::fields_of(wrapped && file.contains("preprocess_cfg") ? file["preprocess_cfg"] : detail::json::object(),
                                  "preprocess_cfg", issues);
  detail::read_open_clip_pixels(pixels, c.pixels);
  detail::finish_config(c, name, issues);
  return c;
}

namespace detail {
/// The values of model_type that clipx reads, for messages.
inline std::string hf_types() {
  std::vector<std::string> types;
  for (auto* a : known_architectures()) {
    const auto family = a->family({});
    for (auto name : {family.hf_type, family.hf_text_type})
      if (auto type = cat("\"", name, "\""); !name.empty() && std::find(types.begin(), types.end(), type) == types.end())
        types.push_back(std::move(type));
  }
  std::string out;
  for (auto& type : types) out += cat(out.empty() ? "" : " and ", type);
  return out;
}

/// The configuration of a tower alone, whose fields are on the top level, becomes that of a model of which the other tower says
/// nothing: CLIPVisionModelWithProjection (model_type clip_vision_model), CLIPTextModelWithProjection (clip_text_model), and text
/// towers in a form of their own (model_family::hf_text_type).
inline tower_set wrap_tower(json& file, const extra_policies& extra, issue_list& issues) {
  const auto type = file.is_object() && file.contains("model_type") && file["model_type"].is_string()
                        ? file["model_type"].get<std::string>()
                        : std::string();
  struct form {
    const char *ending, *name, *part;
    tower_set is;
  };
  for (auto& [ending, name, part, is] : {form{"_vision_model", "VisionModel", "vision_config", tower_set::image},
                                         form{"_text_model", "TextModel", "text_config", tower_set::text}}) {
    const auto here = [&, end = ending](const architecture& a) {
      return a.family({}).hf_projections && cat(a.family({}).hf_type, end) == type;
    };
    const auto* a = find_policy<architecture>(extra.architectures, known_architectures(), here);
    if (!a) continue;
    const auto family = a->family({});
    const auto base = cat(family.hf_model.substr(0, family.hf_model.find("Model")), name);
    if (file.contains("architectures") && file["architectures"] == json::array({base}))
      issues.add(cat(base, " has no projection, so its outputs are not embeddings: expected ", base, "WithProjection"));
    json both{{"model_type", std::string(family.hf_type)}, {part, file}};
    for (auto* key : {"projection_dim", "auto_map", "quantization_config"})
      if (file.contains(key)) both[key] = file[key];
    file = std::move(both);
    return is;
  }
  const auto own_form = [&](const architecture& a) { return !type.empty() && a.family({}).hf_text_type == type; };
  if (!find_policy<architecture>(extra.architectures, known_architectures(), own_form)) return tower_set::both;
  file = json{{"model_type", type}, {"text_config", file}};
  return tower_set::text;
}

/// The loss of a model in Hugging Face's layout: that of its family, of CLIP's also one of the caller's that claims the file.
inline chosen<loss_policy> hf_loss(fields& top, const model_family& family, const extra_policies& extra) {
  for (auto* loss : known_losses())
    if (loss->name() == family.hf_loss && family.hf_loss != model_family{}.hf_loss) return loss->read(top);
  return read_loss(top, extra);
}

/// The image_processor of a processor_config.json, as text; empty: it has none.
inline std::string image_processor_in(const std::string& text, const std::string& name) {
  const auto file = parse_config(text, name);
  expect(file.is_object(), error_kind::damaged, [&] { return cat(name, ": expected an object"); });
  const auto at = file.find("image_processor");
  return at == file.end() || at->is_null() ? std::string() : at->dump();
}
}  // namespace detail

CLIPX_INLINE checkpoint_config read_hf_config(std::string_view text, std::string_view preprocessor, const std::string& name,
                                              const config_answers& answers, const extra_policies& extra,
                                              const std::string& preprocessor_name) {
  auto file = detail::parse_config(text, name);
  issue_list issues(error_kind::unsupported);
  checkpoint_config c;
  c.keys = layout::hf;
  c.model.towers = detail::wrap_tower(file, extra, issues);
  c.pixels.order = pipeline::hf;
  c.text = tokenizer_options::hf();
  auto top = detail::fields_of(file, "config", issues);
  auto vision = top.object("vision_config", "vision_config"), words = top.object("text_config", "text_config");
  vision.override_by("vision_config_dict", top);  // the legacy member overrides, if present
  words.override_by("text_config_dict", top);
  tower_reader of_vision{layout::hf, vision, answers}, of_text{layout::hf, words, answers};
  of_vision.model_type = of_text.model_type = top.text("model_type", "");
  model_family family;
  if (const auto* a = detail::find_architecture(layout::hf, top, vision, extra)) {
    a->read_vision(of_vision, c.model);
    a->read_text(of_text, c.model.text);
    family = a->family(c.model);
  } else {
    top.issue(cat("model_type: ", top.dump("model_type"), " is not supported, only ", detail::hf_types()));
  }
  c.model.loss = detail::hf_loss(top, family, extra);
  const auto &image = (c.model.towers == tower_set::text ? of_text : of_vision).shared,
             &text_side = (c.model.towers == tower_set::image ? of_vision : of_text).shared;
  c.model.embed_dim = image.embed_dim ? image.embed_dim : top.size("projection_dim", 512);
  if (text_side.embed_dim && text_side.embed_dim != c.model.embed_dim)
    issues.add(error_kind::mismatch, cat("text_config: its embeddings have ", text_side.embed_dim,
                                         " columns, those of vision_config ", c.model.embed_dim));
  detail::set_choices(c.model, image, text_side);
  detail::answer_activation(c.model, answers, issues);
  detail::set_family_pixels(c.pixels, family);
  top.refuse({"auto_map", "quantization_config"});  // code of its own, weights that are not numbers
  if (!preprocessor.empty() && c.model.towers != tower_set::text) {
    auto pixels =
        detail::fields_of(detail::parse_config(preprocessor, cat(name, " (", preprocessor_name, ")")), preprocessor_name, issues);
    if (c.model.vision) detail::read_hf_pixels(pixels, c.pixels, image_size(c.model), family);
  }
  detail::finish_config(c, name, issues);
  return c;
}

CLIPX_INLINE std::string open_clip_config_text(const checkpoint_config& c) {
  using detail::json;
  field_writer model, vision, text;
  const auto& a = c.model.vision.policy();
  a.write_vision(c.model, layout::open_clip, vision);
  detail::each_dropout(c.model.dropout, [&](const char* key, double value) {
    if (value != 0) vision.put(key, value);
  });
  a.write_text(c.model, layout::open_clip, text);
  model.put("embed_dim", c.model.embed_dim);
  // It is the activation of open_clip's own towers, which timm's image towers and Hugging Face's text towers are not.
  const auto own = c.model.text.masks_padding() ? c.model.act : c.model.text_act();
  if (own == activation::quick_gelu) model.put("quick_gelu", true);
  const auto family = a.family(c.model);
  if (family.custom_text) model.put("custom_text", true);
  detail::write_open_clip_tokenizer(c, family, text);
  if (c.model.loss) c.model.loss.policy().write(c.model, model);
  model.put("vision_cfg", vision);
  model.put("text_cfg", text);
  const char* modes[] = {"shortest", "squash", "longest"};
  json pixels{{"mean", detail::short_numbers(c.pixels.mean)}, {"std", detail::short_numbers(c.pixels.std)}};
  pixels["interpolation"] = c.pixels.interpolation == filter::bicubic ? "bicubic" : "bilinear";
  pixels["resize_mode"] = modes[static_cast<int>(c.pixels.resize)];
  if (c.pixels.fill) pixels["fill_color"] = c.pixels.fill;
  json out{{"model_cfg", model.get().object}, {"preprocess_cfg", pixels}};
  if (auto& words = out["model_cfg"]["text_cfg"]; words.contains(detail::hf_text_name)) {
    out[detail::hf_text_name] = words[detail::hf_text_name];
    words.erase(detail::hf_text_name);
  }
  return out.dump(2) + "\n";
}

CLIPX_INLINE std::string hf_config_text(const checkpoint_config& c, const std::string& dtype, std::int32_t sot, std::int32_t eot,
                                        std::int32_t pad) {
  using detail::json;
  field_writer vision, text, loss;
  const auto& a = c.model.vision.policy();
  a.write_vision(c.model, layout::hf, vision);
  a.write_text(c.model, layout::hf, text);
  const auto family = a.family(c.model);
  const bool own_loss = loss_of(c.model).name() == family.hf_loss;
  if (c.model.loss && !own_loss) c.model.loss.policy().write(c.model, loss);
  expect(own_loss || (family.hf_loss == model_family{}.hf_loss && loss.get().object.empty()), error_kind::unsupported, [&] {
    return cat("Hugging Face's layout of ", family.hf_model, " has no place for the ", loss_of(c.model).name(),
               " loss: write layout::open_clip");
  });
  text.put("bos_token_id", dim{sot});
  text.put("pad_token_id", dim{pad});
  text.put("eos_token_id", dim{c.model.text.pool == text_pool::eos ? c.model.text.eos_id : eot});
  const char* torch_name = dtype == "f16" ? "float16" : dtype == "bf16" ? "bfloat16" : "float32";
  json out{{"architectures", {std::string(family.hf_model)}},
           {"model_type", std::string(family.hf_type)},
           {"dtype", torch_name},
           {"text_config", text.get().object},
           {"vision_config", vision.get().object}};
  if (family.hf_loss == model_family{}.hf_loss) {
    out["projection_dim"] = c.model.embed_dim;
    out["logit_scale_init_value"] = 2.6592;
  }
  return out.dump(2) + "\n";
}

CLIPX_INLINE std::string hf_preprocessor_text(const checkpoint_config& c) {
  using detail::json;
  expect(c.pixels.resize != resize_mode::longest, error_kind::unsupported,
         "Hugging Face's layout has no resize_mode longest: write layout::open_clip");
  expect(c.pixels.size.square(), error_kind::unsupported, [&] {
    return cat("Hugging Face's layout has no place for images of ", sides_of(c.pixels.size),
               " pixels, only for squares: write layout::open_clip");
  });
  const dim n = c.pixels.size.height;
  const bool squash = c.pixels.resize == resize_mode::squash;
  const auto family = c.model.vision.policy().family(c.model);
  expect(squash || !family.squash, error_kind::unsupported, [&] {
    return cat(family.hf_processor,
               " resizes images to the square: it has no place for another resize_mode; write layout::open_clip");
  });
  json size = squash ? json{{"height", n}, {"width", n}} : json{{"shortest_edge", c.pixels.resize_to ? c.pixels.resize_to : n}};
  json out{{"image_processor_type", std::string(family.hf_processor)},
           {"do_convert_rgb", true},
           {"do_resize", true},
           {"size", size},
           {"resample", c.pixels.interpolation == filter::bicubic ? 3 : 2},
           {"do_rescale", true},
           {"rescale_factor", 1 / 255.0},
           {"do_normalize", true},
           {"image_mean", detail::short_numbers(c.pixels.mean)},
           {"image_std", detail::short_numbers(c.pixels.std)}};
  if (!family.squash) {
    out["do_center_crop"] = !squash;
    out["crop_size"] = {{"height", n}, {"width", n}};
  }
  return out.dump(2) + "\n";
}

}  // namespace clipx
