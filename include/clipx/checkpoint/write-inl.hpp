// Definition of checkpoint::write: a checkpoint in another folder, layout or type.
#pragma once
#include <algorithm>
#include <filesystem>

#include "../io/lock.hpp"
#include "../io/safetensors.hpp"
#include "checkpoint-inl.hpp"
#include "model_files.hpp"

namespace clipx {
namespace detail {
/// A tensor of a file: a part of one of our parameters, or all of it.
struct parameter_part {
  std::size_t of;  // place in the parameters
  dim offset;      // of the first value
  bool transposed;
};

/// What a file in this layout holds, and where its values come from.
struct tensor_plan {
  std::vector<parameter_part> parts;
  std::vector<tensor_to_write> tensors;
};

inline tensor_plan plan_tensors(const clip_config& config, const std::vector<std::pair<std::string, shape>>& parameters,
                                layout keys, dtype element) {
  tensor_plan out;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const auto& [name, s] = parameters[i];
    for (auto& t : stored_tensors(source_of(config, name, keys), s)) {
      const bool wide = s.sizes.empty();  // the log-scale keeps its digits
      out.tensors.push_back({t.name, wide ? dtype::f32 : element, t.sizes});
      out.parts.push_back({i, t.offset, t.transposed});
    }
  }
  return out;
}

/// The values of one tensor, out of those of the parameter that it belongs to.
inline void read_part(const parameter_part& part, const shape& s, std::span<const float> values, std::span<double> out) {
  const dim rows = s.rows(), cols = s.cols();
  for (dim k = 0; k < static_cast<dim>(out.size()); ++k) {
    const dim from = part.transposed ? k % rows * cols + k / rows : part.offset + k;
    out[static_cast<std::size_t>(k)] = static_cast<double>(values[static_cast<std::size_t>(from)]);
  }
}

/// The tokenizer's files and the templates, which are written as they are.
inline std::vector<std::string> texts_to_copy(const file_set& from) {
  std::vector<std::string> out;
  for (auto& name : from.names())
    if (is_tokenizer_file(name) || name == "templates.txt") out.push_back(name);
  return out;
}
inline bool holds_vocabulary(const std::vector<std::string>& names) {
  return std::any_of(names.begin(), names.end(),
                     [](auto& name) { return name == "tokenizer.json" || name == "vocab.json" || name == "ngrams.tsv"; });
}
}  // namespace detail

/// What write() writes beside the weights, in order: name and content. What the layout cannot hold is refused.
CLIPX_INLINE std::vector<std::pair<std::string, std::string>> checkpoint::texts_to_write(layout keys,
                                                                                         const std::string& type) const {
  std::vector<std::pair<std::string, std::string>> configs, out;
  if (keys == layout::open_clip) {
    if (auto cut = config_.text; files_ && !tokenizer_->named()) {
      detail::read_tokenizer_config(*files_, cut);
      expect(cut.context_length == config_.text.context_length, error_kind::unsupported, [&] {
        return cat("open_clip's layout has no place for model_max_length ", cut.context_length,
                   " of tokenizer_config.json: its texts are cut at the text tower's ", config_.text.context_length);
      });
    }
    configs = {{"open_clip_config.json", open_clip_config_text(config_)}};
  } else {
    const auto& t = text();
    configs = {{"config.json", hf_config_text(config_, type, t.sot(), t.eot(), t.eot())},
               {"preprocessor_config.json", hf_preprocessor_text(config_)}};
  }
  if (config().text.pool == text_pool::none) (void)text();  // errors: a dictionary that is not there
  std::vector<std::string> copied;
  if (files_ && !tokenizer_->named()) copied = detail::texts_to_copy(*files_);
  for (auto& name : copied) out.emplace_back(name, files_->text(name));
  // What --tokenizer named, or transformers could not read, is written as tokenizer::files() has it.
  if (tokenizer_->named() || (keys == layout::hf && !detail::holds_vocabulary(copied)))
    for (auto& file : text().files())
      if (std::find(copied.begin(), copied.end(), file.first) == copied.end()) out.push_back(file);
  out.insert(out.end(), configs.begin(), configs.end());  // last: a folder without them is no model
  return out;
}

CLIPX_INLINE std::vector<std::string> checkpoint::inputs() const {
  auto out = file_->paths();
  const auto add_folder = [&](const file_set& files) {
    if (files.folder_path())
      for (auto& name : files.names()) out.push_back(files.path(name));
  };
  if (files_) add_folder(*files_);
  std::error_code none;
  if (const auto& given = tokenizer_->given; std::filesystem::is_directory(given, none)) add_folder(file_set::folder(given));
  else if (!given.empty()) out.push_back(given);
  return out;
}

CLIPX_INLINE void checkpoint::write(const std::string& folder, layout keys, const std::string& type, observer& watch) const {
  namespace fs = std::filesystem;
  const auto element = type == "f16" ? dtype::f16 : type == "bf16" ? dtype::bf16 : dtype::f32;
  expect(type == "f16" || type == "bf16" || type == "f32",
         [&] { return cat("checkpoint::write(type): expected f32, f16 or bf16, got ", type); });
  const auto in = [&](const std::string& name) { return (fs::path(folder) / name).string(); };
  const std::string weights = keys == layout::open_clip ? "open_clip_model.safetensors" : "model.safetensors";
  // What cannot be written is refused before anything is.
  expect_towers(config(), tower_set::both);
  const auto texts = texts_to_write(keys, type);
  std::vector<std::string> names{weights};
  for (auto& [name, body] : texts) names.push_back(name);
  std::error_code none;
  expect(!files_ || !files_->folder_path() || !fs::equivalent(folder, *files_->folder_path(), none),
         [&] { return cat(folder, ": is the folder that is being read; give checkpoint::write(folder) another one"); });
  detail::expect_no_others(folder, names, detail::is_model_file, "checkpoint::write(folder)");
  detail::expect_no_inputs(folder, names, inputs(), "checkpoint::write(folder)");
  const folder_lock alone(folder);
  const auto shapes = parameter_shapes(config());
  const auto sources = match(config());
  const auto plan = detail::plan_tensors(config(), shapes, keys, element);
  std::vector<float> values;
  std::size_t done = 0;
  report(watch, "tensors", done, plan.tensors.size());
  write_safetensors(in(weights), plan.tensors, [&](std::size_t i, std::span<double> out) {
    const auto& part = plan.parts[i];
    const auto& s = shapes[part.of].second;
    values.resize(static_cast<std::size_t>(s.rows() * s.cols()));
    sources[part.of].read(values);
    detail::read_part(part, s, values, out);
    report(watch, "tensors", ++done, plan.tensors.size());
  });
  for (auto& [name, body] : texts) write_file(in(name), body);
}

}  // namespace clipx
