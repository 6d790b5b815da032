// How configurations say that images are preprocessed, in open_clip's layout and in Hugging Face's; for config-inl.hpp.
#pragma once
#include "../io/fields-inl.hpp"
#include "config.hpp"

namespace clipx::detail {

inline void read_open_clip_pixels(fields& f, preprocess_config& p) {
  p.mean = f.three("mean", p.mean, false);
  p.std = f.three("std", p.std, true);
  const char* modes[] = {"shortest", "squash", "longest"};
  const auto interpolation = f.text("interpolation", p.interpolation == filter::bilinear ? "bilinear" : "bicubic"),
             mode = f.text("resize_mode", modes[static_cast<int>(p.resize)]);
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

/// transformers' CLIPImageProcessor, or that of another family, whose defaults are those of the classes that the file may name.
inline void read_hf_pixels(fields& f, preprocess_config& p, const extent& image_size, const model_family& family) {
  const std::string processor(family.hf_processor), extractor = processor.substr(0, processor.rfind("Image")) + "FeatureExtractor";
  for (auto* key : {"image_processor_type", "feature_extractor_type"}) {
    const auto type = f.text(key, processor);
    if (type != processor && type != processor + "Fast" && type != processor + "Pil" && type != extractor)
      f.issue(cat(key, ": ", type, " is not supported, only ", processor));
  }
  bool square = f.flag("default_to_square", family.squash), of_crop = true;
  p.resize_to = read_side(f, "size", 224, true, square);
  if (!f.has("size")) square = family.squash;
  p.resize = square ? resize_mode::squash : resize_mode::shortest;
  const dim crop = read_side(f, "crop_size", 224, false, of_crop);
  const bool cropped = f.flag("do_center_crop", !family.squash);
  if (!cropped && !square)
    f.issue("do_center_crop: false is not supported where size is the shortest edge: images keep their shape");
  const auto said = [&](const char* key) { return f.has(key) ? std::string() : cat(" (", processor, "'s default)"); };
  if (cropped && crop != image_size)
    f.issue(error_kind::mismatch,
            cat("crop_size: ", crop, said("crop_size"), " is not the model's image size, ", text_of(image_size)));
  if (square ? p.resize_to != image_size : p.resize_to < image_size.longer())
    f.issue(error_kind::mismatch,
            cat("size: ", p.resize_to, said("size"), " does not suit the model's image size, ", text_of(image_size)));
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

}  // namespace clipx::detail
