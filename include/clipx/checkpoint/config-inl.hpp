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
  if (const json* kwargs = f.get().find("tokenizer_kwargs"); kwargs && !kwargs->empty())
    f.issue(cat("tokenizer_kwargs: ", kwargs->dump().substr(0, 60), " are not supported"));
}

inline void read_open_clip_pixels(fields& f, preprocess_config& p) {
  p.mean = f.three("mean", p.mean, false);
  p.std = f.three("std", p.std, true);
  const auto interpolation = f.text("interpolation", "bicubic"), mode = f.text("resize_mode", "shortest");
  if (interpolation != "bicubic" && interpolation != "bilinear")
    f.issue(cat("interpolation: ", interpolation, " is not supported, only bicubic and bilinear"));
  p.interpolation = interpolation == "bilinear" ? filter::bilinear : filter::bicubic;
  if (mode != "shortest" && mode != "squash" && mode != "longest")
    f.issue(cat("resize_mode: ", mode, " is not supported, only shortest, squash and longest"));
  p.resize = mode == "squash" ? resize_mode::squash : mode == "longest" ? resize_mode::longest : resize_mode::shortest;
  const double fill = f.number("fill_color", 0);
  if (fill < 0 || fill > 255) f.issue(error_kind::damaged, "fill_color: expected 0 to 255");
  else p.fill = static_cast<std::uint8_t>(fill);
  f.only("mode", "RGB");
  f.skip({"size"});  // open_clip uses the tower's size
  f.refuse_others();
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
    c.model.vision.policy().check(c.model, issues);
    check_count(c.model, issues);
  }
  c.text.context_length = c.model.text.context_length;
  issues.raise(name);
}
}  // namespace detail

CLIPX_INLINE checkpoint_config default_config(const clip_config& model) {
  checkpoint_config c;
  c.model = model;
  c.pixels.size = image_size(model);
  c.text.context_length = model.text.context_length;
  return c;
}

CLIPX_INLINE void check_config(const checkpoint_config& c) {
  issue_list issues(error_kind::mismatch);
  const dim n = image_size(c.model), length = c.model.text.context_length;
  if (c.pixels.size != n) issues.add(cat("images are preprocessed to ", c.pixels.size, " pixels, the image tower takes ", n));
  if (c.text.context_length != length)
    issues.add(cat("texts are cut to ", c.text.context_length, " tokens, the text tower takes ", length));
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
  auto f = detail::fields_of(wrapped ? file["model_cfg"] : file, wrapped ? "model_cfg" : "config", issues);
  c.model.embed_dim = f.size("embed_dim", 0);
  if (!f.has("embed_dim")) f.issue(error_kind::damaged, "embed_dim is missing");
  c.model.act = f.flag("quick_gelu", false) ? activation::quick_gelu : activation::gelu;
  if (!answers.activation.empty()) c.model.act = answered_activation(answers, issues);
  c.model.loss = detail::read_loss(f, extra);
  f.refuse_true({"nonscalar_logit_scale"});
  f.refuse({"multimodal_cfg"});
  f.skip({"custom_text", "init_logit_scale", "cast_dtype", "output_dict"});
  if (!f.has("vision_cfg")) f.issue(error_kind::damaged, "vision_cfg is missing");
  auto vision = f.object("vision_cfg", "vision_cfg"), words = f.object("text_cfg", "text_cfg");
  if (const auto* a = detail::find_architecture(layout::open_clip, f, vision, extra)) {
    if (a->has_text() && !f.has("text_cfg")) f.issue(error_kind::damaged, "text_cfg is missing");
    tower_reader of_vision{layout::open_clip, vision, answers}, of_text{layout::open_clip, words, answers};
    a->read_vision(of_vision, c.model);
    a->read_text(of_text, c.model.text);
  } else {
    f.issue(cat("vision_cfg describes no architecture that clipx knows: ", detail::names_of(known_architectures())));
  }
  detail::read_open_clip_tokenizer(words, c.text);
  for (auto* part : {&f, &vision, &words}) part->refuse_others();
  auto pixels = detail::fields_of(wrapped && file.contains("preprocess_cfg") ? file["preprocess_cfg"] : detail::json::object(),
                                  "preprocess_cfg", issues);
  detail::read_open_clip_pixels(pixels, c.pixels);
  detail::finish_config(c, name, issues);
  return c;
}

