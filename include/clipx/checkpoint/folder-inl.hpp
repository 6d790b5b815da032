// How a checkpoint is opened: the files that a folder must have, which of two configurations is meant, the tokenizer.
#pragma once
#include <filesystem>
#include <initializer_list>
#include <tuple>

#include "../io/file_set.hpp"
#include "checkpoint.hpp"
#include "config-inl.hpp"
#include "names.hpp"

namespace clipx {
namespace detail {
inline std::shared_ptr<const tensor_file> open_weights(const file_set& files, const std::string& name) {
  return std::make_shared<const tensor_file>(tensor_file::open(files, name));
}

/// The first of the named files that is there; where none is, the one file that could hold weights.
inline std::shared_ptr<const tensor_file> open_weights(const file_set& files, const std::string& path,
                                                       std::initializer_list<const char*> names) {
  std::string list, others;
  for (auto* n : names) {
    if (files.has(n)) return open_weights(files, n);
    list += cat(list.empty() ? "" : ", ", n);
  }
  std::vector<std::string> found;
  for (auto& name : files.names())
    for (auto* end : {".safetensors", ".bin", ".pt", ".pth"})
      if (name.ends_with(end)) found.push_back(name);
  if (found.size() == 1) return open_weights(files, found[0]);
  for (auto& name : found) others += cat(others.empty() ? "; of these, one alone would be read: " : ", ", name);
  fail(error_kind::not_found, cat(path, ": no weights: expected one of ", list, others));
}

/// A folder as it was opened.
struct opened_model {
  checkpoint_config config;
  std::shared_ptr<const tensor_file> weights;
  std::vector<std::string> warnings;
};

constexpr const char *open_clip_name = "open_clip_config.json", *hf_name = "config.json", *pixels_name = "preprocessor_config.json",
                     *processor_name = "processor_config.json";

/// In the order in which transformers and open_clip prefer them; an index stands beside the file that it replaces.
inline std::shared_ptr<const tensor_file> open_weights(const file_set& files, const std::string& path, layout keys) {
  if (keys == layout::hf)
    return open_weights(files, path,
                        {"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"});
  return open_weights(
      files, path,
      {"open_clip_model.safetensors", "open_clip_model.safetensors.index.json", "open_clip_pytorch_model.safetensors",
       "open_clip_pytorch_model.bin", "open_clip_pytorch_model.pth", "model.safetensors", "model.safetensors.index.json",
       "pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model.pth", "model.pth"});
}

/// Hugging Face's config.json with the preprocessing of preprocessor_config.json or, as transformers 5 writes it, of the
/// image_processor in processor_config.json. Where both are there, transformers 5 reads the second and older versions read the
/// first, so they must agree.
inline checkpoint_config read_hf_folder(const file_set& files, const checkpoint_options& o, std::vector<std::string>& warnings) {
  const config_answers answers{o.activation, o.head_width};
  const auto text = files.text(hf_name), name = files.path(hf_name);
  const auto read = [&](const std::string& pixels, const char* file) {
    return read_hf_config(text, pixels, name, answers, o.policies, file);
  };
  const auto alone = files.has(pixels_name) ? files.text(pixels_name) + "\n" : std::string();  // an empty file is no JSON
  const auto inside = files.has(processor_name) ? image_processor_in(files.text(processor_name), files.path(processor_name)) : "";
  if (alone.empty() && inside.empty()) {
    auto c = read("", pixels_name);
    if (c.model.towers == tower_set::text) return c;
    warnings.push_back(cat(files.path(""), ": neither ", pixels_name, " nor ", processor_name, ": images are preprocessed as by ",
                           c.model.vision.policy().family(c.model).hf_processor, " (", text_of(c.pixels.size),
                           " pixels, bicubic, its own mean and std)"));
    return c;
  }
  if (alone.empty()) return read(inside, processor_name);
  auto c = read(alone, pixels_name);
  if (!inside.empty() && read(inside, processor_name).pixels != c.pixels)
    fail(error_kind::mismatch,
         cat(files.path(""), ": ", pixels_name, " and ", processor_name,
             " preprocess images differently, and versions of transformers read one or the other: remove one"));
  return c;
}

/// What transformers reads of tokenizer_config.json beside the tokens: at how many ids a text is cut (open_clip, which cleans white
/// space itself, takes its own length), and how SigLIP's tokenizers clean texts, which their tokenizer.json does not say.
inline void read_tokenizer_config(const file_set& files, tokenizer_options& o) {
  const char* file = "tokenizer_config.json";
  if (o.follows != tokenizer_options::library::hf || !files.has(file)) return;
  issue_list issues(error_kind::unsupported);
  auto f = fields_of(parse_json(files.text(file), files.path(file), 16), file, issues);
  const auto type = f.text("tokenizer_class", "CLIPTokenizer");
  clean_as(type, o);
  if (type != "CLIPTokenizer" && type != "CLIPTokenizerFast" && !files.has("tokenizer.json") &&
      !(o.longest && files.has("spiece.model")))
    f.issue(cat("tokenizer_class: ", type,
                " is supported as a tokenizer.json only, and the folder has none: transformers writes one, by "
                "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"));
  if (o.between == clean_rule::bare) f.only("do_lower_case", true);
  f.only("padding_side", "right");
  f.only("truncation_side", "right");
  f.only("split_special_tokens", false);
  if (type.starts_with("Roberta")) f.only("add_prefix_space", false);
  const double most = f.number("model_max_length", 1e30);
  if (o.frame.fill && o.clean == clean_rule::none && most < static_cast<double>(o.context_length))
    f.issue(error_kind::mismatch, cat("model_max_length: texts are filled up to the ", o.context_length,
                                      " positions of the text tower, expected that length or none, got ", most));
  if (most < 2) f.issue(error_kind::damaged, cat("model_max_length: expected 2 or more, got ", most));
  else if (o.clean == clean_rule::none && most < static_cast<double>(o.context_length)) o.context_length = static_cast<dim>(most);
  issues.raise(files.path(file));
}
inline void warn_of_tokenizer(const file_set& files, std::vector<std::string>& warnings) {
  const char* file = "tokenizer_config.json";
  if (!files.has(file)) return;
  issue_list issues(error_kind::unsupported);
  auto f = fields_of(parse_json(files.text(file), files.path(file), 16), file, issues);
  const auto type = f.text("tokenizer_class", "CLIPTokenizer");
  const bool lower = f.flag("do_lower_case", type.starts_with("CLIPTokenizer"));
  if (!lower && type.starts_with("CLIPTokenizer"))
    warnings.push_back(
        cat(files.path(file), ": do_lower_case: false has no effect: CLIP's tokenizer always lowercases, in transformers too"));
  if (lower && type.starts_with("GemmaTokenizer"))
    warnings.push_back(cat(files.path(file), ": do_lower_case: true has no effect in transformers' ", type,
                           ": texts keep their capitals unless tokenizer.json lowers them; lower them, as SigLIP 2 was trained, or "
                           "set tokenizer_class to Siglip2Tokenizer"));
}

/// Where the configurations were looked for, for messages; in memory, the names that are there.
inline std::string in_place_of_configs(const file_set& files) {
  if (files.folder_path()) return "in the folder, found neither";
  std::string out = "among the files in memory, found";
  const auto names = files.names();
  for (std::size_t i = 0; i < std::min<std::size_t>(names.size(), 5); ++i) out += cat(i ? ", " : " ", names[i]);
  return names.empty() ? "among the files in memory, found none" : names.size() > 5 ? out + ", .." : out;
}

/// A folder's configuration and weights, in either layout.
inline opened_model open_model(const file_set& files, const std::string& path, const checkpoint_options& o) {
  const bool own = files.has(open_clip_name), hf = files.has(hf_name);
  expect(own || hf, error_kind::not_found,
         [&] { return cat(path, ": expected open_clip_config.json or config.json ", in_place_of_configs(files)); });
  opened_model out;
  auto keys = own ? layout::open_clip : layout::hf;
  if (own && hf) {
    out.weights = open_weights(files, path, keys);
    keys = layout_of_names(*out.weights).value_or(keys);
    out.warnings.push_back(cat(path, ": has both ", open_clip_name, " and ", hf_name, "; reading ",
                               keys == layout::hf ? hf_name : open_clip_name, ", the layout of the tensors in ",
                               out.weights->path()));
  }
  if (keys == layout::hf) {
    out.config = read_hf_folder(files, o, out.warnings);
    warn_of_tokenizer(files, out.warnings);
  } else {
    const config_answers answers{o.activation, o.head_width};
    out.config = read_open_clip_config(files.text(open_clip_name), files.path(open_clip_name), answers, o.policies);
  }
  if (!out.weights) out.weights = open_weights(files, path, keys);
  return out;
}

/// What a folder is called, however its path is written.
inline std::string folder_name(const std::string& path) {
  std::error_code none;
  auto whole = std::filesystem::absolute(path, none).lexically_normal();
  if (!whole.has_filename()) whole = whole.parent_path();
  return whole.filename().string();
}

/// The preset that has these sizes, and of several the one with this vocabulary, else `name`.
inline std::string preset_name(const clip_config& c, const std::string& name) {
  const clip_config* found = nullptr;
  for (auto& p : presets::all())
    if (p.vision == c.vision && p.embed_dim == c.embed_dim && p.text.width == c.text.width && p.text.layers == c.text.layers &&
        (found == nullptr || p.text.vocab_size == c.text.vocab_size))
      found = &p;
  return found ? found->name : name;
}

/// The tokenizer that an option names, else the one among the model's files.
inline tokenizer open_tokenizer(const std::string& given, const file_set* files, const std::string& path,
                                tokenizer_options options) {
  if (!given.empty()) {
    std::error_code unreadable;
    if (std::filesystem::is_directory(given, unreadable)) {
      read_tokenizer_config(file_set::folder(given), options);
      return tokenizer::from_folder(given, options);
    }
    return given.ends_with(".json") ? tokenizer::from_json(given, options) : tokenizer::from_merges(given, options);
  }
  expect(files != nullptr, error_kind::not_found, [&] {
    return cat(path, ": has no tokenizer; give a merges file, tokenizer.json or folder with checkpoint_options::tokenizer");
  });
  read_tokenizer_config(*files, options);
  return tokenizer::from_files(*files, options);
}
}  // namespace detail

}  // namespace clipx