namespace detail {
/// A side in pixels as CLIPImageProcessor takes it: a number, [n, n], {height, width} of the same number, and where it is that of a
/// resized image {shortest_edge}. `square`: whether height and width are both given.
inline dim read_side(fields& f, const char* key, dim otherwise, bool shortest, bool& square) {
  const json* v = f.get().find(key);
  if (!v) {
    square = !shortest;
    return otherwise;
  }
  const auto wrong = [&](error_kind kind, const std::string& what) {
    f.issue(kind, cat(key, ": ", what, ", got ", v->dump().substr(0, 60)));
    return otherwise;
  };
  const auto number = [&](const json& n) { return is_whole(n, 16384) ? n.get<dim>() : dim{0}; };
  std::vector<std::pair<std::string, dim>> sides;
  if (v->is_object()) {
    for (auto& [name, n] : v->items())
      if (!n.is_null()) sides.emplace_back(name, number(n));
  } else if (v->is_array() && v->size() == 2) {
    sides = {{"height", number((*v)[0])}, {"width", number((*v)[1])}};
  } else {
    sides.emplace_back(shortest && !square ? "shortest_edge" : "height", number(*v));
    if (sides[0].first == "height") sides.emplace_back("width", sides[0].second);
  }
  square = sides.size() == 2 && sides[0].first == "height" && sides[1].first == "width";
  if (!square && !(shortest && sides.size() == 1 && sides[0].first == "shortest_edge"))
    return wrong(error_kind::unsupported,
                 shortest ? "only shortest_edge, or height and width, are supported" : "only height and width are supported");
  if (sides[0].second == 0 || sides.back().second == 0) return wrong(error_kind::damaged, "expected a side in pixels, 1 to 16384");
  if (sides[0].second != sides.back().second) return wrong(error_kind::unsupported, "only squares are supported");
  return sides[0].second;
}

/// Fields of an image processor that change no pixel.
inline void skip_hf_pixels(fields& f) {
  f.skip({"processor_class", "auto_map", "_valid_processor_keys", "data_format", "input_data_format", "return_tensors", "device",
          "disable_grouping", "image_seq_length", "transformers_version"});
}

/// transformers' CLIPImageProcessor, whose defaults are those of the classes that the file may name.
inline void read_hf_pixels(fields& f, preprocess_config& p, dim image_size) {
  for (auto* key : {"image_processor_type", "feature_extractor_type"}) {
    const auto type = f.text(key, "CLIPImageProcessor");
    if (type != "CLIPImageProcessor" && type != "CLIPImageProcessorFast" && type != "CLIPImageProcessorPil" &&
        type != "CLIPFeatureExtractor")
      f.issue(cat(key, ": ", type, " is not supported, only CLIPImageProcessor"));
  }
  bool square = f.flag("default_to_square", false), of_crop = true;
  p.resize_to = read_side(f, "size", 224, true, square);
  if (square) p.resize = resize_mode::squash;
  const dim crop = read_side(f, "crop_size", 224, false, of_crop);
  const bool cropped = f.flag("do_center_crop", true);
  if (!cropped && !square)
    f.issue("do_center_crop: false is not supported where size is the shortest edge: images keep their shape");
  const auto said = [&](const char* key) { return f.has(key) ? "" : " (CLIPImageProcessor's default)"; };
  if (cropped && crop != image_size)
    f.issue(error_kind::mismatch, cat("crop_size: ", crop, said("crop_size"), " is not the model's image size, ", image_size));
  if (square ? p.resize_to != image_size : p.resize_to < image_size)
    f.issue(error_kind::mismatch, cat("size: ", p.resize_to, said("size"), " does not suit the model's image size, ", image_size));
  p.mean = f.three("image_mean", p.mean, false);
  p.std = f.three("image_std", p.std, true);
  const auto resample = f.number("resample", 3);
  if (resample != 3 && resample != 2) f.issue(cat("resample: ", resample, " is not supported, only 3 (bicubic) and 2 (bilinear)"));
  p.interpolation = resample == 2 ? filter::bilinear : filter::bicubic;
  if (std::abs(f.number("rescale_factor", 1 / 255.0) - 1 / 255.0) > 1e-9) f.issue("rescale_factor: only 1 / 255 is supported");
  for (auto* key : {"do_resize", "do_rescale", "do_normalize", "do_convert_rgb"}) f.only(key, true);
  f.refuse_true({"do_pad", "use_square_size"});
  f.skip({"pad_size"});
  skip_hf_pixels(f);
  f.refuse_others();
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
  const auto file = detail::parse_config(text, name);
  issue_list issues(error_kind::unsupported);
  checkpoint_config c;
  c.keys = layout::hf;
  c.pixels.order = pipeline::hf;
  c.text = tokenizer_options::hf();
  auto top = detail::fields_of(file, "config", issues);
  c.model.embed_dim = top.size("projection_dim", 512);
  auto vision = top.object("vision_config", "vision_config"), words = top.object("text_config", "text_config");
  vision.override_by("vision_config_dict", top);  // the legacy member overrides, if present
  words.override_by("text_config_dict", top);
  c.model.loss = detail::read_loss(top, extra);
  tower_reader of_vision{layout::hf, vision, answers}, of_text{layout::hf, words, answers};
  if (const auto* a = detail::find_architecture(layout::hf, top, vision, extra)) {
    a->read_vision(of_vision, c.model);
    a->read_text(of_text, c.model.text);
  } else {
    top.issue(cat("model_type: ", top.dump("model_type"), " is not supported, only \"clip\""));
  }
  const auto &image = of_vision.shared, &text_side = of_text.shared;
  c.model.act = image.act;
  c.model.norm_eps = image.norm_eps;
  if (!answers.activation.empty()) c.model.act = answered_activation(answers, issues);
  else if (image.act != text_side.act)
    issues.add("vision_config and text_config disagree on hidden_act; choose one with checkpoint_options::activation");
  if (image.norm_eps != text_side.norm_eps) issues.add("vision_config and text_config disagree on layer_norm_eps");
  top.refuse({"auto_map", "quantization_config"});  // code of its own, weights that are not numbers
  if (!preprocessor.empty()) {
    auto pixels =
        detail::fields_of(detail::parse_config(preprocessor, cat(name, " (", preprocessor_name, ")")), preprocessor_name, issues);
    if (c.model.vision) detail::read_hf_pixels(pixels, c.pixels, image_size(c.model));
  }
  detail::finish_config(c, name, issues);
  return c;
}

CLIPX_INLINE std::string open_clip_config_text(const checkpoint_config& c) {
  using detail::json;
  if (c.model.norm_eps != 1e-5)
    fail(error_kind::unsupported,
         cat("open_clip's layout has no place for layer_norm_eps ", c.model.norm_eps, "; only 1e-5 can be written"));
  field_writer model, vision, text;
  const auto& a = c.model.vision.policy();
  a.write_vision(c.model, layout::open_clip, vision);
  a.write_text(c.model, layout::open_clip, text);
  model.put("embed_dim", c.model.embed_dim);
  if (c.model.act == activation::quick_gelu) model.put("quick_gelu", true);
  if (c.model.loss) c.model.loss.policy().write(c.model, model);
  model.put("vision_cfg", vision);
  model.put("text_cfg", text);
  const char* modes[] = {"shortest", "squash", "longest"};
  json pixels{{"mean", detail::short_numbers(c.pixels.mean)}, {"std", detail::short_numbers(c.pixels.std)}};
  pixels["interpolation"] = c.pixels.interpolation == filter::bicubic ? "bicubic" : "bilinear";
  pixels["resize_mode"] = modes[static_cast<int>(c.pixels.resize)];
  if (c.pixels.fill) pixels["fill_color"] = c.pixels.fill;
  return json{{"model_cfg", model.get().object}, {"preprocess_cfg", pixels}}.dump(2) + "\n";
}

CLIPX_INLINE std::string hf_config_text(const checkpoint_config& c, const std::string& dtype, std::int32_t sot, std::int32_t eot,
                                        std::int32_t pad) {
  using detail::json;
  field_writer vision, text, loss;
  const auto& a = c.model.vision.policy();
  a.write_vision(c.model, layout::hf, vision);
  a.write_text(c.model, layout::hf, text);
  if (c.model.loss) c.model.loss.policy().write(c.model, loss);
  expect(loss.get().object.empty(), error_kind::unsupported, [&] {
    return cat("Hugging Face's layout of CLIP has no place for the ", c.model.loss.policy().name(),
               " loss: write layout::open_clip");
  });
  text.put("bos_token_id", dim{sot});
  text.put("pad_token_id", dim{pad});
  text.put("eos_token_id", dim{c.model.text.pool == text_pool::eos ? c.model.text.eos_id : eot});
  const char* torch_name = dtype == "f16" ? "float16" : dtype == "bf16" ? "bfloat16" : "float32";
  return json{{"architectures", {"CLIPModel"}},
              {"model_type", "clip"},
              {"dtype", torch_name},
              {"projection_dim", c.model.embed_dim},
              {"logit_scale_init_value", 2.6592},
              {"text_config", text.get().object},
              {"vision_config", vision.get().object}}
             .dump(2) +
         "\n";
}

CLIPX_INLINE std::string hf_preprocessor_text(const checkpoint_config& c) {
  using detail::json;
  expect(c.pixels.resize != resize_mode::longest, error_kind::unsupported,
         "Hugging Face's layout has no resize_mode longest: write layout::open_clip");
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
